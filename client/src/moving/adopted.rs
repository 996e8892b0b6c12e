//! What the daemon tells of adoptions, and of the keys that were found, parsed once.

use std::path::{Path, PathBuf};

use bascule_domain::adoption::State;
use bascule_proto::v1;
use prost_types::Timestamp;

use super::{absent::Absent, record::Kept, rights::Rights};
use crate::{
    channel::quoted,
    error::{Error, Kind},
};

/// An adoption.
#[derive(Debug, Clone)]
pub(crate) struct Adoption {
    pub(crate) id: String,
    /// What the connection is called, or was called last.
    pub(crate) connection: String,
    pub(crate) connection_id: String,
    pub(crate) connection_state: ConnectionState,
    /// The record's id of the key that the consumer was given.
    pub(crate) key_id: String,
    pub(crate) label: String,
    pub(crate) consumer: String,
    /// `Replaced` also for the first of several, which is open as long as the last one is in force.
    pub(crate) state: State,
    /// The earlier one whose files are those from before all.
    pub(crate) replaces: Option<String>,
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) originals_kept: bool,
    pub(crate) prepared_at: Option<Timestamp>,
    pub(crate) settled_at: Option<Timestamp>,
    /// What the key was allowed, if it is dead and that is known.
    pub(crate) rights: Option<Rights>,
    layout: String,
}

/// How the connection of an adoption stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    Living,
    Deleting,
    Deleted,
}

impl ConnectionState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Living => "living",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

fn unreadable(id: &str) -> Error {
    let message = format!("the record of {id} can't be read: it was written by another release");
    Error::new(Kind::Failed, message)
}

impl TryFrom<v1::Adoption> for Adoption {
    type Error = Error;

    fn try_from(wire: v1::Adoption) -> Result<Self, Error> {
        let state = wire.state.parse().map_err(|_| unreadable(&wire.id))?;
        let connection_state = match wire.connection_state.as_str() {
            "living" => ConnectionState::Living,
            "deleting" => ConnectionState::Deleting,
            "deleted" => ConnectionState::Deleted,
            _ => return Err(unreadable(&wire.id)),
        };
        Ok(Self {
            id: wire.id,
            connection: wire.connection,
            connection_id: wire.connection_id,
            connection_state,
            key_id: wire.key_id,
            label: wire.label,
            consumer: wire.consumer,
            state,
            replaces: Some(wire.replaces).filter(|id| !id.is_empty()),
            paths: wire.paths.into_iter().map(PathBuf::from).collect(),
            originals_kept: wire.originals_kept,
            prepared_at: wire.prepared_at,
            settled_at: wire.settled_at,
            rights: wire.rights.map(Into::into),
            layout: wire.layout,
        })
    }
}

impl Adoption {
    /// Whether its consumer holds its key now.
    pub(crate) fn in_force(&self) -> bool {
        self.state == State::Adopted
    }

    /// Whether it is neither settled nor in force: a run is at it, or was interrupted.
    pub(crate) fn is_half_done(&self) -> bool {
        self.state == State::Prepared
    }

    /// The command that closes its record when its files are not there.
    pub(crate) fn closing(&self, absent: &Absent) -> Option<String> {
        let consumer = quoted(Path::new(&self.consumer));
        match absent {
            Absent::FilesGone | Absent::KeyGone => Some(format!("bascule eject {consumer}")),
            Absent::Away(_) => Some(format!("bascule eject {consumer} --gone")),
            Absent::NotKnown(_) => None,
        }
    }

    /// What was kept beside the originals.
    pub(crate) fn kept(&self) -> Result<Kept, Error> {
        serde_json::from_str(&self.layout).map_err(|_| unreadable(&self.id))
    }
}

/// How the key of a consumer stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The daemon knows nothing of it.
    #[default]
    Unknown,
    Living,
    Paused,
    Expired,
    /// A successor is there.
    Retiring,
    Dead,
    /// A connection's own key at its provider.
    Brought,
    /// Such a key, reported as leaked.
    Leaked,
    /// Somebody else's, which the user marked as dead.
    MarkedDead,
}

impl Standing {
    const fn of(word: &str) -> Self {
        match word.as_bytes() {
            b"living" => Self::Living,
            b"paused" => Self::Paused,
            b"expired" => Self::Expired,
            b"retiring" => Self::Retiring,
            b"dead" => Self::Dead,
            b"brought" => Self::Brought,
            b"leaked" => Self::Leaked,
            b"marked-dead" => Self::MarkedDead,
            _ => Self::Unknown,
        }
    }
}

/// What the daemon knows of a key that was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) standing: Standing,
    pub(crate) connection: String,
    /// A name may be another connection's by now.
    pub(crate) connection_id: String,
    pub(crate) label: String,
    /// The connections whose own key at their provider it is.
    pub(crate) own_key_of: Vec<String>,
}

impl From<v1::Judgement> for Known {
    fn from(wire: v1::Judgement) -> Self {
        Self {
            standing: Standing::of(&wire.state),
            connection: wire.connection,
            connection_id: wire.connection_id,
            label: wire.label,
            own_key_of: wire.own_key_of,
        }
    }
}
