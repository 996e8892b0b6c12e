//! Where the provider's credentials come from: stdin, a terminal, or another tool's file. Never
//! argv.

use bascule_domain::{provider::ProviderKind, secret::Credentials};
use bascule_watch::{Environment, FoundKey, NotUsable};
use clap::Args;

use crate::{
    credentials,
    error::{Error, Kind},
};

/// Which source was named.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Source {
    /// Read the access key id and the secret from stdin, one line each; asks on a terminal
    #[arg(long)]
    pub(crate) credentials_stdin: bool,
    /// Take the static keys of an AWS profile
    #[arg(long, value_name = "PROFILE")]
    pub(crate) aws_profile: Option<String>,
}

/// Credentials, and what the other tool's file says about the place.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) credentials: Credentials,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) provider: Option<ProviderKind>,
}

impl From<Credentials> for Found {
    fn from(credentials: Credentials) -> Self {
        Self {
            credentials,
            endpoint: None,
            region: None,
            provider: None,
        }
    }
}

impl From<FoundKey> for Found {
    fn from(found: FoundKey) -> Self {
        Self {
            credentials: found.credentials,
            endpoint: found.endpoint.map(|endpoint| endpoint.to_string()),
            region: found.region.map(|region| region.to_string()),
            provider: found.provider.as_deref().map(provider),
        }
    }
}

/// Our name for what rclone calls a provider.
pub(crate) fn provider(rclone: &str) -> ProviderKind {
    match rclone.to_ascii_lowercase().as_str() {
        "aws" => ProviderKind::S3,
        "cloudflare" => ProviderKind::R2,
        "minio" => ProviderKind::Minio,
        _ => ProviderKind::S3Compatible,
    }
}

impl Source {
    /// Whether the user said where they are.
    pub(crate) const fn is_named(&self) -> bool {
        self.credentials_stdin || self.aws_profile.is_some()
    }

    /// The credentials, or `None` when no source was named and nobody can be asked.
    pub(crate) fn take(&self) -> Result<Option<Found>, Error> {
        if let Some(profile) = &self.aws_profile {
            return aws(profile).map(Some);
        }
        if self.credentials_stdin || credentials::can_ask() {
            return Ok(Some(credentials::from_stdin()?.into()));
        }
        Ok(None)
    }
}

/// Nobody said where the credentials are.
pub(crate) fn missing(what: &str) -> Error {
    Error::new(
        Kind::Invalid,
        format!("{what} needs the provider's credentials, and there is no terminal to ask on"),
    )
    .next(format!(
        "bascule {what} … --credentials-stdin < FILE (id and secret on two lines), or --aws-profile PROFILE"
    ))
}

/// The keys of an rclone remote, with what it says about the place.
pub(crate) fn rclone(remote: &str) -> Result<Found, Error> {
    // `r2:` is how rclone itself writes it.
    let name = remote.strip_suffix(':').unwrap_or(remote);
    bascule_watch::rclone::remote(name, &environment())
        .map(Found::from)
        .map_err(|error| unusable("rclone remote", name, &error))
}

fn aws(profile: &str) -> Result<Found, Error> {
    bascule_watch::aws::profile(profile, &environment())
        .map(Found::from)
        .map_err(|error| unusable("AWS profile", profile, &error))
}

fn unusable(what: &str, name: &str, error: &NotUsable) -> Error {
    let mut message = format!("the {what} {name:?} can't be used: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Error::new(Kind::Invalid, message)
        .next("give a permanent key instead: --credentials-stdin (id and secret on two lines)")
}

/// The user's own surroundings: they ask about their own tools.
pub(crate) fn environment() -> Environment {
    Environment::of_process(std::env::vars_os(), std::env::current_dir().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rclones_providers_have_our_names() {
        for (theirs, ours) in [
            ("AWS", ProviderKind::S3),
            ("Cloudflare", ProviderKind::R2),
            ("Minio", ProviderKind::Minio),
            ("Wasabi", ProviderKind::S3Compatible),
            ("Other", ProviderKind::S3Compatible),
        ] {
            assert_eq!(provider(theirs), ours);
        }
    }

    #[test]
    fn an_unusable_source_names_cause_and_another_way() {
        let error = unusable("AWS profile", "me", &NotUsable::Sso("me".into()));
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains("SSO"), "{error}");
        assert!(error.next.unwrap().contains("--credentials-stdin"));
    }
}
