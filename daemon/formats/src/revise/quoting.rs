//! How each syntax writes a text: bare, or in quotes. Whether that reads back as the text is proved by
//! whoever uses it, so this may say too much, but never lose a character.

use std::ops::Range;

use zeroize::Zeroizing;

use super::Syntax;
use crate::{environment_file::Dialect, leaves::Structure};

/// A kind of quotes: the mark, and the characters that are written differently within them.
#[derive(Clone, Copy)]
pub(super) struct Quote(&'static str, &'static [(char, &'static str)]);

/// The quotes of a syntax.
#[derive(Clone, Copy)]
pub(super) struct Quotes {
    bare: Bare,
    quotes: &'static [Quote],
}

#[derive(Clone, Copy)]
enum Bare {
    /// Every text, with some characters written differently.
    Any(&'static [(char, &'static str)]),
    /// Only what no shell takes for anything else.
    Plain,
    /// Only what YAML takes for a text, and for nothing else.
    Text,
    Never,
}

const RAW: &[(char, &str)] = &[];
const SHELL: &[(char, &str)] = &[('\\', "\\\\"), ('"', "\\\""), ('$', "\\$"), ('`', "\\`")];
const DOTENV: &[(char, &str)] = &[('\\', "\\\\"), ('"', "\\\""), ('$', "\\$")];
const BACKSLASH: &[(char, &str)] = &[('\\', "\\\\"), ('"', "\\\"")];
const XML: &[(char, &str)] = &[
    ('&', "&amp;"),
    ('<', "&lt;"),
    ('>', "&gt;"),
    ('"', "&quot;"),
];
const UNIT: &[(char, &str)] = &[('\\', "\\\\"), ('"', "\\\""), ('\'', "\\'"), ('%', "%%")];

/// The quotes that a syntax knows, the best first.
pub(super) const fn of(syntax: Syntax) -> Quotes {
    let (bare, quotes): (Bare, &'static [Quote]) = match syntax {
        Syntax::Rclone => (Bare::Any(RAW), &[Quote("`", RAW), Quote("\"\"\"", RAW)]),
        Syntax::S3cfg => (Bare::Any(RAW), &[Quote("\"", RAW)]),
        Syntax::EnvironmentFile(Dialect::Systemd) => (
            Bare::Any(&[('\\', "\\\\")]),
            &[Quote("\"", SHELL), Quote("'", RAW)],
        ),
        Syntax::EnvironmentFile(Dialect::Compose) => {
            (Bare::Any(RAW), &[Quote("\"", DOTENV), Quote("'", RAW)])
        }
        Syntax::Crontab => (Bare::Any(RAW), &[Quote("\"", RAW), Quote("'", RAW)]),
        Syntax::Shell => (Bare::Plain, &[Quote("'", RAW), Quote("\"", SHELL)]),
        Syntax::Unit => (Bare::Any(UNIT), &[Quote("\"", UNIT), Quote("'", UNIT)]),
        Syntax::Compose => (
            Bare::Text,
            &[
                Quote("\"", &[('\\', "\\\\"), ('"', "\\\""), ('$', "$$")]),
                Quote("'", &[('\'', "''"), ('$', "$$")]),
            ],
        ),
        Syntax::Mc => (Bare::Never, &[Quote("\"", BACKSLASH)]),
        Syntax::AwsCredentials
        | Syntax::AwsConfig
        | Syntax::EnvironmentFile(Dialect::Docker)
        | Syntax::S3fsPasswords => (Bare::Any(RAW), &[]),
        Syntax::Structured(structure) => match structure {
            Structure::Json => (Bare::Never, &[Quote("\"", BACKSLASH)]),
            Structure::Braces => (Bare::Never, &[Quote("\"", BACKSLASH)]),
            Structure::Toml => (Bare::Never, &[Quote("\"", BACKSLASH), Quote("'", RAW)]),
            Structure::Php => (
                Bare::Never,
                &[
                    Quote("'", &[('\\', "\\\\"), ('\'', "\\'")]),
                    Quote("\"", DOTENV),
                ],
            ),
            Structure::Yaml => (
                Bare::Text,
                &[Quote("\"", BACKSLASH), Quote("'", &[('\'', "''")])],
            ),
            Structure::Xml | Structure::Hadoop | Structure::Plist => (Bare::Any(XML), &[]),
            Structure::Properties => (Bare::Any(&[('\\', "\\\\")]), &[]),
            Structure::Assignments => (Bare::Plain, &[Quote("\"", SHELL), Quote("'", RAW)]),
            Structure::S3fsPasswords => (Bare::Any(RAW), &[]),
            Structure::Ini(_) => (Bare::Any(RAW), &[Quote("\"", RAW), Quote("'", RAW)]),
        },
    };
    Quotes { bare, quotes }
}

impl Quotes {
    pub(super) fn all(self) -> impl Iterator<Item = Quote> {
        self.quotes.iter().copied()
    }

    pub(super) fn find(self, mark: &str) -> Option<Quote> {
        self.all().find(|quote| quote.0 == mark)
    }

    /// The text without quotes, if that is a way to write it.
    pub(super) fn bare(self, text: &str) -> Option<Zeroizing<String>> {
        match self.bare {
            Bare::Any(escapes) => Some(written(text, escapes)),
            Bare::Text if !is_text(text) => None,
            Bare::Plain | Bare::Text => is_plain(text).then(|| Zeroizing::new(text.to_owned())),
            Bare::Never => None,
        }
    }

    /// What stands within quotes.
    pub(super) fn inside(self, quote: Quote, text: &str) -> Option<Zeroizing<String>> {
        let inside = written(text, quote.1);
        (!quote.1.is_empty() || !text.contains(quote.0)).then_some(inside)
    }

    /// The text in quotes.
    pub(super) fn within(self, quote: Quote, text: &str) -> Option<Zeroizing<String>> {
        let inside = self.inside(quote, text)?;
        Some(joined(&[quote.0, &inside, quote.0]))
    }
}

/// `NAME=value`, not quoted yet.
pub(super) fn pair(name: &str, separator: &str, value: &str) -> Zeroizing<String> {
    joined(&[name, separator, value])
}

pub(super) fn joined(parts: &[&str]) -> Zeroizing<String> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    for part in parts {
        text.push_str(part);
    }
    text
}

/// The quotes that a part of a text is in.
pub(super) fn around(text: &str, raw: &Range<usize>) -> Option<&'static str> {
    let raw = text.get(raw.clone())?;
    ["\"", "'", "`"]
        .into_iter()
        .find(|mark| raw.len() >= 2 && raw.starts_with(*mark) && raw.ends_with(*mark))
}

/// Whether a bare word is a truth, a number or nothing, where a format tells these from texts.
pub(super) fn is_typed(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    let named = [
        "true", "false", "yes", "no", "on", "off", "y", "n", "null", "~",
    ];
    named.contains(&word.as_str()) || word.parse::<f64>().is_ok()
}

fn is_text(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    begins && !text.ends_with(':') && !is_typed(text)
}

fn is_plain(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/+_.:=@,%^-".contains(c);
    !text.is_empty() && text.chars().all(fits)
}

fn written(text: &str, escapes: &[(char, &str)]) -> Zeroizing<String> {
    // As long as if every character were the longest escape, so that it never grows.
    let mut written = Zeroizing::new(String::with_capacity(6 * text.len()));
    for c in text.chars() {
        match escapes.iter().find(|(escaped, _)| *escaped == c) {
            Some((_, escape)) => written.push_str(escape),
            None => written.push(c),
        }
    }
    written
}
