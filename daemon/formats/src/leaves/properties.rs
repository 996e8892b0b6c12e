//! Java properties.

use std::borrow::Cow;

use super::{Collector, Leaf, Step};
use crate::ini::ParseError;

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    let mut lines = text.split_inclusive('\n');
    while let Some(raw) = lines.next() {
        let line = raw.trim();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let end = separator(line);
        let key = unescaped(&line[..end]);
        let rest = line[end..].trim_start();
        let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
        let mut span = collector.span_of(value);
        let mut value = Cow::Borrowed(value);
        while continues(&value) {
            let Some(next) = lines.next() else { break };
            value.to_mut().pop();
            value.to_mut().push_str(next.trim());
            span.end = collector.span_of(next.trim_end()).end;
        }
        let value = match value {
            Cow::Borrowed(value) => unescaped(value),
            Cow::Owned(value) => Cow::Owned(unescaped(&value).into_owned()),
        };
        collector.value_at(Step::Name(key), value, span)?;
    }
    Ok(collector.leaves)
}

/// Whether the next line belongs to the value too.
fn continues(value: &str) -> bool {
    value
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'\\')
        .count()
        % 2
        == 1
}

/// Where the key ends.
fn separator(line: &str) -> usize {
    let mut escaped = false;
    for (at, character) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if matches!(character, '=' | ':') || character.is_whitespace() {
            return at;
        }
    }
    line.len()
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits = characters.as_str().get(..4).unwrap_or_default();
                let code = u32::from_str_radix(digits, 16)
                    .ok()
                    .and_then(char::from_u32);
                if let Some(code) = code {
                    plain.push(code);
                    characters = characters.as_str()[4..].chars();
                }
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Cow::Owned(plain)
}
