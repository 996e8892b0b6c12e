//! The contract that every provider's adapter keeps, and the one list of adapters. An adapter has
//! no call that changes a bucket, and none that mints keys.

use std::{path::PathBuf, sync::Arc};

use bascule_domain::{
    connection::Location,
    endpoint::{Addressing, Endpoint, Region},
    provider::ProviderKind,
};
use jiff::Timestamp;

use crate::{
    guard::{Guard, OwnAddresses},
    local::{FolderError, LocalTransport},
    providers::{local::Local, minio::Minio, r2::R2, s3::S3, s3_compatible::S3Compatible},
    storage::Storage,
    transport::HttpTransport,
    trust::TlsSetupError,
};

/// Tells the time: the daemon's one clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the user said about where a connection's buckets are. Options that do not belong to the
/// provider are refused, not ignored.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// `--endpoint`.
    pub endpoint: Option<Endpoint>,
    /// `--region`.
    pub region: Option<Region>,
    /// `--account-id`.
    pub account_id: Option<String>,
    /// `--path`.
    pub path: Option<PathBuf>,
    /// `--addressing`.
    pub addressing: Option<Addressing>,
    /// `--extra-ca`.
    pub extra_ca: Option<PathBuf>,
    /// `--allow-http`: plain text to a host that is not this machine.
    pub allow_http: bool,
    /// `--allow-link-local`.
    pub allow_link_local: bool,
}

/// A location that comes from elsewhere, such as a reconnect card, is asked for again, so that it
/// meets the same rules.
impl From<&Location> for Wish {
    fn from(location: &Location) -> Self {
        match location.clone() {
            Location::Server {
                endpoint,
                region,
                addressing,
                extra_ca,
                allow_link_local,
            } => Self {
                endpoint: Some(endpoint),
                region: Some(region),
                addressing: Some(addressing),
                extra_ca,
                allow_link_local,
                ..Self::default()
            },
            Location::Folder { path } => Self {
                path: Some(path),
                ..Self::default()
            },
        }
    }
}

/// Why a wish can't be granted. Each message names the option to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// The provider needs an option that was not given.
    #[error("{provider} needs {option}: {hint}")]
    Missing {
        /// Which provider.
        provider: ProviderKind,
        /// Which option.
        option: &'static str,
        /// What to give.
        hint: &'static str,
    },
    /// The option does not belong to this provider.
    #[error("{option} does not belong to {provider}: leave it out{hint}")]
    Foreign {
        /// Which provider.
        provider: ProviderKind,
        /// Which option.
        option: &'static str,
        /// Which provider it belongs to, when that helps.
        hint: &'static str,
    },
    /// The option's value does not fit.
    #[error("{option}: {problem}")]
    Invalid {
        /// Which option.
        option: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// Plain text to another machine.
    #[error(
        "{endpoint} is not encrypted and not on this machine: use https://, or give --allow-http if the network in between is yours"
    )]
    PlainText {
        /// Which endpoint.
        endpoint: Endpoint,
    },
}

/// What an opened provider needs from the daemon.
#[derive(Clone)]
pub struct Surroundings {
    /// The daemon's one clock; requests are signed for its time.
    pub clock: Clock,
    /// Addresses on which the daemon listens, which are never dialled.
    pub own: OwnAddresses,
}

/// Why a provider can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The folder can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The location is of another kind than the provider.
    #[error("the stored location is not one of {0}")]
    Mismatch(ProviderKind),
}

/// What differs between providers.
pub trait Adapter: Send + Sync {
    /// Which provider it is for.
    fn kind(&self) -> ProviderKind;

    /// Decides where the buckets are, with this provider's defaults and rules. Apart from looking
    /// whether a folder exists it does no I/O.
    fn locate(&self, wish: &Wish) -> Result<Location, WishError>;

    /// Opens the provider. It does not talk to it yet, and holds no credentials.
    fn open(
        &self,
        location: &Location,
        surroundings: &Surroundings,
    ) -> Result<Arc<Storage>, OpenError> {
        let is_folder = matches!(location, Location::Folder { .. });
        if is_folder != (self.kind() == ProviderKind::Local) {
            return Err(OpenError::Mismatch(self.kind()));
        }
        match location {
            Location::Server {
                endpoint,
                extra_ca,
                allow_link_local,
                ..
            } => {
                let guard = Guard {
                    allow_link_local: *allow_link_local,
                    own: surroundings.own.clone(),
                };
                let transport = HttpTransport::new(endpoint, extra_ca.as_deref(), guard)?;
                Ok(Storage::new(
                    self.kind(),
                    location.clone(),
                    Arc::new(transport),
                    surroundings,
                ))
            }
            Location::Folder { path } => {
                let transport = LocalTransport::open(path)?;
                Ok(Storage::new(
                    self.kind(),
                    location.clone(),
                    Arc::new(transport),
                    surroundings,
                ))
            }
        }
    }
}

/// The adapter for a provider.
#[must_use]
pub fn adapter(kind: ProviderKind) -> &'static dyn Adapter {
    match kind {
        ProviderKind::Minio => &Minio,
        ProviderKind::S3 => &S3,
        ProviderKind::R2 => &R2,
        ProviderKind::S3Compatible => &S3Compatible,
        ProviderKind::Local => &Local,
    }
}
