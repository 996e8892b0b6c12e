//! The living keys of one connection, and every way to find one. No verb copies them all to look at
//! one: a connection may have a hundred thousand.

use std::collections::{BTreeMap, HashMap};

use bascule_domain::{access_key::AccessKeyId, ids::KeyId, key::Key, names::Label};

/// Keys by their record ids, with an index of what else they are called.
#[derive(Default)]
pub(crate) struct Keys {
    by_id: BTreeMap<KeyId, Key>,
    by_access_key_id: HashMap<AccessKeyId, KeyId>,
    /// While a key is rotated, two have its label.
    by_label: HashMap<Label, Vec<KeyId>>,
}

impl Keys {
    /// Adds a key, or puts it in the place of what it was before.
    pub(crate) fn put(&mut self, key: Key) {
        self.remove(key.id);
        self.by_access_key_id
            .insert(key.access_key_id.clone(), key.id);
        self.by_label
            .entry(key.label.clone())
            .or_default()
            .push(key.id);
        self.by_id.insert(key.id, key);
    }

    pub(crate) fn remove(&mut self, id: KeyId) {
        let Some(key) = self.by_id.remove(&id) else {
            return;
        };
        self.by_access_key_id.remove(&key.access_key_id);
        if let Some(labelled) = self.by_label.get_mut(&key.label) {
            labelled.retain(|other| *other != id);
            if labelled.is_empty() {
                self.by_label.remove(&key.label);
            }
        }
    }

    pub(crate) fn get(&self, id: KeyId) -> Option<&Key> {
        self.by_id.get(&id)
    }

    pub(crate) fn with_access_key_id(&self, id: &AccessKeyId) -> Option<&Key> {
        self.get(*self.by_access_key_id.get(id)?)
    }

    pub(crate) fn labelled(&self, label: &Label) -> impl Iterator<Item = &Key> {
        let ids = self.by_label.get(label);
        ids.into_iter().flatten().filter_map(|id| self.get(*id))
    }

    /// All, in the order of their record ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.by_id.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }
}

#[cfg(test)]
mod tests {
    use bascule_domain::{
        Timestamp,
        ids::ConnectionId,
        key::{KeyKind, KeyState, Origin, Permission, Scope},
    };

    use super::*;

    fn key(number: u8, label: &str) -> Key {
        Key {
            id: KeyId::from_random([number; 10]),
            access_key_id: AccessKeyId::issue([number; 15]),
            connection: ConnectionId::from_random([1; 10]),
            kind: KeyKind::Gateway,
            origin: Origin::Issued,
            label: label.parse().unwrap(),
            permission: Permission::Read,
            scope: Scope::default(),
            expires_at: None,
            state: KeyState::Active,
            generation: 1,
            predecessor: None,
            successor: None,
            issued_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn labelled(keys: &Keys, label: &str) -> Vec<KeyId> {
        let label = label.parse().unwrap();
        keys.labelled(&label).map(|key| key.id).collect()
    }

    #[test]
    fn two_keys_of_a_rotation_share_a_label_until_one_goes() {
        let (old, new) = (key(1, "restic"), key(2, "restic"));
        let mut keys = Keys::default();
        keys.put(old.clone());
        keys.put(new.clone());
        assert_eq!(labelled(&keys, "restic"), [old.id, new.id]);
        keys.remove(old.id);
        assert_eq!(labelled(&keys, "restic"), [new.id]);
        assert!(keys.with_access_key_id(&old.access_key_id).is_none());
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn a_label_that_was_changed_is_free_again() {
        let mut keys = Keys::default();
        keys.put(key(1, "restic"));
        keys.put(key(1, "backup"));
        assert!(labelled(&keys, "restic").is_empty());
        assert_eq!(labelled(&keys, "backup"), [key(1, "backup").id]);
        assert_eq!(keys.iter().count(), 1);
    }
}
