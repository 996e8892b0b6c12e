//! What has changed in a bucket since the survey in a receipt.

use serde::{Deserialize, Serialize};

use crate::{
    connection::SameBucket,
    names::BucketName,
    survey::{Aspect, BucketOutcome, BucketSurvey, ChangeKind, Extent},
};

/// Whether a thing is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sameness {
    /// It is.
    Unchanged,
    /// It is not.
    Changed,
    /// What is known does not tell.
    CannotTell,
}

impl Sameness {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::CannotTell => "cannot-tell",
        }
    }

    /// Of both together: a change counts most, then what can't be told.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Changed, _) | (_, Self::Changed) => Self::Changed,
            (Self::CannotTell, _) | (_, Self::CannotTell) => Self::CannotTell,
            _ => Self::Unchanged,
        }
    }
}

/// A setting that has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    /// Which.
    pub setting: Aspect,
    /// How.
    pub kind: ChangeKind,
}

/// One bucket, then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    /// Which.
    pub bucket: BucketName,
    /// All of it together.
    pub result: Sameness,
    /// Whether it is the same bucket.
    pub identity: Sameness,
    /// Whether it holds the same, by the digests.
    pub contents: Sameness,
    /// Settings that have changed.
    pub settings: Vec<SettingChange>,
    /// What could not be compared, each with the reason.
    pub not_compared: Vec<String>,
    /// The survey in the receipt.
    pub then: BucketSurvey,
    /// The one of now.
    pub now: BucketOutcome,
}

/// How much has to be surveyed to compare with a survey in a receipt.
#[must_use]
pub const fn extent(then: &BucketSurvey) -> Extent {
    match (then.extent, then.sampled) {
        (Extent::Full | Extent::Sample, None) => Extent::Full,
        // What was drawn by lot then is not known any more.
        (_, Some(_)) | (Extent::Identity, _) => Extent::Identity,
    }
}

/// Compares.
#[must_use]
pub fn since(then: &BucketSurvey, now: BucketOutcome) -> Since {
    let mut found = Since {
        bucket: then.bucket.clone(),
        result: Sameness::Changed,
        identity: Sameness::Changed,
        contents: Sameness::Changed,
        settings: Vec::new(),
        not_compared: Vec::new(),
        then: then.clone(),
        now,
    };
    let BucketOutcome::Surveyed(now) = &found.now else {
        return found;
    };
    found.identity = match then.identity.same_as(&now.identity) {
        SameBucket::Yes => Sameness::Unchanged,
        SameBucket::No => Sameness::Changed,
        SameBucket::CannotTell => Sameness::CannotTell,
    };
    let comparable = extent(then) == Extent::Full
        && now.extent == Extent::Full
        && now.sampled.is_none()
        && then.contents == now.contents
        && then.unlisted.keys().eq(now.unlisted.keys());
    found.contents = match comparable {
        false => Sameness::CannotTell,
        true if then.digest == now.digest => Sameness::Unchanged,
        true => Sameness::Changed,
    };
    found.settings = (then.settings_changed(now))
        .map(|(setting, kind)| SettingChange { setting, kind })
        .collect();
    found.not_compared = now.not_compared().collect();
    if let Some(lost) = then.lost(now) {
        found
            .not_compared
            .push(format!("not compared: {lost}, which was told then"));
    }
    if then.sampled.is_some() {
        found
            .not_compared
            .push("not compared: the contents, of which a sample was taken then".into());
    }
    found.not_compared.sort();
    found.not_compared.dedup();
    let settings = match (found.settings.is_empty(), then.lost(now)) {
        (false, _) => Sameness::Changed,
        (true, Some(_)) => Sameness::CannotTell,
        (true, None) => Sameness::Unchanged,
    };
    found.result = found.identity.and(found.contents).and(settings);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::BucketIdentity,
        survey::{Digest, Setting},
        verdict::tests::plain,
    };

    fn now(change: impl FnOnce(&mut BucketSurvey)) -> Since {
        let mut now = plain("then");
        change(&mut now);
        since(&plain("then"), BucketOutcome::Surveyed(now))
    }

    #[test]
    fn only_what_is_proven_the_same_is_unchanged() {
        assert_eq!(now(|_| {}).result, Sameness::Unchanged);
        assert_eq!(
            now(|s| s.digest = Digest([9; 32])).result,
            Sameness::Changed
        );
        let other = now(|s| s.identity = BucketIdentity::CreationDate("now".into()));
        assert_eq!(
            (other.result, other.contents),
            (Sameness::Changed, Sameness::Unchanged)
        );
        let untold = now(|s| s.identity = BucketIdentity::NotTold);
        assert_eq!(untold.result, Sameness::CannotTell);
        let gone = BucketOutcome::Gone {
            bucket: "photos".parse().unwrap(),
        };
        assert_eq!(since(&plain("then"), gone).result, Sameness::Changed);
    }

    #[test]
    fn a_sample_and_a_setting_that_is_not_told_any_more_can_not_be_compared() {
        let mut then = plain("then");
        then.sampled = Some(1);
        assert_eq!(extent(&then), Extent::Identity);
        let same = since(&then, BucketOutcome::Surveyed(plain("then")));
        assert_eq!(same.result, Sameness::CannotTell);
        let mut then = plain("then");
        then.settings.insert(Aspect::Policy, Setting::Unset);
        let same = since(&then, BucketOutcome::Surveyed(plain("then")));
        assert_eq!(
            (same.result, same.not_compared.len()),
            (Sameness::CannotTell, 1)
        );
    }
}
