//! The verdict: what two surveys and our journal prove, and never more.

use serde::{Deserialize, Serialize};

use crate::{
    connection::{BucketIdentity, SameBucket},
    names::{BucketName, ObjectKey},
    survey::{BucketOutcome, ChangeKind, Difference, Differences},
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
        self.bucket == difference.bucket
            && self.key.as_ref().is_none_or(|key| *key == difference.key)
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
}

/// What is proven.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict")]
pub enum Verdict {
    /// Nothing differs.
    Intact,
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
    judge_differences(evidence)
}

fn judge_differences(evidence: &Evidence) -> Verdict {
    let differences = &evidence.differences;
    if differences.total == 0 {
        return Verdict::Intact;
    }
    let ours = evidence
        .own_changes
        .iter()
        .filter(|change| change.sibling.is_none());
    let mut doubtful = None;
    for change in ours {
        for difference in differences.named.iter().filter(|d| change.touches(d)) {
            if difference.kind == ChangeKind::Removed && change.may_remove() {
                return Verdict::Missing {
                    what: format!(
                        "{} in {} is gone, and a {} of ours can't be excluded",
                        difference.key, difference.bucket, change.action
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
                difference.key, difference.bucket, change.action
            ),
        };
    }
    if let Some(change) = evidence.own_changes.iter().find(|c| c.sibling.is_none())
        && differences.is_cut()
    {
        return Verdict::Unverifiable {
            reason: format!(
                "{} objects differ, more than are kept by name, and a {} of ours is in doubt",
                differences.total, change.action
            ),
        };
    }
    if let Some(gap) = &evidence.journal_gap {
        return Verdict::Unverifiable {
            reason: format!("{} objects differ, and {gap}", differences.total),
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
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::survey::{BucketSurvey, Digest};

    fn survey(identity: &str) -> BucketOutcome {
        BucketOutcome::Surveyed(BucketSurvey {
            bucket: "photos".parse().unwrap(),
            identity: BucketIdentity::CreationDate(identity.into()),
            objects: 1,
            bytes: 1,
            digest: Digest([0; 32]),
            taken_at: Timestamp::UNIX_EPOCH,
        })
    }

    fn evidence(kinds: &[(&str, ChangeKind)]) -> Evidence {
        let mut differences = Differences::default();
        for (key, kind) in kinds {
            differences.record(Difference {
                bucket: "photos".parse().unwrap(),
                key: key.parse().unwrap(),
                kind: *kind,
            });
        }
        Evidence {
            before: Ok(vec![survey("then")]),
            after: Ok(vec![survey("then")]),
            differences,
            own_changes: vec![],
            journal_gap: None,
        }
    }

    fn own(key: &str, action: &str, sibling: Option<&str>) -> OwnChange {
        OwnChange {
            bucket: "photos".parse().unwrap(),
            key: Some(key.parse().unwrap()),
            action: action.into(),
            in_doubt: true,
            sibling: sibling.map(Into::into),
        }
    }

    #[test]
    fn equal_surveys_are_intact_even_with_requests_in_doubt() {
        let mut e = evidence(&[]);
        e.own_changes.push(own("a", "PutObject", None));
        e.journal_gap = Some("the daemon was killed".into());
        assert_eq!(judge(&e), Verdict::Intact);
    }

    #[test]
    fn a_missing_survey_never_becomes_intact() {
        let mut e = evidence(&[]);
        e.before = Err("provider away".into());
        assert_eq!(judge(&e).as_str(), "unverifiable");
        let mut e = evidence(&[]);
        e.after = Err("provider away".into());
        assert_eq!(judge(&e).as_str(), "unverifiable");
    }

    #[test]
    fn another_bucket_of_the_same_name_is_missing() {
        let mut e = evidence(&[]);
        e.after = Ok(vec![survey("now")]);
        assert_eq!(judge(&e).as_str(), "missing");
        e.after = Ok(vec![BucketOutcome::Gone {
            bucket: "photos".parse().unwrap(),
        }]);
        assert_eq!(judge(&e).as_str(), "missing");
        e.before = Err("emergency".into());
        assert_eq!(judge(&e).as_str(), "missing");
    }

    #[test]
    fn what_others_changed_is_told_from_what_we_may_have_changed() {
        let gone = evidence(&[("a", ChangeKind::Removed)]);
        assert_eq!(judge(&gone), Verdict::ChangedByOthers { siblings: vec![] });

        let mut elsewhere = gone.clone();
        elsewhere.own_changes.push(own("b", "DeleteObject", None));
        assert_eq!(judge(&elsewhere).as_str(), "changed-by-others");

        let mut ours = gone.clone();
        ours.own_changes.push(own("a", "DeleteObject", None));
        assert_eq!(judge(&ours).as_str(), "missing");

        let mut doubtful = evidence(&[("a", ChangeKind::Replaced)]);
        doubtful.own_changes.push(own("a", "PutObject", None));
        assert_eq!(judge(&doubtful).as_str(), "unverifiable");

        let mut sibling = gone.clone();
        sibling
            .own_changes
            .push(own("a", "DeleteObject", Some("other")));
        assert_eq!(
            judge(&sibling),
            Verdict::ChangedByOthers {
                siblings: vec!["other".into()]
            }
        );

        let mut gap = gone;
        gap.journal_gap = Some("the daemon was killed".into());
        assert_eq!(judge(&gap).as_str(), "unverifiable");
    }

    #[test]
    fn differences_beyond_the_named_ones_are_not_blamed_on_others_while_ours_are_in_doubt() {
        let mut e = evidence(&[("a", ChangeKind::Added)]);
        e.differences.total = 5000;
        e.own_changes.push(own("z", "PutObject", None));
        assert_eq!(judge(&e).as_str(), "unverifiable");
    }
}
