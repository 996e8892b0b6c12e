//! Compose projects: their services as containers, with the variables, files and volumes that Compose would
//! give them.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bascule_formats::{
    compose::{self, Kind},
    environment_file::{self, Dialect},
};
use zeroize::Zeroizing;

use crate::{
    container::Container,
    environment::Environment,
    found::Place,
    machine::Machine,
    picture::{Picture, Trail},
    read::{self, Text},
};

/// Projects in projects, and services that change services that change services.
const DEEPEST: usize = 8;
/// Services of all files together.
const MOST_SERVICES: usize = 1_000;

/// A project as somebody asks for it.
pub(crate) struct Project<'a> {
    /// Its files; the later ones change what the first says.
    pub(crate) files: Vec<PathBuf>,
    /// What its paths are relative to.
    pub(crate) folder: PathBuf,
    /// Its files of variables; `None`: `.env` of its folder.
    pub(crate) variables: Option<Vec<PathBuf>>,
    /// Whoever starts it.
    pub(crate) surroundings: &'a Environment,
}

/// A service of a project.
pub(crate) struct Service {
    pub(crate) container: Container,
    /// Where the file tells of it.
    pub(crate) place: Place,
    pub(crate) restart: Option<String>,
    /// It is only started if one of these is asked for; without any always.
    pub(crate) profiles: Vec<String>,
}

/// The services of a project by their names. What can't be read is a gap.
pub(crate) fn services(
    project: &Project<'_>,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) -> BTreeMap<String, Service> {
    let mut loading = Loading {
        machine,
        trail,
        picture,
        read: 0,
    };
    let variables = Variables::of(project, &mut loading);
    let defined = loading.project(project, &variables, DEEPEST);
    let services = defined.into_iter();
    services
        .map(|(name, defined)| (name, loading.service(defined, project)))
        .collect()
}

/// What `$X` means in a project: the surroundings go first.
struct Variables<'a> {
    surroundings: &'a Environment,
    files: BTreeMap<String, (Zeroizing<String>, Place)>,
}

impl<'a> Variables<'a> {
    fn of(project: &Project<'a>, loading: &mut Loading<'_>) -> Self {
        let mut own = Self {
            surroundings: project.surroundings,
            files: BTreeMap::new(),
        };
        let usual = || vec![project.folder.join(".env")];
        for path in project.variables.clone().unwrap_or_else(usual) {
            let Some(text) = loading.text(&path, project.variables.is_some()) else {
                continue;
            };
            let content = text.as_str().unwrap_or_default();
            let known = |name: &str| own.surroundings.set_variable(name);
            for one in environment_file::parse(content, Dialect::Compose, known) {
                let place = text.place(one.line);
                own.files.insert(one.name, (one.value, place));
            }
        }
        own
    }

    fn value(&self, name: &str) -> Option<Zeroizing<String>> {
        let outside = self.surroundings.set_variable(name);
        outside.map_or_else(
            || self.files.get(name).map(|(value, _)| value.clone()),
            |value| Some(Zeroizing::new(value.to_owned())),
        )
    }

    /// Where a variable is set that has a value.
    fn place(&self, name: &str) -> Option<Place> {
        if self.surroundings.set_variable(name).is_some() {
            return Some(self.surroundings.place_of(name));
        }
        self.files.get(name).map(|(_, place)| place.clone())
    }
}

/// A service with its paths made absolute.
#[derive(Clone)]
struct Defined {
    service: compose::Service,
    place: Place,
    /// Where each variable stands.
    places: BTreeMap<String, Place>,
    /// Variables of its project, for those that have no value of their own and for its files.
    known: BTreeMap<String, Zeroizing<String>>,
}

impl Defined {
    fn changed_by(mut self, other: &Self) -> Self {
        self.service = self.service.changed_by(&other.service);
        self.place.clone_from(&other.place);
        self.places.extend(
            other
                .places
                .iter()
                .map(|(name, place)| (name.clone(), place.clone())),
        );
        self.known.extend(
            other
                .known
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        self
    }
}

struct Loading<'a> {
    machine: &'a Machine,
    trail: &'a Trail,
    picture: &'a mut Picture,
    /// Files that were read.
    read: usize,
}

impl Loading<'_> {
    fn gap(&mut self, what: &impl ToString, why: impl Into<String>, remedy: &str) {
        self.picture.gap(self.trail, what.to_string(), why, remedy);
    }

    fn text(&mut self, path: &Path, needed: bool) -> Option<Text> {
        let path = read::resolved(&self.machine.root, path);
        self.read += 1;
        if self.read > MOST_SERVICES {
            return None;
        }
        match Text::read(&path) {
            Ok(Some(text)) => {
                self.picture.files_read += 1;
                match text.as_str() {
                    Ok(_) => return Some(text),
                    Err(error) => {
                        self.picture
                            .unusable(self.trail, path.display().to_string(), &error);
                    }
                }
            }
            Ok(None) if needed => self.gap(
                &path.display(),
                "Compose needs this file, and it is not there",
                "look whether the project still starts",
            ),
            Ok(None) => {}
            Err(error) => self
                .picture
                .unusable(self.trail, path.display().to_string(), &error),
        }
        None
    }

    /// The services of a project and of those that are part of it.
    fn project(
        &mut self,
        project: &Project<'_>,
        variables: &Variables<'_>,
        depth: usize,
    ) -> BTreeMap<String, Defined> {
        let mut all: BTreeMap<String, Defined> = BTreeMap::new();
        for path in &project.files {
            let Some((file, path)) = self.file(path, variables) else {
                continue;
            };
            for include in &file.includes {
                let included = self.include(include, project, variables, depth);
                for (name, service) in included {
                    all.entry(name).or_insert(service);
                }
            }
            let shared = shared(&file, &project.folder, project.surroundings);
            for (name, service) in &file.services {
                let own = defined(service, &path, &project.folder, &shared, variables);
                let merged = match all.remove(name) {
                    Some(before) => before.changed_by(&own),
                    None => own,
                };
                if all.len() < MOST_SERVICES {
                    all.insert(name.clone(), merged);
                }
            }
        }
        let names: Vec<_> = all.keys().cloned().collect();
        for name in names {
            if let Some(whole) = self.extended(&name, &all, project, variables, DEEPEST) {
                all.insert(name, whole);
            }
        }
        all
    }

    fn file(&mut self, path: &Path, variables: &Variables<'_>) -> Option<(compose::File, PathBuf)> {
        let text = self.text(path, true)?;
        let content = text.as_str().unwrap_or_default();
        match compose::parse(content, &|name| variables.value(name)) {
            Ok(file) => Some((file, text.path.clone())),
            Err(error) => {
                let what = text.path.display().to_string();
                self.gap(&what, error.to_string(), "mend the file, and look again");
                None
            }
        }
    }

    fn include(
        &mut self,
        include: &compose::Include,
        project: &Project<'_>,
        variables: &Variables<'_>,
        depth: usize,
    ) -> BTreeMap<String, Defined> {
        let path = |text: &String| absolute(text, &project.folder, project.surroundings);
        let files: Vec<PathBuf> = include.files.iter().map(path).collect();
        let Some(first) = files.first() else {
            return BTreeMap::new();
        };
        if depth == 0 {
            self.gap(
                &first.display(),
                format!("projects in projects are followed {DEEPEST} deep"),
                "look at it yourself",
            );
            return BTreeMap::new();
        }
        let beside = first.parent().unwrap_or(first).to_owned();
        let inner = Project {
            folder: include.folder.as_ref().map_or(beside, path),
            variables: (!include.variables.is_empty())
                .then(|| include.variables.iter().map(path).collect()),
            surroundings: project.surroundings,
            files,
        };
        // What the project around it knows goes first.
        let mut own = Variables::of(&inner, self);
        own.files.extend(
            variables
                .files
                .iter()
                .map(|(name, found)| (name.clone(), found.clone())),
        );
        self.project(&inner, &own, depth - 1)
    }

    /// A service with what it extends; `None` if it extends nothing, or nothing that can be read.
    fn extended(
        &mut self,
        name: &str,
        all: &BTreeMap<String, Defined>,
        project: &Project<'_>,
        variables: &Variables<'_>,
        depth: usize,
    ) -> Option<Defined> {
        let mut own = all.get(name)?.clone();
        let extends = own.service.extends.take()?;
        if depth == 0 {
            self.gap(
                &own.place,
                "services extend each other without an end",
                "mend the file",
            );
            return None;
        }
        let base = match &extends.file {
            None => {
                let whole = self.extended(&extends.service, all, project, variables, depth - 1);
                whole.or_else(|| all.get(&extends.service).cloned())
            }
            Some(file) => {
                let path = absolute(file, &project.folder, project.surroundings);
                let folder = path.parent().unwrap_or(&path).to_owned();
                let inner = Project {
                    files: Vec::new(),
                    folder: folder.clone(),
                    variables: None,
                    surroundings: project.surroundings,
                };
                let (file, path) = self.file(&path, variables)?;
                let shared = shared(&file, &folder, project.surroundings);
                let services = file.services.iter();
                let others: BTreeMap<_, _> = services
                    .map(|(name, service)| {
                        (
                            name.clone(),
                            defined(service, &path, &folder, &shared, variables),
                        )
                    })
                    .collect();
                let whole = self.extended(&extends.service, &others, &inner, variables, depth - 1);
                whole.or_else(|| others.get(&extends.service).cloned())
            }
        };
        match base {
            Some(mut base) => {
                // Profiles are the base's own.
                base.service.profiles.clear();
                base.service.extends = None;
                Some(base.changed_by(&own))
            }
            None => {
                let why = format!(
                    "it extends the service {:?}, which is not there",
                    extends.service
                );
                self.gap(&own.place, why, "mend the file, and look again");
                None
            }
        }
    }

    fn service(&mut self, defined: Defined, project: &Project<'_>) -> Service {
        let machine = self.machine;
        let service = defined.service;
        let mut container = Container::of(service.image.unwrap_or_default(), machine);
        container.entrypoint = service.entrypoint.unwrap_or_default();
        container.command = service.command.unwrap_or_default();
        let known = |name: &str| defined.known.get(name).map(|value| value.as_str());
        for file in &service.files {
            let Some(text) = self.text(Path::new(&file.path), file.required) else {
                continue;
            };
            let dialect = if file.raw {
                Dialect::Docker
            } else {
                Dialect::Compose
            };
            let content = text.as_str().unwrap_or_default();
            for one in environment_file::parse(content, dialect, known) {
                let place = text.place(one.line);
                container
                    .environment
                    .set_at(one.name, one.value.as_str(), place);
            }
        }
        for variable in service.variables {
            let value = variable
                .value
                .as_ref()
                .map(|value| value.as_str())
                .or_else(|| known(&variable.name));
            match (value, defined.places.get(&variable.name)) {
                (Some(value), Some(place)) => {
                    container
                        .environment
                        .set_at(variable.name.clone(), value, place.clone());
                }
                _ => container.environment.unset(&variable.name),
            }
        }
        if let Some(folder) = &service.folder {
            container.environment.current_folder = project
                .surroundings
                .root
                .join(folder.trim_start_matches('/'));
        }
        for bind in service.binds {
            let outside = machine.seen(Path::new(&bind.source));
            container.show(&bind.target, outside);
        }
        Service {
            container,
            place: defined.place,
            restart: service.restart,
            profiles: service.profiles,
        }
    }
}

/// Files of configurations and secrets, by kind and name, as they lie on this machine.
type SharedFiles = BTreeMap<(Kind, String), PathBuf>;

fn shared(file: &compose::File, folder: &Path, surroundings: &Environment) -> SharedFiles {
    let files = file.shared.iter();
    files
        .map(|(at, path)| (at.clone(), absolute(path, folder, surroundings)))
        .collect()
}

/// A service of a file, with its paths made absolute.
fn defined(
    service: &compose::Service,
    file: &Path,
    folder: &Path,
    shared: &SharedFiles,
    variables: &Variables<'_>,
) -> Defined {
    let mut service = service.clone();
    let at = |line| Place::File {
        path: file.to_owned(),
        line,
    };
    let text = |path: &str| {
        absolute(path, folder, variables.surroundings)
            .display()
            .to_string()
    };
    for file in &mut service.files {
        file.path = text(&file.path);
    }
    for bind in &mut service.binds {
        bind.source = text(&bind.source);
    }
    for one in std::mem::take(&mut service.shared) {
        let Some(path) = shared.get(&(one.kind, one.name.clone())) else {
            continue;
        };
        let (within, name) = match (one.kind, one.target) {
            (_, Some(target)) if target.starts_with('/') => ("", target),
            (Kind::Config, target) => ("/", target.unwrap_or(one.name)),
            (Kind::Secret, target) => ("/run/secrets/", target.unwrap_or(one.name)),
        };
        service.binds.push(compose::Bind {
            source: path.display().to_string(),
            target: format!("{within}{name}"),
        });
    }
    let mut places = BTreeMap::new();
    let mut known = BTreeMap::new();
    for one in &service.variables {
        let outside = match &one.value {
            Some(_) => one.source.as_deref(),
            None => Some(one.name.as_str()),
        };
        let place = outside.and_then(|name| variables.place(name));
        places.insert(one.name.clone(), place.unwrap_or_else(|| at(one.line)));
    }
    for (name, (value, _)) in &variables.files {
        known.insert(name.clone(), value.clone());
    }
    for (name, value, _) in variables.surroundings.variables() {
        known.insert(name.to_owned(), Zeroizing::new(value.to_owned()));
    }
    Defined {
        place: at(service.line),
        service,
        places,
        known,
    }
}

/// A path as a file of a project writes it, as it lies on this machine.
fn absolute(path: &str, folder: &Path, surroundings: &Environment) -> PathBuf {
    let mut from = surroundings.clone();
    from.clear();
    from.current_folder = folder.to_owned();
    from.expanded(path).unwrap_or_else(|| folder.join(path))
}
