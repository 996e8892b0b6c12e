//! PHP arrays, as Nextcloud's `config.php` holds them: `'name' => value` in `array(…)` and `[…]`.

use std::borrow::Cow;

use super::{Collector, Leaf, Step};
use crate::ini::{ParseError, ParseErrorKind};

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    let mut open: Vec<Open> = Vec::new();
    // The string that was read last, until what follows says what it is.
    let mut last: Option<(Cow<'_, str>, std::ops::Range<usize>)> = None;
    let mut name: Option<Cow<'_, str>> = None;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        match c {
            '#' => at += line_end(rest),
            '/' if rest.starts_with("//") => at += line_end(rest),
            '/' if rest.starts_with("/*") => {
                at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            }
            '\'' | '"' => {
                let (value, raw, length) = string(rest, c);
                last = Some((value, collector.span_of(raw)));
                at += length;
            }
            '=' if rest.starts_with("=>") => {
                name = last.take().map(|(value, _)| value);
                at += 2;
            }
            '(' | '[' => {
                last = None;
                let steps = collector.path.len();
                if !open.is_empty() || name.is_some() {
                    let step = step(name.take(), open.last_mut());
                    collector.enter(step, at)?;
                }
                if open.len() == super::DEEPEST {
                    return Err(collector.error(at, ParseErrorKind::TooDeep));
                }
                open.push(Open { steps, next: 0 });
                at += 1;
            }
            ')' | ']' | ',' | ';' => {
                if let Some((value, span)) = last.take()
                    && !open.is_empty()
                {
                    let step = step(name.take(), open.last_mut());
                    collector.value_at(step, value, span)?;
                }
                name = None;
                if matches!(c, ')' | ']')
                    && let Some(closed) = open.pop()
                {
                    collector.path.truncate(closed.steps);
                }
                at += 1;
            }
            _ if c.is_ascii_alphanumeric() => {
                let end = rest
                    .find(|c: char| !(c.is_ascii_alphanumeric() || "_.\\".contains(c)))
                    .unwrap_or(rest.len());
                let word = &rest[..end];
                if word != "array" {
                    last = Some((word.into(), collector.span_of(word)));
                }
                at += end;
            }
            _ => at += c.len_utf8(),
        }
    }
    Ok(collector.leaves)
}

struct Open {
    steps: usize,
    next: u32,
}

fn step<'a>(name: Option<Cow<'a, str>>, open: Option<&mut Open>) -> Step<'a> {
    match (name, open) {
        (Some(name), _) => Step::Name(name),
        (None, Some(open)) => {
            open.next += 1;
            Step::Index(open.next - 1)
        }
        (None, None) => Step::Index(0),
    }
}

fn line_end(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// What a string says, its text without quotes, and how long it is with them.
fn string(text: &str, quote: char) -> (Cow<'_, str>, &str, usize) {
    let inner = &text[1..];
    let mut plain = None::<String>;
    let mut characters = inner.char_indices();
    while let Some((at, c)) = characters.next() {
        if c == quote {
            let raw = &inner[..at];
            return (plain.map_or(Cow::Borrowed(raw), Cow::Owned), raw, at + 2);
        }
        if c == '\\' {
            let said = plain.get_or_insert_with(|| inner[..at].to_owned());
            match characters.next() {
                Some((_, next)) if next == quote || next == '\\' => said.push(next),
                Some((_, next)) => said.extend(['\\', next]),
                None => {}
            }
        } else if let Some(said) = &mut plain {
            said.push(c);
        }
    }
    (Cow::Borrowed(inner), inner, text.len())
}
