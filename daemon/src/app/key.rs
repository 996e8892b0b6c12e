//! Issues, lists and revokes keys.

use std::time::Duration;

use bascule_domain::{
    Timestamp,
    audit::{Caller, Change},
    ids::{ConnectionId, KeyId},
    key::{Key, KeyKind, KeyState, Origin, Permission, Scope},
    names::{BucketName, Label},
    secret::SecretKey,
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_gateway::InDoubt;

use super::{
    App,
    error::{Error, Kind, Result},
    registry::Entry,
    rotate::Meant,
};
use crate::random;

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
    pub key: Key,
    pub secret: SecretKey,
    pub connection: String,
    pub buckets: Vec<BucketName>,
}

impl Issued {
    /// A key of a connection, with the buckets it reaches.
    pub(super) fn of(entry: &Entry, key: Key, secret: SecretKey) -> Self {
        let buckets = entry
            .connection
            .buckets
            .iter()
            .filter(|b| key.scope.buckets.is_empty() || key.scope.buckets.contains(*b));
        Self {
            buckets: buckets.cloned().collect(),
            connection: entry.connection.name.to_string(),
            key,
            secret,
        }
    }
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
    /// Living ones, each with the name of its connection.
    pub living: Vec<(Key, String)>,
    /// Tombstones, the most recent death first.
    pub dead: Vec<Tombstone>,
}

impl App {
    pub(crate) async fn issue_key(&self, by: Caller, wish: KeyWish) -> Result<Issued> {
        available(&wish)?;
        let _changing = self.one_change_at_a_time().await;
        let entry = self.living(&wish.connection)?;
        if entry.deletion.is_some() {
            return Err(Error::new(
                Kind::Refused,
                format!("{} is being deleted", wish.connection),
            )
            .next("bascule deletion list"));
        }
        if let Some(foreign) = wish
            .scope
            .buckets
            .iter()
            .find(|b| !entry.connection.buckets.contains(b))
        {
            return Err(Error::new(
                Kind::Invalid,
                format!("{} has no bucket {foreign}", wish.connection),
            )
            .next(format!("bascule show {}", wish.connection)));
        }
        if entry.keys.values().any(|key| key.label == wish.label) {
            return Err(Error::new(
                Kind::AlreadyExists,
                format!(
                    "{} already has a key labelled {:?}",
                    wish.connection,
                    wish.label.as_str()
                ),
            )
            .next(format!(
                "choose another --label, or see: bascule key list {}",
                wish.connection
            )));
        }
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
        );
        {
            let (key, secret) = (key.clone(), credentials.secret.clone());
            self.stored(move |store| store.add_key(&key, &secret, &audit))
                .await?;
        }
        self.registry.add_key(key.clone());
        self.keyring
            .add_key(key.clone(), credentials.secret.clone())
            .map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        tracing::info!(connection = %key.connection, key = %key.id, "key issued");
        Ok(Issued::of(&entry, key, credentials.secret))
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
        let living = entries
            .iter()
            .flat_map(|e| {
                e.keys
                    .values()
                    .map(|key| (key.clone(), e.connection.name.to_string()))
            })
            .collect();
        let dead = graves
            .into_iter()
            .filter(|t| name.is_none_or(|name| t.connection_name.as_str() == name))
            .collect();
        Ok(Listed { living, dead })
    }

    pub(crate) async fn revoke_key(&self, by: Caller, id: &str) -> Result<Revoked> {
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

    async fn bury_key(&self, by: Caller, id: &str) -> Result<Tombstone> {
        let _changing = self.one_change_at_a_time().await;
        let key = match self.meant(id)? {
            Meant::Living(key) => key,
            // Revoking twice is what a script may do; the promise holds already.
            Meant::Dead(tombstone) => return Ok(tombstone),
        };
        let entry = self.entry_of(&key)?;
        let tombstone = self.tombstone(&entry, &key, CauseOfDeath::Revoked);
        self.bury(by, &entry, &key, tombstone.clone())
            .await
            .map_err(|error| error.next(format!("bascule key revoke {}", key.access_key_id)))?;
        tracing::info!(connection = %key.connection, key = %key.id, "key revoked");
        Ok(tombstone)
    }
}

/// What this release can enforce. The rest is refused rather than stored and ignored.
fn available(wish: &KeyWish) -> Result<()> {
    if !matches!(wish.permission, Permission::Read | Permission::ReadWrite) {
        return Err(
            Error::not_available(&format!("permission {}", wish.permission))
                .next("use read or read-write"),
        );
    }
    if !wish.scope.prefixes.is_empty() {
        return Err(Error::not_available("limiting a key to a prefix"));
    }
    if !wish.scope.addresses.is_empty() {
        return Err(Error::not_available("limiting a key to addresses"));
    }
    if wish.expires_at.is_some() {
        return Err(Error::not_available("a key that expires"));
    }
    Ok(())
}
