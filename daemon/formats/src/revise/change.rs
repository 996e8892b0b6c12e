//! The ways of changing a setting: how a value is written, where a line goes, which bytes leave. Whether
//! one is right is for the proof to say.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    Syntax, ini, quoting,
    setting::{Reading, Setting},
    structured,
};
use crate::edit::Edit;

/// The ways of writing a new value in the place of the present one, the least change first.
pub(super) fn forms(text: &str, syntax: Syntax, setting: &Setting, value: &str) -> Vec<Edit> {
    let mut forms = Vec::new();
    if value.contains(char::is_control) {
        return forms;
    }
    let mut form = |span: &Range<usize>, text: Option<Zeroizing<String>>| {
        forms.extend(text.map(|text| Edit {
            span: span.clone(),
            text,
        }));
    };
    let quotes = quoting::of(syntax);
    // A number or a truth stays one, where another could be a text.
    if quoting::is_typed(&text[setting.raw.clone()]) && quoting::is_typed(value) {
        form(&setting.raw, Some(Zeroizing::new(value.to_owned())));
    }
    match setting.quote.and_then(|quote| quotes.find(quote)) {
        Some(quote) => form(&setting.span, quotes.inside(quote, value)),
        None => form(&setting.raw, quotes.bare(value)),
    }
    if setting.whole {
        let name = &text[setting.name_span.clone()];
        let pair = quoting::pair(name, "=", value);
        form(&setting.token, quotes.bare(&pair));
        for quote in quotes.all() {
            form(&setting.token, quotes.within(quote, &pair));
        }
    } else {
        form(&setting.raw, quotes.bare(value));
        for quote in quotes.all() {
            form(&setting.raw, quotes.within(quote, value));
        }
    }
    forms
}

/// The ways of adding a setting.
pub(super) struct Addition {
    /// Before which setting of the reading.
    pub(super) at: usize,
    /// How many settings the reading has more.
    pub(super) number: usize,
    pub(super) forms: Vec<Edit>,
}

/// How a setting is added beside another one. `None` if it can't stand there.
pub(super) fn addition(
    text: &str,
    syntax: Syntax,
    reading: &Reading,
    at: usize,
    name: &str,
    value: &str,
) -> Option<Addition> {
    if value.contains(char::is_control) {
        return Some(Addition {
            at,
            number: 1,
            forms: Vec::new(),
        });
    }
    if matches!(syntax, Syntax::AwsCredentials | Syntax::AwsConfig) {
        return ini::addition(text, reading, at, name, value);
    }
    match syntax {
        Syntax::Structured(_) | Syntax::S3fsPasswords => None,
        Syntax::Mc => structured::member(text, reading, at, name, value),
        Syntax::Shell | Syntax::Compose if !reading.settings[at].alone => None,
        _ => line_before(text, syntax, reading, at, name, value),
    }
}

/// A line like the one of the setting at a place, and before it.
pub(super) fn line_before(
    text: &str,
    syntax: Syntax,
    reading: &Reading,
    at: usize,
    name: &str,
    value: &str,
) -> Option<Addition> {
    let beside = &reading.settings[at];
    let first = reading
        .settings
        .iter()
        .position(|setting| setting.line == beside.line);
    let quotes = quoting::of(syntax);
    let newline = newline(text, &beside.line);
    let mut words = Vec::new();
    let begins = if beside.whole {
        let pair = quoting::pair(name, "=", value);
        let outer = beside.quote.and_then(|quote| quotes.find(quote));
        words.extend(outer.map(|quote| quotes.within(quote, &pair)));
        words.push(quotes.bare(&pair));
        words.extend(quotes.all().map(|quote| quotes.within(quote, &pair)));
        // Of several on the line, up to the first.
        let first = first.map_or(beside, |first| &reading.settings[first]);
        text[beside.line.start..first.token.start].to_owned()
    } else {
        let outer = beside.quote.and_then(|quote| quotes.find(quote));
        words.extend(outer.map(|quote| quotes.within(quote, value)));
        words.push(quotes.bare(value));
        words.extend(quotes.all().map(|quote| quotes.within(quote, value)));
        let before = &text[beside.line.start..beside.name_span.start];
        let separator = &text[beside.name_span.end..beside.raw.start];
        format!(
            "{before}{name}{}",
            separator_like(separator, beside.raw.is_empty())
        )
    };
    let forms = words.into_iter().flatten().map(|word| {
        let mut line = Zeroizing::new(String::with_capacity(
            begins.len() + word.len() + newline.len(),
        ));
        for part in [begins.as_str(), &word, newline] {
            line.push_str(part);
        }
        Edit {
            span: beside.line.start..beside.line.start,
            text: line,
        }
    });
    Some(Addition {
        at: first.unwrap_or(at),
        number: 1,
        forms: forms.collect(),
    })
}

/// A separator; behind the one of a blank value the blank is missing.
pub(super) fn separator_like(separator: &str, blank_value: bool) -> String {
    if blank_value && separator.starts_with(' ') && !separator.ends_with(' ') {
        format!("{separator} ")
    } else {
        separator.to_owned()
    }
}

/// The line break of a line, or of the file where the line has none.
pub(super) fn newline(text: &str, line: &Range<usize>) -> &'static str {
    let own = &text[line.clone()];
    let first = || text.split_inclusive('\n').next().unwrap_or_default();
    let like = if own.ends_with('\n') { own } else { first() };
    if like.ends_with("\r\n") { "\r\n" } else { "\n" }
}

/// Which settings go, and which bytes, when the one at a place does. `None` if it can't go alone.
pub(super) fn removal(
    text: &str,
    syntax: Syntax,
    reading: &Reading,
    at: usize,
) -> Option<(Range<usize>, Range<usize>)> {
    let setting = &reading.settings[at];
    match syntax {
        Syntax::AwsCredentials | Syntax::AwsConfig => ini::removal(reading, at),
        Syntax::Structured(_) | Syntax::S3fsPasswords => None,
        Syntax::Shell | Syntax::Compose if !setting.alone => None,
        Syntax::Mc => Some((at..at + 1, structured::member_span(text, setting))),
        _ if setting.alone => Some((at..at + 1, setting.line.clone())),
        _ => {
            // With the blanks that part it from what follows, or else from what stands before.
            let behind = &text[setting.token.end..setting.line.end];
            let blanks = behind.len() - behind.trim_start_matches([' ', '\t']).len();
            let last = behind.trim().is_empty();
            let before = &text[setting.line.start..setting.token.start];
            let kept = before.trim_end_matches([' ', '\t']).len();
            let span = if last {
                setting.line.start + kept..setting.token.end
            } else {
                setting.token.start..setting.token.end + blanks
            };
            Some((at..at + 1, span))
        }
    }
}
