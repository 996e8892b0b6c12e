//! One view of structured files, whatever their format: every single value with its path, its text
//! and its place. It is for looking, and for replacing a value by its place; it must never
//! re-serialise a file.
//!
//! The files are strangers': depth, number and size of what is read are bounded, and nothing here
//! recurses as deep as a file wants (threats.md F2).

mod assignments;
mod braces;
mod duckdb;
mod ini;
mod json;
mod loose;
mod passwords;
mod php;
mod plist;
mod properties;
mod templates;
#[cfg(test)]
mod tests;
mod toml;
mod xml;
mod yaml;

use std::{borrow::Cow, fmt, ops::Range};

use zeroize::Zeroize;

use crate::ini::{ParseError, ParseErrorKind};

pub use ini::IniRules;

/// Deeper than any tool's configuration.
const DEEPEST: usize = 64;
/// More values than any tool's configuration holds.
const MOST_LEAVES: usize = 50_000;
/// All steps of all paths together: what the paths take stays a few megabytes.
const MOST_STEPS: usize = 400_000;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// JSON, with comments, trailing commas and names without quotes.
    Json,
    /// YAML, of one or several documents.
    Yaml,
    /// TOML.
    Toml,
    /// Blocks in braces: HCL (Terraform) and HOCON.
    Braces,
    /// XML. An element is two steps, its name and which of that name it is; an attribute is `@name`.
    Xml,
    /// `<property><name>…</name><value>…</value></property>`, as Hadoop writes it: one step, the name.
    Hadoop,
    /// An XML property list.
    Plist,
    /// Java properties: `=`, `:` or a blank separates.
    Properties,
    /// `NAME=value` and `export NAME=value`, as shells and `.env` files have them.
    Assignments,
    /// PHP arrays.
    Php,
    /// `[bucket:]ID:SECRET`, as s3fs keeps it: a number, then `id`, `secret` and `bucket`.
    S3fsPasswords,
    /// `[section]` and `key = value`.
    Ini(IniRules),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step<'a> {
    /// A name.
    Name(Cow<'a, str>),
    /// A position, counted from 0.
    Index(u32),
}

/// One value of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// From the outside in.
    pub path: Vec<Step<'a>>,
    /// The value as the format means it, quotes and escapes resolved.
    pub value: Cow<'a, str>,
    /// Where the value's text stands, without its quotes. Of a repeated value (an alias) this is
    /// where the original stands.
    pub span: Range<usize>,
    /// Counted from 1.
    pub line: u32,
    /// Which document of the file, counted from 0.
    pub document: u32,
}

impl Leaf<'_> {
    /// The last name of the path.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.path.iter().rev().find_map(|step| match step {
            Step::Name(name) => Some(&**name),
            Step::Index(_) => None,
        })
    }
}

/// Values may be secrets.
impl fmt::Debug for Leaf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("path", &self.path)
            .field("span", &self.span)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Drop for Leaf<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(value) = &mut self.value {
            value.zeroize();
        }
    }
}

/// Every value of a text, in the order of the file; of a path that is there twice, what merges from
/// elsewhere stands first.
///
/// Text with templates in it (`{{ … }}`, `{% … %}`) is read as if they were not there, and what can't
/// be read as its format at all is read line by line if templates are the reason.
pub fn leaves(text: &str, structure: Structure) -> Result<Vec<Leaf<'_>>, ParseError> {
    match read(text, structure) {
        Ok(leaves) => Ok(leaves),
        Err(error) => {
            let Some(masked) = templates::masked(text) else {
                return Err(error);
            };
            let found = read(&masked, structure).or_else(|_| loose::read(&masked))?;
            Ok(found
                .into_iter()
                .filter_map(|leaf| templates::unmasked(&leaf, text))
                .collect())
        }
    }
}

fn read(text: &str, structure: Structure) -> Result<Vec<Leaf<'_>>, ParseError> {
    match structure {
        Structure::Json => json::read(text),
        Structure::Yaml => yaml::read(text),
        Structure::Toml => toml::read(text),
        Structure::Braces => braces::read(text),
        Structure::Xml => xml::read(text),
        Structure::Hadoop => xml::read_properties(text),
        Structure::Plist => plist::read(text),
        Structure::Properties => properties::read(text),
        Structure::Assignments => assignments::read(text),
        Structure::Php => php::read(text),
        Structure::S3fsPasswords => passwords::read(text),
        Structure::Ini(rules) => ini::read(text, rules),
    }
}

/// Whether bytes are a binary property list.
#[must_use]
pub fn is_binary_plist(bytes: &[u8]) -> bool {
    bytes.starts_with(plist::MAGIC)
}

/// Every value of a binary property list. Lines there are none: each leaf says 1. The span is where
/// the value's bytes stand.
pub fn binary_plist(bytes: &[u8]) -> Result<Vec<Leaf<'static>>, ParseError> {
    plist::read_binary(bytes)
}

/// `name`, `key_id`, `secret`, `endpoint` and `region` of a secret that DuckDB stores. Lines there are
/// none: each leaf says 1.
pub fn duckdb_secret(bytes: &[u8]) -> Result<Vec<Leaf<'static>>, ParseError> {
    duckdb::read(bytes)
}

/// Gathers leaves within the bounds.
struct Collector<'a> {
    text: &'a str,
    /// Where each line starts.
    line_starts: Vec<usize>,
    path: Vec<Step<'a>>,
    document: u32,
    leaves: Vec<Leaf<'a>>,
    steps: usize,
}

impl<'a> Collector<'a> {
    fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self {
            text,
            line_starts: std::iter::once(0)
                .chain(breaks.map(|(at, _)| at + 1))
                .collect(),
            path: Vec::new(),
            document: 0,
            leaves: Vec::new(),
            steps: 0,
        }
    }

    /// Which line a byte is on, counted from 1.
    fn line(&self, at: usize) -> u32 {
        let line = self.line_starts.partition_point(|start| *start <= at);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    fn error(&self, at: usize, kind: ParseErrorKind) -> ParseError {
        ParseError {
            line: self.line(at),
            kind,
        }
    }

    /// One step deeper.
    fn enter(&mut self, step: Step<'a>, at: usize) -> Result<(), ParseError> {
        if self.path.len() == DEEPEST {
            return Err(self.error(at, ParseErrorKind::TooDeep));
        }
        self.path.push(step);
        Ok(())
    }

    fn leave(&mut self) {
        self.path.pop();
    }

    /// A value at the present path.
    fn value(&mut self, value: Cow<'a, str>, span: Range<usize>) -> Result<(), ParseError> {
        let leaf = Leaf {
            path: self.path.clone(),
            value,
            line: self.line(span.start),
            span,
            document: self.document,
        };
        self.push(leaf)
    }

    /// A value one step below the present path.
    fn value_at(
        &mut self,
        step: Step<'a>,
        value: Cow<'a, str>,
        span: Range<usize>,
    ) -> Result<(), ParseError> {
        self.enter(step, span.start)?;
        self.value(value, span)?;
        self.leave();
        Ok(())
    }

    fn push(&mut self, leaf: Leaf<'a>) -> Result<(), ParseError> {
        self.steps += leaf.path.len();
        if self.leaves.len() == MOST_LEAVES || self.steps > MOST_STEPS {
            return Err(self.error(leaf.span.start, ParseErrorKind::TooMany));
        }
        self.leaves.push(leaf);
        Ok(())
    }

    /// Where a part of the text stands. The part must be a slice of it.
    fn span_of(&self, part: &str) -> Range<usize> {
        let start = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let start = start.min(self.text.len());
        start..(start + part.len()).min(self.text.len())
    }
}

fn name(text: &str) -> Step<'_> {
    Step::Name(Cow::Borrowed(text))
}

fn error_at(text: &str, at: usize, kind: ParseErrorKind) -> ParseError {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let breaks = before.iter().filter(|byte| **byte == b'\n').count();
    ParseError {
        line: u32::try_from(breaks).map_or(u32::MAX, |breaks| breaks.saturating_add(1)),
        kind,
    }
}
