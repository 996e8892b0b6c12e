//! What a script's commands are and with which variables they run, as far as the text tells. Nothing
//! is run, and what only a run would tell stays as it is written.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use bascule_formats::shell::{self, Node, Part};

use super::{
    Command, Following, harmless,
    shell::{Shell, Source},
};
use crate::picture::{Link, LinkKind, Trail};

/// Functions within functions.
const MOST_CALLS: usize = 8;
/// Values of a loop that are looked at.
const MOST_ROUNDS: usize = 32;

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
