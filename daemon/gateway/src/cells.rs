//! The living keys and their connections, each one shared cell (architecture, invariant 2).
//!
//! A request reads these cells and nothing else; a change is one atomic store in them. This
//! module must never hand out a copy of a key's state that outlives one decision, nor put a time
//! to live on anything. Changes exclude one another by a lock that no request takes.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bascule_domain::{
    Timestamp,
    access::Permit,
    access_key::AccessKeyId,
    connection::Buckets,
    ids::{ConnectionId, KeyId},
    key::Key,
    names::{BucketName, ConnectionName, ObjectKey},
    operation::Action,
    secret::SecretKey,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Gate, Ticket},
    upstream::{Upstream, UpstreamAccess},
};

pub use crate::admission::Admission;

/// The generation of a dead key. Living ones count from 1.
const VOID: u64 = 0;

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
}

/// A connection as requests see it.
pub struct ConnectionCell {
    id: ConnectionId,
    name: ArcSwap<ConnectionName>,
    buckets: Buckets,
    created_at: Timestamp,
    access: ArcSwap<UpstreamAccess>,
    upstream: Arc<dyn Upstream>,
    pub(crate) gate: Gate,
    /// Cancelled by a pause, renewed by a resumption. The keys' tokens are its children.
    token: ArcSwap<CancellationToken>,
    credentials_refused: AtomicBool,
}

impl ConnectionCell {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// What it is called now.
    #[must_use]
    pub fn name(&self) -> Arc<ConnectionName> {
        self.name.load_full()
    }

    /// The buckets it reaches.
    #[must_use]
    pub const fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Whether requests are admitted.
    #[must_use]
    pub fn admission(&self) -> Admission {
        self.gate.admission()
    }

    /// How many requests are open: admitted, and not ended on both sides.
    #[must_use]
    pub fn open_requests(&self) -> usize {
        self.gate.open()
    }

    /// Whether the provider has refused the present credentials (gateway.md 46).
    #[must_use]
    pub fn credentials_refused(&self) -> bool {
        self.credentials_refused.load(Ordering::Relaxed)
    }

    pub(crate) const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    pub(crate) fn access(&self) -> Arc<UpstreamAccess> {
        self.access.load_full()
    }

    pub(crate) fn upstream(&self) -> &dyn Upstream {
        &*self.upstream
    }

    /// Notes that the provider refused the credentials of this generation.
    pub(crate) fn refuse_credentials(&self, generation: u64) {
        if self.access.load().generation == generation {
            self.credentials_refused.store(true, Ordering::Relaxed);
        }
    }
}

/// A key's rights, replaced as a whole, and the token that ends what was admitted under them.
pub(crate) struct Living {
    pub(crate) key: Key,
    pub(crate) token: CancellationToken,
}

/// A key as requests see it.
pub struct KeyCell {
    id: KeyId,
    access_key_id: AccessKeyId,
    secret: SecretKey,
    connection: Arc<ConnectionCell>,
    living: ArcSwapOption<Living>,
    /// Of the rights in `living`, or [`VOID`].
    generation: AtomicU64,
    /// Milliseconds since the epoch; 0 is never.
    last_used: AtomicI64,
}

impl KeyCell {
    /// The key's record id.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// The connection it opens.
    #[must_use]
    pub const fn connection(&self) -> &Arc<ConnectionCell> {
        &self.connection
    }

    pub(crate) const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    pub(crate) const fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// The rights now; `None` once the key is dead.
    pub(crate) fn living(&self) -> Option<Arc<Living>> {
        self.living.load_full()
    }

    /// Whether a permit is still good: the key has the generation it was granted to, and the
    /// connection admits requests. Asked before signing and at every body frame.
    pub(crate) fn honours(&self, permit: &Permit) -> bool {
        self.generation.load(Ordering::SeqCst) == permit.generation()
            && self.connection.gate.admission() == Admission::Open
    }

    pub(crate) fn used_at(&self, now: Timestamp) {
        self.last_used
            .store(now.as_millisecond(), Ordering::Relaxed);
    }

    fn kill(&self) {
        self.generation.store(VOID, Ordering::SeqCst);
        if let Some(living) = self.living.swap(None) {
            living.token.cancel();
        }
    }
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

/// A change at the provider that may or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// In which bucket.
    pub bucket: BucketName,
    /// To which object.
    pub key: Option<ObjectKey>,
    /// What was asked for.
    pub action: Action,
}

/// All living keys and connections.
#[derive(Default)]
pub struct Keyring {
    keys: papaya::HashMap<AccessKeyId, Arc<KeyCell>>,
    connections: papaya::HashMap<ConnectionId, Arc<ConnectionCell>>,
    /// Serialises changes. No request takes it.
    changes: Mutex<()>,
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
        let token = CancellationToken::new();
        if spec.admission != Admission::Open {
            token.cancel();
        }
        let cell = ConnectionCell {
            id: spec.id,
            name: ArcSwap::from_pointee(spec.name),
            buckets: spec.buckets,
            created_at: spec.created_at,
            access: ArcSwap::from_pointee(spec.access),
            upstream: spec.upstream,
            gate: Gate::new(spec.admission),
            token: ArcSwap::from_pointee(token),
            credentials_refused: AtomicBool::new(false),
        };
        let connections = self.connections.pin();
        match connections.try_insert(spec.id, Arc::new(cell)) {
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
        let token = connection.token.load().child_token();
        let access_key_id = key.access_key_id.clone();
        let cell = KeyCell {
            id: key.id,
            access_key_id: access_key_id.clone(),
            secret,
            connection,
            generation: AtomicU64::new(key.generation),
            living: ArcSwapOption::from_pointee(Living { key, token }),
            last_used: AtomicI64::new(0),
        };
        match self.keys.pin().try_insert(access_key_id, Arc::new(cell)) {
            Ok(_) => Ok(()),
            Err(_) => Err(KeyringError::Taken),
        }
    }

    /// Replaces a key's rights and state. Its generation must have grown. What was admitted under
    /// the old ones is cut.
    pub fn change_key(&self, key: Key) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let cell = self
            .key(&key.access_key_id)
            .ok_or(KeyringError::UnknownKey)?;
        let token = cell.connection.token.load().child_token();
        let generation = key.generation;
        let old = cell.living.swap(Some(Arc::new(Living { key, token })));
        cell.generation.store(generation, Ordering::SeqCst);
        if let Some(old) = old {
            old.token.cancel();
        }
        Ok(())
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
        true
    }

    /// Stops admitting requests and cuts what is open. Repeating it changes nothing.
    pub fn pause(&self, connection: ConnectionId) -> Result<(), KeyringError> {
        let _changing = self.changing();
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        cell.gate.set(Admission::Paused);
        cell.token.load().cancel();
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
            if key.connection.id != connection {
                continue;
            }
            if let Some(living) = key.living.load_full() {
                key.living.store(Some(Arc::new(Living {
                    key: living.key.clone(),
                    token: token.child_token(),
                })));
            }
        }
        cell.token.store(Arc::new(token));
        cell.gate.forget_changes();
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
            if key.connection.id == connection {
                key.kill();
            }
        }
        cell.token.load().cancel();
        keys.retain(|_, key| key.connection.id != connection);
        connections.remove(&connection);
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
        cell.access.store(Arc::new(access));
        cell.credentials_refused.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// What the connection is called from now on, in refusals.
    pub fn rename(
        &self,
        connection: ConnectionId,
        name: ConnectionName,
    ) -> Result<(), KeyringError> {
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        cell.name.store(Arc::new(name));
        Ok(())
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

    /// When a key last sent a request with a valid signature, to the millisecond, since it was
    /// added here.
    #[must_use]
    pub fn last_used(&self, id: &AccessKeyId) -> Option<Timestamp> {
        let at = self.key(id)?.last_used.load(Ordering::Relaxed);
        (at != 0)
            .then(|| Timestamp::from_millisecond(at).ok())
            .flatten()
    }

    /// Pauses a connection, cuts its client streams and the uploads whose last frame was not
    /// handed upstream yet, and waits for its exchanges with the provider to end, at most
    /// `limit`. Returns the changes whose outcome is unknown: those still running then, and those
    /// that broke off after the provider had the whole request.
    pub async fn cut_and_drain(
        &self,
        connection: ConnectionId,
        limit: Duration,
    ) -> Result<Vec<InDoubt>, KeyringError> {
        self.pause(connection)?;
        let cell = self
            .connection(connection)
            .ok_or(KeyringError::UnknownConnection)?;
        // Running into the limit is an answer: what is left is in doubt.
        let _ = tokio::time::timeout(limit, cell.gate.idle()).await;
        Ok(cell.gate.in_doubt())
    }
}

/// Counts a request as open before looking whether it is admitted. A pause sets the state before
/// it looks at the count, so one of the two always sees the other.
pub(crate) fn enter(cell: &Arc<ConnectionCell>) -> Result<Ticket, Admission> {
    let ticket = Ticket::take(cell);
    match cell.gate.admission() {
        Admission::Open => Ok(ticket),
        closed => Err(closed),
    }
}
