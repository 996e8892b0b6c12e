//! What a script's commands are and with which variables they run, as far as the text tells. Nothing
//! is run, and what only a run would tell stays as it is written.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use bascule_formats::shell::{self, Assignment, Node, Part, Value, Word};
use zeroize::Zeroizing;

use super::{Command, Following, assign, harmless};
use crate::{
    environment::Environment,
    found::Place,
    picture::{Link, LinkKind, Trail},
};

/// Functions within functions.
const MOST_CALLS: usize = 8;
/// Values of a loop that are looked at.
const MOST_ROUNDS: usize = 32;
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
    environment: Environment,
    /// What is not exported.
    own: BTreeMap<String, (Zeroizing<String>, Option<Place>)>,
    lists: BTreeMap<String, Vec<String>>,
    /// Variables whose values only a run would tell.
    unknown: BTreeSet<String>,
    functions: BTreeMap<String, Rc<Vec<Node>>>,
    called: BTreeSet<String>,
    /// `$0` first.
    arguments: Vec<String>,
    exports_all: bool,
    source: Source,
    calls: usize,
    bytes: usize,
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

    fn place(&self, line: u32) -> Option<Place> {
        match &self.source {
            Source::File(path) => Some(Place::File {
                path: path.clone(),
                line,
            }),
            Source::Text(place) => place.clone(),
        }
    }

    fn value(&self, name: &str) -> Option<&str> {
        match self.own.get(name) {
            Some((value, _)) => Some(value),
            None => self.environment.set_variable(name),
        }
    }

    fn set(&mut self, name: &str, value: &str, place: Option<Place>, exports: bool) {
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

    fn export(&mut self, name: &str) {
        if let Some((value, place)) = self.own.remove(name) {
            assign(&mut self.environment, name, &value, place.as_ref());
        }
    }

    fn unset(&mut self, name: &str) {
        self.own.remove(name);
        self.lists.remove(name);
        self.environment.unset(name);
    }

    /// Performs `NAME=value`.
    fn assign(&mut self, assignment: &Assignment, exports: bool) {
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
    fn parameter(&self, name: &str) -> Option<Zeroizing<String>> {
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
    fn words(&self, words: &[Word]) -> Vec<String> {
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

impl Following<'_> {
    /// Follows a script's text.
    pub(super) fn text(&mut self, text: &str, mut shell: Shell, trail: &Trail) {
        self.run_text(text, &mut shell, trail);
        // What nothing here calls may be called by a trap or from elsewhere.
        let uncalled: Vec<_> = shell
            .functions
            .iter()
            .filter(|(name, _)| !shell.called.contains(*name))
            .map(|(_, body)| Rc::clone(body))
            .collect();
        for body in uncalled {
            self.nodes(&body, &mut shell.clone(), trail);
        }
    }

    fn run_text(&mut self, text: &str, shell: &mut Shell, trail: &Trail) {
        let script = shell::parse(text);
        if let Some(line) = script.given_up_at {
            let what = shell
                .place(line)
                .map_or_else(|| "a script".to_owned(), |place| place.to_string());
            self.picture.gap(
                trail,
                what,
                "the script is nested too deeply to be followed from here on",
                "look at the rest of it yourself",
            );
        }
        self.nodes(&script.nodes, shell, trail);
    }

    fn nodes(&mut self, nodes: &[Node], shell: &mut Shell, trail: &Trail) {
        for node in nodes {
            match node {
                Node::Command(command) => {
                    if !self.step(trail) {
                        return;
                    }
                    self.simple(command, shell, trail);
                }
                Node::Function { name, body } => {
                    shell.functions.insert(name.clone(), Rc::new(body.clone()));
                }
                Node::Subshell(body) => {
                    let mut inner = shell.clone();
                    self.nodes(body, &mut inner, trail);
                    shell.called.append(&mut inner.called);
                }
                Node::For {
                    name,
                    words,
                    line,
                    body,
                } => {
                    let values = match words {
                        Some(words) => shell.words(words),
                        None => shell.arguments.get(1..).unwrap_or_default().to_vec(),
                    };
                    let known = words.as_ref().is_none_or(|words| {
                        !words.iter().any(|word| {
                            word.parts
                                .iter()
                                .any(|part| matches!(part, Part::Unknown(_)))
                        })
                    });
                    if !known || values.is_empty() {
                        shell.unset(name);
                        shell.unknown.insert(name.clone());
                        self.nodes(body, shell, trail);
                        continue;
                    }
                    for value in values.iter().take(MOST_ROUNDS) {
                        let place = shell.place(*line);
                        shell.set(name, value, place, false);
                        self.nodes(body, shell, trail);
                    }
                }
            }
        }
    }

    fn simple(&mut self, command: &shell::Command, shell: &mut Shell, trail: &Trail) {
        let words = shell.words(&command.words);
        let Some(name) = words.first() else {
            for assignment in &command.assignments {
                shell.assign(assignment, false);
            }
            return;
        };
        match name.as_str() {
            "export" | "declare" | "typeset" | "local" | "readonly" => {
                let flag = |word: &String| word.starts_with('-') && word.contains('x');
                let exports = name == "export" || words[1..].iter().any(flag);
                for assignment in &command.assignments {
                    shell.assign(assignment, exports);
                }
                for name in words[1..].iter().filter(|_| exports) {
                    shell.export(name);
                }
            }
            "unset" => words[1..].iter().for_each(|name| shell.unset(name)),
            "set" => set(&words, shell),
            "shift" => {
                let count = words
                    .get(1)
                    .and_then(|count| count.parse().ok())
                    .unwrap_or(1_usize);
                let last = shell.arguments.len().min(count.saturating_add(1));
                if last > 1 {
                    shell.arguments.drain(1..last);
                }
            }
            "cd" => change_folder(&words, shell),
            "read" | "mapfile" | "readarray" | "getopts" => {
                for name in words[1..].iter().filter(|name| !name.starts_with('-')) {
                    shell.unset(name);
                    shell.unknown.insert(name.clone());
                }
            }
            "." | "source" => self.sourced(&words, command.line, shell, trail),
            "eval" => {
                let text = words[1..].join(" ");
                if shell.calls < MOST_CALLS {
                    shell.calls += 1;
                    self.run_text(&text, shell, trail);
                    shell.calls -= 1;
                }
            }
            "trap" => {
                if let Some(text) = words
                    .get(1)
                    .filter(|text| text.contains(' ') || shell.functions.contains_key(*text))
                    && shell.calls < MOST_CALLS
                {
                    let mut inner = shell.clone();
                    inner.calls += 1;
                    self.run_text(text, &mut inner, trail);
                    shell.called.append(&mut inner.called);
                }
            }
            _ => self.run(words, command, shell, trail),
        }
    }

    /// A function or a program.
    fn run(
        &mut self,
        words: Vec<String>,
        command: &shell::Command,
        shell: &mut Shell,
        trail: &Trail,
    ) {
        if let Some(body) = shell.functions.get(&words[0]).cloned() {
            shell.called.insert(words[0].clone());
            if shell.calls < MOST_CALLS {
                let mut arguments = vec![shell.arguments.first().cloned().unwrap_or_default()];
                arguments.extend_from_slice(&words[1..]);
                let before = std::mem::replace(&mut shell.arguments, arguments);
                shell.calls += 1;
                for assignment in &command.assignments {
                    shell.assign(assignment, true);
                }
                self.nodes(&body, shell, trail);
                shell.calls -= 1;
                shell.arguments = before;
            }
            return;
        }
        let program = words[0].rsplit('/').next().unwrap_or_default();
        if harmless::is(program) && program != "exec" {
            return;
        }
        let mut own = shell.clone();
        for assignment in &command.assignments {
            own.assign(assignment, true);
        }
        let place = shell.place(command.line);
        let (trail, at) = match &shell.source {
            Source::File(path) => {
                let mut link = Link::new(LinkKind::Script, path.display().to_string(), "runs");
                link.place = place.clone();
                let is_new = trail.chain.last() != Some(&link);
                match if is_new {
                    trail.then(link)
                } else {
                    Some(trail.clone())
                } {
                    Some(trail) => (trail, place),
                    None => return,
                }
            }
            Source::Text(_) => (trail.clone(), place),
        };
        let mut words = words;
        if let Some(path) = guessed(&words[0], shell) {
            let below = path.strip_prefix(&shell.environment.root);
            words[0] = Path::new("/")
                .join(below.unwrap_or(&path))
                .display()
                .to_string();
        }
        let command = Command {
            arguments: words,
            environment: own.environment,
        };
        self.command(&command, at.as_ref(), "runs", &trail);
    }

    /// `. FILE`: its variables and functions are this shell's.
    fn sourced(&mut self, words: &[String], line: u32, shell: &mut Shell, trail: &Trail) {
        let Some(file) = words.get(1) else { return };
        let guessed = guessed(file, shell);
        if (file.contains("$(") || file.contains("${")) && guessed.is_none() {
            let what = shell
                .place(line)
                .map_or_else(|| "a script".to_owned(), |place| place.to_string());
            let (why, remedy) = (
                "it reads a file whose name only a run would tell",
                "look at that file yourself",
            );
            return self.picture.gap(trail, what, why, remedy);
        }
        let path = guessed.unwrap_or_else(|| self.source_path(file, shell));
        let Some((path, text)) = self.read_script(&path, true, trail) else {
            return;
        };
        let (Ok(content), Some(trail)) = (text.as_str(), self.enter(&path, trail)) else {
            return;
        };
        let source = std::mem::replace(&mut shell.source, Source::File(path));
        self.run_text(content, shell, &trail);
        shell.source = source;
        self.scripts.pop();
    }

    /// Without a slash it is looked for like a program, and then here.
    fn source_path(&self, file: &str, shell: &Shell) -> PathBuf {
        let environment = &shell.environment;
        if !file.contains('/') {
            let folders = environment
                .variable("PATH")
                .unwrap_or_default()
                .split(':')
                .take(32);
            let found = folders
                .filter(|folder| !folder.is_empty())
                .map(|folder| environment.absolute(Path::new(folder)).join(file))
                .find(|path| path.is_file());
            if let Some(found) = found {
                return found;
            }
        }
        environment.absolute(Path::new(file))
    }
}

/// `"$(dirname "$0")/lib.sh"` and `"$HERE/lib.sh"` are mostly beside the script.
fn guessed(file: &str, shell: &Shell) -> Option<PathBuf> {
    let end = match file.get(..2)? {
        "$(" => file.find(')')?,
        "${" => file.find('}')?,
        _ => return None,
    };
    let below = file
        .get(end + 1..)?
        .strip_prefix('/')
        .filter(|below| !below.contains('$'))?;
    let Source::File(script) = &shell.source else {
        return None;
    };
    Some(script.parent()?.join(below)).filter(|path| path.is_file())
}

fn set(words: &[String], shell: &mut Shell) {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let on = word.starts_with('-');
        match word.as_str() {
            "--" => {
                shell.arguments.truncate(1);
                shell.arguments.extend_from_slice(&words[at + 1..]);
                return;
            }
            "-o" | "+o" => {
                at += 1;
                if words.get(at).is_some_and(|name| name == "allexport") {
                    shell.exports_all = on;
                }
            }
            _ if (on || word.starts_with('+')) && word.contains('a') => shell.exports_all = on,
            _ if on || word.starts_with('+') => {}
            _ => {
                shell.arguments.truncate(1);
                shell.arguments.extend_from_slice(&words[at..]);
                return;
            }
        }
        at += 1;
    }
}

fn change_folder(words: &[String], shell: &mut Shell) {
    let target = words[1..].iter().find(|word| !word.starts_with('-'));
    let folder = match target {
        None => shell.environment.home.clone(),
        // Mostly `cd "$(dirname "$0")"`.
        Some(target) if target.contains("$(") || target.contains("${") => match &shell.source {
            Source::File(path) => path.parent().map(Path::to_owned),
            Source::Text(_) => None,
        },
        Some(target) => Some(shell.environment.absolute(Path::new(target))),
    };
    if let Some(folder) = folder {
        shell.environment.current_folder = folder;
    }
}
