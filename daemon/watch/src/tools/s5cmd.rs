//! s5cmd: a profile or credentials file that an option names stands before all else; without one it
//! looks as the AWS SDK for Go does (consumers.md 3, and s5cmd 2.3's own source).

use super::listed;
use crate::{
    aws::{Question, Sdk},
    command::Command,
    found::Place,
    machine::Machine,
    picture::{Picture, Trail},
    read::lenient_endpoint,
};

const KIND: &str = "s5cmd";

/// Adds the keys that a run of `s5cmd` would use.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    if command
        .arguments
        .iter()
        .any(|argument| argument == "--no-sign-request")
    {
        return;
    }
    let file = command.option("--credentials-file");
    let profile = command.option("--profile");
    let named = file.is_some() || profile.is_some();
    let mut environment = command.environment.clone();
    if let Some(file) = file {
        environment.set("AWS_SHARED_CREDENTIALS_FILE", file.to_owned());
    }
    let usual = command
        .environment
        .variable("AWS_PROFILE")
        .unwrap_or("default");
    let question = Question {
        sdk: if named { Sdk::Minio } else { Sdk::Go },
        kind: KIND,
        machine,
        environment: &environment,
        profile: named.then(|| profile.unwrap_or(usual)),
        file: None,
        bucket: listed::bucket(command),
    };
    let from = picture.uses.len();
    question.answer(trail, picture);
    let (option, variable) = ("--endpoint-url", "S3_ENDPOINT_URL");
    let endpoint = match (command.option(option), environment.variable(variable)) {
        (Some(given), _) => Some((given, Place::Argument(option.into()))),
        (None, Some(set)) => Some((set, environment.place_of(variable))),
        (None, None) => None,
    };
    if let Some((endpoint, place)) = endpoint.filter(|(text, _)| lenient_endpoint(text).is_some()) {
        for found in picture.uses.iter_mut().skip(from) {
            found.key.goes_to(endpoint, place.clone());
        }
    }
}
