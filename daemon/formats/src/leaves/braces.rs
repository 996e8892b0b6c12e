//! Blocks in braces, as HCL (Terraform) and HOCON have them: `name "label" { … }`, `name = value`,
//! `name: value`, lists. Expressions are kept as their text. It is our own reader, since one of the
//! whole language recurses as deep as an expression wants and gives up on a template.

use std::borrow::Cow;

use super::{Collector, Leaf, Step};
use crate::ini::{ParseError, ParseErrorKind};

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut reader = Reader {
        text,
        at: 0,
        collector: Collector::new(text),
        open: Vec::new(),
        names: Vec::new(),
    };
    reader.run()?;
    Ok(reader.collector.leaves)
}

/// A block or a list whose values are being read.
struct Open {
    steps: usize,
    next: Option<u32>,
    closes: char,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    collector: Collector<'a>,
    open: Vec<Open>,
    /// Names and labels that were read before a block or a value.
    names: Vec<Cow<'a, str>>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn run(&mut self) -> Result<(), ParseError> {
        while let Some(c) = self.rest().chars().next() {
            match c {
                '\n' | ',' => {
                    self.at += 1;
                    self.names.clear();
                }
                _ if c.is_whitespace() => self.at += c.len_utf8(),
                '#' => self.skip_line(),
                '/' if self.rest().starts_with("//") => self.skip_line(),
                '/' if self.rest().starts_with("/*") => {
                    let end = self
                        .rest()
                        .find("*/")
                        .map_or(self.rest().len(), |end| end + 2);
                    self.at += end;
                }
                '{' => self.enter('}', None)?,
                '}' | ']' => {
                    self.at += 1;
                    self.close(c);
                }
                '[' if self.in_list() => self.enter(']', Some(0))?,
                '=' | ':' => {
                    self.at += 1;
                    // `+=` and `=>` are HOCON's and HCL's.
                    self.at += usize::from(self.rest().starts_with(['=', '>']));
                    self.value()?;
                }
                '"' => {
                    let from = self.at;
                    let (text, span) = self.string();
                    if self.in_list() {
                        self.item(text, span)?;
                    } else {
                        self.names.push(text);
                    }
                    debug_assert!(self.at > from, "a string moves on");
                }
                _ if self.in_list() => {
                    let (text, span) = self.bare();
                    if span.is_empty() {
                        self.at += c.len_utf8();
                    } else {
                        self.item(text.into(), span)?;
                    }
                }
                _ => {
                    let end = self
                        .rest()
                        .find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)))
                        .unwrap_or(self.rest().len());
                    if end == 0 {
                        self.at += c.len_utf8();
                    } else {
                        let word = &self.rest()[..end];
                        self.at += end;
                        self.names.push(word.into());
                    }
                }
            }
        }
        match self.open.is_empty() {
            true => Ok(()),
            false => Err(self.collector.error(self.at, ParseErrorKind::Syntax)),
        }
    }

    fn in_list(&self) -> bool {
        self.open.last().is_some_and(|open| open.next.is_some())
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    /// Opens a block or a list under the names that stand before it.
    fn enter(&mut self, closes: char, next: Option<u32>) -> Result<(), ParseError> {
        let steps = self.collector.path.len();
        self.step_in()?;
        self.at += 1;
        self.open.push(Open {
            steps,
            next,
            closes,
        });
        Ok(())
    }

    /// The steps of the present names, or of the present item of a list.
    fn step_in(&mut self) -> Result<(), ParseError> {
        if let Some(next) = self.open.last_mut().and_then(|open| open.next.as_mut()) {
            let step = Step::Index(*next);
            *next += 1;
            self.names.clear();
            return self.collector.enter(step, self.at);
        }
        for name in std::mem::take(&mut self.names) {
            self.collector.enter(Step::Name(name), self.at)?;
        }
        // A block without a name still is a step, so that depth is counted.
        if self.collector.path.len() < self.open.len() {
            self.collector.enter(Step::Index(0), self.at)?;
        }
        Ok(())
    }

    fn close(&mut self, closes: char) {
        self.names.clear();
        if self.open.last().is_some_and(|open| open.closes == closes)
            && let Some(open) = self.open.pop()
        {
            self.collector.path.truncate(open.steps);
        }
    }

    fn item(&mut self, text: Cow<'a, str>, span: std::ops::Range<usize>) -> Result<(), ParseError> {
        let steps = self.collector.path.len();
        self.step_in()?;
        self.collector.value(text, span)?;
        self.collector.path.truncate(steps);
        Ok(())
    }

    /// What stands behind `=` or `:`.
    fn value(&mut self) -> Result<(), ParseError> {
        let blanks = self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
        self.at += blanks;
        match self.rest().chars().next() {
            Some('{') => self.enter('}', None),
            Some('[') => self.enter(']', Some(0)),
            Some('"') => {
                let (text, span) = self.string();
                self.item(text, span)
            }
            _ => {
                let (text, span) = self.bare();
                if span.is_empty() {
                    return Ok(());
                }
                self.item(text.into(), span)
            }
        }
    }

    /// An expression's text, up to the end of the line or what ends a value.
    fn bare(&mut self) -> (&'a str, std::ops::Range<usize>) {
        let rest = self.rest();
        let end = rest.find(['\n', ',', '}', ']', '#']).unwrap_or(rest.len());
        let text = rest[..end].trim();
        let span = self.collector.span_of(text);
        self.at += end;
        (text, span)
    }

    /// A quoted string, or three quotes' worth of one.
    fn string(&mut self) -> (Cow<'a, str>, std::ops::Range<usize>) {
        let rest = self.rest();
        if let Some(long) = rest.strip_prefix("\"\"\"") {
            let end = long.find("\"\"\"").unwrap_or(long.len());
            let inner = &long[..end];
            self.at += (3 + end + 3).min(rest.len());
            return (inner.into(), self.collector.span_of(inner));
        }
        let inner = &rest[1..];
        let mut end = inner.len();
        let mut plain = None::<String>;
        let mut characters = inner.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' | '\n' => {
                    end = at;
                    break;
                }
                '\\' => {
                    let text = plain.get_or_insert_with(|| inner[..at].to_owned());
                    match characters.next() {
                        Some((_, 'n')) => text.push('\n'),
                        Some((_, 't')) => text.push('\t'),
                        Some((_, other)) => text.push(other),
                        None => {}
                    }
                }
                _ => {
                    if let Some(text) = &mut plain {
                        text.push(c);
                    }
                }
            }
        }
        let closed = inner[end..].starts_with('"');
        self.at += 1 + end + usize::from(closed);
        let raw = &inner[..end];
        let span = self.collector.span_of(raw);
        (plain.map_or(Cow::Borrowed(raw), Cow::Owned), span)
    }
}
