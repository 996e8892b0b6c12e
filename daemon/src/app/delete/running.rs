//! The deletions that are remembered: where each stands, who follows it, and how to call it off.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bascule_domain::{
    audit::Asked,
    deletion::{Deletion, Findings, Parked, Phase, Refusal},
    ids::DeletionId,
    names::BucketName,
    receipt::Receipt,
    survey::Round,
};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// What followers are told.
#[derive(Clone)]
pub(crate) enum Progress {
    /// It reached its phase.
    Reached,
    /// A survey goes on.
    Survey(SurveyProgress),
    /// It waits, and goes on by itself.
    Parked(String),
    /// The final receipt.
    Receipt(Box<Receipt>),
}

/// How far the survey of a bucket is.
#[derive(Clone)]
pub(crate) struct SurveyProgress {
    pub round: Round,
    pub bucket: BucketName,
    pub objects: u64,
    pub bytes: u64,
    /// Objects per second.
    pub rate: f64,
    /// How many objects there seem to be.
    pub expected: Option<u64>,
}

/// A follower: where the deletion stood, and what comes.
pub(crate) struct Subscription {
    pub deletion: Deletion,
    pub events: broadcast::Receiver<(Deletion, Progress)>,
    /// Whoever follows wants the manifests before they are erased.
    pub hold: Option<DropGuard>,
}

/// Why nothing came of what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotDone {
    #[error(transparent)]
    Refused(Refusal),
    #[error("that was not done: {0}")]
    Failed(String),
    #[error(
        "nobody works on this deletion now; the daemon is stopping, or a defect stopped the work"
    )]
    NoDriver,
}

/// What may be asked of a deletion that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Call it off.
    Cancel,
    /// Let a stopped countdown begin anew.
    GoOn,
    /// End it without the second survey.
    FinishUnverified,
}

/// What the one who works on a deletion is asked for.
pub(super) struct Request {
    pub wanted: Wanted,
    pub asked: Asked,
    pub reply: oneshot::Sender<Result<Deletion, NotDone>>,
}

struct Slot {
    deletion: Deletion,
    findings: Option<Findings>,
    events: broadcast::Sender<(Deletion, Progress)>,
    driver: Option<mpsc::Sender<Request>>,
    /// Of those who want the manifests before they are erased.
    holds: Vec<Hold>,
}

/// Keeps the manifests from being erased until it is released.
struct Hold {
    released: CancellationToken,
    by: HeldBy,
}

/// Who keeps the manifests from being erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldBy {
    /// Somebody who follows the deletion and has not begun to take them.
    Follower,
    /// Somebody who takes them now.
    Taker,
}

/// Its room is taken at once and kept as long as the deletion is remembered, which is for ever.
fn channel(deletion: &Deletion) -> broadcast::Sender<(Deletion, Progress)> {
    broadcast::Sender::new(if deletion.phase.is_over() { 1 } else { 64 })
}

/// All of them.
#[derive(Default)]
pub(crate) struct Running {
    slots: Mutex<BTreeMap<DeletionId, Slot>>,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
    /// Those who count silence note it before they are stopped.
    hush: CancellationToken,
    listeners: TaskTracker,
}

impl Running {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<DeletionId, Slot>> {
        // Only values are stored under the lock; a panic elsewhere leaves them whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remember(&self, deletion: Deletion, findings: Option<Findings>) {
        let slot = Slot {
            findings,
            events: channel(&deletion),
            driver: None,
            holds: Vec::new(),
            deletion,
        };
        self.slots().insert(slot.deletion.id, slot);
    }

    /// Keeps the deletion from erasing its manifests until what is returned is dropped.
    pub(super) fn hold(&self, id: DeletionId, by: HeldBy) -> Option<DropGuard> {
        let mut slots = self.slots();
        let holds = &mut slots.get_mut(&id)?.holds;
        holds.retain(|hold| !hold.released.is_cancelled());
        let released = CancellationToken::new();
        holds.push(Hold {
            released: released.clone(),
            by,
        });
        Some(released.drop_guard())
    }

    /// The hold of one follower, who takes the manifests now: each follower claims one.
    pub(super) fn claim_hold(&self, id: DeletionId) -> Option<DropGuard> {
        let mut slots = self.slots();
        let mut holds = slots.get_mut(&id)?.holds.iter_mut();
        let hold =
            holds.find(|hold| hold.by == HeldBy::Follower && !hold.released.is_cancelled())?;
        hold.by = HeldBy::Taker;
        Some(hold.released.clone().drop_guard())
    }

    /// Who keeps it from erasing its manifests, the first one; cancelled when that is over.
    pub(super) fn held(&self, id: DeletionId) -> Option<CancellationToken> {
        let slots = self.slots();
        let mut holds = slots.get(&id)?.holds.iter().map(|hold| &hold.released);
        holds.find(|released| !released.is_cancelled()).cloned()
    }

    /// Notes that the daemon was stopped meanwhile. `None` when its findings are gone already.
    pub(super) fn note_restart(&self, id: DeletionId) -> Option<(Deletion, Findings)> {
        let mut slots = self.slots();
        let slot = slots.get_mut(&id)?;
        let findings = slot.findings.as_mut()?;
        slot.deletion.note_restart(findings);
        Some((slot.deletion.clone(), findings.clone()))
    }

    /// All, the latest first.
    pub(crate) fn all(&self) -> Vec<Deletion> {
        let mut all: Vec<_> = self
            .slots()
            .values()
            .map(|slot| slot.deletion.clone())
            .collect();
        all.sort_by_key(|deletion| std::cmp::Reverse(deletion.requested_at));
        all
    }

    pub(crate) fn get(&self, id: DeletionId) -> Option<(Deletion, Option<Findings>)> {
        self.slots()
            .get(&id)
            .map(|slot| (slot.deletion.clone(), slot.findings.clone()))
    }

    pub(crate) fn subscribe(&self, id: DeletionId) -> Option<Subscription> {
        self.slots().get(&id).map(|slot| Subscription {
            deletion: slot.deletion.clone(),
            events: slot.events.subscribe(),
            hold: None,
        })
    }

    /// Takes the driver's seat: where it stands, and the requests to call it off.
    pub(super) fn board(
        &self,
        id: DeletionId,
    ) -> Option<(Deletion, Findings, mpsc::Receiver<Request>)> {
        let mut slots = self.slots();
        let slot = slots.get_mut(&id)?;
        if slot
            .driver
            .as_ref()
            .is_some_and(|driver| !driver.is_closed())
        {
            return None;
        }
        let (sender, receiver) = mpsc::channel(4);
        slot.driver = Some(sender);
        Some((
            slot.deletion.clone(),
            slot.findings.clone().unwrap_or_default(),
            receiver,
        ))
    }

    /// Stores where it stands now; nothing that a follower waits for.
    pub(super) fn keep(&self, deletion: &Deletion) {
        if let Some(slot) = self.slots().get_mut(&deletion.id) {
            slot.deletion = deletion.clone();
        }
    }

    /// Stores where it stands now and tells the followers.
    pub(super) fn publish(&self, deletion: &Deletion, findings: &Findings, progress: Progress) {
        if let Some(slot) = self.slots().get_mut(&deletion.id) {
            slot.deletion = deletion.clone();
            let last = match &progress {
                Progress::Receipt(_) => true,
                Progress::Reached => deletion.phase == Phase::Cancelled,
                Progress::Survey(_) | Progress::Parked(_) => false,
            };
            if let Progress::Parked(reason) = &progress {
                // Also why it waits for our own disk, which the journal can't hold.
                let since = deletion.requested_at;
                let parked = Parked {
                    reason: reason.clone(),
                    since,
                    attempts: 1,
                };
                slot.deletion.parked.get_or_insert(parked);
            }
            // What reveals an erased connection goes from memory too.
            slot.findings = (!deletion.phase.is_over()).then(|| findings.clone());
            // Nobody following is fine.
            slot.events.send((slot.deletion.clone(), progress)).ok();
            if last {
                // Followers still read what was sent; then the channel is closed for them.
                slot.events = channel(&slot.deletion);
                slot.driver = None;
            }
        }
    }

    /// Asks the driver. `None` when there is no such deletion.
    pub(crate) async fn ask(
        &self,
        id: DeletionId,
        wanted: Wanted,
        asked: Asked,
    ) -> Option<Result<Deletion, NotDone>> {
        let driver = {
            let slots = self.slots();
            let slot = slots.get(&id)?;
            // Answered at once: the driver may be busy with a survey for hours.
            if let Some(refusal) = wanted.refusal(slot.deletion.phase) {
                return Some(Err(NotDone::Refused(refusal)));
            }
            slot.driver.clone()
        };
        let (reply, answer) = oneshot::channel();
        let request = Request {
            wanted,
            asked,
            reply,
        };
        if let Some(driver) = driver
            && driver.send(request).await.is_ok()
            && let Ok(outcome) = answer.await
        {
            return Some(outcome);
        }
        Some(Err(NotDone::NoDriver))
    }

    /// Tells when to note what is only in memory; whoever holds the second value is waited for.
    pub(super) fn note_before_stop(&self) -> (CancellationToken, TaskTrackerToken) {
        (self.hush.clone(), self.listeners.token())
    }

    pub(crate) async fn stop(&self) {
        self.hush.cancel();
        self.listeners.close();
        self.listeners.wait().await;
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
