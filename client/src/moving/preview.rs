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
        let told = format!("{} ({}): {}", left.consumer, left.key, left.why);
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

/// The difference between two texts for people, line by line, with everything masked that may be a key.
pub(crate) fn between(before: &str, after: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[same..], &new[same..]);
    let ends = old.iter().rev().zip(new.iter().rev());
    let same_end = ends.take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - same_end], &new[..new.len() - same_end]);
    let mut text = format!("  {}\n", styled(DIM, &format!("from line {}", same + 1)));
    for (sign, lines, style) in [('-', old, BAD), ('+', new, GOOD)] {
        for line in lines {
            let told = format!("{sign} {}", masked(line));
            text.push_str(&format!("  {}\n", styled(style, &escape(&told))));
        }
    }
    text
}

/// A line with what it sets masked: everything behind its first `=` or `:`, and long words before.
fn masked(line: &str) -> String {
    let sets = line.find(['=', ':']).map(|at| line.split_at(at + 1));
    match sets {
        Some((name, value)) if !value.trim().is_empty() && name.len() < 64 => {
            let blank = value.len() - value.trim_start().len();
            format!("{name}{}{DOTS}", &value[..blank])
        }
        _ if line.trim_start().len() > 24 => DOTS.to_owned(),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_lines_but_no_key() {
        let before = "[r2]\naccess_key_id = AKIAIOSFODNN7EXAMPLE\nregion = auto\n";
        let after = "[r2]\naccess_key_id = BSCABCDEFGH234567890\n# mine\nregion = auto\n";
        let text = anstream::adapter::strip_str(&between(before, after)).to_string();
        assert_eq!(
            text,
            "  from line 2\n  - access_key_id = ••••\n  + access_key_id = ••••\n  + # mine\n"
        );
        for (line, shown) in [
            (
                "AWS_SECRET_ACCESS_KEY=short x",
                "AWS_SECRET_ACCESS_KEY=••••",
            ),
            ("pass: obscured-word", "pass: ••••"),
            ("AKIAIOSFODNN7EXAMPLEAKIAIOSFODNN7EXAMPLE", "••••"),
            ("[r2]", "[r2]"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }
}
