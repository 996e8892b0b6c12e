//! What is recorded of every change: when, who, what, why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ConnectionId, DeletionId, KeyId};

/// Who asked, as the operating system tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// User id of the process at the other end of the socket.
    pub uid: u32,
    /// Its process id, where the system tells it.
    pub pid: Option<u32>,
}

/// What was changed. Entries name things by id only, so they reveal nothing of an erased
/// connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Change {
    /// A connection was added.
    Connected {
        /// Which.
        connection: ConnectionId,
    },
    /// The provider's credentials were replaced.
    CredentialsReplaced {
        /// Of which connection.
        connection: ConnectionId,
        /// The generation now in force.
        generation: u64,
    },
    /// A connection got another name.
    Renamed {
        /// Which.
        connection: ConnectionId,
    },
    /// What a connection's keys may take together was changed.
    Limited {
        /// Of which connection.
        connection: ConnectionId,
    },
    /// A key was issued.
    KeyIssued {
        /// For which connection.
        connection: ConnectionId,
        /// Which.
        key: KeyId,
    },
    /// What a key may do, or its label, was changed.
    KeyRestricted {
        /// Of which connection.
        connection: ConnectionId,
        /// Which.
        key: KeyId,
    },
    /// A key was paused.
    KeyPaused {
        /// Of which connection.
        connection: ConnectionId,
        /// Which.
        key: KeyId,
    },
    /// A key was resumed.
    KeyResumed {
        /// Of which connection.
        connection: ConnectionId,
        /// Which.
        key: KeyId,
    },
    /// A key was revoked for good.
    KeyRevoked {
        /// Of which connection.
        connection: ConnectionId,
        /// Which.
        key: KeyId,
    },
    /// A step of a key's rotation.
    Rotation {
        /// Of which connection.
        connection: ConnectionId,
        /// The key that is replaced.
        key: KeyId,
        /// The key that takes its place.
        successor: KeyId,
        /// What was done.
        step: crate::rotation::Step,
    },
    /// A connection admits no requests until it is resumed.
    Paused {
        /// Which.
        connection: ConnectionId,
    },
    /// A connection admits requests again.
    Resumed {
        /// Which.
        connection: ConnectionId,
    },
    /// The provider's own key of a connection is said to have leaked.
    LeakReported {
        /// Of which connection.
        connection: ConnectionId,
    },
    /// The provider was seen to refuse a key that had leaked.
    LeakClosed {
        /// Of which connection.
        connection: ConnectionId,
    },
    /// A deletion reached a phase.
    Deletion {
        /// Of which connection.
        connection: ConnectionId,
        /// Which deletion.
        deletion: DeletionId,
        /// What it reached.
        phase: crate::deletion::Phase,
    },
}

/// One entry of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who; nobody when the daemon went on by itself.
    pub by: Option<Caller>,
    /// What.
    pub change: Change,
    /// Why, in fixed words.
    pub reason: Option<String>,
}
