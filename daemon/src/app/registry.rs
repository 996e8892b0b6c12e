//! The connections and keys that exist, in memory, for the verbs. The gateway has cells of its
//! own (`bascule_gateway::Keyring`); nothing here decides about a request.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bascule_adapters::Storage;
use bascule_domain::{
    connection::Connection,
    ids::{ConnectionId, DeletionId, KeyId},
    key::Key,
    leak::Leak,
    secret::Credentials,
};

use super::rotate::Running;

/// One connection with all that belongs to it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub connection: Connection,
    pub credentials: Arc<Credentials>,
    /// The opened provider, or why it can't be opened now (a folder or CA file that is gone).
    pub storage: std::result::Result<Arc<Storage>, String>,
    pub keys: BTreeMap<KeyId, Key>,
    /// Rotations under way, by their old keys.
    pub rotations: BTreeMap<KeyId, Running>,
    /// Provider keys of this connection that have leaked, whatever became of them.
    pub leaks: Vec<Leak>,
    /// Set while a deletion is under way.
    pub deletion: Option<DeletionId>,
    /// Whether every key is dead; only the verdict is still to come.
    pub severed: bool,
}

/// What is shown of a connection.
pub(crate) struct View {
    pub connection: Connection,
    pub brought_key: String,
    pub living_keys: usize,
    pub deletion: Option<DeletionId>,
    pub trouble: Option<String>,
}

impl View {
    pub(crate) fn of(entry: &Entry, flagged: Option<String>) -> Self {
        Self {
            connection: entry.connection.clone(),
            brought_key: entry.credentials.access_key_id.masked(),
            living_keys: entry.keys.len(),
            deletion: entry.deletion,
            trouble: entry.storage.as_ref().err().cloned().or(flagged),
        }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Registry {
    entries: RwLock<BTreeMap<ConnectionId, Entry>>,
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ConnectionId, Entry>> {
        // Nothing panics while writing, and a map of values has no broken state to hide.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ConnectionId, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, entry: Entry) {
        self.write().insert(entry.connection.id, entry);
    }

    pub(crate) fn remove(&self, id: ConnectionId) {
        self.write().remove(&id);
    }

    pub(crate) fn update(&self, id: ConnectionId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.write().get_mut(&id) {
            change(entry);
        }
    }

    pub(crate) fn add_key(&self, key: Key) {
        self.update(key.connection, |entry| {
            entry.keys.insert(key.id, key);
        });
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Entry> {
        self.read().get(&id).cloned()
    }

    /// A connection that is not severed, by its name.
    pub(crate) fn by_name(&self, name: &str) -> Option<Entry> {
        self.read()
            .values()
            .find(|e| !e.severed && e.connection.name.as_str() == name)
            .cloned()
    }

    /// Those that are not severed, by name.
    pub(crate) fn living(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self
            .read()
            .values()
            .filter(|e| !e.severed)
            .cloned()
            .collect();
        entries.sort_by(|a, b| a.connection.name.cmp(&b.connection.name));
        entries
    }

    /// The names of other living connections that reach a bucket of this one.
    pub(crate) fn siblings(&self, of: &Connection) -> Vec<String> {
        self.living()
            .into_iter()
            .filter(|e| e.connection.id != of.id && e.connection.shares_a_bucket_with(of))
            .map(|e| e.connection.name.to_string())
            .collect()
    }

    /// The living key with this access key id or record id.
    pub(crate) fn key(&self, text: &str) -> Option<Key> {
        self.read()
            .values()
            .flat_map(|entry| entry.keys.values())
            .find(|key| key.access_key_id.as_str() == text || key.id.to_string() == text)
            .cloned()
    }
}
