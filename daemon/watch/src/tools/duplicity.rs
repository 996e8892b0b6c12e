//! duplicity: its URL says whether the key is rclone's or one of the AWS tools.

use super::{listed, rclone};
use crate::{
    aws::{Question, Sdk},
    command::Command,
    machine::Machine,
    picture::{Picture, Trail},
};

/// Adds the keys that a run of `duplicity` would use.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let schemes = ["s3://", "boto3+s3://", "s3+http://"];
    for argument in command.arguments.iter().skip(1) {
        if let Some(remote) = argument.strip_prefix("rclone://") {
            rclone::reference(remote, command, machine, trail, picture);
        } else if schemes.iter().any(|scheme| argument.starts_with(scheme)) {
            let question = Question {
                sdk: Sdk::Botocore,
                kind: "duplicity",
                machine,
                environment: &command.environment,
                profile: None,
                file: None,
                bucket: listed::bucket(command),
            };
            return question.answer(trail, picture);
        }
    }
}
