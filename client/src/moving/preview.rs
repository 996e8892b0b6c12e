//! Shows what will change, as a difference of settings. Secrets are never shown, ids only masked.

use std::path::Path;

use bascule_watch::adopt::{Change, Consumer, FilePlan, Role};
use serde::Serialize;

use super::shown;
use crate::output::text::{BAD, DIM, GOOD, HEAD, escape, styled};

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
pub(crate) fn heading(consumer: &Consumer, to: &str) -> String {
    format!(
        "{}  {} → {}\n",
        styled(HEAD, &escape(&consumer.name)),
        escape(&consumer.id().masked()),
        escape(to)
    )
}

/// The difference of one file.
pub(crate) fn file(file: &FilePlan, home: Option<&Path>) -> String {
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

/// A line with every long word of a key's characters masked.
fn masked(line: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_');
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(is_word) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let word = &rest[..end];
        // What is set to a key is joined to its name by the sign.
        let (name, value) = word
            .split_once('=')
            .map_or(("", word), |(name, value)| (name, value));
        let joined = if name.is_empty() { "" } else { "=" };
        let key_like = value.len() >= 16 && value.bytes().any(|b| b.is_ascii_digit());
        match key_like {
            true => text.push_str(&format!("{name}{joined}{DOTS}")),
            false => text.push_str(word),
        }
        rest = &rest[end..];
    }
    text.push_str(rest);
    text
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
        assert_eq!(
            masked("AWS_SECRET_ACCESS_KEY=abc/def+0123456789abcdef x"),
            "AWS_SECRET_ACCESS_KEY=•••• x"
        );
    }
}
