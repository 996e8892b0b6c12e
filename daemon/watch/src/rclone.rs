//! Which key rclone would use for a remote (consumers.md 1). Measured with rclone 1.75.2.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bascule_formats::{
    Dialect, Document,
    rclone::{self as format, Reference},
};

use crate::{
    environment::Environment,
    found::{FoundKey, NotUsable},
    read::{Text, Value, credentials, endpoint, region},
};

/// Wrappers with exactly one target, in the option `remote`.
const WRAPPERS: [&str; 7] = [
    "alias", "archive", "cache", "chunker", "compress", "crypt", "hasher",
];
/// rclone refuses only a remote that points to itself.
const DEEPEST_WRAPPER: usize = 8;

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
/// the s3 remote. Variables count as in rclone: `RCLONE_S3_…` before `RCLONE_CONFIG_<NAME>_…`
/// before the file.
pub fn remote(name: &str, env: &Environment) -> Result<FoundKey, NotUsable> {
    let name = name.strip_suffix(':').unwrap_or(name);
    let text = match locate(env) {
        Some(path) => Text::read(&path)?,
        None => None,
    };
    let path = text.as_ref().map(|text| text.path.as_path());
    let document = match &text {
        Some(text) => parse(text)?,
        None => Document::empty(Dialect::Rclone),
    };
    let remotes = Remotes {
        document,
        path,
        env,
    };
    let mut name = name.to_owned();
    let mut seen = BTreeSet::new();
    loop {
        let Some(kind) = remotes.own(&name, "type") else {
            return Err(match path {
                None if seen.is_empty() => NotUsable::NoConfiguration { tool: "rclone" },
                _ => NotUsable::NoSuchName {
                    what: "remote",
                    name,
                    path: path.map(Path::to_owned),
                },
            });
        };
        if kind.text() == "s3" {
            return remotes.key(&name);
        }
        let Some(next) = remotes.target(&name, kind.text())? else {
            return Err(NotUsable::NotS3(name));
        };
        if seen.len() == DEEPEST_WRAPPER || !seen.insert(name.clone()) {
            return Err(NotUsable::Circle(name));
        }
        name = next;
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

struct Remotes<'a> {
    document: Document<'a>,
    /// Where the document stands, if there is a file.
    path: Option<&'a Path>,
    env: &'a Environment,
}

impl<'a> Remotes<'a> {
    /// An option of a remote, without the variables that hold for a whole kind of remotes.
    fn own(&self, remote: &str, option: &str) -> Option<Value> {
        // Only the case changes: `my-r2` is `MY-R2` and never `MY_R2`.
        let variable = format!(
            "RCLONE_CONFIG_{}_{}",
            remote.to_uppercase(),
            option.to_uppercase()
        );
        if let Some(value) = self.env.variable(&variable) {
            return Some(Value::in_variable(value, variable));
        }
        let line = format::entry(&self.document, remote, option)?.line;
        let value = format::value(&self.document, remote, option)?;
        Some(Value::in_file(value, self.path?, line))
    }

    fn option(&self, remote: &str, kind: &str, option: &str) -> Option<Value> {
        let variable = format!("RCLONE_{}_{}", kind.to_uppercase(), option.to_uppercase());
        match self.env.variable(&variable) {
            Some(value) => Some(Value::in_variable(value, variable)),
            None => self.own(remote, option),
        }
    }

    /// The remote that a wrapper wraps.
    fn target(&self, remote: &str, kind: &str) -> Result<Option<String>, NotUsable> {
        if matches!(kind, "union" | "combine") {
            return Err(NotUsable::SeveralTargets(remote.to_owned()));
        }
        if !WRAPPERS.contains(&kind) {
            return Ok(None);
        }
        let Some(target) = self.option(remote, kind, "remote") else {
            return Ok(None);
        };
        match format::reference_of(target.text()) {
            Reference::Remote(next) => Ok(Some(next.to_owned())),
            Reference::ConnectionString => Err(NotUsable::ConnectionString(remote.to_owned())),
            Reference::LocalPath => Err(NotUsable::LocalTarget(remote.to_owned())),
        }
    }

    fn key(&self, remote: &str) -> Result<FoundKey, NotUsable> {
        let option = |name| self.option(remote, "s3", name);
        let (id, secret) = match (option("access_key_id"), option("secret_access_key")) {
            (Some(id), Some(secret)) => (id, secret),
            (Some(_), None) => return Err(NotUsable::NoSecret(remote.to_owned())),
            // A static key is used even if env_auth is set; without one rclone looks around.
            (None, _) if option("env_auth").is_some_and(|value| is_true(value.text())) => {
                return Err(NotUsable::EnvAuth(remote.to_owned()));
            }
            (None, _) => return Err(NotUsable::NoKey(remote.to_owned())),
        };
        if option("session_token").is_some() {
            return Err(NotUsable::SessionToken(remote.to_owned()));
        }
        if option("role_arn").is_some() {
            return Err(NotUsable::Role(remote.to_owned()));
        }
        Ok(FoundKey {
            credentials: credentials(&id, &secret)?,
            endpoint: endpoint(option("endpoint").as_ref())?,
            region: region(option("region").as_ref())?,
            provider: option("provider").map(|value| value.text().to_owned()),
            place: id.place(),
        })
    }
}

/// The spellings that Go reads as true.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

#[cfg(test)]
mod tests;
