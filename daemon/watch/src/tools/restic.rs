//! restic: where its repository is, and which of many keys it would take (consumers.md 3). The order
//! is that of restic 0.18; repositories on a remote of rclone lead on to that.

use std::path::Path;

use super::{listed, order::Order, rclone};
use crate::{
    aws::{Question, Sdk},
    catalogue::{Catalogue, Row},
    command::Command,
    found::Place,
    machine::Machine,
    picture::{HeldKey, Picture, Standing, Trail},
    read::Text,
    tools::variables,
};

const KIND: &str = "restic";

/// Adds the keys that a run of `restic` would use.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    match repository(command, trail, picture) {
        Some((text, place)) => {
            of_repository(&text, &place, KIND, command, machine, trail, picture);
        }
        None => variables::uses(command, trail, picture),
    }
}

/// Adds the keys behind a repository that restic, or a tool that runs restic, is told of.
pub(super) fn of_repository(
    text: &str,
    origin: &Place,
    kind: &'static str,
    command: &Command,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    if let Some(remote) = text.strip_prefix("rclone:") {
        return rclone::reference(remote, command, machine, trail, picture);
    }
    let Some((endpoint, bucket)) = place_of(text) else {
        return;
    };
    let environment = &command.environment;
    let half = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let set = half.map(|name| environment.variable(name).is_some());
    if set[0] != set[1] {
        // It ends at once, whatever stands elsewhere.
        let key = variables::key(environment, half[0], half[1]);
        if let Some(key) = key {
            let why = "restic refuses to run with half a pair in variables".into();
            picture.add(kind, trail, key, Standing::Unused { why }, bucket);
        }
        return;
    }
    let from = picture.uses.len();
    let mut order = Order::new(picture);
    // Each pair of variables counts only whole; the names of a pair stand in for one another.
    let mut pair = |ids: [&str; 2], secrets: [&str; 2]| {
        let id = ids.iter().find(|name| environment.variable(name).is_some());
        let secret = secrets
            .iter()
            .find(|name| environment.variable(name).is_some());
        let Some(id) = id else { return };
        let secret = secret.and_then(|name| environment.variable(name));
        let key = HeldKey::read(environment.variable(id), secret, environment.place_of(id));
        if let Some(key) = key {
            let standing = key.standing();
            order.then(|picture| picture.add(kind, trail, key, standing, None));
        }
    };
    pair(
        ["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"],
        ["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"],
    );
    pair(
        ["MINIO_ROOT_USER", "MINIO_ROOT_USER"],
        ["MINIO_ROOT_PASSWORD", "MINIO_ROOT_PASSWORD"],
    );
    pair(
        ["MINIO_ACCESS_KEY", "MINIO_ACCESS_KEY"],
        ["MINIO_SECRET_KEY", "MINIO_SECRET_KEY"],
    );
    let mut without = environment.clone();
    without.unset("AWS_ACCESS_KEY_ID");
    order.then(|picture| {
        let question = Question {
            sdk: Sdk::Minio,
            kind,
            machine,
            environment: &without,
            profile: None,
            file: None,
            bucket: None,
        };
        question.answer(trail, picture);
    });
    order.then(|picture| alias(kind, command, trail, picture));
    for found in picture.uses.iter_mut().skip(from) {
        found.key.goes_to(&endpoint, origin.clone());
        found.key.region = environment
            .variable("AWS_DEFAULT_REGION")
            .and_then(|region| region.parse().ok());
        found.bucket.clone_from(&bucket);
    }
}

/// The alias of mc that minio-go falls back to.
fn alias(kind: &str, command: &Command, trail: &Trail, picture: &mut Picture) {
    let environment = &command.environment;
    let path = match environment.variable("MINIO_SHARED_CREDENTIALS_FILE") {
        Some(path) => Some(environment.absolute(Path::new(path))),
        None => environment.in_home(".mc/config.json"),
    };
    let alias = environment.variable("MINIO_ALIAS").unwrap_or("s3");
    let (Some(row), Some(path)) = (Catalogue::builtin().row("mc"), path) else {
        return;
    };
    match row.read(&path, environment) {
        Ok(Some(mut reading)) => {
            reading
                .entries
                .retain(|entry| entry.name.as_deref() == Some(alias));
            reading.tell(kind, trail, picture, |standing| standing);
        }
        Ok(None) => {}
        Err(error) => picture.unusable(trail, path.display().to_string(), &error),
    }
}

/// What the repository is: the option, the variable, or the file that one of them names.
fn repository(command: &Command, trail: &Trail, picture: &mut Picture) -> Option<(String, Place)> {
    let environment = &command.environment;
    let option = |names: [&str; 2]| names.iter().find_map(|name| command.option(name));
    let short = || {
        let glued = |argument: &&String| argument.starts_with("-r") && argument.len() > 2;
        let argument = command.arguments.iter().skip(1).find(glued)?;
        Some(argument[2..].trim_start_matches('='))
    };
    if let Some(text) = option(["-r", "--repo"]).or_else(short) {
        return Some((text.to_owned(), Place::Argument("--repo".into())));
    }
    if let Some(path) = option(["--repository-file", "--repository-file"]) {
        return of_file(&command.path(path), trail, picture);
    }
    if let Some(text) = environment.variable("RESTIC_REPOSITORY") {
        let place = environment.place_of("RESTIC_REPOSITORY");
        return Some((text.to_owned(), place));
    }
    let path = environment.variable("RESTIC_REPOSITORY_FILE")?;
    of_file(&command.path(path), trail, picture)
}

fn of_file(path: &Path, trail: &Trail, picture: &mut Picture) -> Option<(String, Place)> {
    match Text::read(path) {
        Ok(text) => {
            let text = text?;
            let place = text.place(1);
            text.as_str()
                .ok()
                .map(|text| (text.trim().to_owned(), place))
        }
        Err(error) => {
            picture.unusable(trail, path.display().to_string(), &error);
            None
        }
    }
}

/// Endpoint and bucket of a repository; `None` for one that is not on S3.
pub(crate) fn place_of(repository: &str) -> Option<(String, Option<String>)> {
    repository.strip_prefix("s3:").map(parts)
}

/// Endpoint and bucket of what follows `s3:`.
fn parts(place: &str) -> (String, Option<String>) {
    let (scheme, rest) = match place.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("https", place.trim_start_matches("//")),
    };
    let (host, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let bucket = rest.split('/').next().unwrap_or_default();
    (
        format!("{scheme}://{host}"),
        (!bucket.is_empty()).then(|| bucket.to_owned()),
    )
}

/// Adds what a tool that runs restic, or Borg, would use: of its own configuration, and where that holds
/// no key, what restic takes for the repositories that it names.
pub(super) fn front(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let Some(row) = Catalogue::builtin().of_program(command.program()) else {
        return;
    };
    let named = row.name_flags.iter().find_map(|flag| command.option(flag));
    let mut order = Order::new(picture);
    order.then(|picture| listed::of_variables(row, command, trail, picture));
    order.then(|picture| listed::files(row, command, named, trail, picture));
    behind(row, named, command, machine, trail, &mut order);
}

/// The repositories that a configuration names: those on a remote of rclone lead on to that, and for
/// those on S3 restic looks around if nothing before had a key.
pub(super) fn behind(
    row: &'static Row,
    named: Option<&str>,
    command: &Command,
    machine: &Machine,
    trail: &Trail,
    order: &mut Order<'_>,
) {
    let settled = order.is_settled();
    for path in listed::paths(row, command).0 {
        let origin = Place::File {
            path: path.clone(),
            line: 0,
        };
        for repository in row.repositories(&path, named) {
            let look = |picture: &mut Picture| {
                of_repository(
                    &repository,
                    &origin,
                    &row.id,
                    command,
                    machine,
                    trail,
                    picture,
                );
            };
            if repository.starts_with("rclone:") {
                order.beside(look);
            } else if !settled {
                order.then(look);
            }
        }
    }
}
