//! The tables of the ledger and what changes them. Times are milliseconds since the epoch, hours
//! and days are counted from there. It must never see plain text of what is sealed.

use std::{path::Path, time::Duration};

use bascule_domain::{
    Timestamp,
    ids::{ConnectionId, KeyId},
};
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::{
    Cause, Gap, Interval,
    tally::{Count, HOUR, Lost, Used, What},
};

const APPLICATION: i32 = 0x4253_434c;
/// Of the tables; a later one is refused before anything is opened.
pub(super) const VERSION: i32 = 1;
const DAY: i64 = 24 * HOUR;

const TABLES: &str = "
    CREATE TABLE about (store BLOB NOT NULL, begun INTEGER NOT NULL);
    -- Without an end: goes on.
    CREATE TABLE gaps (
        start INTEGER NOT NULL, stop INTEGER, cause TEXT NOT NULL, lost INTEGER NOT NULL
    );
    -- Every key that was ever used.
    CREATE TABLE keys (
        key BLOB PRIMARY KEY, connection BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL
    ) WITHOUT ROWID;
    -- Uses of a key in an hour, and the longest interval that ended in it.
    CREATE TABLE hours (
        key BLOB NOT NULL, hour INTEGER NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, longest INTEGER NOT NULL,
        PRIMARY KEY (key, hour)
    ) WITHOUT ROWID;
    -- Sealed with the connection's key.
    CREATE TABLE clients (
        id INTEGER PRIMARY KEY, connection BLOB NOT NULL, sealed BLOB NOT NULL, pid INTEGER
    );
    CREATE INDEX clients_of ON clients (connection);
    -- What was done with a key by a client in an hour: served (refused = 0) and refused.
    CREATE TABLE requests (
        key BLOB NOT NULL, hour INTEGER NOT NULL, client INTEGER NOT NULL,
        refused INTEGER NOT NULL, what TEXT NOT NULL, connection BLOB NOT NULL,
        number INTEGER NOT NULL, received INTEGER NOT NULL, sent INTEGER NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (key, hour, client, refused, what)
    ) WITHOUT ROWID;
    CREATE INDEX requests_by_hour ON requests (hour);
";

/// Why the file did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Its content is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// It is something else.
    #[error("it is no ledger of this store: {0}")]
    Foreign(String),
    /// The system or the disk refused; the file may be whole.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    pub(super) fn of(error: &dyn std::error::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            Some(ErrorCode::NotADatabase) => Self::Foreign(error.to_string()),
            Some(_) => Self::Refused(error.to_string()),
            // A value of another type than ours, or a table that is not there.
            None => Self::Damaged(error.to_string()),
        }
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// The open file.
pub(super) struct Book {
    pub(super) file: Connection,
}

/// A client's number. It is the dictionary's, or one of these.
pub(super) type ClientId = i64;
/// Of clients that were too many to be told apart.
pub(super) const OTHER: ClientId = 0;
/// Of clients whose connection is erased.
pub(super) const NOBODY: ClientId = -1;

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Where the head of the file says the version of its tables, and right after it whose they are.
const VERSION_AT: usize = 60;
const HEAD: usize = 72;

/// The version of the ledger that the file begins as, if it begins as one. Nothing is opened as a
/// database for it.
pub(super) fn version(path: &Path) -> std::io::Result<Option<i32>> {
    use std::io::Read;
    let mut head = Vec::with_capacity(HEAD);
    std::fs::File::open(path)?
        .take(HEAD as u64)
        .read_to_end(&mut head)?;
    let is_ledger =
        head.starts_with(b"SQLite format 3\0") && head[16..].ends_with(&APPLICATION.to_be_bytes());
    let version = head.get(VERSION_AT..).and_then(<[u8]>::first_chunk);
    Ok(version
        .filter(|_| is_ledger)
        .map(|version| i32::from_be_bytes(*version)))
}

/// Whether the file begins as a ledger does.
pub(super) fn is_ledger(path: &Path) -> std::io::Result<bool> {
    Ok(version(path)?.is_some())
}

impl Book {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let file = Connection::open_with_flags(path, flags)?;
        // Nobody else has it open: the state folder's lock is held.
        file.busy_timeout(Duration::ZERO)?;
        for (name, value) in [
            ("journal_mode", "WAL"),
            ("synchronous", "FULL"),
            ("secure_delete", "ON"),
            ("temp_store", "MEMORY"),
            ("trusted_schema", "OFF"),
        ] {
            file.pragma_update(None, name, value)?;
        }
        Ok(Self { file })
    }

    /// Makes an empty file a ledger.
    pub(super) fn begin(&mut self, store_id: &[u8], now: Timestamp, cause: Cause) -> Result<()> {
        let transaction = self.file.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.execute(
            "INSERT INTO about (store, begun) VALUES (?1, ?2)",
            params![store_id, now.as_millisecond()],
        )?;
        put_gap(&transaction, 0, now.as_millisecond(), cause, 0)?;
        transaction.commit()?;
        // So that the file itself says what it is.
        self.fold()
    }

    /// Whether it is a ledger of this store, and whole.
    pub(super) fn check(&mut self, store_id: &[u8]) -> Result<()> {
        let version: i32 = self
            .file
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            return Err(Failure::Foreign(format!(
                "it has version {version}, and this program knows {VERSION}"
            )));
        }
        let sound: String = self
            .file
            .pragma_query_value(None, "quick_check", |row| row.get(0))?;
        if sound != "ok" {
            return Err(Failure::Damaged(sound));
        }
        let stored: Option<Vec<u8>> = self
            .file
            .query_row("SELECT store FROM about", [], |row| row.get(0))
            .optional()?;
        if stored.as_deref() != Some(store_id) {
            return Err(Failure::Foreign("it belongs to another store".into()));
        }
        Ok(())
    }

    /// Changes everything or nothing, durably.
    pub(super) fn write<T>(
        &mut self,
        act: impl FnOnce(&Transaction<'_>) -> Result<T>,
    ) -> Result<T> {
        let transaction = self
            .file
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = act(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    pub(super) fn put_gap(&mut self, from: i64, to: i64, cause: Cause) -> Result<()> {
        self.write(|transaction| put_gap(transaction, from, to, cause, 0))
    }

    /// The daemon runs without a ledger from now on.
    pub(super) fn note_disabled(&mut self, now: Timestamp) -> Result<()> {
        self.write(|transaction| {
            let goes_on: bool = transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM gaps WHERE stop IS NULL)",
                [],
                |row| row.get(0),
            )?;
            if !goes_on {
                transaction.execute(
                    "INSERT INTO gaps (start, stop, cause, lost) VALUES (?1, NULL, ?2, 0)",
                    params![now.as_millisecond(), Cause::Disabled.as_str()],
                )?;
            }
            Ok(())
        })
    }

    /// The daemon runs with a ledger again.
    pub(super) fn note_enabled(&mut self, now: Timestamp) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE gaps SET stop = max(start, ?1) WHERE stop IS NULL",
                params![now.as_millisecond()],
            )?;
            Ok(())
        })
    }

    /// Removes what is older than that, and clients that nothing names any more.
    pub(super) fn prune(&mut self, before: Timestamp) -> Result<()> {
        let before = before.as_millisecond();
        let hour = before.div_euclid(HOUR);
        self.write(|transaction| {
            transaction.execute("DELETE FROM requests WHERE hour < ?1", [hour])?;
            transaction.execute("DELETE FROM hours WHERE hour < ?1", [hour])?;
            transaction.execute("DELETE FROM gaps WHERE stop < ?1 AND start > 0", [before])?;
            transaction.execute(
                "DELETE FROM clients WHERE id NOT IN (SELECT client FROM requests)",
                [],
            )?;
            Ok(())
        })
    }

    /// Removes the sealed clients of connections that are not among these.
    pub(super) fn keep_clients_of(&mut self, known: impl Fn(ConnectionId) -> bool) -> Result<()> {
        let connections: Vec<[u8; 10]> = {
            let mut statement = self
                .file
                .prepare("SELECT DISTINCT connection FROM clients")?;
            let rows = statement.query_map([], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for connection in connections {
            if !known(ConnectionId::from_random(connection)) {
                self.erase_clients(ConnectionId::from_random(connection))?;
            }
        }
        Ok(())
    }

    fn erase_clients(&mut self, connection: ConnectionId) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "DELETE FROM clients WHERE connection = ?1",
                [connection.as_bytes()],
            )?;
            Ok(())
        })
    }

    /// Removes everything of a connection, from the log beside the file too.
    pub(super) fn erase(&mut self, connection: ConnectionId) -> Result<()> {
        let id = connection.as_bytes();
        self.write(|transaction| {
            transaction.execute("DELETE FROM clients WHERE connection = ?1", [id])?;
            transaction.execute("DELETE FROM requests WHERE connection = ?1", [id])?;
            transaction.execute(
                "DELETE FROM hours WHERE key IN (SELECT key FROM keys WHERE connection = ?1)",
                [id],
            )?;
            transaction.execute("DELETE FROM keys WHERE connection = ?1", [id])?;
            Ok(())
        })?;
        self.fold()
    }

    /// Brings everything into the file and empties the log beside it.
    pub(super) fn fold(&mut self) -> Result<()> {
        Ok(self
            .file
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
    }

    pub(super) fn last_uses(&self) -> Result<Vec<(KeyId, Timestamp)>> {
        let mut statement = self.file.prepare("SELECT key, last FROM keys")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.map(|row| {
            let (key, last): ([u8; 10], i64) = row?;
            Ok((KeyId::from_random(key), time(last)))
        })
        .collect()
    }

    pub(super) fn begun(&self) -> Result<Timestamp> {
        let begun = self
            .file
            .query_row("SELECT begun FROM about", [], |row| row.get(0))?;
        Ok(time(begun))
    }

    /// Gaps that touch a period, earliest first, cut to it.
    pub(super) fn gaps(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Gap>> {
        let mut statement = self.file.prepare(
            "SELECT max(start, ?1), min(coalesce(stop, ?2), ?2), cause, lost FROM gaps
             WHERE start < ?2 AND coalesce(stop, ?2) > ?1 ORDER BY start",
        )?;
        let period = [from.as_millisecond(), to.as_millisecond()];
        let rows = statement.query_map(period, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        rows.map(|row| {
            let (from, to, cause, lost): (i64, i64, String, i64) = row?;
            Ok(Gap {
                from: time(from),
                to: time(to),
                cause: Cause::parse(&cause),
                lost: lost.unsigned_abs(),
            })
        })
        .collect()
    }

    pub(super) fn interval(&self, key: KeyId, issued_at: Timestamp) -> Result<Interval> {
        let known: Option<(i64, i64)> = self
            .file
            .query_row(
                "SELECT first, last FROM keys WHERE key = ?1",
                [key.as_bytes()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let (longest, uses): (Option<i64>, i64) = self.file.query_row(
            "SELECT max(longest), count(*) FROM hours WHERE key = ?1",
            [key.as_bytes()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let several = known.is_some_and(|(first, last)| last > first) && uses > 0;
        Ok(Interval {
            longest: longest
                .filter(|_| several)
                .map(|longest| Duration::from_millis(longest.unsigned_abs())),
            first_used: known.map(|(first, _)| time(first)),
            last_used: known.map(|(_, last)| time(last)),
            observed_since: self.begun()?.max(issued_at),
            gaps: self.gaps(issued_at, Timestamp::MAX)?,
        })
    }
}

pub(super) fn put_gap(
    transaction: &Transaction<'_>,
    from: i64,
    to: i64,
    cause: Cause,
    lost: u64,
) -> Result<()> {
    transaction.execute(
        "INSERT INTO gaps (start, stop, cause, lost) VALUES (?1, ?2, ?3, ?4)",
        // A gap has a length, or no period would touch it.
        params![from, to.max(from + 1), cause.as_str(), integer(lost)],
    )?;
    Ok(())
}

pub(super) fn put_lost(transaction: &Transaction<'_>, lost: Lost, cause: Cause) -> Result<()> {
    put_gap(transaction, lost.from, lost.to, cause, lost.number)
}

pub(super) fn put_client(
    transaction: &Transaction<'_>,
    id: ClientId,
    connection: ConnectionId,
    sealed: &[u8],
) -> Result<()> {
    transaction.execute(
        "INSERT INTO clients (id, connection, sealed) VALUES (?1, ?2, ?3)",
        params![id, connection.as_bytes(), sealed],
    )?;
    Ok(())
}

pub(super) fn put_pid(transaction: &Transaction<'_>, id: ClientId, pid: u32) -> Result<()> {
    transaction.execute(
        "UPDATE clients SET pid = ?2 WHERE id = ?1",
        params![id, pid],
    )?;
    Ok(())
}

pub(super) fn put_count(
    transaction: &Transaction<'_>,
    key: KeyId,
    connection: ConnectionId,
    client: ClientId,
    count: &Count,
) -> Result<()> {
    let (refused, what) = match count.what {
        What::Did(action) => (false, action),
        What::Refused(reason) => (true, reason),
    };
    transaction.execute(
        "INSERT INTO requests
            (key, hour, client, refused, what, connection, number, received, sent, first, last)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT DO UPDATE SET number = number + excluded.number,
            received = received + excluded.received, sent = sent + excluded.sent,
            first = min(first, excluded.first), last = max(last, excluded.last)",
        params![
            key.as_bytes(),
            count.hour,
            client,
            refused,
            what,
            connection.as_bytes(),
            integer(count.number),
            integer(count.received),
            integer(count.sent),
            count.first,
            count.last
        ],
    )?;
    Ok(())
}

/// Puts uses of a key down, those of one batch in the order of their beginnings.
pub(super) fn put_used(
    transaction: &Transaction<'_>,
    key: KeyId,
    connection: ConnectionId,
    used: Used,
) -> Result<()> {
    let before: Option<i64> = transaction
        .query_row(
            "SELECT last FROM keys WHERE key = ?1",
            [key.as_bytes()],
            |row| row.get(0),
        )
        .optional()?;
    let since = before.map_or(0, |before| (used.first - before).max(0));
    let hour = |at: i64, longest: i64| {
        transaction.execute(
            "INSERT INTO hours (key, hour, first, last, longest) VALUES (?1, ?2, ?3, ?3, ?4)
             ON CONFLICT DO UPDATE SET first = min(first, excluded.first),
                last = max(last, excluded.last), longest = max(longest, excluded.longest)",
            params![key.as_bytes(), at.div_euclid(HOUR), at, longest],
        )
    };
    hour(used.first, since)?;
    hour(used.last, used.longest)?;
    transaction.execute(
        "INSERT INTO keys (key, connection, first, last) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET first = min(first, excluded.first),
            last = max(last, excluded.last)",
        params![key.as_bytes(), connection.as_bytes(), used.first, used.last],
    )?;
    Ok(())
}

/// SQLite's integers have a sign.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The day of a time, for pruning once a day.
pub(super) fn day(at: Timestamp) -> i64 {
    at.as_millisecond().div_euclid(DAY)
}
