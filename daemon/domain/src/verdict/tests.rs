use jiff::Timestamp;

use super::*;
use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::survey::{Aspect, BucketSurvey, ChangeKind, Contents, Digest, Part, Setting, Subject};

pub(crate) fn plain(identity: &str) -> BucketSurvey {
    BucketSurvey {
        bucket: "photos".parse().unwrap(),
        identity: BucketIdentity::CreationDate(identity.into()),
        extent: Extent::Full,
        contents: Contents::Objects,
        objects: 1,
        bytes: 1,
        versions: 0,
        markers: 0,
        uploads: 0,
        without_etag: 0,
        sampled: None,
        settings: BTreeMap::new(),
        unlisted: BTreeMap::new(),
        digest: Digest([0; 32]),
        taken_at: Timestamp::UNIX_EPOCH,
    }
}

fn survey(identity: &str) -> BucketOutcome {
    BucketOutcome::Surveyed(plain(identity))
}

fn evidence(kinds: &[(&str, ChangeKind)]) -> Evidence {
    let mut differences = Differences::default();
    for (key, kind) in kinds {
        differences.record(Difference {
            bucket: "photos".parse().unwrap(),
            subject: Subject::Object {
                key: key.parse().unwrap(),
            },
            kind: *kind,
        });
    }
    Evidence {
        before: Ok(vec![survey("then")]),
        after: Ok(vec![survey("then")]),
        differences,
        own_changes: vec![],
        journal_gap: None,
        extent: Extent::Full,
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

fn with(change: impl FnOnce(&mut BucketSurvey)) -> Vec<BucketOutcome> {
    let mut survey = plain("then");
    change(&mut survey);
    vec![BucketOutcome::Surveyed(survey)]
}

fn about(subject: Subject, kind: ChangeKind) -> Evidence {
    let mut e = evidence(&[]);
    e.differences.record(Difference {
        bucket: "photos".parse().unwrap(),
        subject,
        kind,
    });
    e
}

#[test]
fn a_sample_says_how_much_it_compared() {
    let mut e = evidence(&[]);
    e.extent = Extent::Sample;
    e.before = Ok(with(|s| (s.objects, s.sampled) = (5000, Some(40))));
    let verdict = judge(&e);
    assert_eq!(verdict.as_str(), "intact-as-sampled");
    assert_eq!(verdict.explanation(), "sampled, 40 of 5000 objects");
    // A bucket that fits into the sample was compared as a whole.
    e.before = Ok(with(|s| s.objects = 5000));
    assert_eq!(judge(&e), Verdict::Intact);
}

#[test]
fn identity_and_settings_alone_prove_nothing_about_the_contents() {
    let mut e = evidence(&[]);
    e.extent = Extent::Identity;
    let verdict = judge(&e);
    assert_eq!(verdict.as_str(), "unverifiable");
    assert!(verdict.explanation().contains("not compared"));
}

#[test]
fn what_was_told_before_and_is_not_any_more_can_not_be_verified() {
    let told = |s: &mut BucketSurvey| {
        s.settings.insert(Aspect::Policy, Setting::Unset);
    };
    let refused = |s: &mut BucketSurvey| {
        let reason = "AccessDenied".to_owned();
        s.settings
            .insert(Aspect::Policy, Setting::NotTold { reason });
    };
    let unlisted = |s: &mut BucketSurvey| {
        s.unlisted.insert(Part::Uploads, "AccessDenied".into());
    };
    let mut e = evidence(&[]);
    (e.before, e.after) = (Ok(with(told)), Ok(with(refused)));
    assert_eq!(judge(&e).as_str(), "unverifiable");
    (e.before, e.after) = (Ok(with(|_| {})), Ok(with(unlisted)));
    assert_eq!(judge(&e).as_str(), "unverifiable");
    // What neither told is said in the receipt, and spoils nothing.
    (e.before, e.after) = (Ok(with(refused)), Ok(with(refused)));
    assert_eq!(judge(&e), Verdict::Intact);
    (e.before, e.after) = (Ok(with(unlisted)), Ok(with(unlisted)));
    assert_eq!(judge(&e), Verdict::Intact);
}

#[test]
fn settings_and_uploads_of_others_are_changes_of_others() {
    let (key, id): (ObjectKey, Box<str>) = ("a".parse().unwrap(), "1".into());
    let setting = Subject::Setting {
        setting: Aspect::Lifecycle,
    };
    let mut e = about(setting, ChangeKind::Replaced);
    e.own_changes.push(own("a", "PutObject", None));
    e.own_changes[0].key = None;
    assert_eq!(
        judge(&e).as_str(),
        "changed-by-others",
        "no request of ours changes settings"
    );
    let upload = Subject::Upload {
        key: key.clone(),
        id: id.clone(),
    };
    let mut e = about(upload, ChangeKind::Added);
    assert_eq!(judge(&e).as_str(), "changed-by-others");
    e.own_changes.push(own("a", "CreateMultipartUpload", None));
    assert_eq!(judge(&e).as_str(), "unverifiable");
}

#[test]
fn a_marker_that_hides_an_object_counts_as_its_loss_when_it_may_be_ours() {
    let (key, id): (ObjectKey, Box<str>) = ("a".parse().unwrap(), "1".into());
    let mut e = about(Subject::Marker { key, id }, ChangeKind::Added);
    assert_eq!(judge(&e).as_str(), "changed-by-others");
    e.own_changes.push(own("a", "DeleteObject", None));
    assert_eq!(judge(&e).as_str(), "missing");
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let key = || "[ab]".prop_map(|key| key.parse::<ObjectKey>().unwrap());
    let id = || "[12]".prop_map(Into::<Box<str>>::into);
    prop_oneof![
        key().prop_map(|key| Subject::Object { key }),
        (key(), id()).prop_map(|(key, id)| Subject::Version { key, id }),
        (key(), id()).prop_map(|(key, id)| Subject::Marker { key, id }),
        (key(), id()).prop_map(|(key, id)| Subject::Upload { key, id }),
        Just(Subject::Setting {
            setting: Aspect::Policy
        }),
    ]
}

fn any_kind() -> impl Strategy<Value = ChangeKind> {
    prop_oneof![
        Just(ChangeKind::Added),
        Just(ChangeKind::Removed),
        Just(ChangeKind::Replaced)
    ]
}

fn any_own() -> impl Strategy<Value = OwnChange> {
    let action = prop_oneof![
        Just("PutObject"),
        Just("DeleteObject"),
        Just("DeleteObjects")
    ];
    let sibling = proptest::option::of(Just("other"));
    ("[ab]", action, sibling).prop_map(|(key, action, sibling)| own(&key, action, sibling))
}

fn any_setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        Just(Setting::Unset),
        (0..2_u8).prop_map(|n| Setting::Set {
            digest: Digest([n; 32])
        }),
        Just(Setting::NotTold {
            reason: "AccessDenied".into()
        }),
    ]
}

fn any_survey() -> impl Strategy<Value = BucketSurvey> {
    let identity = prop_oneof![Just("then"), Just("now")];
    let sampled = proptest::option::of(0..5_u64);
    (
        identity,
        any_setting(),
        sampled,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(identity, setting, sampled, unlisted, told)| {
            let mut survey = plain(identity);
            if !told {
                survey.identity = BucketIdentity::NotTold;
            }
            survey.settings.insert(Aspect::Policy, setting);
            survey.sampled = sampled;
            if unlisted {
                survey
                    .unlisted
                    .insert(Part::Versions, "NotImplemented".into());
            }
            survey
        })
}

proptest! {
    /// Each rule of what a verdict means, on its own, for whatever evidence there is.
    #[test]
    fn a_verdict_is_never_better_than_its_evidence(
        first in proptest::option::of(any_survey()),
        second in proptest::option::of(any_survey()),
        differences in proptest::collection::vec((any_subject(), any_kind()), 0..4),
        own_changes in proptest::collection::vec(any_own(), 0..3),
        gap: bool,
        extent in prop_oneof![Just(Extent::Full), Just(Extent::Sample), Just(Extent::Identity)],
    ) {
        let outcome = |survey: &Option<BucketSurvey>| match survey {
            Some(survey) => Ok(vec![BucketOutcome::Surveyed(survey.clone())]),
            None => Err("away".to_owned()),
        };
        let mut e = evidence(&[]);
        (e.before, e.after) = (outcome(&first), outcome(&second));
        for (subject, kind) in differences {
            e.differences.record(Difference { bucket: "photos".parse().unwrap(), subject, kind });
        }
        if let (Ok(before), Ok(after)) = (&e.before, &e.after) {
            e.differences.add_settings(before, after);
        }
        e.own_changes = own_changes;
        e.journal_gap = gap.then(|| "the daemon was killed".into());
        e.extent = extent;
        let verdict = judge(&e);
        let (Some(first), Some(second)) = (first, second) else {
            prop_assert_eq!(verdict.as_str(), "unverifiable");
            return Ok(());
        };
        let ours = |d: &Difference| e.own_changes.iter().any(|c| c.sibling.is_none() && c.touches(d));
        match verdict {
            Verdict::Intact | Verdict::IntactAsSampled { .. } => {
                prop_assert_eq!(e.differences.total, 0);
                prop_assert_ne!(extent, Extent::Identity);
                prop_assert_ne!(first.identity.same_as(&second.identity), SameBucket::No);
                prop_assert_eq!(first.lost(&second), None);
                let partly = first.sampled.is_some();
                prop_assert_eq!(verdict != Verdict::Intact, partly);
            }
            Verdict::ChangedByOthers { .. } => {
                prop_assert!(e.differences.total > 0);
                prop_assert!(e.journal_gap.is_none());
                prop_assert!(!e.differences.named.iter().any(ours));
                prop_assert_eq!(first.lost(&second), None);
            }
            Verdict::Missing { .. } => prop_assert!(
                first.identity.same_as(&second.identity) == SameBucket::No
                    || e.differences.named.iter().any(|d| d.takes_away() && ours(d))
            ),
            Verdict::Unverifiable { .. } => {}
        }
    }
}
