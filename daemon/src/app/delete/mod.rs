//! Deletes a connection: the plan, the checklist's enforcement, the start. The steps themselves
//! are decided by `domain::deletion` and performed by [`drive`]. Nothing here can change a bucket.

mod drive;
mod manifests;
mod receipt;
mod running;
mod survey;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use bascule_domain::{
    Timestamp,
    audit::Asked,
    deletion::{Deletion, Findings, Phase, Stamps},
    ids::{DeletionId, PlanId},
    key::Key,
    plan::{self, CheckBox, Checked, Sight},
    survey::Extent,
};

pub(crate) use self::manifests::ManifestPart;
pub(crate) use self::running::{NotCancelled, Progress, Running, Subscription, SurveyProgress};
pub(super) use self::{
    manifests::send_manifest,
    survey::{Task, again},
};
use super::{
    App, KeyView,
    error::{Error, Kind, Result},
    registry::{Entry, View},
};
use crate::random;
use jiff::SignedDuration;

/// How long the provider has to answer before a plan calls it away.
const PATIENCE: Duration = Duration::from_secs(10);

/// After this long, what a killed daemon had sent has happened at the provider or never will.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// What a deletion would do.
pub(crate) struct Plan {
    pub id: PlanId,
    pub view: View,
    pub keys: Vec<KeyView>,
    pub boxes: Vec<Checked>,
    pub siblings: Vec<String>,
    pub open_transfers: u32,
    pub stays_valid: Vec<String>,
    pub alternatives: Vec<(String, String)>,
    pub not_checked: Vec<String>,
}

impl App {
    /// Shows what a deletion would do. Changes nothing.
    pub(crate) async fn plan(&self, name: &str, emergency: bool) -> Result<Plan> {
        let entry = self.living(name)?;
        let sight = self.look(&entry, emergency).await;
        let boxes = plan::judge(&sight, &BTreeSet::new(), emergency);
        let siblings = self.registry.siblings(&entry.connection);
        let keys = self.registry.keys_of(entry.connection.id);
        let mut alternatives: Vec<_> = keys
            .iter()
            .flat_map(|key| {
                let (id, label) = (&key.access_key_id, key.label.as_str());
                [
                    (
                        format!("pause only the key of {label:?}, reversibly"),
                        format!("bascule key pause {id}"),
                    ),
                    (
                        format!("revoke only the key of {label:?}"),
                        format!("bascule key revoke {id}"),
                    ),
                ]
            })
            .collect();
        if !keys.is_empty() {
            alternatives.push((
                "let a key do less".into(),
                "bascule key restrict KEY_ID --permission read".into(),
            ));
        }
        alternatives.push((
            "give it another name".into(),
            format!("bascule rename {name} NEWNAME"),
        ));
        alternatives.push((
            "replace the provider's key and leave the tools alone".into(),
            format!("bascule credentials {name} --credentials-stdin"),
        ));
        Ok(Plan {
            id: plan_id(&entry, &keys, &boxes, &siblings),
            stays_valid: super::stays_valid(
                &entry.connection,
                &entry.credentials.access_key_id.masked(),
            ),
            view: self.view(&entry),
            open_transfers: sight.open_transfers,
            keys: keys
                .into_iter()
                .map(|key| self.key_view(key, name))
                .collect(),
            boxes,
            siblings,
            alternatives,
            not_checked: vec![
                "which tools and jobs use these keys: this release does not look for them yet"
                    .into(),
                "tools that reach the buckets directly with the provider's key".into(),
            ],
        })
    }

    /// Starts a deletion. The checklist is enforced here, whatever the client did or did not ask.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        by: Asked,
        name: &str,
        acknowledged: BTreeSet<CheckBox>,
        emergency: bool,
        survey: Extent,
        keep_manifests: bool,
    ) -> Result<Subscription> {
        let sight = self.look(&self.living(name)?, emergency).await;
        let _changing = self.one_change_at_a_time().await;
        let entry = self.living(name)?;
        if let Some(id) = entry.deletion {
            return Err(
                Error::new(Kind::Refused, format!("{name} is already being deleted"))
                    .next(format!("bascule deletion show {id}")),
            );
        }
        let boxes = plan::judge(&sight, &acknowledged, emergency);
        let open = plan::open_boxes(&boxes);
        if !open.is_empty() {
            return Err(Error::open_boxes(name, &open));
        }
        let deletion = Deletion {
            id: DeletionId::from_random(random::bytes()),
            connection: entry.connection.id,
            name: entry.connection.name.clone(),
            phase: Phase::Requested,
            emergency,
            survey,
            acknowledged,
            requested_by: by.by.clone(),
            requested_at: self.clock.now(),
            keys: self.registry.count_keys(entry.connection.id) as u32,
            stamps: Stamps::default(),
            parked: None,
            verdict: None,
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
        let id = deletion.id;
        self.deletions.remember(deletion, Some(findings));
        let mut subscription = self
            .deletions
            .subscribe(id)
            .ok_or_else(|| super::deletion::no_deletion(id))?;
        if keep_manifests {
            subscription.hold = self.deletions.hold(id);
        }
        drive::spawn(self.clone(), id);
        Ok(subscription)
    }

    /// A daemon that was killed may have left a request with the provider that nobody remembers.
    fn gap_before(&self, requested_at: Timestamp) -> Option<String> {
        let lately = requested_at.duration_since(self.started_at) < SETTLED_AFTER;
        (self.killed_before && lately).then(|| {
            "the daemon was killed shortly before, so what it had sent then is not known".to_owned()
        })
    }

    /// Follows a deletion from where it is.
    pub(crate) fn watch_deletion(&self, id: DeletionId) -> Result<Subscription> {
        self.deletions
            .subscribe(id)
            .ok_or_else(|| super::deletion::no_deletion(id))
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
                drive::spawn(self.clone(), deletion.id);
            }
        }
    }

    /// An emergency does not wait for the provider's word.
    async fn look(&self, entry: &Entry, emergency: bool) -> Sight {
        let provider_away = if emergency {
            None
        } else {
            self.provider_away(entry).await
        };
        Sight {
            open_transfers: self.keyring.open_requests_of(entry.connection.id) as u32,
            provider_away,
        }
    }

    async fn provider_away(&self, entry: &Entry) -> Option<String> {
        let storage = match self.storage(entry) {
            Ok(storage) => storage,
            Err(trouble) => return Some(trouble),
        };
        let witness = storage.witness((*entry.credentials).clone());
        let answers = async {
            for bucket in entry.connection.buckets.iter() {
                match witness.exists(bucket).await {
                    Ok(true) => {}
                    Ok(false) => return Some(format!("bucket {bucket} does not exist")),
                    Err(error) => return Some(error.to_string()),
                }
            }
            None
        };
        tokio::time::timeout(PATIENCE, answers)
            .await
            .unwrap_or_else(|_| Some(format!("no answer within {} seconds", PATIENCE.as_secs())))
    }
}

/// An id of what a plan shows: the same facts have the same id.
fn plan_id(entry: &Entry, keys: &[Key], boxes: &[Checked], siblings: &[String]) -> PlanId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(entry.connection.id.as_bytes());
    context.update(&entry.connection.credentials_generation.to_be_bytes());
    for key in keys {
        context.update(format!("{key:?}").as_bytes());
    }
    for checked in boxes {
        context.update(checked.name.as_str().as_bytes());
        context.update(&[checked.standing as u8]);
    }
    for sibling in siblings {
        context.update(sibling.as_bytes());
        context.update(&[0]);
    }
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&context.finish().as_ref()[..10]);
    PlanId::from_random(bytes)
}
