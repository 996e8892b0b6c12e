//! Reading the whole store, as the daemon does once when it starts. Anything that does not fit
//! together is an error: half an image would let dead keys live or living ones die.

use std::path::PathBuf;

use bascule_domain::{
    connection::Connection,
    deletion::{Deletion, Findings},
    finding::{FindingId, Record},
    ids::ConnectionId,
    key::Key,
    leak::Leak,
    rotation::Rotation,
    secret::{Credentials, SecretKey},
    tombstone::Tombstone,
};

use crate::{
    database::{
        CONNECTIONS, CREDENTIAL_SECRETS, CREDENTIALS, DELETIONS, FINDINGS, KEY_FILES, KEY_SECRETS,
        KEYS, ROTATIONS, Read, TOMBSTONES, Table, View,
    },
    error::StoreError,
    keyring::Standing,
    record,
    store::{IdHash, Store},
    sweeps::Sweeps,
    watched::MarkedKey,
};

/// Everything the daemon starts from.
#[derive(Debug)]
pub struct Image {
    /// Connections whose secrets are not erased.
    pub connections: Vec<(Connection, Credentials)>,
    /// Living keys.
    pub keys: Vec<(Key, SecretKey)>,
    /// Rotations under way.
    pub rotations: Vec<Rotation>,
    /// Provider keys that have leaked.
    pub leaks: Vec<Leak>,
    /// Dead keys.
    pub graves: Vec<(IdHash, Tombstone)>,
    /// What is known of findings.
    pub finding_records: Vec<(FindingId, Record)>,
    /// Keys that the user marked as dead.
    pub marked_keys: Vec<MarkedKey>,
    /// How far the sweep is.
    pub sweeps: Sweeps,
    /// Files that sweeps found ids in.
    pub traces: Vec<PathBuf>,
    /// All deletions. Those that are over, or whose connection is erased, have no findings.
    pub deletions: Vec<(Deletion, Option<Findings>)>,
}

const fn damaged(table: Table) -> StoreError {
    StoreError::Damaged {
        table: table.name(),
    }
}

impl Store {
    /// Reads everything, from one consistent state.
    pub fn load(&self) -> Result<Image, StoreError> {
        self.rows.read(|view| {
            let keys = self.load_keys(view)?;
            Ok(Image {
                connections: self.load_connections(view)?,
                rotations: self.load_rotations(view, &keys)?,
                leaks: self.load_leaks(view)?,
                keys,
                graves: self.load_graves(view)?,
                finding_records: self.load_finding_records(view)?,
                marked_keys: self.load_marked_keys(view)?,
                sweeps: self.load_sweeps(view)?,
                traces: self.load_traces(view)?,
                deletions: self.load_deletions(view)?,
            })
        })
    }

    fn load_connections(&self, view: &View) -> Result<Vec<(Connection, Credentials)>, StoreError> {
        let rows = view.rows(KEY_FILES, &[])?;
        let mut connections = Vec::with_capacity(rows.len());
        for (row, _) in rows {
            let id = record::id(KEY_FILES, &row).map(ConnectionId::from_random)?;
            let Some(sealer) = self.keyring.get(id) else {
                if self.keyring.standing(id) == Some(Standing::Judged) {
                    continue;
                }
                return Err(damaged(KEY_FILES));
            };
            let value = view
                .get(CONNECTIONS, &row)?
                .ok_or_else(|| damaged(CONNECTIONS))?;
            let connection: Connection = record::open(&sealer, CONNECTIONS, &row, &value)?;
            if connection.id != id {
                return Err(damaged(CONNECTIONS));
            }
            let value = view
                .get(CREDENTIALS, &row)?
                .ok_or_else(|| damaged(CREDENTIALS))?;
            let access_key_id = record::open(&sealer, CREDENTIALS, &row, &value)?;
            let value = view.get(CREDENTIAL_SECRETS, &row)?;
            let secret = record::open_secret(&sealer, CREDENTIAL_SECRETS, &row, value.as_deref())?;
            connections.push((
                connection,
                Credentials {
                    access_key_id,
                    secret,
                },
            ));
        }
        Ok(connections)
    }

    fn load_keys(&self, view: &View) -> Result<Vec<(Key, SecretKey)>, StoreError> {
        let rows = view.rows(KEYS, &[])?;
        if view.rows(KEY_SECRETS, &[])?.len() != rows.len() {
            return Err(damaged(KEY_SECRETS));
        }
        let mut keys = Vec::with_capacity(rows.len());
        for (row, value) in rows {
            let connection = record::connection_of(KEYS, &row)?;
            // A key that lives although its connection was revoked would be a key come back.
            if self.keyring.standing(connection) != Some(Standing::Living) {
                return Err(damaged(KEYS));
            }
            let sealer = self.keyring.get(connection).ok_or_else(|| damaged(KEYS))?;
            let key: Key = record::open(&sealer, KEYS, &row, &value)?;
            let buried = view
                .get(TOMBSTONES, &self.hash(&key.access_key_id).0)?
                .is_some();
            if buried || record::key_row(key.connection, key.id) != row {
                return Err(damaged(KEYS));
            }
            let secret = view.get(KEY_SECRETS, &row)?;
            let secret = record::open_secret(&sealer, KEY_SECRETS, &row, secret.as_deref())?;
            keys.push((key, secret));
        }
        Ok(keys)
    }

    fn load_rotations(
        &self,
        view: &View,
        keys: &[(Key, SecretKey)],
    ) -> Result<Vec<Rotation>, StoreError> {
        let mut rotations = Vec::new();
        for (row, value) in view.rows(ROTATIONS, &[])? {
            let connection = record::connection_of(ROTATIONS, &row)?;
            let sealer = self.keyring.get(connection);
            let sealer = sealer.ok_or_else(|| damaged(ROTATIONS))?;
            let rotation: Rotation = record::open(&sealer, ROTATIONS, &row, &value)?;
            let lives = |id| {
                keys.iter()
                    .any(|(key, _)| key.connection == connection && key.id == id)
            };
            if record::key_row(connection, rotation.old) != row
                || !lives(rotation.old)
                || !lives(rotation.successor)
            {
                return Err(damaged(ROTATIONS));
            }
            rotations.push(rotation);
        }
        Ok(rotations)
    }

    fn load_graves(&self, view: &View) -> Result<Vec<(IdHash, Tombstone)>, StoreError> {
        let mut graves = Vec::new();
        for (row, value) in view.rows(TOMBSTONES, &[])? {
            let tombstone = record::open(&self.root.seal, TOMBSTONES, &row, &value)?;
            let hash = row.try_into().map_err(|_| damaged(TOMBSTONES))?;
            graves.push((IdHash(hash), tombstone));
        }
        Ok(graves)
    }

    fn load_deletions(&self, view: &View) -> Result<Vec<(Deletion, Option<Findings>)>, StoreError> {
        let mut deletions = Vec::new();
        for (row, value) in view.rows(DELETIONS, &[])? {
            let deletion: Deletion = record::open(&self.root.seal, DELETIONS, &row, &value)?;
            let findings = match self.keyring.get(deletion.connection) {
                Some(sealer) if !deletion.phase.is_over() => {
                    let row = record::findings_row(deletion.connection, deletion.id);
                    let value = view.get(FINDINGS, &row)?.ok_or_else(|| damaged(FINDINGS))?;
                    Some(record::open(&sealer, FINDINGS, &row, &value)?)
                }
                _ => None,
            };
            deletions.push((deletion, findings));
        }
        Ok(deletions)
    }
}
