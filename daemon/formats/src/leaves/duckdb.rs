//! DuckDB's stored secrets: its binary serialisation, of which only the strings are read. Each has a
//! field's mark and its length before it; a name's value is the string behind it.

use std::borrow::Cow;

use super::{Collector, Leaf, name};
use crate::ini::ParseError;

/// What stands before a string's length.
const FIELD: &[u8] = &[0x66, 0x00];
const NAMES: [&str; 4] = ["key_id", "secret", "endpoint", "region"];

pub(super) fn read(bytes: &[u8]) -> Result<Vec<Leaf<'static>>, ParseError> {
    let mut collector = Collector::new("");
    let mut awaited: Option<&'static str> = None;
    let mut known = Vec::new();
    let mut at = 0;
    while let Some((text, from)) = string(bytes, at) {
        at = from + text.len();
        let Ok(text) = std::str::from_utf8(text) else {
            awaited = None;
            continue;
        };
        let value = || Cow::Owned(text.to_owned());
        let span = from..from + text.len();
        if let Some(awaited) = awaited.take() {
            known.push(awaited);
            collector.value_at(name(awaited), value(), span)?;
        } else if let Some(found) = NAMES.iter().find(|found| **found == text) {
            // The names stand there once more at the end, without values.
            awaited = Some(*found).filter(|found| !known.contains(found));
        } else if known.is_empty() && collector.leaves.is_empty() {
            collector.value_at(name("name"), value(), span)?;
        }
    }
    Ok(collector.leaves)
}

/// The next string from a place on, and where it begins.
fn string(bytes: &[u8], from: usize) -> Option<(&[u8], usize)> {
    let mut at = from;
    loop {
        let mark = bytes
            .get(at..)?
            .windows(FIELD.len())
            .position(|two| two == FIELD)?;
        let length_at = at + mark + FIELD.len();
        let length = usize::from(*bytes.get(length_at)?);
        let begins = length_at + 1;
        let text = bytes.get(begins..begins + length);
        match text {
            Some(text) if length < 128 && text.iter().all(u8::is_ascii_graphic) => {
                return Some((text, begins));
            }
            _ => at += mark + 1,
        }
    }
}
