//! Small patterns over the paths of leaves, such as `aliases.*.accessKey`: what their wildcards stand
//! for binds several leaves into one entry.

use std::{borrow::Cow, fmt, str::FromStr};

use crate::leaves::{Leaf, Step};

/// More parts than any table's pattern needs; matching tries at most a few ways.
const MOST_PARTS: usize = 16;

/// A pattern. Its parts stand between dots:
///
/// - `name`, `'a name with dots'`, `one|other`: this name;
/// - `before*after`: such a name; what the star stands for is bound;
/// - `*`: any name or number, bound;
/// - `#`: any name or number, not bound;
/// - `**`: any number of steps, bound together. At most one.
///
/// `…=NAME` at the end takes a value of the form `NAME=value`, and of it what stands behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
    assigned: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// One of these; a pair is what stands before and behind a star.
    Names(Vec<Name>),
    Any {
        binds: bool,
    },
    Deep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Exact(String),
    Around(String, String),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// No part, or one without a name.
    #[error("a part has no name")]
    Blank,
    /// More than one `**`.
    #[error("** may stand there once")]
    SecondDeep,
    /// More parts than there may be.
    #[error("it has more than {MOST_PARTS} parts")]
    TooLong,
}

/// A leaf that fits.
#[derive(Clone, PartialEq, Eq)]
pub struct Match<'l> {
    /// What the wildcards stand for, in their order.
    pub bound: Vec<Cow<'l, str>>,
    /// The value, or of an assignment what is assigned.
    pub value: &'l str,
    /// Where that value begins within the leaf's.
    pub from: usize,
}

/// Values may be secrets.
impl fmt::Debug for Match<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Match")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        let mut assigned = None;
        let mut rest = text;
        while !rest.is_empty() {
            let (part, after) = if let Some(quoted) = rest.strip_prefix('\'') {
                let (name, after) = quoted.split_once('\'').ok_or(PatternError::Blank)?;
                (Part::Names(vec![Name::Exact(name.to_owned())]), after)
            } else {
                let end = rest.find(['.', '=']).unwrap_or(rest.len());
                (part(&rest[..end])?, &rest[end..])
            };
            let second = part == Part::Deep && parts.contains(&Part::Deep);
            if second {
                return Err(PatternError::SecondDeep);
            }
            parts.push(part);
            rest = match after.strip_prefix('.') {
                Some("") => return Err(PatternError::Blank),
                Some(after) => after,
                None => {
                    assigned = match after.strip_prefix('=') {
                        Some("") => return Err(PatternError::Blank),
                        Some(name) => Some(name.to_owned()),
                        None if after.is_empty() => None,
                        None => return Err(PatternError::Blank),
                    };
                    ""
                }
            };
        }
        match parts.len() {
            0 => Err(PatternError::Blank),
            1..=MOST_PARTS => Ok(Self { parts, assigned }),
            _ => Err(PatternError::TooLong),
        }
    }
}

fn part(text: &str) -> Result<Part, PatternError> {
    match text {
        "" => return Err(PatternError::Blank),
        "*" => return Ok(Part::Any { binds: true }),
        "#" => return Ok(Part::Any { binds: false }),
        "**" => return Ok(Part::Deep),
        _ => {}
    }
    let names = text.split('|').map(|name| match name.split_once('*') {
        _ if name.is_empty() => Err(PatternError::Blank),
        Some((before, after)) => Ok(Name::Around(before.to_owned(), after.to_owned())),
        None => Ok(Name::Exact(name.to_owned())),
    });
    Ok(Part::Names(names.collect::<Result<_, _>>()?))
}

impl Pattern {
    /// The leaf's value and what the wildcards stand for, if the pattern fits it.
    #[must_use]
    pub fn of<'l>(&self, leaf: &'l Leaf<'_>) -> Option<Match<'l>> {
        let bound = self.bound(&leaf.path)?;
        let value = &*leaf.value;
        let from = match &self.assigned {
            None => 0,
            Some(name) => {
                let (set, _) = value.split_once('=')?;
                (set.trim() == name).then_some(set.len() + 1)?
            }
        };
        Some(Match {
            bound,
            value: &value[from..],
            from,
        })
    }

    fn bound<'l>(&self, path: &'l [Step<'_>]) -> Option<Vec<Cow<'l, str>>> {
        let mut bound = Vec::new();
        let deep = self.parts.iter().position(|part| *part == Part::Deep);
        let Some(deep) = deep else {
            return each(&self.parts, path, &mut bound).then_some(bound);
        };
        let (before, after) = (&self.parts[..deep], &self.parts[deep + 1..]);
        let middle = path.len().checked_sub(before.len() + after.len())?;
        let (first, rest) = path.split_at(before.len());
        let (within, last) = rest.split_at(middle);
        if !each(before, first, &mut bound) {
            return None;
        }
        let within: Vec<_> = within.iter().map(text_of).collect();
        bound.push(Cow::Owned(within.join("/")));
        each(after, last, &mut bound).then_some(bound)
    }
}

/// Whether parts and steps fit one another, one by one.
fn each<'l>(parts: &[Part], path: &'l [Step<'_>], bound: &mut Vec<Cow<'l, str>>) -> bool {
    parts.len() == path.len()
        && parts.iter().zip(path).all(|(part, step)| match part {
            Part::Any { binds } => {
                if *binds {
                    bound.push(text_of(step));
                }
                true
            }
            Part::Names(names) => {
                let Step::Name(text) = step else { return false };
                names.iter().any(|name| match name {
                    Name::Exact(name) => text == name,
                    Name::Around(before, after) => {
                        let inner = text
                            .strip_prefix(before.as_str())
                            .and_then(|rest| rest.strip_suffix(after.as_str()));
                        if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
                            bound.push(Cow::Borrowed(inner));
                            return true;
                        }
                        false
                    }
                })
            }
            Part::Deep => false,
        })
}

fn text_of<'l>(step: &'l Step<'_>) -> Cow<'l, str> {
    match step {
        Step::Name(name) => Cow::Borrowed(name),
        Step::Index(index) => Cow::Owned(index.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf<'a>(path: &'a str, value: &'a str) -> Leaf<'a> {
        let step = |text: &'a str| match text.parse() {
            Ok(index) => Step::Index(index),
            Err(_) => Step::Name(text.into()),
        };
        Leaf {
            path: path.split('/').map(step).collect(),
            value: value.into(),
            span: 0..0,
            line: 1,
            document: 0,
        }
    }

    #[test]
    fn wildcards_bind_what_they_stand_for() {
        for (pattern, path, value, expected) in [
            (
                "aliases.*.accessKey",
                "aliases/r2/accessKey",
                "K",
                Some((&["r2"][..], "K")),
            ),
            ("aliases.*.accessKey", "aliases/r2/secretKey", "K", None),
            (
                "repos.*.env.#=AWS_ID",
                "repos/1/env/7",
                "AWS_ID=K",
                Some((&["1"], "K")),
            ),
            ("repos.*.env.#=AWS_ID", "repos/1/env/7", "AWS_IDS=K", None),
            ("A_*_ID", "A_B_C_ID", "K", Some((&["B_C"], "K"))),
            ("A_*_ID", "A__ID", "K", None),
            ("x.**.User", "x/a/0/b/User", "K", Some((&["a/0/b"], "K"))),
            ("x.**.User", "x/User", "K", Some((&[""], "K"))),
            ("x.**.User", "User", "K", None),
            ("'fs.key'", "fs.key", "K", Some((&[], "K"))),
            ("a|b.c", "b/c", "K", Some((&[], "K"))),
        ] {
            let leaf = leaf(path, value);
            let found = pattern.parse::<Pattern>().unwrap().of(&leaf);
            let found = found.map(|found| {
                let bound: Vec<_> = found.bound.iter().map(ToString::to_string).collect();
                (bound, found.value.to_owned())
            });
            let expected = expected.map(|(bound, value)| {
                let bound = bound.iter().map(ToString::to_string).collect::<Vec<_>>();
                (bound, value.to_owned())
            });
            assert_eq!(found, expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for wrong in ["", "a.", "a..b", ".a", "a|", "'a", "a=", "**.x.**", "'a'b"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
