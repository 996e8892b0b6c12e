//! From a command line to the keys that it would use. A command is what a job, a script or a process
//! runs; it is read, never run.

mod compose;
mod harmless;
mod script;
mod shell;
#[cfg(test)]
mod tests;
mod wrapper;

use std::path::{Path, PathBuf};

use bascule_os::{ForeignError, attribution::masked};

use crate::{
    environment::Environment,
    found::{NotUsable, Place},
    machine::Machine,
    picture::{Link, LinkKind, Picture, Trail},
    read::{self, Text},
    tools,
};

use shell::{Shell, Source};
use wrapper::Inner;

/// Scripts that run scripts.
const DEEPEST_SCRIPT: usize = 3;
/// Wrappers around wrappers.
const MOST_WRAPPERS: usize = 12;
/// Commands that are followed for one job.
const MOST_STEPS: usize = 5_000;

/// A command line with the surroundings it runs in.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments, as the program gets them.
    pub arguments: Vec<String>,
    /// Its surroundings: those of the job that runs it.
    pub environment: Environment,
}

impl Command {
    /// The program's name without its folder.
    #[must_use]
    pub fn program(&self) -> &str {
        let program = self.arguments.first().map_or("", String::as_str);
        program.rsplit('/').next().unwrap_or(program)
    }

    /// The value of an option: of `--name VALUE` and `--name=VALUE`, the last one that is given.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut value = None;
        for (at, argument) in self.arguments.iter().enumerate().skip(1) {
            if argument == "--" {
                break;
            }
            let Some(rest) = argument.strip_prefix(name) else {
                continue;
            };
            if rest.is_empty() {
                value = self.arguments.get(at + 1).map(String::as_str);
            } else if let Some(rest) = rest.strip_prefix('=') {
                value = Some(rest);
            }
        }
        value
    }

    /// A path that an argument names, as it lies on this machine.
    #[must_use]
    pub fn path(&self, argument: &str) -> PathBuf {
        self.environment.absolute(argument.as_ref())
    }
}

/// Adds what a command leads to.
pub fn follow(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    follow_at(command, None, "runs", machine, trail, picture);
}

/// As [`follow`], of a command that stands at a place; `why` is what the step to it is called.
pub(crate) fn follow_at(
    command: &Command,
    place: Option<&Place>,
    why: &'static str,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    Following::new(machine, picture).command(command, place, why, trail);
}

/// Adds what a text leads to that a shell gets with `-c`, such as a line of a crontab.
pub(crate) fn follow_text(
    text: &str,
    environment: Environment,
    place: &Place,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let shell = Shell::new(
        environment,
        vec!["sh".into()],
        Source::Text(Some(place.clone())),
    );
    Following::new(machine, picture).text(text, shell, trail);
}

/// Adds what the services of a Compose file use that nothing is known to start.
pub(crate) fn follow_project(path: &Path, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let mut environment = machine.bare_environment(&machine.user);
    let (Some(folder), Some(name)) = (
        path.parent(),
        path.file_name().and_then(|name| name.to_str()),
    ) else {
        return;
    };
    environment.current_folder = folder.to_owned();
    let words = ["docker-compose", "--file", name, "up"];
    let command = Command {
        arguments: words.map(str::to_owned).to_vec(),
        environment,
    };
    if let Some(starts) = compose::starts(&command) {
        Following::new(machine, picture).containers(&starts, None, trail);
    }
}

/// Adds what a script's text leads to that has been read from a file.
pub(crate) fn follow_script(
    text: &str,
    path: &Path,
    environment: Environment,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let arguments = vec![path.display().to_string()];
    let shell = Shell::new(environment, arguments, Source::File(path.to_owned()));
    Following::new(machine, picture).text(text, shell, trail);
}

/// Sets a variable of a job. The home folder follows the variable that names it.
pub(crate) fn assign(
    environment: &mut Environment,
    name: &str,
    value: &str,
    place: Option<&Place>,
) {
    if name == "HOME" {
        environment.home =
            Some(environment.absolute(Path::new(value))).filter(|_| !value.is_empty());
    }
    match place {
        Some(place) => environment.set_at(name, value, place.clone()),
        None => environment.set(name, value),
    }
}

/// One job that is followed.
struct Following<'a> {
    machine: &'a Machine,
    picture: &'a mut Picture,
    /// The scripts that are being read, the outermost first.
    scripts: Vec<PathBuf>,
    steps: usize,
}

impl<'a> Following<'a> {
    fn new(machine: &'a Machine, picture: &'a mut Picture) -> Self {
        Self {
            machine,
            picture,
            scripts: Vec::new(),
            steps: 0,
        }
    }

    /// Whether there may be another step; says once when there may not.
    fn step(&mut self, trail: &Trail) -> bool {
        self.steps += 1;
        if self.steps == MOST_STEPS {
            let what = trail
                .chain
                .last()
                .map_or_else(String::new, |link| link.name.clone());
            self.picture.gap(
                trail,
                what,
                format!("it runs more than {MOST_STEPS} commands"),
                "look at the rest of it yourself",
            );
        }
        self.steps < MOST_STEPS
    }

    fn command(
        &mut self,
        command: &Command,
        place: Option<&Place>,
        why: &'static str,
        trail: &Trail,
    ) {
        if command.arguments.is_empty() || !self.step(trail) {
            return;
        }
        let is_process = |link: &Link| link.kind == LinkKind::Process;
        let trail = if trail.chain.last().is_some_and(is_process) {
            trail.clone()
        } else {
            let mut link = Link::new(LinkKind::Command, masked(&command.arguments), why);
            link.place = place.cloned();
            match trail.then(link) {
                Some(trail) => trail,
                None => return,
            }
        };
        let mut command = command.clone();
        for _ in 0..MOST_WRAPPERS {
            if tools::is_known(command.program()) {
                break;
            }
            if let Some(starts) = compose::starts(&command) {
                return self.containers(&starts, place, &trail);
            }
            match wrapper::unwrap(&command, self.machine, place) {
                Some(Inner::Command(inner)) => command = inner,
                Some(Inner::Script {
                    text,
                    arguments,
                    environment,
                }) => {
                    let shell = Shell::new(environment, arguments, Source::Text(place.cloned()));
                    return self.text(&text, shell, &trail);
                }
                Some(Inner::File(inner)) => {
                    let path = inner.path(&inner.arguments[0]);
                    self.script(&inner, &path, true, &trail);
                    return;
                }
                Some(Inner::Folder(folder)) => return self.folder(&command, &folder, &trail),
                None => {
                    if wrapper::reads_input(&command) && !self.scripts.is_empty() {
                        let what = place.map_or_else(|| "a script".to_owned(), Place::to_string);
                        let why = "it gives a shell commands on its input, which are not followed";
                        self.picture.gap(&trail, what, why, "look at them yourself");
                        return;
                    }
                    let path = located(&command);
                    if path.is_some_and(|path| self.script(&command, &path, false, &trail)) {
                        return;
                    }
                    break;
                }
            }
        }
        if !harmless::is(command.program()) {
            tools::uses(&command, self.machine, &trail, self.picture);
        }
    }

    /// `run-parts`: the programs of a folder whose names have no dots, in their order.
    fn folder(&mut self, command: &Command, folder: &str, trail: &Trail) {
        let path = command.path(folder);
        let listed = match read::names(&path) {
            Ok(listed) => listed,
            Err(error) => {
                return self
                    .picture
                    .unusable(trail, path.display().to_string(), &error);
            }
        };
        let fits = |name: &String| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        for name in listed.into_iter().filter(fits) {
            let inner = Command {
                arguments: vec![Path::new(folder).join(&name).display().to_string()],
                environment: command.environment.clone(),
            };
            self.command(&inner, None, "runs", trail);
        }
    }

    /// Follows a script's file. `false` if it is none.
    fn script(&mut self, command: &Command, path: &Path, certain: bool, trail: &Trail) -> bool {
        let certain = certain || path.extension().is_some_and(|end| end == "sh");
        let Some((path, text)) = self.read_script(path, certain, trail) else {
            return certain;
        };
        let Ok(content) = text.as_str() else {
            return certain;
        };
        match wrapper::given_to_shell(content) {
            Some(true) => {}
            None if certain => {}
            Some(false) => {
                self.other_language(content, &path, trail);
                return false;
            }
            None => return false,
        }
        let Some(trail) = self.enter(&path, trail) else {
            return true;
        };
        let shell = Shell::new(
            command.environment.clone(),
            command.arguments.clone(),
            Source::File(path),
        );
        self.text(content, shell, &trail);
        self.scripts.pop();
        true
    }

    /// Reads a script, and says why not if it is certain that it is one.
    fn read_script(
        &mut self,
        path: &Path,
        certain: bool,
        trail: &Trail,
    ) -> Option<(PathBuf, Text)> {
        let path = read::resolved(&self.machine.root, path);
        // Most are programs of a megabyte: no more than the beginning is read of those.
        if !certain && let Ok(false) = bascule_os::foreign_begins_with(&path, b"#!") {
            return None;
        }
        match Text::read(&path) {
            Ok(Some(text)) => {
                self.picture.files_read += 1;
                match text.as_str() {
                    Ok(_) => return Some((path, text)),
                    Err(error) if certain => self.unusable(&path, &error, trail),
                    Err(_) => {}
                }
            }
            Ok(None) => {}
            // What is that large is a program.
            Err(NotUsable::Read(ForeignError::TooLarge { .. })) if !certain => {}
            Err(error) => self.unusable(&path, &error, trail),
        }
        None
    }

    fn unusable(&mut self, path: &Path, error: &NotUsable, trail: &Trail) {
        self.picture
            .unusable(trail, path.display().to_string(), error);
    }

    /// Notes that a script is being read. `None` where it leads back to itself or too deep.
    fn enter(&mut self, path: &Path, trail: &Trail) -> Option<Trail> {
        if self.scripts.iter().any(|open| open == path) {
            return None;
        }
        if self.scripts.len() == DEEPEST_SCRIPT {
            self.picture.gap(
                trail,
                path.display().to_string(),
                format!("scripts that run scripts are followed {DEEPEST_SCRIPT} deep"),
                format!("look at it yourself: {}", path.display()),
            );
            return None;
        }
        self.scripts.push(path.to_owned());
        Some(trail.clone())
    }

    /// A script in another language: whether it has to do with storage is all that is looked for.
    fn other_language(&mut self, content: &str, path: &Path, trail: &Trail) {
        const SIGNS: [&str; 8] = [
            "boto", "rclone", "restic", "s3cmd", "s5cmd", "minio", "S3_", "AWS_",
        ];
        if SIGNS.iter().any(|sign| content.contains(sign)) {
            self.picture.gap(
                trail,
                path.display().to_string(),
                "it seems to use S3, and is written in a language that is not followed",
                format!("look at it yourself: {}", path.display()),
            );
        }
    }
}

/// Where a program lies, if it can be told.
fn located(command: &Command) -> Option<PathBuf> {
    let program = command.arguments.first()?;
    if program.contains('/') {
        return Some(command.path(program));
    }
    if program.is_empty() || harmless::is(program) {
        return None;
    }
    command
        .environment
        .variable("PATH")?
        .split(':')
        .take(32)
        .map(|folder| command.path(folder).join(program))
        .find(|path| path.is_file())
}
