//! Connection keys: one small file each, wrapped by the root key. Destroying the file is what
//! erases a connection from every copy of the store.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bascule_domain::{
    deletion::{Deletion, Phase},
    ids::ConnectionId,
};
use bascule_os::{PathError, destroy_file, read_private, write_private};
use zeroize::Zeroizing;

use crate::{
    database::{CONNECTIONS, CREDENTIAL_SECRETS, CREDENTIALS, DELETIONS, KEY_FILES, Read, View},
    error::{OpenError, StoreError},
    layout::{KeyFileName, Layout},
    record,
    root_key::RootKey,
    seal::{KEY_LEN, OVERHEAD, Sealer, random},
    seam,
};

const MAGIC: &[u8; 8] = b"BSCCONN\x01";
const FILE_LEN: usize = MAGIC.len() + KEY_LEN + OVERHEAD;

/// How far the deletion of a connection has come, as far as it matters for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// It is used.
    Living,
    /// Its keys are dead; its own is needed for the second survey.
    Revoked,
    /// Its own key may be destroyed, or is.
    Judged,
}

impl Standing {
    pub(crate) fn of(phase: Phase) -> Self {
        match phase {
            Phase::Listening
            | Phase::Requested
            | Phase::Drained
            | Phase::Surveyed
            | Phase::Cancelled => Self::Living,
            Phase::Revoked => Self::Revoked,
            Phase::Judged | Phase::Finished => Self::Judged,
        }
    }
}

struct Held {
    file: PathBuf,
    /// Absent once destroyed.
    sealer: Option<Arc<Sealer>>,
    standing: Standing,
}

/// The keys of all connections in the store.
pub(crate) struct Keyring(RwLock<BTreeMap<ConnectionId, Held>>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(redacted)")
    }
}

impl Keyring {
    /// Reads the key file of every connection. One may be missing only if its connection's
    /// deletion has come far enough to have destroyed it.
    pub(crate) fn read(view: &View, root: &RootKey, layout: &Layout) -> Result<Self, OpenError> {
        let mut standings = BTreeMap::new();
        for (row, value) in view.rows(DELETIONS, &[])? {
            let deletion: Deletion = record::open(&root.seal, DELETIONS, &row, &value)?;
            let standing = standings
                .entry(deletion.connection)
                .or_insert(Standing::Living);
            *standing = Standing::of(deletion.phase).max(*standing);
        }
        let rows = view.rows(KEY_FILES, &[])?;
        // A connection without a key file, or the other way round, was not left by any crash.
        for table in [CONNECTIONS, CREDENTIALS, CREDENTIAL_SECRETS] {
            if !view
                .rows(table, &[])?
                .iter()
                .map(|(row, _)| row)
                .eq(rows.iter().map(|(row, _)| row))
            {
                return Err(StoreError::Damaged {
                    table: table.name(),
                }
                .into());
            }
        }
        let mut held = BTreeMap::new();
        for (row, value) in rows {
            let connection = record::id(KEY_FILES, &row).map(ConnectionId::from_random)?;
            let name: KeyFileName = record::open(&root.seal, KEY_FILES, &row, &value)?;
            let file = layout.key_file(&name);
            let standing = standings
                .get(&connection)
                .copied()
                .unwrap_or(Standing::Living);
            let sealer = match read_key_file(&file, root, connection) {
                Ok(sealer) => Some(Arc::new(sealer)),
                Err(KeyFileError::Path(error)) if error.is_absent() => {
                    if standing < Standing::Judged {
                        return Err(OpenError::ConnectionKeyMissing {
                            path: file,
                            connection,
                        });
                    }
                    None
                }
                // Overwritten, but not removed yet.
                Err(KeyFileError::Damaged) if standing >= Standing::Judged => None,
                Err(KeyFileError::Damaged) => {
                    return Err(OpenError::ConnectionKeyDamaged {
                        path: file,
                        connection,
                    });
                }
                Err(KeyFileError::Path(error)) => return Err(error.into()),
            };
            held.insert(
                connection,
                Held {
                    file,
                    sealer,
                    standing,
                },
            );
        }
        Ok(Self(RwLock::new(held)))
    }

    fn held(&self) -> RwLockReadGuard<'_, BTreeMap<ConnectionId, Held>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<ConnectionId, Held>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of a connection that is not erased.
    pub(crate) fn get(&self, connection: ConnectionId) -> Option<Arc<Sealer>> {
        self.held().get(&connection)?.sealer.clone()
    }

    pub(crate) fn standing(&self, connection: ConnectionId) -> Option<Standing> {
        self.held().get(&connection).map(|held| held.standing)
    }

    pub(crate) fn set_standing(&self, connection: ConnectionId, standing: Standing) {
        if let Some(held) = self.held_mut().get_mut(&connection) {
            held.standing = standing;
        }
    }

    pub(crate) fn insert(&self, connection: ConnectionId, new: NewKey) {
        let held = Held {
            file: new.file,
            sealer: Some(new.sealer),
            standing: Standing::Living,
        };
        self.held_mut().insert(connection, held);
    }

    /// Forgets the key and destroys its file. Can be repeated.
    pub(crate) fn destroy(&self, connection: ConnectionId) -> Result<(), PathError> {
        let file = {
            let mut held = self.held_mut();
            let Some(held) = held.get_mut(&connection) else {
                return Ok(());
            };
            held.sealer = None;
            held.file.clone()
        };
        seam::change(&file, || destroy_file(&file))
    }

    /// Forgets a connection whose rows are gone.
    pub(crate) fn remove(&self, connection: ConnectionId) {
        self.held_mut().remove(&connection);
    }
}

/// A connection's key that is on the disk already.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) name: KeyFileName,
    pub(crate) file: PathBuf,
    pub(crate) sealer: Arc<Sealer>,
}

impl NewKey {
    /// Draws a key and makes its file durable.
    pub(crate) fn create(
        layout: &Layout,
        root: &RootKey,
        connection: ConnectionId,
        name: KeyFileName,
    ) -> Result<Self, StoreError> {
        let key = random::<KEY_LEN>()?;
        let sealer = Arc::new(Sealer::new(&key)?);
        let file = layout.key_file(&name);
        let mut content = Vec::with_capacity(FILE_LEN);
        content.extend_from_slice(MAGIC);
        content.extend(root.wrap.seal(&place(&connection), &*key)?);
        write_private(&file, &content)?;
        Ok(Self { name, file, sealer })
    }
}

enum KeyFileError {
    Path(PathError),
    Damaged,
}

fn place(connection: &ConnectionId) -> [&[u8]; 2] {
    [b"connection key", connection.as_bytes()]
}

fn read_key_file(
    path: &Path,
    root: &RootKey,
    connection: ConnectionId,
) -> Result<Sealer, KeyFileError> {
    let content = match read_private(path, FILE_LEN as u64) {
        Ok(content) => Zeroizing::new(content),
        Err(PathError::TooLarge { .. }) => return Err(KeyFileError::Damaged),
        Err(error) => return Err(KeyFileError::Path(error)),
    };
    unwrap(&content, root, connection).ok_or(KeyFileError::Damaged)
}

/// The key that a key file's content holds, if it is this connection's.
pub(crate) fn unwrap(content: &[u8], root: &RootKey, connection: ConnectionId) -> Option<Sealer> {
    let wrapped = content.strip_prefix(MAGIC)?;
    let key = root.wrap.open(&place(&connection), wrapped).ok()?;
    let key: &[u8; KEY_LEN] = key.as_slice().try_into().ok()?;
    Sealer::new(key).ok()
}

/// The content of a key file that must be there; `None` if it was destroyed meanwhile.
pub(crate) fn content(
    path: &Path,
    root: &RootKey,
    connection: ConnectionId,
) -> Result<Option<Vec<u8>>, PathError> {
    match read_private(path, FILE_LEN as u64) {
        Ok(content) => Ok(unwrap(&content, root, connection).map(|_| content)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}
