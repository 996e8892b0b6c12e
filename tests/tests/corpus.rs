//! Recall and precision of the watcher (issue 6): configurations that use a key, each of which has to
//! yield it or to be told as not checked, and configurations that do not, none of which may yield it.
//!
//! The cases are in `tests/corpus/*.txt`, see its README; each is tried with ids of several shapes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs,
    ops::ControlFlow,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use bascule_domain::{Timestamp, access_key::AccessKeyId};
use bascule_tests::tools;
use bascule_watch::{
    Environment, Machine, Picture, Rank, Standing, Use,
    scan::{self, Scope},
    sweep::{self, Needles, Options, Wanted},
};
use data_encoding::{BASE64, HEXLOWER};

/// What a case has to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A look at the known places finds it, and the tool would take it.
    Effective,
    /// A look at the known places finds it as a copy or a history.
    Leftover,
    /// The search finds it in a file of a known kind.
    Named,
    /// The search finds it where no row explains it.
    Unknown,
    /// It can't be looked at, and the file is named.
    Gap,
    /// It is found as what no tool takes, or not at all.
    Quiet,
    /// A look at the known places does not find it; a search tells that it stands there.
    Unused,
    /// It is found nowhere.
    Nowhere,
}

struct Case {
    /// File, name and variant.
    name: String,
    expected: Expected,
    files: Vec<File>,
    /// Which form of the id stands at `{ID}`.
    variant: Option<String>,
}

struct File {
    /// `~/…`, `/…`, or `$` for a variable.
    path: String,
    options: Vec<String>,
    text: String,
}

/// Reads the cases of the files whose names begin so.
fn cases(kind: &str) -> Vec<Case> {
    let folder = tools::workspace().join("tests/corpus");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(kind)
        })
        .collect();
    paths.sort();
    paths.iter().flat_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Vec<Case> {
    let file = path.file_stem().unwrap().to_str().unwrap();
    let text = fs::read_to_string(path).unwrap();
    let mut cases = Vec::new();
    for block in text.split("==== ").skip(1) {
        let (head, rest) = block.split_once('\n').unwrap();
        let fields: Vec<_> = head.split('|').map(str::trim).collect();
        let [name, expected, why, variants @ ..] = &fields[..] else {
            panic!("{file}: {head}");
        };
        assert!(!why.is_empty(), "{file}: {name} says why");
        let expected = match *expected {
            "effective" => Expected::Effective,
            "leftover" => Expected::Leftover,
            "named" => Expected::Named,
            "unknown" => Expected::Unknown,
            "gap" => Expected::Gap,
            "quiet" => Expected::Quiet,
            "unused" => Expected::Unused,
            "nowhere" => Expected::Nowhere,
            other => panic!("{file}: {name}: {other}"),
        };
        let files = || {
            let files = rest.split("---- ").skip(1);
            files.map(|file| {
                let (head, text) = file.split_once('\n').unwrap();
                let (path, options) = match head.strip_prefix("$ ") {
                    Some(variable) => ("$", vec![variable.to_owned()]),
                    None => {
                        let mut words = head.split(' ');
                        (words.next().unwrap(), words.map(str::to_owned).collect())
                    }
                };
                File {
                    path: path.to_owned(),
                    options,
                    text: text.to_owned(),
                }
            })
        };
        let variants: Vec<_> = match variants {
            [] => vec![None],
            [variants, ..] => variants
                .split(' ')
                .map(|one| Some(one.to_owned()))
                .collect(),
        };
        for variant in variants {
            let shown = variant.as_deref().unwrap_or_default();
            cases.push(Case {
                name: format!("{file}/{name} {shown}"),
                expected,
                files: files().collect(),
                variant,
            });
        }
    }
    cases
}

/// An id that is asked about, and one of the same shape that is not.
struct Key {
    id: String,
    other: String,
    /// Whether it can be told from other words by its looks.
    random: bool,
    issued: bool,
}

fn keys() -> Vec<Key> {
    let issued = |seed: u8| {
        AccessKeyId::issue(std::array::from_fn(|at| {
            seed.wrapping_mul(31).wrapping_add(at as u8 * 7)
        }))
    };
    let key = |id: &str, other: &str, random| Key {
        id: id.to_owned(),
        other: other.to_owned(),
        random,
        issued: false,
    };
    vec![
        key("AKIAQ7ZK4M2WX5VT7F3Q", "AKIAZ3XV6NT2QLH5WB7D", true),
        key(
            "3f786850e387550fdab836ed7e6dc881",
            "89e6c98d92887913cadf06b2adb97f26",
            true,
        ),
        key(
            "0035f7c1a2b4d6e0000000001",
            "0049d2b7e6a1c3f0000000002",
            true,
        ),
        Key {
            issued: true,
            ..key(issued(1).as_str(), issued(9).as_str(), true)
        },
        key("nightly-backup", "weekly-upload", false),
    ]
}

const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzzzzzKEYq";

impl Key {
    fn variant(&self, name: &str) -> String {
        let id = &self.id;
        match name {
            "LONGER" => format!("{id}7"),
            "SHORTER" => id[..id.len() - 1].to_owned(),
            "PREFIXED" => format!("X{id}"),
            "SWAPPED" => {
                let swap = |c: char| match c.is_ascii_lowercase() {
                    true => c.to_ascii_uppercase(),
                    false => c.to_ascii_lowercase(),
                };
                id.chars().map(swap).collect()
            }
            "OTHER" => self.other.clone(),
            other => panic!("no variant {other}"),
        }
    }

    fn fill(&self, text: &str, case: &Case, home: &Path) -> String {
        let half = self.id.len() / 2;
        let mut text = text
            .replace("{HOME}", home.to_str().unwrap())
            .replace("{len:KEY}", &format!("\\x{:02x}", self.id.len()))
            .replace("{KEY}", &self.id)
            .replace("{BSC}", &self.id)
            .replace("{AKIA}", &self.id)
            .replace("{OTHER}", &self.other)
            .replace("{SECRET}", SECRET)
            .replace("{HEAD}", &self.id[..half])
            .replace("{TAIL}", &self.id[half..]);
        if let Some(variant) = &case.variant {
            text = text.replace("{ID}", &self.variant(variant));
        }
        let hex = |inner: &str| HEXLOWER.encode(inner.as_bytes());
        let base64 = |inner: &str| BASE64.encode(inner.replace("\\n", "\n").as_bytes());
        text = coded(&text, "{hex:", hex);
        coded(&text, "{base64:", base64)
    }
}

fn coded(text: &str, mark: &str, code: impl Fn(&str) -> String) -> String {
    let mut parts = text.split(mark);
    let mut coded = parts.next().unwrap().to_owned();
    for part in parts {
        let (inner, rest) = part.split_once('}').unwrap();
        coded.push_str(&code(inner));
        coded.push_str(rest);
    }
    coded
}

/// A machine with the files of a case, as its user sees it.
struct Stage {
    folder: tempfile::TempDir,
    machine: Machine,
}

impl Stage {
    fn new(case: &Case, key: &Key) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let home = root.join("home/alice");
        fs::create_dir_all(&home).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        let users = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        fs::write(root.join("etc/passwd"), users).unwrap();
        let mut environment = Environment::of(Some(home.clone()), home.clone());
        environment.root = root.to_owned();
        for file in &case.files {
            if file.path == "$" {
                let variable = key.fill(&file.options[0], case, Path::new("/home/alice"));
                let (name, value) = variable.split_once('=').unwrap();
                environment.set(name, value);
                continue;
            }
            let path = match file.path.strip_prefix("~/") {
                Some(below) => home.join(below),
                None => root.join(file.path.trim_start_matches('/')),
            };
            file.write(&path, &key.fill(&file.text, case, Path::new("/home/alice")));
        }
        Self {
            machine: Machine::local(environment, 1000, Timestamp::UNIX_EPOCH),
            folder,
        }
    }

    fn known(&self) -> Picture {
        scan::known(&self.machine, Scope::FILES)
    }

    fn everything(&self) -> Picture {
        scan::everything(&self.machine, Scope::FILES, |_| ControlFlow::Continue(()))
    }

    /// Whether the exact bytes of the id are found as an id.
    fn holds(&self, key: &Key) -> bool {
        let id: AccessKeyId = key.id.parse().unwrap();
        let needles = Needles::of([&id]);
        let wanted = Wanted {
            needles: Some(&needles),
            ..Wanted::default()
        };
        let mut found = false;
        let roots: Vec<PathBuf> = vec![self.folder.path().to_owned()];
        let on_hit = |_| found = true;
        let go_on = |_: &sweep::Progress<'_>| ControlFlow::Continue(());
        sweep::run(&roots, wanted, &Options::default(), on_hit, go_on);
        found
    }
}

impl File {
    fn write(&self, path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let option = |name: &str| {
            let mut options = self.options.iter();
            options.find_map(|option| option.strip_prefix(name))
        };
        if let Some(target) = option("link=") {
            return symlink(target, path).unwrap();
        }
        let mut text = text.to_owned();
        if option("crlf").is_some() {
            text = text.replace('\n', "\r\n");
        }
        if option("bom").is_some() {
            text.insert(0, '\u{feff}');
        }
        let bytes = if option("utf16").is_some() {
            let units = [0xfeff].into_iter().chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        } else if option("bytes").is_some() {
            bytes(text.trim_end())
        } else {
            text.into_bytes()
        };
        fs::write(path, bytes).unwrap();
        let mode = option("mode=").map(|mode| u32::from_str_radix(mode, 8).unwrap());
        let mode = mode.unwrap_or(if option("exec").is_some() {
            0o755
        } else {
            0o600
        });
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Bytes that are written `\0` and `\xNN`.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.bytes());
        rest = match after.strip_prefix('x') {
            Some(digits) => {
                bytes.push(u8::from_str_radix(&digits[..2], 16).unwrap());
                &digits[2..]
            }
            None => {
                bytes.push(0);
                after.strip_prefix('0').unwrap()
            }
        };
    }
    bytes.extend(rest.bytes());
    bytes
}

/// Whether the daemon would make a finding of it that wants somebody's attention.
fn wants_attention(found: &Use) -> bool {
    let used = matches!(found.standing, Standing::Effective | Standing::Unknown);
    used && found.rank != Rank::Leftover
}

/// What is wrong with a case, if something is.
fn wrong(case: &Case, key: &Key) -> Option<String> {
    let stage = Stage::new(case, key);
    let known = stage.known();
    let of = |picture: &Picture| -> Vec<Use> {
        let uses = picture.uses.iter();
        uses.filter(|found| found.key.id.as_str() == key.id)
            .cloned()
            .collect()
    };
    let seen = of(&known);
    let names = |file: &File| {
        let path = file.path.trim_start_matches("~/");
        let gaps = known.gaps.iter();
        gaps.clone().any(|gap| {
            let steps = gap.chain.iter().filter_map(|link| link.place.as_ref());
            let steps = steps.map(ToString::to_string).collect::<String>();
            gap.what.contains(path) || steps.contains(path) || gap.what.contains("keys/gone")
        })
    };
    let right = match case.expected {
        Expected::Effective => seen
            .iter()
            .any(|found| found.standing == Standing::Effective && found.rank != Rank::Leftover),
        Expected::Leftover => {
            !seen.is_empty() && seen.iter().all(|found| found.rank == Rank::Leftover)
        }
        Expected::Gap => case.files.iter().any(names),
        Expected::Named | Expected::Unknown => {
            let seen = of(&stage.everything());
            let unknown = seen.iter().all(|found| found.kind == "unknown");
            // Of an id of ours the daemon knows more than a look does: there it is a leftover.
            let told = if key.issued && case.expected == Expected::Unknown {
                !seen.is_empty()
            } else {
                seen.iter().any(wants_attention)
            };
            told && unknown == (case.expected == Expected::Unknown)
        }
        Expected::Quiet => !of(&stage.everything()).iter().any(wants_attention),
        Expected::Unused => !seen.iter().any(wants_attention),
        Expected::Nowhere => of(&stage.everything()).is_empty() && !stage.holds(key),
    };
    // No text that is shown holds a secret.
    let hidden = !format!("{known:?}").contains(SECRET);
    (!right || !hidden).then(|| {
        let id = &key.id;
        let all = of(&stage.everything());
        format!(
            "{} with {id}: {seen:#?} {all:#?} {:#?}",
            case.name, known.gaps
        )
    })
}

fn all_are_right(cases: &[Case]) {
    let mut told = Vec::new();
    for key in keys() {
        for case in cases {
            let text = case.files.iter().map(|file| file.text.as_str());
            let text = text.collect::<String>();
            let of_ours = text.contains("{BSC}");
            let of_aws = text.contains("{AKIA}");
            let by_looks = matches!(case.expected, Expected::Named | Expected::Unknown);
            if (of_ours && !key.issued)
                || (of_aws && !key.id.starts_with("AKIA"))
                || (by_looks && !key.random)
            {
                continue;
            }
            told.extend(wrong(case, &key));
        }
    }
    assert!(
        told.is_empty(),
        "{} of {} cases are wrong:\n{}",
        told.len(),
        cases.len(),
        told.join("\n")
    );
}

#[test]
fn recall_every_configuration_that_uses_a_key_yields_it_or_is_told_as_not_checked() {
    let cases = cases("recall");
    assert!(cases.len() >= 100, "{} cases", cases.len());
    all_are_right(&cases);
}

#[test]
fn precision_no_configuration_that_does_not_use_a_key_yields_it() {
    let cases = cases("precision");
    assert!(cases.len() >= 200, "{} cases", cases.len());
    all_are_right(&cases);
}
