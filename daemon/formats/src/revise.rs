//! Settings that stand side by side in a tool's file, such as a key's id, its secret and the endpoint:
//! what they are, and the changes that set, add or remove them. Only the bytes of the values change.
//!
//! A change is proved before it is handed out: the text with it is read again, and has to say what was
//! wanted, and of everything else what it said before. It must never guess which of several settings
//! a tool takes, and never put a value into an error.

mod change;
mod compose;
mod environment;
mod ini;
mod managed;
mod proof;
mod quoting;
mod setting;
mod shell;
mod structured;
#[cfg(test)]
mod tests;
mod unit;
mod verbatim;

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    edit::{self, Edit},
    environment_file::Dialect,
    ini::ParseError,
    leaves::{Step, Structure},
};
use proof::Proof;
use setting::Reading;

pub use managed::managed;
pub use verbatim::verbatim;

/// How a file writes settings side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// `rclone.conf`; the scope is a remote.
    Rclone,
    /// `~/.aws/credentials`; the scope is a profile. Names are `aws_access_key_id` or, of what stands
    /// indented below `s3 =`, `s3.addressing_style`.
    AwsCredentials,
    /// `~/.aws/config`; the scope is a profile, or `services NAME`. Names as in the credentials.
    AwsConfig,
    /// `.s3cfg`: its sections count for nothing, so the scope is the whole file.
    S3cfg,
    /// mc's `config.json`; the scope is an alias.
    Mc,
    /// A file of `NAME=value` lines.
    EnvironmentFile(Dialect),
    /// A shell script or a file for `source`: only words that hold nothing to be replaced.
    Shell,
    /// The `Environment=` lines of a systemd unit.
    Unit,
    /// The `NAME=value` lines of a crontab.
    Crontab,
    /// `environment:` of a Compose file's service, a mapping or a list; the scope is the service.
    Compose,
    /// Any other file: the scope is where its values are, and what is not there can't be added.
    Structured(Structure),
    /// `ID:SECRET` (the whole file is the scope) or `BUCKET:ID:SECRET` (the bucket is). Names are `id`
    /// and `secret`; nothing can be added.
    S3fsPasswords,
}

/// Which settings of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Those of a file that has no parts.
    Whole,
    /// Those of a remote, profile, alias, service or bucket.
    Section(&'a str),
    /// Those below a path of a structured file. With an empty name the path is the setting's own.
    Path(Vec<Step<'a>>),
}

/// What a setting has to be afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// As the file's tool calls it.
    pub name: &'a str,
    /// As the tool is to take it, may be a secret; `None`: the setting is to be gone, with its line.
    pub value: Option<&'a str>,
}

/// Values may be secrets.
impl fmt::Debug for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted")
            .field("name", &self.name)
            .field("removes", &self.value.is_none())
            .finish_non_exhaustive()
    }
}

/// Why a file can't be changed in place. No text holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotRevise {
    /// rclone's file is encrypted, and Bascule never asks for its password.
    #[error("it is encrypted")]
    Encrypted,
    /// The tool can't read it either.
    #[error("it can't be read as what it should be")]
    Unreadable(#[source] ParseError),
    /// The script is nested too deeply, or goes on in a way that can't be followed.
    #[error("line {line}: it can't be followed from here on")]
    Unclear {
        /// Counted from 1.
        line: u32,
    },
    /// Which one counts depends on more than the file, or the others would count once it is gone.
    #[error("line {line}: {name} stands here once more")]
    Repeated {
        /// The setting.
        name: String,
        /// Where it is for the second time, counted from 1.
        line: u32,
    },
    /// Its value is made of variables or of what surrounds the file.
    #[error("line {line}: {name} takes its value from elsewhere")]
    Computed {
        /// The setting.
        name: String,
        /// Counted from 1.
        line: u32,
    },
    /// Its value goes on over several lines.
    #[error("line {line}: {name} goes on over several lines")]
    Folded {
        /// The setting.
        name: String,
        /// Counted from 1.
        line: u32,
    },
    /// What it says counts in other places too.
    #[error("line {line}: {name} counts in other places of the file too")]
    Shared {
        /// The setting.
        name: String,
        /// Counted from 1.
        line: u32,
    },
    /// Nothing is there that it could stand beside, or it can't stand on a line of its own.
    #[error("there is no place to add {name}")]
    NoPlace {
        /// The setting.
        name: String,
    },
    /// The setting can't be taken away without what stands around it.
    #[error("line {line}: {name} can't be taken away alone")]
    NotAlone {
        /// The setting.
        name: String,
        /// Counted from 1.
        line: u32,
    },
    /// The file has no way of writing this value that its tool reads back.
    #[error("there is no way to write the value of {name} here")]
    NoForm {
        /// The setting.
        name: String,
    },
    /// The text to be replaced is not on the line.
    #[error("line {line}: what should be replaced is not there")]
    Absent {
        /// Counted from 1.
        line: u32,
    },
    /// The text to be replaced is on the line more than once, or is a part of a longer word.
    #[error("line {line}: what should be replaced is not there exactly once as a word of its own")]
    Ambiguous {
        /// Counted from 1.
        line: u32,
    },
}

/// The value that counts, as the tool takes it, what it inherits within the file included. `None` if it
/// is not set.
pub fn read(
    text: &str,
    syntax: Syntax,
    scope: &Scope<'_>,
    name: &str,
) -> Result<Option<Zeroizing<String>>, CannotRevise> {
    let reading = Reading::of(text, syntax)?;
    let own = reading.find(scope, name)?.map(|at| &reading.settings[at]);
    match own {
        // To rclone a blank value is none.
        Some(setting) if !(syntax == Syntax::Rclone && setting.is_blank()) => {
            setting.literal().cloned().map(Some)
        }
        _ => Ok(reading.inherited(scope, name)),
    }
}

/// The changes after which every wanted setting reads as wanted, in the order of their places. A
/// setting that is not there goes on a line of its own directly before the first of the wanted ones that
/// is, or else before the first of the scope; taking it away again gives the former text exactly.
/// What refers to a setting by its name follows it.
pub fn revise(
    text: &str,
    syntax: Syntax,
    scope: &Scope<'_>,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Edit>, CannotRevise> {
    let mut revision = Revision {
        text: Zeroizing::new(text.to_owned()),
        reading: Reading::of(text, syntax)?,
        syntax,
        scope,
        edits: Vec::new(),
    };
    let mut beside = None;
    for wanted in wanted {
        if beside.is_none() && revision.reading.find(scope, wanted.name)?.is_some() {
            beside = Some(wanted.name);
        }
    }
    // What is new comes first, while all that it may stand beside is there.
    for wanted in wanted {
        if let Some(value) = wanted.value {
            revision.add(wanted.name, value, beside)?;
        }
    }
    for wanted in wanted {
        match wanted.value {
            Some(value) => revision.set(wanted.name, value)?,
            None => revision.remove(wanted.name)?,
        }
    }
    // Two of them may be one setting by other names, where case does not count.
    for wanted in wanted {
        let reading = &revision.reading;
        let own = reading.find(scope, wanted.name)?;
        let now = own.map(|at| reading.settings[at].literal()).transpose()?;
        if now.map(|now| now.as_str()) != wanted.value {
            return Err(CannotRevise::NoForm {
                name: wanted.name.to_owned(),
            });
        }
    }
    Ok(revision.edits)
}

/// A text on its way: every step is proved against the one before.
struct Revision<'s> {
    text: Zeroizing<String>,
    /// Of the text as it is now.
    reading: Reading,
    syntax: Syntax,
    scope: &'s Scope<'s>,
    /// Of the text that it began with.
    edits: Vec<Edit>,
}

impl Revision<'_> {
    fn add(&mut self, name: &str, value: &str, beside: Option<&str>) -> Result<(), CannotRevise> {
        let reading = &self.reading;
        if reading.find(self.scope, name)?.is_some() {
            return Ok(());
        }
        let no_place = || CannotRevise::NoPlace {
            name: name.to_owned(),
        };
        let at = match beside {
            Some(beside) => reading.find(self.scope, beside)?,
            None => reading.first(self.scope),
        };
        let at = at.ok_or_else(no_place)?;
        let addition = change::addition(&self.text, self.syntax, reading, at, name, value)
            .ok_or_else(no_place)?;
        let proof = Proof::Added {
            at: addition.at,
            number: addition.number,
            name,
            value,
        };
        let beside = reading.settings[at].line_number;
        self.step(addition.forms, &proof, beside)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), CannotRevise> {
        let reading = &self.reading;
        let Some(at) = reading.find(self.scope, name)? else {
            return Ok(());
        };
        let setting = &reading.settings[at];
        if setting.literal()?.as_str() == value {
            return Ok(());
        }
        let forms = change::forms(&self.text, self.syntax, setting, value);
        let (proof, line) = (Proof::Set { at, name, value }, setting.line_number);
        self.step(forms, &proof, line)
    }

    fn remove(&mut self, name: &str) -> Result<(), CannotRevise> {
        let reading = &self.reading;
        let Some(at) = reading.find(self.scope, name)? else {
            return Ok(());
        };
        reading.only(self.scope, name)?;
        let line = reading.settings[at].line_number;
        let not_alone = || CannotRevise::NotAlone {
            name: name.to_owned(),
            line,
        };
        let (settings, span) =
            change::removal(&self.text, self.syntax, reading, at).ok_or_else(not_alone)?;
        let edit = Edit {
            span,
            text: Zeroizing::new(String::new()),
        };
        let proof = Proof::Removed { settings, name };
        self.step(vec![edit], &proof, line)
            .map_err(|error| match error {
                CannotRevise::NoForm { .. } => not_alone(),
                other => other,
            })
    }

    /// Makes the first change of several that proves to be right.
    fn step(&mut self, forms: Vec<Edit>, proof: &Proof<'_>, line: u32) -> Result<(), CannotRevise> {
        let mut reads_back = false;
        for form in forms {
            let Ok(after) = edit::apply(&self.text, std::slice::from_ref(&form)) else {
                continue;
            };
            let Ok(reading) = Reading::of(&after, self.syntax) else {
                continue;
            };
            if !proof.reads_back(&reading, self.scope, &after, self.syntax) {
                continue;
            }
            reads_back = true;
            if proof.holds(&self.reading, &reading, self.scope) {
                edit::then(&mut self.edits, &form);
                (self.text, self.reading) = (after, reading);
                return Ok(());
            }
        }
        let name = proof.name().to_owned();
        Err(if reads_back {
            CannotRevise::Shared { name, line }
        } else {
            CannotRevise::NoForm { name }
        })
    }
}
