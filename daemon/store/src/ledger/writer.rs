//! The writer: one thread that takes what has gathered, a while after the first event, and puts it
//! down in one transaction. It sleeps until there is something to do. Whatever becomes of a batch,
//! it is written or it is a gap.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use bascule_domain::Timestamp;
use rusqlite::Transaction;

use super::{
    Cause, Client, LedgerSettings, Passed,
    book::{self, Book, Failure},
    file::{self, Opened},
    names::Names,
    tally::{Desk, Lost, Pending, Tally},
};
use crate::store::Store;

/// How long a batch waits for the name of a process.
const LONGEST_LOOK: i64 = 5_000;
/// How long an answer waits for it.
const LONGEST_ANSWER: Duration = Duration::from_secs(1);
/// A batch is written far sooner than this, so a killed daemon has lost nothing that is younger
/// than its mark by more.
const LONGEST_BATCH: i64 = 60_000;

/// The open file and what is known of its clients.
pub(super) type Open<'a> = (&'a mut Book, &'a mut Names);

/// Answers itself, and says whether the file turned out to be damaged.
pub(super) type Question = Box<dyn FnOnce(Result<Open<'_>, String>) -> bool + Send>;

/// What the writer is told.
pub(super) enum Message {
    /// There is something to take.
    Tally(Arc<Tally>),
    /// A question, answered after everything before it is written.
    Ask(Question),
    /// Write everything and end.
    Close,
}

/// Runs until it is told to end.
pub(super) fn run(
    store: Arc<Store>,
    settings: LedgerSettings,
    desk: &Desk,
    messages: &Receiver<Message>,
) {
    let mut writer = Writer {
        names: Names::new(Arc::clone(&store)),
        left: desk.left,
        store,
        settings,
        desk,
        opened: None,
        lost: None,
        failed: None,
        well: true,
        pruned: 0,
        waiting: Vec::new(),
    };
    // Errors are logged, and met again by the first batch.
    writer.ensure_open(None).ok();
    let mut due: Option<Instant> = None;
    loop {
        let message = match due {
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match message {
            Ok(Message::Tally(tally)) => {
                writer.waiting.push(tally);
                if due.is_none() {
                    desk.mark.sync();
                    due = Some(Instant::now() + writer.settings.delay);
                }
                if writer.waiting.len() < writer.settings.queue {
                    continue;
                }
                writer.flush(true);
            }
            Ok(Message::Ask(question)) => {
                writer.wait_for_looks();
                writer.flush(false);
                writer.answer(question);
            }
            Err(RecvTimeoutError::Timeout) => writer.flush(false),
            Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => {
                writer.flush(true);
                writer.close();
                return;
            }
        }
        due = (!writer.waiting.is_empty()).then(|| Instant::now() + writer.settings.delay);
    }
}

struct Writer<'a> {
    store: Arc<Store>,
    settings: LedgerSettings,
    desk: &'a Desk,
    opened: Option<Opened>,
    names: Names,
    /// Since when the run before this one has not written, until that is noted.
    left: Option<i64>,
    /// Dropped, and not noted yet.
    lost: Option<Lost>,
    /// Not written, and not noted yet.
    failed: Option<Lost>,
    /// Whether the last attempt succeeded; failures are logged once.
    well: bool,
    /// The day of the last pruning.
    pruned: i64,
    waiting: Vec<Arc<Tally>>,
}

impl Writer<'_> {
    fn now(&self) -> Timestamp {
        (self.settings.now)()
    }

    /// Opens the file, and notes in it what the past has left. `lost` is why it is not open any
    /// more.
    fn ensure_open(&mut self, lost: Option<Cause>) -> Result<(), Failure> {
        if self.opened.is_none() {
            let opened = self.open(lost);
            self.tell(opened.as_ref().err());
            self.opened = Some(opened?);
        }
        Ok(())
    }

    fn open(&mut self, lost: Option<Cause>) -> Result<Opened, Failure> {
        let now = self.now();
        self.names.clear();
        let mut opened = file::open(&self.store.layout, &self.store.root.store_id, now, lost)?;
        let book = &mut opened.book;
        book.note_enabled(now)?;
        if let Some(since) = self.left {
            let until = now
                .as_millisecond()
                .min(since.saturating_add(LONGEST_BATCH));
            book.put_gap(since, until, Cause::Killed)?;
            self.left = None;
            self.desk.mark.settle();
        }
        self.desk.mark.settle();
        let store = &self.store;
        book.keep_clients_of(|connection| store.sealer(connection).is_ok())?;
        self.prune(&mut opened.book, now)?;
        self.pruned = book::day(now);
        Ok(opened)
    }

    fn prune(&self, book: &mut Book, now: Timestamp) -> Result<(), Failure> {
        let keep = jiff_duration(self.settings.keep);
        let before = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
        book.prune(before)
    }

    fn answer(&mut self, question: Question) {
        let lost = self.look_after_file();
        let open = self
            .ensure_open(lost)
            .map_err(|failure| failure.to_string());
        let open = open.and_then(|()| match &mut self.opened {
            Some(opened) => Ok((&mut opened.book, &mut self.names)),
            None => Err("it is not open".to_owned()),
        });
        if question(open) {
            self.set_aside();
        }
    }

    /// Begins anew in place of a file that is damaged where opening it does not show that.
    fn set_aside(&mut self) {
        self.opened = None;
        if file::move_aside(&self.store.layout).is_ok() {
            // Met again, and logged, by the next batch.
            self.ensure_open(Some(Cause::Damaged)).ok();
        }
    }

    /// Lets go of a file that is not at its place any more.
    fn look_after_file(&mut self) -> Option<Cause> {
        let gone = self
            .opened
            .as_ref()
            .is_some_and(|opened| !opened.is_in_place());
        if gone {
            self.opened = None;
            tracing::warn!(
                "the usage ledger's file is gone; a new one is begun, and what it knew is shown as unknown"
            );
        }
        gone.then_some(Cause::Missing)
    }

    /// Gives those who look for processes a moment, so that an answer has what just happened.
    fn wait_for_looks(&self) {
        let until = Instant::now() + LONGEST_ANSWER;
        while self.waiting.iter().any(|tally| tally.waits()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes what has gathered. Without `all`, what waits for the name of a process stays a while.
    fn flush(&mut self, all: bool) {
        let now = self.now().as_millisecond();
        let (later, ready): (Vec<_>, Vec<_>) = self
            .waiting
            .drain(..)
            .partition(|tally| !all && tally.waits() && now - tally.since() < LONGEST_LOOK);
        self.waiting = later;
        let taken: Vec<Taken> = ready.into_iter().map(Taken::of).collect();
        if let Some(lost) = self.desk.take_lost() {
            self.lost = Some(lost.and(self.lost));
        }
        if taken.is_empty() && self.lost.is_none() && self.failed.is_none() {
            return;
        }
        self.tell_observer(&taken);
        let mut written = self.write(&taken);
        if let Err(failure @ (Failure::Damaged(_) | Failure::Foreign(_))) = &written {
            tracing::warn!(%failure, "the usage ledger is damaged; it is moved aside and a new one begun, and what it knew is shown as unknown");
            self.set_aside();
            written = self.write(&taken);
        }
        self.tell(written.as_ref().err());
        let held = |lost: Option<Lost>| lost.map_or(0, |lost| lost.held);
        if written.is_ok() {
            let durable = taken.len() + held(self.lost.take()) + held(self.failed.take());
            let since = self.waiting.iter().map(|tally| tally.since()).min();
            let since = since.map_or(now, |since| since.min(now));
            self.desk.mark.release(durable, since);
        } else {
            for taken in &taken {
                self.failed = Some(taken.pending.lost().and(self.failed));
            }
        }
    }

    fn write(&mut self, taken: &[Taken]) -> Result<(), Failure> {
        let lost = self.look_after_file();
        self.ensure_open(lost)?;
        let Some(mut opened) = self.opened.take() else {
            return Err(Failure::Refused("it is not open".to_owned()));
        };
        let now = self.now();
        if book::day(now) != self.pruned {
            self.prune(&mut opened.book, now)?;
            self.names.clear();
            self.pruned = book::day(now);
        }
        let (names, overflow, failed) = (&mut self.names, self.lost, self.failed);
        let written = opened.book.write(|transaction| {
            for (lost, cause) in [(overflow, Cause::Overflow), (failed, Cause::Failed)] {
                if let Some(lost) = lost {
                    book::put_lost(transaction, lost, cause)?;
                }
            }
            put(transaction, names, taken)
        });
        match written {
            Ok(()) => self.opened = Some(opened),
            // What is remembered of clients may not be in the file. It is opened anew.
            Err(_) => self.names.clear(),
        }
        written
    }

    fn tell(&mut self, failure: Option<&Failure>) {
        match failure {
            Some(failure) if self.well => tracing::warn!(
                %failure,
                "the usage ledger could not be written; requests are not affected, and what is missing is shown as unknown"
            ),
            None if !self.well => tracing::info!("the usage ledger is written again"),
            _ => {}
        }
        self.well = failure.is_none();
    }

    fn tell_observer(&self, taken: &[Taken]) {
        let Some(observer) = &self.settings.observer else {
            return;
        };
        if !observer.wanted() {
            return;
        }
        for taken in taken {
            let counts = taken.pending.counts.iter();
            let passed = Passed {
                key: taken.tally.key,
                connection: taken.tally.connection,
                client: taken.client.clone(),
                counts: counts
                    .map(|count| (count.what, count.number, count.received, count.sent))
                    .collect(),
                at: Timestamp::from_millisecond(taken.pending.until())
                    .unwrap_or(Timestamp::UNIX_EPOCH),
            };
            if !passed.counts.is_empty() {
                observer.passed(passed);
            }
        }
    }

    fn close(&mut self) {
        if let Some(opened) = &mut self.opened {
            // It is folded at the next opening otherwise.
            opened.book.fold().ok();
        }
        self.opened = None;
    }
}

fn jiff_duration(duration: Duration) -> bascule_domain::SignedDuration {
    bascule_domain::SignedDuration::try_from(duration)
        .unwrap_or(bascule_domain::SignedDuration::MAX)
}

/// A tally's events, taken out of it.
struct Taken {
    tally: Arc<Tally>,
    client: Client,
    pending: Pending,
}

impl Taken {
    fn of(tally: Arc<Tally>) -> Self {
        Self {
            client: tally.client(),
            pending: tally.take(),
            tally,
        }
    }
}

fn put(transaction: &Transaction<'_>, names: &mut Names, taken: &[Taken]) -> Result<(), Failure> {
    for Taken {
        tally,
        client,
        pending,
    } in taken
    {
        for count in &pending.counts {
            let id = names.id(transaction, tally.key, tally.connection, count.hour, client)?;
            book::put_count(transaction, tally.key, tally.connection, id, count)?;
        }
    }
    let mut used: Vec<_> = taken
        .iter()
        .filter_map(|taken| Some((taken, taken.pending.used?)))
        .collect();
    used.sort_by_key(|(_, used)| used.first);
    for (Taken { tally, .. }, used) in used {
        book::put_used(transaction, tally.key, tally.connection, used)?;
    }
    Ok(())
}
