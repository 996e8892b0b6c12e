//! How long it takes to find the places of 1,000 dead access key ids in a home of 100,000 files and
//! 1.5 GB, next to `rg -F -f ids`, in the same run and with everything in the page cache; and next to
//! gitleaks, in a home of the same kind that is smaller: the large one would take it half an hour. Goals: at most 1.5 times ripgrep's time, at most 64 MiB, and at most 50 ms from a file
//! that has changed to its hit.
//!
//! `BASCULE_BENCH_ROUNDS` sets the rounds (default 5), `BASCULE_BENCH_FILES` the files (default
//! 100,000, of 15 kB each on average; gitleaks gets a hundredth of them).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench reports on its standard output and gives up by panicking"
)]

use std::{
    collections::BTreeSet,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bascule_domain::access_key::AccessKeyId;
use bascule_tests::{measure, tools};
use bascule_watch::sweep::{self, Needles, Options, Wanted};
use data_encoding::BASE64;

const AVERAGE: usize = 15_000;
const MIB: u64 = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("one-sweep") => one_sweep(&arguments[2..]),
        _ => compare(),
    }
}

/// Numbers that are the same in every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn word(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet = alphabet.as_bytes();
        (0..length)
            .map(|_| char::from(alphabet[self.below(alphabet.len())]))
            .collect()
    }
}

const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &str = "0123456789abcdef";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const MIXED: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Ids as AWS, R2, Bascule, MinIO, Backblaze and Garage make them, and as people name them.
fn ids(seeded: &mut Seeded) -> Vec<AccessKeyId> {
    let id = |number: usize, seeded: &mut Seeded| match number % 100 {
        0..40 => format!("AKIA{}", seeded.word(UPPER, 16)),
        40..60 => seeded.word(HEX, 32),
        60..75 => {
            let random = std::array::from_fn(|_| seeded.next() as u8);
            AccessKeyId::issue(random).as_str().to_owned()
        }
        75..86 => seeded.word(MIXED, 20),
        86..92 => format!("004{}", seeded.word(HEX, 22)),
        92..98 => format!("GK{}", seeded.word(HEX, 24)),
        _ => format!("svc-{}", seeded.word(LOWER, 8)),
    };
    (0..1000)
        .map(|number| id(number, seeded).parse().expect("an id"))
        .collect()
}

/// What homes are full of, a mebibyte of each.
fn contents(seeded: &mut Seeded) -> Vec<Vec<u8>> {
    const WORDS: [&str; 24] = [
        "the", "access", "key", "bucket", "let", "return", "self", "function", "config", "value",
        "import", "secret", "class", "token", "error", "const", "public", "static", "path", "user",
        "for", "if", "name", "data",
    ];
    let mut fill = |piece: &mut dyn FnMut(&mut Seeded) -> Vec<u8>| {
        let mut content = Vec::with_capacity(MIB as usize + 100);
        while content.len() < MIB as usize {
            content.extend(piece(seeded));
        }
        content
    };
    vec![
        fill(&mut |seeded| {
            let (first, second) = (seeded.below(24), seeded.below(24));
            let (word, end) = (
                seeded.below(9) + 2,
                [" ", "\n    ", " = ", "(", ");\n"][seeded.below(5)],
            );
            let random = seeded.word(LOWER, word);
            format!("{}_{} {random}{end}", WORDS[first], WORDS[second]).into_bytes()
        }),
        fill(&mut |seeded| {
            let words = seeded.below(12) + 3;
            let mut line: Vec<_> = (0..words).map(|_| WORDS[seeded.below(24)]).collect();
            line.push("\n");
            line.join(" ").into_bytes()
        }),
        fill(&mut |seeded| {
            let (name, number) = (WORDS[seeded.below(24)], seeded.below(100_000));
            format!(
                "{{\"{name}\": {number}, \"id\": \"{}\"}},\n",
                seeded.word(HEX, 12)
            )
            .into_bytes()
        }),
        fill(&mut |seeded| {
            let package = seeded.word(LOWER, 9);
            let hash = seeded.word(MIXED, 86);
            format!("  \"{package}\": {{\n    \"integrity\": \"sha512-{hash}==\"\n  }},\n")
                .into_bytes()
        }),
        fill(&mut |seeded| {
            format!("{}  ./{}.o\n", seeded.word(HEX, 64), seeded.word(LOWER, 8)).into_bytes()
        }),
        fill(&mut |seeded| seeded.next().to_le_bytes()[..6].to_vec()),
        fill(&mut |seeded| {
            let count = seeded.below(40);
            let mut zeros = vec![0; count];
            zeros.extend(seeded.next().to_le_bytes());
            zeros
        }),
    ]
}

/// Which ids stand in which files.
struct Planted {
    /// As they are, where ripgrep finds them too.
    plain: BTreeSet<(PathBuf, String)>,
    coded: BTreeSet<(PathBuf, String)>,
}

fn generate(home: &Path, files: usize, ids: &[AccessKeyId], seeded: &mut Seeded) -> (Planted, u64) {
    let contents = contents(seeded);
    let mut folders = vec![home.to_owned()];
    for number in 0..files / 12 {
        let parent = &folders[seeded.below(folders.len())];
        let hidden = if seeded.below(20) == 0 { "." } else { "" };
        let path = parent.join(format!("{hidden}{}{number}", seeded.word(LOWER, 5)));
        fs::create_dir(&path).expect("a folder");
        folders.push(path);
    }
    let mut planted = Planted {
        plain: BTreeSet::new(),
        coded: BTreeSet::new(),
    };
    let mut bytes = 0;
    for number in 0..files {
        let kind = [0, 0, 1, 1, 2, 2, 3, 4, 5, 6][seeded.below(10)];
        let content = &contents[kind];
        // Many small files and a few large ones.
        let size = match seeded.below(100) {
            0 => AVERAGE * 40,
            1..10 => AVERAGE * 3,
            10..40 => AVERAGE,
            _ => AVERAGE / 20,
        };
        let size = size / 2 + seeded.below(size);
        let start = seeded.below(content.len() - size);
        let mut content = content[start..start + size].to_vec();
        let extension = ["rs", "txt", "json", "lock", "sum", "bin", "db"][kind];
        let folder = &folders[seeded.below(folders.len())];
        let path = folder.join(format!("{}{number}.{extension}", seeded.word(LOWER, 6)));
        if number % (files / 300).max(1) == 0 {
            let id = &ids[seeded.below(ids.len())];
            let text = format!("\n[r2]\naccess_key_id = {id}\nregion = auto\n");
            let at = seeded.below(content.len());
            let place = (path.clone(), id.as_str().to_owned());
            match seeded.below(6) {
                0 => {
                    let text = format!("\ndata: {}\n", BASE64.encode(text.as_bytes()));
                    content.splice(at..at, text.into_bytes());
                    planted.coded.insert(place);
                }
                1 => {
                    let wide = text.bytes().flat_map(|byte| [byte, 0]);
                    content.splice(at..at, wide);
                    planted.coded.insert(place);
                }
                _ => {
                    content.splice(at..at, text.into_bytes());
                    planted.plain.insert(place);
                }
            }
        }
        bytes += content.len() as u64;
        fs::write(&path, content).expect("a file");
    }
    (planted, bytes)
}

/// `one-sweep HOME IDS shape|ids`: what the daemon does, in a process of its own. Prints its hits and
/// the most memory it held.
fn one_sweep(arguments: &[String]) {
    let [home, file, what] = arguments else {
        panic!("one-sweep HOME IDS shape|ids");
    };
    let ids: Vec<AccessKeyId> = fs::read_to_string(file)
        .expect("the ids")
        .lines()
        .map(|line| line.parse().expect("an id"))
        .collect();
    let needles = Needles::of(&ids);
    let dead: BTreeSet<_> = ids.iter().collect();
    let is_dead = |id: &AccessKeyId| dead.contains(id);
    let wanted = match what.as_str() {
        "shape" => Wanted {
            by_shape: true,
            ..Wanted::default()
        },
        _ => Wanted {
            needles: Some(&needles),
            issued: Some(&is_dead),
            by_shape: false,
        },
    };
    let mut hits = Vec::new();
    let summary = sweep::run(
        &[home.into()],
        wanted,
        &Options::default(),
        |hit| hits.push(hit),
        |_| ControlFlow::Continue(()),
    );
    for hit in hits {
        println!("{}\t{}", hit.id, hit.path.display());
    }
    let held = measure::held(std::process::id()).map_or(0, |held| held.peak);
    println!(
        "held {held} files {} bytes {}",
        summary.files, summary.bytes
    );
}

fn timed(command: &mut Command) -> (Duration, String) {
    let started = Instant::now();
    let output = command.stderr(Stdio::null()).output().expect("a contender");
    let took = started.elapsed();
    (took, String::from_utf8_lossy(&output.stdout).into_owned())
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times
        .get(times.len() / 2)
        .map_or(f64::NAN, Duration::as_secs_f64)
}

fn number(name: &str, usual: usize) -> usize {
    let set = std::env::var(name).ok();
    set.map_or(usual, |text| text.parse().expect("a number"))
}

const OURS: &str = "sweep";
const FIRST: &str = "sweep without ids, by shape";
const RG: &str = "rg -F -f ids";
const RG_ALL: &str = "rg -F -f ids -uuu --text";

fn compare() {
    let files = number("BASCULE_BENCH_FILES", 100_000);
    let rounds = number("BASCULE_BENCH_ROUNDS", 5);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (home, list) = (folder.path().join("home"), folder.path().join("ids"));
    fs::create_dir(&home).expect("a home");
    let mut seeded = Seeded(20_261_123);
    let ids = ids(&mut seeded);
    let lines: Vec<_> = ids.iter().map(AccessKeyId::as_str).collect();
    fs::write(&list, lines.join("\n") + "\n").expect("the ids");
    let (planted, bytes) = generate(&home, files, &ids, &mut seeded);
    let small = folder.path().join("small");
    fs::create_dir(&small).expect("a home");
    let (_, small_bytes) = generate(&small, files / 100, &ids, &mut seeded);
    println!(
        "{files} files, {:.2} GB, {} ids, planted {} plain and {} in base64 or UTF-16",
        bytes as f64 / 1e9,
        ids.len(),
        planted.plain.len(),
        planted.coded.len()
    );

    let this = std::env::current_exe().expect("this bench");
    let rg = tools::installed_path("rg");
    if rg.is_none() {
        println!("rg is not installed: run tests/setup benches");
    }
    let ours = |home: &Path, what: &str| {
        let mut command = Command::new(&this);
        command.arg("one-sweep").arg(home).arg(&list).arg(what);
        command
    };
    let ripgrep = |more: &[&str]| {
        let mut command = Command::new(rg.as_ref()?);
        command
            .args(["--no-config", "-F", "-f"])
            .arg(&list)
            .args(more)
            .arg(&home);
        Some(command)
    };
    let mut contenders: [(&str, Option<Command>); 4] = [
        (OURS, Some(ours(&home, "ids"))),
        (RG, ripgrep(&[])),
        (RG_ALL, ripgrep(&["-uuu", "--text"])),
        (FIRST, Some(ours(&home, "shape"))),
    ];
    // Everything is in the page cache behind the first one.
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); contenders.len()];
    let mut held = 0;
    for round in 0..=rounds {
        for at in 0..contenders.len() {
            let at = (at + round) % contenders.len();
            let (name, Some(command)) = &mut contenders[at] else {
                continue;
            };
            let (took, output) = timed(command);
            if *name == OURS {
                held = held.max(check(&output, &planted));
            }
            if round == 0 && [RG, RG_ALL].contains(name) {
                let seen = planted
                    .plain
                    .iter()
                    .filter(|(_, id)| output.contains(id.as_str()));
                println!("{name}: {} planted ids seen", seen.count());
            }
            if round > 0 {
                times[at].push(took);
            }
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    for (at, (name, ..)) in contenders.iter().enumerate() {
        let (Some(first), Some(last)) = (times[at].first(), times[at].last()) else {
            continue;
        };
        println!(
            "{name:30} {:7.3} s ({:.3}-{:.3})   sweep takes {:.2} of it",
            medians[at],
            first.as_secs_f64(),
            last.as_secs_f64(),
            medians[0] / medians[at]
        );
    }
    println!(
        "the most memory of a sweep: {:.1} MiB (goal 64)",
        held as f64 / MIB as f64
    );
    changed_file(&home, &ids);

    let Some(gitleaks) = tools::installed_path("gitleaks") else {
        println!("gitleaks is not installed: run tests/setup benches");
        return;
    };
    let mut leaks = Command::new(gitleaks);
    leaks
        .args(["dir", "--no-banner", "--exit-code", "0"])
        .arg(&small);
    let (theirs, _) = timed(&mut leaks);
    let (first, _) = timed(&mut ours(&small, "shape"));
    println!(
        "gitleaks dir, {:.0} MB: {:.1} s; sweep without ids: {:.3} s",
        small_bytes as f64 / 1e6,
        theirs.as_secs_f64(),
        first.as_secs_f64()
    );
}

/// Whether a sweep found what is planted; returns the most memory it held.
fn check(output: &str, planted: &Planted) -> u64 {
    let found: BTreeSet<_> = output
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(id, path)| (PathBuf::from(path), id.to_owned()))
        .collect();
    let expected: BTreeSet<_> = planted.plain.union(&planted.coded).cloned().collect();
    assert_eq!(
        found, expected,
        "the sweep found something else than what is planted"
    );
    let last = output.lines().last().unwrap_or_default();
    last.split(' ')
        .nth(1)
        .expect("memory")
        .parse()
        .expect("a number")
}

/// From a file that was written to the hit in it, the needles being at hand.
fn changed_file(home: &Path, ids: &[AccessKeyId]) {
    let needles = Needles::of(ids);
    let wanted = Wanted {
        needles: Some(&needles),
        ..Wanted::default()
    };
    let path = home.join("changed.conf");
    let mut times: Vec<Duration> = ids
        .iter()
        .filter(|id| id.as_str().len() >= 20)
        .take(200)
        .map(|id| {
            fs::write(&path, format!("[r2]\naccess_key_id = {id}\n")).expect("a file");
            let started = Instant::now();
            let mut hit = None;
            let roots = [path.clone()];
            sweep::run(
                &roots,
                wanted,
                &Options::default(),
                |_| hit = Some(started.elapsed()),
                |_| ControlFlow::Continue(()),
            );
            hit.expect("the id is found")
        })
        .collect();
    let middle = median(&mut times) * 1000.0;
    let most = times.last().map_or(0.0, Duration::as_secs_f64) * 1000.0;
    println!("one changed file to its hit: {middle:.2} ms, at most {most:.2} (goal 50)");
}
