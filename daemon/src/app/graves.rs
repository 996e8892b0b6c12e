//! The tombstones in memory, found by the keyed hash of an access key id. Consulted only for
//! refusals, so that they can name their cause; never to admit anything.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use bascule_domain::{access_key::AccessKeyId, tombstone::Tombstone};
use bascule_gateway::DeadKeys;
use bascule_store::{IdHash, Store};

pub(crate) struct Graves {
    store: Arc<Store>,
    by_hash: RwLock<HashMap<IdHash, Tombstone>>,
}

impl Graves {
    pub(crate) fn new(store: Arc<Store>, graves: Vec<(IdHash, Tombstone)>) -> Self {
        Self {
            store,
            by_hash: RwLock::new(graves.into_iter().collect()),
        }
    }

    pub(crate) fn add(&self, id: &AccessKeyId, tombstone: Tombstone) {
        let hash = self.store.hash(id);
        self.by_hash
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash, tombstone);
    }

    /// All, the most recent death first.
    pub(crate) fn all(&self) -> Vec<Tombstone> {
        let mut all: Vec<_> = self
            .by_hash
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        all.sort_by_key(|tombstone| std::cmp::Reverse(tombstone.died_at));
        all
    }

    /// The one that died last, of those for which this holds.
    pub(crate) fn last(&self, holds: impl Fn(&Tombstone) -> bool) -> Option<Tombstone> {
        let by_hash = self.by_hash.read().unwrap_or_else(PoisonError::into_inner);
        let dead = by_hash.values().filter(|tombstone| holds(tombstone));
        dead.max_by_key(|tombstone| tombstone.died_at).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.by_hash
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl DeadKeys for Graves {
    fn find(&self, id: &AccessKeyId) -> Option<Tombstone> {
        let hash = self.store.hash(id);
        self.by_hash
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&hash)
            .cloned()
    }
}
