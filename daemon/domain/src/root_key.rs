//! Where the root key, on which every other key hangs, is kept.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a root key's file begins with, whatever its format.
pub const MAGIC: &[u8; 7] = b"BSCROOT";

/// The id of the store that the content of a root key's file is for; `None` if it is no such file's.
#[must_use]
pub fn store_of(file: &[u8]) -> Option<&[u8; 16]> {
    // The format is between them, and the key behind.
    let (id, key) = file.strip_prefix(MAGIC)?.get(1..)?.split_first_chunk()?;
    (!key.is_empty()).then_some(id)
}

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
