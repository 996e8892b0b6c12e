//! The AWS CLI.

use crate::{
    aws::{Question, Sdk},
    command::Command,
    found::Place,
    machine::Machine,
    picture::{Picture, Trail},
};

/// Adds the key that a run of `aws` would use: `--profile`, then variables, then profiles.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let bucket = command
        .arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("s3://"))
        .or_else(|| command.option("--bucket"))
        .and_then(|path| path.split('/').next())
        .filter(|bucket| !bucket.is_empty());
    let question = Question {
        sdk: Sdk::Botocore,
        kind: "aws",
        machine,
        environment: &command.environment,
        profile: command.option("--profile"),
        file: None,
        bucket: bucket.map(str::to_owned),
    };
    let from = picture.uses.len();
    question.answer(trail, picture);
    // Stands before variables and profiles.
    let option = "--endpoint-url";
    if let Some(endpoint) = command.option(option) {
        for found in picture.uses.iter_mut().skip(from) {
            found.key.goes_to(endpoint, Place::Argument(option.into()));
        }
    }
}
