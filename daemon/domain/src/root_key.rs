//! Where the root key, on which every other key hangs, is kept.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A place for the root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptIn {
    /// A file in the state folder.
    File,
    /// The keychain of the user who runs the daemon.
    Keychain,
    /// A credential that the service manager lends.
    Credential,
}

impl KeptIn {
    /// The word for it, as a user types it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Keychain => "keychain",
            Self::Credential => "credential",
        }
    }
}

impl fmt::Display for KeptIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No place has that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be file, keychain or credential")]
pub struct NoSuchPlace;

impl FromStr for KeptIn {
    type Err = NoSuchPlace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::File, Self::Keychain, Self::Credential]
            .into_iter()
            .find(|place| place.as_str() == text)
            .ok_or(NoSuchPlace)
    }
}
