//! The deletion of a connection as a pure state machine.
//!
//! A [`Deletion`] is journalled in every phase; [`Deletion::next`] says which effect is due, the
//! daemon performs it, and [`Deletion::apply`] takes what came of it. A crash repeats the effect
//! that was due, so every effect must be idempotent. No event leads from [`Phase::Revoked`] or
//! later back to living keys.

mod scream;

use std::collections::{BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use self::scream::{Scream, ScreamKnock};
use crate::{
    audit::Caller,
    ids::{ConnectionId, DeletionId},
    names::ConnectionName,
    plan::CheckBox,
    survey::{BucketOutcome, Differences, Extent},
    verdict::{self, Evidence, OwnChange, Verdict},
};

/// How far a deletion has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A scream test: the keys are paused, and it is listened whether anybody knocks.
    Listening,
    /// Asked for and journalled. The connection's keys count as paused from here.
    Requested,
    /// No exchange with the provider is open any more; what is in doubt is recorded.
    Drained,
    /// The first survey is kept, or it was decided to go without.
    Surveyed,
    /// The durable transaction: every key is dead. Nothing leads back from here.
    Revoked,
    /// The verdict stands, and a receipt without erasure is kept.
    Judged,
    /// Secrets erased, receipt final.
    Finished,
    /// Called off before the keys were dead; everything is as before.
    Cancelled,
}

impl Phase {
    /// Every phase; tests of crashes enumerate it.
    pub const ALL: [Self; 8] = [
        Self::Listening,
        Self::Requested,
        Self::Drained,
        Self::Surveyed,
        Self::Revoked,
        Self::Judged,
        Self::Finished,
        Self::Cancelled,
    ];

    /// The name in logs, files and the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listening => "listening",
            Self::Requested => "requested",
            Self::Drained => "drained",
            Self::Surveyed => "surveyed",
            Self::Revoked => "revoked",
            Self::Judged => "judged",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled)
    }

    /// Whether the keys are dead for good.
    #[must_use]
    pub const fn keys_are_dead(self) -> bool {
        matches!(self, Self::Revoked | Self::Judged | Self::Finished)
    }
}

/// What the daemon has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Keep the keys paused and listen, until it was silent for long enough.
    Listen,
    /// Stop admitting requests, cut streams, wait for exchanges with the provider to end.
    Drain,
    /// Survey every bucket and keep the manifests.
    SurveyBefore,
    /// The one durable transaction that kills every key. Journals [`Phase::Revoked`] itself.
    Revoke,
    /// Survey every bucket again and compare with the kept manifests.
    SurveyAfter,
    /// Destroy the connection's key file, manifests and rows; make the receipt final.
    Erase,
}

/// What came of an effect, or what was asked for meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nobody knocked for so long, by a clock that nobody can set.
    Listened(SignedDuration),
    /// Somebody knocked: the countdown stops.
    Knocked(ScreamKnock),
    /// The user lets a stopped countdown begin anew.
    GoOn,
    /// No exchange with the provider is open any more.
    Drained {
        /// Requests whose outcome at the provider is unknown.
        in_doubt: Vec<OwnChange>,
    },
    /// Every bucket was surveyed.
    SurveyedBefore(Vec<BucketOutcome>),
    /// The first survey failed. Only with `survey-complete` vouched for does the deletion go on.
    SurveyBeforeFailed(String),
    /// The transaction is durable.
    Revoked,
    /// Every bucket was surveyed again.
    SurveyedAfter {
        /// What was seen.
        outcomes: Vec<BucketOutcome>,
        /// What differs.
        differences: Differences,
        /// What siblings changed meanwhile.
        sibling_changes: Vec<OwnChange>,
    },
    /// The second survey failed because the provider is away; it is tried again later.
    SurveyAfterFailed(String),
    /// The second survey can never succeed; waiting would not help.
    SurveyAfterImpossible(String),
    /// The user gives up a verdict that is pending: nothing is surveyed any more.
    FinishUnverified,
    /// Key file, manifests and rows are gone.
    Erased,
    /// The user calls it off.
    Cancel,
}

/// Why an event was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The keys are dead; that can't be undone.
    #[error("the keys are already revoked, and that can't be undone")]
    TooLate,
    /// Only a scream test that somebody stopped goes on by a word.
    #[error("nothing stopped this deletion; it goes on by itself")]
    NotStopped,
    /// Only a verdict that is pending can be given up.
    #[error(
        "the keys are not dead yet, so no verdict is pending; the deletion can still be cancelled"
    )]
    NotRevoked,
    /// There is nothing left to give up.
    #[error("the verdict stands already, and what remains is to erase")]
    Judged,
    /// It has ended.
    #[error("the deletion is already {}", .0.as_str())]
    Over(Phase),
    /// The event does not belong to this phase: a defect, never the user's fault.
    #[error("a deletion that is {} can't take this step", .0.as_str())]
    OutOfOrder(Phase),
}

/// Why a deletion waits, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// In fixed words, without bucket or endpoint.
    pub reason: String,
    /// Since the first failure in a row.
    pub since: Timestamp,
    /// Failures in a row.
    pub attempts: u32,
}

/// When each phase was reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// [`Phase::Drained`].
    pub drained: Option<Timestamp>,
    /// [`Phase::Surveyed`].
    pub surveyed: Option<Timestamp>,
    /// [`Phase::Revoked`].
    pub revoked: Option<Timestamp>,
    /// [`Phase::Judged`].
    pub judged: Option<Timestamp>,
    /// [`Phase::Finished`] or [`Phase::Cancelled`].
    pub ended: Option<Timestamp>,
}

/// One deletion, without what reveals the connection: that is its [`Findings`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// Its id, and its receipt's.
    pub id: DeletionId,
    /// What is deleted.
    pub connection: ConnectionId,
    /// What it was called then.
    pub name: ConnectionName,
    /// How far it has come.
    pub phase: Phase,
    /// Whether the keys die before any survey.
    pub emergency: bool,
    /// How much of the buckets is surveyed.
    #[serde(default)]
    pub survey: Extent,
    /// Boxes the user vouched for.
    pub acknowledged: BTreeSet<CheckBox>,
    /// Who asked.
    pub requested_by: Caller,
    /// When.
    pub requested_at: Timestamp,
    /// How many keys die with it.
    pub keys: u32,
    /// When the phases were reached.
    pub stamps: Stamps,
    /// Set while the provider is away; once cancelled, why the daemon called it off.
    pub parked: Option<Parked>,
    /// From [`Phase::Judged`] on: the word for the verdict.
    pub verdict: Option<String>,
    /// What the scream test before it has heard, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scream: Option<Scream>,
}

/// What a deletion has seen: names buckets and objects, so it is sealed with the connection's own
/// key and gone when that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Requests of ours that may have changed a bucket.
    pub own_changes: Vec<OwnChange>,
    /// Set when the daemon was killed at a time that leaves a gap.
    pub journal_gap: Option<String>,
    /// The first survey, or why there is none.
    pub before: Result<Vec<BucketOutcome>, String>,
    /// The second.
    pub after: Result<Vec<BucketOutcome>, String>,
    /// What differs.
    pub differences: Differences,
    /// What that proves; from [`Phase::Judged`] on.
    pub verdict: Option<Verdict>,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            own_changes: Vec::new(),
            journal_gap: None,
            before: Err("not taken".into()),
            after: Err("not taken".into()),
            differences: Differences::default(),
            verdict: None,
        }
    }
}

/// How long a verdict may stay pending before the credentials are given up.
pub const PENDING_LIMIT: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often it must have been tried besides: a clock that jumps, or a machine that slept all
/// week, gives nothing up.
pub const PENDING_ATTEMPTS: u32 = 1000;

/// Why there is no second survey when the user did not want to wait for it.
const GIVEN_UP: &str = "ended by the user before the second survey";

impl Deletion {
    /// What is due now; nothing when it is over.
    #[must_use]
    pub const fn next(&self) -> Option<Effect> {
        match self.phase {
            Phase::Listening => Some(Effect::Listen),
            Phase::Requested => Some(Effect::Drain),
            Phase::Drained if self.emergency => Some(Effect::Revoke),
            Phase::Drained => Some(Effect::SurveyBefore),
            Phase::Surveyed => Some(Effect::Revoke),
            Phase::Revoked => Some(Effect::SurveyAfter),
            Phase::Judged => Some(Effect::Erase),
            Phase::Finished | Phase::Cancelled => None,
        }
    }

    /// Takes an event at a time. On refusal nothing has changed.
    pub fn apply(
        &mut self,
        findings: &mut Findings,
        event: Event,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.phase.is_over() {
            return Err(Refusal::Over(self.phase));
        }
        match (self.phase, event) {
            (phase, Event::Cancel) => {
                if phase.keys_are_dead() {
                    return Err(Refusal::TooLate);
                }
                self.reach(Phase::Cancelled, now);
            }
            (Phase::Listening, event @ (Event::Listened(_) | Event::Knocked(_) | Event::GoOn)) => {
                self.hear(event, now)?;
            }
            (phase, Event::GoOn) if phase.keys_are_dead() => return Err(Refusal::TooLate),
            (_, Event::GoOn) => return Err(Refusal::NotStopped),
            (Phase::Requested, Event::Drained { in_doubt }) => {
                findings.own_changes.extend(in_doubt);
                if self.emergency {
                    findings.before = Err("an emergency revokes first".into());
                }
                self.reach(Phase::Drained, now);
            }
            (Phase::Drained, Event::SurveyedBefore(outcomes)) if !self.emergency => {
                let gone = outcomes
                    .iter()
                    .any(|o| matches!(o, BucketOutcome::Gone { .. }));
                findings.before = Ok(outcomes);
                if gone {
                    self.go_without_survey("a bucket does not exist", now);
                } else {
                    self.reach(Phase::Surveyed, now);
                }
            }
            (Phase::Drained, Event::SurveyBeforeFailed(why)) if !self.emergency => {
                self.go_without_survey(&why, now);
                findings.before = Err(why);
            }
            (Phase::Surveyed, Event::Revoked) => self.reach(Phase::Revoked, now),
            (Phase::Drained, Event::Revoked) if self.emergency => self.reach(Phase::Revoked, now),
            (
                Phase::Revoked,
                Event::SurveyedAfter {
                    outcomes,
                    differences,
                    sibling_changes,
                },
            ) => {
                findings.differences = differences;
                if let Ok(before) = &findings.before {
                    findings.differences.add_settings(before, &outcomes);
                }
                findings.after = Ok(outcomes);
                findings
                    .own_changes
                    .extend(concerning(sibling_changes, &findings.differences));
                self.conclude(findings, now);
            }
            (Phase::Revoked, Event::SurveyAfterFailed(why)) if findings.before.is_err() => {
                // Nothing to compare with: waiting could not make the verdict any better.
                findings.after = Err(why);
                self.conclude(findings, now);
            }
            (Phase::Revoked, Event::SurveyAfterFailed(why)) => {
                let parked = self.parked.get_or_insert(Parked {
                    reason: String::new(),
                    since: now,
                    attempts: 0,
                });
                parked.reason.clone_from(&why);
                parked.attempts = parked.attempts.saturating_add(1);
                let waited = now.duration_since(parked.since) >= PENDING_LIMIT;
                if waited && parked.attempts >= PENDING_ATTEMPTS {
                    findings.after = Err(format!("{why}, for 7 days"));
                    self.conclude(findings, now);
                }
            }
            (Phase::Revoked, Event::SurveyAfterImpossible(why)) => {
                findings.after = Err(why);
                self.conclude(findings, now);
            }
            (Phase::Revoked, Event::FinishUnverified) => {
                findings.after = Err(GIVEN_UP.into());
                self.conclude(findings, now);
            }
            (Phase::Judged, Event::FinishUnverified) => return Err(Refusal::Judged),
            (_, Event::FinishUnverified) => return Err(Refusal::NotRevoked),
            (Phase::Judged, Event::Erased) => self.reach(Phase::Finished, now),
            (phase, _) => return Err(Refusal::OutOfOrder(phase)),
        }
        Ok(())
    }

    fn hear(&mut self, event: Event, now: Timestamp) -> Result<(), Refusal> {
        let Some(scream) = &mut self.scream else {
            return Err(Refusal::OutOfOrder(self.phase));
        };
        match event {
            Event::Listened(silence) => {
                scream.listened(silence);
                scream.counting_since = scream.knock.is_none().then_some(now);
                if scream.left() == Some(SignedDuration::ZERO) {
                    self.reach(Phase::Requested, now);
                }
            }
            Event::Knocked(knock) => {
                self.parked = Some(Parked {
                    reason: format!(
                        "the key {} knocked; see bascule findings show {}",
                        knock.label, knock.finding
                    ),
                    since: knock.at,
                    attempts: 1,
                });
                scream.stop(knock);
            }
            _ if scream.knock.is_none() => return Err(Refusal::NotStopped),
            _ => {
                self.parked = None;
                scream.begin_anew();
                scream.counting_since = Some(now);
            }
        }
        Ok(())
    }

    /// Notes that the daemon was killed and started again in this phase.
    pub fn note_restart(&self, findings: &mut Findings) {
        match self.phase {
            // Which exchanges were open at the kill, and which keys they named, is not known.
            Phase::Requested => {
                findings.journal_gap =
                    Some("the daemon was stopped while requests of ours were being cut".into());
            }
            // The first survey goes on from what it had listed; what siblings did since is kept in
            // memory only.
            Phase::Drained if !self.emergency => {
                findings.journal_gap = Some(
                    "the daemon was stopped during the first survey, so what siblings did then is \
                     not known"
                        .into(),
                );
            }
            Phase::Surveyed | Phase::Revoked => {
                findings.journal_gap = Some(
                    "the daemon was stopped between the surveys, so what siblings did is not known"
                        .into(),
                );
            }
            _ => {}
        }
    }

    /// The user was promised a survey; without it nothing dies, unless it was vouched for.
    fn go_without_survey(&mut self, why: &str, now: Timestamp) {
        if self.acknowledged.contains(&CheckBox::SurveyComplete) {
            self.reach(Phase::Surveyed, now);
        } else {
            self.parked = Some(Parked {
                reason: why.to_owned(),
                since: now,
                attempts: 1,
            });
            self.reach(Phase::Cancelled, now);
        }
    }

    fn conclude(&mut self, findings: &mut Findings, now: Timestamp) {
        let verdict = verdict::judge(&Evidence {
            before: findings.before.clone(),
            after: findings.after.clone(),
            differences: findings.differences.clone(),
            own_changes: findings.own_changes.clone(),
            journal_gap: findings.journal_gap.clone(),
            extent: self.survey,
        });
        self.verdict = Some(verdict.as_str().to_owned());
        findings.verdict = Some(verdict);
        self.parked = None;
        self.reach(Phase::Judged, now);
    }

    fn reach(&mut self, phase: Phase, now: Timestamp) {
        self.phase = phase;
        let stamp = match phase {
            Phase::Listening | Phase::Requested => return,
            Phase::Drained => &mut self.stamps.drained,
            Phase::Surveyed => &mut self.stamps.surveyed,
            Phase::Revoked => &mut self.stamps.revoked,
            Phase::Judged => &mut self.stamps.judged,
            Phase::Finished | Phase::Cancelled => &mut self.stamps.ended,
        };
        *stamp = Some(now);
    }
}

/// Of what siblings changed, that which may be behind a difference. Where not all differences are
/// named, each sibling is kept once for each bucket, since it may be behind any.
fn concerning(changes: Vec<OwnChange>, differences: &Differences) -> Vec<OwnChange> {
    let named: HashSet<_> = differences
        .named
        .iter()
        .filter_map(|d| Some((&d.bucket, d.subject.key()?)))
        .collect();
    let mut kept = Vec::new();
    let mut seen = HashSet::new();
    for mut change in changes {
        let behind = match &change.key {
            Some(key) => named.contains(&(&change.bucket, key)),
            None => differences.total > 0,
        };
        if differences.is_cut() {
            change.key = None;
        } else if !behind {
            continue;
        }
        let once = (
            change.bucket.clone(),
            change.key.clone(),
            change.action.clone(),
            change.sibling.clone(),
        );
        if seen.insert(once) {
            kept.push(change);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn deletion(emergency: bool, acknowledged: &[CheckBox]) -> Deletion {
        Deletion {
            id: DeletionId::from_random([1; 10]),
            connection: ConnectionId::from_random([2; 10]),
            name: "photos".parse().unwrap(),
            phase: Phase::Requested,
            emergency,
            survey: Extent::Full,
            acknowledged: acknowledged.iter().copied().collect(),
            requested_by: Caller {
                uid: 0,
                pid: None,
                program: None,
                parent: None,
            },
            requested_at: Timestamp::UNIX_EPOCH,
            keys: 1,
            stamps: Stamps::default(),
            parked: None,
            verdict: None,
            scream: None,
        }
    }

    fn gone() -> Vec<BucketOutcome> {
        vec![BucketOutcome::Gone {
            bucket: "photos".parse().unwrap(),
        }]
    }

    /// The event that an effect which goes well comes back with.
    fn well(effect: Effect) -> Event {
        match effect {
            Effect::Listen => Event::Listened(SignedDuration::from_hours(1)),
            Effect::Drain => Event::Drained { in_doubt: vec![] },
            Effect::SurveyBefore => Event::SurveyedBefore(vec![]),
            Effect::Revoke => Event::Revoked,
            Effect::SurveyAfter => Event::SurveyedAfter {
                outcomes: vec![],
                differences: Differences::default(),
                sibling_changes: vec![],
            },
            Effect::Erase => Event::Erased,
        }
    }

    #[test]
    fn a_deletion_runs_to_its_end_by_itself() {
        for emergency in [false, true] {
            let mut d = deletion(emergency, &[]);
            let mut findings = Findings::default();
            let mut seen = vec![d.phase];
            while let Some(effect) = d.next() {
                d.apply(&mut findings, well(effect), Timestamp::UNIX_EPOCH)
                    .unwrap();
                seen.push(d.phase);
            }
            assert_eq!(d.phase, Phase::Finished);
            assert_eq!(seen.contains(&Phase::Surveyed), !emergency);
            let expected = if emergency { "unverifiable" } else { "intact" };
            assert_eq!(d.verdict.as_deref(), Some(expected));
        }
    }

    #[test]
    fn without_a_survey_nothing_dies_unless_it_was_vouched_for() {
        let failed = || Event::SurveyBeforeFailed("away".into());
        let mut findings = Findings::default();
        let mut d = deletion(false, &[]);
        d.phase = Phase::Drained;
        d.apply(&mut findings, failed(), Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(d.phase, Phase::Cancelled);

        let mut d = deletion(false, &[CheckBox::SurveyComplete]);
        d.phase = Phase::Drained;
        d.apply(&mut findings, failed(), Timestamp::UNIX_EPOCH)
            .unwrap();
        assert_eq!(d.next(), Some(Effect::Revoke));

        let mut d = deletion(false, &[]);
        d.phase = Phase::Drained;
        d.apply(
            &mut findings,
            Event::SurveyedBefore(gone()),
            Timestamp::UNIX_EPOCH,
        )
        .unwrap();
        assert_eq!(
            d.phase,
            Phase::Cancelled,
            "a bucket that is gone was not surveyed"
        );
    }

    #[test]
    fn a_provider_that_stays_away_parks_the_verdict_for_seven_days_and_many_tries() {
        let mut d = deletion(false, &[]);
        d.phase = Phase::Revoked;
        let mut findings = Findings {
            before: Ok(gone()),
            ..Findings::default()
        };
        let day = |n: i64| Timestamp::from_second(n * 86_400).unwrap();
        let mut fail = |d: &mut Deletion, at| {
            d.apply(&mut findings, Event::SurveyAfterFailed("away".into()), at)
                .unwrap();
        };
        fail(&mut d, day(0));
        // A week on the clock alone, asleep or set, gives nothing up.
        fail(&mut d, day(8));
        assert_eq!(d.next(), Some(Effect::SurveyAfter));
        for _ in 2..PENDING_ATTEMPTS - 1 {
            fail(&mut d, day(8));
        }
        assert_eq!(d.phase, Phase::Revoked);
        fail(&mut d, day(8));
        assert_eq!(d.phase, Phase::Judged);
        assert_eq!(d.verdict.as_deref(), Some("unverifiable"));
    }

    #[test]
    fn whoever_gives_up_a_pending_verdict_gets_no_better_one_and_only_while_it_is_pending() {
        let now = Timestamp::UNIX_EPOCH;
        for before in [Ok(vec![]), Err("an emergency revokes first".to_owned())] {
            let mut d = deletion(false, &[]);
            d.phase = Phase::Revoked;
            let mut findings = Findings {
                before,
                ..Findings::default()
            };
            d.apply(&mut findings, Event::FinishUnverified, now)
                .unwrap();
            assert_eq!(d.next(), Some(Effect::Erase));
            let Some(Verdict::Unverifiable { reason }) = findings.verdict else {
                panic!("{findings:?}")
            };
            assert!(
                findings.before.is_err() || reason.contains("ended by the user"),
                "{reason}"
            );
            assert_eq!(findings.after, Err(GIVEN_UP.to_owned()));
        }
        for phase in Phase::ALL {
            let expected = match phase {
                Phase::Revoked => continue,
                Phase::Judged => Refusal::Judged,
                Phase::Finished | Phase::Cancelled => Refusal::Over(phase),
                _ => Refusal::NotRevoked,
            };
            let mut d = deletion(false, &[]);
            d.phase = phase;
            let refused = d.apply(&mut Findings::default(), Event::FinishUnverified, now);
            assert_eq!(refused, Err(expected), "{phase:?}");
        }
    }

    #[test]
    fn a_sibling_is_named_once_where_differences_are_too_many_to_name() {
        let change = |key: &str| OwnChange {
            bucket: "photos".parse().unwrap(),
            key: Some(key.parse().unwrap()),
            action: "PutObject".into(),
            in_doubt: false,
            sibling: Some("other".into()),
        };
        let mut differences = Differences::default();
        for n in 0..=Differences::NAMED {
            differences.record(crate::survey::Difference {
                bucket: "photos".parse().unwrap(),
                subject: crate::survey::Subject::Object {
                    key: format!("{n:05}").parse().unwrap(),
                },
                kind: crate::survey::ChangeKind::Replaced,
            });
        }
        let kept = concerning(vec![change("zz1"), change("zz2")], &differences);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].key, None);

        let mut few = Differences::default();
        few.record(differences.named[0].clone());
        assert_eq!(concerning(vec![change("zz1")], &few), []);
        assert_eq!(concerning(vec![change("00000")], &few).len(), 1);
    }

    fn knock() -> ScreamKnock {
        ScreamKnock {
            at: Timestamp::UNIX_EPOCH,
            label: "laptop".parse().unwrap(),
            finding: "F7".into(),
        }
    }

    fn listening(hours: i64) -> Deletion {
        Deletion {
            phase: Phase::Listening,
            scream: Some(Scream::of(SignedDuration::from_hours(hours))),
            ..deletion(false, &[])
        }
    }

    #[test]
    fn silence_completes_a_scream_test_and_a_knock_stops_it_until_somebody_decides() {
        let mut findings = Findings::default();
        let mut hear =
            |d: &mut Deletion, event| d.apply(&mut findings, event, Timestamp::UNIX_EPOCH);
        let hour = || Event::Listened(SignedDuration::from_hours(1));
        let mut d = listening(3);
        hear(&mut d, hour()).unwrap();
        hear(&mut d, hour()).unwrap();
        assert_eq!(d.phase, Phase::Listening);
        hear(&mut d, Event::Knocked(knock())).unwrap();
        for _ in 0..5 {
            hear(&mut d, hour()).unwrap();
        }
        assert_eq!(d.phase, Phase::Listening, "it stands still");
        assert!(d.parked.as_ref().unwrap().reason.contains("laptop"));
        hear(&mut d, Event::GoOn).unwrap();
        assert_eq!(hear(&mut d, Event::GoOn), Err(Refusal::NotStopped));
        hear(&mut d, hour()).unwrap();
        hear(&mut d, hour()).unwrap();
        assert_eq!(d.phase, Phase::Listening, "from the beginning");
        hear(&mut d, hour()).unwrap();
        assert_eq!(d.next(), Some(Effect::Drain));
        assert_eq!(d.scream.unwrap().knocks, 1);
        let mut d = listening(3);
        hear(&mut d, Event::Cancel).unwrap();
        assert_eq!(d.phase, Phase::Cancelled);
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(well(Effect::Listen)),
            Just(Event::Knocked(knock())),
            Just(Event::GoOn),
            Just(well(Effect::Drain)),
            Just(well(Effect::SurveyBefore)),
            Just(Event::SurveyBeforeFailed("away".into())),
            Just(well(Effect::Revoke)),
            Just(well(Effect::SurveyAfter)),
            Just(Event::SurveyAfterFailed("away".into())),
            Just(Event::SurveyAfterImpossible("not ordered".into())),
            Just(Event::FinishUnverified),
            Just(well(Effect::Erase)),
            Just(Event::Cancel),
        ]
    }

    proptest! {
        #[test]
        fn no_sequence_of_events_brings_a_dead_key_back(
            events in proptest::collection::vec(any_event(), 0..20),
            emergency: bool,
            scream: bool,
        ) {
            let mut d = if scream { listening(2) } else { deletion(emergency, &[]) };
            let mut findings = Findings::default();
            let mut dead = false;
            for event in events {
                let before = d.clone();
                if d.apply(&mut findings, event, Timestamp::UNIX_EPOCH).is_err() {
                    prop_assert_eq!(&d, &before);
                }
                dead |= d.phase.keys_are_dead();
                prop_assert_eq!(d.phase.keys_are_dead(), dead);
                prop_assert!(d.phase == Phase::Cancelled || d.phase >= before.phase);
            }
        }
    }
}
