//! A shell's state while a script is followed: its variables, and what words come to with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
};

use bascule_formats::shell::{Assignment, Node, Part, Value, Word};
use zeroize::Zeroizing;

use super::assign;
use crate::{environment::Environment, found::Place};

/// Bytes of a variable, and of all that a script sets: they can be made to double with each line.
const LONGEST_VALUE: usize = 64 << 10;
const MOST_BYTES: usize = 1 << 20;
/// Words of a command.
const MOST_WORDS: usize = 10_000;

/// Where a text comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// A script's file.
    File(PathBuf),
    /// An argument, or a line of another file.
    Text(Option<Place>),
}

/// A shell's state while a text is followed.
#[derive(Clone)]
pub(super) struct Shell {
    pub(super) environment: Environment,
    /// What is not exported.
    pub(super) own: BTreeMap<String, (Zeroizing<String>, Option<Place>)>,
    pub(super) lists: BTreeMap<String, Vec<String>>,
    /// Variables whose values only a run would tell.
    pub(super) unknown: BTreeSet<String>,
    pub(super) functions: BTreeMap<String, Rc<Vec<Node>>>,
    pub(super) called: BTreeSet<String>,
    /// `$0` first.
    pub(super) arguments: Vec<String>,
    pub(super) exports_all: bool,
    pub(super) source: Source,
    pub(super) calls: usize,
    pub(super) bytes: usize,
}

impl Shell {
    pub(super) fn new(environment: Environment, arguments: Vec<String>, source: Source) -> Self {
        Self {
            environment,
            own: BTreeMap::new(),
            lists: BTreeMap::new(),
            unknown: BTreeSet::new(),
            functions: BTreeMap::new(),
            called: BTreeSet::new(),
            arguments,
            exports_all: false,
            source,
            calls: 0,
            bytes: 0,
        }
    }

    pub(super) fn place(&self, line: u32) -> Option<Place> {
        match &self.source {
            Source::File(path) => Some(Place::File {
                path: path.clone(),
                line,
            }),
            Source::Text(place) => place.clone(),
        }
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        match self.own.get(name) {
            Some((value, _)) => Some(value),
            None => self.environment.set_variable(name),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &str, place: Option<Place>, exports: bool) {
        self.bytes = self.bytes.saturating_add(name.len() + value.len());
        if value.len() > LONGEST_VALUE || self.bytes > MOST_BYTES {
            self.unknown.insert(name.to_owned());
            return;
        }
        self.unknown.remove(name);
        self.lists.remove(name);
        if exports || self.exports_all || self.environment.set_variable(name).is_some() {
            self.own.remove(name);
            assign(&mut self.environment, name, value, place.as_ref());
        } else {
            let value = Zeroizing::new(value.to_owned());
            self.own.insert(name.to_owned(), (value, place));
        }
    }

    pub(super) fn export(&mut self, name: &str) {
        if let Some((value, place)) = self.own.remove(name) {
            assign(&mut self.environment, name, &value, place.as_ref());
        }
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.own.remove(name);
        self.lists.remove(name);
        self.environment.unset(name);
    }

    /// Performs `NAME=value`.
    pub(super) fn assign(&mut self, assignment: &Assignment, exports: bool) {
        let name = &assignment.name;
        match &assignment.value {
            Value::List(words) => {
                let mut list = if assignment.appends {
                    self.lists.remove(name).unwrap_or_default()
                } else {
                    Vec::new()
                };
                list.extend(self.words(words));
                list.truncate(MOST_WORDS);
                self.bytes += list.iter().map(String::len).sum::<usize>();
                if self.bytes < MOST_BYTES {
                    self.lists.insert(name.clone(), list);
                }
            }
            Value::Word(word) => {
                let (value, known, place) = self.assigned(word, assignment.line);
                let mut before = String::new();
                if assignment.appends {
                    before.push_str(self.value(name).unwrap_or_default());
                }
                before.push_str(&value);
                let before = Zeroizing::new(before);
                if known {
                    self.set(name, &before, place, exports);
                } else {
                    self.own.remove(name);
                    self.environment.unset(name);
                    self.unknown.insert(name.clone());
                }
            }
        }
    }

    /// The value of an assignment, whether it is known, and where it stands: where a variable that is
    /// all of it was set.
    fn assigned(&self, word: &Word, line: u32) -> (Zeroizing<String>, bool, Option<Place>) {
        let known = !word.parts.iter().any(|part| match part {
            Part::Unknown(_) => true,
            Part::Variable { name, default, .. } => {
                self.unknown.contains(name) && default.is_none()
            }
            _ => false,
        });
        let place = match &*word.parts {
            [Part::Variable { name, .. }] => match self.own.get(name) {
                Some((_, place)) => place.clone(),
                None if self.environment.set_variable(name).is_some() => {
                    Some(self.environment.place_of(name))
                }
                None => self.place(line),
            },
            _ => self.place(line),
        };
        let text = self.joined(word);
        (text, known, place)
    }

    /// A word as one text: what is unset is empty.
    fn joined(&self, word: &Word) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for part in &word.parts {
            if text.len() > LONGEST_VALUE {
                break;
            }
            match part {
                Part::Text(own) => text.push_str(own),
                Part::Home => text.push_str(self.value("HOME").unwrap_or("~")),
                Part::Unknown(shown) => text.push_str(shown),
                Part::List { name, .. } => {
                    let list = self.lists.get(name).map(|list| list.join(" "));
                    text.push_str(&list.unwrap_or_default());
                }
                Part::Variable { name, default, .. } => match (self.parameter(name), default) {
                    (Some(value), None) => text.push_str(&value),
                    (Some(value), Some(_)) if !value.is_empty() => text.push_str(&value),
                    (_, Some(default)) => text.push_str(&self.joined(default)),
                    (None, None) if self.unknown.contains(name) => {
                        text.push_str(&format!("${{{name}}}"));
                    }
                    (None, None) => {}
                },
            }
        }
        text
    }

    /// A variable's or a positional parameter's value.
    pub(super) fn parameter(&self, name: &str) -> Option<Zeroizing<String>> {
        let text = match name {
            "@" | "*" => self.arguments.get(1..)?.join(" "),
            _ if name.bytes().all(|b| b.is_ascii_digit()) => {
                self.arguments.get(name.parse::<usize>().ok()?)?.clone()
            }
            _ => match self.lists.get(name) {
                Some(list) => list.first().cloned().unwrap_or_default(),
                None => self.value(name)?.to_owned(),
            },
        };
        Some(Zeroizing::new(text))
    }

    /// The words of a command, as it would get them. What is not known stays as written.
    pub(super) fn words(&self, words: &[Word]) -> Vec<String> {
        let mut all = Vec::new();
        for word in words {
            if all.len() > MOST_WORDS {
                break;
            }
            let mut fields = Fields::default();
            if word.parts.is_empty() {
                fields.text("");
            }
            for part in &word.parts {
                self.part(part, word.parts.len() == 1, &mut fields);
            }
            all.extend(fields.done);
            all.extend(fields.open);
        }
        all.truncate(MOST_WORDS);
        all
    }

    fn part(&self, part: &Part, alone: bool, fields: &mut Fields) {
        match part {
            Part::Text(text) => fields.text(text),
            Part::Home => fields.text(self.value("HOME").unwrap_or("~")),
            Part::Unknown(shown) => fields.text(shown),
            Part::List { name, quoted } => match self.lists.get(name) {
                Some(list) if *quoted => fields.list(list),
                Some(list) => list.iter().for_each(|item| fields.split(item)),
                None => fields.split(self.value(name).unwrap_or_default()),
            },
            Part::Variable { name, quoted, .. } if name == "@" && *quoted => {
                fields.list(self.arguments.get(1..).unwrap_or_default());
            }
            Part::Variable {
                name,
                quoted,
                default,
            } => {
                let value = self
                    .parameter(name)
                    .filter(|value| default.is_none() || !value.is_empty());
                let value = match (value, default) {
                    (Some(value), _) => value,
                    (None, Some(default)) => self.joined(default),
                    // An option that is not set and not quoted is no word at all.
                    (None, None) if alone && !quoted && !self.unknown.contains(name) => return,
                    (None, None) => return fields.text(&format!("${{{name}}}")),
                };
                if *quoted {
                    fields.text(&value);
                } else {
                    fields.split(&value);
                }
            }
        }
    }
}

/// The words that one word comes to.
#[derive(Default)]
struct Fields {
    done: Vec<String>,
    open: Option<String>,
}

impl Fields {
    fn text(&mut self, text: &str) {
        let open = self.open.get_or_insert_default();
        if open.len() < LONGEST_VALUE {
            open.push_str(text);
        }
    }

    fn split(&mut self, text: &str) {
        if text.starts_with(char::is_whitespace) {
            self.done.extend(self.open.take());
        }
        for (at, word) in text.split_whitespace().enumerate() {
            if at > 0 {
                self.done.extend(self.open.take());
            }
            self.text(word);
        }
        if text.ends_with(char::is_whitespace) {
            self.done.extend(self.open.take());
        }
    }

    fn list(&mut self, items: &[String]) {
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.done.extend(self.open.take());
            }
            self.text(item);
        }
    }
}
