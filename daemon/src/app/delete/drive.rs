//! Performs the effects of a deletion, one after the other, and journals what came of each. Every
//! effect may be performed again after a crash. A provider that is away parks the deletion; it is
//! tried again by itself.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bascule_domain::{
    audit::{self, Asked, Change, Details, Part},
    deletion::{Deletion, Effect, Event, Findings, Phase, Refusal},
    ids::DeletionId,
    receipt::Receipt,
    tombstone::{CauseOfDeath, Tombstone},
    verdict::OwnChange,
};
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tracing::Instrument;

use super::{
    manifests::LONGEST_HOLD,
    running::{Cancel, GoOn, NotCancelled, Progress, Request},
    survey::{self, Failure},
};
use crate::{
    app::{
        App,
        error::{Error, Kind, Result},
        pause::paused_by,
        registry::{Entry, Keys},
    },
    crash::{self, Side},
};

/// The wait after the first failure; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Starts working on a deletion.
pub(super) fn spawn(app: Arc<App>, id: DeletionId) {
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
        failures: 0,
        called_off: None,
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
    findings: Findings,
    pub(super) requests: mpsc::Receiver<Request>,
    /// Failures in a row, for the wait before the next try.
    failures: u32,
    /// Who called it off, until that is journalled.
    called_off: Option<Asked>,
    /// Set once the keys were taken from the gateway: from then on there is no way back, whatever
    /// becomes of the transaction.
    revoking: bool,
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
        self.answer_late_cancels();
    }

    /// Performs the effect that is due. `Err` says why it has to be tried again later.
    async fn perform_unless_cancelled(
        &mut self,
        effect: Effect,
    ) -> std::result::Result<(), String> {
        match effect {
            Effect::Listen => return self.listen().await,
            Effect::Drain | Effect::SurveyBefore => {}
            Effect::Revoke | Effect::SurveyAfter | Effect::Erase => {
                let performed = self.perform_for_good(effect).await;
                self.answer_late_cancels();
                return performed;
            }
        }
        let app = self.app.clone();
        let (deletion, findings) = (self.deletion.clone(), self.findings.clone());
        let event = {
            let work = async {
                match effect {
                    Effect::Drain => drain(&app, &deletion).await,
                    _ => survey_before(&app, &deletion, &findings).await,
                }
            };
            tokio::select! {
                biased;
                Some(request) = self.requests.recv() => {
                    return self.answer(request).await;
                }
                event = work => event,
            }
        };
        self.take(event).await
    }

    /// Performs an effect that can't be called off.
    async fn perform_for_good(&mut self, effect: Effect) -> std::result::Result<(), String> {
        match effect {
            Effect::Revoke => self.revoke().await,
            Effect::Erase => self.erase().await,
            _ => {
                let app = self.app.clone();
                let event = survey_after(&app, &self.deletion, &mut self.findings).await;
                self.take(event).await
            }
        }
    }

    /// Applies an event and journals where that leads.
    async fn take(&mut self, event: Event) -> std::result::Result<(), String> {
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
                        .journal_verdict(&deletion, &findings, receipt)
                        .await
                }
                None => Err(Error::new(
                    Kind::Storage,
                    "the connection's record is missing",
                )),
            },
            Phase::Cancelled => {
                let asked = self.called_off.take();
                self.app.journal_cancellation(&deletion, asked).await
            }
            _ => self.app.journal(&deletion, &findings, None).await,
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
        if let Some(released) = app.deletions.held(self.deletion.id) {
            tokio::time::timeout(LONGEST_HOLD, released.cancelled())
                .await
                .ok();
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

    /// Answers a request outside of a scream test.
    async fn answer(&mut self, request: Request) -> std::result::Result<(), String> {
        match request {
            Request::Cancel(cancel) => self.cancel(cancel).await,
            Request::GoOn(GoOn { reply }) => {
                let refusal = NotCancelled::Refused(Refusal::NotStopped);
                reply.send(Err(refusal)).ok();
                Ok(())
            }
        }
    }

    /// Takes what a scream test hears, and keeps it.
    pub(super) async fn hear(&mut self, event: Event) -> std::result::Result<(), String> {
        let (mut deletion, mut findings) = (self.deletion.clone(), self.findings.clone());
        deletion
            .apply(&mut findings, event, self.app.clock.now())
            .map_err(|refusal| refusal.to_string())?;
        if deletion.phase == Phase::Listening {
            let noted = self.app.note(&deletion, &findings).await;
            noted.map_err(|error| error.message)?;
            (self.deletion, self.findings) = (deletion, findings);
            self.app.deletions.keep(&self.deletion);
            return Ok(());
        }
        let journalled = self.app.journal(&deletion, &findings, None).await;
        journalled.map_err(|error| error.message)?;
        (self.deletion, self.findings) = (deletion, findings);
        tracing::info!("nobody knocked; the deletion goes on");
        self.publish(Progress::Reached);
        Ok(())
    }

    pub(super) async fn go_on(
        &mut self,
        event: Event,
        GoOn { reply }: GoOn,
    ) -> std::result::Result<(), String> {
        if self
            .deletion
            .scream
            .as_ref()
            .is_some_and(|scream| scream.knock.is_none())
        {
            let refusal = NotCancelled::Refused(Refusal::NotStopped);
            reply.send(Err(refusal)).ok();
            return Ok(());
        }
        let heard = self.hear(event).await;
        let answer = match &heard {
            Ok(()) => Ok(self.deletion.clone()),
            Err(why) => Err(NotCancelled::Failed(why.clone())),
        };
        reply.send(answer).ok();
        heard
    }

    pub(super) async fn cancel(&mut self, cancel: Cancel) -> std::result::Result<(), String> {
        let reply = cancel.reply;
        if self.revoking {
            reply
                .send(Err(NotCancelled::Refused(Refusal::TooLate)))
                .ok();
            return Ok(());
        }
        self.called_off = Some(cancel.asked);
        match self.take(Event::Cancel).await {
            Ok(()) => {
                reply.send(Ok(self.deletion.clone())).ok();
                Ok(())
            }
            Err(reason) => {
                reply.send(Err(NotCancelled::Failed(reason.clone()))).ok();
                Err(reason)
            }
        }
    }

    fn answer_late_cancels(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            let refusal = match self.deletion.phase {
                phase if phase.is_over() => Refusal::Over(phase),
                _ => Refusal::TooLate,
            };
            let (Request::Cancel(Cancel { reply, .. }) | Request::GoOn(GoOn { reply })) = request;
            reply.send(Err(NotCancelled::Refused(refusal))).ok();
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
        .cut_and_drain(deletion.connection, app.drain_limit)
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

async fn survey_before(app: &App, deletion: &Deletion, findings: &Findings) -> Event {
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
        Ok(outcomes) => Event::SurveyedBefore(outcomes),
        Err(failure) => Event::SurveyBeforeFailed(failure.reason().into()),
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
    fn audit_step(&self, asked: Option<Asked>, deletion: &Deletion) -> audit::Entry {
        let change = Change::Deletion {
            connection: deletion.connection,
            deletion: deletion.id,
            phase: deletion.phase,
        };
        let mut details = Details {
            connection: Some(deletion.name.clone()),
            ..Details::default()
        };
        if deletion.phase == Phase::Listening
            || deletion.phase == Phase::Requested && deletion.scream.is_none()
        {
            let none: [&str; 0] = [];
            let boxes = deletion.acknowledged.iter().map(|name| name.as_str());
            let emergency = deletion.emergency.then_some("yes");
            details = details.differs(Part::Acknowledged, none, boxes).differs(
                Part::Emergency,
                none,
                emergency,
            );
        }
        self.audit(asked, change, details)
    }

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

    pub(super) async fn journal(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        asked: Option<Asked>,
    ) -> Result<()> {
        crash::point(Side::Before, deletion.phase);
        let audit = self.audit_step(asked, deletion);
        let (written, evidence) = (deletion.clone(), findings.clone());
        self.stored(move |store| store.journal_deletion(&written, &evidence, &audit))
            .await?;
        crash::point(Side::After, deletion.phase);
        Ok(())
    }

    /// Keeps what happened within a phase: a restart, or that it waits.
    pub(super) async fn note(&self, deletion: &Deletion, findings: &Findings) -> Result<()> {
        let (written, evidence) = (deletion.clone(), findings.clone());
        self.stored(move |store| store.note_deletion(&written, &evidence))
            .await
    }

    async fn journal_verdict(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        receipt: Receipt,
    ) -> Result<()> {
        crash::point(Side::Before, deletion.phase);
        let audit = self.audit_step(None, deletion);
        let (written, evidence) = (deletion.clone(), findings.clone());
        self.stored(move |store| store.judge_deletion(&written, &evidence, &receipt, &audit))
            .await?;
        crash::point(Side::After, deletion.phase);
        Ok(())
    }

    async fn journal_cancellation(&self, deletion: &Deletion, asked: Option<Asked>) -> Result<()> {
        crash::point(Side::Before, deletion.phase);
        let audit = self.audit_step(asked, deletion);
        let written = deletion.clone();
        self.stored(move |store| store.cancel_deletion(&written, &audit))
            .await?;
        crash::point(Side::After, deletion.phase);
        Ok(())
    }
}
