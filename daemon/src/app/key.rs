//! Issues, lists, shows and revokes keys.

mod restrict;

use std::time::Duration;

use bascule_domain::{
    Timestamp,
    audit::{Asked, Change, Details},
    ids::{ConnectionId, KeyId},
    key::{Key, KeyKind, KeyState, Origin, Permission, Scope},
    names::{BucketName, Label},
    secret::SecretKey,
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_gateway::{ConditionalWrites, InDoubt};

use super::{
    App,
    error::{Error, Kind, Result},
    named::Named,
    registry::Entry,
};
use crate::random;

pub(crate) use restrict::Changed;

/// A living key, as it is shown.
pub(crate) struct KeyView {
    pub key: Key,
    /// What its connection is called now.
    pub connection: String,
    /// As far as it is known.
    pub last_used: Option<Timestamp>,
    pub expired: bool,
    /// What is known about its connection's provider; `None` where the key may overwrite anyway.
    pub conditional_writes: Option<ConditionalWrites>,
}

/// The key a user wants.
pub(crate) struct KeyWish {
    pub connection: String,
    pub label: Label,
    pub permission: Permission,
    pub scope: Scope,
    pub expires_at: Option<Timestamp>,
}

/// A key just issued. The secret is shown once.
pub(crate) struct Issued {
    pub view: KeyView,
    pub secret: SecretKey,
    pub buckets: Vec<BucketName>,
}

/// How long a revocation waits for the outcome of changes that the provider has already. The key
/// is dead all the while, but whoever asked waits: an answer takes 50 ms at most (threats.md, c).
const LAST_CHANGES: Duration = Duration::from_millis(25);

/// A key that is dead for good.
pub(crate) struct Revoked {
    pub tombstone: Tombstone,
    /// What it had asked for and may or may not have happened.
    pub in_doubt: Vec<InDoubt>,
}

/// Keys for a list.
pub(crate) struct Listed {
    pub living: Vec<KeyView>,
    /// Tombstones, the most recent death first.
    pub dead: Vec<Tombstone>,
}

impl App {
    pub(crate) async fn issue_key(&self, by: Asked, wish: KeyWish) -> Result<Issued> {
        let _changing = self.one_change_at_a_time().await;
        let entry = self.living(&wish.connection)?;
        if entry.deletion.is_some() {
            return Err(Error::new(
                Kind::Refused,
                format!("{} is being deleted", wish.connection),
            )
            .next("bascule deletion list"));
        }
        refuse_foreign(&entry, &wish.scope.buckets)?;
        self.refuse_taken(&entry, &wish.label, None)?;
        self.refuse_past(wish.expires_at)?;
        let credentials = random::issue();
        let key = Key {
            id: KeyId::from_random(random::bytes()),
            access_key_id: credentials.access_key_id,
            connection: entry.connection.id,
            kind: KeyKind::Gateway,
            origin: Origin::Issued,
            label: wish.label,
            permission: wish.permission,
            scope: wish.scope,
            expires_at: wish.expires_at,
            state: KeyState::Active,
            generation: 1,
            predecessor: None,
            successor: None,
            issued_at: self.clock.now(),
        };
        let audit = self.audit(
            Some(by),
            Change::KeyIssued {
                connection: key.connection,
                key: key.id,
            },
            Details::of_key(&entry.connection.name, &key).rights(&key),
        );
        {
            let (key, secret) = (key.clone(), credentials.secret.clone());
            self.stored(move |store| store.add_key(&key, &secret, &audit))
                .await?;
        }
        self.registry.put_key(key.clone());
        self.keyring
            .add_key(key.clone(), credentials.secret.clone())
            .map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        tracing::info!(connection = %key.connection, key = %key.id, "key issued");
        Ok(self.issued(&entry, key, credentials.secret))
    }

    /// The keys of one connection, or of all.
    pub(crate) fn list_keys(&self, name: Option<&str>) -> Result<Listed> {
        let graves = self.graves.all();
        let entries = match name {
            None => self.registry.living(),
            // A connection that was deleted still has its dead keys to show.
            Some(name) => match self.registry.by_name(name) {
                Some(entry) => vec![entry],
                None if graves.iter().any(|t| t.connection_name.as_str() == name) => Vec::new(),
                None => return Err(Error::no_connection(name)),
            },
        };
        let living = entries.iter().flat_map(|e| self.key_views(e)).collect();
        let dead = graves
            .into_iter()
            .filter(|t| name.is_none_or(|name| t.connection_name.as_str() == name))
            .collect();
        Ok(Listed { living, dead })
    }

    /// A key of a connection as it is handed out, with the buckets it reaches.
    pub(super) fn issued(&self, entry: &Entry, key: Key, secret: SecretKey) -> Issued {
        let buckets = entry
            .connection
            .buckets
            .iter()
            .filter(|b| key.scope.buckets.is_empty() || key.scope.buckets.contains(*b));
        Issued {
            buckets: buckets.cloned().collect(),
            view: self.key_view(key, entry.connection.name.as_str()),
            secret,
        }
    }

    /// A connection's living keys.
    pub(super) fn key_views(&self, entry: &Entry) -> Vec<KeyView> {
        let keys = self.registry.keys_of(entry.connection.id);
        keys.into_iter()
            .map(|key| self.key_view(key, entry.connection.name.as_str()))
            .collect()
    }

    pub(crate) fn key_view(&self, key: Key, connection: &str) -> KeyView {
        KeyView {
            last_used: self.keyring.last_used(&key.access_key_id),
            expired: key.expires_at.is_some_and(|end| end <= self.clock.now()),
            conditional_writes: match key.permission {
                Permission::Append | Permission::Write => {
                    self.keyring.conditional_writes(key.connection)
                }
                Permission::Read | Permission::ReadWrite | Permission::ReadWriteNoDelete => None,
            },
            connection: connection.to_owned(),
            key,
        }
    }

    /// A label names one living key of a connection.
    fn refuse_taken(&self, entry: &Entry, label: &Label, own: Option<KeyId>) -> Result<()> {
        let name = &entry.connection.name;
        let labelled = self.registry.labelled(entry.connection.id, label);
        if labelled.iter().all(|key| Some(key.id) == own) {
            return Ok(());
        }
        Err(Error::new(
            Kind::AlreadyExists,
            format!("{name} already has a key labelled {:?}", label.as_str()),
        )
        .next(format!(
            "choose another --label, or see: bascule key list {name}"
        )))
    }

    fn refuse_past(&self, expires_at: Option<Timestamp>) -> Result<()> {
        match expires_at {
            Some(end) if end <= self.clock.now() => Err(Error::new(
                Kind::Invalid,
                format!("the key would be expired already: {end} is past"),
            )
            .next("to refuse it at once: bascule key pause KEY_ID, or bascule key revoke KEY_ID")),
            _ => Ok(()),
        }
    }

    pub(crate) async fn revoke_key(&self, by: Asked, id: &str) -> Result<Revoked> {
        let tombstone = self.bury_key(by, id).await?;
        let in_doubt = self.last_changes(tombstone.connection, tombstone.key).await;
        Ok(Revoked {
            tombstone,
            in_doubt,
        })
    }

    /// What the last requests of a key that is dead came to, as far as that can't be told.
    pub(super) async fn last_changes(&self, connection: ConnectionId, key: KeyId) -> Vec<InDoubt> {
        self.keyring
            .changes_ended(connection, key, LAST_CHANGES)
            .await;
        let in_doubt = self.keyring.in_doubt_of(connection, key);
        if !in_doubt.is_empty() {
            tracing::warn!(key = %key, changes = in_doubt.len(), "a dead key leaves changes in doubt");
        }
        in_doubt
    }

    async fn bury_key(&self, by: Asked, id: &str) -> Result<Tombstone> {
        let _changing = self.one_change_at_a_time().await;
        let (entry, key) = match self.find_key(id)? {
            Named::Living(entry, key) => (entry, key),
            // Revoking twice is what a script may do; the promise holds already.
            Named::Dead(tombstone) => return Ok(tombstone),
        };
        let tombstone = self
            .bury(by, &entry, &key, CauseOfDeath::Revoked)
            .await
            .map_err(|error| error.next(format!("bascule key revoke {}", key.access_key_id)))?;
        tracing::info!(connection = %key.connection, key = %key.id, "key revoked");
        Ok(tombstone)
    }
}

/// A key reaches no bucket that its connection does not.
fn refuse_foreign<'a>(
    entry: &Entry,
    buckets: impl IntoIterator<Item = &'a BucketName>,
) -> Result<()> {
    let name = &entry.connection.name;
    match buckets
        .into_iter()
        .find(|bucket| !entry.connection.buckets.contains(bucket))
    {
        None => Ok(()),
        Some(foreign) => Err(
            Error::new(Kind::Invalid, format!("{name} has no bucket {foreign}"))
                .next(format!("bascule show {name}")),
        ),
    }
}
