//! Shows what will change, as a difference of settings. Secrets are never shown, ids only masked.

use std::path::Path;

use bascule_watch::adopt::{Change, Consumer, FilePlan, Plan, Role};
use serde::Serialize;

use super::{Left, issue::PLACEHOLDER_ID, shown};
use crate::output::text::{BAD, DIM, GOOD, HEAD, WARN, escape, styled};

/// A file that changes, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct FileDocument {
    pub(crate) path: String,
    pub(crate) changes: Vec<ChangeDocument>,
}

/// A setting that changes, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeDocument {
    pub(crate) setting: String,
    /// Absent: it is new. Secrets are dots, ids are masked.
    pub(crate) before: Option<String>,
    /// Absent: it goes.
    pub(crate) after: Option<String>,
}

const DOTS: &str = "••••";

/// The value as it may be shown. What is built around a secret on a command line is one too.
fn value(role: Role, text: &str) -> String {
    match role {
        Role::Secret => DOTS.to_owned(),
        Role::Id if text == PLACEHOLDER_ID => "(a new key)".to_owned(),
        Role::Id => {
            let tail: Vec<char> = text.chars().rev().take(4).collect();
            let tail: String = tail.into_iter().rev().collect();
            format!("…{tail}")
        }
        _ => text.to_owned(),
    }
}

impl From<&Change> for ChangeDocument {
    fn from(change: &Change) -> Self {
        let of = |text: &Option<zeroize::Zeroizing<String>>| {
            text.as_ref().map(|text| value(change.role, text))
        };
        Self {
            setting: change.name.clone(),
            before: of(&change.before),
            after: of(&change.after),
        }
    }
}

impl From<&FilePlan> for FileDocument {
    fn from(file: &FilePlan) -> Self {
        Self {
            path: file.path.display().to_string(),
            changes: file.changes.iter().map(Into::into).collect(),
        }
    }
}

/// A consumer's heading.
fn heading(consumer: &Consumer, to: &str) -> String {
    format!(
        "{}  {} → {}\n",
        styled(HEAD, &escape(&consumer.name)),
        escape(&consumer.id().masked()),
        escape(to)
    )
}

/// What changes for one consumer.
pub(crate) fn consumer(consumer: &Consumer, to: &str, plan: &Plan, home: Option<&Path>) -> String {
    let mut text = heading(consumer, to);
    for one in &plan.files {
        text.push_str(&file(one, home));
    }
    text
}

/// What was meant and is not changed, with the reasons.
pub(crate) fn left(left: &[Left]) -> String {
    let mut text = String::new();
    for left in left {
        let key = match left.key.as_str() {
            "" => String::new(),
            key => format!(" ({key})"),
        };
        let told = format!("{}{key}: {}", left.consumer, left.why);
        text.push_str(&format!(
            "{} {}\n",
            styled(WARN, "left as it is:"),
            escape(&told)
        ));
    }
    text
}

/// The difference of one file.
fn file(file: &FilePlan, home: Option<&Path>) -> String {
    let part = match file.part.as_str() {
        "" => String::new(),
        part => format!(" {part}"),
    };
    let title = format!("{}{part}", shown(&file.path, home));
    let mut text = format!("  {}\n", styled(DIM, &escape(&title)));
    for change in file.changes.iter().map(ChangeDocument::from) {
        let mut line = |sign: char, value: &Option<String>, style| {
            if let Some(value) = value {
                let told = format!("{sign} {} = {value}", change.setting);
                text.push_str(&format!("  {}\n", styled(style, &escape(&told))));
            }
        };
        line('-', &change.before, BAD);
        line('+', &change.after, GOOD);
    }
    text
}

/// A line that only one of two texts has.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LineChange {
    /// Its number there, from 1.
    pub(crate) line: usize,
    /// Whether it is new; else it is gone.
    pub(crate) is_new: bool,
    /// The line, with everything masked that may be a key.
    pub(crate) text: String,
}

/// More pairs of lines than that are not compared; the texts are told as they stand.
const MOST_PAIRS: usize = 4_000_000;

/// The lines in which two texts differ.
pub(crate) fn between(before: &str, after: &str) -> Vec<LineChange> {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..], &new[same..]);
    let ends = old.iter().rev().zip(new.iter().rev());
    let same_end = ends.take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - same_end], &new[..new.len() - same_end]);
    let change = |at: usize, is_new: bool, line: &str| LineChange {
        line: same + at + 1,
        is_new,
        text: masked(line),
    };
    let mut changes = Vec::new();
    let mut at = (0, 0);
    for (next_old, next_new) in common(old, new).into_iter().chain([(old.len(), new.len())]) {
        changes.extend((at.0..next_old).map(|at| change(at, false, old[at])));
        changes.extend((at.1..next_new).map(|at| change(at, true, new[at])));
        at = (next_old + 1, next_new + 1);
    }
    changes
}

/// The places of a longest common subsequence.
fn common(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    if old.len().saturating_mul(new.len()) > MOST_PAIRS {
        return Vec::new();
    }
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    for (i, line) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            let (down, right) = (lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
            lengths[i * width + j] = match line == other {
                true => lengths[(i + 1) * width + j + 1] + 1,
                false => down.max(right),
            };
        }
    }
    let (mut i, mut j, mut places) = (0, 0, Vec::new());
    while i < old.len() && j < new.len() {
        if old[i] == new[j] {
            places.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    places
}

/// Lines that differ, for people.
pub(crate) fn lines(changes: &[LineChange]) -> String {
    let mut text = String::new();
    for change in changes {
        let (sign, style) = if change.is_new {
            ('+', GOOD)
        } else {
            ('-', BAD)
        };
        let told = format!("{sign} {}", change.text);
        text.push_str(&format!(
            "  {} {}\n",
            styled(DIM, &format!("{:>4}", change.line)),
            styled(style, &escape(&told))
        ));
    }
    text
}

/// Settings that hold no key: their values may be shown.
const OPEN: [&str; 24] = [
    "type",
    "provider",
    "region",
    "endpoint",
    "endpoint_url",
    "location_constraint",
    "env_auth",
    "force_path_style",
    "addressing_style",
    "acl",
    "output",
    "host_base",
    "host_bucket",
    "use_https",
    "remote",
    "upstreams",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "S3_ENDPOINT_URL",
    "S3_ENDPOINT",
    "RCLONE_S3_ENDPOINT",
    "RESTIC_REPOSITORY",
];

/// A line with what it sets masked: everything behind its first `=` or `:`, and long words before. Of settings
/// that hold no key the value is shown, unless it could hold one all the same.
fn masked(line: &str) -> String {
    let sets = line.find(['=', ':']).map(|at| line.split_at(at + 1));
    match sets {
        Some((name, value)) if is_open(name) && is_one_word(value) => line.to_owned(),
        Some((name, value)) if !value.trim().is_empty() && name.len() < 64 => {
            let blank = value.len() - value.trim_start().len();
            format!("{name}{}{DOTS}", &value[..blank])
        }
        _ if line.trim_start().len() > 24 => DOTS.to_owned(),
        _ => line.to_owned(),
    }
}

/// Whether no second setting can hide in it: a command behind a variable, a connection string, a query.
fn is_one_word(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    let hides =
        |c: char| c.is_whitespace() || matches!(c, '=' | ',' | ';' | '@' | '?' | '"' | '\'');
    !value.contains(hides)
}

fn is_open(name: &str) -> bool {
    let name = name.trim_end_matches(['=', ':']).trim();
    let name = name.strip_prefix("export ").unwrap_or(name).trim();
    OPEN.contains(&name.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_lines_but_no_key() {
        let before = "[r2]\naccess_key_id = AKIAIOSFODNN7EXAMPLE\nregion = auto\n";
        let after = "[r2]\naccess_key_id = BSCABCDEFGH234567890\n# mine\nregion = auto\n";
        let text = lines(&between(before, after));
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            text,
            "     2 - access_key_id = ••••\n     2 + access_key_id = ••••\n     3 + # mine\n"
        );
        for (line, shown) in [
            (
                "AWS_SECRET_ACCESS_KEY=short x",
                "AWS_SECRET_ACCESS_KEY=••••",
            ),
            ("pass: obscured-word", "pass: ••••"),
            ("AKIAIOSFODNN7EXAMPLEAKIAIOSFODNN7EXAMPLE", "••••"),
            ("[r2]", "[r2]"),
            ("endpoint = http://h:9000", "endpoint = http://h:9000"),
            ("endpoint = http://id:word@h", "endpoint = ••••"),
            ("export AWS_REGION=eu-1", "export AWS_REGION=eu-1"),
            (
                "AWS_REGION=eu AWS_SECRET_ACCESS_KEY=abc aws s3 ls",
                "AWS_REGION=••••",
            ),
            (
                "RESTIC_REPOSITORY=s3:http://h/b RESTIC_PASSWORD=hunter2 restic backup /",
                "RESTIC_REPOSITORY=••••",
            ),
            (
                "remote = :s3,access_key_id=AKIA1,secret_access_key=abc:b",
                "remote = ••••",
            ),
            ("remote = r2:photos", "remote = r2:photos"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }

    #[test]
    fn lines_in_between_that_are_the_same_are_not_told() {
        let changes = between("a\nb\nc\nd\n", "a\nx\nc\nd\ne\n");
        let told: Vec<_> = changes.iter().map(|one| (one.line, one.is_new)).collect();
        assert_eq!(told, [(2, false), (2, true), (5, true)]);
    }
}
