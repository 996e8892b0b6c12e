//! Where a new entry goes in a tool's file. Only the place and the entry are decided here: what the
//! file holds already is never replaced, and every byte of it stays.

mod mc;
#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

use crate::{
    aws,
    edit::Edit,
    handout::SectionName,
    ini::{Dialect, Document, ParseError},
    rclone,
};

/// A file of a tool's that a key can be written into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `rclone.conf`.
    Rclone,
    /// `~/.aws/credentials`.
    AwsCredentials,
    /// `~/.aws/config`.
    AwsConfig,
    /// mc's `config.json`.
    McConfig,
    /// A file that is new, and nothing but the entry.
    WholeFile,
}

/// Why a file takes no new entry of this name. No text holds the file's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// There is one of this name.
    #[error("{0} exists already")]
    Exists(String),
    /// `[NAME.x]` of rclone would read what it lacks from the new section.
    #[error("[{0}] would read from a new section of this name")]
    Heir(String),
    /// rclone's file is encrypted, and Bascule never asks for its password.
    #[error("it is encrypted")]
    Encrypted,
    /// The tool can't read it either.
    #[error("it can't be read as a configuration")]
    Ini(#[source] ParseError),
    /// Not the JSON that mc writes.
    #[error("line {line}: not what mc writes")]
    Json {
        /// Counted from 1.
        line: usize,
    },
    /// Of another version of mc than version 10 of the format.
    #[error("its version is not the one that mc writes now (10)")]
    McVersion,
}

/// The change that adds an entry to a file, whose text is `None` if there is none.
pub fn insert(
    target: Target,
    text: Option<&str>,
    name: &SectionName,
    entry: &str,
) -> Result<Edit, NoRoom> {
    let old = text.unwrap_or_default();
    match target {
        Target::Rclone => {
            if rclone::is_encrypted(old) {
                return Err(NoRoom::Encrypted);
            }
            free(old, Dialect::Rclone, |section| {
                if section == name.as_str() {
                    return Some(NoRoom::Exists(format!("[{section}]")));
                }
                let heir = section
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with('.'));
                heir.then(|| NoRoom::Heir(section.to_owned()))
            })?;
            Ok(append(old, entry))
        }
        Target::AwsCredentials | Target::AwsConfig => {
            free(old, Dialect::Aws, |section| {
                let same = match target {
                    Target::AwsConfig => aws::is_profile(section, name.as_str()),
                    _ => section == name.as_str(),
                };
                same.then(|| NoRoom::Exists(format!("[{section}]")))
            })?;
            Ok(append(old, entry))
        }
        Target::McConfig => mc::insert(old, name, entry),
        Target::WholeFile => match text {
            Some(_) => Err(NoRoom::Exists("the file".to_owned())),
            None => Ok(append(old, entry)),
        },
    }
}

fn free(
    text: &str,
    dialect: Dialect,
    taken: impl Fn(&str) -> Option<NoRoom>,
) -> Result<(), NoRoom> {
    let document = Document::parse(text, dialect).map_err(NoRoom::Ini)?;
    let mut names = document.sections().iter().map(|section| section.name);
    names.find_map(taken).map_or(Ok(()), Err)
}

/// At the end, after a blank line, with the line breaks that the file has.
fn append(text: &str, entry: &str) -> Edit {
    let first_break = text.find('\n').map_or("", |at| &text[..at]);
    let newline = if first_break.ends_with('\r') {
        "\r\n"
    } else {
        "\n"
    };
    let mut new = Zeroizing::new(String::with_capacity(2 * entry.len() + 4));
    let content = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !content.is_empty() {
        if !content.ends_with('\n') {
            new.push_str(newline);
        }
        let last = content.lines().next_back().unwrap_or_default();
        if !content.ends_with('\n') || !last.trim().is_empty() {
            new.push_str(newline);
        }
    }
    for line in entry.lines() {
        new.push_str(line);
        new.push_str(newline);
    }
    Edit {
        span: text.len()..text.len(),
        text: new,
    }
}
