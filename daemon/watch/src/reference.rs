//! How a person names a key: by its id, or by the remote or profile that a tool knows it under.

use std::{fmt, str::FromStr};

use bascule_domain::access_key::ShownId;

use crate::{
    command::Command,
    machine::Machine,
    picture::{Picture, Trail},
    scan, tools,
};

/// What a person asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `rclone:REMOTE`: what rclone would use for it.
    Rclone(String),
    /// `aws:PROFILE`: what the AWS CLI would use for it.
    Aws(String),
    /// An access key id, whole or as an alarm shows it.
    Id(String),
}

/// The text names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither an access key id (whole, or its last four characters), nor rclone:REMOTE, nor aws:PROFILE"
)]
pub struct ReferenceError;

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if let Some(remote) = text.strip_prefix("rclone:") {
            let name = remote.strip_suffix(':').unwrap_or(remote);
            return if name.is_empty() {
                Err(ReferenceError)
            } else {
                Ok(Self::Rclone(remote.to_owned()))
            };
        }
        match text.strip_prefix("aws:") {
            Some("") => Err(ReferenceError),
            Some(profile) => Ok(Self::Aws(profile.to_owned())),
            None if ShownId::new(text).is_enough() || text.len() >= 3 => {
                Ok(Self::Id(text.to_owned()))
            }
            None => Err(ReferenceError),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rclone(remote) => write!(f, "rclone:{remote}"),
            Self::Aws(profile) => write!(f, "aws:{profile}"),
            Self::Id(id) => f.write_str(id),
        }
    }
}

/// What the reference leads to: for a remote or a profile what that tool would use if the person ran
/// it now, for an id every known use of it.
#[must_use]
pub fn resolve(reference: &Reference, machine: &Machine) -> Picture {
    let arguments: Vec<String> = match reference {
        Reference::Rclone(remote) => {
            let path = if remote.contains(':') {
                remote.clone()
            } else {
                format!("{remote}:")
            };
            vec!["rclone".into(), "ls".into(), path]
        }
        Reference::Aws(profile) => ["aws", "s3", "ls", "--profile", profile]
            .map(str::to_owned)
            .into(),
        Reference::Id(shown) => {
            let shown = ShownId::new(shown);
            let mut picture = scan::known(machine);
            picture
                .uses
                .retain(|found| shown.fits(found.key.id.as_str()));
            return picture;
        }
    };
    let command = Command {
        arguments,
        environment: machine.environment.clone(),
    };
    let mut picture = Picture::default();
    tools::uses(&command, machine, &Trail::configuration(), &mut picture);
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_id_remote_or_profile() {
        let parsed = |text: &str| text.parse::<Reference>();
        assert_eq!(parsed("rclone:r2"), Ok(Reference::Rclone("r2".into())));
        assert_eq!(
            parsed("rclone:r2:b/x"),
            Ok(Reference::Rclone("r2:b/x".into()))
        );
        assert_eq!(parsed("aws:work"), Ok(Reference::Aws("work".into())));
        assert_eq!(parsed("…7F3Q"), Ok(Reference::Id("…7F3Q".into())));
        for nothing in ["", "x", "rclone:", "rclone::", "aws:"] {
            assert_eq!(parsed(nothing), Err(ReferenceError), "{nothing}");
        }
    }
}
