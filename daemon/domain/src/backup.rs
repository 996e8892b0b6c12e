//! Backups: what is remembered of one, and why a gateway stays closed after one was put back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{BackupId, ConnectionId},
    names::{FilePath, Label},
};

/// What a backup's file begins with; the last byte is the format's number.
pub const MAGIC: &[u8; 8] = b"BSCBACK\x01";
/// Bytes of the tag that ends a backup's file and authenticates all of it.
pub const TAG_LEN: usize = 32;
/// The longest head, in bytes. Its length (u32, big-endian) and the head (JSON) follow the magic.
pub const HEAD_LIMIT: usize = 64 << 10;

/// A backup that was handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Which; its file says so too.
    pub id: BackupId,
    /// When.
    pub made_at: Timestamp,
    /// What its file was called.
    pub file: Label,
    /// Whether it holds the root key under a passphrase, and so opens elsewhere too.
    pub portable: bool,
    /// The connections that can be read from it.
    pub connections: Vec<ConnectionId>,
    /// Where its file was written.
    #[serde(default)]
    pub place: Place,
    /// What tells its file from another one; absent if it is known from a restore only.
    #[serde(default)]
    pub mark: Option<Mark>,
    /// What was seen when its user looked last.
    #[serde(default)]
    pub last_look: Option<LastLook>,
}

/// Where a file was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "where")]
pub enum Place {
    /// Nobody told.
    #[default]
    Unknown,
    /// On the machine that this state lives on.
    Here {
        /// Its path.
        path: FilePath,
        /// Where the file system is mounted that it was written to, where the system tells that. With
        /// another one there, or none, the file is not gone, but out of sight.
        mount: Option<FilePath>,
    },
    /// On the machine that this state came from.
    Elsewhere {
        /// Its path there.
        path: FilePath,
    },
}

impl Place {
    /// The path, wherever it is one.
    #[must_use]
    pub const fn path(&self) -> Option<&FilePath> {
        match self {
            Self::Unknown => None,
            Self::Here { path, .. } | Self::Elsewhere { path } => Some(path),
        }
    }

    /// The same, once the state has moved to another machine.
    #[must_use]
    pub fn moved(self) -> Self {
        match self {
            Self::Here { path, .. } => Self::Elsewhere { path },
            other => other,
        }
    }
}

/// What tells a backup's file from another one without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its length, in bytes.
    pub bytes: u64,
    /// Its last [`TAG_LEN`] bytes, in hex.
    pub tag: String,
}

/// What stands where a backup was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// Its file, as far as head, length and tag tell.
    Present,
    /// Nothing.
    Gone,
    /// Something else.
    Changed,
}

impl Found {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Gone => "gone",
            Self::Changed => "changed",
        }
    }
}

/// One look at a backup's file. Copies of it are nowhere known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastLook {
    /// When.
    pub at: Timestamp,
    /// What was there.
    pub found: Found,
}

/// A backup as a receipt names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Which.
    pub id: BackupId,
    /// When it was made.
    pub made_at: Timestamp,
    /// What its file was called.
    pub file: Label,
    /// Whether it opens elsewhere too, with its passphrase.
    pub portable: bool,
    /// Where it was written, if that is known.
    #[serde(default)]
    pub path: Option<FilePath>,
    /// What was known of its file when the verdict was reached; absent if nobody had looked.
    #[serde(default)]
    pub last_look: Option<LastLook>,
}

impl From<Backup> for Holder {
    fn from(backup: Backup) -> Self {
        Self {
            id: backup.id,
            made_at: backup.made_at,
            file: backup.file,
            portable: backup.portable,
            path: backup.place.path().cloned(),
            last_look: backup.last_look,
        }
    }
}

/// Why every connection is paused until somebody says that this state is the right one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Closure {
    /// A backup was restored where nothing is known of what died since.
    Restored {
        /// Which.
        backup: BackupId,
    },
    /// The state is older than what its anchor has seen.
    RolledBack {
        /// Deaths that the anchor has seen: of keys and of connections.
        seen: u64,
        /// Deaths that the state knows of.
        known: u64,
    },
}
