//! Performs the effects of a deletion, one after the other, and journals what came of each. Every
//! effect may be performed again after a crash. A provider that is away parks the deletion; it is
//! tried again by itself.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bascule_domain::{
    audit::Asked,
    deletion::{Deletion, Effect, Event, Findings, Phase, Refusal, ScreamKnock},
    ids::DeletionId,
    plan::CheckBox,
    tombstone::{CauseOfDeath, Tombstone},
    verdict::OwnChange,
};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{
    listen::Listening,
    manifests::LONGEST_HOLD,
    running::{Progress, Request, Wanted},
    survey::{self, Failure},
};
use crate::{
    app::{
        App,
        error::{Error, Kind},
        pause::paused_by,
        registry::{Entry, Keys},
    },
    crash::{self, Side},
};

/// The wait after the first failure; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Starts working on a deletion; for a scream test maybe with whoever listens already.
pub(super) fn spawn(app: Arc<App>, id: DeletionId, listening: Option<Listening>) {
    let Some((deletion, findings, requests)) = app.deletions.board(id) else {
        return;
    };
    let tracker = app.deletions.tracker.clone();
    let stop = app.deletions.stop.clone();
    let mut driver = Driver {
        app,
        deletion,
        findings,
        requests,
        listening,
        knock: None,
        failures: 0,
        asked: None,
        revoking: false,
    };
    let span =
        tracing::info_span!("deletion", deletion = %id, connection = %driver.deletion.connection);
    let work = async move {
        let worked = AssertUnwindSafe(driver.drive()).catch_unwind();
        // Dropping the work at a stop is like a crash, and as harmless.
        if let Some(Err(_)) = stop.run_until_cancelled(Box::pin(worked)).await {
            tracing::error!(
                "a defect stopped the work on a deletion; it goes on when the daemon is restarted"
            );
            driver.publish(Progress::Parked(
                "a defect stopped the work; restart the daemon".into(),
            ));
        }
    };
    tracker.spawn(work.instrument(span));
}

pub(super) struct Driver {
    pub(super) app: Arc<App>,
    pub(super) deletion: Deletion,
    pub(super) findings: Findings,
    pub(super) requests: mpsc::Receiver<Request>,
    /// Whoever listens for knocks, between two tries.
    pub(super) listening: Option<Listening>,
    /// A knock that is not stored yet.
    pub(super) knock: Option<ScreamKnock>,
    /// Failures in a row, for the wait before the next try.
    failures: u32,
    /// Who asked for the step that is being taken.
    pub(super) asked: Option<Asked>,
    /// Set once the keys were taken from the gateway: from then on there is no way back, whatever
    /// becomes of the transaction.
    pub(super) revoking: bool,
}

impl Driver {
    async fn drive(&mut self) {
        while let Some(effect) = self.deletion.next() {
            let outcome = self.perform_unless_cancelled(effect).await;
            match outcome {
                Ok(()) => self.failures = 0,
                Err(reason) => self.park(reason).await,
            }
        }
        self.refuse_what_came_too_late();
    }

    /// Performs the effect that is due. `Err` says why it has to be tried again later.
    async fn perform_unless_cancelled(
        &mut self,
        effect: Effect,
    ) -> std::result::Result<(), String> {
        match effect {
            Effect::Listen => return self.listen().await,
            Effect::SurveyAfter => return self.survey_again().await,
            Effect::Drain | Effect::SurveyBefore => {}
            Effect::Revoke => {
                let performed = self.revoke().await;
                self.refuse_what_came_too_late();
                return performed;
            }
            Effect::Erase => {
                let performed = self.erase().await;
                self.refuse_what_came_too_late();
                return performed;
            }
        }
        let app = self.app.clone();
        let (deletion, findings) = (self.deletion.clone(), self.findings.clone());
        let event = {
            let work = async {
                match effect {
                    Effect::Drain => Ok(drain(&app, &deletion).await),
                    _ => survey_before(&app, &deletion, &findings).await,
                }
            };
            tokio::select! {
                biased;
                Some(request) = self.requests.recv() => {
                    return self.answer(request).await;
                }
                event = work => event?,
            }
        };
        self.take(event).await
    }

    /// The second survey, unless the user does not want to wait for it. It can't be called off.
    async fn survey_again(&mut self) -> std::result::Result<(), String> {
        let (app, deletion) = (self.app.clone(), self.deletion.clone());
        let mut findings = self.findings.clone();
        let given_up = {
            let mut work = std::pin::pin!(survey_after(&app, &deletion, &mut findings));
            loop {
                tokio::select! {
                    biased;
                    Some(request) = self.requests.recv() => match request.wanted {
                        Wanted::FinishUnverified => break Err(request),
                        Wanted::Cancel | Wanted::GoOn => request.refuse(Refusal::TooLate),
                    },
                    event = &mut work => break Ok(event),
                }
            }
        };
        match given_up {
            Ok(event) => {
                self.findings = findings;
                self.take(event).await
            }
            Err(request) => self.answer(request).await,
        }
    }

    /// Applies an event and journals where that leads.
    pub(super) async fn take(&mut self, event: Event) -> std::result::Result<(), String> {
        let asked = self.asked.take();
        let (mut deletion, mut findings) = (self.deletion.clone(), self.findings.clone());
        deletion
            .apply(&mut findings, event, self.app.clock.now())
            .map_err(|refusal| refusal.to_string())?;
        let advanced = deletion.phase != self.deletion.phase;
        let written = match deletion.phase {
            _ if !advanced => self.app.note(&deletion, &findings).await,
            Phase::Judged => match self.app.registry.get(deletion.connection) {
                Some(entry) => {
                    let receipt = self.app.draft_receipt(&deletion, &findings, &entry);
                    self.app
                        .journal_verdict(&deletion, &findings, receipt, asked)
                        .await
                }
                None => Err(Error::new(
                    Kind::Storage,
                    "the connection's record is missing",
                )),
            },
            Phase::Cancelled => self.app.journal_cancellation(&deletion, asked).await,
            _ => self.app.journal(&deletion, &findings, asked).await,
        };
        written.map_err(|error| error.message)?;
        (self.deletion, self.findings) = (deletion, findings);
        if self.deletion.phase == Phase::Cancelled {
            self.resume_keys();
        }
        if advanced {
            tracing::info!(phase = self.deletion.phase.as_str(), "deletion went on");
            self.publish(Progress::Reached);
            return Ok(());
        }
        // Only a failed second survey leaves a deletion where it is.
        Err(self
            .deletion
            .parked
            .as_ref()
            .map_or_else(String::new, |parked| parked.reason.clone()))
    }

    /// The one durable transaction.
    async fn revoke(&mut self) -> std::result::Result<(), String> {
        let app = self.app.clone();
        let _changing = app.one_change_at_a_time().await;
        let Some(entry) = app.registry.get(self.deletion.connection) else {
            return Err("the connection's record is missing".into());
        };
        let (mut deletion, mut findings) = (self.deletion.clone(), self.findings.clone());
        let now = app.clock.now();
        deletion
            .apply(&mut findings, Event::Revoked, now)
            .map_err(|refusal| refusal.to_string())?;
        let keys = app.registry.keys_of(self.deletion.connection);
        let dead: Vec<_> = keys
            .into_iter()
            .map(|key| {
                let tombstone = Tombstone {
                    key: key.id,
                    masked: key.access_key_id.masked(),
                    label: key.label.clone(),
                    connection: key.connection,
                    connection_name: entry.connection.name.clone(),
                    died_at: now,
                    cause: CauseOfDeath::ConnectionDeleted {
                        deletion: deletion.id,
                    },
                };
                (key, tombstone)
            })
            .collect();
        self.revoking = true;
        // Dead in memory first: if the commit's outcome is unknown, the gateway stays closed.
        for (key, tombstone) in &dead {
            app.graves.add(&key.access_key_id, tombstone.clone());
            app.keyring.remove_key(&key.access_key_id);
        }
        crash::point(Side::Before, deletion.phase);
        let audit = app.audit_step(None, &deletion);
        let written = {
            let (deletion, findings) = (deletion.clone(), findings.clone());
            app.stored(move |store| store.revoke_connection(&deletion, &findings, &dead, &audit))
                .await
        };
        written.map_err(|error| error.message)?;
        crash::point(Side::After, deletion.phase);
        app.registry
            .update_with_keys(deletion.connection, |entry, keys| {
                entry.severed = true;
                *keys = Keys::default();
                entry.rotations.clear();
            });
        (self.deletion, self.findings) = (deletion, findings);
        tracing::info!(keys = self.deletion.keys, "every key is dead");
        self.publish(Progress::Reached);
        Ok(())
    }

    /// Destroys what must not be recoverable, then makes the receipt final.
    async fn erase(&mut self) -> std::result::Result<(), String> {
        let app = self.app.clone();
        let id = self.deletion.connection;
        let longest = tokio::time::Instant::now() + LONGEST_HOLD;
        while let Some(released) = app.deletions.held(self.deletion.id) {
            let waited = tokio::time::timeout_at(longest, released.cancelled()).await;
            if waited.is_err() {
                break;
            }
        }
        app.keyring.remove_connection(id);
        app.registry.remove(id);
        app.own_changes.close(self.deletion.id);
        app.plans.forget(id);
        app.stored(move |store| store.erase_connection(id))
            .await
            .map_err(|error| error.message)?;
        app.forget_uses(id).await;
        let mut receipt = app
            .receipt(self.deletion.id)
            .await
            .map_err(|error| error.message)?;
        let mut deletion = self.deletion.clone();
        let now = app.clock.now();
        deletion
            .apply(&mut self.findings, Event::Erased, now)
            .map_err(|refusal| refusal.to_string())?;
        receipt.erased_at = Some(now);
        crash::point(Side::Before, deletion.phase);
        let audit = app.audit_step(None, &deletion);
        {
            let (deletion, receipt) = (deletion.clone(), receipt.clone());
            app.stored(move |store| store.finish_deletion(&deletion, &receipt, &audit))
                .await
                .map_err(|error| error.message)?;
        }
        crash::point(Side::After, deletion.phase);
        self.deletion = deletion;
        tracing::info!("erased");
        self.publish(Progress::Reached);
        self.publish(Progress::Receipt(Box::new(receipt)));
        Ok(())
    }

    async fn park(&mut self, reason: String) {
        self.failures = self.failures.saturating_add(1);
        tracing::warn!(
            phase = self.deletion.phase.as_str(),
            failures = self.failures,
            "deletion waits"
        );
        self.publish(Progress::Parked(reason));
        let wait = FIRST_WAIT
            .saturating_mul(1 << self.failures.saturating_sub(1).min(5))
            .min(LONGEST_WAIT);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Some(request) = self.requests.recv() => {
                // A failure here is one more reason to wait, and was answered.
                self.answer(request).await.ok();
            }
        }
    }

    fn resume_keys(&self) {
        let id = self.deletion.connection;
        self.app.own_changes.close(self.deletion.id);
        self.app.registry.update(id, |entry| entry.deletion = None);
        let paused = self.app.registry.get(id).filter(|entry| {
            // It was paused before the deletion, and stays so.
            entry.connection.paused_at.is_some()
        });
        let done = match paused {
            _ if self.app.closure().is_some() => self
                .app
                .keyring
                .pause(id, bascule_gateway::PausedBy::Restore),
            Some(entry) => {
                let by = paused_by(&entry.connection, &entry.leaks);
                self.app.keyring.pause(id, by)
            }
            None => self.app.keyring.resume(id),
        };
        if let Err(error) = done {
            tracing::error!(connection = %id, error = &error as &dyn std::error::Error, "keys were not resumed");
        }
    }

    pub(super) fn publish(&self, progress: Progress) {
        self.app
            .deletions
            .publish(&self.deletion, &self.findings, progress);
    }
}

/// Stops admitting, cuts, and waits for exchanges with the provider.
async fn drain(app: &App, deletion: &Deletion) -> Event {
    let in_doubt = app
        .keyring
        .cut_and_drain(deletion.connection, app.config().drain_limit)
        .await
        // A connection that the gateway does not know has nothing open.
        .unwrap_or_default();
    let in_doubt = in_doubt
        .into_iter()
        .map(|doubt| OwnChange {
            bucket: doubt.bucket,
            key: doubt.key,
            action: doubt.action.name().to_owned(),
            in_doubt: true,
            sibling: None,
        })
        .collect();
    Event::Drained { in_doubt }
}

fn connection(app: &App, deletion: &Deletion) -> std::result::Result<Entry, Failure> {
    app.registry
        .get(deletion.connection)
        .ok_or(Failure::Away("the connection's record is missing"))
}

/// `Err` when it is to be tried again: nobody waits at the end of a scream test, so a provider that is
/// away for a moment must not undo it.
async fn survey_before(
    app: &App,
    deletion: &Deletion,
    findings: &Findings,
) -> std::result::Result<Event, String> {
    let outcome = match connection(app, deletion) {
        Err(failure) => Err(failure),
        Ok(entry) => {
            // From here on, what siblings write lies between the surveys; so does what they
            // have under way.
            app.open_window(deletion, &entry);
            survey::before(app, deletion, findings, &entry).await
        }
    };
    match outcome {
        Ok(outcomes) => Ok(Event::SurveyedBefore(outcomes)),
        Err(Failure::Away(why))
            if deletion.scream.is_some()
                && !deletion.acknowledged.contains(&CheckBox::SurveyComplete) =>
        {
            Err(why.into())
        }
        Err(failure) => Ok(Event::SurveyBeforeFailed(failure.reason().into())),
    }
}

async fn survey_after(app: &App, deletion: &Deletion, findings: &mut Findings) -> Event {
    let outcome = match connection(app, deletion) {
        Err(failure) => Err(failure),
        Ok(entry) => survey::after(app, deletion, findings, &entry).await,
    };
    match outcome {
        Ok((outcomes, differences)) => {
            let seen = app.own_changes.seen(deletion.id);
            if seen.overflow {
                findings
                    .journal_gap
                    .get_or_insert_with(|| "siblings changed more than is kept by name".into());
            }
            Event::SurveyedAfter {
                outcomes,
                differences,
                sibling_changes: seen.changes,
            }
        }
        Err(failure @ Failure::Away(_)) => Event::SurveyAfterFailed(failure.reason().into()),
        Err(failure @ Failure::Impossible(_)) => {
            Event::SurveyAfterImpossible(failure.reason().into())
        }
    }
}

impl App {
    fn open_window(&self, deletion: &Deletion, entry: &Entry) {
        self.own_changes.open(deletion.id, entry.connection.clone());
        for sibling in self.registry.living() {
            for doubt in self.keyring.in_doubt(sibling.connection.id) {
                self.own_changes.note(
                    &sibling.connection,
                    &doubt.bucket,
                    &[doubt.key.as_ref()],
                    doubt.action,
                );
            }
        }
    }
}
