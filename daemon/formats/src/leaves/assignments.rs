//! `NAME=value`, as shells, `.env` files and their relatives have it: what is set, wherever on a line
//! it is. Nothing is run and nothing is replaced: a value that is computed keeps its `$`.

use std::borrow::Cow;

use super::{Collector, Leaf, Step};
use crate::ini::ParseError;

/// Words behind which further assignments come.
const SETS: [&str; 12] = [
    "export", "env", "declare", "typeset", "local", "readonly", "setenv", "set", "sudo", "exec",
    "nohup", "time",
];

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    for raw in text.split_inclusive('\n') {
        let line = raw.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        words(line, &mut collector)?;
    }
    Ok(collector.leaves)
}

fn words<'a>(line: &'a str, collector: &mut Collector<'a>) -> Result<(), ParseError> {
    let mut rest = line;
    // Whether the present word may be an assignment: none before it was a program's name.
    let mut sets = true;
    // `setenv NAME value` and fish's `set -x NAME value` have no equals sign.
    let mut apart: Option<&str> = None;
    let mut name_of_apart: Option<&str> = None;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return Ok(());
        };
        if first == '#' {
            return Ok(());
        }
        if matches!(first, ';' | '&' | '|' | '(' | ')' | '{' | '}' | '`') {
            rest = &rest[first.len_utf8()..];
            (sets, apart, name_of_apart) = (true, None, None);
            continue;
        }
        let equals = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_.-".contains(c)));
        let key = equals.map_or(rest, |end| &rest[..end]);
        let spaced = spaced_value(rest, key, line);
        if let Some(value) = spaced.or_else(|| rest[key.len()..].strip_prefix('='))
            && is_name(key)
        {
            let (value, span_text, after) = word(value);
            if sets && apart.is_none() {
                let span = collector.span_of(span_text);
                collector.value_at(Step::Name(key.into()), value, span)?;
            }
            rest = after;
            continue;
        }
        let (value, span_text, after) = word(rest);
        // What no word is made of is passed over.
        rest = if after.len() == rest.len() {
            &rest[first.len_utf8()..]
        } else {
            after
        };
        if let Some(name) = name_of_apart.take() {
            let span = collector.span_of(span_text);
            collector.value_at(Step::Name(name.into()), value, span)?;
            (sets, apart) = (false, None);
        } else if apart.is_some() && !span_text.starts_with('-') {
            name_of_apart = Some(span_text).filter(|name| is_name(name));
        } else if sets && SETS.contains(&&*value) {
            apart = Some(span_text).filter(|word| matches!(*word, "setenv" | "set"));
        } else if !span_text.starts_with('-') {
            sets = false;
        }
    }
}

/// `NAME = value` is one in `.env` files; in a shell nobody writes it.
fn spaced_value<'a>(rest: &'a str, key: &str, line: &str) -> Option<&'a str> {
    let begins = rest.len() == line.len();
    let value = rest[key.len()..].trim_start().strip_prefix('=')?;
    (begins && !value.starts_with('=')).then(|| value.trim_start())
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// One word: what it says, the part of the text that says it without its quotes, and what follows.
fn word(text: &str) -> (Cow<'_, str>, &str, &str) {
    let end_of = |inner: &str, quote: char| {
        let mut escaped = false;
        inner.char_indices().find_map(|(at, c)| {
            if escaped {
                escaped = false;
                return None;
            }
            escaped = c == '\\' && quote == '"';
            (c == quote).then_some(at)
        })
    };
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\''))
        && let Some(end) = end_of(&text[1..], quote)
    {
        let (inner, after) = (&text[1..=end], &text[end + 2..]);
        if after.starts_with(|c: char| c.is_whitespace() || ";&|)}".contains(c)) || after.is_empty()
        {
            let value = if quote == '"' {
                unescaped(inner)
            } else {
                inner.into()
            };
            return (value, inner, after);
        }
    }
    // Words of several quoted parts are put together.
    let mut value = String::new();
    let mut plain = true;
    let mut characters = text.char_indices();
    let mut end = text.len();
    let mut quote = None;
    // A closing brace belongs to the `${` before it.
    let mut expansions = 0_u32;
    let mut dollar = false;
    while let Some((at, c)) = characters.next() {
        let begins = dollar && c == '{';
        dollar = c == '$';
        match (quote, c) {
            (None, '{') if begins => {
                expansions += 1;
                value.push(c);
            }
            (None, '}') if expansions > 0 => {
                expansions -= 1;
                value.push(c);
            }
            (None, '"' | '\'') => (quote, plain) = (Some(c), false),
            (Some(open), _) if open == c => quote = None,
            (None | Some('"'), '\\') => {
                plain = false;
                value.extend(characters.next().map(|(_, c)| c));
            }
            (None, _) if c.is_whitespace() || ";&|)}`".contains(c) => {
                end = at;
                break;
            }
            _ => value.push(c),
        }
    }
    let part = &text[..end];
    let value = if plain {
        Cow::Borrowed(part)
    } else {
        Cow::Owned(value)
    };
    (value, part, &text[end..])
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, characters.as_str().chars().next()) {
            ('\\', Some('"' | '\\' | '$' | '`')) => plain.extend(characters.next()),
            _ => plain.push(c),
        }
    }
    Cow::Owned(plain)
}
