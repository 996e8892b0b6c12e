//! Manifests that belong to no connection of ours: a receipt is verified with credentials that are
//! not kept. They are sealed with a key that exists only in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bascule_domain::ids::ConnectionId;

use crate::{
    error::StoreError,
    layout::manifests_of_connection,
    seal::{KEY_LEN, Sealer, random},
    store::Store,
};

/// The keys of what is under way.
#[derive(Default)]
pub(crate) struct Scratch(Mutex<BTreeMap<ConnectionId, Arc<Sealer>>>);

impl Scratch {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<ConnectionId, Arc<Sealer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Arc<Sealer>> {
        self.keys().get(&id).cloned()
    }
}

impl Store {
    /// An id under which manifests can be kept until [`Self::end_scratch`], or until the store is
    /// opened again.
    pub fn begin_scratch(&self) -> Result<ConnectionId, StoreError> {
        let id = ConnectionId::from_random(*random()?);
        let key = random::<KEY_LEN>()?;
        let sealer = Sealer::new(&key)?;
        self.scratch.keys().insert(id, Arc::new(sealer));
        Ok(id)
    }

    /// Removes the manifests that were kept under the id, and forgets their key.
    pub fn end_scratch(&self, id: ConnectionId) -> Result<(), StoreError> {
        self.scratch.keys().remove(&id);
        Ok(self.layout.remove_manifests(&manifests_of_connection(id))?)
    }
}
