//! Why a probe failed, in words for the person who adds a connection: the cause, and what to do.

use bascule_domain::{endpoint::Region, names::BucketName};
use jiff::SignedDuration;

use super::Right;
use crate::{
    exchange::ExchangeError,
    guard::Refusal,
    transport::{TransportError, TransportErrorKind},
};

/// Why a connection would not work. `Display` is the cause; [`ProbeFailure::next_step`] what to
/// do about it.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFailure {
    /// Nothing answers there.
    #[error("the provider can't be reached: {}", missed(.0.kind()))]
    Unreachable(#[source] TransportError),
    /// Something answers, but no S3 server.
    #[error("what answers at the endpoint is no S3 server: {seen}")]
    WrongEndpoint {
        /// What was seen.
        seen: String,
    },
    /// The bucket is in another region.
    #[error("the region is wrong{}", told(right))]
    WrongRegion {
        /// The right one, if the provider tells it.
        right: Option<Region>,
    },
    /// Requests are signed for a time the provider does not accept.
    #[error("this machine's clock and the provider's differ{}", skew(by))]
    ClockSkew {
        /// How far ours is ahead, if it could be seen.
        by: Option<SignedDuration>,
    },
    /// The TLS handshake failed.
    #[error("no trusted TLS connection")]
    Tls(#[source] TransportError),
    /// The bucket does not exist.
    #[error("there is no bucket {bucket}")]
    NoSuchBucket {
        /// Which bucket.
        bucket: BucketName,
        /// The command that makes it, where there is one.
        make: Option<String>,
    },
    /// The provider does not know the access key id.
    #[error("the provider does not know this access key id")]
    UnknownKey,
    /// The secret does not belong to the access key id.
    #[error("the secret access key does not belong to this access key id")]
    WrongSecret,
    /// The credentials are good but may not do what a connection needs.
    #[error("the credentials may not {} in bucket {bucket}", what.as_str())]
    NoPermission {
        /// In which bucket.
        bucket: BucketName,
        /// What they may not do.
        what: Right,
    },
    /// The endpoint leads to an address that is never dialled.
    #[error("the endpoint leads to {0}, which is not dialled")]
    AddressRefused(Refusal),
    /// The folder can't be used.
    #[error("the folder can't be used: {0}")]
    Local(String),
    /// The provider fails, or answers with something that is not known here.
    #[error("the provider answers {status}{}", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    ProviderFault {
        /// HTTP status.
        status: u16,
        /// S3 error code.
        code: Option<String>,
    },
}

/// What became of the attempt.
const fn missed(kind: TransportErrorKind) -> &'static str {
    match kind {
        TransportErrorKind::Dns => "its name has no address",
        TransportErrorKind::Timeout => "no answer in time",
        _ => "nothing takes connections there",
    }
}

fn told(right: &Option<Region>) -> String {
    right
        .as_ref()
        .map(|region| format!(": the bucket is in {region}"))
        .unwrap_or_default()
}

fn skew(by: &Option<SignedDuration>) -> String {
    by.map(|by| {
        let side = if by.is_negative() { "behind" } else { "ahead" };
        format!(": ours is {} s {side}", by.unsigned_abs().as_secs())
    })
    .unwrap_or_default()
}

impl ProbeFailure {
    /// What to do about it.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::Unreachable(error) => match error.kind() {
                TransportErrorKind::Dns => "check the host name in --endpoint, and this machine's name resolution".into(),
                TransportErrorKind::Timeout => "check host and port in --endpoint, and firewalls on the way".into(),
                _ => "check host and port in --endpoint, and that the server runs".into(),
            },
            Self::WrongEndpoint { .. } => {
                "check scheme, host and port in --endpoint; the S3 port is not the web console's".into()
            }
            Self::WrongRegion { right: Some(region) } => format!("use --region {region}"),
            Self::WrongRegion { right: None } => "look the bucket's region up and give it with --region".into(),
            Self::ClockSkew { .. } => "set this machine's clock (timedatectl set-ntp true), then try again".into(),
            Self::Tls(_) => {
                "check the host name in --endpoint; for a private certificate authority give --extra-ca".into()
            }
            Self::NoSuchBucket { make: Some(command), .. } => format!("make it with: {command}"),
            Self::NoSuchBucket { make: None, .. } => {
                "check the name, the account and the region; Bascule makes no buckets".into()
            }
            Self::UnknownKey => "check the access key id, and that the key still exists at the provider".into(),
            Self::WrongSecret => "paste the secret again, whole and without blanks".into(),
            Self::NoPermission { .. } => {
                "give the key that right at the provider, or use another key; check the bucket's name too".into()
            }
            Self::AddressRefused(Refusal::LinkLocal | Refusal::Metadata) => {
                "check --endpoint; if it is really meant, give --allow-link-local".into()
            }
            Self::AddressRefused(Refusal::Own) => {
                "give the provider's own endpoint, not the address of Bascule's gateway".into()
            }
            Self::AddressRefused(_) => "check --endpoint".into(),
            Self::Local(_) => "check that the folder exists and that the daemon's user may read and write it".into(),
            Self::ProviderFault { .. } => "try again later; if it stays, ask the provider".into(),
        }
    }
}

/// What an exchange without an answer means for a probe.
pub(super) fn exchange_failure(error: ExchangeError) -> ProbeFailure {
    match error {
        ExchangeError::TooLarge => ProbeFailure::WrongEndpoint {
            seen: "it answers with more than any S3 server would".into(),
        },
        ExchangeError::Request(why) => ProbeFailure::Local(why.to_string()),
        ExchangeError::Transport(error) => match error.kind() {
            TransportErrorKind::Dns
            | TransportErrorKind::Unreachable
            | TransportErrorKind::Timeout => ProbeFailure::Unreachable(error),
            TransportErrorKind::Refused(refusal) => ProbeFailure::AddressRefused(refusal),
            TransportErrorKind::Tls => ProbeFailure::Tls(error),
            TransportErrorKind::NotTls => ProbeFailure::WrongEndpoint {
                seen: "the port does not speak TLS; use http:// or the server's TLS port".into(),
            },
            TransportErrorKind::Broken => ProbeFailure::WrongEndpoint {
                seen: "it does not answer in HTTP, or breaks off".into(),
            },
            TransportErrorKind::Local => ProbeFailure::Local(error.to_string()),
        },
    }
}
