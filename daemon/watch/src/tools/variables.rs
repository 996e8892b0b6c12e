//! A program that is not known: the key in the variables that its job sets is there for a reason.

use crate::{
    command::Command,
    picture::{HeldKey, Picture, Standing, Trail},
    read,
};

/// Variables that hold an access key id for most programs, each with the one of its secret.
const KEYS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ("AWS_ACCESS_KEY", "AWS_SECRET_KEY"),
    ("S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"),
    ("S3_ACCESS_KEY", "S3_SECRET_KEY"),
];

/// Adds the keys in variables that a job, a script or a file sets for the program. Those of the
/// person's own surroundings are nobody's in particular.
pub(super) fn uses(command: &Command, trail: &Trail, picture: &mut Picture) {
    let environment = &command.environment;
    for (id, secret) in KEYS {
        let set = environment
            .variables()
            .any(|(name, value, placed)| name == id && placed && !value.is_empty());
        if !set {
            continue;
        }
        let key = HeldKey::read(
            environment.variable(id),
            environment.variable(secret),
            environment.place_of(id),
        );
        let Some(mut key) = key else { continue };
        key.temporary = environment.variable("AWS_SESSION_TOKEN").is_some();
        key.endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
            .iter()
            .find_map(|name| environment.variable(name))
            .and_then(read::lenient_endpoint);
        key.region = ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .find_map(|name| environment.variable(name))
            .and_then(|region| region.parse().ok());
        picture.add("environment", trail, key, Standing::Effective, None);
    }
}
