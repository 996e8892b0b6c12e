//! One exchange with a provider, from its permit to the end of both bodies. All halves share it;
//! when the last one lets go, it is counted as ended. It must never say that an outcome is known
//! when it is not.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bascule_domain::{
    access::Permit,
    names::ObjectKey,
    operation::{Action, Target},
};
use bascule_sigv4::ChunkError;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    account::Told,
    additions::Addition,
    admission::{Change, Phase, Ticket},
    cells::KeyCell,
    checksum::ChecksumError,
    expiry::End,
    meter::Meter,
    ports::{Exchange, Outcome, UsageSink},
    throttle::Throttle,
};

/// Why an upload was not handed over whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The body has not the hash that was signed.
    Mismatch,
    /// The aws-chunked body is wrong.
    Chunks(ChunkError),
    /// A trailer states what the body has not.
    Checksum(ChecksumError),
    /// The client stopped sending.
    Incomplete,
    /// The client sends nothing any more, and does not end.
    Stalled,
    /// The permit is void.
    Cut,
}

/// What ends an exchange early, and what it must leave alone.
pub(crate) struct Bounds {
    /// Ends with the key, its time, or with a pause of the connection.
    pub(crate) token: CancellationToken,
    /// For a key that expires.
    pub(crate) end: Option<Arc<End>>,
    /// For a write that must not overwrite.
    pub(crate) addition: Option<Addition>,
}

/// An exchange under way.
pub(crate) struct InFlight {
    key: Arc<KeyCell>,
    permit: Permit,
    bounds: Bounds,
    change: Option<Arc<Change>>,
    usage: Arc<dyn UsageSink>,
    fault: OnceLock<Fault>,
    status: AtomicU16,
    received: AtomicU64,
    sent: AtomicU64,
    complete: AtomicBool,
    /// The client has the whole answer.
    delivered: AtomicBool,
    told: Told,
    /// Dropped last: whoever sees the count fall sees everything else.
    ticket: Ticket,
}

impl InFlight {
    /// Begins an exchange. `objects` are those named in the body of a `DeleteObjects`.
    pub(crate) fn begin(
        ticket: Ticket,
        key: Arc<KeyCell>,
        permit: Permit,
        bounds: Bounds,
        objects: Vec<ObjectKey>,
        usage: Arc<dyn UsageSink>,
        told: Told,
    ) -> Arc<Self> {
        let operation = permit.operation();
        let bucket = operation.target.bucket();
        let change = match bucket {
            Some(bucket) if operation.action.mutates() => {
                let object = match &operation.target {
                    Target::Object { key, .. } => Some(key.clone()),
                    _ => None,
                };
                let change = Change::new(
                    permit.key(),
                    bucket.clone(),
                    object,
                    objects,
                    operation.action,
                );
                Some(ticket.connection().gate.begin(change))
            }
            _ => None,
        };
        key.exchange_began();
        let this = Arc::new(Self {
            key,
            permit,
            bounds,
            change,
            usage,
            fault: OnceLock::new(),
            status: AtomicU16::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            complete: AtomicBool::new(false),
            delivered: AtomicBool::new(false),
            told,
            ticket,
        });
        if this.mutates() {
            this.usage.began(&this.report(Outcome::Running));
        }
        this
    }

    pub(crate) const fn permit(&self) -> &Permit {
        &self.permit
    }

    pub(crate) const fn key(&self) -> &Arc<KeyCell> {
        &self.key
    }

    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.bounds.token
    }

    pub(crate) const fn addition(&self) -> Option<&Addition> {
        self.bounds.addition.as_ref()
    }

    /// Whether the key's time ended meanwhile.
    pub(crate) fn has_expired(&self) -> bool {
        self.bounds.end.as_ref().is_some_and(|end| end.is_over())
    }

    pub(crate) const fn action(&self) -> Action {
        self.permit.operation().action
    }

    pub(crate) const fn mutates(&self) -> bool {
        self.change.is_some()
    }

    /// Whether the permit still holds.
    pub(crate) fn honoured(&self) -> bool {
        !self.has_expired() && self.key.honours(&self.permit)
    }

    /// Asks whether the last byte may go upstream. Once this said yes, a cut no longer aborts the
    /// exchange; once a cut came first, it says no for ever, even if the rights come back.
    ///
    /// The step is taken first and the permit looked at second, while a revocation voids the
    /// permit first and looks for steps second: one of the two always sees the other, so nothing
    /// is handed over that a revocation neither stopped nor reports as in doubt.
    pub(crate) fn hand_over(&self) -> bool {
        let Some(change) = &self.change else {
            return self.holds();
        };
        if !change.leave_sending(Phase::Handed) {
            return false;
        }
        if self.holds() {
            return true;
        }
        change.set(Phase::Cut);
        false
    }

    /// Whether the permit still holds, and did all along.
    fn holds(&self) -> bool {
        self.honoured() && !self.token().is_cancelled()
    }

    /// Gives the exchange up, unless the provider has the whole request already.
    pub(crate) fn give_up(&self) -> bool {
        self.change
            .as_ref()
            .is_none_or(|change| change.leave_sending(Phase::Cut) || change.phase() == Phase::Cut)
    }

    pub(crate) fn fail(&self, fault: Fault) {
        // The first cause is the one that counts.
        let _ = self.fault.set(fault);
        self.give_up();
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.get().copied()
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.meter().received(bytes as u64);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.meter().sent(bytes as u64);
    }

    /// The client's half came to its proper end.
    pub(crate) fn delivered(&self) {
        self.delivered.store(true, Ordering::Relaxed);
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        self.ticket.connection().throttle()
    }

    fn meter(&self) -> &Meter {
        self.ticket.connection().meter()
    }

    /// The provider's head arrived. For most changes that is the outcome.
    pub(crate) fn answered(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
        // These mean that something went wrong inside, perhaps after the change was made.
        let inside = status >= 500 && !matches!(status, 501 | 503);
        // A proxy's, which does not know what became of what it passed on.
        let vague = inside || matches!(status, 408 | 499);
        let in_body = self.late() && status == 200;
        if !vague && !in_body {
            self.settle();
        }
    }

    /// Bytes that came from the client so far.
    pub(crate) fn bytes_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// The provider refused the request for a reason that a second one does not have: nothing
    /// changed there, and everything is asked again before that one is sent.
    pub(crate) fn begin_again(&self) {
        self.status.store(0, Ordering::Relaxed);
        self.complete.store(false, Ordering::Relaxed);
        if let Some(change) = &self.change {
            change.set(Phase::Sending);
        }
    }

    /// Whether the provider does not have the whole request yet.
    pub(crate) fn is_sending(&self) -> bool {
        self.change
            .as_ref()
            .is_some_and(|change| change.phase() == Phase::Sending)
    }

    /// Nothing reached the provider.
    pub(crate) fn not_sent(&self) {
        if let Some(change) = &self.change {
            change.set(Phase::Cut);
        }
    }

    /// The outcome is known.
    pub(crate) fn settle(&self) {
        self.complete.store(true, Ordering::Relaxed);
        if let Some(change) = &self.change {
            change.set(Phase::Settled);
        }
    }

    /// The provider's body ended: after a 200 that is the outcome, whatever it says.
    pub(crate) fn end_of_answer(&self) {
        if self.late() && self.status.load(Ordering::Relaxed) == 200 {
            self.settle();
        }
    }

    /// Whether a 200 may still turn into an error in its body (gateway.md 44).
    pub(crate) const fn late(&self) -> bool {
        matches!(
            self.action(),
            Action::CompleteMultipartUpload
                | Action::CopyObject
                | Action::UploadPartCopy
                | Action::DeleteObjects
                | Action::RenameObject
        )
    }

    /// Whether the outcome of a change is still open.
    pub(crate) fn unsettled(&self) -> bool {
        self.change
            .as_ref()
            .is_some_and(|change| change.phase() == Phase::Handed)
    }

    fn outcome(&self) -> Outcome {
        match self.change.as_ref().map(|change| change.phase()) {
            Some(Phase::Settled) => Outcome::Answered,
            Some(Phase::Handed | Phase::Unknown) => Outcome::Unknown,
            Some(Phase::Sending | Phase::Cut) => Outcome::Aborted,
            None if self.complete.load(Ordering::Relaxed) => Outcome::Answered,
            None => Outcome::Aborted,
        }
    }

    fn report(&self, outcome: Outcome) -> Exchange<'_> {
        let operation = self.permit.operation();
        let status = self.status.load(Ordering::Relaxed);
        Exchange {
            key: self.permit.key(),
            connection: self.permit.connection(),
            action: operation.action,
            bucket: operation.target.bucket(),
            object: match &operation.target {
                Target::Object { key, .. } => Some(key),
                _ => None,
            },
            objects: self.change.as_ref().map_or(&[], |change| &change.keys),
            status: (status != 0).then_some(status),
            bytes_in: self.received.load(Ordering::Relaxed),
            bytes_out: self.sent.load(Ordering::Relaxed),
            outcome,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.key.exchange_ended();
        let outcome = self.outcome();
        if let Some(change) = &self.change {
            match outcome {
                Outcome::Unknown | Outcome::Running => change.set(Phase::Unknown),
                Outcome::Answered | Outcome::Aborted => {
                    self.ticket.connection().gate.settled(change);
                }
            }
            self.ticket.connection().gate.change_ended();
        }
        if outcome == Outcome::Unknown {
            let objects = self.change.as_ref().map_or(0, |change| change.keys.len());
            self.meter().in_doubt(objects.max(1) as u64);
        }
        if self.token().is_cancelled() && !self.delivered.load(Ordering::Relaxed) {
            self.meter().cut();
        }
        let report = self.report(outcome);
        self.told
            .moved(report.action, report.bytes_in, report.bytes_out);
        self.usage.ended(&report);
    }
}

/// Where a client connection keeps what may cut it. One exchange at a time uses it: HTTP/1.1.
#[derive(Default)]
pub(crate) struct Slot(Mutex<Option<Tie>>);

struct Tie {
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The answer is complete here; what the client has not taken of it may still be stopped.
    answered: bool,
}

impl Slot {
    fn tie_of(&self) -> MutexGuard<'_, Option<Tie>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ties the connection to a token, until the guard is dropped.
    pub(crate) fn tie(self: &Arc<Self>, token: &CancellationToken) -> Tied {
        *self.tie_of() = Some(Tie {
            cut: Box::pin(token.clone().cancelled_owned()),
            answered: false,
        });
        Tied(Some(Arc::clone(self)))
    }

    /// Ready when the connection must be cut: its exchange was, or what is left of the last
    /// answer must not be delivered any more. An idle connection is not cut.
    pub(crate) fn poll_cut(
        &self,
        cx: &mut Context<'_>,
        delivered: impl FnOnce() -> bool,
    ) -> Poll<()> {
        let mut slot = self.tie_of();
        let Some(tie) = &mut *slot else {
            return Poll::Pending;
        };
        ready!(tie.cut.as_mut().poll(cx));
        if tie.answered && delivered() {
            *slot = None;
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Keeps a connection tied.
pub(crate) struct Tied(Option<Arc<Slot>>);

impl Tied {
    /// The answer is complete: the connection stays tied for as long as it is not delivered.
    pub(crate) fn answered(mut self) {
        if let Some(slot) = self.0.take()
            && let Some(tie) = &mut *slot.tie_of()
        {
            tie.answered = true;
        }
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        if let Some(slot) = &self.0 {
            slot.tie_of().take();
        }
    }
}
