//! A program that is not known: the key in the variables that its job sets is there for a reason.

use crate::{
    command::Command,
    environment::Environment,
    picture::{HeldKey, Link, LinkKind, Picture, Standing, Trail},
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
pub(crate) fn uses(command: &Command, trail: &Trail, picture: &mut Picture) {
    let placed = |name: &str| {
        let mut all = command.environment.variables();
        all.any(|(set, _, placed)| set == name && placed)
    };
    add(&command.environment, placed, trail, picture);
}

/// Adds the keys in the variables of who asks.
pub(crate) fn surroundings(environment: &Environment, trail: &Trail, picture: &mut Picture) {
    let mut trail = trail.clone();
    let link = Link::new(LinkKind::Process, "the shell that you ask from", "has set");
    trail.chain.push(link);
    add(environment, |_| true, &trail, picture);
}

/// The keys in variables that a job or a file sets, with the names of the variables: what may be set
/// to something else later.
pub(crate) fn placed(environment: &Environment) -> Vec<(&'static str, HeldKey)> {
    let set: Vec<&str> = environment
        .variables()
        .filter_map(|(name, _, placed)| placed.then_some(name))
        .collect();
    let keys = KEYS.into_iter().filter(|(id, _)| set.contains(id));
    keys.filter_map(|(id, secret)| Some((id, key(environment, id, secret)?)))
        .collect()
}

fn add(
    environment: &Environment,
    counts: impl Fn(&str) -> bool,
    trail: &Trail,
    picture: &mut Picture,
) {
    for (id, secret) in KEYS {
        if counts(id)
            && let Some(key) = key(environment, id, secret)
        {
            picture.add("environment", trail, key, Standing::Effective, None);
        }
    }
}

/// The key in two variables, with what others say about its server.
pub(crate) fn key(environment: &Environment, id: &str, secret: &str) -> Option<HeldKey> {
    let first = |names: [&'static str; 2]| {
        let mut names = names.into_iter();
        names.find_map(|name| Some((name, environment.variable(name)?)))
    };
    let place = environment.place_of(id);
    let (id, secret) = (environment.variable(id), environment.variable(secret));
    let mut key = HeldKey::read(id, secret, place)?;
    key.temporary = first(["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]).is_some();
    if let Some((name, endpoint)) = first(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]) {
        key.goes_to(endpoint, environment.place_of(name));
    }
    let region = first(["AWS_REGION", "AWS_DEFAULT_REGION"]);
    key.region = region.and_then(|(_, region)| region.parse().ok());
    Some(key)
}
