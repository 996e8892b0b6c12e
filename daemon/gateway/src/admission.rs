//! A connection's gate: whether requests are admitted, how many are open, and which changes at
//! the provider have no known outcome yet. It must never lose a change between the moment its
//! last byte is handed upstream and the moment its outcome is known.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering, fence},
    },
    time::Duration,
};

use bascule_domain::{
    ids::KeyId,
    names::{BucketName, ObjectKey},
    operation::Action,
};
use tokio::{sync::Notify, time::Instant};

use crate::cells::ConnectionCell;

/// Whether a connection's requests are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// They are.
    Open,
    /// They are refused, reversibly.
    Paused(PausedBy),
    /// They are refused for ever.
    Dead,
}

/// What paused a connection. Only who is refused is told a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PausedBy {
    /// Somebody wanted it so.
    User,
    /// Its key at the provider has leaked.
    Leak,
    /// A scream test: it is deleted if nobody knocks for a while.
    ScreamTest,
    /// It is being deleted.
    Deletion,
    /// The state was restored or rolled back, and nobody has said yet that it is the right one.
    Restore,
}

impl Admission {
    const fn code(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Paused(PausedBy::User) => 1,
            Self::Paused(PausedBy::Leak) => 2,
            Self::Paused(PausedBy::Deletion) => 3,
            Self::Dead => 4,
            Self::Paused(PausedBy::ScreamTest) => 5,
            Self::Paused(PausedBy::Restore) => 6,
        }
    }

    const fn of(code: u8) -> Self {
        match code {
            0 => Self::Open,
            1 => Self::Paused(PausedBy::User),
            2 => Self::Paused(PausedBy::Leak),
            3 => Self::Paused(PausedBy::Deletion),
            5 => Self::Paused(PausedBy::ScreamTest),
            6 => Self::Paused(PausedBy::Restore),
            _ => Self::Dead,
        }
    }
}

/// A change at the provider that may or may not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// In which bucket.
    pub bucket: BucketName,
    /// To which object.
    pub key: Option<ObjectKey>,
    /// What was asked for.
    pub action: Action,
}

/// Broken exchanges older than this have happened at the provider by now, or never will.
const SETTLED_AFTER: Duration = Duration::from_secs(15 * 60);
/// Above this many broken changes, old ones are looked for and dropped.
const MANY_BROKEN: usize = 1024;

pub(crate) struct Gate {
    admission: AtomicU8,
    open: AtomicUsize,
    emptied: Notify,
    ended: Notify,
    next_change: AtomicU64,
    changes: papaya::HashMap<u64, Arc<Change>>,
}

impl Gate {
    pub(crate) fn new(admission: Admission) -> Self {
        Self {
            admission: AtomicU8::new(admission.code()),
            open: AtomicUsize::new(0),
            emptied: Notify::new(),
            ended: Notify::new(),
            next_change: AtomicU64::new(0),
            changes: papaya::HashMap::new(),
        }
    }

    pub(crate) fn admission(&self) -> Admission {
        Admission::of(self.admission.load(Ordering::SeqCst))
    }

    pub(crate) fn set(&self, admission: Admission) {
        self.admission.store(admission.code(), Ordering::SeqCst);
    }

    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Waits until no request is open.
    pub(crate) async fn idle(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Registers a change that is about to be sent.
    pub(crate) fn begin(&self, change: Change) -> Arc<Change> {
        let number = self.next_change.fetch_add(1, Ordering::Relaxed);
        let change = Arc::new(Change { number, ..change });
        let changes = self.changes.pin();
        if changes.len() > MANY_BROKEN {
            changes.retain(|_, change| {
                change.phase() != Phase::Unknown || change.began.elapsed() < SETTLED_AFTER
            });
        }
        changes.insert(number, Arc::clone(&change));
        // With the one in `named`: a hand-over that still finds its permit good is seen by
        // whoever withdraws the permit and then looks for what is in doubt.
        fence(Ordering::SeqCst);
        change
    }

    /// Forgets a change whose outcome is known.
    pub(crate) fn settled(&self, change: &Change) {
        self.changes.pin().remove(&change.number);
    }

    /// An exchange with a change has ended, whatever it came to.
    pub(crate) fn change_ended(&self) {
        self.ended.notify_waiters();
    }

    /// Waits until no change of this key is under way.
    pub(crate) async fn ended(&self, key: KeyId) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            let open = self.changes.pin().values().any(|change| {
                change.holder == key && matches!(change.phase(), Phase::Sending | Phase::Handed)
            });
            if !open {
                return;
            }
            ended.await;
        }
    }

    /// The changes whose outcome is not known now, those being sent included.
    pub(crate) fn under_way(&self) -> Vec<InDoubt> {
        self.named(|change| change.phase() == Phase::Sending || change.doubtful())
    }

    /// The changes of a key that may or may not have happened. What is being sent is not among
    /// them: once the key is dead, it is never handed over.
    pub(crate) fn in_doubt_of(&self, key: KeyId) -> Vec<InDoubt> {
        self.named(|change| change.holder == key && change.doubtful())
    }

    fn named(&self, wanted: impl Fn(&Change) -> bool) -> Vec<InDoubt> {
        fence(Ordering::SeqCst);
        let mut found = Vec::new();
        for change in self.changes.pin().values() {
            if wanted(change) {
                change.name(&mut found);
            }
        }
        found
    }
}

/// How far a change has come. The step from `Sending` is taken once: a cut and the handing over
/// of the last byte exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The provider does not have the whole request.
    Sending,
    /// It has; its outcome is awaited.
    Handed,
    /// It was given up while sending: nothing changed.
    Cut,
    /// The outcome is known.
    Settled,
    /// It broke off after it was handed over.
    Unknown,
}

/// One exchange that may change a bucket.
pub(crate) struct Change {
    number: u64,
    holder: KeyId,
    bucket: BucketName,
    key: Option<ObjectKey>,
    /// For `DeleteObjects`.
    pub(crate) keys: Vec<ObjectKey>,
    action: Action,
    began: Instant,
    phase: AtomicU8,
}

impl Change {
    pub(crate) fn new(
        holder: KeyId,
        bucket: BucketName,
        key: Option<ObjectKey>,
        keys: Vec<ObjectKey>,
        action: Action,
    ) -> Self {
        Self {
            number: 0,
            holder,
            bucket,
            key,
            keys,
            action,
            began: Instant::now(),
            phase: AtomicU8::new(Phase::Sending as u8),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Sending,
            1 => Phase::Handed,
            2 => Phase::Cut,
            3 => Phase::Settled,
            _ => Phase::Unknown,
        }
    }

    /// Takes the one step out of `Sending`. False if another step was taken before.
    pub(crate) fn leave_sending(&self, to: Phase) -> bool {
        let from = Phase::Sending as u8;
        self.phase
            .compare_exchange(from, to as u8, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// Whether it may or may not have happened.
    fn doubtful(&self) -> bool {
        match self.phase() {
            Phase::Handed => true,
            Phase::Unknown => self.began.elapsed() < SETTLED_AFTER,
            Phase::Sending | Phase::Cut | Phase::Settled => false,
        }
    }

    fn name(&self, into: &mut Vec<InDoubt>) {
        let one = |key: Option<ObjectKey>| InDoubt {
            bucket: self.bucket.clone(),
            key,
            action: self.action,
        };
        if self.keys.is_empty() {
            into.push(one(self.key.clone()));
        } else {
            into.extend(self.keys.iter().cloned().map(Some).map(one));
        }
    }
}

/// One open request; counts until dropped.
pub(crate) struct Ticket(Arc<ConnectionCell>);

impl Ticket {
    /// `None` when as many as `limit` are open; 0 is no limit.
    pub(crate) fn take(cell: &Arc<ConnectionCell>, limit: usize) -> Option<Self> {
        let open = &cell.gate.open;
        if limit == 0 {
            open.fetch_add(1, Ordering::SeqCst);
        } else {
            open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |open| {
                (open < limit).then_some(open + 1)
            })
            .ok()?;
        }
        Some(Self(Arc::clone(cell)))
    }

    pub(crate) const fn connection(&self) -> &Arc<ConnectionCell> {
        &self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.gate.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.gate.emptied.notify_waiters();
        }
    }
}
