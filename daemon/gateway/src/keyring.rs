//! The map of all living keys and connections, and every change to it. Changes exclude one another
//! by a lock that no request takes; each is one atomic step for the requests that see it. It must
//! never answer for a key whose change it has begun.

use std::{
    collections::BTreeMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    connection::Buckets,
    ids::{ConnectionId, KeyId},
    key::Key,
    limits::Limits,
    names::ConnectionName,
    secret::SecretKey,
};
use papaya::Guard as _;
use tokio::sync::{Notify, futures::Notified};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Admission, InDoubt, PausedBy},
    cells::{ConnectionCell, KeyCell, KeyUse},
    expiry,
    meter::{Meter, Meters},
    metrics::Family,
    ports::Clock,
    reason::Reason,
    route::ConditionalWrites,
    upstream::{Upstream, UpstreamAccess},
};

/// What a connection starts as.
pub struct ConnectionSpec {
    /// Its id.
    pub id: ConnectionId,
    /// What it is called now.
    pub name: ConnectionName,
    /// The buckets it reaches.
    pub buckets: Buckets,
    /// When it was added; `ListBuckets` tells it as the buckets' date.
    pub created_at: Timestamp,
    /// How its provider is addressed and signed for.
    pub access: UpstreamAccess,
    /// The way there.
    pub upstream: Arc<dyn Upstream>,
    /// Whether requests are admitted from the start.
    pub admission: Admission,
    /// What its keys may take together.
    pub limits: Limits,
}

/// A change that makes no sense for what the keyring holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The connection is not there.
    #[error("the gateway does not know this connection")]
    UnknownConnection,
    /// The key is not there.
    #[error("the gateway does not know this key")]
    UnknownKey,
    /// The id is taken.
    #[error("the gateway has this id already")]
    Taken,
}

/// Which ends of keys are still to come.
#[derive(Default)]
pub(crate) struct Ahead {
    /// Whether any key has an end, past ones included.
    pub(crate) any: bool,
    /// The first that is to come.
    pub(crate) next: Option<Timestamp>,
}

/// All living keys and connections.
#[derive(Default)]
pub struct Keyring {
    keys: papaya::HashMap<AccessKeyId, Arc<KeyCell>>,
    connections: papaya::HashMap<ConnectionId, Arc<ConnectionCell>>,
    meters: Meters,
    /// Serialises changes. No request takes it.
    changes: Mutex<()>,
    /// Wakes whoever looks after the ends of keys.
    ends: Notify,
}

/// Frees what this thread has removed. By itself a map waits until that is worth the effort, and a
/// secret would stay in memory for as long. A request that reads at the very moment is in the way,
/// for less than a try takes.
fn reclaim<K: Hash + Eq, V>(map: &papaya::HashMap<K, V>) {
    const TRIES: usize = 32;
    for _ in 0..TRIES {
        map.guard().flush();
    }
}

impl Keyring {
    /// An empty keyring: every key is unknown.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        // The lock guards no data, so a panic while it was held left nothing half done that it
        // could reveal.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection's cell.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<Arc<ConnectionCell>> {
        self.connections.pin().get(&id).cloned()
    }

    /// The living key's cell.
    #[must_use]
    pub fn key(&self, id: &AccessKeyId) -> Option<Arc<KeyCell>> {
        self.keys.pin().get(id).cloned()
    }

    /// Adds a connection.
    pub fn add_connection(&self, spec: ConnectionSpec) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let id = spec.id;
        let cell = ConnectionCell::new(spec);
        let connections = self.connections.pin();
        match connections.try_insert(id, Arc::new(cell)) {
            Ok(_) => Ok(()),
            Err(_) => Err(KeyringError::Taken),
        }
    }

    /// Adds a key. Its connection must be there.
    pub fn add_key(&self, key: Key, secret: SecretKey) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let connection = self
            .connection(key.connection)
            .ok_or(KeyringError::UnknownConnection)?;
        let access_key_id = key.access_key_id.clone();
        let cell = KeyCell::new(key, secret, connection);
        match self.keys.pin().try_insert(access_key_id, Arc::new(cell)) {
            Ok(_) => {
                self.ends.notify_one();
                Ok(())
            }
            Err(_) => Err(KeyringError::Taken),
        }
    }

    /// Replaces a key's rights and state. Its generation must have grown if anything was taken
    /// away: then what was admitted under the old ones is cut, else it goes on.
    pub fn change_key(&self, key: Key) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let cell = self
            .key(&key.access_key_id)
            .ok_or(KeyringError::UnknownKey)?;
        cell.change(key);
        self.ends.notify_one();
        Ok(())
    }

    pub(crate) fn ends_changed(&self) -> Notified<'_> {
        self.ends.notified()
    }

    /// Ends what keys whose time has come have open.
    pub(crate) fn enforce_ends(&self, clock: &dyn Clock) -> Ahead {
        let _changing = self.changing();
        let mut now = None;
        let mut ahead = Ahead::default();
        for cell in self.keys.pin().values() {
            // The clock is not asked as long as no key has an end.
            let mut now = || *now.get_or_insert_with(|| clock.now());
            if let Some(end) = expiry::enforce(cell, &mut now) {
                ahead.any = true;
                if now() < end {
                    ahead.next = Some(ahead.next.map_or(end, |next| next.min(end)));
                }
            }
        }
        ahead
    }

    /// Kills a key: its permits are void, what it has open is cut, and later requests find it
    /// unknown. Returns whether it was there.
    pub fn remove_key(&self, id: &AccessKeyId) -> bool {
        let _changing = self.changing();
        let keys = self.keys.pin();
        let Some(cell) = keys.get(id) else {
            return false;
        };
        cell.kill();
        keys.remove(id);
        drop(keys);
        reclaim(&self.keys);
        true
    }

    /// Stops admitting requests and cuts what is open. Repeating it changes at most what is told as
    /// the cause.
    pub fn pause(&self, connection: ConnectionId, by: PausedBy) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        cell.gate.set(Admission::Paused(by));
        cell.cut();
        Ok(())
    }

    /// Admits requests again.
    pub fn resume(&self, connection: ConnectionId) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        if cell.gate.admission() == Admission::Open {
            return Ok(());
        }
        let token = CancellationToken::new();
        for key in self.keys.pin().values() {
            if key.connection().id() == connection {
                key.renew(&token);
            }
        }
        cell.renew(token);
        cell.gate.set(Admission::Open);
        Ok(())
    }

    /// Kills a connection with all its keys. Returns whether it was there.
    pub fn remove_connection(&self, connection: ConnectionId) -> bool {
        let _changing = self.changing();
        let connections = self.connections.pin();
        let Some(cell) = connections.get(&connection) else {
            return false;
        };
        cell.gate.set(Admission::Dead);
        let keys = self.keys.pin();
        for (_, key) in &keys {
            if key.connection().id() == connection {
                key.kill();
            }
        }
        cell.cut();
        keys.retain(|_, key| key.connection().id() != connection);
        self.meters.keep(cell);
        connections.remove(&connection);
        drop((keys, connections));
        reclaim(&self.keys);
        reclaim(&self.connections);
        true
    }

    /// Replaces how the provider is addressed and signed for. Requests under way go on with what
    /// they were signed with.
    pub fn swap_credentials(
        &self,
        connection: ConnectionId,
        access: UpstreamAccess,
    ) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        cell.replace_access(access);
        Ok(())
    }

    /// What the connection is called from now on, in refusals.
    pub fn rename(
        &self,
        connection: ConnectionId,
        name: ConnectionName,
    ) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        cell.rename(name);
        Ok(())
    }

    /// What a connection's keys may take together from now on, running streams included.
    pub fn limit(&self, connection: ConnectionId, limits: Limits) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        cell.throttle().set(limits);
        Ok(())
    }

    /// What is known about the conditional writes of a connection's provider. `None` if the
    /// connection is not there.
    #[must_use]
    pub fn conditional_writes(&self, connection: ConnectionId) -> Option<ConditionalWrites> {
        Some(self.connection(connection)?.conditional_writes())
    }

    /// What counts for a connection, also for one that is gone, for a while.
    pub(crate) fn meter_of(&self, connection: ConnectionId) -> Option<Arc<Meter>> {
        match self.connection(connection) {
            Some(cell) => Some(Arc::clone(cell.meter())),
            None => self.meters.of_gone(connection),
        }
    }

    /// How many connections of users who may not connect were closed since the start.
    #[must_use]
    pub fn closed_to_users(&self) -> u64 {
        self.meters.nobody().refusals(Reason::UserNotAllowed)
    }

    pub(crate) const fn meters(&self) -> &Meters {
        &self.meters
    }

    /// What has passed through the gateway since it was made.
    #[must_use]
    pub fn metrics(&self) -> Vec<Family> {
        let living: Vec<_> = self.connections.pin().values().cloned().collect();
        self.meters.families(&living)
    }

    /// Whether this holds for a connection other than `own`.
    pub(crate) fn any_other(
        &self,
        own: ConnectionId,
        mut holds: impl FnMut(&ConnectionCell) -> bool,
    ) -> bool {
        self.connections
            .pin()
            .values()
            .any(|cell| cell.id() != own && holds(cell))
    }

    /// How many requests are open.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.connections
            .pin()
            .values()
            .map(|cell| cell.open_requests())
            .sum()
    }

    /// How many requests of a connection are open.
    #[must_use]
    pub fn open_requests_of(&self, connection: ConnectionId) -> usize {
        self.connection(connection)
            .map_or(0, |cell| cell.open_requests())
    }

    /// How many multipart uploads were begun through a connection and not seen to end, by key: since
    /// the daemon started, and the newest ones.
    #[must_use]
    pub fn open_uploads_of(&self, connection: ConnectionId) -> BTreeMap<KeyId, usize> {
        self.connection(connection)
            .map_or_else(BTreeMap::new, |cell| cell.uploads.open())
    }

    /// A key was used then, in an earlier life of this keyring.
    pub fn remember_use(&self, id: &AccessKeyId, at: Timestamp) {
        if let Some(key) = self.key(id) {
            key.was_used_at(at);
        }
    }

    /// When a key last sent a request with a valid signature, to the millisecond, as far as it is
    /// known here.
    #[must_use]
    pub fn last_used(&self, id: &AccessKeyId) -> Option<Timestamp> {
        self.key(id)?.last_used()
    }

    /// A key's secret, for whoever may hold it; `None` when it is not there.
    #[must_use]
    pub fn secret(&self, id: &AccessKeyId) -> Option<SecretKey> {
        Some(self.key(id)?.secret().clone())
    }

    /// How a key was used since it was added here; `None` when it is not there.
    #[must_use]
    pub fn key_use(&self, id: &AccessKeyId) -> Option<KeyUse> {
        Some(self.key(id)?.usage())
    }

    /// The changes of a connection at its provider whose outcome is not known now: those under
    /// way, and those that broke off lately.
    #[must_use]
    pub fn in_doubt(&self, connection: ConnectionId) -> Vec<InDoubt> {
        self.connection(connection)
            .map_or_else(Vec::new, |cell| cell.gate.under_way())
    }

    /// The changes of a key at its provider that may or may not have happened. Asked after the
    /// key was removed, it misses none: what it does not name never gets handed over.
    #[must_use]
    pub fn in_doubt_of(&self, connection: ConnectionId, key: KeyId) -> Vec<InDoubt> {
        self.connection(connection)
            .map_or_else(Vec::new, |cell| cell.gate.in_doubt_of(key))
    }

    /// Waits until no change of this key is under way at its provider, at most `limit`. Once the
    /// key was removed, none begins.
    pub async fn changes_ended(&self, connection: ConnectionId, key: KeyId, limit: Duration) {
        if let Some(cell) = self.connection(connection) {
            // Running into the limit is an answer: what is left is in doubt.
            let _ = tokio::time::timeout(limit, cell.gate.ended(key)).await;
        }
    }

    /// Pauses a connection for its deletion, cuts its client streams and the uploads whose last frame was not
    /// handed upstream yet, and waits for its exchanges with the provider to end, at most
    /// `limit`. Returns the changes whose outcome is unknown: those still running then, and those
    /// that broke off after the provider had the whole request.
    pub async fn cut_and_drain(
        &self,
        connection: ConnectionId,
        limit: Duration,
    ) -> Result<Vec<InDoubt>, KeyringError> {
        self.pause(connection, PausedBy::Deletion)?;
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        // Running into the limit is an answer: what is left is in doubt.
        let _ = tokio::time::timeout(limit, cell.gate.idle()).await;
        Ok(cell.gate.under_way())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn d1_what_is_removed_is_freed_and_does_not_wait_for_more() {
        let keyring = Keyring::new();
        keyring.add_connection(fixture::connection()).unwrap();
        let connection = Arc::downgrade(&keyring.connection(fixture::CONNECTION).unwrap());
        let cells = [1, 2].map(|number| {
            let key = fixture::key(number);
            let id = key.access_key_id.clone();
            keyring.add_key(key, fixture::secret()).unwrap();
            (Arc::downgrade(&keyring.key(&id).unwrap()), id)
        });
        assert!(keyring.remove_key(&cells[0].1));
        assert!(cells[0].0.upgrade().is_none());
        assert!(keyring.remove_connection(fixture::CONNECTION));
        assert!(cells[1].0.upgrade().is_none());
        assert!(connection.upgrade().is_none());
    }
}
