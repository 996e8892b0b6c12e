//! The store: connections, keys, tombstones and settings. Deletions are in `deletions`, the audit
//! is in `audit`.
//!
//! Every change and its audit entry are one transaction.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};

use bascule_domain::{
    access_key::AccessKeyId,
    audit,
    connection::Connection,
    ids::{ConnectionId, DeletionId},
    key::Key,
    names::BucketName,
    secret::{Credentials, SecretKey},
    survey::Round,
    tombstone::Tombstone,
};

use crate::{
    anchor::Anchor,
    database::{
        Batch, CONNECTIONS, CREDENTIAL_SECRETS, CREDENTIALS, KEY_FILES, KEY_SECRETS, KEYS,
        PENDING_KEY_FILES, Read, Rows, SETTINGS, TOMBSTONES,
    },
    error::{ManifestError, StoreError},
    keyring::{Keyring, NewKey, Standing},
    layout::Layout,
    manifest::{ManifestReader, ManifestWriter, Whose},
    record,
    root_key::RootKey,
    scratch::Scratch,
    seal::{Sealer, random},
};

const GATEWAY_PORT: &[u8] = b"gateway-port";

/// Keyed hash of an access key id: finds a tombstone and reveals nothing of the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdHash(pub(crate) [u8; 32]);

/// The open store. Calls block; writes follow one another.
pub struct Store {
    pub(crate) layout: Layout,
    pub(crate) root: RootKey,
    pub(crate) rows: Rows,
    pub(crate) keyring: Keyring,
    pub(crate) observer: OnceLock<Observer>,
    pub(crate) anchor: Mutex<Option<Anchor>>,
    pub(crate) scratch: Scratch,
    /// Held while the root key is moved.
    pub(crate) moving: Mutex<()>,
}

/// Is told each change that was made durable.
type Observer = Arc<dyn Fn(&audit::Entry) + Send + Sync>;

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("folder", &self.layout.folder())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// The hash under which a dead key's tombstone is kept. It is stable as long as the store is.
    #[must_use]
    pub fn hash(&self, id: &AccessKeyId) -> IdHash {
        IdHash(self.root.lookup(id.as_str()))
    }

    /// Tells each change from now on, once it is durable, on the thread that made it. Only the
    /// first observer counts; it must not call the store.
    pub fn observe(&self, observer: impl Fn(&audit::Entry) + Send + Sync + 'static) {
        self.observer.set(Arc::new(observer)).ok();
    }

    /// Returns once the store could take a change, which it does not when a write before hangs. A
    /// refusal is an answer, too. Blocking.
    pub fn await_writer(&self) -> Result<(), StoreError> {
        self.rows.await_writer()
    }

    pub(crate) fn sealer(&self, connection: ConnectionId) -> Result<Arc<Sealer>, StoreError> {
        self.keyring
            .get(connection)
            .ok_or(StoreError::UnknownConnection(connection))
    }

    /// Adds a connection. Its key file is durable before anything is sealed with it.
    pub fn add_connection(
        &self,
        connection: &Connection,
        credentials: &Credentials,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        let id = connection.id;
        if self.keyring.standing(id).is_some() {
            return Err(StoreError::OutOfOrder("the connection exists already"));
        }
        let key = self.prepare_key(id)?;
        let written = self.rows.write(|batch| {
            batch.remove(PENDING_KEY_FILES, &key.name)?;
            record::put(batch, &self.root.seal, KEY_FILES, id.as_bytes(), &key.name)?;
            record::put(batch, &key.sealer, CONNECTIONS, id.as_bytes(), connection)?;
            put_credentials(batch, &key.sealer, id, credentials)?;
            self.record_audit_with(batch, entry, Some(&key.sealer))
        });
        match written {
            Ok(()) => {
                self.keyring.insert(id, key);
                Ok(())
            }
            // Its row may be durable; opening the store again finds out.
            Err(error @ StoreError::CommitUnknown(_)) => Err(error),
            Err(error) => {
                // The failure to report is the first one; opening the store removes strays.
                let _ = bascule_os::destroy_file(&key.file);
                Err(error)
            }
        }
    }

    /// Makes a key file, journalled before, so that one whose connection never came about is known
    /// for what it is. A file that nothing names is never destroyed: it may belong to a newer copy
    /// of the database than the one that is there.
    pub(crate) fn prepare_key(&self, connection: ConnectionId) -> Result<NewKey, StoreError> {
        let name = *random::<16>()?;
        self.rows.write(|batch| {
            record::put(
                batch,
                &self.root.seal,
                PENDING_KEY_FILES,
                &name,
                &connection,
            )
        })?;
        NewKey::create(&self.layout, &self.root, connection, name)
    }

    /// Destroys key files that an addition which was cut off has left.
    pub(crate) fn destroy_pending_keys(&self) -> Result<(), StoreError> {
        let pending = self.rows.read(|view| view.rows(PENDING_KEY_FILES, &[]))?;
        for (row, value) in &pending {
            let _: ConnectionId = record::open(&self.root.seal, PENDING_KEY_FILES, row, value)?;
            let name = row.as_slice().try_into();
            let name = name.map_err(|_| StoreError::Damaged {
                table: PENDING_KEY_FILES.name(),
            })?;
            self.layout.destroy_key_file(name)?;
        }
        if pending.is_empty() {
            return Ok(());
        }
        self.rows
            .write(|batch| batch.remove_all(PENDING_KEY_FILES, &[]))
    }

    /// Replaces a connection's record: its name, limits, pause or identities changed.
    pub fn update_connection(
        &self,
        connection: &Connection,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        let sealer = self.sealer(connection.id)?;
        self.rows.write(|batch| {
            record::put(
                batch,
                &sealer,
                CONNECTIONS,
                connection.id.as_bytes(),
                connection,
            )?;
            self.record_audit(batch, entry)
        })
    }

    /// Replaces the provider's credentials, and the record that counts their generation.
    pub fn replace_credentials(
        &self,
        connection: &Connection,
        credentials: &Credentials,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        let sealer = self.sealer(connection.id)?;
        self.rows.write(|batch| {
            record::put(
                batch,
                &sealer,
                CONNECTIONS,
                connection.id.as_bytes(),
                connection,
            )?;
            put_credentials(batch, &sealer, connection.id, credentials)?;
            self.record_audit(batch, entry)
        })
    }

    /// Adds a key to a connection whose keys live. An id that a dead key had is refused.
    pub fn add_key(
        &self,
        key: &Key,
        secret: &SecretKey,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            // Within the transaction, so that a revocation comes before or after, never between.
            if self.keyring.standing(key.connection) != Some(Standing::Living) {
                return Err(StoreError::ConnectionRevoked(key.connection));
            }
            self.put_new_key(batch, key, secret)?;
            self.record_audit(batch, entry)
        })
    }

    pub(crate) fn put_new_key(
        &self,
        batch: &Batch,
        key: &Key,
        secret: &SecretKey,
    ) -> Result<(), StoreError> {
        let sealer = self.sealer(key.connection)?;
        let row = record::key_row(key.connection, key.id);
        if batch.get(KEYS, &row)?.is_some() {
            return Err(StoreError::OutOfOrder("the key exists already"));
        }
        if batch
            .get(TOMBSTONES, &self.hash(&key.access_key_id).0)?
            .is_some()
        {
            return Err(StoreError::OutOfOrder("a dead key had this access key id"));
        }
        record::put(batch, &sealer, KEYS, &row, key)?;
        record::put_secret(batch, &sealer, KEY_SECRETS, &row, secret)
    }

    /// Replaces a living key's record. A dead one does not come back.
    pub fn update_key(&self, key: &Key, entry: &audit::Entry) -> Result<(), StoreError> {
        let sealer = self.sealer(key.connection)?;
        let row = record::key_row(key.connection, key.id);
        self.rows.write(|batch| {
            if batch.get(KEYS, &row)?.is_none() {
                return Err(StoreError::OutOfOrder("the key is not alive"));
            }
            record::put(batch, &sealer, KEYS, &row, key)?;
            self.record_audit(batch, entry)
        })
    }

    /// Takes keys out for good and leaves their tombstones, and what they were allowed with their adoptions.
    pub(crate) fn bury(&self, batch: &Batch, dead: &[(Key, Tombstone)]) -> Result<(), StoreError> {
        for (key, tombstone) in dead {
            let row = record::key_row(key.connection, key.id);
            batch.remove(KEYS, &row)?;
            batch.remove(KEY_SECRETS, &row)?;
            let hash = self.hash(&key.access_key_id);
            record::put(batch, &self.root.seal, TOMBSTONES, &hash.0, tombstone)?;
        }
        let keys: Vec<_> = dead.iter().map(|(key, _)| key).collect();
        match keys.is_empty() {
            true => Ok(()),
            false => self.note_rights(batch, &keys),
        }
    }

    /// Whether a call of the disk failed. From then on every call is refused, until the store is opened
    /// anew: what the disk has kept is not known.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.rows.has_failed()
    }

    /// The gateway's port, once it was chosen.
    pub fn gateway_port(&self) -> Result<Option<u16>, StoreError> {
        self.rows.read(|view| {
            let value = view.get(SETTINGS, GATEWAY_PORT)?;
            value
                .map(|value| record::open(&self.root.seal, SETTINGS, GATEWAY_PORT, &value))
                .transpose()
        })
    }

    /// Keeps the gateway's port.
    pub fn set_gateway_port(&self, port: u16) -> Result<(), StoreError> {
        self.rows
            .write(|batch| record::put(batch, &self.root.seal, SETTINGS, GATEWAY_PORT, &port))
    }

    /// Begins the manifest of one bucket, or goes on with one that was not finished. It replaces
    /// the one kept before when it is finished.
    pub fn manifest_writer(
        &self,
        connection: ConnectionId,
        deletion: DeletionId,
        bucket: &BucketName,
        round: Round,
    ) -> Result<ManifestWriter, ManifestError> {
        let (path, sealer, whose) = self.manifest(connection, deletion, bucket, round)?;
        ManifestWriter::open(path, sealer, whose)
    }

    /// Reads the finished manifest of one bucket.
    pub fn manifest_reader(
        &self,
        connection: ConnectionId,
        deletion: DeletionId,
        bucket: &BucketName,
        round: Round,
    ) -> Result<ManifestReader, ManifestError> {
        let (path, sealer, whose) = self.manifest(connection, deletion, bucket, round)?;
        ManifestReader::open(&path, sealer, whose)
    }

    fn manifest(
        &self,
        connection: ConnectionId,
        deletion: DeletionId,
        bucket: &BucketName,
        round: Round,
    ) -> Result<(PathBuf, Arc<Sealer>, Whose), ManifestError> {
        let sealer = self
            .keyring
            .get(connection)
            .or_else(|| self.scratch.get(connection))
            .ok_or(ManifestError::UnknownConnection(connection))?;
        let whose = Whose {
            connection,
            deletion,
            bucket: bucket.clone(),
            round,
        };
        Ok((self.layout.manifest(&self.root, &whose), sealer, whose))
    }
}

fn put_credentials(
    batch: &Batch,
    sealer: &Sealer,
    connection: ConnectionId,
    credentials: &Credentials,
) -> Result<(), StoreError> {
    let row = connection.as_bytes();
    record::put(batch, sealer, CREDENTIALS, row, &credentials.access_key_id)?;
    record::put_secret(batch, sealer, CREDENTIAL_SECRETS, row, &credentials.secret)
}
