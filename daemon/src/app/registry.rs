//! The connections and keys that exist, in memory, for the verbs. The gateway has cells of its
//! own (`bascule_gateway::Keyring`); nothing here decides about a request.

mod keys;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bascule_adapters::Storage;
use bascule_domain::{
    access_key::AccessKeyId,
    connection::Connection,
    ids::{ConnectionId, DeletionId, KeyId},
    key::Key,
    leak::Leak,
    names::Label,
    secret::Credentials,
};

pub(crate) use self::keys::Keys;
use super::rotate::Running;

/// One connection with what belongs to it, except its keys: an entry is copied for whoever looks,
/// and keys may be many.
#[derive(Clone)]
pub(crate) struct Entry {
    pub connection: Connection,
    pub credentials: Arc<Credentials>,
    /// The opened provider, or why it can't be opened now (a folder or CA file that is gone).
    pub storage: std::result::Result<Arc<Storage>, String>,
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

/// A connection and its living keys.
struct Held {
    entry: Entry,
    keys: Keys,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Registry {
    held: RwLock<BTreeMap<ConnectionId, Held>>,
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<ConnectionId, Held>> {
        // Nothing panics while writing, and a map of values has no broken state to hide.
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<ConnectionId, Held>> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection, without keys yet.
    pub(crate) fn insert(&self, entry: Entry) {
        let keys = Keys::default();
        self.write()
            .insert(entry.connection.id, Held { entry, keys });
    }

    pub(crate) fn remove(&self, id: ConnectionId) {
        self.write().remove(&id);
    }

    pub(crate) fn update(&self, id: ConnectionId, change: impl FnOnce(&mut Entry)) {
        self.update_with_keys(id, |entry, _| change(entry));
    }

    pub(crate) fn update_with_keys(
        &self,
        id: ConnectionId,
        change: impl FnOnce(&mut Entry, &mut Keys),
    ) {
        if let Some(Held { entry, keys }) = self.write().get_mut(&id) {
            change(entry, keys);
        }
    }

    /// Adds a key, or puts it in the place of what it was before.
    pub(crate) fn put_key(&self, key: Key) {
        self.update_with_keys(key.connection, |_, keys| keys.put(key));
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<Entry> {
        self.read().get(&id).map(|held| held.entry.clone())
    }

    /// A connection that is not severed, by its name.
    pub(crate) fn by_name(&self, name: &str) -> Option<Entry> {
        self.read()
            .values()
            .map(|held| &held.entry)
            .find(|e| !e.severed && e.connection.name.as_str() == name)
            .cloned()
    }

    /// Those that are not severed, by name.
    pub(crate) fn living(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self
            .read()
            .values()
            .map(|held| &held.entry)
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
        let access_key_id = text.parse::<AccessKeyId>().ok();
        let with_access_key_id = access_key_id.and_then(|id| {
            let held = self.read();
            held.values()
                .find_map(|held| held.keys.with_access_key_id(&id))
                .cloned()
        });
        with_access_key_id.or_else(|| self.key_by_id(text.parse().ok()?))
    }

    /// The living key with this record id.
    pub(crate) fn key_by_id(&self, id: KeyId) -> Option<Key> {
        let held = self.read();
        held.values().find_map(|held| held.keys.get(id)).cloned()
    }

    /// A connection's living keys with this label; two while one is rotated.
    pub(crate) fn labelled(&self, connection: ConnectionId, label: &Label) -> Vec<Key> {
        let held = self.read();
        let keys = held.get(&connection).map(|held| held.keys.labelled(label));
        keys.into_iter().flatten().cloned().collect()
    }

    /// How many living keys a connection has.
    pub(crate) fn count_keys(&self, connection: ConnectionId) -> usize {
        let held = self.read();
        held.get(&connection).map_or(0, |held| held.keys.len())
    }

    /// How many living keys there are.
    pub(crate) fn count_all_keys(&self) -> usize {
        self.read().values().map(|held| held.keys.len()).sum()
    }

    /// All living keys of a connection, copied: for what shows or buries them all.
    pub(crate) fn keys_of(&self, connection: ConnectionId) -> Vec<Key> {
        let held = self.read();
        let keys = held.get(&connection).map(|held| held.keys.iter());
        keys.into_iter().flatten().cloned().collect()
    }

    /// What is made of the living keys of all connections, by their names; `None` leaves one out.
    pub(crate) fn each_key<T>(&self, mut make: impl FnMut(&Entry, &Key) -> Option<T>) -> Vec<T> {
        let held = self.read();
        let mut living: Vec<_> = held.values().filter(|held| !held.entry.severed).collect();
        living.sort_by(|a, b| a.entry.connection.name.cmp(&b.entry.connection.name));
        living
            .into_iter()
            .flat_map(|held| held.keys.iter().map(move |key| (&held.entry, key)))
            .filter_map(|(entry, key)| make(entry, key))
            .collect()
    }
}
