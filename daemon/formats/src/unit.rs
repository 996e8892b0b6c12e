//! systemd's unit files with the line of every value, read as systemd reads them: what it ignores is
//! left out. The parts of a value (words, assignments, specifiers) are in the modules below.

pub mod exec;
pub mod name;
pub mod specifier;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, ops::Range};

/// A value with more continuation lines was made by nobody.
const LONGEST_VALUE: usize = 1 << 20;

/// Every `key = value` in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile<'a> {
    /// Repeated keys included.
    pub settings: Vec<Setting<'a>>,
}

/// One `key = value`.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting<'a> {
    /// The section, without brackets.
    pub section: &'a str,
    /// The key as written; systemd tells capitals apart.
    pub key: &'a str,
    /// The value, its continuation lines joined by blanks. Empty: resets a list.
    pub value: Cow<'a, str>,
    /// From the value's first byte to its last, continuations included.
    pub span: Range<usize>,
    /// Where in `value` each line of the file begins, and its number.
    starts: Vec<(usize, u32)>,
}

/// Values may be secrets.
impl fmt::Debug for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting")
            .field("section", &self.section)
            .field("key", &self.key)
            .field("line", &self.line())
            .finish_non_exhaustive()
    }
}

impl Setting<'_> {
    /// The line that the value begins on, counted from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line_of(0)
    }

    /// The line that a byte of `value` stands on.
    #[must_use]
    pub fn line_of(&self, offset: usize) -> u32 {
        let after = self.starts.partition_point(|(start, _)| *start <= offset);
        self.starts
            .get(after.saturating_sub(1))
            .map_or(0, |(_, line)| *line)
    }
}

impl<'a> UnitFile<'a> {
    /// Reads a text. Lines that systemd ignores with a warning are left out.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let mut settings = Vec::new();
        let mut section = None;
        let mut lines = lines(text).filter(|line| !is_comment(line.text));
        while let Some(line) = lines.next() {
            let trimmed = line.text.trim();
            if let Some(name) = trimmed.strip_prefix('[') {
                section = name.strip_suffix(']');
                continue;
            }
            let mut open = continues(line.text);
            let own = if open {
                &line.text[..line.text.len() - 1]
            } else {
                line.text
            };
            let split = own.find('=');
            let at = split.map_or(own.len(), |at| at + 1);
            let indent = own[at..].len() - own[at..].trim_start().len();
            let start = line.start + at + indent;
            let mut value = Cow::Borrowed(&own[at + indent..]);
            let mut end = line.start + own.len();
            let mut starts = vec![(0, line.number)];
            while open {
                let Some(next) = lines.next() else { break };
                open = continues(next.text);
                let more = if open {
                    &next.text[..next.text.len() - 1]
                } else {
                    next.text
                };
                let value = value.to_mut();
                if value.len() + more.len() < LONGEST_VALUE {
                    value.push(' ');
                    starts.push((value.len(), next.number));
                    value.push_str(more);
                }
                end = next.start + more.len();
            }
            let (Some(split), Some(section)) = (split, section) else {
                continue;
            };
            let value = match value {
                Cow::Borrowed(value) => Cow::Borrowed(value.trim_end()),
                Cow::Owned(mut value) => {
                    value.truncate(value.trim_end().len());
                    Cow::Owned(value)
                }
            };
            settings.push(Setting {
                section,
                key: own[..split].trim(),
                value,
                span: start.min(end)..end,
                starts,
            });
        }
        Self { settings }
    }
}

struct Line<'a> {
    number: u32,
    start: usize,
    text: &'a str,
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut start = mark;
    text[mark..]
        .split_inclusive('\n')
        .zip(1_u32..)
        .map(move |(raw, number)| {
            let line = Line {
                number,
                start,
                text: raw.trim_end_matches(['\n', '\r']),
            };
            start += raw.len();
            line
        })
}

pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with(['#', ';'])
}

/// Whether a line ends with a backslash that no other one escapes.
pub(crate) fn continues(line: &str) -> bool {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    backslashes % 2 == 1
}
