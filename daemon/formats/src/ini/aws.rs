//! The dialect of botocore, which is Python's `configparser` with one level of nesting, and what the
//! SDK for Go makes of the same files.

use std::collections::HashSet;

use super::{Entry, Line, ParseError, ParseErrorKind, Section, lines};

/// Its values hold for every section, and it may stand more than once.
pub(super) const DEFAULT: &str = "DEFAULT";

pub(super) fn parse(text: &str) -> Result<Vec<Section<'_>>, ParseError> {
    read(text, Repeated::Refused)
}

pub(super) fn parse_as_go(text: &str) -> Result<Vec<Section<'_>>, ParseError> {
    let mut sections = read(text, Repeated::Merged)?;
    for entry in sections.iter_mut().flat_map(|section| &mut section.entries) {
        strip(entry);
        entry.nested.iter_mut().for_each(strip);
    }
    Ok(sections)
}

/// What becomes of a section or key that stands there for the second time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeated {
    Refused,
    Merged,
}

/// Removes a comment behind a value, and the quotes around it.
fn strip(entry: &mut Entry<'_>) {
    let value = entry.value;
    let comment = [" #", " ;", "\t#", "\t;"]
        .iter()
        .filter_map(|mark| value.find(mark))
        .min();
    let value = value[..comment.unwrap_or(value.len())].trim_end();
    let inner = ['"', '\'']
        .iter()
        .find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let start = entry.value_span.start + usize::from(inner.is_some());
    entry.value = inner.unwrap_or(value);
    entry.value_span = start..start + entry.value.len();
}

fn read(text: &str, repeated: Repeated) -> Result<Vec<Section<'_>>, ParseError> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let mut names = HashSet::new();
    let mut keys = HashSet::new();
    let mut indent = 0;
    for line in lines(text) {
        if line.is_blank_or_comment() {
            continue;
        }
        if continues(&line, sections.last_mut(), indent) {
            continue;
        }
        indent = line.indent;
        if let Some(end) = header_end(line.text) {
            let (name, name_span) = (&line.text[1..end], line.start + 1..line.start + end);
            if name != DEFAULT && !names.insert(name) && repeated == Repeated::Refused {
                return Err(line.error(ParseErrorKind::Duplicate));
            }
            sections.push(Section {
                name,
                name_span,
                line: line.number,
                entries: Vec::new(),
            });
            continue;
        }
        let section = sections
            .last_mut()
            .ok_or_else(|| line.error(ParseErrorKind::NoSection))?;
        let separator = match line.text.find(['=', ':']) {
            Some(separator) if separator > 0 => separator,
            _ => return Err(line.error(ParseErrorKind::Line)),
        };
        let entry = line.entry(separator);
        let first = keys.insert((section.name, entry.key.to_lowercase()));
        if !first && repeated == Repeated::Refused {
            return Err(line.error(ParseErrorKind::Duplicate));
        }
        section.entries.push(entry);
    }
    Ok(sections)
}

/// The last `]` closes a section's name; what follows it is ignored.
fn header_end(text: &str) -> Option<usize> {
    if !text.starts_with('[') {
        return None;
    }
    text.rfind(']').filter(|&end| end > 1)
}

/// Adds a line that is indented deeper than the key above it to that key's value.
fn continues<'a>(line: &Line<'a>, section: Option<&mut Section<'a>>, indent: usize) -> bool {
    let Some(entry) = section
        .and_then(|section| section.entries.last_mut())
        .filter(|_| line.indent > indent)
    else {
        return false;
    };
    match line.text.find('=') {
        Some(separator) if entry.value.is_empty() && !entry.folded => {
            entry.nested.push(line.entry(separator));
        }
        _ => entry.folded = true,
    }
    true
}
