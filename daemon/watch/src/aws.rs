//! Which key the AWS tools would use for a profile (consumers.md 2). Here only files are asked: the
//! variables that would stand before a profile belong to a run, see `chain`.

mod chain;

use std::path::{Path, PathBuf};

use bascule_formats::{Dialect, Document, Entry, aws::is_profile};

use crate::{
    environment::Environment,
    found::{FoundKey, NotUsable, Place},
    read::{Text, Value, credentials, endpoint, region},
};

pub(crate) use chain::{Question, Sdk, configured};

/// The key that the AWS tools would use for a profile. A profile in the credentials file wins
/// over one of the same name in the config file. Profiles without a permanent key of their own
/// are refused, each with the reason.
pub fn profile(name: &str, env: &Environment) -> Result<FoundKey, NotUsable> {
    let Texts {
        credentials: credentials_text,
        config: config_text,
    } = Texts::read(credentials_file(env), config_file(env))?;
    let parse = |text| File::parse(text, Dialect::Aws);
    let credentials_file = credentials_text.as_ref().map(parse).transpose()?;
    let config_file = config_text.as_ref().map(parse).transpose()?;
    let Some(first) = credentials_text.as_ref().or(config_text.as_ref()) else {
        return Err(NotUsable::NoConfiguration { tool: "AWS" });
    };
    let from_credentials = credentials_file
        .as_ref()
        .and_then(|file| file.profile(|section| section == name));
    let from_config = config_file
        .as_ref()
        .and_then(|file| file.profile(|section| is_profile(section, name)));
    if from_credentials.is_none() && from_config.is_none() {
        return Err(NotUsable::NoSuchName {
            what: "profile",
            name: name.to_owned(),
            path: Some(first.path.clone()),
        });
    }
    Profile {
        name,
        credentials: from_credentials,
        config: from_config,
    }
    .key()
}

/// The file of the AWS tools that holds keys, whether or not it is there. `None` without a home.
#[must_use]
pub fn credentials_file(env: &Environment) -> Option<PathBuf> {
    path(env, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")
}

/// The file of the AWS tools that holds settings, whether or not it is there.
#[must_use]
pub fn config_file(env: &Environment) -> Option<PathBuf> {
    path(env, "AWS_CONFIG_FILE", ".aws/config")
}

/// The file a variable names (`~` and `~/…` mean the home folder), or the usual one.
fn path(env: &Environment, variable: &str, usual: &str) -> Option<PathBuf> {
    match env.variable(variable) {
        Some(path) => env.expanded(path),
        None => env.in_home(usual),
    }
}

/// The two files, as far as they are there.
struct Texts {
    credentials: Option<Text>,
    config: Option<Text>,
}

impl Texts {
    fn any_path(&self) -> Option<&Path> {
        let text = self.credentials.as_ref().or(self.config.as_ref())?;
        Some(&text.path)
    }

    fn read(credentials: Option<PathBuf>, config: Option<PathBuf>) -> Result<Self, NotUsable> {
        let read = |path: Option<PathBuf>| match path {
            Some(path) => Text::read(&path),
            None => Ok(None),
        };
        Ok(Self {
            credentials: read(credentials)?,
            config: read(config)?,
        })
    }
}

struct File<'a> {
    path: &'a Path,
    document: Document<'a>,
}

impl<'a> File<'a> {
    fn parse(text: &'a Text, dialect: Dialect) -> Result<Self, NotUsable> {
        let document =
            Document::parse(text.as_str()?, dialect).map_err(|source| NotUsable::Parse {
                path: text.path.clone(),
                source,
            })?;
        Ok(Self {
            path: &text.path,
            document,
        })
    }

    fn profile(&self, is: impl Fn(&str) -> bool) -> Option<Found<'_>> {
        let section = self
            .document
            .sections()
            .iter()
            .rev()
            .find(|section| is(section.name))?
            .name;
        Some(Found {
            file: self,
            section,
        })
    }
}

/// A profile's section in one of the files.
#[derive(Clone, Copy)]
struct Found<'a> {
    file: &'a File<'a>,
    section: &'a str,
}

impl<'a> Found<'a> {
    fn entry(&self, key: &str) -> Option<&'a Entry<'a>> {
        self.file.document.entry(self.section, key)
    }

    fn value(&self, key: &str) -> Result<Option<Value>, NotUsable> {
        self.entry(key).map_or(Ok(None), |entry| self.single(entry))
    }

    fn single(&self, entry: &Entry<'a>) -> Result<Option<Value>, NotUsable> {
        let path = self.file.path;
        if entry.folded || !entry.nested.is_empty() {
            return Err(NotUsable::Folded {
                place: Place::File {
                    path: path.to_owned(),
                    line: entry.line,
                },
            });
        }
        let value = Value::in_file(
            entry.value.into(),
            Place::File {
                path: path.to_owned(),
                line: entry.line,
            },
        );
        Ok(Some(value).filter(|value| !value.text().is_empty()))
    }
}

struct Profile<'a> {
    name: &'a str,
    credentials: Option<Found<'a>>,
    config: Option<Found<'a>>,
}

impl<'a> Profile<'a> {
    /// Whether either file sets the key to something.
    fn has(&self, key: &str) -> bool {
        [self.credentials, self.config]
            .iter()
            .flatten()
            .any(|found| {
                found.entry(key).is_some_and(|entry| {
                    !entry.value.is_empty() || entry.folded || !entry.nested.is_empty()
                })
            })
    }

    fn value(&self, key: &str) -> Result<Option<Value>, NotUsable> {
        for found in [self.credentials, self.config].into_iter().flatten() {
            if let Some(value) = found.value(key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    fn key(&self) -> Result<FoundKey, NotUsable> {
        let name = || self.name.to_owned();
        if self.has("role_arn") {
            return Err(NotUsable::Role(name()));
        }
        if ["sso_session", "sso_start_url", "sso_account_id"]
            .iter()
            .any(|key| self.has(key))
        {
            return Err(NotUsable::Sso(name()));
        }
        let holder = [self.credentials, self.config]
            .into_iter()
            .flatten()
            .find(|found| {
                found
                    .entry("aws_access_key_id")
                    .is_some_and(|entry| !entry.value.is_empty())
            });
        let in_credentials = holder.is_some_and(|holder| holder.file.is_of(self.credentials));
        // The tools ask the program before they look for a key in the config file.
        if self.has("credential_process") && !in_credentials {
            return Err(NotUsable::Process(name()));
        }
        let holder = holder.ok_or_else(|| NotUsable::NoKey(name()))?;
        let id = holder
            .value("aws_access_key_id")?
            .ok_or_else(|| NotUsable::NoKey(name()))?;
        // Both halves come from one file.
        let secret = holder
            .value("aws_secret_access_key")?
            .ok_or_else(|| NotUsable::NoSecret(name()))?;
        let temporary = |key: &&str| {
            holder
                .entry(key)
                .is_some_and(|entry| !entry.value.is_empty())
        };
        if ["aws_session_token", "aws_security_token"]
            .iter()
            .any(temporary)
        {
            return Err(NotUsable::SessionToken(name()));
        }
        Ok(FoundKey {
            credentials: credentials(&id, &secret)?,
            endpoint: endpoint(self.endpoint()?.as_ref())?,
            region: region(self.value("region")?.as_ref())?,
            provider: None,
            place: id.place(),
        })
    }

    /// The endpoint for S3: of the `[services …]` section that the profile names, else its own.
    fn endpoint(&self) -> Result<Option<Value>, NotUsable> {
        if let (Some(config), Some(services)) = (self.config, self.value("services")?) {
            let section = |section: &str| {
                section
                    .strip_prefix("services")
                    .is_some_and(|name| name.trim() == services.text())
            };
            let services = config
                .file
                .profile(section)
                .and_then(|found| Some((found, found.entry("s3")?)));
            if let Some((found, s3)) = services
                && let Some(entry) = s3.nested.iter().find(|entry| entry.key == "endpoint_url")
            {
                return found.single(entry);
            }
        }
        self.value("endpoint_url")
    }
}

impl File<'_> {
    fn is_of(&self, found: Option<Found<'_>>) -> bool {
        found.is_some_and(|found| std::ptr::eq(found.file, self))
    }
}

#[cfg(test)]
mod tests;
