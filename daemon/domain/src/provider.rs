//! The kinds of provider.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which adapter serves a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// Amazon S3.
    S3,
    /// Cloudflare R2.
    R2,
    /// MinIO.
    Minio,
    /// Any other server that speaks S3.
    S3Compatible,
    /// A folder on this machine, served by an embedded S3 service.
    Local,
}

impl ProviderKind {
    /// All kinds, in the order in which help texts name them.
    pub const ALL: [Self; 5] = [
        Self::Minio,
        Self::S3,
        Self::R2,
        Self::S3Compatible,
        Self::Local,
    ];

    /// The name on the command line and in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::R2 => "r2",
            Self::Minio => "minio",
            Self::S3Compatible => "s3-compatible",
            Self::Local => "local",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown provider: expected minio, s3, r2, s3-compatible or local")]
pub struct UnknownProvider;

impl FromStr for ProviderKind {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(UnknownProvider)
    }
}
