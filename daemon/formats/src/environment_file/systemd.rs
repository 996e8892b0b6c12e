//! `EnvironmentFile=`: the same states as systemd's own reader has.

use zeroize::Zeroizing;

use super::{Assignment, MOST};
use crate::unit::exec::is_variable;

const BLANKS: [char; 2] = [' ', '\t'];

enum State {
    BeforeName,
    Name,
    BeforeValue,
    Value,
    Escaped,
    Single,
    Double,
    DoubleEscaped,
    Comment,
}

pub(super) fn parse(text: &str) -> Vec<Assignment> {
    let mut reader = Reader {
        found: Vec::new(),
        name: String::new(),
        value: Zeroizing::new(String::with_capacity(text.len())),
        offset: 0,
        line: 1,
        text,
        value_at: 0,
    };
    let mut state = State::BeforeName;
    // Where blanks begin that count only if something follows.
    let mut blank_from = None;
    let mut line = 1;
    for (at, c) in text.char_indices() {
        let ends = matches!(c, '\n' | '\r');
        let blank = matches!(c, ' ' | '\t');
        state = match state {
            State::BeforeName if matches!(c, '#' | ';') => State::Comment,
            State::BeforeName if blank || ends || c == '\u{feff}' => State::BeforeName,
            State::BeforeName => {
                (reader.offset, reader.line) = (at, line);
                reader.name.push(c);
                State::Name
            }
            State::Name if ends => {
                reader.name.clear();
                State::BeforeName
            }
            State::Name if c == '=' => {
                reader.value_at = at + 1;
                blank_from = None;
                State::BeforeValue
            }
            State::Name => {
                reader.name.push(c);
                State::Name
            }
            State::BeforeValue | State::Value if ends => {
                reader.end(blank_from.take(), at);
                State::BeforeName
            }
            State::BeforeValue if c == '\'' => State::Single,
            State::BeforeValue if c == '"' => State::Double,
            State::BeforeValue if blank => State::BeforeValue,
            State::BeforeValue | State::Value if c == '\\' => {
                blank_from = None;
                State::Escaped
            }
            State::BeforeValue | State::Value => {
                if blank {
                    blank_from.get_or_insert(reader.value.len());
                } else {
                    blank_from = None;
                }
                reader.value.push(c);
                State::Value
            }
            State::Escaped => {
                if !ends {
                    reader.value.push(c);
                }
                State::Value
            }
            State::Single if c == '\'' => State::BeforeValue,
            State::Single => {
                reader.value.push(c);
                State::Single
            }
            State::Double if c == '"' => State::BeforeValue,
            State::Double if c == '\\' => State::DoubleEscaped,
            State::Double => {
                reader.value.push(c);
                State::Double
            }
            State::DoubleEscaped => {
                if !"\"\\`$\n".contains(c) {
                    reader.value.push('\\');
                }
                if c != '\n' {
                    reader.value.push(c);
                }
                State::Double
            }
            State::Comment if ends => State::BeforeName,
            State::Comment => State::Comment,
        };
        if c == '\n' {
            line += 1;
        }
    }
    if !matches!(state, State::BeforeName | State::Name | State::Comment) {
        reader.end(blank_from, text.len());
    }
    reader.found
}

struct Reader<'t> {
    text: &'t str,
    value_at: usize,
    found: Vec<Assignment>,
    name: String,
    value: Zeroizing<String>,
    offset: usize,
    line: u32,
}

impl Reader<'_> {
    fn end(&mut self, blank_from: Option<usize>, end: usize) {
        if let Some(from) = blank_from {
            self.value.truncate(from);
        }
        let name = self.name.trim_end().to_owned();
        let written = &self.text[self.value_at..end];
        let start = self.value_at + written.len() - written.trim_start_matches(BLANKS).len();
        let span = start..start.max(self.value_at + written.trim_end_matches(BLANKS).len());
        if is_variable(&name) && self.found.len() < MOST {
            self.found.push(Assignment {
                name,
                value: Zeroizing::new(self.value.as_str().to_owned()),
                offset: self.offset,
                span,
                line: self.line,
            });
        }
        self.name.clear();
        self.value.clear();
    }
}
