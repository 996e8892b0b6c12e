//! Containers that Docker and Podman keep, by their own files: what each was made with, and the Compose
//! project that made it. No engine is asked; where its state may not be read, that is told.
//!
//! Of Podman only the containers that were started are known by files that are plain.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bascule_formats::{Step, Structure, leaves};

use super::{listed, refused, users};
use crate::{
    compose::{self, Project},
    container::Container,
    environment::Environment,
    found::{NotUsable, Place},
    machine::Machine,
    picture::{Link, LinkKind, NextRun, Picture, Rank, Trail},
    read::Text,
};

const DOCKER: &str = "/var/lib/docker/containers";
const PODMAN: &str = "/var/lib/containers/storage/overlay-containers";
const PODMANS_OWN: &str = ".local/share/containers/storage/overlay-containers";
const REMEDY: &str = "run it as root";
const PREFIX: &str = "com.docker.compose.";

pub(super) fn folders(machine: &Machine) -> Vec<PathBuf> {
    let system = [DOCKER, PODMAN].map(|folder| machine.path(folder));
    let own = users(machine).into_iter();
    let own = own.filter_map(|user| Some(user.home.as_ref()?.join(PODMANS_OWN)));
    system.into_iter().chain(own).collect()
}

pub(super) fn look(machine: &Machine, picture: &mut Picture) {
    let folder = machine.path(DOCKER);
    let mut projects: Vec<Labels> = Vec::new();
    for id in listed(&folder, REMEDY, picture) {
        let folder = folder.join(id);
        let Some(kept) = Kept::docker(&folder, picture) else {
            continue;
        };
        kept.follow(machine, picture);
        if let Some(labels) = kept.labels.of_project() {
            match projects
                .iter_mut()
                .find(|known| known.files == labels.files)
            {
                Some(known) => known.services.extend(labels.services),
                None => projects.push(labels),
            }
        }
    }
    for labels in projects {
        labels.follow(machine, picture);
    }
    let mut podmans = vec![machine.path(PODMAN)];
    for user in users(machine) {
        // A home that is closed is told with the user's units.
        let own = user.home.as_ref().map(|home| home.join(PODMANS_OWN));
        podmans.extend(own.filter(|folder| folder.is_dir()));
    }
    for folder in podmans {
        for id in listed(&folder, REMEDY, picture) {
            let path = folder.join(&id).join("userdata/config.json");
            if let Some(kept) = Kept::podman(&path, &id, picture) {
                kept.follow(machine, picture);
            }
        }
    }
}

/// A container that an engine keeps.
#[derive(Default)]
struct Kept {
    path: PathBuf,
    name: String,
    image: String,
    program: Option<String>,
    arguments: Vec<String>,
    /// `NAME=value`, each with its line.
    variables: Vec<(zeroize::Zeroizing<String>, u32)>,
    /// Inside and outside.
    volumes: Vec<(String, String)>,
    running: bool,
    restart: String,
    labels: Labels,
}

/// What Compose notes at a container that it makes.
#[derive(Default)]
struct Labels {
    project: String,
    services: Vec<String>,
    files: Vec<PathBuf>,
    folder: Option<PathBuf>,
    variables: Vec<PathBuf>,
    place: Option<PathBuf>,
}

/// Every value of a JSON file, by its names and positions.
fn read(
    path: &Path,
    picture: &mut Picture,
    mut each: impl FnMut(&[&str], Option<u32>, &str, u32),
) -> bool {
    let text = match Text::read(path) {
        Ok(Some(text)) => text,
        Ok(None) => return false,
        Err(error) => {
            refused(path, &error, REMEDY, picture);
            return false;
        }
    };
    picture.files_read += 1;
    let content = match text.as_str() {
        Ok(content) => content,
        Err(error) => {
            refused(path, &error, REMEDY, picture);
            return false;
        }
    };
    match leaves(content, Structure::Json) {
        Ok(leaves) => {
            for leaf in leaves {
                let names = leaf.path.iter();
                let names: Vec<&str> = names
                    .filter_map(|step| match step {
                        Step::Name(name) => Some(&**name),
                        Step::Index(_) => None,
                    })
                    .collect();
                let index = leaf.path.iter().find_map(|step| match step {
                    Step::Index(at) => Some(*at),
                    Step::Name(_) => None,
                });
                each(&names, index, &leaf.value, leaf.line);
            }
            true
        }
        Err(source) => {
            let path = path.to_owned();
            let error = NotUsable::Parse {
                path: path.clone(),
                source,
            };
            picture.unusable(&Trail::configuration(), path.display().to_string(), &error);
            false
        }
    }
}

impl Kept {
    fn docker(folder: &Path, picture: &mut Picture) -> Option<Self> {
        let path = folder.join("config.v2.json");
        let mut kept = Self::default();
        let known = read(&path, picture, |names, _, value, line| match names {
            ["Name"] => value.trim_start_matches('/').clone_into(&mut kept.name),
            ["Path"] => kept.program = Some(value.to_owned()),
            ["Args"] => kept.arguments.push(value.to_owned()),
            ["State", "Running"] => kept.running = value == "true",
            ["Config", "Image"] => value.clone_into(&mut kept.image),
            ["Config", "Env"] => kept.variables.push((value.to_owned().into(), line)),
            ["Config", "Labels", label] => kept.labels.read(label, value),
            ["MountPoints", inside, "Source"] if !value.is_empty() => {
                kept.volumes.push(((*inside).to_owned(), value.to_owned()));
            }
            _ => {}
        });
        read(
            &folder.join("hostconfig.json"),
            picture,
            |names, _, value, _| {
                if names == ["RestartPolicy", "Name"] {
                    value.clone_into(&mut kept.restart);
                }
            },
        );
        kept.labels.place = Some(path.clone());
        kept.path = path;
        known.then_some(kept)
    }

    /// From the specification that Podman hands to its runtime.
    fn podman(path: &Path, id: &str, picture: &mut Picture) -> Option<Self> {
        let mut kept = Self {
            path: path.to_owned(),
            name: id.chars().take(12).collect(),
            ..Self::default()
        };
        let mut mounts: Vec<(String, String, bool)> = Vec::new();
        let known = read(path, picture, |names, at, value, line| match names {
            ["process", "args"] if kept.program.is_none() => kept.program = Some(value.to_owned()),
            ["process", "args"] => kept.arguments.push(value.to_owned()),
            ["process", "env"] => kept.variables.push((value.to_owned().into(), line)),
            ["annotations", "io.podman.annotations.container-name"] | ["hostname"]
                if !value.is_empty() =>
            {
                value.clone_into(&mut kept.name);
            }
            ["mounts", key] => {
                let at = at.unwrap_or_default() as usize;
                if mounts.len() <= at {
                    mounts.resize_with(at + 1, Default::default);
                }
                match *key {
                    "destination" => value.clone_into(&mut mounts[at].0),
                    "source" => value.clone_into(&mut mounts[at].1),
                    "type" => mounts[at].2 = value == "bind",
                    _ => {}
                }
            }
            _ => {}
        });
        let binds = mounts
            .into_iter()
            .filter(|(_, outside, bind)| *bind && outside.starts_with('/'));
        kept.volumes = binds
            .map(|(inside, outside, _)| (inside, outside))
            .collect();
        known.then_some(kept)
    }

    fn follow(&self, machine: &Machine, picture: &mut Picture) {
        let place = |line| Place::File {
            path: self.path.clone(),
            line,
        };
        let mut container = Container::of(self.image.clone(), machine);
        container.entrypoint.extend(self.program.clone());
        container.command.clone_from(&self.arguments);
        for (variable, line) in &self.variables {
            if let Some((name, value)) = variable.split_once('=') {
                container.environment.set_at(name, value, place(*line));
            }
        }
        for (inside, outside) in &self.volumes {
            container.show(inside, outside.clone());
        }
        let (rank, next) = self.when();
        let why = "keeps what it was made with until it is made anew";
        let trail = Trail {
            chain: vec![Link::new(LinkKind::Container, self.name.clone(), why).at(place(1))],
            rank,
            next_run: Some(next),
            user: super::owner(machine, "root"),
        };
        container.follow(&place(1), machine, &trail, picture);
    }

    fn when(&self) -> (Rank, NextRun) {
        match self.restart.as_str() {
            _ if self.running => (Rank::Process, NextRun::On("now".into())),
            "always" => (Rank::Scheduled, NextRun::On("when Docker starts".into())),
            _ => (
                Rank::Manual,
                NextRun::Never("it is not known to run".into()),
            ),
        }
    }
}

impl Labels {
    fn read(&mut self, label: &str, value: &str) {
        let paths = || {
            value
                .split(',')
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        };
        match label.strip_prefix(PREFIX) {
            Some("project") => value.clone_into(&mut self.project),
            Some("service") => self.services = vec![value.to_owned()],
            Some("project.config_files") => self.files = paths().collect(),
            Some("project.working_dir") => self.folder = paths().next(),
            Some("project.environment_file") => self.variables = paths().collect(),
            _ => {}
        }
    }

    /// What names the whole project, if the container is one of it.
    fn of_project(&self) -> Option<Self> {
        (!self.files.is_empty()).then(|| Self {
            project: self.project.clone(),
            services: self.services.clone(),
            files: self.files.clone(),
            folder: self.folder.clone(),
            variables: self.variables.clone(),
            place: self.place.clone(),
        })
    }

    /// Adds what the services use that have containers.
    fn follow(&self, machine: &Machine, picture: &mut Picture) {
        let mut surroundings = Environment::of(None, machine.root.clone());
        surroundings.root.clone_from(&machine.root);
        let folder = self
            .folder
            .as_deref()
            .map(|folder| surroundings.absolute(folder));
        let absolute = |path: &PathBuf| match (path.is_absolute(), &folder) {
            (false, Some(folder)) => folder.join(path),
            _ => surroundings.absolute(path),
        };
        let files: Vec<_> = self.files.iter().map(absolute).collect();
        let Some(beside) = files.first().and_then(|file| file.parent()) else {
            return;
        };
        let project = Project {
            folder: folder.clone().unwrap_or_else(|| beside.to_owned()),
            variables: (!self.variables.is_empty())
                .then(|| self.variables.iter().map(absolute).collect()),
            surroundings: &surroundings,
            files,
        };
        let mut trail = Trail {
            chain: vec![Link::new(
                LinkKind::Container,
                format!("the Compose project {}", self.project),
                "has containers",
            )],
            rank: Rank::Scheduled,
            next_run: None,
            user: super::owner(machine, "root"),
        };
        trail.chain[0].place = self.place.clone().map(|path| Place::File { path, line: 1 });
        let services = compose::services(&project, machine, &trail, picture);
        for (name, service) in services {
            if !self.services.contains(&name) {
                continue;
            }
            let link = Link::new(LinkKind::Container, name, "makes").at(service.place.clone());
            let Some(mut trail) = trail.then(link) else {
                return;
            };
            (trail.rank, trail.next_run) = match service.restart.as_deref() {
                Some("always" | "unless-stopped") => (
                    Rank::Scheduled,
                    Some(NextRun::On("when its container is made anew".into())),
                ),
                _ => (
                    Rank::Manual,
                    Some(NextRun::Never(
                        "its container is made by hand: docker compose up".into(),
                    )),
                ),
            };
            service
                .container
                .follow(&service.place, machine, &trail, picture);
        }
    }
}
