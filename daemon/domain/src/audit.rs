//! What is recorded of every change: when, who, what, why.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    adoption::AdoptionId,
    backup::{Closure, Found},
    connection::Connection,
    finding::FindingId,
    ids::{BackupId, ConnectionId, DeletionId, KeyId},
    key::Key,
    names::{ConnectionName, ConsumerName, Label, Reason},
    root_key::KeptIn,
};

/// Who asked, as the operating system tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// User id of the process at the other end of the socket.
    pub uid: u32,
    /// Its process id, where the system tells it.
    pub pid: Option<u32>,
    /// The program's name, as it was then, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The name of the program that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// A request for a change: who asks, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub by: Caller,
    /// In the user's words.
    pub reason: Option<Reason>,
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
    /// A connection's reconnect card was handed out.
    CardExported {
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
    /// A step of a consumer's adoption.
    Adoption {
        /// Of which connection.
        connection: ConnectionId,
        /// The key that the consumer was given.
        key: KeyId,
        /// Which adoption.
        adoption: AdoptionId,
        /// What was done.
        step: AdoptionStep,
    },
    /// A connection's own credentials were handed out, for a consumer that gets them back.
    CredentialsHandedOut {
        /// Of which connection.
        connection: ConnectionId,
    },
    /// The key that took another one's place was handed out again, for a consumer that holds that.
    SuccessorHandedOut {
        /// Of which connection.
        connection: ConnectionId,
        /// The key that was handed out.
        key: KeyId,
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
    /// The user let the stopped countdown of a scream test begin anew.
    DeletionWentOn {
        /// Of which connection.
        connection: ConnectionId,
        /// Which deletion.
        deletion: DeletionId,
    },
    /// A backup was handed out.
    BackedUp {
        /// Which.
        backup: BackupId,
    },
    /// The record of a backup was removed.
    BackupForgotten {
        /// Which.
        backup: BackupId,
        /// What was seen where it had been written; nothing if its user could not look.
        found: Option<Found>,
    },
    /// A backup was put back.
    Restored {
        /// Which.
        backup: BackupId,
    },
    /// The gateway was opened after a backup was put back elsewhere, or after a rollback.
    Activated {
        /// Why it was closed.
        closure: Closure,
    },
    /// The root key is kept elsewhere from now on.
    RootKeyMoved {
        /// Where.
        to: KeptIn,
    },
    /// A key that Bascule did not issue is dead at its provider.
    MarkedDead {
        /// The last characters of its id.
        key: String,
    },
    /// It is not any more, or never was.
    UnmarkedDead {
        /// The last characters of its id.
        key: String,
    },
    /// The user knows of a consumer of a key that does not work.
    FindingAcknowledged {
        /// Which.
        finding: FindingId,
        /// Of which connection's key, if it is one's.
        connection: Option<ConnectionId>,
        /// Of which key, if it is one of ours.
        key: Option<KeyId>,
    },
}

impl Change {
    /// The word for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connected { .. } => "connected",
            Self::CredentialsReplaced { .. } => "credentials-replaced",
            Self::Renamed { .. } => "renamed",
            Self::Limited { .. } => "limited",
            Self::CardExported { .. } => "card-exported",
            Self::KeyIssued { .. } => "key-issued",
            Self::KeyRestricted { .. } => "key-restricted",
            Self::KeyPaused { .. } => "key-paused",
            Self::KeyResumed { .. } => "key-resumed",
            Self::KeyRevoked { .. } => "key-revoked",
            Self::Rotation { step, .. } => step.as_str(),
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::LeakReported { .. } => "leak-reported",
            Self::LeakClosed { .. } => "leak-closed",
            Self::Adoption { step, .. } => step.as_str(),
            Self::CredentialsHandedOut { .. } => "credentials-handed-out",
            Self::SuccessorHandedOut { .. } => "successor-handed-out",
            Self::Deletion { .. } => "deletion",
            Self::DeletionWentOn { .. } => "deletion-went-on",
            Self::BackedUp { .. } => "backed-up",
            Self::BackupForgotten { .. } => "backup-forgotten",
            Self::Restored { .. } => "restored",
            Self::Activated { closure } => match closure {
                Closure::Restored { .. } => "activated",
                Closure::RolledBack { .. } => "rollback-accepted",
            },
            Self::RootKeyMoved { to } => match to {
                KeptIn::File => "root-key-moved-to-file",
                KeptIn::Keychain => "root-key-moved-to-keychain",
                KeptIn::Credential => "root-key-moved-to-credential",
            },
            Self::MarkedDead { .. } => "marked-dead",
            Self::UnmarkedDead { .. } => "unmarked-dead",
            Self::FindingAcknowledged { .. } => "finding-acknowledged",
        }
    }

    /// The connection it is about; none if it is about a key of nobody's here.
    #[must_use]
    pub const fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::Connected { connection }
            | Self::CredentialsReplaced { connection, .. }
            | Self::Renamed { connection }
            | Self::Limited { connection }
            | Self::CardExported { connection }
            | Self::KeyIssued { connection, .. }
            | Self::KeyRestricted { connection, .. }
            | Self::KeyPaused { connection, .. }
            | Self::KeyResumed { connection, .. }
            | Self::KeyRevoked { connection, .. }
            | Self::Rotation { connection, .. }
            | Self::Paused { connection }
            | Self::Resumed { connection }
            | Self::LeakReported { connection }
            | Self::LeakClosed { connection }
            | Self::Adoption { connection, .. }
            | Self::CredentialsHandedOut { connection }
            | Self::SuccessorHandedOut { connection, .. }
            | Self::Deletion { connection, .. }
            | Self::DeletionWentOn { connection, .. } => Some(*connection),
            Self::FindingAcknowledged { connection, .. } => *connection,
            Self::BackedUp { .. }
            | Self::BackupForgotten { .. }
            | Self::Restored { .. }
            | Self::Activated { .. }
            | Self::RootKeyMoved { .. }
            | Self::MarkedDead { .. }
            | Self::UnmarkedDead { .. } => None,
        }
    }

    /// The one key it is about.
    #[must_use]
    pub const fn key(&self) -> Option<KeyId> {
        match self {
            Self::KeyIssued { key, .. }
            | Self::KeyRestricted { key, .. }
            | Self::KeyPaused { key, .. }
            | Self::KeyResumed { key, .. }
            | Self::KeyRevoked { key, .. }
            | Self::Rotation { key, .. }
            | Self::Adoption { key, .. }
            | Self::SuccessorHandedOut { key, .. } => Some(*key),
            Self::FindingAcknowledged { key, .. } => *key,
            Self::Connected { .. }
            | Self::CredentialsReplaced { .. }
            | Self::Renamed { .. }
            | Self::Limited { .. }
            | Self::CardExported { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::LeakReported { .. }
            | Self::LeakClosed { .. }
            | Self::CredentialsHandedOut { .. }
            | Self::Deletion { .. }
            | Self::DeletionWentOn { .. }
            | Self::BackedUp { .. }
            | Self::BackupForgotten { .. }
            | Self::Restored { .. }
            | Self::Activated { .. }
            | Self::RootKeyMoved { .. }
            | Self::MarkedDead { .. }
            | Self::UnmarkedDead { .. } => None,
        }
    }

    /// The backup it is about, or that the state came from.
    #[must_use]
    pub const fn backup(&self) -> Option<BackupId> {
        match self {
            Self::BackedUp { backup }
            | Self::BackupForgotten { backup, .. }
            | Self::Restored { backup }
            | Self::Activated {
                closure: Closure::Restored { backup },
            } => Some(*backup),
            _ => None,
        }
    }

    /// The key that takes the other one's place.
    #[must_use]
    pub const fn successor(&self) -> Option<KeyId> {
        match self {
            Self::Rotation { successor, .. } => Some(*successor),
            _ => None,
        }
    }
}

/// What was done about a consumer's adoption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdoptionStep {
    /// Its files are kept, and are about to be changed.
    Prepared,
    /// It works with a key of ours.
    Adopted,
    /// The same, in the place of a key that it had from us before.
    Repaired,
    /// It did not work, and its files are as before.
    RolledBack,
    /// Its files are as before.
    Undone,
    /// It has its provider's key again.
    Ejected,
}

impl AdoptionStep {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "adoption-prepared",
            Self::Adopted => "adopted",
            Self::Repaired => "repaired",
            Self::RolledBack => "adoption-rolled-back",
            Self::Undone => "adoption-undone",
            Self::Ejected => "ejected",
        }
    }
}

/// What reveals something of the connection: kept apart, sealed with the connection's key, and
/// gone with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What the connection was called then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionName>,
    /// What the key was called then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Who got a key or credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<ConsumerName>,
    /// What differs from before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Why, in the user's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

impl Details {
    /// Of a change to a connection.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        Self {
            connection: Some(connection.name.clone()),
            ..Self::default()
        }
    }

    /// Of a change to one of its keys.
    #[must_use]
    pub fn of_key(connection: &ConnectionName, key: &Key) -> Self {
        Self {
            connection: Some(connection.clone()),
            label: Some(key.label.clone()),
            ..Self::default()
        }
    }

    /// Adds who got a key or credentials.
    #[must_use]
    pub fn given_to(self, consumer: &ConsumerName) -> Self {
        Self {
            consumer: Some(consumer.clone()),
            ..self
        }
    }

    /// Adds what one part was and is, if that differs. No values are what the part has without
    /// any: every bucket, no limit, never.
    #[must_use]
    pub fn differs(
        mut self,
        part: Part,
        from: impl IntoIterator<Item = impl ToString>,
        to: impl IntoIterator<Item = impl ToString>,
    ) -> Self {
        let from: Vec<_> = from.into_iter().map(|value| value.to_string()).collect();
        let to: Vec<_> = to.into_iter().map(|value| value.to_string()).collect();
        if from != to {
            self.differences.push(Difference { part, from, to });
        }
        self
    }

    /// Adds what a new key may do.
    #[must_use]
    pub fn rights(self, key: &Key) -> Self {
        let none: [&str; 0] = [];
        self.differs(Part::Permission, none, [key.permission])
            .differs(Part::Buckets, none, &key.scope.buckets)
            .differs(Part::Prefixes, none, &key.scope.prefixes)
            .differs(Part::Addresses, none, &key.scope.addresses)
            .differs(Part::Expiry, none, key.expires_at)
    }

    /// Adds what a key may do otherwise than before.
    #[must_use]
    pub fn rights_changed(self, from: &Key, to: &Key) -> Self {
        let (old, new) = (&from.scope, &to.scope);
        self.differs(Part::Label, [&from.label], [&to.label])
            .differs(Part::Permission, [from.permission], [to.permission])
            .differs(Part::Buckets, &old.buckets, &new.buckets)
            .differs(Part::Prefixes, &old.prefixes, &new.prefixes)
            .differs(Part::Addresses, &old.addresses, &new.addresses)
            .differs(Part::Expiry, from.expires_at, to.expires_at)
    }
}

/// What one part was and is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which part.
    pub part: Part,
    /// Before; empty when nothing was said.
    pub from: Vec<String>,
    /// After.
    pub to: Vec<String>,
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident => $word:literal;)*) => {
        /// A part of a connection, a key or a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Part {
            $($(#[$doc])* $name,)*
        }

        impl Part {
            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

parts! {
    /// A connection's name.
    Name => "name";
    /// Where its provider is.
    Place => "place";
    /// The last characters of the provider's access key id.
    ProviderKey => "provider-key";
    /// Requests open at once.
    Requests => "requests";
    /// Bytes in a second.
    Bandwidth => "bandwidth";
    /// A key's label.
    Label => "label";
    /// What a key may do.
    Permission => "permission";
    /// Which buckets.
    Buckets => "buckets";
    /// Which objects.
    Prefixes => "prefixes";
    /// From where.
    Addresses => "addresses";
    /// Until when.
    Expiry => "expiry";
    /// Boxes of a deletion's checklist that the user vouched for.
    Acknowledged => "acknowledged";
    /// Whether a deletion revokes first.
    Emergency => "emergency";
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
    /// The rest; `None` once the connection is erased.
    #[serde(skip)]
    pub details: Option<Details>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let details = Details::default()
            .differs(Part::Prefixes, ["a/"], ["a/"])
            .differs(Part::Expiry, None::<Timestamp>, [Timestamp::UNIX_EPOCH]);
        let [difference] = &details.differences[..] else {
            panic!("{details:?}")
        };
        assert_eq!(difference.part.as_str(), "expiry");
        assert!(difference.from.is_empty());
        assert_eq!(difference.to, ["1970-01-01T00:00:00Z"]);
    }

    #[test]
    fn what_is_written_for_good_holds_no_details() {
        let entry = Entry {
            at: Timestamp::UNIX_EPOCH,
            by: None,
            change: Change::Connected {
                connection: ConnectionId::from_random([1; 10]),
            },
            details: Some(Details {
                connection: Some("photos".parse().unwrap()),
                reason: Some("a secret project".parse().unwrap()),
                ..Details::default()
            }),
        };
        let text = serde_json::to_string(&entry).unwrap();
        assert!(
            !text.contains("photos") && !text.contains("secret"),
            "{text}"
        );
        // As entries of the first release were.
        let old = r#"{"at":"1970-01-01T00:00:00Z","by":{"uid":1000,"pid":7},"change":{"what":"connected","connection":"conn_aeaqcaibaeaqcaib"},"reason":null}"#;
        let old: Entry = serde_json::from_str(old).unwrap();
        assert_eq!(old.by.unwrap().program, None);
    }
}
