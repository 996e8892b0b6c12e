//! What remains of a dead key.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConnectionId, DeletionId, KeyId},
    names::{ConnectionName, Label},
    rotation::Ending,
};

/// Why a key died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum CauseOfDeath {
    /// It was revoked by itself.
    Revoked,
    /// A new key took its place.
    Rotated {
        /// Which; it may be dead itself by now.
        successor: KeyId,
        /// Why just then.
        ending: Ending,
    },
    /// It was to take another key's place, and that rotation was called off.
    CalledOff {
        /// The key that lived on; it may be dead itself by now.
        kept: KeyId,
    },
    /// Its connection was deleted.
    ConnectionDeleted {
        /// By which deletion.
        deletion: DeletionId,
    },
}

/// The record of a dead key. It is found by a keyed hash of the access key id, which itself is
/// gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The record's id in its lifetime.
    pub key: KeyId,
    /// The last four characters of the access key id.
    pub masked: String,
    /// What the user called it.
    pub label: Label,
    /// Its connection.
    pub connection: ConnectionId,
    /// What the connection was called when the key died.
    pub connection_name: ConnectionName,
    /// When it died.
    pub died_at: Timestamp,
    /// Why.
    pub cause: CauseOfDeath,
}
