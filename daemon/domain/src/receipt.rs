//! The receipt: the file handed to the user when a deletion ends. Its JSON form is what these
//! types serialise to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    deletion::{Deletion, Findings, Scream},
    ids::{DeletionId, KeyId},
    names::{BucketName, ConnectionName, Label},
    plan::CheckBox,
    provider::ProviderKind,
    survey::{BucketOutcome, BucketSurvey, Difference, Extent},
    verdict::{OwnChange, Verdict},
};

/// The receipt's format version.
pub const RECEIPT_VERSION: u32 = 1;

/// A key that died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeveredKey {
    /// The record's id.
    pub id: KeyId,
    /// What the user called it.
    pub label: Label,
    /// The last characters of the access key id.
    pub access_key: String,
    /// How its death was checked.
    pub checked: String,
}

/// What the connection reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Severed {
    /// What it was called.
    pub name: ConnectionName,
    /// Its provider.
    pub provider: ProviderKind,
    /// Server address or folder.
    pub location: String,
    /// Its buckets.
    pub buckets: Vec<BucketName>,
}

/// Both surveys, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surveys {
    /// How much was asked for.
    #[serde(default)]
    pub extent: Extent,
    /// What that is, in words.
    pub covers: String,
    /// Before the revocation.
    pub before: Vec<BucketOutcome>,
    /// Why there is none before.
    pub before_missing: Option<String>,
    /// After it.
    pub after: Vec<BucketOutcome>,
    /// Why there is none after.
    pub after_missing: Option<String>,
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`RECEIPT_VERSION`].
    pub bascule_receipt: u32,
    /// The deletion's id.
    pub id: DeletionId,
    /// What was severed.
    pub connection: Severed,
    /// Whether the keys died before any survey.
    pub emergency: bool,
    /// What the scream test before it has heard, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scream: Option<Scream>,
    /// The boxes of the checklist that were vouched for.
    #[serde(default)]
    pub vouched_for: Vec<CheckBox>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When every key was dead, durably.
    pub revoked_at: Option<Timestamp>,
    /// When the verdict was reached.
    pub judged_at: Option<Timestamp>,
    /// When the secrets were erased; absent until they are.
    pub erased_at: Option<Timestamp>,
    /// The keys that died.
    pub keys: Vec<SeveredKey>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The surveys' figures and digests.
    pub surveys: Surveys,
    /// How many objects differ.
    pub differences_total: u64,
    /// Which, as far as they are kept by name.
    pub differences: Vec<Difference>,
    /// Requests of ours that were in doubt, or a sibling's between the surveys.
    pub own_changes: Vec<OwnChange>,
    /// Times for which it is not known what we did.
    pub journal_gap: Option<String>,
    /// What stays valid at the provider.
    pub stays_valid: Vec<String>,
    /// What was not checked, and what erasure can't promise.
    pub not_checked: Vec<String>,
}

impl Receipt {
    /// The receipt of a deletion whose verdict stands.
    #[must_use]
    pub fn of(
        deletion: &Deletion,
        findings: &Findings,
        connection: Severed,
        keys: Vec<SeveredKey>,
        stays_valid: Vec<String>,
    ) -> Self {
        let split = |survey: &Result<Vec<BucketOutcome>, String>| match survey {
            Ok(outcomes) => (outcomes.clone(), None),
            Err(why) => (Vec::new(), Some(why.clone())),
        };
        let (before, before_missing) = split(&findings.before);
        let (after, after_missing) = split(&findings.after);
        let mut not_checked = vec!["which tools and jobs still use the dead keys".to_owned()];
        let mut gaps: Vec<String> = (before.iter().chain(&after))
            .filter_map(|outcome| match outcome {
                BucketOutcome::Surveyed(survey) => Some(survey),
                BucketOutcome::Gone { .. } => None,
            })
            .flat_map(BucketSurvey::not_compared)
            .collect();
        gaps.sort();
        gaps.dedup();
        not_checked.append(&mut gaps);
        not_checked.push(
            "copies of the key folder in snapshots, backups or unused blocks of an SSD".into(),
        );
        Self {
            bascule_receipt: RECEIPT_VERSION,
            id: deletion.id,
            connection,
            emergency: deletion.emergency,
            scream: deletion.scream.clone(),
            vouched_for: deletion.acknowledged.iter().copied().collect(),
            requested_at: deletion.requested_at,
            revoked_at: deletion.stamps.revoked,
            judged_at: deletion.stamps.judged,
            erased_at: None,
            keys,
            verdict: findings
                .verdict
                .clone()
                .unwrap_or_else(|| Verdict::Unverifiable {
                    reason: "no verdict was reached".into(),
                }),
            surveys: Surveys {
                extent: deletion.survey,
                covers: covers(deletion.survey).into(),
                before,
                before_missing,
                after,
                after_missing,
            },
            differences_total: findings.differences.total,
            differences: findings.differences.named.clone(),
            own_changes: findings.own_changes.clone(),
            journal_gap: findings.journal_gap.clone(),
            stays_valid,
            not_checked,
        }
    }
}

const fn covers(extent: Extent) -> &'static str {
    match extent {
        Extent::Full => {
            "key, size and ETag of every object; where a bucket keeps versions, of every version \
             and delete marker; unfinished multipart uploads; identity and settings"
        }
        Extent::Sample => {
            "key, size and ETag of objects drawn by lot, or of their versions; the others were \
             counted once; unfinished multipart uploads; identity and settings"
        }
        Extent::Identity => "identity and settings; not the contents",
    }
}
