//! The verdict: what two surveys and our journal prove, and never more.

use serde::{Deserialize, Serialize};

use crate::{
    connection::{BucketIdentity, SameBucket},
    names::{BucketName, ObjectKey},
    survey::{BucketOutcome, Difference, Differences, Extent, surveyed_twice},
};

/// A request of ours that may have changed an object between the surveys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnChange {
    /// In which bucket.
    pub bucket: BucketName,
    /// Which object; `None` when the request named many and they are not known.
    pub key: Option<ObjectKey>,
    /// The S3 action.
    pub action: String,
    /// Whether its outcome is unknown.
    pub in_doubt: bool,
    /// The sibling connection that it came through, if it was not the deleted one.
    pub sibling: Option<String>,
}

impl OwnChange {
    /// Whether it may be behind this difference.
    #[must_use]
    pub fn touches(&self, difference: &Difference) -> bool {
        let Some(about) = difference.subject.key() else {
            // No request that we forward can change a setting.
            return false;
        };
        self.bucket == difference.bucket && self.key.as_ref().is_none_or(|key| key == about)
    }

    fn may_remove(&self) -> bool {
        matches!(
            self.action.as_str(),
            "DeleteObject" | "DeleteObjects" | "RenameObject"
        )
    }
}

/// Everything a verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The first survey, or why there is none.
    pub before: Result<Vec<BucketOutcome>, String>,
    /// The second survey, or why there is none.
    pub after: Result<Vec<BucketOutcome>, String>,
    /// What differs between them.
    pub differences: Differences,
    /// Requests of ours that fall between them or are in doubt.
    pub own_changes: Vec<OwnChange>,
    /// Times for which it is not known what we did: the daemon was killed.
    pub journal_gap: Option<String>,
    /// How much was surveyed.
    pub extent: Extent,
}

/// What is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Nothing differs.
    Intact,
    /// Nothing differs in what was drawn by lot; the rest was only counted, once.
    IntactAsSampled {
        /// Objects that were compared.
        compared: u64,
        /// Objects there were.
        of: u64,
    },
    /// It differs, and no request of ours is behind what differs.
    ChangedByOthers {
        /// Siblings through which some of it was changed.
        siblings: Vec<String>,
    },
    /// A bucket is gone or another one, or an object is gone and a request of ours can't be
    /// excluded.
    Missing {
        /// What is missing, in words.
        what: String,
    },
    /// It can't be told.
    Unverifiable {
        /// Why.
        reason: String,
    },
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::IntactAsSampled { .. } => "intact-as-sampled",
            Self::ChangedByOthers { .. } => "changed-by-others",
            Self::Missing { .. } => "missing",
            Self::Unverifiable { .. } => "unverifiable",
        }
    }

    /// The sentence behind it; empty for `intact`.
    #[must_use]
    pub fn explanation(&self) -> String {
        match self {
            Self::Intact => String::new(),
            Self::IntactAsSampled { compared, of } => {
                format!("sampled, {compared} of {of} objects")
            }
            Self::ChangedByOthers { siblings } if siblings.is_empty() => {
                "changed between the surveys, and not through Bascule".to_owned()
            }
            Self::ChangedByOthers { siblings } => {
                format!(
                    "changed between the surveys, through: {}",
                    siblings.join(", ")
                )
            }
            Self::Missing { what } => what.clone(),
            Self::Unverifiable { reason } => reason.clone(),
        }
    }
}

/// Judges the evidence.
#[must_use]
pub fn judge(evidence: &Evidence) -> Verdict {
    let unverifiable = |reason: String| Verdict::Unverifiable { reason };
    // A bucket that is gone is missing even if there was no first survey to compare with.
    if let Ok(after) = &evidence.after {
        for outcome in after {
            if let BucketOutcome::Gone { bucket } = outcome {
                return Verdict::Missing {
                    what: format!("bucket {bucket} is gone"),
                };
            }
        }
    }
    let before = match &evidence.before {
        Ok(before) => before,
        Err(why) => return unverifiable(format!("no survey before the revocation: {why}")),
    };
    let after = match &evidence.after {
        Ok(after) => after,
        Err(why) => return unverifiable(format!("no survey after the revocation: {why}")),
    };
    let mut unknown_identity = None;
    for outcome in before {
        let bucket = outcome.bucket();
        let BucketOutcome::Surveyed(first) = outcome else {
            return unverifiable(format!("bucket {bucket} was gone before the revocation"));
        };
        let Some(BucketOutcome::Surveyed(second)) = after.iter().find(|o| o.bucket() == bucket)
        else {
            return unverifiable(format!("bucket {bucket} was not surveyed again"));
        };
        match first.identity.same_as(&second.identity) {
            SameBucket::Yes => {}
            SameBucket::No => {
                return Verdict::Missing {
                    what: format!("bucket {bucket} is another one now"),
                };
            }
            // A provider that never tells is judged by the contents; one that told before and
            // does not now leaves it open whether the bucket is the same.
            SameBucket::CannotTell if first.identity == BucketIdentity::NotTold => {}
            SameBucket::CannotTell => unknown_identity = Some(bucket),
        }
    }
    if let Some(bucket) = unknown_identity {
        return unverifiable(format!(
            "the provider no longer tells the identity of bucket {bucket}"
        ));
    }
    for (first, second) in surveyed_twice(before, after) {
        if let Some(lost) = first.lost(second) {
            return unverifiable(format!(
                "the provider told the {lost} of bucket {} before, and does not any more",
                first.bucket
            ));
        }
    }
    if evidence.differences.total == 0 {
        return judge_sameness(evidence.extent, before);
    }
    judge_differences(evidence)
}

/// What it proves that nothing differs.
fn judge_sameness(extent: Extent, before: &[BucketOutcome]) -> Verdict {
    let surveys = || {
        before.iter().filter_map(|outcome| match outcome {
            BucketOutcome::Surveyed(survey) => Some(survey),
            BucketOutcome::Gone { .. } => None,
        })
    };
    if extent == Extent::Identity || surveys().any(|s| s.extent == Extent::Identity) {
        return Verdict::Unverifiable {
            reason: "identity and settings are the same; the contents were not compared".into(),
        };
    }
    if surveys().all(|survey| survey.sampled.is_none()) {
        return Verdict::Intact;
    }
    let sum = |count: fn(&crate::survey::BucketSurvey) -> u64| {
        surveys().map(count).fold(0, u64::saturating_add)
    };
    Verdict::IntactAsSampled {
        compared: sum(|survey| survey.sampled.unwrap_or(survey.objects)),
        of: sum(|survey| survey.objects),
    }
}

fn judge_differences(evidence: &Evidence) -> Verdict {
    let differences = &evidence.differences;
    let ours = evidence
        .own_changes
        .iter()
        .filter(|change| change.sibling.is_none());
    let mut doubtful = None;
    for change in ours {
        for difference in differences.named.iter().filter(|d| change.touches(d)) {
            if difference.takes_away() && change.may_remove() {
                return Verdict::Missing {
                    what: format!(
                        "{} in {}: {}, and a {} of ours can't be excluded",
                        difference.subject,
                        difference.bucket,
                        difference.kind.as_str(),
                        change.action
                    ),
                };
            }
            doubtful.get_or_insert((difference, change));
        }
    }
    if let Some((difference, change)) = doubtful {
        return Verdict::Unverifiable {
            reason: format!(
                "{} in {} differs, and a {} of ours was cut in doubt",
                difference.subject, difference.bucket, change.action
            ),
        };
    }
    if let Some(change) = evidence.own_changes.iter().find(|c| c.sibling.is_none())
        && differences.is_cut()
    {
        return Verdict::Unverifiable {
            reason: format!(
                "{} things differ, more than are kept by name, and a {} of ours is in doubt",
                differences.total, change.action
            ),
        };
    }
    if let Some(gap) = &evidence.journal_gap {
        return Verdict::Unverifiable {
            reason: format!("{} things differ, and {gap}", differences.total),
        };
    }
    let mut siblings: Vec<String> = evidence
        .own_changes
        .iter()
        .filter(|change| differences.named.iter().any(|d| change.touches(d)))
        .filter_map(|change| change.sibling.clone())
        .collect();
    siblings.sort();
    siblings.dedup();
    Verdict::ChangedByOthers { siblings }
}

#[cfg(test)]
pub(crate) mod tests;
