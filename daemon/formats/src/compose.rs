//! Compose files (compose-spec.io): which services there are, and what decides which keys they get. What
//! has nothing to do with that is passed over, and so are the tags `!reset` and `!override`.

mod interpolation;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

use crate::{
    hidden::without_value,
    ini::ParseError,
    leaves::{Leaf, Step, Structure, leaves},
    unit::exec::words,
};
use interpolation::{Fault, interpolated};

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The services by their names.
    pub services: BTreeMap<String, Service>,
    /// Other projects that are part of this one.
    pub includes: Vec<Include>,
    /// Files of `configs:` and `secrets:`, by kind and name.
    pub shared: BTreeMap<(Kind, String), String>,
}

/// A project that is part of another one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Include {
    /// Its files; the later ones change what the first says.
    pub files: Vec<String>,
    /// Its folder, if not that of its first file.
    pub folder: Option<String>,
    /// Its files of variables, if not `.env`.
    pub variables: Vec<String>,
}

/// One service. Paths are as the file has them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Service {
    /// The line that tells of it first, counted from 1.
    pub line: u32,
    /// The image.
    pub image: Option<String>,
    /// What replaces the image's entry point.
    pub entrypoint: Option<Vec<String>>,
    /// What replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Where it runs, in the container.
    pub folder: Option<String>,
    /// Variables. They stand before those of files.
    pub variables: Vec<Variable>,
    /// Files of variables, the later ones first.
    pub files: Vec<VariablesFile>,
    /// What of the machine it sees where.
    pub binds: Vec<Bind>,
    /// Which configurations and secrets it sees, and where if that is said.
    pub shared: Vec<Shared>,
    /// When it is started again.
    pub restart: Option<String>,
    /// It is only started if one of these is asked for; without any always.
    pub profiles: Vec<String>,
    /// The service that it changes.
    pub extends: Option<Extends>,
}

/// A variable of a service.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; `None`: that of the surroundings of Compose itself.
    pub value: Option<Zeroizing<String>>,
    /// The variable of the project whose value it is, if it is that alone.
    pub source: Option<String>,
    /// Counted from 1.
    pub line: u32,
}

/// Values may be secrets.
impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        without_value(f, "Variable", &self.name, self.line)
    }
}

/// A file of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariablesFile {
    /// Where it lies.
    pub path: String,
    /// Whether Compose refuses to start without it.
    pub required: bool,
    /// Whether its values are taken as they are (`format: raw`).
    pub raw: bool,
}

/// A path of the machine in a container.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Bind {
    /// On the machine.
    pub source: String,
    /// In the container.
    pub target: String,
}

/// What a service shares with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// What kind it is.
    pub kind: Kind,
    /// Its name in the file.
    pub name: String,
    /// Where the service sees it, if that is said.
    pub target: Option<String>,
}

/// What a file shares between services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `configs:`, in `/`.
    Config,
    /// `secrets:`, in `/run/secrets`.
    Secret,
}

/// A service that another one changes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Extends {
    /// Its file; `None`: the same project.
    pub file: Option<String>,
    /// Its name.
    pub service: String,
}

/// Why a file can't be used. No content of it but names of variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// It is no YAML.
    #[error(transparent)]
    Syntax(#[from] ParseError),
    /// Compose refuses to go on without a variable.
    #[error("line {line}: the variable {name} has to be set")]
    Needs {
        /// Which.
        name: String,
        /// Counted from 1.
        line: u32,
    },
    /// A `$` that begins no variable.
    #[error("line {line}: a $ begins no variable; a dollar is written $$")]
    Template {
        /// Counted from 1.
        line: u32,
    },
}

/// Reads a file. `lookup` tells the variables of the project.
pub fn parse(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<Zeroizing<String>>,
) -> Result<File, NotUsable> {
    let mut file = File::default();
    for leaf in leaves(text, Structure::Yaml)? {
        let [Step::Name(section), path @ ..] = leaf.path.as_slice() else {
            continue;
        };
        let line = leaf.line;
        let value = interpolated(&leaf.value, lookup).map_err(|fault| match fault {
            Fault::Needs(name) => NotUsable::Needs { name, line },
            Fault::Invalid => NotUsable::Template { line },
        });
        match (&**section, path) {
            ("services", [Step::Name(name), path @ ..]) => {
                let service = file.services.entry(name.to_string()).or_insert(Service {
                    line,
                    ..Service::default()
                });
                let absent = is_null(&leaf, text);
                service.read(path, &leaf.value, value?, absent, line);
            }
            ("include", path) => file.include(path, &value?),
            ("configs", [Step::Name(name), Step::Name(key)]) if key == "file" => {
                let at = (Kind::Config, name.to_string());
                file.shared.insert(at, value?.to_string());
            }
            ("secrets", [Step::Name(name), Step::Name(key)]) if key == "file" => {
                let at = (Kind::Secret, name.to_string());
                file.shared.insert(at, value?.to_string());
            }
            _ => {}
        }
    }
    for service in file.services.values_mut() {
        // A volume that has a name is no path of the machine.
        service
            .binds
            .retain(|bind| bind.source.starts_with(['.', '/', '~']) && !bind.target.is_empty());
    }
    Ok(file)
}

/// Whether a value is none, which is not the same as an empty text.
fn is_null(leaf: &Leaf<'_>, text: &str) -> bool {
    let quoted = text
        .get(..leaf.span.start)
        .is_some_and(|before| before.ends_with(['"', '\'']));
    matches!(&*leaf.value, "" | "~" | "null" | "Null" | "NULL") && !quoted
}

impl File {
    fn include(&mut self, path: &[Step<'_>], value: &str) {
        let [Step::Index(at), rest @ ..] = path else {
            return;
        };
        let at = *at as usize;
        if self.includes.len() <= at {
            self.includes.resize_with(at + 1, Include::default);
        }
        let include = &mut self.includes[at];
        match rest {
            [] => include.files.push(value.to_owned()),
            [Step::Name(key), ..] => match &**key {
                "path" => include.files.push(value.to_owned()),
                "project_directory" => include.folder = Some(value.to_owned()),
                "env_file" => include.variables.push(value.to_owned()),
                _ => {}
            },
            _ => {}
        }
    }
}

impl Service {
    /// `raw` is the value before its variables were replaced.
    fn read(
        &mut self,
        path: &[Step<'_>],
        raw: &str,
        value: Zeroizing<String>,
        absent: bool,
        line: u32,
    ) {
        let Some((Step::Name(key), below)) = path.split_first() else {
            return;
        };
        let text = || value.to_string();
        match (&**key, below) {
            ("image", []) => self.image = Some(text()),
            ("working_dir", []) => self.folder = Some(text()),
            ("restart", []) => self.restart = Some(text()),
            ("command", below) => listed(&mut self.command, below, &value, absent),
            ("entrypoint", below) => listed(&mut self.entrypoint, below, &value, absent),
            ("environment", [Step::Name(name)]) => {
                self.set(Variable {
                    name: name.to_string(),
                    value: (!absent).then_some(value),
                    source: interpolation::alone(raw),
                    line,
                });
            }
            ("environment", [Step::Index(_)]) => {
                let (name, set) = match value.split_once('=') {
                    Some((name, set)) => (name, Some(Zeroizing::new(set.to_owned()))),
                    None => (value.as_str(), None),
                };
                let source = raw.split_once('=').map_or("", |(_, raw)| raw);
                self.set(Variable {
                    name: name.to_owned(),
                    value: set,
                    source: interpolation::alone(source),
                    line,
                });
            }
            ("env_file", [] | [Step::Index(_)]) => {
                if !matches!(below, [Step::Index(1..)]) {
                    self.files.clear();
                }
                self.files.push(VariablesFile::at(text()));
            }
            ("env_file", [Step::Index(at), Step::Name(key)]) => {
                let at = *at as usize;
                if self.files.len() <= at {
                    let empty = || VariablesFile::at(String::new());
                    self.files.resize_with(at + 1, empty);
                }
                let file = &mut self.files[at];
                match &**key {
                    "path" => file.path = text(),
                    "required" => file.required = *value != "false",
                    "format" => file.raw = *value == "raw",
                    _ => {}
                }
            }
            ("volumes", [Step::Index(at)]) => {
                if let Some(bind) = Bind::short(&value) {
                    *self.bind(*at) = bind;
                }
            }
            ("volumes", [Step::Index(at), Step::Name(key)]) => match &**key {
                "source" | "src" => self.bind(*at).source = text(),
                "target" | "dst" | "destination" => self.bind(*at).target = text(),
                _ => {}
            },
            ("configs", below) => self.share(Kind::Config, below, &value),
            ("secrets", below) => self.share(Kind::Secret, below, &value),
            ("profiles", [Step::Index(_)]) => self.profiles.push(text()),
            ("extends", []) => self.extends.get_or_insert_default().service = text(),
            ("extends", [Step::Name(key)]) => {
                let extends = self.extends.get_or_insert_default();
                match &**key {
                    "file" => extends.file = Some(text()),
                    "service" => extends.service = text(),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn set(&mut self, variable: Variable) {
        // What merges from elsewhere stands first, and what is set again counts.
        self.variables.retain(|known| known.name != variable.name);
        self.variables.push(variable);
    }

    /// The volume at a place of the list; short and long ones stand side by side.
    fn bind(&mut self, at: u32) -> &mut Bind {
        let at = at as usize;
        if self.binds.len() <= at {
            self.binds.resize_with(at + 1, Bind::default);
        }
        &mut self.binds[at]
    }

    fn share(&mut self, kind: Kind, below: &[Step<'_>], value: &str) {
        let new = |name: &str| Shared {
            kind,
            name: name.to_owned(),
            target: None,
        };
        match below {
            [Step::Index(_)] => self.shared.push(new(value)),
            [Step::Index(_), Step::Name(key)] if key == "source" => self.shared.push(new(value)),
            [Step::Index(_), Step::Name(key)] if key == "target" => {
                if let Some(last) = self.shared.last_mut().filter(|last| last.kind == kind) {
                    last.target = Some(value.to_owned());
                }
            }
            _ => {}
        }
    }

    /// This service as another file or service changes it.
    #[must_use]
    pub fn changed_by(mut self, other: &Self) -> Self {
        fn replace<T: Clone>(own: &mut Option<T>, other: &Option<T>) {
            if other.is_some() {
                own.clone_from(other);
            }
        }
        replace(&mut self.image, &other.image);
        // The image's own command belongs to its entry point.
        if other.entrypoint.is_some() {
            self.command = None;
        }
        replace(&mut self.entrypoint, &other.entrypoint);
        replace(&mut self.command, &other.command);
        replace(&mut self.folder, &other.folder);
        replace(&mut self.restart, &other.restart);
        replace(&mut self.extends, &other.extends);
        for variable in &other.variables {
            self.set(variable.clone());
        }
        self.files.extend_from_slice(&other.files);
        for bind in &other.binds {
            self.binds.retain(|known| known.target != bind.target);
            self.binds.push(bind.clone());
        }
        self.shared.extend_from_slice(&other.shared);
        for profile in &other.profiles {
            if !self.profiles.contains(profile) {
                self.profiles.push(profile.clone());
            }
        }
        self.line = other.line;
        self
    }
}

impl VariablesFile {
    const fn at(path: String) -> Self {
        Self {
            path,
            required: true,
            raw: false,
        }
    }
}

impl Bind {
    /// `SOURCE:TARGET[:OPTIONS]`.
    #[must_use]
    pub fn short(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (source, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { source, target })
    }
}

/// A command: a list of words, or a text that is split into them.
fn listed(words_of: &mut Option<Vec<String>>, below: &[Step<'_>], value: &str, absent: bool) {
    match below {
        [Step::Index(0)] => *words_of = Some(vec![value.to_owned()]),
        [Step::Index(_)] => words_of.get_or_insert_default().push(value.to_owned()),
        [] if absent => *words_of = None,
        [] => {
            let split = words(value).unwrap_or_default();
            *words_of = Some(split.into_iter().map(|word| word.text).collect());
        }
        _ => {}
    }
}
