//! Backups: what is remembered of one, and why a gateway stays closed after one was put back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{BackupId, ConnectionId},
    names::Label,
};

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
}

impl From<Backup> for Holder {
    fn from(backup: Backup) -> Self {
        Self {
            id: backup.id,
            made_at: backup.made_at,
            file: backup.file,
            portable: backup.portable,
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
