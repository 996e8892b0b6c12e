//! Backups: one consistent state as a file of our own format, and the record of what was handed
//! out.
//!
//! Rows and key files go into it as they lie on the disk: sealed. The root key goes in only under a
//! passphrase. The whole is authenticated with a key derived from the root key, so a file that was
//! cut or altered is refused whole. It must never hold a key of a connection whose verdict stands:
//! that one is being erased.
//!
//! The form: magic, length of the head (u32), head (JSON), then frames, each a tag and its content
//! (numbers are big-endian): `T` a table (u32 length, name), `R` a row of it (u32 length, id, u32
//! length, value), `K` a key file (16 bytes name, u32 length, content), `E` the end; then the
//! HMAC-SHA-256 of all before.

mod records;

use std::{collections::BTreeMap, io, num::NonZeroU32};

use aws_lc_rs::{constant_time, hmac, pbkdf2};
use bascule_domain::{
    Timestamp, audit,
    backup::{Backup, HEAD_LIMIT, MAGIC, Mark, Place, TAG_LEN},
    ids::{BackupId, ConnectionId},
    names::Label,
};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    database::{KEY_FILES, Read, Table, View, kept_tables},
    error::{OpenError, StoreError},
    keyring::{self, Keyring, Standing},
    layout::{KeyFileName, Layout},
    open::root_key_file,
    record,
    restore::RestoreError,
    root_key::{self, RootKey, StoreId},
    seal::{KEY_LEN, Sealer, random},
    store::Store,
};

/// The magic without the format's number.
const MAGIC_WORD: usize = 7;
const KDF: &str = "pbkdf2-hmac-sha512";
/// About half a second of one core, once; what OWASP asks for is 210 000.
const ITERATIONS: u32 = 600_000;
/// What a file may ask for: less would be weak, more would keep a machine busy for its maker.
const ITERATIONS_TAKEN: std::ops::RangeInclusive<u32> = 100_000..=10_000_000;
const SALT_LEN: usize = 32;
const TRIES: usize = 16;

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store can't be read.
    #[error("the store can't be read")]
    Store(#[from] StoreError),
    /// A key file can't be read.
    #[error("a key file of the store can't be read")]
    Open(#[from] OpenError),
    /// Whoever asked for it does not take it.
    #[error("the backup was not taken")]
    Write(#[from] io::Error),
    /// The backup would hold what is being erased.
    #[error("a connection was deleted while the backup was made; this one is not valid")]
    Overtaken,
}

/// A backup to be made.
pub struct NewBackup {
    /// Drawn at random.
    pub id: BackupId,
    /// Now.
    pub made_at: Timestamp,
    /// What its file is called.
    pub file: Label,
    /// Where it is written.
    pub place: Place,
    /// Wraps the root key; without one the backup opens in this installation only.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) id: BackupId,
    pub(crate) made_at: Timestamp,
    pub(crate) file: Label,
    /// Which store it is of.
    store: String,
    /// The root key, if it is in it.
    lock: Option<Lock>,
}

/// The root key under a passphrase.
#[derive(Serialize, Deserialize)]
struct Lock {
    kdf: String,
    iterations: u32,
    salt: String,
    root_key: String,
}

impl Lock {
    fn close(root_key: &[u8], passphrase: &[u8]) -> Result<Self, StoreError> {
        let salt = random::<SALT_LEN>()?;
        let sealer = derived(passphrase, &*salt, ITERATIONS)?;
        let sealed = sealer.seal(&place(&*salt, &ITERATIONS.to_be_bytes()), root_key)?;
        Ok(Self {
            kdf: KDF.to_owned(),
            iterations: ITERATIONS,
            salt: HEXLOWER.encode(&*salt),
            root_key: HEXLOWER.encode(&sealed),
        })
    }

    fn open(&self, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, RestoreError> {
        if self.kdf != KDF {
            return Err(RestoreError::TooNew);
        }
        if !ITERATIONS_TAKEN.contains(&self.iterations) {
            return Err(RestoreError::Damaged);
        }
        let decode = |text: &str| {
            HEXLOWER
                .decode(text.as_bytes())
                .map_err(|_| RestoreError::Damaged)
        };
        let (salt, sealed) = (decode(&self.salt)?, decode(&self.root_key)?);
        derived(passphrase, &salt, self.iterations)?
            .open(&place(&salt, &self.iterations.to_be_bytes()), &sealed)
            .map_err(|_| RestoreError::WrongPassphrase)
    }
}

fn place<'a>(salt: &'a [u8], iterations: &'a [u8; 4]) -> [&'a [u8]; 3] {
    [b"root key of a backup", salt, iterations]
}

fn derived(passphrase: &[u8], salt: &[u8], iterations: u32) -> Result<Sealer, StoreError> {
    let iterations = NonZeroU32::new(iterations).ok_or(StoreError::Cryptography)?;
    let mut key = Zeroizing::new([0; KEY_LEN]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA512,
        iterations,
        salt,
        passphrase,
        &mut *key,
    );
    Sealer::new(&key)
}

/// Writes on, and authenticates what it wrote.
struct Written<'a> {
    out: &'a mut dyn io::Write,
    mac: hmac::Context,
    bytes: u64,
}

impl Written<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mac.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn put_sized(&mut self, bytes: &[u8]) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.put(&len.to_be_bytes())?;
        self.put(bytes)
    }
}

impl Store {
    /// Writes a backup of one consistent state. Its last bytes, without which it is worth nothing,
    /// are written once its record is durable.
    pub fn write_backup(
        &self,
        new: &NewBackup,
        entry: &audit::Entry,
        out: &mut dyn io::Write,
    ) -> Result<Backup, BackupError> {
        let lock = match &new.passphrase {
            Some(passphrase) => {
                let file = root_key_file(&self.layout)?;
                Some(Lock::close(&file, passphrase)?)
            }
            None => None,
        };
        let head = Head {
            id: new.id,
            made_at: new.made_at,
            file: new.file.clone(),
            store: HEXLOWER.encode(&self.root.store_id),
            lock,
        };
        let mut written = Written {
            out,
            mac: hmac::Context::with_key(&self.root.backups),
            bytes: 0,
        };
        written.put(MAGIC)?;
        written.put_sized(&serde_json::to_vec(&head).map_err(io::Error::other)?)?;
        let mut connections = None;
        // A key that is being destroyed is one that the next state does without.
        for _ in 0..TRIES {
            connections = self
                .rows
                .read(|view| Ok(self.write_state(view, &mut written)))??;
            if connections.is_some() {
                break;
            }
        }
        let connections = connections.ok_or(BackupError::Overtaken)?;
        written.put(b"E")?;
        let Written { out, mac, bytes } = written;
        let tag = mac.sign();
        let backup = Backup {
            id: new.id,
            made_at: new.made_at,
            file: new.file.clone(),
            portable: new.passphrase.is_some(),
            connections,
            place: new.place.clone(),
            mark: Some(Mark {
                bytes: bytes + tag.as_ref().len() as u64,
                tag: HEXLOWER.encode(tag.as_ref()),
            }),
            last_look: None,
        };
        self.record_backup(&backup, entry)?;
        out.write_all(tag.as_ref())?;
        out.flush()?;
        Ok(backup)
    }

    /// Writes the frames and returns the connections that can be read from them; `None`, having
    /// written nothing, if a key was destroyed between the state and now.
    fn write_state(
        &self,
        view: &View,
        written: &mut Written<'_>,
    ) -> Result<Option<Vec<ConnectionId>>, BackupError> {
        let Some(keys) = key_files(view, &self.root, &self.layout)? else {
            return Ok(None);
        };
        for table in kept_tables() {
            written.put(b"T")?;
            written.put_sized(table.name().as_bytes())?;
            for (row, value) in view.rows(table, &[])? {
                written.put(b"R")?;
                written.put_sized(&row)?;
                written.put_sized(&value)?;
            }
        }
        for (_, name, content) in &keys {
            written.put(b"K")?;
            written.put(name)?;
            written.put_sized(content)?;
        }
        Ok(Some(keys.into_iter().map(|(id, ..)| id).collect()))
    }
}

type KeyFile = (ConnectionId, KeyFileName, Vec<u8>);

/// The key files of all connections whose verdict does not stand yet; `None` if one of them was
/// destroyed since the view's state.
fn key_files(
    view: &View,
    root: &RootKey,
    layout: &Layout,
) -> Result<Option<Vec<KeyFile>>, OpenError> {
    let keyring = match Keyring::read(view, root, layout) {
        Ok(keyring) => keyring,
        Err(OpenError::ConnectionKeyMissing { .. } | OpenError::ConnectionKeyDamaged { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for (row, value) in view.rows(KEY_FILES, &[])? {
        let connection = record::id(KEY_FILES, &row).map(ConnectionId::from_random)?;
        if keyring.standing(connection) == Some(Standing::Judged) {
            continue;
        }
        let name: KeyFileName = record::open(&root.seal, KEY_FILES, &row, &value)?;
        match keyring::content(&layout.key_file(&name), root, connection)? {
            Some(content) => files.push((connection, name, content)),
            None => return Ok(None),
        }
    }
    Ok(Some(files))
}

/// The rows of a table, sealed.
pub(crate) type Sealed = BTreeMap<Vec<u8>, Vec<u8>>;

/// One state: rows and key files as they lie on the disk.
#[derive(Default)]
pub(crate) struct State {
    tables: BTreeMap<&'static str, Sealed>,
    pub(crate) keys: BTreeMap<KeyFileName, Vec<u8>>,
}

impl State {
    /// The present one. The instance lock is held, so nothing changes meanwhile.
    pub(crate) fn of(store: &Store) -> Result<Self, RestoreError> {
        store.rows.read(|view| {
            let mut state = Self::default();
            for table in kept_tables() {
                *state.table_mut(table) = view.rows(table, &[])?.into_iter().collect();
            }
            Ok(key_files(view, &store.root, &store.layout)
                .map_err(RestoreError::Present)
                .and_then(|files| files.ok_or(RestoreError::Damaged))
                .map(|files| {
                    state.keys = files
                        .into_iter()
                        .map(|(_, name, content)| (name, content))
                        .collect();
                    state
                }))
        })?
    }

    pub(crate) fn table(&self, table: Table) -> &Sealed {
        static NONE: Sealed = Sealed::new();
        self.tables.get(table.name()).unwrap_or(&NONE)
    }

    pub(crate) fn table_mut(&mut self, table: Table) -> &mut Sealed {
        self.tables.entry(table.name()).or_default()
    }
}

impl Head {
    /// Reads the head of a backup. Nothing of it is authenticated yet.
    pub(crate) fn read(file: &[u8]) -> Result<(Self, usize), RestoreError> {
        let Some(rest) = file.strip_prefix(MAGIC) else {
            let known = file.get(..MAGIC_WORD) == Some(&MAGIC[..MAGIC_WORD]);
            let newer = file
                .get(MAGIC_WORD)
                .is_some_and(|format| *format > MAGIC[7]);
            return Err(match known && newer {
                true => RestoreError::TooNew,
                false => RestoreError::NoBackup,
            });
        };
        let mut rest = Rest(rest);
        let head = rest.sized()?;
        if head.len() > HEAD_LIMIT {
            return Err(RestoreError::Damaged);
        }
        let parsed = serde_json::from_slice(head).map_err(|_| RestoreError::Damaged)?;
        Ok((parsed, file.len() - rest.0.len()))
    }

    /// Whether it is of this store.
    pub(crate) fn is_of(&self, store: &StoreId) -> bool {
        self.store == HEXLOWER.encode(store)
    }

    /// Whether the root key is in it.
    pub(crate) const fn is_portable(&self) -> bool {
        self.lock.is_some()
    }

    /// The content of the root key's file, opened with the passphrase.
    pub(crate) fn root_key(&self, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, RestoreError> {
        let lock = self.lock.as_ref().ok_or(RestoreError::OnlyHere)?;
        let file = lock.open(passphrase)?;
        match file.len() == root_key::FILE_LEN {
            true => Ok(file),
            false => Err(RestoreError::Damaged),
        }
    }
}

/// Reads the state of a backup whose head ends at `at`, having authenticated all of the file.
pub(crate) fn read_state(file: &[u8], at: usize, root: &RootKey) -> Result<State, RestoreError> {
    let (body, mac) = file
        .split_last_chunk::<TAG_LEN>()
        .ok_or(RestoreError::Damaged)?;
    let tag = hmac::sign(&root.backups, body);
    constant_time::verify_slices_are_equal(tag.as_ref(), mac).map_err(|_| RestoreError::Damaged)?;
    let mut rest = Rest(body.get(at..).ok_or(RestoreError::Damaged)?);
    let mut state = State::default();
    let mut table = None;
    loop {
        match rest.take(1)? {
            b"T" => {
                let name = rest.sized()?;
                // It is authentic, so an unknown table is a newer one.
                let known = kept_tables().find(|table| table.name().as_bytes() == name);
                table = Some(known.ok_or(RestoreError::TooNew)?);
            }
            b"R" => {
                let row = rest.sized()?.to_vec();
                let value = rest.sized()?.to_vec();
                let table = table.ok_or(RestoreError::Damaged)?;
                state.table_mut(table).insert(row, value);
            }
            b"K" => {
                let name = rest.take(16)?;
                let name = name.try_into().map_err(|_| RestoreError::Damaged)?;
                state.keys.insert(name, rest.sized()?.to_vec());
            }
            b"E" if rest.0.is_empty() => return Ok(state),
            _ => return Err(RestoreError::Damaged),
        }
    }
}

/// What tells a whole backup from another one.
pub(crate) fn mark_of(file: &[u8]) -> Option<Mark> {
    let (_, tag) = file.split_last_chunk::<TAG_LEN>()?;
    Some(Mark {
        bytes: file.len() as u64,
        tag: HEXLOWER.encode(tag),
    })
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], RestoreError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RestoreError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn sized(&mut self) -> Result<&'a [u8], RestoreError> {
        let len = self.take(4)?;
        let len = len.try_into().map_err(|_| RestoreError::Damaged)?;
        self.take(u32::from_be_bytes(len) as usize)
    }
}
