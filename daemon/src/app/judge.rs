//! What is known of an access key id that stands in some file. It only reads.

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    audit::Change,
    ids::{ConnectionId, KeyId},
    key::{Key, KeyState},
    tombstone::Tombstone,
};
use bascule_gateway::DeadKeys;
use bascule_store::MarkedKey;

use super::App;

/// What an access key id is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Nothing.
    Unknown,
    /// A key that we issued, and what becomes of a request with it now.
    Issued {
        state: IssuedState,
        key: KeyId,
        connection_id: ConnectionId,
        connection: String,
        label: String,
    },
    /// A key of ours that is dead.
    Dead(Tombstone),
    /// A key of somebody else's that the user marked as dead.
    Marked(MarkedKey),
    /// A connection's own key at its provider.
    Brought {
        connection_id: ConnectionId,
        connection: String,
        /// When it was reported as leaked.
        leaked_at: Option<Timestamp>,
    },
}

/// What becomes of a request with an issued key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssuedState {
    Living,
    Paused,
    Expired(Timestamp),
    /// A successor is there; it dies then, if a deadline is set.
    Retiring(Option<Timestamp>),
}

/// Which keys may be something else after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concerned {
    /// None that can stand in a file already.
    Nobody,
    Keys(KeyId, Option<KeyId>),
    /// A connection's, its own at its provider included.
    Connection(ConnectionId),
}

impl Concerned {
    pub(super) const fn by(change: &Change) -> Self {
        match change {
            // A new key stands nowhere yet. Whoever marks a key or knows of a finding judges it at once. What
            // an adoption changes is a file, which is seen by itself.
            Change::KeyIssued { .. }
            | Change::Adoption { .. }
            | Change::CredentialsHandedOut { .. }
            | Change::SuccessorHandedOut { .. }
            | Change::Limited { .. }
            | Change::CardExported { .. }
            | Change::DeletionWentOn { .. }
            | Change::BackedUp { .. }
            | Change::BackupForgotten { .. }
            | Change::Restored { .. }
            | Change::Activated { .. }
            | Change::RootKeyMoved { .. }
            | Change::MarkedDead { .. }
            | Change::UnmarkedDead { .. }
            | Change::FindingAcknowledged { .. } => Self::Nobody,
            Change::KeyRestricted { key, .. }
            | Change::KeyPaused { key, .. }
            | Change::KeyResumed { key, .. }
            | Change::KeyRevoked { key, .. } => Self::Keys(*key, None),
            Change::Rotation { key, successor, .. } => Self::Keys(*key, Some(*successor)),
            Change::Connected { connection }
            | Change::CredentialsReplaced { connection, .. }
            | Change::Renamed { connection }
            | Change::Paused { connection }
            | Change::Resumed { connection }
            | Change::LeakReported { connection }
            | Change::LeakClosed { connection }
            | Change::Deletion { connection, .. } => Self::Connection(*connection),
        }
    }

    /// Whether it is about a key that was this.
    pub(super) fn holds(self, judgement: &Judgement) -> bool {
        let (key, connection) = judgement.ids();
        match self {
            Self::Nobody => false,
            Self::Keys(one, other) => key.is_some_and(|key| key == one || Some(key) == other),
            Self::Connection(of) => connection == Some(of),
        }
    }
}

impl App {
    /// What is known of an id.
    pub(crate) fn judge(&self, id: &AccessKeyId) -> Judgement {
        self.judge_with(id, self.consumers.marked(id).as_ref())
    }

    /// As [`App::judge`], for a caller who knows whether it is marked.
    pub(super) fn judge_with(&self, id: &AccessKeyId, marked: Option<&MarkedKey>) -> Judgement {
        if let Some(tombstone) = self.graves.find(id) {
            return Judgement::Dead(tombstone);
        }
        if let Some(key) = self.registry.key(id.as_str()) {
            return self.judge_issued(&key);
        }
        for entry in self.registry.living() {
            let leak = entry.leaks.iter().find(|leak| leak.access_key_id == *id);
            if leak.is_some() || entry.credentials.access_key_id == *id {
                return Judgement::Brought {
                    connection_id: entry.connection.id,
                    connection: entry.connection.name.to_string(),
                    leaked_at: leak.map(|leak| leak.reported_at),
                };
            }
        }
        marked
            .cloned()
            .map_or(Judgement::Unknown, Judgement::Marked)
    }

    /// The living connections whose own key at their provider this is now, by the whole id: its end, which is
    /// shown, may be another one's too.
    pub(crate) fn own_key_of(&self, id: &AccessKeyId) -> Vec<ConnectionId> {
        let living = self.registry.living();
        let own = living.into_iter();
        let own = own.filter(|entry| entry.credentials.access_key_id == *id);
        own.map(|entry| entry.connection.id).collect()
    }

    fn judge_issued(&self, key: &Key) -> Judgement {
        let entry = self.registry.get(key.connection);
        let closed = entry
            .as_ref()
            .is_some_and(|entry| entry.connection.paused_at.is_some() || entry.deletion.is_some());
        let expired = key.expires_at.filter(|end| self.clock.now() >= *end);
        let state = match (key.state, expired) {
            (_, Some(at)) => IssuedState::Expired(at),
            (KeyState::Paused, None) => IssuedState::Paused,
            _ if closed => IssuedState::Paused,
            (KeyState::Retiring, None) => IssuedState::Retiring(
                entry
                    .as_ref()
                    .and_then(|entry| entry.rotations.get(&key.id))
                    .map(|running| running.rotation.deadline()),
            ),
            (KeyState::Active, None) => IssuedState::Living,
        };
        Judgement::Issued {
            state,
            key: key.id,
            connection_id: key.connection,
            connection: entry.map_or_else(String::new, |entry| entry.connection.name.to_string()),
            label: key.label.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_concerns_the_keys_that_it_can_make_something_else_and_no_other() {
        let (one, two) = (KeyId::from_random([1; 10]), KeyId::from_random([2; 10]));
        let connection = ConnectionId::from_random([3; 10]);
        let issued = |key| Judgement::Issued {
            state: IssuedState::Living,
            key,
            connection_id: connection,
            connection: "photos".into(),
            label: "laptop".into(),
        };
        let brought = Judgement::Brought {
            connection_id: connection,
            connection: "photos".into(),
            leaked_at: None,
        };
        let concerned = |change: Change| {
            let concerned = Concerned::by(&change);
            [&issued(one), &issued(two), &brought, &Judgement::Unknown]
                .map(|judgement| concerned.holds(judgement))
        };
        let issue = Change::KeyIssued {
            connection,
            key: one,
        };
        assert_eq!(concerned(issue), [false; 4]);
        let revoke = Change::KeyRevoked {
            connection,
            key: one,
        };
        assert_eq!(concerned(revoke), [true, false, false, false]);
        let pause = Change::Paused { connection };
        assert_eq!(concerned(pause), [true, true, true, false]);
        let elsewhere = Change::Paused {
            connection: ConnectionId::from_random([4; 10]),
        };
        assert_eq!(concerned(elsewhere), [false; 4]);
    }
}
