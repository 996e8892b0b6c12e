//! Deletes a connection: the checklist's enforcement and the start. What is shown before is [`plan`]; the
//! steps are decided by `domain::deletion` and performed by [`drive`]. Nothing here can change a bucket.

mod adopted;
mod drive;
mod journal;
mod listen;
mod manifests;
mod plan;
mod receipt;
mod requests;
mod running;
mod survey;

use std::{collections::BTreeSet, sync::Arc};

use bascule_domain::{
    Timestamp,
    audit::Asked,
    deletion::{Deletion, Findings, Phase, Scream, Stamps},
    ids::{DeletionId, PlanId},
    plan::{self as checklist, CheckBox, Manner},
    survey::Extent,
};

pub(crate) use self::{
    listen::Ears,
    manifests::ManifestPart,
    plan::{BucketUploads, ClientUse, Holder, Plans},
    running::{NotDone, Progress, Running, Subscription, SurveyProgress, Wanted},
};
pub(super) use self::{
    manifests::send_manifest,
    survey::{Task, again},
};
use self::{plan::Seen, running::HeldBy};
use super::{
    App,
    error::{Error, Kind, Result},
    registry::Entry,
};
use crate::random;
use jiff::SignedDuration;

/// Nobody remembers a longer one.
const LONGEST_SCREAM: SignedDuration = SignedDuration::from_hours(366 * 24);

/// After this long, what a killed daemon had sent has happened at the provider or never will.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The deletion that somebody asks for.
pub(crate) struct DeletionWish {
    pub name: String,
    /// Boxes that the user vouches for.
    pub acknowledged: BTreeSet<CheckBox>,
    pub emergency: bool,
    /// Listen for so long before anything dies.
    pub scream: Option<SignedDuration>,
    /// The plan that was looked at; it must still hold.
    pub plan: Option<PlanId>,
    /// How much is compared.
    pub survey: Extent,
    /// Wait with the erasure until the manifests were taken.
    pub keep_manifests: bool,
}

impl App {
    /// Starts a deletion. The checklist is enforced here, whatever the client did or did not ask.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        by: Asked,
        wish: DeletionWish,
    ) -> Result<Subscription> {
        let DeletionWish {
            name,
            acknowledged,
            emergency,
            scream,
            plan,
            survey,
            keep_manifests,
        } = wish;
        let name = name.as_str();
        let manner = match (emergency, scream) {
            (false, None) => Manner::Checked,
            (false, Some(_)) => Manner::Scream,
            (true, None) => Manner::Emergency,
            (true, Some(_)) => {
                return Err(Error::new(
                    Kind::Invalid,
                    "an emergency does not wait for silence".to_owned(),
                ));
            }
        };
        if scream.is_some_and(|length| length > LONGEST_SCREAM || length <= SignedDuration::ZERO) {
            return Err(Error::new(
                Kind::Invalid,
                "a scream test lasts up to a year".to_owned(),
            ));
        }
        let looked_at = self.living(name)?;
        let keys = self.registry.keys_of(looked_at.connection.id);
        let seen = self.look(&looked_at, emergency).await;
        let _changing = self.one_change_at_a_time().await;
        let entry = self.living(name)?;
        if let Some(id) = entry.deletion {
            return Err(
                Error::new(Kind::Refused, format!("{name} is already being deleted"))
                    .next(format!("bascule deletion show {id}")),
            );
        }
        let same = entry.connection.id == looked_at.connection.id
            && self.registry.keys_of(entry.connection.id) == keys;
        if !same && !emergency {
            return Err(Error::new(
                Kind::Refused,
                format!("{name} was changed while it was looked at; nothing was deleted"),
            )
            .next(format!("look at it again: bascule delete {name} --plan")));
        }
        if let Some(plan) = plan {
            self.refuse_stale(plan, &entry, &seen)?;
        }
        let boxes = checklist::judge(&seen.sight, &acknowledged);
        let open = checklist::open_boxes(&boxes, manner);
        if !open.is_empty() {
            return Err(Error::open_boxes(name, &open));
        }
        let deletion = Deletion {
            id: DeletionId::from_random(random::bytes()),
            connection: entry.connection.id,
            name: entry.connection.name.clone(),
            phase: match scream {
                Some(_) => Phase::Listening,
                None => Phase::Requested,
            },
            emergency,
            survey,
            acknowledged,
            requested_by: by.by.clone(),
            requested_at: self.clock.now(),
            keys: self.registry.count_keys(entry.connection.id) as u32,
            stamps: Stamps::default(),
            parked: None,
            verdict: None,
            scream: scream.map(Scream::of),
        };
        let findings = Findings {
            journal_gap: self.gap_before(deletion.requested_at),
            ..Findings::default()
        };
        self.journal(&deletion, &findings, Some(by)).await?;
        self.registry.update(entry.connection.id, |entry| {
            entry.deletion = Some(deletion.id);
        });
        tracing::info!(connection = %deletion.connection, deletion = %deletion.id, emergency, "deletion requested");
        // Whoever reads that the keys are paused finds them so. What fails here is tried again.
        let listening = scream.and_then(|_| self.begin_to_listen(&deletion).ok());
        let id = deletion.id;
        self.deletions.remember(deletion, Some(findings));
        let mut subscription = self
            .deletions
            .subscribe(id)
            .ok_or_else(|| super::deletion::no_deletion(id))?;
        if keep_manifests {
            subscription.hold = self.deletions.hold(id, HeldBy::Follower);
        }
        drive::spawn(self.clone(), id, listening);
        Ok(subscription)
    }

    /// What was agreed to must still be what would happen.
    fn refuse_stale(&self, agreed: PlanId, entry: &Entry, seen: &Seen) -> Result<()> {
        let name = &entry.connection.name;
        let now = self.facts(entry, seen);
        if now.id == agreed {
            return Ok(());
        }
        let different = match self.plans.of(agreed, entry.connection.id) {
            Some(then) => format!(
                "the plan {agreed} does not hold any more: {}",
                then.difference(&now.shown).join("; ")
            ),
            None => format!(
                "the plan {agreed} is not known: it is of another connection, of before the daemon was last started, or too long ago"
            ),
        };
        Err(
            Error::new(Kind::Refused, format!("{different}; nothing was deleted"))
                .next(format!("look at it again: bascule delete {name} --plan")),
        )
    }

    /// A daemon that was killed may have left a request with the provider that nobody remembers.
    fn gap_before(&self, requested_at: Timestamp) -> Option<String> {
        let lately = requested_at.duration_since(self.started_at) < SETTLED_AFTER;
        (self.killed_before && lately).then(|| {
            "the daemon was killed shortly before, so what it had sent then is not known".to_owned()
        })
    }

    /// Follows a deletion from where it is.
    pub(crate) fn watch_deletion(
        &self,
        id: DeletionId,
        keep_manifests: bool,
    ) -> Result<Subscription> {
        // Before it is told where it stands: what is not erased then waits.
        let hold = keep_manifests
            .then(|| self.deletions.hold(id, HeldBy::Follower))
            .flatten();
        let subscription = self.deletions.subscribe(id);
        let mut subscription = subscription.ok_or_else(|| super::deletion::no_deletion(id))?;
        subscription.hold = hold;
        Ok(subscription)
    }

    /// Goes on with what a stop or a crash interrupted.
    pub(crate) async fn resume_deletions(self: &Arc<Self>) {
        for deletion in self.deletions.all() {
            if !deletion.phase.is_over() {
                tracing::info!(deletion = %deletion.id, phase = deletion.phase.as_str(), "going on with a deletion");
                if let Some((deletion, findings)) = self.deletions.note_restart(deletion.id)
                    && let Err(error) = self.note(&deletion, &findings).await
                {
                    tracing::error!(deletion = %deletion.id, error = &error as &dyn std::error::Error, "the restart was not noted");
                }
                drive::spawn(self.clone(), deletion.id, None);
            }
        }
    }
}
