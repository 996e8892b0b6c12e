//! What a text of a user stands for: a connection, a key, a deletion. Every verb asks here, so the
//! same text means the same thing everywhere. It changes nothing.

use bascule_domain::{
    audit::Change,
    deletion::Phase,
    ids::{ConnectionId, DeletionId, KeyId},
    key::Key,
    tombstone::Tombstone,
};
use bascule_gateway::DeadKeys;

use super::{
    App,
    error::{Error, Kind, Result},
    registry::Entry,
};

/// The key that an id, or a connection's name and a label, stand for.
pub(crate) enum Named {
    Living(Box<Entry>, Key),
    Dead(Tombstone),
}

impl Named {
    const fn ids(&self) -> (ConnectionId, KeyId) {
        match self {
            Self::Living(_, key) => (key.connection, key.id),
            Self::Dead(dead) => (dead.connection, dead.key),
        }
    }
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Everything,
    Connection(ConnectionId),
    /// Keys of one connection: two while the key of a label is being rotated.
    Keys(ConnectionId, Vec<KeyId>),
}

impl Subject {
    /// Whether a key is among what is asked about.
    pub(crate) fn holds(&self, connection: ConnectionId, key: KeyId) -> bool {
        match self {
            Self::Everything => true,
            Self::Connection(wanted) => *wanted == connection,
            Self::Keys(_, keys) => keys.contains(&key),
        }
    }

    /// Whether a connection, with whichever key, is among what is asked about.
    pub(crate) fn holds_all_of(&self, connection: ConnectionId) -> bool {
        match self {
            Self::Everything => true,
            Self::Connection(wanted) => *wanted == connection,
            Self::Keys(..) => false,
        }
    }

    /// Whether a change is about it. The revocation of its connection is about a key, too.
    pub(crate) fn concerns(&self, change: &Change) -> bool {
        match self {
            Self::Everything => true,
            Self::Connection(connection) => change.connection() == Some(*connection),
            Self::Keys(connection, keys) => {
                let dies = matches!(
                    change,
                    Change::Deletion {
                        phase: Phase::Revoked,
                        ..
                    }
                );
                let named = [change.key(), change.successor()];
                named.into_iter().flatten().any(|key| keys.contains(&key))
                    || dies && change.connection() == Some(*connection)
            }
        }
    }
}

impl App {
    /// The keys that an access key id, a record's id, or `CONNECTION/LABEL` stand for: neither id
    /// has a slash, nor has a connection's name. Of two with one label the retiring one comes first.
    /// A dead one is found where no living one is.
    fn keys_named(&self, text: &str) -> Vec<Named> {
        if let Some(key) = self.registry.key(text)
            && let Some(entry) = self.registry.get(key.connection)
        {
            return vec![Named::Living(Box::new(entry), key)];
        }
        let dead = match text.split_once('/') {
            Some((name, label)) => {
                if let Some(entry) = self.registry.by_name(name) {
                    let mut labelled = label.parse().map_or_else(
                        |_| Vec::new(),
                        |label| self.registry.labelled(entry.connection.id, &label),
                    );
                    labelled.sort_by_key(|key| !entry.rotations.contains_key(&key.id));
                    if !labelled.is_empty() {
                        let living = |key| Named::Living(Box::new(entry.clone()), key);
                        return labelled.into_iter().map(living).collect();
                    }
                }
                self.graves
                    .last(|t| t.connection_name.as_str() == name && t.label.as_str() == label)
            }
            None => match text.parse::<KeyId>() {
                Ok(id) => self.graves.last(|tombstone| tombstone.key == id),
                Err(_) => text.parse().ok().and_then(|id| self.graves.find(&id)),
            },
        };
        dead.map(Named::Dead).into_iter().collect()
    }

    /// The one key that is meant.
    pub(crate) fn find_key(&self, text: &str) -> Result<Named> {
        let mut found = self.keys_named(text).into_iter();
        match (found.next(), found.next()) {
            (None, _) => Err(Error::no_key(text)),
            (Some(one), None) => Ok(one),
            (Some(_), Some(_)) => Err(self.two_keys(text)),
        }
    }

    /// The key whose rotation is meant: of two with one label the old one.
    pub(super) fn rotated_key(&self, text: &str) -> Result<Named> {
        let first = self.keys_named(text).into_iter().next();
        first.ok_or_else(|| Error::no_key(text))
    }

    /// What a report is asked about: a connection's name or id, a key, a deletion's id, or nothing
    /// for everything. A deleted connection is found by its name, too, while no other has it.
    pub(super) fn subject(&self, text: &str) -> Result<Subject> {
        if text.is_empty() {
            return Ok(Subject::Everything);
        }
        if let Some(entry) = self.registry.by_name(text) {
            return Ok(Subject::Connection(entry.connection.id));
        }
        let (deletion, connection) = (text.parse::<DeletionId>().ok(), text.parse().ok());
        if let Some(entry) = connection.and_then(|id| self.registry.get(id)) {
            return Ok(Subject::Connection(entry.connection.id));
        }
        let deleted = self.deletions.all().into_iter().find(|deleted| {
            deleted.name.as_str() == text
                || deletion == Some(deleted.id)
                || connection == Some(deleted.connection)
        });
        if let Some(deleted) = deleted {
            return Ok(Subject::Connection(deleted.connection));
        }
        let keys = self.keys_named(text);
        let Some((connection, _)) = keys.first().map(Named::ids) else {
            return Err(Error::new(
                Kind::NotFound,
                format!("there is and was no connection, key or deletion {text}"),
            )
            .next("bascule list, bascule key list, bascule deletion list"));
        };
        let keys = keys.iter().map(|named| named.ids().1).collect();
        Ok(Subject::Keys(connection, keys))
    }

    /// While a key is rotated, two have its label.
    fn two_keys(&self, label: &str) -> Error {
        let ids: Vec<_> = self
            .keys_named(label)
            .iter()
            .filter_map(|named| match named {
                Named::Living(_, key) => Some(key.access_key_id.to_string()),
                Named::Dead(_) => None,
            })
            .collect();
        let error = Error::new(
            Kind::Invalid,
            format!(
                "{label} is being rotated and stands for two keys, {}; say which",
                ids.join(" and ")
            ),
        );
        error.next(format!("bascule key rotation {label}"))
    }
}
