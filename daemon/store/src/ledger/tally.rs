//! What gathers in memory until the writer takes it. Called on the path of requests: one lock that
//! only the same client connection and the writer take, no I/O but the mark's, and nothing that
//! grows with the number of requests.

use std::{
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
};

use bascule_domain::{
    Timestamp,
    ids::{ConnectionId, KeyId},
    operation::Action,
};

use super::{Client, Process, mark::Mark, writer::Message};

/// Characters of a user agent that are kept.
const LONGEST_AGENT: usize = 200;
pub(super) const HOUR: i64 = 3_600_000;

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// It was passed on, or answered, as this.
    Did(&'static str),
    /// The gateway refused it for this reason.
    Refused(&'static str),
}

impl From<Option<Action>> for What {
    fn from(action: Option<Action>) -> Self {
        Self::Did(action.map_or("unclassified", Action::name))
    }
}

/// What the tallies share with the writer.
pub(super) struct Desk {
    queue: SyncSender<Message>,
    pub(super) mark: Mark,
    /// Since when a former run has not written.
    pub(super) left: Option<i64>,
    lost: Mutex<Option<Lost>>,
}

/// Events that are gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) number: u64,
    /// Tallies that hold the mark until the loss is written down.
    pub(super) held: usize,
}

impl Lost {
    pub(super) fn and(self, other: Option<Self>) -> Self {
        let Some(other) = other else { return self };
        Self {
            from: self.from.min(other.from),
            to: self.to.max(other.to),
            number: self.number + other.number,
            held: self.held + other.held,
        }
    }
}

impl Desk {
    pub(super) fn new(queue: SyncSender<Message>, mark: &Path) -> Self {
        let (mark, left) = Mark::open(mark);
        Self {
            queue,
            mark,
            left,
            lost: Mutex::default(),
        }
    }

    /// What was dropped because too much was waiting.
    pub(super) fn take_lost(&self) -> Option<Lost> {
        self.lost
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn lose(&self, lost: Lost) {
        let mut sum = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = Some(lost.and(*sum));
    }
}

/// The process at the other end of a client connection, as far as it is known.
#[derive(Default)]
pub struct Peer {
    asked: AtomicBool,
    process: OnceLock<Option<Process>>,
}

impl Peer {
    /// Whether somebody is to look for the process now: the first one who asks.
    pub fn ask(&self) -> bool {
        !self.asked.load(Ordering::Relaxed) && !self.asked.swap(true, Ordering::Relaxed)
    }

    /// What was found, or that nothing can be. The first answer counts.
    pub fn found(&self, process: Option<Process>) {
        self.process.set(process).ok();
    }

    /// Whether an answer is still to come.
    fn waits(&self) -> bool {
        self.asked.load(Ordering::Relaxed) && self.process.get().is_none()
    }

    fn process(&self) -> Option<Process> {
        self.process.get().cloned().flatten()
    }
}

/// What one client does with one key over one connection.
pub struct Tally {
    pub(super) key: KeyId,
    pub(super) connection: ConnectionId,
    peer: Arc<Peer>,
    address: IpAddr,
    user_agent: String,
    desk: Arc<Desk>,
    pending: Mutex<Pending>,
}

/// What the writer has not taken yet. Times are milliseconds since the epoch.
#[derive(Debug, Default)]
pub(super) struct Pending {
    queued: bool,
    /// When the first event came, of any kind.
    pub(super) since: i64,
    /// When the last one came.
    until: i64,
    pub(super) used: Option<Used>,
    pub(super) counts: Vec<Count>,
}

/// Uses of a key: requests with a valid signature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) first: i64,
    pub(super) last: i64,
    /// The longest interval in between.
    pub(super) longest: i64,
}

/// Requests of one kind in one hour.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    /// Since the epoch.
    pub(super) hour: i64,
    pub(super) what: What,
    pub(super) number: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// So much passed since the last batch.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Which key.
    pub key: KeyId,
    /// Of which connection.
    pub connection: ConnectionId,
    /// Who.
    pub client: Client,
    /// What: requests, bytes received and sent.
    pub counts: Vec<(What, u64, u64, u64)>,
    /// When the last of it was.
    pub at: Timestamp,
}

impl Tally {
    pub(super) fn new(
        desk: Arc<Desk>,
        key: KeyId,
        connection: ConnectionId,
        peer: Arc<Peer>,
        address: IpAddr,
        user_agent: &[u8],
    ) -> Self {
        let user_agent = String::from_utf8_lossy(user_agent);
        Self {
            key,
            connection,
            peer,
            address,
            user_agent: user_agent.chars().take(LONGEST_AGENT).collect(),
            desk,
            pending: Mutex::default(),
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request with a valid signature has come.
    pub fn used(self: &Arc<Self>, at: Timestamp) {
        let at = at.as_millisecond();
        self.note(at, |pending| {
            pending.used = Some(match pending.used {
                None => Used {
                    first: at,
                    last: at,
                    longest: 0,
                },
                Some(used) => Used {
                    first: used.first,
                    last: used.last.max(at),
                    longest: used.longest.max(at - used.last),
                },
            });
        });
    }

    /// So many requests came to this.
    pub fn count(self: &Arc<Self>, at: Timestamp, what: What) {
        self.add(at, what, 1, 0, 0);
    }

    /// So many bytes were taken from the client, and given to it.
    pub fn moved(self: &Arc<Self>, at: Timestamp, what: What, received: u64, sent: u64) {
        if received > 0 || sent > 0 {
            self.add(at, what, 0, received, sent);
        }
    }

    fn add(self: &Arc<Self>, at: Timestamp, what: What, number: u64, received: u64, sent: u64) {
        let at = at.as_millisecond();
        let hour = at.div_euclid(HOUR);
        self.note(at, |pending| {
            let known = pending
                .counts
                .iter_mut()
                .find(|count| count.hour == hour && count.what == what);
            if let Some(count) = known {
                count.number += number;
                count.received += received;
                count.sent += sent;
                count.last = count.last.max(at);
            } else {
                pending.counts.push(Count {
                    hour,
                    what,
                    number,
                    received,
                    sent,
                    first: at,
                    last: at,
                });
            }
        });
    }

    fn note(self: &Arc<Self>, at: i64, act: impl FnOnce(&mut Pending)) {
        let mut pending = self.pending();
        let fresh = !pending.queued;
        if fresh {
            // Before it is counted: from here on a kill leaves a gap.
            self.desk.mark.hold(at);
            pending.since = at;
            pending.until = at;
            pending.queued = true;
        }
        pending.until = pending.until.max(at);
        act(&mut pending);
        if fresh {
            match self.desk.queue.try_send(Message::Tally(Arc::clone(self))) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    let dropped = std::mem::take(&mut *pending);
                    drop(pending);
                    self.desk.lose(dropped.lost());
                }
                // The mark stays: what happens after the end is not written.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Whether it will soon be known which process this is.
    pub(super) fn waits(&self) -> bool {
        self.peer.waits()
    }

    /// Since when it holds events.
    pub(super) fn since(&self) -> i64 {
        self.pending().since
    }

    /// Takes what has gathered; from here on the tally is as new.
    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending())
    }

    pub(super) fn client(&self) -> Client {
        Client {
            address: self.address,
            user_agent: self.user_agent.clone(),
            process: self.peer.process(),
        }
    }
}

impl Pending {
    pub(super) fn until(&self) -> i64 {
        self.until
    }

    /// The same as a loss.
    pub(super) fn lost(&self) -> Lost {
        let requests: u64 = self.counts.iter().map(|count| count.number).sum();
        Lost {
            from: self.since,
            to: self.until,
            number: requests.max(1),
            held: 1,
        }
    }
}
