//! The ledger: who used which key, when, from where and with what. A file of its own beside the
//! store, written by a thread of its own.
//!
//! Losing it never affects access: nothing here is asked when a request is decided, calls that
//! requests make never wait for the file, and whatever is wrong with the file is answered by
//! beginning a new one. What it does not know it says: every loss is a [`Gap`]. It must never hold
//! in plain text what names a bucket, an endpoint, a command line or a machine: that is sealed with
//! the connection's key and dies with it.
//!
//! While a key is used, a [`Tally`] gathers in memory; the writer takes what has gathered about a
//! second after the first event, and sleeps when nothing happens.

mod book;
mod file;
mod mark;
mod names;
mod report;
mod tally;
mod writer;

use std::{
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, SyncSender},
    },
    thread::JoinHandle,
    time::Duration,
};

use bascule_domain::{
    Timestamp,
    ids::{ConnectionId, KeyId},
};
use serde::{Deserialize, Serialize};

use crate::{layout::Layout, store::Store};
use tally::Desk;
use writer::Message;

pub(crate) use file::refuse_newer;
pub use report::{Activity, By, Group, Query, Report, Row};
pub use tally::{Passed, Peer, Tally, What};

/// How the ledger is kept.
#[derive(Clone)]
pub struct LedgerSettings {
    /// How long rows are kept.
    pub keep: Duration,
    /// How long after the first event of a batch it is written.
    pub delay: Duration,
    /// How many tallies may wait to be written; beyond it events are dropped and counted.
    pub queue: usize,
    /// The clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Is told what is written, a batch at a time, on the writer's thread.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Watches what passes.
pub trait Observer: Send + Sync {
    /// Whether anybody looks; asked before anything is put together.
    fn wanted(&self) -> bool;
    /// So much passed since the last batch.
    fn passed(&self, passed: Passed);
}

/// The process behind a client, as the system told it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Its id when it was last seen; another run has another one, so it tells no clients apart.
    #[serde(skip)]
    pub pid: u32,
    /// Its program.
    pub exe: Option<String>,
    /// Its command line, secrets masked.
    pub command: Option<String>,
    /// The systemd unit that it runs in.
    pub unit: Option<String>,
    /// The container that it runs in.
    pub container: Option<String>,
}

/// A client as far as it is known. Sealed wherever it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Client {
    /// The socket's peer, or what a trusted proxy says instead.
    pub address: IpAddr,
    /// As it calls itself.
    pub user_agent: String,
    /// Which process, where that can be seen.
    pub process: Option<Process>,
}

/// Why a period is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// There was no ledger before.
    NotBegun,
    /// The former file was damaged, and moved aside.
    Damaged,
    /// What stood in its place was no ledger of this store, and was moved aside.
    Foreign,
    /// The file was gone while the daemon ran.
    Missing,
    /// The daemon was killed with events that were not written yet.
    Killed,
    /// More came than could be kept.
    Overflow,
    /// The file could not be written.
    Failed,
    /// The ledger was switched off.
    Disabled,
}

impl Cause {
    const ALL: [Self; 8] = [
        Self::NotBegun,
        Self::Damaged,
        Self::Foreign,
        Self::Missing,
        Self::Killed,
        Self::Overflow,
        Self::Failed,
        Self::Disabled,
    ];

    /// One word, as it is stored and shown to programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotBegun => "not-begun",
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
            Self::Missing => "missing",
            Self::Killed => "killed",
            Self::Overflow => "overflow",
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }

    fn parse(text: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|cause| cause.as_str() == text)
            // Of a version that knows more; that something is not known is what counts.
            .unwrap_or(Self::Failed)
    }
}

/// A period in which uses may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// From when on; the epoch where nothing before is known.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// Why.
    pub cause: Cause,
    /// How many events are known to be lost.
    pub lost: u64,
}

/// What is known of the intervals between the uses of a key. A use is a request with a valid
/// signature, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// The longest interval between two uses that follow one another, exact to the delay of the
    /// writer (about a second); `None` while the key was used less than twice. Where there are
    /// gaps it can only be too long: uses are missing, and none was made up. The interval since
    /// the last use is not part of it.
    pub longest: Option<Duration>,
    /// The first use.
    pub first_used: Option<Timestamp>,
    /// The last use.
    pub last_used: Option<Timestamp>,
    /// Since when uses were written down; for a key that is younger, since it was issued.
    pub observed_since: Timestamp,
    /// What is not known since then.
    pub gaps: Vec<Gap>,
}

/// Why the ledger does not answer. Access does not depend on it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It is closed.
    #[error("the usage ledger is closed")]
    Closed,
    /// The file can't be read or written.
    #[error("the usage ledger can't be used: {0}")]
    Failed(String),
}

/// The open ledger.
pub struct Ledger {
    desk: Arc<Desk>,
    queue: SyncSender<Message>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

impl Ledger {
    /// Starts the writer, which opens the file beside the store; what is wrong with the file never
    /// keeps anybody waiting. Fails only if the system gives no thread.
    pub fn open(store: Arc<Store>, settings: LedgerSettings) -> std::io::Result<Self> {
        let (queue, messages) = mpsc::sync_channel(settings.queue);
        let desk = Arc::new(Desk::new(queue.clone(), &store.layout.ledger_mark()));
        let writer = {
            let desk = Arc::clone(&desk);
            std::thread::Builder::new()
                .name("ledger".into())
                .spawn(move || writer::run(store, settings, &desk, &messages))?
        };
        Ok(Self {
            desk,
            queue,
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Notes that the daemon runs without a ledger, in the file if there is one, so that the period
    /// is told from one without use. Blocking.
    pub fn note_disabled(state_dir: &Path, now: Timestamp) {
        file::note_disabled(&Layout::new(state_dir), now);
    }

    /// Begins to count what one client does with one key. Does no I/O.
    #[must_use]
    pub fn tally(
        &self,
        key: KeyId,
        connection: ConnectionId,
        peer: Arc<Peer>,
        address: IpAddr,
        user_agent: &[u8],
    ) -> Arc<Tally> {
        Arc::new(Tally::new(
            Arc::clone(&self.desk),
            key,
            connection,
            peer,
            address,
            user_agent,
        ))
    }

    /// What was used how, everything that has happened so far included. Blocking.
    pub fn report(&self, query: Query) -> Result<Report, LedgerError> {
        self.ask(move |book, names| report::report(book, names, &query))
    }

    /// The intervals between the uses of a key, everything that has happened so far included.
    /// Blocking.
    pub fn longest_interval(
        &self,
        key: KeyId,
        issued_at: Timestamp,
    ) -> Result<Interval, LedgerError> {
        self.ask(move |book, _| book.interval(key, issued_at))
    }

    /// When each key was last used. Blocking.
    pub fn last_uses(&self) -> Result<Vec<(KeyId, Timestamp)>, LedgerError> {
        self.ask(|book, _| book.last_uses())
    }

    /// Returns once the writer has answered. A refusal is an answer, too. Blocking.
    pub fn await_writer(&self) -> Result<(), LedgerError> {
        self.ask(|_, _| Ok(()))
    }

    /// Removes what is known of the uses of a connection's keys. Its sealed fields are unreadable
    /// already once its key is destroyed. Blocking.
    pub fn erase(&self, connection: ConnectionId) -> Result<(), LedgerError> {
        self.ask(move |book, names| {
            names.forget(connection);
            book.erase(connection)
        })
    }

    /// Writes what has gathered and closes the file. Blocking. What happens afterwards is a gap.
    pub fn close(&self) {
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // It ends by itself when it is gone already.
            let _ = self.queue.send(Message::Close);
            let _ = writer.join();
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut book::Book, &mut names::Names) -> Result<T, book::Failure>
        + Send
        + 'static,
    ) -> Result<T, LedgerError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let question = Box::new(move |open: Result<writer::Open<'_>, String>| {
            let result = match open {
                Ok((book, names)) => question(book, names),
                Err(why) => Err(book::Failure::Refused(why)),
            };
            let damaged = result
                .as_ref()
                .is_err_and(|failure| matches!(failure, book::Failure::Damaged(_)));
            // Whoever asked may have left.
            let _ = answer.send(result.map_err(|failure| failure.to_string()));
            damaged
        });
        self.queue
            .send(Message::Ask(question))
            .map_err(|_| LedgerError::Closed)?;
        answered
            .recv()
            .map_err(|_| LedgerError::Closed)?
            .map_err(LedgerError::Failed)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.close();
    }
}
