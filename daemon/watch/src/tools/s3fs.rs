//! s3fs: which line of which password file a mount takes (consumers.md 3).

use std::path::PathBuf;

use super::order::Order;
use crate::{
    aws::{Question, Sdk},
    catalogue::{Catalogue, Row},
    command::Command,
    found::Place,
    machine::Machine,
    picture::{Picture, Trail},
    tools::variables,
};

const KIND: &str = "s3fs";

/// Adds the keys that a run of `s3fs BUCKET FOLDER -o OPTIONS` would use. `mount.fuse.s3fs` has the
/// same arguments.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let Some(row) = Catalogue::builtin().row(KIND) else {
        return;
    };
    let options = Options::of(command);
    if options.get("public_bucket").is_some_and(|on| on != "0") {
        return;
    }
    let bucket = options.bucket.split(':').next().unwrap_or_default();
    let environment = &command.environment;
    let from = picture.uses.len();
    let mut order = Order::new(picture);
    let file = |order: &mut Order<'_>, path: Option<PathBuf>| {
        if let Some(path) = path {
            order.then(|picture| passwords(row, &path, bucket, command, trail, picture));
        }
    };
    let given = options.get("passwd_file");
    if let Some(path) = given {
        file(&mut order, environment.expanded(path));
    }
    // The newer name of each half stands before the older one.
    let set = |names: [&'static str; 2]| {
        let mut names = names.into_iter();
        names.find(|name| environment.variable(name).is_some())
    };
    let id = set(["AWS_ACCESS_KEY_ID", "AWSACCESSKEYID"]);
    let secret = set(["AWS_SECRET_ACCESS_KEY", "AWSSECRETACCESSKEY"]);
    // With half a pair it ends, unless a file was given to it.
    let ends = id.is_some() != secret.is_some();
    if let Some(id) = id
        && let Some(key) = variables::key(environment, id, secret.unwrap_or_default())
    {
        let standing = key.standing();
        order.then(|picture| picture.add(KIND, trail, key, standing, None));
    }
    // Nor is looked behind a file or profile that is given.
    let named = environment.variable("AWS_CREDENTIAL_FILE");
    if given.is_none() && !ends {
        match (named, options.get("profile")) {
            (Some(path), _) => file(&mut order, environment.expanded(path)),
            (None, profile) => {
                order.then(|picture| of_profile(profile, command, machine, trail, picture));
                if profile.is_none() {
                    file(&mut order, environment.in_home(".passwd-s3fs"));
                    file(&mut order, Some(environment.root.join("etc/passwd-s3fs")));
                }
            }
        }
    }
    let endpoint = options.get("url");
    for found in picture.uses.iter_mut().skip(from) {
        (found.key.endpoint, found.key.endpoint_place) = (None, None);
        if let Some(endpoint) = endpoint {
            found.key.goes_to(endpoint, Place::Argument("url".into()));
        }
        found.bucket = Some(bucket.to_owned()).filter(|bucket| !bucket.is_empty());
    }
}

/// The key in `~/.aws/credentials`. No variable names another profile or file to it.
fn of_profile(
    profile: Option<&str>,
    command: &Command,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let mut environment = command.environment.clone();
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
    ] {
        environment.unset(name);
    }
    let question = Question {
        sdk: Sdk::Minio,
        kind: KIND,
        machine,
        environment: &environment,
        profile,
        file: None,
        bucket: None,
    };
    question.answer(trail, picture);
}

/// The line of a password file for this bucket, or else the one for all.
fn passwords(
    row: &Row,
    path: &std::path::Path,
    bucket: &str,
    command: &Command,
    trail: &Trail,
    picture: &mut Picture,
) {
    match row.read(path, &command.environment) {
        Ok(Some(mut reading)) => {
            let own = |name: &Option<String>| name.as_deref() == Some(bucket);
            let has_own = reading.entries.iter().any(|entry| own(&entry.name));
            reading.entries.retain(|entry| {
                if has_own {
                    own(&entry.name)
                } else {
                    entry.name.is_none()
                }
            });
            picture.files_read += 1;
            reading.tell(KIND, trail, picture, |standing| standing);
        }
        Ok(None) => {}
        Err(error) => picture.unusable(trail, path.display().to_string(), &error),
    }
}

/// What a mount is told.
struct Options<'c> {
    bucket: &'c str,
    options: Vec<(&'c str, &'c str)>,
}

impl<'c> Options<'c> {
    fn of(command: &'c Command) -> Self {
        let mut bucket = "";
        let mut options = Vec::new();
        let mut arguments = command.arguments.iter().skip(1);
        while let Some(argument) = arguments.next() {
            let list = match argument.strip_prefix("-o") {
                Some("") => arguments.next().map_or("", String::as_str),
                Some(list) => list,
                None if argument.starts_with('-') => continue,
                None => {
                    if bucket.is_empty() {
                        bucket = argument.strip_prefix("s3fs#").unwrap_or(argument);
                    }
                    continue;
                }
            };
            let pairs = list
                .split(',')
                .map(|option| option.split_once('=').unwrap_or((option, "")));
            options.extend(pairs);
        }
        if let Some((_, named)) = options.iter().find(|(name, _)| *name == "bucket") {
            bucket = named;
        }
        Self { bucket, options }
    }

    fn get(&self, name: &str) -> Option<&'c str> {
        let found = self
            .options
            .iter()
            .rev()
            .find(|(option, _)| *option == name)?;
        Some(found.1)
    }
}
