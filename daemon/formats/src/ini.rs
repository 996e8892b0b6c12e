//! INI files with the place of every section, key and value, so that a value can be replaced
//! without touching anything else. Each dialect is read as its tools read it
//! (consumers.md 1, 2). It must never re-serialise a file.

mod aws;
mod goconfig;
#[cfg(test)]
mod tests;

use std::{fmt, ops::Range};

/// Whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// rclone's goconfig: `=` or `:`, no inline comments, backticks and `"""` removed, names
    /// case-sensitive, a repeated section merges and the last value wins, no folded values.
    Rclone,
    /// botocore's `configparser`: `=` or `:`, no inline comments, quotes kept, keys
    /// case-insensitive, a repeated section or key rejects the file, indented lines continue.
    Aws,
    /// The AWS SDK for Go and minio-go: as botocore's, but quotes around a value and a comment behind
    /// it are removed, and a repeated section or key is no error: the last one wins.
    GoSdk,
}

/// Why a file cannot be read. It names the line and nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: u32,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Neither a section, a key with a value, nor a comment.
    #[error("neither a section nor a key with a value")]
    Line,
    /// A value before the first section.
    #[error("a value stands outside of any section")]
    NoSection,
    /// A section without a name.
    #[error("a section has no name")]
    BlankSection,
    /// A quote that is opened is not closed.
    #[error("a quote is not closed")]
    Quote,
    /// A section or key for the second time, where the tool rejects that.
    #[error("a section or key stands here for the second time")]
    Duplicate,
    /// It is not what the file's format allows there.
    #[error("not valid there")]
    Syntax,
    /// Values in values, deeper than any tool's configuration.
    #[error("nested too deeply")]
    TooDeep,
    /// More values than any tool's configuration holds.
    #[error("too many values")]
    TooMany,
}

/// A parsed file. Spans are byte ranges of the text it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document<'a> {
    dialect: Dialect,
    sections: Vec<Section<'a>>,
}

/// One `[section]` with its entries, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section<'a> {
    /// The name, without brackets and surrounding blanks.
    pub name: &'a str,
    /// Where the name stands. Empty at 0 for values before the first section.
    pub name_span: Range<usize>,
    /// Counted from 1; 0 for values before the first section.
    pub line: u32,
    /// Its entries, repeated keys included.
    pub entries: Vec<Entry<'a>>,
}

/// One `key = value`.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key as written.
    pub key: &'a str,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// The value as the tool takes it, without the quotes that the dialect removes. Of a value
    /// that continues on further lines this is the first line.
    pub value: &'a str,
    /// Where that value stands; empty behind the separator for a blank one.
    pub value_span: Range<usize>,
    /// Counted from 1.
    pub line: u32,
    /// Indented `key = value` lines under a blank value (`s3 =` in the AWS dialect).
    pub nested: Vec<Entry<'a>>,
    /// Whether further lines belong to the value that are not in `nested`.
    pub folded: bool,
}

/// Values may be secrets.
impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key)
            .field("value_span", &self.value_span)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Document<'_> {
    /// What an empty text is.
    #[must_use]
    pub const fn empty(dialect: Dialect) -> Self {
        Self {
            dialect,
            sections: Vec::new(),
        }
    }
}

impl<'a> Document<'a> {
    /// Reads a text as the dialect's tool does, or says at which line that tool would give up.
    pub fn parse(text: &'a str, dialect: Dialect) -> Result<Self, ParseError> {
        let sections = match dialect {
            Dialect::Rclone => goconfig::parse(text)?,
            Dialect::Aws => aws::parse(text)?,
            Dialect::GoSdk => aws::parse_as_go(text)?,
        };
        Ok(Self { dialect, sections })
    }

    /// Every section in the order of the file; a repeated one appears as often as it stands there.
    #[must_use]
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// Whether there is a section of this name.
    #[must_use]
    pub fn has_section(&self, name: &str) -> bool {
        self.sections.iter().any(|section| section.name == name)
    }

    /// The entry that counts for a key of a section: the last one. For rclone a blank value counts
    /// as unset; for AWS tools a section also has what stands in `[DEFAULT]`.
    #[must_use]
    pub fn entry(&self, section: &str, key: &str) -> Option<&Entry<'a>> {
        match self.dialect {
            Dialect::Rclone => self
                .last(section, |entry| entry.key == key)
                .filter(|entry| !entry.value.is_empty()),
            Dialect::GoSdk => self.last(section, |entry| entry.key.eq_ignore_ascii_case(key)),
            Dialect::Aws => {
                let same = |entry: &Entry<'_>| entry.key.eq_ignore_ascii_case(key);
                let inherited = || {
                    self.last(aws::DEFAULT, same)
                        .filter(|_| self.has_section(section))
                };
                self.last(section, same).or_else(inherited)
            }
        }
    }

    fn last(&self, section: &str, is: impl Fn(&Entry<'a>) -> bool) -> Option<&Entry<'a>> {
        let named = self
            .sections
            .iter()
            .rev()
            .filter(|found| found.name == section);
        named
            .flat_map(|found| found.entries.iter().rev())
            .find(|entry| is(entry))
    }
}

/// A line with its number and its place.
struct Line<'a> {
    number: u32,
    /// Where `text` starts.
    start: usize,
    /// Without the line break and without trailing blanks.
    text: &'a str,
    /// Bytes of leading blanks that were removed from `text`.
    indent: usize,
}

/// Splits a text at `\n`. A byte order mark at the beginning is not part of a line.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mark = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    let mut start = mark;
    text[mark..]
        .split_inclusive('\n')
        .zip(1_u32..)
        .map(move |(raw, number)| {
            let text = raw.trim_start();
            let indent = raw.len() - text.len();
            let line = Line {
                number,
                start: start + indent,
                text: text.trim_end(),
                indent,
            };
            start += raw.len();
            line
        })
}

impl<'a> Line<'a> {
    fn error(&self, kind: ParseErrorKind) -> ParseError {
        ParseError {
            line: self.number,
            kind,
        }
    }

    fn is_blank_or_comment(&self) -> bool {
        self.text.is_empty() || self.text.starts_with(['#', ';'])
    }

    /// A part of the line without surrounding blanks, and where it stands.
    fn part(&self, from: usize, to: usize) -> (&'a str, Range<usize>) {
        let raw = &self.text[from..to];
        let text = raw.trim();
        let start = self.start + from + (raw.len() - raw.trim_start().len());
        (text, start..start + text.len())
    }

    /// Splits `key = value` at a byte position of the separator.
    fn entry(&self, separator: usize) -> Entry<'a> {
        let (key, key_span) = self.part(0, separator);
        let (value, value_span) = self.part(separator + 1, self.text.len());
        Entry {
            key,
            key_span,
            value,
            value_span,
            line: self.number,
            nested: Vec::new(),
            folded: false,
        }
    }
}
