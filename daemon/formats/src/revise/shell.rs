//! Variables that a shell script sets to plain words.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    CannotRevise, quoting,
    setting::{Lines, Reading, Setting, Value},
};
use crate::shell::{self, Assignment, Command, Node, Part, Word};

/// Commands that set what stands behind them.
const SETTERS: [&str; 4] = ["export", "readonly", "declare", "typeset"];
/// What may stand before an assignment that has its line to itself.
const PREFIXES: [&str; 6] = [
    "",
    "export",
    "readonly",
    "declare -x",
    "typeset -x",
    "declare -rx",
];

pub(super) fn read(text: &str, reading: &mut Reading) -> Result<(), CannotRevise> {
    let script = shell::parse(text);
    if let Some(line) = script.given_up_at {
        return Err(CannotRevise::Unclear { line });
    }
    let mut walk = Walk {
        text,
        lines: Lines::of(text),
        reading,
        exports_apart: false,
    };
    walk.nodes(&script.nodes, true);
    // A new line beside one that is exported elsewhere would not be exported.
    if walk.exports_apart {
        for setting in &mut reading.settings {
            let before = &text[setting.line.start..setting.name_span.start.max(setting.line.start)];
            setting.alone &= !before.trim().is_empty();
        }
    }
    Ok(())
}

struct Walk<'w> {
    text: &'w str,
    lines: Lines<'w>,
    reading: &'w mut Reading,
    exports_apart: bool,
}

impl Walk<'_> {
    /// `placed`: whether the places are those of the script itself.
    fn nodes(&mut self, nodes: &[Node], placed: bool) {
        for node in nodes {
            match node {
                Node::Command(command) => self.command(command, placed),
                Node::Function { name, body } => {
                    self.reading.rest.push(Zeroizing::new(name.clone()));
                    self.nodes(body, false);
                }
                Node::For {
                    name, words, body, ..
                } => {
                    self.reading.rest.push(Zeroizing::new(name.clone()));
                    for word in words.iter().flatten() {
                        self.reading.rest.push(shown(word));
                    }
                    self.nodes(body, false);
                }
                Node::Subshell(body) => self.nodes(body, false),
            }
        }
    }

    fn command(&mut self, command: &Command, placed: bool) {
        let words = &command.words;
        let is_export = words.first().and_then(Word::literal) == Some("export");
        let names = words.iter().skip(1).filter_map(Word::literal);
        self.exports_apart |= is_export && names.clone().any(|name| !name.starts_with('-'));
        // A line of its own that exports something new changes nothing else.
        let only_sets = words.split_first().is_some_and(|(first, rest)| {
            let flag = |word: &Word| word.literal().is_some_and(|word| word.starts_with('-'));
            first
                .literal()
                .is_some_and(|first| SETTERS.contains(&first))
                && rest.iter().all(flag)
        });
        if !only_sets || command.assignments.is_empty() {
            self.reading.rest.extend(words.iter().map(shown));
        }
        for assignment in &command.assignments {
            let setting = self.assignment(assignment, placed);
            self.reading.settings.push(setting);
        }
    }

    fn assignment(&self, assignment: &Assignment, placed: bool) -> Setting {
        let name = assignment.name.as_str();
        let (literal, written, offset) = match &assignment.value {
            shell::Value::Word(word) => (word.literal(), shown(word), word.offset),
            shell::Value::List(words) => {
                let parts: Vec<_> = words.iter().map(shown).collect();
                let parts: Vec<&str> = parts.iter().map(|part| part.as_str()).collect();
                (None, quoting::joined(&parts), 0)
            }
        };
        let start = offset + name.len() + 1;
        let here = placed
            && !assignment.appends
            && self
                .text
                .get(offset..start)
                .and_then(|t| t.strip_suffix('='))
                == Some(name);
        let Some(value) = literal.filter(|_| here) else {
            // Where it stands is not known, and nothing is changed there.
            let value = Value::Computed(written);
            let mut setting = Setting::new(&self.lines, ("", name), value, 0..0, 0..0, None);
            setting.line_number = assignment.line;
            setting.alone = false;
            return setting;
        };
        let raw = start..word_end(self.text, start);
        let quote = quoting::around(self.text, &raw).filter(|mark| *mark != "`");
        let value = if self.text[raw.clone()].contains('\n') {
            Value::Folded(Zeroizing::new(value.to_owned()))
        } else {
            Value::Literal(Zeroizing::new(value.to_owned()))
        };
        let name_span = offset..offset + name.len();
        let mut setting = Setting::new(&self.lines, ("", name), value, name_span, raw, quote);
        setting.alone = self.is_alone(&setting.line, &setting.token);
        setting
    }

    fn is_alone(&self, line: &Range<usize>, token: &Range<usize>) -> bool {
        let before = self.text[line.start..token.start].trim();
        let behind = &self.text[token.end..line.end];
        let follows = behind.trim();
        let comment = follows.starts_with('#') && behind.starts_with([' ', '\t']);
        let continued = line.start > 0
            && self.text[..line.start]
                .trim_end_matches(['\n', '\r'])
                .ends_with('\\');
        PREFIXES.contains(&before) && (follows.is_empty() || comment) && !continued
    }
}

/// A word for comparing, wherever it stands.
fn shown(word: &Word) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    for part in &word.parts {
        let part = match part {
            Part::Text(part) => format!("text {part}"),
            Part::Home => "home".to_owned(),
            Part::Variable {
                name,
                quoted,
                default,
            } => {
                let default = default.as_ref().map(shown).unwrap_or_default();
                format!("variable {name} {quoted} {}", *default)
            }
            Part::List { name, quoted } => format!("list {name} {quoted}"),
            Part::Unknown(part) => format!("unknown {part}"),
        };
        let part = Zeroizing::new(part);
        text = quoting::joined(&[&text, "\n", &part]);
    }
    text
}

/// Where a word of literal text ends.
fn word_end(text: &str, start: usize) -> usize {
    let mut quote = None;
    let mut characters = text[start..].char_indices();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                characters.next();
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, c) if c.is_whitespace() || ";&|()<>".contains(c) => return start + at,
            _ => {}
        }
    }
    text.len()
}
