//! `docker compose`, `docker run` and their like: which containers they start.

use std::path::PathBuf;

use bascule_formats::{
    compose::Bind,
    environment_file::{self, Dialect},
};

use super::{Command, Following, wrapper::options};
use crate::{
    compose::{self, Project},
    container::Container,
    found::Place,
    picture::{Link, LinkKind, NextRun, Rank, Trail},
    read::Text,
};

/// Containers that start containers.
const DEEPEST: usize = 2;
/// Folders above the one where a project's file is looked for.
const MOST_PARENTS: usize = 16;
/// Names of a project's file, the first wins.
const FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// Options of Compose itself that take the next word.
const VALUED: [&str; 11] = [
    "-f",
    "--file",
    "-p",
    "--project-name",
    "--project-directory",
    "--env-file",
    "--profile",
    "--ansi",
    "--parallel",
    "--progress",
    "-H",
];
/// Options of its verbs that do.
const VALUED_OF_VERBS: [&str; 20] = [
    "-e",
    "--env",
    "-v",
    "--volume",
    "-w",
    "--workdir",
    "-u",
    "--user",
    "--entrypoint",
    "--name",
    "-p",
    "--publish",
    "--scale",
    "-t",
    "--timeout",
    "--index",
    "-l",
    "--label",
    "--pull",
    "--exit-code-from",
];
/// Options of `docker run` that take the next word, besides those that matter.
const VALUED_OF_RUN: [&str; 52] = [
    "-e",
    "--env",
    "--env-file",
    "-v",
    "--volume",
    "--mount",
    "--entrypoint",
    "-w",
    "--workdir",
    "--name",
    "-u",
    "--user",
    "-p",
    "--publish",
    "--network",
    "--net",
    "-h",
    "--hostname",
    "-l",
    "--label",
    "--restart",
    "-m",
    "--memory",
    "--memory-swap",
    "--cpus",
    "-c",
    "--cpu-shares",
    "--cpuset-cpus",
    "--log-driver",
    "--log-opt",
    "--security-opt",
    "--cap-add",
    "--cap-drop",
    "--device",
    "--dns",
    "--add-host",
    "--ip",
    "--ipc",
    "--pid",
    "--pull",
    "--platform",
    "--tmpfs",
    "--ulimit",
    "--shm-size",
    "--stop-timeout",
    "--stop-signal",
    "--gpus",
    "--runtime",
    "--cidfile",
    "-a",
    "--group-add",
    "--volumes-from",
];

/// What a command of a container engine starts.
pub(super) enum Starts {
    /// Services of a project: the words behind `compose`.
    Services(Command),
    /// One container: the words behind `run`.
    Container(Command),
}

/// What a command starts, if it is one of a container engine that starts something.
pub(super) fn starts(command: &Command) -> Option<Starts> {
    let from = |at: usize| {
        Some(Command {
            arguments: command.arguments.get(at..)?.to_vec(),
            environment: command.environment.clone(),
        })
    };
    match command.program() {
        "docker-compose" | "podman-compose" => Some(Starts::Services(command.clone())),
        "docker" | "podman" | "nerdctl" => {
            let valued = [
                "-H",
                "--host",
                "-c",
                "--context",
                "--config",
                "-l",
                "--log-level",
            ];
            let at = options(&command.arguments, &valued, |_, _| {});
            let at = match command.arguments.get(at).map(String::as_str)? {
                "container" => at + 1,
                _ => at,
            };
            match command.arguments.get(at).map(String::as_str)? {
                "compose" => from(at).map(Starts::Services),
                "run" | "create" => from(at).map(Starts::Container),
                _ => None,
            }
        }
        _ => None,
    }
}

impl Following<'_> {
    /// Follows what a container engine starts.
    pub(super) fn containers(&mut self, starts: &Starts, place: Option<&Place>, trail: &Trail) {
        let is_container = |link: &&Link| link.kind == LinkKind::Container;
        if trail.chain.iter().filter(is_container).count() >= DEEPEST {
            return;
        }
        match starts {
            Starts::Services(command) => self.services(command, trail),
            Starts::Container(command) => self.container(command, place, trail),
        }
    }

    fn services(&mut self, command: &Command, trail: &Trail) {
        let asked = Asked::of(command);
        let Some((verb, named)) = asked.starts() else {
            return;
        };
        let (files, folder) = match asked.files() {
            Some(found) => found,
            None => {
                let what = command.environment.current_folder.display().to_string();
                let why =
                    "it starts a Compose project, and no file of one is in this folder or above";
                return self
                    .picture
                    .gap(trail, what, why, "look whether it still runs");
            }
        };
        let project = Project {
            files,
            folder,
            variables: asked.variables.clone(),
            surroundings: &command.environment,
        };
        let mut services = compose::services(&project, self.machine, trail, self.picture);
        services.retain(|name, _| named.is_empty() || named.contains(name));
        for (name, mut service) in services {
            let mut link = Link::new(LinkKind::Container, name.clone(), "starts");
            link.place = Some(service.place.clone());
            let Some(mut trail) = trail.then(link) else {
                return;
            };
            let mut profiles = service.profiles.iter();
            if named.is_empty() && !service.profiles.is_empty() {
                let asked_for = |profile| {
                    asked.profiles.contains(profile) || asked.profiles.iter().any(|all| all == "*")
                };
                if !profiles.any(asked_for) {
                    trail.rank = trail.rank.max(Rank::Manual);
                    let why = format!(
                        "its profile {} is not asked for",
                        service.profiles.join(", ")
                    );
                    trail.next_run = Some(NextRun::Never(why));
                }
            }
            if verb == "run" || verb == "exec" {
                asked.change(&mut service.container);
            }
            service
                .container
                .follow(&service.place, self.machine, &trail, self.picture);
        }
    }

    /// `docker run OPTIONS IMAGE COMMAND`.
    fn container(&mut self, command: &Command, place: Option<&Place>, trail: &Trail) {
        let own = &command.environment;
        let mut container = Container::of(String::new(), self.machine);
        let (mut files, mut name) = (Vec::new(), None);
        let mut set: Vec<(String, String)> = Vec::new();
        let at = options(&command.arguments, &VALUED_OF_RUN, |option, value| {
            let Some(value) = value else { return };
            match option {
                "-e" | "--env" => match value.split_once('=') {
                    Some((name, value)) => set.push((name.to_owned(), value.to_owned())),
                    None => container.environment.take(std::iter::once(value), own),
                },
                "--env-file" => files.push(command.path(value)),
                "-v" | "--volume" => {
                    let bind =
                        Bind::short(value).filter(|bind| bind.source.starts_with(['/', '.']));
                    if let Some(bind) = bind {
                        let outside = self.machine.seen(&command.path(&bind.source));
                        container.show(&bind.target, outside);
                    }
                }
                "--mount" => {
                    let part = |names: &[&str]| {
                        let mut parts = value.split(',').filter_map(|part| part.split_once('='));
                        parts.find_map(|(key, value)| names.contains(&key).then_some(value))
                    };
                    if let (Some("bind"), Some(source), Some(target)) = (
                        part(&["type"]),
                        part(&["source", "src"]),
                        part(&["target", "dst", "destination"]),
                    ) {
                        container.show(target, source);
                    }
                }
                "--entrypoint" => container.entrypoint = vec![value.to_owned()],
                "--name" => name = Some(value.to_owned()),
                _ => {}
            }
        });
        let Some(image) = command.arguments.get(at) else {
            return;
        };
        container.image.clone_from(image);
        container.command = command.arguments[at + 1..].to_vec();
        for path in files {
            match Text::read(&path) {
                Ok(Some(text)) => {
                    self.picture.files_read += 1;
                    let content = text.as_str().unwrap_or_default();
                    for one in environment_file::parse(content, Dialect::Docker, |_| None) {
                        let at = text.place(one.line);
                        container
                            .environment
                            .set_at(one.name, one.value.as_str(), at);
                    }
                }
                Ok(None) => self.picture.gap(
                    trail,
                    path.display().to_string(),
                    "the container needs this file of variables, and it is not there",
                    "look whether it still starts",
                ),
                Err(error) => self.unusable(&path, &error, trail),
            }
        }
        for (name, value) in set {
            match place {
                Some(place) => container.environment.set_at(name, value, place.clone()),
                None => {
                    let at = Place::Argument(format!("--env {name}"));
                    container.environment.set_at(name, value, at);
                }
            }
        }
        let mut link = Link::new(
            LinkKind::Container,
            name.as_deref().unwrap_or(image),
            "starts",
        );
        link.place = place.cloned();
        let at = place.cloned().unwrap_or(Place::Argument("run".into()));
        if let Some(trail) = trail.then(link) {
            container.follow(&at, self.machine, &trail, self.picture);
        }
    }
}

/// A call of Compose.
struct Asked<'a> {
    command: &'a Command,
    named: Vec<PathBuf>,
    folder: Option<PathBuf>,
    variables: Option<Vec<PathBuf>>,
    profiles: Vec<String>,
    /// Where its verb stands.
    verb: usize,
}

impl<'a> Asked<'a> {
    fn of(command: &'a Command) -> Self {
        let (mut named, mut folder, mut profiles) = (Vec::new(), None, Vec::new());
        let mut variables = Vec::new();
        let verb = options(&command.arguments, &VALUED, |name, value| {
            let Some(value) = value else { return };
            match name {
                "-f" | "--file" => named.push(command.path(value)),
                "--project-directory" => folder = Some(command.path(value)),
                "--env-file" => variables.push(command.path(value)),
                "--profile" => profiles.push(value.to_owned()),
                _ => {}
            }
        });
        let set = |name| command.environment.variable(name);
        if let Some(files) = set("COMPOSE_FILE").filter(|_| named.is_empty()) {
            named.extend(files.split(':').map(|file| command.path(file)));
        }
        if let Some(more) = set("COMPOSE_PROFILES") {
            profiles.extend(more.split(',').map(ToOwned::to_owned));
        }
        Self {
            command,
            named,
            folder,
            variables: (!variables.is_empty()).then_some(variables),
            profiles,
            verb,
        }
    }

    /// The project's files and its folder.
    fn files(&self) -> Option<(Vec<PathBuf>, PathBuf)> {
        let here = &self.command.environment.current_folder;
        let files = if self.named.is_empty() {
            let from = self.folder.as_ref().unwrap_or(here);
            let mut above = from.ancestors().take(MOST_PARENTS);
            above.find_map(|folder| {
                let file = FILES
                    .iter()
                    .map(|name| folder.join(name))
                    .find(|path| path.is_file())?;
                let stem = file.file_stem()?.to_str()?.to_owned();
                let over = ["yml", "yaml"].map(|end| folder.join(format!("{stem}.override.{end}")));
                let over = over.into_iter().find(|path| path.is_file());
                Some(std::iter::once(file).chain(over).collect())
            })?
        } else {
            self.named.clone()
        };
        let beside = files.first()?.parent()?.to_owned();
        Some((files, self.folder.clone().unwrap_or(beside)))
    }

    /// The verb, if it starts containers, and of which services; without any of all.
    fn starts(&self) -> Option<(&'a str, Vec<String>)> {
        let words = self.command.arguments.get(self.verb..)?;
        let verb = words.first()?.as_str();
        if !["up", "run", "start", "restart", "create", "exec"].contains(&verb) {
            return None;
        }
        let at = options(words, &VALUED_OF_VERBS, |_, _| {});
        let behind = words.get(at..).unwrap_or_default();
        let count = if verb == "run" || verb == "exec" {
            1
        } else {
            behind.len()
        };
        Some((verb, behind.iter().take(count).cloned().collect()))
    }

    /// `run` and `exec` give a service's container another command and more variables.
    fn change(&self, container: &mut Container) {
        let words = &self.command.arguments[self.verb..];
        let at = options(words, &VALUED_OF_VERBS, |name, value| match (name, value) {
            ("-e" | "--env", Some(value)) => {
                if let Some((name, value)) = value.split_once('=') {
                    let at = Place::Argument(format!("--env {name}"));
                    container.environment.set_at(name, value, at);
                }
            }
            ("--entrypoint", Some(value)) => container.entrypoint = vec![value.to_owned()],
            _ => {}
        });
        if let Some(command) = words.get(at + 1..).filter(|command| !command.is_empty()) {
            container.command = command.to_vec();
        }
    }
}
