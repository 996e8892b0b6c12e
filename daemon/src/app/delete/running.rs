//! The deletions that are remembered: where each stands, who follows it, and how to call it off.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bascule_domain::{
    deletion::{Deletion, Findings, Refusal},
    ids::DeletionId,
    names::BucketName,
    receipt::Receipt,
};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What followers are told.
#[derive(Clone)]
pub(crate) enum Progress {
    /// It reached its phase.
    Reached,
    /// A survey goes on.
    Survey {
        after: bool,
        bucket: BucketName,
        objects: u64,
        bytes: u64,
        rate: f64,
    },
    /// It waits, and goes on by itself.
    Parked(String),
    /// The final receipt.
    Receipt(Box<Receipt>),
}

/// A follower: where the deletion stood, and what comes.
pub(crate) struct Subscription {
    pub deletion: Deletion,
    pub events: broadcast::Receiver<(Deletion, Progress)>,
}

/// A request to call a deletion off.
pub(super) type Cancel = oneshot::Sender<Result<Deletion, Refusal>>;

struct Slot {
    deletion: Deletion,
    findings: Option<Findings>,
    events: broadcast::Sender<(Deletion, Progress)>,
    driver: Option<mpsc::Sender<Cancel>>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Running {
    slots: Mutex<BTreeMap<DeletionId, Slot>>,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Running {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<DeletionId, Slot>> {
        // Only values are stored under the lock; a panic elsewhere leaves them whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remember(&self, deletion: Deletion, findings: Option<Findings>) {
        let slot = Slot {
            findings,
            events: broadcast::Sender::new(256),
            driver: None,
            deletion,
        };
        self.slots().insert(slot.deletion.id, slot);
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
        })
    }

    /// Takes the driver's seat: where it stands, and the requests to call it off.
    pub(super) fn board(
        &self,
        id: DeletionId,
    ) -> Option<(Deletion, Findings, mpsc::Receiver<Cancel>)> {
        let mut slots = self.slots();
        let slot = slots.get_mut(&id)?;
        let (sender, receiver) = mpsc::channel(4);
        slot.driver = Some(sender);
        Some((
            slot.deletion.clone(),
            slot.findings.clone().unwrap_or_default(),
            receiver,
        ))
    }

    /// Stores where it stands now and tells the followers.
    pub(super) fn publish(&self, deletion: &Deletion, findings: &Findings, progress: Progress) {
        if let Some(slot) = self.slots().get_mut(&deletion.id) {
            slot.deletion = deletion.clone();
            // What reveals an erased connection goes from memory too.
            slot.findings = (!deletion.phase.is_over()).then(|| findings.clone());
            // Nobody following is fine.
            slot.events.send((deletion.clone(), progress)).ok();
        }
    }

    /// Asks the driver to call it off. `None` when there is no such deletion.
    pub(crate) async fn cancel(&self, id: DeletionId) -> Option<Result<Deletion, Refusal>> {
        let (phase, driver) = {
            let slots = self.slots();
            let slot = slots.get(&id)?;
            (slot.deletion.phase, slot.driver.clone())
        };
        let (reply, answer) = oneshot::channel();
        if let Some(driver) = driver
            && driver.send(reply).await.is_ok()
            && let Ok(outcome) = answer.await
        {
            return Some(outcome);
        }
        // The driver has left, so the phase is final.
        let phase = self.get(id).map_or(phase, |(deletion, _)| deletion.phase);
        Some(Err(if phase.is_over() {
            Refusal::Over(phase)
        } else {
            Refusal::TooLate
        }))
    }

    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
