//! Issues, lists and revokes keys.

use std::time::Duration;

use bascule_domain::{
    Timestamp,
    audit::{Caller, Change},
    ids::KeyId,
    key::{Key, KeyKind, KeyState, Origin, Permission, Scope},
    names::{BucketName, Label},
    secret::SecretKey,
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_gateway::InDoubt;

use super::{
    App,
    error::{Error, Kind, Result},
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
        let buckets = entry
            .connection
            .buckets
            .iter()
            .filter(|b| key.scope.buckets.is_empty() || key.scope.buckets.contains(*b));
        Ok(Issued {
            buckets: buckets.cloned().collect(),
            connection: entry.connection.name.to_string(),
            key,
            secret: credentials.secret,
        })
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
        // The key is dead; this only finds out what its last requests came to.
        let (connection, key) = (tombstone.connection, tombstone.key);
        self.keyring
            .changes_ended(connection, key, LAST_CHANGES)
            .await;
        let in_doubt = self.keyring.in_doubt_of(connection, key);
        if !in_doubt.is_empty() {
            tracing::warn!(key = %tombstone.key, changes = in_doubt.len(), "a revoked key leaves changes in doubt");
        }
        Ok(Revoked {
            tombstone,
            in_doubt,
        })
    }

    async fn bury_key(&self, by: Caller, id: &str) -> Result<Tombstone> {
        let _changing = self.one_change_at_a_time().await;
        let Some(key) = self.registry.key(id) else {
            return match id
                .parse()
                .ok()
                .and_then(|id| bascule_gateway::DeadKeys::find(&*self.graves, &id))
            {
                // Revoking twice is what a script may do; the promise holds already.
                Some(tombstone) => Ok(tombstone),
                None => Err(Error::new(Kind::NotFound, format!("there is no key {id}"))
                    .next("bascule key list")),
            };
        };
        let Some(entry) = self.registry.get(key.connection) else {
            return Err(Error::no_connection(&key.connection.to_string()));
        };
        let tombstone = Tombstone {
            key: key.id,
            masked: key.access_key_id.masked(),
            label: key.label.clone(),
            connection: key.connection,
            connection_name: entry.connection.name,
            died_at: self.clock.now(),
            cause: CauseOfDeath::Revoked,
        };
        // Dead in memory first: whatever becomes of the commit, nothing is admitted meanwhile.
        self.graves.add(&key.access_key_id, tombstone.clone());
        self.keyring.remove_key(&key.access_key_id);
        let audit = self.audit(
            Some(by),
            Change::KeyRevoked {
                connection: key.connection,
                key: key.id,
            },
        );
        {
            let (buried, tombstone) = (key.clone(), tombstone.clone());
            self.stored(move |store| store.bury_key(&buried, &tombstone, &audit)).await.map_err(|mut error| {
                error.message = format!(
                    "the key is refused from now on, but that could not be made durable, so a restart may bring it back: {}",
                    error.message
                );
                error.next(format!("bascule key revoke {}", key.access_key_id))
            })?;
        }
        self.registry.update(key.connection, |entry| {
            entry.keys.remove(&key.id);
        });
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
