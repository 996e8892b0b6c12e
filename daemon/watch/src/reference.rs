//! How a person names a key: by its id, or by the remote or profile that a tool knows it under.

use std::{fmt, str::FromStr};

use bascule_domain::access_key::ShownId;

use crate::{
    command::Command,
    machine::Machine,
    picture::{Picture, Trail},
    scan::{self, Scope},
    tools,
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
        Reference::Id(shown) => return among(shown, &scan::known(machine, Scope::OWN)),
    };
    let command = Command {
        arguments,
        environment: machine.environment.clone(),
    };
    let mut picture = Picture::default();
    tools::uses(&command, machine, &Trail::configuration(), &mut picture);
    picture
}

/// What a look has told of an id, whole or as an alarm shows it, and all that it could not look at.
#[must_use]
pub fn among(shown: &str, picture: &Picture) -> Picture {
    let shown = ShownId::new(shown);
    let mut picture = picture.clone();
    picture
        .uses
        .retain(|found| shown.fits(found.key.id.as_str()));
    picture
}

#[cfg(test)]
mod tests {
    use bascule_domain::Timestamp;

    use super::*;
    use crate::{environment::Environment, picture::Standing};

    /// The key that a reference leads to, with its server and region, or why there is none.
    fn leads(reference: &str, variables: &[(&str, &str)]) -> String {
        let home = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                ".aws/credentials",
                "[work]\naws_access_key_id = WORKID\naws_secret_access_key = s1\n\
                 [empty]\nregion = x\n[sso]\nsso_start_url = https://x\n",
            ),
            (
                ".aws/config",
                "[profile work]\nendpoint_url = https://work.example\nregion = eu-west-1\n\
                 [profile role]\nrole_arn = arn:x\nsource_profile = work\n\
                 endpoint_url = https://role.example\n",
            ),
            (
                ".config/rclone/rclone.conf",
                "[around]\ntype = s3\nprovider = Minio\nenv_auth = true\nprofile = work\n\
                 endpoint = http://127.0.0.1:9000\n",
            ),
        ] {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let path = home.path().to_owned();
        let mut environment = Environment::of(Some(path.clone()), path);
        for (name, value) in variables {
            environment.set(*name, *value);
        }
        let machine = Machine::local(environment, 1000, Timestamp::UNIX_EPOCH);
        let picture = resolve(&reference.parse().unwrap(), &machine);
        let effective = picture
            .uses
            .iter()
            .find(|found| found.standing == Standing::Effective);
        match (effective, picture.gaps.first()) {
            (Some(found), _) => {
                let endpoint = found.key.endpoint.as_ref().map(ToString::to_string);
                let region = found.key.region.as_ref().map(ToString::to_string);
                let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
                format!(
                    "{} {} {}",
                    found.key.id.as_str(),
                    or_none(endpoint),
                    or_none(region)
                )
            }
            (None, Some(gap)) => gap.why.clone(),
            (None, None) => "nothing".into(),
        }
    }

    #[test]
    fn a_key_goes_where_the_run_itself_would_go_with_it() {
        for (reference, variables, expected) in [
            ("aws:work", &[][..], "WORKID https://work.example eu-west-1"),
            (
                "aws:work",
                &[
                    ("AWS_ENDPOINT_URL", "https://all.example"),
                    ("AWS_ENDPOINT_URL_S3", "https://s3.example"),
                    ("AWS_DEFAULT_REGION", "garage"),
                ],
                "WORKID https://s3.example garage",
            ),
            (
                "aws:work",
                &[("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")],
                "WORKID - eu-west-1",
            ),
            // The key of another profile, at the server of the one that is used.
            ("aws:role", &[], "WORKID https://role.example eu-west-1"),
            (
                "rclone:around",
                &[("AWS_ENDPOINT_URL", "https://all.example")],
                "WORKID http://127.0.0.1:9000 eu-west-1",
            ),
        ] {
            assert_eq!(leads(reference, variables), expected, "{reference}");
        }
    }

    #[test]
    fn a_profile_without_a_key_says_why_and_takes_no_other_one() {
        let variables = &[
            ("AWS_ACCESS_KEY_ID", "VARID"),
            ("AWS_SECRET_ACCESS_KEY", "s2"),
        ];
        for (reference, expected) in [
            ("aws:empty", "holds no access key id"),
            ("aws:sso", "SSO"),
            ("aws:missing", "no profile"),
        ] {
            let why = leads(reference, variables);
            assert!(why.contains(expected), "{reference}: {why}");
        }
    }

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
