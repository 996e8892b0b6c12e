//! The database: the one module that names redb.
//!
//! Every write is one transaction, durable and two-phase. After the first failure the handle takes
//! nothing more, because what it holds in memory may differ from what is on the disk (threats.md
//! G5). It must never see plaintext.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use redb::{
    Builder, CommitError, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase,
    ReadableTable, ReadableTableMetadata, TableDefinition, TableError, WriteTransaction,
    backends::FileBackend,
};

use crate::{error::StoreError, overlay::Overlay};

/// A table from row ids to sealed values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table(&'static str);

impl Table {
    pub(crate) const fn name(self) -> &'static str {
        self.0
    }

    const fn definition(self) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
        TableDefinition::new(self.0)
    }

    /// What a sealed value of this row is bound to. Each field of a record that is sealed by itself
    /// has a table of its own.
    pub(crate) const fn place(self, row: &[u8]) -> [&[u8]; 3] {
        [b"row", self.0.as_bytes(), row]
    }
}

/// Which store this is.
pub(crate) const META: Table = Table("meta");
/// Connection id → name of its key file, sealed by the root.
pub(crate) const KEY_FILES: Table = Table("key-files");
/// Name of a key file → the connection it is made for, sealed by the root, until that connection's
/// own row is there.
pub(crate) const PENDING_KEY_FILES: Table = Table("pending-key-files");
/// Connection id → connection, sealed by its key.
pub(crate) const CONNECTIONS: Table = Table("connections");
/// Connection id → the provider's access key id, sealed by its key.
pub(crate) const CREDENTIALS: Table = Table("credentials");
/// Connection id → the provider's secret, sealed by its key.
pub(crate) const CREDENTIAL_SECRETS: Table = Table("credential-secrets");
/// Connection id, key id → key, sealed by the connection's key.
pub(crate) const KEYS: Table = Table("keys");
/// Connection id, key id → secret, sealed by the connection's key.
pub(crate) const KEY_SECRETS: Table = Table("key-secrets");
/// Connection id, deletion id → findings, sealed by the connection's key.
pub(crate) const FINDINGS: Table = Table("findings");
/// Deletion id → deletion, sealed by the root.
pub(crate) const DELETIONS: Table = Table("deletions");
/// Connection id, old key's id → rotation, sealed by the connection's key.
pub(crate) const ROTATIONS: Table = Table("rotations");
/// Connection id, start of the keyed hash of a leaked access key id → leak, sealed by the
/// connection's key.
pub(crate) const LEAKS: Table = Table("leaks");
/// As in `leaks` → secret, sealed by the connection's key, until the leaked key is seen dead.
pub(crate) const LEAKED_SECRETS: Table = Table("leaked-secrets");
/// Keyed hash of the access key id → tombstone, sealed by the root.
pub(crate) const TOMBSTONES: Table = Table("tombstones");
/// Deletion id → receipt, sealed by the root.
pub(crate) const RECEIPTS: Table = Table("receipts");
/// Number, big-endian, from 1 → audit entry, sealed by the root.
pub(crate) const AUDIT: Table = Table("audit");
/// Connection id, number of its entry → details of an audit entry, sealed by the connection's key.
pub(crate) const AUDIT_DETAILS: Table = Table("audit-details");
/// Id of a consumer's finding → what is kept of it, sealed by the root.
pub(crate) const FINDING_RECORDS: Table = Table("finding-records");
/// Keyed hash of an access key id → the key that the user marked as dead, sealed by the root.
pub(crate) const MARKED_KEYS: Table = Table("marked-keys");
/// Hash of a key's id and its server → what that server said of it last, sealed by the root.
pub(crate) const PROBES: Table = Table("probes");
/// How far the sweep is, sealed by the root.
pub(crate) const SWEEPS: Table = Table("sweeps");
/// Keyed hash of a path → the path of a file that a sweep found ids in, sealed by the root.
pub(crate) const TRACES: Table = Table("traces");
/// Adoption id → adoption, sealed by the root.
pub(crate) const ADOPTIONS: Table = Table("adoptions");
/// Connection id, adoption id, number of a file (one byte) → the file as it was, sealed by the
/// connection's key.
pub(crate) const ADOPTION_ORIGINALS: Table = Table("adoption-originals");
/// Backup id → backup that was handed out, sealed by the root.
pub(crate) const BACKUPS: Table = Table("backups");
/// Name → setting, sealed by the root.
pub(crate) const SETTINGS: Table = Table("settings");

/// Those that every store has from the beginning.
const TABLES: [Table; 14] = [
    META,
    KEY_FILES,
    PENDING_KEY_FILES,
    CONNECTIONS,
    CREDENTIALS,
    CREDENTIAL_SECRETS,
    KEYS,
    KEY_SECRETS,
    FINDINGS,
    DELETIONS,
    TOMBSTONES,
    RECEIPTS,
    AUDIT,
    SETTINGS,
];

/// Tables that databases of an older release do not have: they come with the first row.
const LATER_TABLES: [Table; 12] = [
    AUDIT_DETAILS,
    ROTATIONS,
    LEAKS,
    LEAKED_SECRETS,
    FINDING_RECORDS,
    MARKED_KEYS,
    PROBES,
    SWEEPS,
    TRACES,
    ADOPTIONS,
    ADOPTION_ORIGINALS,
    BACKUPS,
];

/// The tables that a backup holds: all but that of keys which are only being made.
pub(crate) fn kept_tables() -> impl Iterator<Item = Table> {
    TABLES
        .into_iter()
        .chain(LATER_TABLES)
        .filter(|table| table.0 != PENDING_KEY_FILES.0)
}

const CACHE_BYTES: usize = 32 << 20;

/// An open database.
pub(crate) struct Rows {
    db: Database,
    failed: AtomicBool,
}

/// Why a database was not opened.
#[derive(Debug)]
pub(crate) enum DatabaseRefusal {
    InUse,
    Damaged(Box<dyn std::error::Error + Send + Sync>),
}

impl From<DatabaseError> for DatabaseRefusal {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Self::InUse,
            error => Self::Damaged(error.into()),
        }
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::Failed(error.into())
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

impl Rows {
    fn new(db: Database) -> Self {
        Self {
            db,
            failed: AtomicBool::new(false),
        }
    }

    /// Makes a new database in an empty file, with every table and one row, and closes it again.
    pub(crate) fn create(file: File, row: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let backend = FileBackend::new(file).map_err(failed)?;
        let rows = Self::new(builder().create_with_backend(backend).map_err(failed)?);
        rows.write(|batch| {
            for table in TABLES.into_iter().chain(LATER_TABLES) {
                batch
                    .transaction
                    .open_table(table.definition())
                    .map_err(failed)?;
            }
            batch.put(META, row, value)
        })?;
        rows.db.close().map_err(failed)
    }

    /// Opens the file with every page checked, but keeps all changes that opening makes in memory:
    /// what turns out to be damaged stays as it was found.
    pub(crate) fn rehearse(path: &Path) -> Result<Self, DatabaseRefusal> {
        let damaged = |error: std::io::Error| DatabaseRefusal::Damaged(error.into());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(damaged)?;
        if file.metadata().map_err(damaged)?.len() == 0 {
            // redb would take an empty file for a new database.
            return Err(DatabaseRefusal::Damaged("the file is empty".into()));
        }
        let overlay = Overlay::new(FileBackend::new(file)?).map_err(damaged)?;
        builder()
            .set_check_integrity_on_open(true)
            .create_with_backend(overlay)
            .map(Self::new)
            .map_err(Into::into)
    }

    /// Opens a file that [`Self::rehearse`] accepted.
    pub(crate) fn open(path: &Path) -> Result<Self, DatabaseRefusal> {
        builder().open(path).map(Self::new).map_err(Into::into)
    }

    /// Whether a call of the disk failed, so that nothing is read or written any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Reads from one consistent state.
    pub(crate) fn read<T>(
        &self,
        act: impl FnOnce(&View) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.guarded(|| {
            let transaction = self.db.begin_read().map_err(failed)?;
            act(&View { transaction })
        })
        .map_err(|error| match error {
            // Reading commits nothing.
            StoreError::CommitUnknown(source) => StoreError::Failed(source),
            error => error,
        })
    }

    /// Returns once a change could begin: whoever was making one has come to an end. Changes
    /// nothing and writes nothing.
    pub(crate) fn await_writer(&self) -> Result<(), StoreError> {
        self.guarded(|| {
            let transaction = self.db.begin_write().map_err(failed)?;
            transaction.abort().map_err(failed)
        })
    }

    /// Changes everything or nothing, durably.
    pub(crate) fn write<T>(
        &self,
        act: impl FnOnce(&Batch) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.guarded(|| {
            let mut transaction = self.db.begin_write().map_err(failed)?;
            transaction
                .set_durability(Durability::Immediate)
                .map_err(failed)?;
            transaction.set_two_phase_commit(true);
            let batch = Batch {
                transaction,
                afterwards: RefCell::default(),
            };
            // An error drops the transaction, which rolls it back.
            let value = act(&batch)?;
            let Batch {
                transaction,
                afterwards,
            } = batch;
            transaction.commit().map_err(|error| match error {
                // Rolled back for certain.
                CommitError::TransactionPoisoned => failed(error),
                error => StoreError::CommitUnknown(error.into()),
            })?;
            for act in afterwards.into_inner() {
                act();
            }
            Ok(value)
        })
    }

    fn guarded<T>(&self, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.has_failed() {
            return Err(StoreError::Unusable);
        }
        // The database panics on some kinds of damage; where in a commit is not known.
        let result = catch_unwind(AssertUnwindSafe(act))
            .unwrap_or_else(|_| Err(StoreError::CommitUnknown("the database gave up".into())));
        if matches!(
            result,
            Err(StoreError::Failed(_) | StoreError::CommitUnknown(_))
        ) {
            self.failed.store(true, Ordering::Release);
        }
        result
    }
}

/// A row's id and its sealed value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Reads.
pub(crate) trait Read {
    /// Every row whose id begins so, in order.
    fn rows(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError>;
    /// One row.
    fn get(&self, table: Table, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
}

/// One consistent state.
pub(crate) struct View {
    transaction: ReadTransaction,
}

type Opened = redb::ReadOnlyTable<&'static [u8], &'static [u8]>;

/// One transaction that changes something.
pub(crate) struct Batch {
    transaction: WriteTransaction,
    afterwards: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl View {
    /// Whether it has every table; a database that is not ours has not.
    pub(crate) fn has_every_table(&self) -> Result<bool, StoreError> {
        for table in TABLES {
            match self.transaction.open_table(table.definition()) {
                Ok(_) => {}
                Err(TableError::Storage(error)) => return Err(failed(error)),
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl View {
    /// `None` for a table that came later than this database.
    fn table(&self, table: Table) -> Result<Option<Opened>, StoreError> {
        match self.transaction.open_table(table.definition()) {
            Ok(open) => Ok(Some(open)),
            Err(TableError::TableDoesNotExist(name))
                if LATER_TABLES.iter().any(|later| later.name() == name) =>
            {
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// How many rows there are.
    pub(crate) fn count(&self, table: Table) -> Result<u64, StoreError> {
        match self.table(table)? {
            Some(table) => table.len().map_err(failed),
            None => Ok(0),
        }
    }

    /// At most so many rows whose ids come after this one, in order.
    pub(crate) fn rows_after(
        &self,
        table: Table,
        row: &[u8],
        most: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let Some(table) = self.table(table)? else {
            return Ok(Vec::new());
        };
        let range = (Bound::Excluded(row), Bound::Unbounded);
        let rows = table.range::<&[u8]>(range).map_err(failed)?.take(most);
        rows.map(|row| {
            let (id, value) = row.map_err(failed)?;
            Ok((id.value().to_vec(), value.value().to_vec()))
        })
        .collect()
    }
}

impl Read for View {
    fn rows(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        match self.table(table)? {
            Some(table) => rows_in(&table, prefix),
            None => Ok(Vec::new()),
        }
    }

    fn get(&self, table: Table, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.table(table)? {
            Some(table) => get_in(&table, row),
            None => Ok(None),
        }
    }
}

impl Read for Batch {
    fn rows(&self, table: Table, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        rows_in(
            &self
                .transaction
                .open_table(table.definition())
                .map_err(failed)?,
            prefix,
        )
    }

    fn get(&self, table: Table, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get_in(
            &self
                .transaction
                .open_table(table.definition())
                .map_err(failed)?,
            row,
        )
    }
}

impl Batch {
    /// Does this once the batch is durable, and never otherwise.
    pub(crate) fn afterwards(&self, act: impl FnOnce() + 'static) {
        self.afterwards.borrow_mut().push(Box::new(act));
    }

    pub(crate) fn put(&self, table: Table, row: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let mut table = self
            .transaction
            .open_table(table.definition())
            .map_err(failed)?;
        table.insert(row, value).map_err(failed)?;
        Ok(())
    }

    /// Removes a row; says whether it was there.
    pub(crate) fn remove(&self, table: Table, row: &[u8]) -> Result<bool, StoreError> {
        let mut table = self
            .transaction
            .open_table(table.definition())
            .map_err(failed)?;
        let removed = table.remove(row).map_err(failed)?;
        Ok(removed.is_some())
    }

    /// Removes every row whose id begins so.
    pub(crate) fn remove_all(&self, table: Table, prefix: &[u8]) -> Result<(), StoreError> {
        for (row, _) in self.rows(table, prefix)? {
            self.remove(table, &row)?;
        }
        Ok(())
    }

    /// The id of the last row.
    pub(crate) fn last(&self, table: Table) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self
            .transaction
            .open_table(table.definition())
            .map_err(failed)?;
        let last = table.last().map_err(failed)?;
        Ok(last.map(|(row, _)| row.value().to_vec()))
    }
}

fn rows_in(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
) -> Result<Vec<Row>, StoreError> {
    let mut rows = Vec::new();
    for row in table.range(prefix..).map_err(failed)? {
        let (id, value) = row.map_err(failed)?;
        if !id.value().starts_with(prefix) {
            break;
        }
        rows.push((id.value().to_vec(), value.value().to_vec()));
    }
    Ok(rows)
}

fn get_in(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    row: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(table
        .get(row)
        .map_err(failed)?
        .map(|value| value.value().to_vec()))
}

#[cfg(test)]
impl Rows {
    /// Opens a database on a storage that a test controls.
    pub(crate) fn on(storage: impl redb::StorageBackend) -> Result<Self, DatabaseError> {
        builder().create_with_backend(storage).map(Self::new)
    }

    /// The same with every page checked.
    pub(crate) fn checked(storage: impl redb::StorageBackend) -> Result<Self, DatabaseError> {
        builder()
            .set_check_integrity_on_open(true)
            .create_with_backend(storage)
            .map(Self::new)
    }
}
