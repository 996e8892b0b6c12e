//! A tool that the table describes well enough: flags, variables, configurations and the AWS files in
//! the order that its row names.

use std::path::PathBuf;

use super::order::Order;
use crate::{
    aws::{Question, Sdk},
    catalogue::{Pair, Row, Source, named_by},
    command::Command,
    found::Place,
    machine::Machine,
    picture::{HeldKey, Picture, Standing, Trail},
    tools::variables,
};

/// Adds the keys that a command of the row's tool would use.
pub(super) fn uses(
    row: &'static Row,
    command: &Command,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let mut order = Order::new(picture);
    for source in &row.precedence {
        match source {
            Source::Flag => order.then(|picture| flags(row, command, trail, picture)),
            Source::Variable => order.then(|picture| of_variables(row, command, trail, picture)),
            Source::File => {
                let named = row.name_flags.iter().find_map(|flag| command.option(flag));
                order.then(|picture| files(row, command, named, trail, picture));
            }
            Source::Aws => order.then(|picture| aws(row, command, machine, trail, picture)),
        }
    }
}

fn flags(row: &Row, command: &Command, trail: &Trail, picture: &mut Picture) {
    for Pair { id, secret } in &row.flags {
        let place = Place::Argument(id.clone());
        let key = HeldKey::read(command.option(id), command.option(secret), place);
        if let Some(key) = key {
            picture.add(row.id.clone(), trail, key, Standing::Effective, None);
        }
    }
}

/// The keys in the variables that the row names; of those with a star all that fit.
pub(super) fn of_variables(row: &Row, command: &Command, trail: &Trail, picture: &mut Picture) {
    let environment = &command.environment;
    for Pair { id, secret } in &row.variables {
        let mut add = |id: &str, secret: &str| {
            let found = if secret == "url" {
                Row::of_variable(id, environment)
            } else {
                variables::key(environment, id, secret).map(|mut key| {
                    key.temporary &= id.starts_with("AWS_");
                    let standing = key.standing();
                    (key, standing)
                })
            };
            if let Some((key, standing)) = found {
                picture.add(row.id.clone(), trail, key, standing, None);
            }
        };
        let Some((before, after)) = id.split_once('*') else {
            add(id, secret);
            continue;
        };
        for (name, ..) in environment.variables() {
            let inner = name
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after));
            if let Some(inner) = inner.filter(|inner| !inner.is_empty()) {
                add(name, &secret.replace('*', inner));
            }
        }
    }
}

/// The configurations that this command reads.
pub(super) fn paths(row: &Row, command: &Command) -> (Vec<PathBuf>, bool) {
    let environment = &command.environment;
    let given: Vec<_> = row
        .path_flags
        .iter()
        .filter_map(|rule| named_by(rule, |flag| command.option(flag), environment))
        .collect();
    if given.is_empty() {
        (row.candidates(environment), false)
    } else {
        (given, true)
    }
}

/// Adds the keys in the configurations that a command reads, of one entry only if it names one.
pub(super) fn files(
    row: &Row,
    command: &Command,
    named: Option<&str>,
    trail: &Trail,
    picture: &mut Picture,
) {
    let (paths, given) = paths(row, command);
    let mut read = false;
    for path in paths {
        match row.read(&path, &command.environment) {
            Ok(Some(mut reading)) => {
                if let Some(named) = named {
                    reading
                        .entries
                        .retain(|entry| entry.name.as_deref().is_none_or(|name| name == named));
                }
                picture.files_read += 1;
                reading.tell(&row.id, trail, picture, |standing| standing);
                read = true;
                if row.reads_first() {
                    break;
                }
            }
            Ok(None) => {}
            Err(error) => picture.unusable(trail, path.display().to_string(), &error),
        }
    }
    if given && !read && picture.gaps.is_empty() {
        let remedy = "look whether the command still works";
        picture.gap(trail, "its configuration", "it is not there", remedy);
    }
}

/// Adds the key that the row's tool would take from the AWS files, or from the variables of AWS tools.
pub(super) fn aws(
    row: &'static Row,
    command: &Command,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let question = Question {
        sdk: row.sdk.unwrap_or(Sdk::Go),
        kind: &row.id,
        machine,
        environment: &command.environment,
        profile: command.option("--profile"),
        file: None,
        bucket: bucket(command),
    };
    question.answer(trail, picture);
}

/// The first bucket that an argument names as `s3://bucket/…`.
pub(super) fn bucket(command: &Command) -> Option<String> {
    let path = command
        .arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("s3://"))?;
    let bucket = path.split('/').next().unwrap_or_default();
    (!bucket.is_empty()).then(|| bucket.to_owned())
}
