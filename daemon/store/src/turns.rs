//! Changes that concern several keys of a connection at once: rotations and what ends them. Each
//! is one transaction, and each leaves every rotation between two living keys.

use bascule_domain::{
    audit,
    ids::{ConnectionId, KeyId},
    key::Key,
    rotation::Rotation,
    secret::SecretKey,
    tombstone::Tombstone,
};

use crate::{
    database::{Batch, KEY_SECRETS, KEYS, ROTATIONS, Read},
    error::StoreError,
    keyring::Standing,
    record,
    store::Store,
};

/// One change of several keys. What is left out stays as it is.
#[derive(Debug, Clone)]
pub struct KeyTurn {
    /// Whose keys.
    pub connection: ConnectionId,
    /// A new key.
    pub add: Option<(Key, SecretKey)>,
    /// Living keys whose records change.
    pub update: Vec<Key>,
    /// Keys that die.
    pub bury: Vec<(Key, Tombstone)>,
    /// Rotations as they are from now on.
    pub rotations: Vec<Rotation>,
    /// Rotations that are over, by their old keys.
    pub over: Vec<KeyId>,
}

impl KeyTurn {
    /// A change of nothing yet.
    #[must_use]
    pub const fn of(connection: ConnectionId) -> Self {
        Self {
            connection,
            add: None,
            update: Vec::new(),
            bury: Vec::new(),
            rotations: Vec::new(),
            over: Vec::new(),
        }
    }

    /// The death of one key.
    #[must_use]
    pub fn death(key: Key, tombstone: Tombstone) -> Self {
        let connection = key.connection;
        Self {
            bury: vec![(key, tombstone)],
            ..Self::of(connection)
        }
    }
}

impl Store {
    /// Makes the whole change or none of it.
    pub fn turn_keys(&self, turn: &KeyTurn, entry: &audit::Entry) -> Result<(), StoreError> {
        let connection = turn.connection;
        let sealer = self.sealer(connection)?;
        self.rows.write(|batch| {
            // Within the transaction, so that a deletion comes before or after, never between.
            if self.keyring.standing(connection) != Some(Standing::Living) {
                return Err(StoreError::ConnectionRevoked(connection));
            }
            if let Some((key, secret)) = &turn.add {
                self.put_new_key(batch, key, secret)?;
            }
            for key in &turn.update {
                let row = record::key_row(connection, key.id);
                if batch.get(KEYS, &row)?.is_none() {
                    return Err(StoreError::OutOfOrder("the key is not alive"));
                }
                record::put(batch, &sealer, KEYS, &row, key)?;
            }
            self.bury(batch, &turn.bury)?;
            for rotation in &turn.rotations {
                let row = record::key_row(connection, rotation.old);
                record::put(batch, &sealer, ROTATIONS, &row, rotation)?;
            }
            for old in &turn.over {
                batch.remove(ROTATIONS, &record::key_row(connection, *old))?;
            }
            self.rotations_fit(batch, connection)?;
            self.record_audit(batch, entry)
        })?;
        if !turn.bury.is_empty() {
            self.raise_anchor();
        }
        Ok(())
    }

    /// Both keys of every rotation live: else one of them would stay for ever, or none.
    fn rotations_fit(&self, batch: &Batch, connection: ConnectionId) -> Result<(), StoreError> {
        let sealer = self.sealer(connection)?;
        for (row, value) in batch.rows(ROTATIONS, connection.as_bytes())? {
            let rotation: Rotation = record::open(&sealer, ROTATIONS, &row, &value)?;
            for key in [rotation.old, rotation.successor] {
                let row = record::key_row(connection, key);
                if batch.get(KEYS, &row)?.is_none() || batch.get(KEY_SECRETS, &row)?.is_none() {
                    return Err(StoreError::OutOfOrder("a rotation without one of its keys"));
                }
            }
        }
        Ok(())
    }
}
