//! The living keys and their connections, each one shared cell (architecture, invariant 2).
//!
//! A request reads these cells and nothing else; a change is one atomic store in them. This
//! module must never hand out a copy of a key's state that outlives one decision, nor put a time
//! to live on anything.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bascule_domain::{
    Timestamp,
    access::Permit,
    access_key::AccessKeyId,
    connection::Buckets,
    ids::{ConnectionId, KeyId},
    key::Key,
    names::ConnectionName,
    secret::SecretKey,
};
use bascule_sigv4::SigningKeys;
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Admission, Gate, PausedBy, Ticket},
    expiry::End,
    keyring::ConnectionSpec,
    meter::Meter,
    route::{ConditionalWrites, Route, Trouble},
    throttle::Throttle,
    uploads::Uploads,
    upstream::{Upstream, UpstreamAccess},
};

/// The generation of a dead key. Living ones count from 1.
const VOID: u64 = 0;

/// A connection as requests see it.
pub struct ConnectionCell {
    id: ConnectionId,
    name: ArcSwap<ConnectionName>,
    buckets: Buckets,
    created_at: Timestamp,
    route: ArcSwap<Route>,
    upstream: Arc<dyn Upstream>,
    pub(crate) uploads: Uploads,
    pub(crate) gate: Gate,
    /// Cancelled by a pause, renewed by a resumption. The keys' tokens are its children.
    token: ArcSwap<CancellationToken>,
    meter: Arc<Meter>,
    throttle: Throttle,
}

impl ConnectionCell {
    pub(crate) fn new(spec: ConnectionSpec) -> Self {
        let token = CancellationToken::new();
        if spec.admission != Admission::Open {
            token.cancel();
        }
        Self {
            id: spec.id,
            name: ArcSwap::from_pointee(spec.name),
            buckets: spec.buckets,
            created_at: spec.created_at,
            route: ArcSwap::from_pointee(Route::new(spec.access)),
            upstream: spec.upstream,
            uploads: Uploads::default(),
            gate: Gate::new(spec.admission),
            token: ArcSwap::from_pointee(token),
            meter: Meter::new(),
            throttle: Throttle::new(spec.limits),
        }
    }

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

    /// Why the provider carries out nothing, as far as its last answer told (gateway.md 46).
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.route.load().trouble()
    }

    /// What is known about the provider's conditional writes.
    #[must_use]
    pub fn conditional_writes(&self) -> ConditionalWrites {
        self.route.load().conditional_writes()
    }

    pub(crate) const fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    pub(crate) const fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    pub(crate) const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// The way to the provider now. A request uses one from its signature to its end.
    pub(crate) fn route(&self) -> Arc<Route> {
        self.route.load_full()
    }

    pub(crate) fn upstream(&self) -> &dyn Upstream {
        &*self.upstream
    }

    /// Ends everything that was admitted.
    pub(crate) fn cut(&self) {
        self.token.load().cancel();
    }

    pub(crate) fn renew(&self, token: CancellationToken) {
        self.token.store(Arc::new(token));
    }

    pub(crate) fn rename(&self, name: ConnectionName) {
        self.name.store(Arc::new(name));
    }

    pub(crate) fn replace_access(&self, access: UpstreamAccess) {
        self.route.store(Arc::new(Route::new(access)));
    }
}

/// A key's rights, replaced as a whole, and the token that ends what was admitted under them.
pub(crate) struct Living {
    pub(crate) key: Key,
    pub(crate) token: CancellationToken,
    /// Of a key that expires.
    pub(crate) end: Option<Arc<End>>,
}

impl Living {
    fn new(key: Key, token: CancellationToken) -> Self {
        let end = End::of(&key, &token).map(Arc::new);
        Self { key, token, end }
    }

    /// The token that ends a request: with its rights, and with its key's time.
    pub(crate) fn ending(&self) -> &CancellationToken {
        self.end.as_ref().map_or(&self.token, |end| end.token())
    }
}

/// A key as requests see it.
pub struct KeyCell {
    id: KeyId,
    access_key_id: AccessKeyId,
    secret: SecretKey,
    signing_keys: SigningKeys,
    connection: Arc<ConnectionCell>,
    living: ArcSwapOption<Living>,
    /// Of the rights in `living`, or [`VOID`].
    generation: AtomicU64,
    /// Milliseconds since the epoch; 0 is never.
    last_used: AtomicI64,
    /// Requests with a valid signature.
    uses: AtomicU64,
    /// Exchanges with the provider under way.
    open: AtomicUsize,
}

/// How a key was used since it was added here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyUse {
    /// When it last sent a request with a valid signature, to the millisecond.
    pub last: Option<Timestamp>,
    /// How many such requests it sent.
    pub requests: u64,
    /// How many of its exchanges with the provider are under way.
    pub open: usize,
}

impl KeyCell {
    pub(crate) fn new(key: Key, secret: SecretKey, connection: Arc<ConnectionCell>) -> Self {
        let token = connection.token.load().child_token();
        Self {
            id: key.id,
            access_key_id: key.access_key_id.clone(),
            secret,
            signing_keys: SigningKeys::default(),
            connection,
            generation: AtomicU64::new(key.generation),
            living: ArcSwapOption::from_pointee(Living::new(key, token)),
            last_used: AtomicI64::new(0),
            uses: AtomicU64::new(0),
            open: AtomicUsize::new(0),
        }
    }

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

    pub(crate) const fn signing_keys(&self) -> &SigningKeys {
        &self.signing_keys
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
        self.uses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn exchange_began(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn exchange_ended(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> KeyUse {
        KeyUse {
            last: self.last_used(),
            requests: self.uses.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
        }
    }

    /// It was used then, before there was this cell.
    pub(crate) fn was_used_at(&self, at: Timestamp) {
        self.last_used
            .fetch_max(at.as_millisecond(), Ordering::Relaxed);
    }

    pub(crate) fn last_used(&self) -> Option<Timestamp> {
        let at = self.last_used.load(Ordering::Relaxed);
        (at != 0)
            .then(|| Timestamp::from_millisecond(at).ok())
            .flatten()
    }

    /// Replaces the rights. Permits of an older generation are void before the new rights show;
    /// within one generation nothing was taken away, so what runs goes on.
    pub(crate) fn change(&self, key: Key) {
        let kept = self
            .living
            .load_full()
            .filter(|old| old.key.generation == key.generation);
        let token = kept.as_ref().map_or_else(
            || self.connection.token.load().child_token(),
            |old| old.token.clone(),
        );
        self.generation.store(key.generation, Ordering::SeqCst);
        let mut living = Living::new(key, token);
        // What runs ends with the key's time, whenever that is now.
        let end = kept.as_ref().and_then(|old| old.end.clone());
        if let (Some(_), Some(end)) = (&living.end, end)
            && !end.is_over()
        {
            living.end = Some(end);
        }
        let old = self.living.swap(Some(Arc::new(living)));
        if let (Some(old), None) = (old, kept) {
            old.token.cancel();
        }
    }

    /// Ties the rights to a new token, after a pause cancelled the old one.
    pub(crate) fn renew(&self, parent: &CancellationToken) {
        if let Some(living) = self.living.load_full() {
            let living = Living::new(living.key.clone(), parent.child_token());
            self.living.store(Some(Arc::new(living)));
        }
    }

    /// Forgets that the key's time has come: it has not any more.
    pub(crate) fn renew_end(&self) {
        if let Some(living) = self.living.load_full() {
            let living = Living::new(living.key.clone(), living.token.clone());
            self.living.store(Some(Arc::new(living)));
        }
    }

    /// Voids every permit, then cuts what runs.
    pub(crate) fn kill(&self) {
        self.generation.store(VOID, Ordering::SeqCst);
        if let Some(living) = self.living.swap(None) {
            living.token.cancel();
        }
        self.signing_keys.forget();
    }
}

/// Why a request may not enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The connection is paused.
    Paused(PausedBy),
    /// It is gone.
    Dead,
    /// It has as many requests open as it may.
    Busy {
        /// So many.
        limit: usize,
    },
}

/// Counts a request as open before looking whether it is admitted. A pause sets the state before
/// it looks at the count, so one of the two always sees the other.
pub(crate) fn enter(cell: &Arc<ConnectionCell>) -> Result<Ticket, Closed> {
    let limit = cell.throttle.requests();
    let ticket = Ticket::take(cell, limit);
    match cell.gate.admission() {
        Admission::Open => ticket.ok_or(Closed::Busy { limit }),
        Admission::Paused(by) => Err(Closed::Paused(by)),
        Admission::Dead => Err(Closed::Dead),
    }
}
