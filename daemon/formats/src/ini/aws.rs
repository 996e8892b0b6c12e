//! The dialect of botocore, which is Python's `configparser` with one level of nesting.

use std::collections::HashSet;

use super::{Line, ParseError, ParseErrorKind, Section, lines};

/// Its values hold for every section, and it may stand more than once.
pub(super) const DEFAULT: &str = "DEFAULT";

pub(super) fn parse(text: &str) -> Result<Vec<Section<'_>>, ParseError> {
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
            if name != DEFAULT && !names.insert(name) {
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
        if !keys.insert((section.name, entry.key.to_lowercase())) {
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
