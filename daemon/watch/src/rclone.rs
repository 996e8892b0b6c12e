//! Which keys rclone would use for a path on a remote (consumers.md 1). Measured with rclone 1.75.2.

mod graph;

use std::path::{Path, PathBuf};

use bascule_formats::{
    Dialect, Document,
    rclone::{self as format, Reference, Target},
};

use crate::{
    command::Command,
    environment::Environment,
    found::{FoundKey, NotUsable, Place},
    read::{Text, Value, credentials, endpoint, region},
};

pub(crate) use graph::{End, Lead, S3};

/// The configuration file that rclone would read. `None` when it would keep its configuration in
/// memory, or when no file exists.
#[must_use]
pub fn locate(env: &Environment) -> Option<PathBuf> {
    if let Some(given) = env.set_variable("RCLONE_CONFIG") {
        // rclone takes the path as it is: neither `~` nor `$NAME` is replaced in it.
        let path = Path::new(given);
        let memory_only = given.is_empty()
            || given == "/dev/null"
            || path.file_name().is_some_and(|name| name == "notfound");
        return (!memory_only).then(|| env.absolute(path));
    }
    let beside_program = env
        .variable("PATH")
        .and_then(|path| beside_program(path, env));
    let in_config = env
        .variable("XDG_CONFIG_HOME")
        .map(|folder| env.absolute(Path::new(folder)).join("rclone/rclone.conf"));
    [
        beside_program,
        in_config,
        env.in_home(".config/rclone/rclone.conf"),
        env.in_home(".rclone.conf"),
    ]
    .into_iter()
    .flatten()
    .find(|path| path.exists())
}

/// The configuration file that rclone reads, or else the one it would make. `None` when it keeps
/// its configuration in memory, or has no home.
#[must_use]
pub fn file(env: &Environment) -> Option<PathBuf> {
    locate(env).or_else(|| {
        if env.set_variable("RCLONE_CONFIG").is_some() {
            return None;
        }
        env.variable("XDG_CONFIG_HOME")
            .map(|folder| env.absolute(Path::new(folder)).join("rclone/rclone.conf"))
            .or_else(|| env.in_home(".config/rclone/rclone.conf"))
    })
}

/// The variable that makes a remote of this name exist without a file, if it is set.
#[must_use]
pub fn variable_of(remote: &str, env: &Environment) -> Option<String> {
    let variable = format!("RCLONE_CONFIG_{}_TYPE", remote.to_uppercase());
    env.variable(&variable).is_some().then_some(variable)
}

/// `rclone.conf` in the folder of the program itself, links resolved.
fn beside_program(path: &str, env: &Environment) -> Option<PathBuf> {
    let program = std::env::split_paths(path)
        .map(|folder| env.absolute(&folder).join("rclone"))
        .find(|program| program.is_file())?;
    Some(program.canonicalize().ok()?.with_file_name("rclone.conf"))
}

/// The key that rclone would use for a remote. Wrappers such as crypt and alias are followed to
/// the s3 remote.
pub fn remote(name: &str, env: &Environment) -> Result<FoundKey, NotUsable> {
    let name = name.strip_suffix(':').unwrap_or(name);
    let reference = Reference {
        target: Target::Named(name),
        options: Vec::new(),
        path: "",
    };
    let configuration = Configuration::load(locate(env).as_deref(), env)?;
    let leads = configuration.remotes(env, None)?.leads(&reference);
    let [lead] =
        <[Lead; 1]>::try_from(leads).map_err(|_| NotUsable::SeveralTargets(name.to_owned()))?;
    match lead.end {
        End::Key(s3) => s3.usable(),
        End::Surroundings { remote, .. } => Err(NotUsable::EnvAuth(remote)),
        End::Anonymous(remote) => Err(NotUsable::NoKey(remote)),
        End::Local(remote) => Err(NotUsable::LocalTarget(remote)),
        End::Elsewhere(remote) => Err(NotUsable::NotS3(remote)),
        End::Refused(error) => Err(error),
    }
}

/// A configuration file, or none.
pub(crate) struct Configuration {
    text: Option<Text>,
}

impl Configuration {
    /// Reads the file, if there is one. An encrypted one is opened if the surroundings hold its
    /// password.
    pub(crate) fn load(path: Option<&Path>, env: &Environment) -> Result<Self, NotUsable> {
        let text = match path {
            Some(path) => Text::read(path)?,
            None => None,
        };
        let password = env.variable("RCLONE_CONFIG_PASS");
        let text = match (text, password) {
            (Some(text), Some(password)) if format::is_encrypted(text.as_str()?) => {
                let opened = format::unlock(text.as_str()?, password);
                let opened = opened.map_err(|source| NotUsable::Locked {
                    path: text.path.clone(),
                    source,
                })?;
                Some(text.unlocked(&opened))
            }
            (text, _) => text,
        };
        Ok(Self { text })
    }

    /// What it says, as `env` and the flags of a `command` complete it.
    pub(crate) fn remotes<'a>(
        &'a self,
        env: &'a Environment,
        command: Option<&'a Command>,
    ) -> Result<Remotes<'a>, NotUsable> {
        let document = match &self.text {
            Some(text) => parse(text)?,
            None => Document::empty(Dialect::Rclone),
        };
        Ok(Remotes {
            document,
            text: self.text.as_ref(),
            env,
            command,
        })
    }
}

fn parse(text: &Text) -> Result<Document<'_>, NotUsable> {
    let content = text.as_str()?;
    if format::is_encrypted(content) {
        return Err(NotUsable::Encrypted {
            path: text.path.clone(),
        });
    }
    Document::parse(content, Dialect::Rclone).map_err(|source| NotUsable::Parse {
        path: text.path.clone(),
        source,
    })
}

/// The remotes of a configuration, as one run of rclone would see them.
pub(crate) struct Remotes<'a> {
    document: Document<'a>,
    /// The file of the document, if there is one.
    text: Option<&'a Text>,
    env: &'a Environment,
    command: Option<&'a Command>,
}

impl Remotes<'_> {
    /// The names of all remotes: those of the file, and those that only variables make.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let typed = |section: &&bascule_formats::Section<'_>| {
            section.entries.iter().any(|entry| entry.key == "type")
        };
        for section in self.document.sections().iter().filter(typed) {
            if !names.iter().any(|name| name == section.name) {
                names.push(section.name.to_owned());
            }
        }
        for (variable, value, _) in self.env.variables() {
            let name = variable
                .strip_prefix("RCLONE_CONFIG_")
                .and_then(|rest| rest.strip_suffix("_TYPE"));
            if let Some(name) = name.filter(|name| !name.is_empty() && !value.is_empty())
                && !names.iter().any(|known| known.to_uppercase() == name)
            {
                names.push(name.to_lowercase());
            }
        }
        names
    }

    /// Whether there is a remote of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.own(name, "type").is_some()
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.text.map(|text| text.path.as_path())
    }

    /// An option of a remote, without what holds for a whole kind of remotes.
    fn own(&self, remote: &str, option: &str) -> Option<Value> {
        self.in_variable(remote, option)
            .or_else(|| self.in_file(remote, option))
    }

    /// Only the case changes: `my-r2` is `MY-R2` and never `MY_R2`.
    fn in_variable(&self, remote: &str, option: &str) -> Option<Value> {
        let variable = format!(
            "RCLONE_CONFIG_{}_{}",
            remote.to_uppercase(),
            option.to_uppercase()
        );
        let value = self.env.variable(&variable)?;
        Some(Value::at(value, self.env.place_of(&variable)))
    }

    fn in_file(&self, remote: &str, option: &str) -> Option<Value> {
        let line = format::entry(&self.document, remote, option)?.line;
        let value = format::value(&self.document, remote, option)?;
        Some(Value::in_file(value, self.text?.place(line)))
    }

    /// Where a remote begins.
    fn place(&self, remote: &str) -> Option<Place> {
        let section = self
            .document
            .sections()
            .iter()
            .find(|section| section.name == remote)?;
        Some(self.text?.place(section.line))
    }
}

impl S3 {
    /// The key, if it is a permanent one with its secret.
    fn usable(&self) -> Result<FoundKey, NotUsable> {
        let name = || self.remote.clone();
        let (id, secret) = match (self.ids.first(), self.secrets.first()) {
            (Some(id), Some(secret)) => (id, secret),
            (Some(_), None) => return Err(NotUsable::NoSecret(name())),
            (None, _) => return Err(NotUsable::NoKey(name())),
        };
        if self.temporary {
            return Err(NotUsable::SessionToken(name()));
        }
        if self.role {
            return Err(NotUsable::Role(name()));
        }
        Ok(FoundKey {
            credentials: credentials(id, secret)?,
            endpoint: endpoint(self.server.endpoint.as_ref())?,
            region: region(self.server.region.as_ref())?,
            provider: self.server.provider.clone(),
            place: id.place(),
        })
    }
}

#[cfg(test)]
mod tests;
