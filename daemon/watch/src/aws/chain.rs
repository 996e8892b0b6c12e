//! Which keys a run of an AWS tool, or of a tool with an AWS library, would use: arguments, variables,
//! profiles and the profiles behind them. It never runs a `credential_process`.

use std::{borrow::Cow, path::Path};

use bascule_formats::{Dialect, aws::is_profile};

use super::{File, Found, Profile, Texts, config_file, credentials_file};
use crate::{
    catalogue::Catalogue,
    command::{self, Command},
    environment::Environment,
    found::{NotUsable, Place},
    machine::Machine,
    picture::{HeldKey, Link, LinkKind, Picture, Standing, Trail},
    read::Value,
    tools::variables,
};

/// A profile may name another one as its source; nobody's chain is longer.
const DEEPEST: usize = 8;

/// Whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sdk {
    /// The AWS CLI, boto3 and what else is built on botocore.
    Botocore,
    /// The SDK for Go, in rclone.
    Go,
    /// minio-go, in restic: reads the credentials file as the SDK for Go does, and no other.
    Minio,
}

/// What is asked: which key would this run use?
pub(crate) struct Question<'a> {
    pub(crate) sdk: Sdk,
    /// The kind of consumer that the answer is put under.
    pub(crate) kind: &'static str,
    pub(crate) machine: &'a Machine,
    pub(crate) environment: &'a Environment,
    /// The profile that the run itself names, which stands before every variable.
    pub(crate) profile: Option<&'a str>,
    /// A file that is read in place of the usual config file (rclone's `shared_credentials_file`).
    pub(crate) file: Option<&'a str>,
    pub(crate) bucket: Option<String>,
}

/// A key that a run could take, and the profiles that lead to it.
struct Candidate {
    links: Vec<Link>,
    key: HeldKey,
    standing: Standing,
}

impl Question<'_> {
    /// Adds the answer: the key that counts, and those that stand behind it.
    pub(crate) fn answer(&self, trail: &Trail, picture: &mut Picture) {
        let texts = match self.texts() {
            Ok(texts) => texts,
            Err(error) => return picture.unusable(trail, "the AWS files", &error),
        };
        let mut files = Files::parse(&texts, self.sdk);
        for (path, error) in std::mem::take(&mut files.errors) {
            picture.unusable(trail, path, &error);
        }
        let mut candidates = Vec::new();
        let from_variables = variables(self.environment);
        let named = |variable: &&str| self.environment.variable(variable);
        let fallback = match self.sdk {
            Sdk::Botocore => ["AWS_DEFAULT_PROFILE", "AWS_PROFILE"],
            Sdk::Go | Sdk::Minio => ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"],
        };
        let fallback = fallback
            .iter()
            .find_map(|variable| named(variable).map(|name| (name, *variable)));
        let fallback = fallback.map_or(("default", "by default"), |(name, by)| (name, by));
        match self.profile {
            Some(name) => {
                let known = self.profile(&files, name, "names the profile", trail, picture);
                let Some(mut found) = known else {
                    let error = NotUsable::NoSuchName {
                        what: "profile",
                        name: name.to_owned(),
                        path: texts.any_path().map(Path::to_owned),
                    };
                    return picture.unusable(trail, format!("profile {name}"), &error);
                };
                if found.is_empty() {
                    self.nothing(&files, name, trail, picture);
                }
                candidates.append(&mut found);
                // A run that names its profile never takes the variables' key in its place.
                let behind = from_variables.map(|mut candidate| {
                    if candidates.is_empty() && candidate.standing == Standing::Effective {
                        let by = format!("profile {name}");
                        candidate.standing = Standing::Shadowed { by };
                    }
                    candidate
                });
                candidates.extend(behind);
            }
            None => {
                let half = from_variables
                    .as_ref()
                    .filter(|candidate| candidate.key.secret.is_none())
                    .map(|candidate| candidate.key.place.to_string());
                candidates.extend(from_variables);
                let why = if fallback.1.starts_with("AWS") {
                    format!("named by ${}", fallback.1)
                } else {
                    "takes the profile by default".into()
                };
                let found = self.profile(&files, fallback.0, &why, trail, picture);
                candidates.extend(found.unwrap_or_default());
                candidates.extend(self.legacy(trail, picture));
                if let Some(half) = half.filter(|_| self.sdk == Sdk::Botocore) {
                    for candidate in &mut candidates {
                        candidate.standing = Standing::Unused {
                            why: format!("the AWS tools end at {half}, which has no secret"),
                        };
                    }
                }
            }
        }
        let run = files.profile(self.profile.unwrap_or(fallback.0));
        for candidate in &mut candidates {
            self.server(run.as_ref(), &mut candidate.key);
        }
        self.tell(candidates, trail, picture);
    }

    /// Where botocore looks when no profile has a key: a file of the first EC2 tools, then the
    /// configuration of boto before its third version.
    fn legacy(&self, trail: &Trail, picture: &mut Picture) -> Vec<Candidate> {
        if self.sdk != Sdk::Botocore {
            return Vec::new();
        }
        let environment = self.environment;
        let of_ec2 = environment.variable("AWS_CREDENTIAL_FILE");
        let of_ec2 = of_ec2.and_then(|path| environment.expanded(path));
        let boto = match environment.variable("BOTO_CONFIG") {
            Some(path) => vec![environment.expanded(path)],
            None => vec![
                Some(environment.root.join("etc/boto.cfg")),
                environment.in_home(".boto"),
            ],
        };
        let files = [("ec2-credentials", of_ec2)].into_iter();
        let files = files.chain(boto.into_iter().map(|path| ("boto", path)));
        let mut found = Vec::new();
        for (row, path) in files {
            let (Some(path), Some(row)) = (path, Catalogue::builtin().row(row)) else {
                continue;
            };
            match row.read(&path, environment) {
                Ok(reading) => {
                    let entries = reading.into_iter().flat_map(|reading| reading.entries);
                    found.extend(entries.map(|entry| Candidate {
                        links: vec![entry.link],
                        key: entry.key,
                        standing: entry.standing,
                    }));
                }
                Err(error) => picture.unusable(trail, path.display().to_string(), &error),
            }
        }
        found
    }

    /// Where the run goes with a key: variables stand before the profile that it runs with, which need
    /// not be the one that holds the key.
    fn server(&self, run: Option<&Profile<'_>>, key: &mut HeldKey) {
        let environment = self.environment;
        let variable = |names: [&str; 2]| {
            let mut set = names.iter();
            set.find_map(|name| {
                let value = environment.variable(name)?;
                Some(Value::at(value, environment.place_of(name)))
            })
        };
        let profiles_own = || run?.endpoint().ok()?;
        let ignored = self
            .environment
            .variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let endpoint = variable(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]).or_else(profiles_own);
        if ignored {
            (key.endpoint, key.endpoint_place) = (None, None);
        } else if let Some(endpoint) = endpoint {
            key.goes_to(endpoint.text(), endpoint.place());
        }
        let region = variable(["AWS_REGION", "AWS_DEFAULT_REGION"]);
        let region = region.map(|region| region.text().to_owned());
        if let Some(region) = region.or_else(|| run?.text("region")) {
            key.region = region.parse().ok();
        }
    }

    /// Says why a profile leads to no key, unless that was said already.
    fn nothing(&self, files: &Files<'_>, name: &str, trail: &Trail, picture: &mut Picture) {
        let profile = files.profile(name);
        if let Some(Err(error)) = profile.map(|profile| profile.key())
            && !matches!(error, NotUsable::Process(_))
        {
            picture.unusable(trail, format!("profile {name}"), &error);
        }
    }

    fn texts(&self) -> Result<Texts, NotUsable> {
        let config = match self.file {
            _ if self.sdk == Sdk::Minio => None,
            Some(file) => self.environment.expanded(file),
            None => config_file(self.environment),
        };
        Texts::read(credentials_file(self.environment), config)
    }

    /// The first that can be used counts, the others stand behind it.
    fn tell(&self, candidates: Vec<Candidate>, trail: &Trail, picture: &mut Picture) {
        let counts = candidates
            .iter()
            .find(|candidate| candidate.standing == Standing::Effective)
            .map(|candidate| candidate.key.place.clone());
        for candidate in candidates {
            let mut trail = trail.clone();
            trail.chain.extend(candidate.links);
            let standing = match (&counts, candidate.standing) {
                (Some(by), Standing::Effective) if *by != candidate.key.place => {
                    Standing::Shadowed { by: by.to_string() }
                }
                (_, standing) => standing,
            };
            let bucket = self.bucket.clone();
            picture.add(self.kind, &trail, candidate.key, standing, bucket);
        }
    }

    /// The keys that a profile leads to; `None` if there is no such profile.
    fn profile(
        &self,
        files: &Files<'_>,
        name: &str,
        why: &str,
        trail: &Trail,
        picture: &mut Picture,
    ) -> Option<Vec<Candidate>> {
        let mut name = Cow::Borrowed(name);
        let mut why = Cow::Borrowed(why);
        let mut links = Vec::new();
        let mut seen = Vec::new();
        loop {
            let Some(profile) = files.profile(&name) else {
                return (!links.is_empty()).then(Vec::new);
            };
            links.push(profile.link(why.into_owned()));
            if let Some(program) = profile.process() {
                self.program(&program, links, trail, picture);
                return Some(Vec::new());
            }
            let source = profile
                .text("source_profile")
                .filter(|_| profile.has("role_arn"));
            match source {
                // A profile may be its own source.
                Some(source) if source != name && seen.len() < DEEPEST => {
                    if seen.contains(&source) {
                        return Some(Vec::new());
                    }
                    seen.push(name.into_owned());
                    name = Cow::Owned(source);
                    why = Cow::Borrowed("assumes a role with the key of");
                }
                _ if profile.text("credential_source").as_deref() == Some("Environment") => {
                    let mut found: Vec<_> = variables(self.environment).into_iter().collect();
                    for candidate in &mut found {
                        candidate.links.clone_from(&links);
                    }
                    return Some(found);
                }
                _ => return Some(profile.candidates(&links, files.rejected)),
            }
        }
    }

    /// A `credential_process`: what it prints is not known, but its own keys may be.
    fn program(&self, program: &str, links: Vec<Link>, trail: &Trail, picture: &mut Picture) {
        let mut trail = trail.clone();
        trail.chain.extend(links);
        picture.gap(
            &trail,
            "credential_process",
            "the key is printed by a program, which is not run",
            "run that program yourself and compare the id that it prints",
        );
        let arguments: Vec<String> = program
            .split_whitespace()
            .map(|word| word.trim_matches('"').to_owned())
            .collect();
        let shown = arguments.first().cloned().unwrap_or_default();
        if let Some(trail) = trail.then(Link::new(LinkKind::Command, shown, "asks the program")) {
            let command = Command {
                arguments,
                environment: self.environment.clone(),
            };
            command::follow(&command, self.machine, &trail, picture);
        }
    }
}

/// The key in the variables of a run.
fn variables(environment: &Environment) -> Option<Candidate> {
    let key = variables::key(environment, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")?;
    let standing = match key.secret {
        Some(_) => Standing::Effective,
        None => no_secret(),
    };
    Some(Candidate {
        links: Vec::new(),
        key,
        standing,
    })
}

fn no_secret() -> Standing {
    Standing::Unused {
        why: "no secret stands beside it".into(),
    }
}

/// The two files, as a library reads them.
struct Files<'a> {
    credentials: Option<File<'a>>,
    config: Option<File<'a>>,
    /// Why the library would read neither, although they can be read.
    rejected: Option<NotRead>,
    errors: Vec<(String, NotUsable)>,
}

/// A file that the library refuses.
#[derive(Clone, Copy)]
struct NotRead {
    line: u32,
}

impl<'a> Files<'a> {
    fn parse(texts: &'a Texts, sdk: Sdk) -> Self {
        let mut files = Self {
            credentials: None,
            config: None,
            rejected: None,
            errors: Vec::new(),
        };
        files.credentials = files.file(texts.credentials.as_ref(), sdk);
        files.config = files.file(texts.config.as_ref(), sdk);
        files
    }

    /// What botocore refuses is read as the other library does: the keys are there all the same.
    fn file(&mut self, text: Option<&'a crate::read::Text>, sdk: Sdk) -> Option<File<'a>> {
        let text = text?;
        let dialect = match sdk {
            Sdk::Botocore => Dialect::Aws,
            Sdk::Go | Sdk::Minio => Dialect::GoSdk,
        };
        match File::parse(text, dialect) {
            Ok(file) => Some(file),
            Err(NotUsable::Parse { source, .. })
                if sdk == Sdk::Botocore && File::parse(text, Dialect::GoSdk).is_ok() =>
            {
                self.rejected = Some(NotRead { line: source.line });
                File::parse(text, Dialect::GoSdk).ok()
            }
            Err(error) => {
                self.errors.push((text.path.display().to_string(), error));
                None
            }
        }
    }

    fn profile(&self, name: &str) -> Option<Profile<'_>> {
        let credentials = self
            .credentials
            .as_ref()
            .and_then(|file| file.profile(|section| section == name));
        let config = self
            .config
            .as_ref()
            .and_then(|file| file.profile(|section| is_profile(section, name)));
        let found = credentials.or(config)?;
        Some(Profile {
            name: found.name_of(name),
            credentials,
            config,
        })
    }

    /// The names of all profiles, each once.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let mut add = |name: &str| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        };
        if let Some(file) = &self.credentials {
            for section in file.document.sections() {
                add(section.name);
            }
        }
        if let Some(file) = &self.config {
            for section in file.document.sections() {
                let bare = section.name.strip_prefix("profile").map_or_else(
                    || section.name.trim(),
                    |rest| rest.trim().trim_matches(['"', '\'']),
                );
                if is_profile(section.name, bare) {
                    add(bare);
                }
            }
        }
        names
    }
}

impl<'a> Found<'a> {
    fn name_of(&self, asked: &str) -> &'a str {
        if self.section == asked {
            return self.section;
        }
        let rest = self.section.strip_prefix("profile").unwrap_or(self.section);
        rest.trim().trim_matches(['"', '\''])
    }

    fn place(&self) -> Option<Place> {
        let sections = self.file.document.sections();
        let section = sections
            .iter()
            .find(|section| section.name == self.section)?;
        Some(Place::File {
            path: self.file.path.to_owned(),
            line: section.line,
        })
    }
}

impl Profile<'_> {
    fn text(&self, key: &str) -> Option<String> {
        let value = self.value(key).ok().flatten()?;
        Some(value.text().to_owned())
    }

    fn link(&self, why: String) -> Link {
        let link = Link::new(LinkKind::Entry, format!("profile {}", self.name), why);
        let place = self
            .credentials
            .or(self.config)
            .and_then(|found| found.place());
        match place {
            Some(place) => link.at(place),
            None => link,
        }
    }

    /// The program that prints the key, if no file that stands before it holds one.
    fn process(&self) -> Option<String> {
        let own = self
            .credentials
            .and_then(|found| found.entry("aws_access_key_id"))
            .is_some_and(|entry| !entry.value.is_empty());
        if own {
            return None;
        }
        self.text("credential_process")
    }

    /// The keys that stand in the profile: that of the credentials file counts before that of the
    /// config file.
    fn candidates(&self, links: &[Link], rejected: Option<NotRead>) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for found in [self.credentials, self.config].into_iter().flatten() {
            let text = |key: &str| {
                let entry = found.entry(key).filter(|entry| !entry.value.is_empty());
                entry.map(|entry| (entry.value, entry.line))
            };
            let Some((id, line)) = text("aws_access_key_id") else {
                continue;
            };
            let place = Place::File {
                path: found.file.path.to_owned(),
                line,
            };
            let secret = text("aws_secret_access_key").map(|(secret, _)| secret);
            let Some(mut key) = HeldKey::read(Some(id), secret, place) else {
                continue;
            };
            key.temporary = ["aws_session_token", "aws_security_token"]
                .iter()
                .any(|name| text(name).is_some());
            if let Some(endpoint) = self.endpoint().ok().flatten() {
                key.goes_to(endpoint.text(), endpoint.place());
            }
            key.region = self.text("region").and_then(|region| region.parse().ok());
            let standing = match (rejected, &key.secret) {
                (Some(NotRead { line }), _) => Standing::Unused {
                    why: format!("the AWS tools refuse the file for its line {line}"),
                },
                (None, None) => no_secret(),
                (None, Some(_)) => Standing::Effective,
            };
            candidates.push(Candidate {
                links: links.to_vec(),
                key,
                standing,
            });
        }
        candidates
    }
}

/// Adds every profile of the usual files.
pub(crate) fn configured(
    machine: &Machine,
    environment: &Environment,
    trail: &Trail,
    picture: &mut Picture,
) {
    let question = Question {
        sdk: Sdk::Botocore,
        kind: "aws",
        machine,
        environment,
        profile: None,
        file: None,
        bucket: None,
    };
    let texts = match question.texts() {
        Ok(texts) => texts,
        Err(error) => return picture.unusable(trail, "the AWS files", &error),
    };
    let mut files = Files::parse(&texts, Sdk::Botocore);
    for (path, error) in std::mem::take(&mut files.errors) {
        picture.unusable(trail, path, &error);
    }
    picture.files_read +=
        u64::from(texts.credentials.is_some()) + u64::from(texts.config.is_some());
    for name in files.names() {
        let found = question.profile(&files, &name, "stands in", trail, picture);
        question.tell(found.unwrap_or_default(), trail, picture);
    }
}
