//! s3cmd: flags, its file, and variables only where the file names no key; the AWS credentials only
//! without a file (consumers.md 3, and s3cmd 2.4's own source).

use std::path::Path;

use super::{listed, order::Order};
use crate::{
    aws::{Question, Sdk},
    catalogue::{Catalogue, Row},
    command::Command,
    machine::Machine,
    picture::{HeldKey, Picture, Standing, Trail},
    tools::variables,
};

const KIND: &str = "s3cmd";

/// Adds the keys that a run of `s3cmd` would use.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let Some(row) = Catalogue::builtin().row(KIND) else {
        return;
    };
    let from = picture.uses.len();
    let mut order = Order::new(picture);
    order.then(|picture| flags(command, trail, picture));
    let has_file = listed::paths(row, command)
        .0
        .iter()
        .any(|path| path.exists());
    if has_file {
        order.then(|picture| listed::files(row, command, None, trail, picture));
    } else {
        order.then(|picture| aws_file(row, command, machine, trail, picture));
    }
    order.then(|picture| of_variables(command, trail, picture));
    let bucket = listed::bucket(command);
    for found in picture.uses.iter_mut().skip(from) {
        found.bucket = found.bucket.take().or_else(|| bucket.clone());
    }
}

/// An id alone counts too: its secret is the one that would have been used.
fn flags(command: &Command, trail: &Trail, picture: &mut Picture) {
    let (id, secret) = (
        command.option("--access_key"),
        command.option("--secret_key"),
    );
    let place = crate::found::Place::Argument("--access_key".into());
    if let Some(key) = HeldKey::read(id, secret, place) {
        picture.add(KIND, trail, key, Standing::Effective, None);
    }
}

/// The names of a pair stand in for one another.
fn of_variables(command: &Command, trail: &Trail, picture: &mut Picture) {
    let environment = &command.environment;
    let first = |names: [&'static str; 2]| {
        let mut names = names.into_iter();
        names.find(|name| environment.variable(name).is_some())
    };
    let Some(id) = first(["AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID"]) else {
        return;
    };
    let secret = first(["AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"]).unwrap_or_default();
    if let Some(key) = variables::key(environment, id, secret) {
        let standing = key.standing();
        picture.add(KIND, trail, key, standing, None);
    }
}

/// The credentials file, which is read without a configuration if a variable names it or a profile.
fn aws_file(
    row: &'static Row,
    command: &Command,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let named = command.environment.variable("AWS_CREDENTIAL_FILE");
    let profile = command.environment.variable("AWS_PROFILE");
    if named.is_none() && profile.is_none() {
        return;
    }
    let mut environment = command.environment.clone();
    if let Some(path) = named.filter(|path| environment.absolute(Path::new(path)).is_file()) {
        environment.set("AWS_SHARED_CREDENTIALS_FILE", path.to_owned());
    }
    environment.unset("AWS_ACCESS_KEY_ID");
    let question = Question {
        sdk: Sdk::Minio,
        kind: &row.id,
        machine,
        environment: &environment,
        profile,
        file: None,
        bucket: None,
    };
    question.answer(trail, picture);
}
