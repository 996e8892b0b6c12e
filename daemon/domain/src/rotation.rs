//! The rotation of a key as a pure state machine.
//!
//! A [`Rotation`] exists while an old key and its successor both work. It is journalled together
//! with the keys' records, so at every moment there is either one key, or two and a rotation that
//! will end. [`Rotation::apply`] takes an event and says what has to be done; the daemon does that
//! in one durable transaction. An event that is applied again after a crash leads to the same end.
//!
//! Nothing dies by the wall clock alone: the boot clock must have counted the same time since the
//! rotation's anchor, or the rotation is parked until the clocks agree again or somebody decides.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    access_key::AccessKeyId,
    audit::Caller,
    ids::{ConnectionId, KeyId},
    key::{Key, KeyKind, KeyState},
    moment::Moment,
    tombstone::CauseOfDeath,
};

/// The shortest grace that is taken by default.
pub const SHORTEST_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
/// Longer graces and silences are mistakes.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);
/// A key seen for less than this may have a weekly user nobody has met.
const SEEN_ENOUGH: SignedDuration = SignedDuration::from_hours(24 * 7);
/// How long an old key lives on, by both clocks, after a reboot behind which its deadline passed:
/// what set the wall clock meanwhile is not known, and time servers need a moment.
pub const SETTLE: SignedDuration = SignedDuration::from_mins(10);

/// What is known of a key's rhythm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// Its uses are recorded since.
    pub observed_since: Timestamp,
    /// The longest time between two uses; `None` when it was not used twice.
    pub longest: Option<SignedDuration>,
}

/// Why a grace is as long as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Basis {
    /// The user said so.
    Asked,
    /// From the longest interval seen between uses.
    Interval {
        /// That interval.
        longest: SignedDuration,
    },
    /// The key was used too briefly to tell.
    TooBrief,
}

/// How long both keys work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grace {
    /// So long.
    pub length: SignedDuration,
    /// And why.
    pub basis: Basis,
}

/// The grace or silence asked for can't be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be between a second and 366 days")]
pub struct OutOfBounds;

/// Checks a duration that somebody asked for.
pub fn bounded(length: SignedDuration) -> Result<SignedDuration, OutOfBounds> {
    if length >= SignedDuration::from_secs(1) && length <= LONGEST {
        Ok(length)
    } else {
        Err(OutOfBounds)
    }
}

impl Grace {
    /// As asked for.
    pub fn asked(length: SignedDuration) -> Result<Self, OutOfBounds> {
        Ok(Self {
            length: bounded(length)?,
            basis: Basis::Asked,
        })
    }

    /// Twice the longest interval between uses, at least a day.
    #[must_use]
    pub fn by_default(rhythm: Option<Rhythm>, now: Timestamp) -> Self {
        let twice = rhythm
            .and_then(|rhythm| rhythm.longest)
            .map_or(SHORTEST_DEFAULT, |longest| longest.saturating_mul(2));
        let basis = match rhythm {
            Some(Rhythm {
                observed_since,
                longest: Some(longest),
            }) if now.duration_since(observed_since) >= SEEN_ENOUGH => Basis::Interval { longest },
            _ => Basis::TooBrief,
        };
        Self {
            length: twice.clamp(SHORTEST_DEFAULT, LONGEST),
            basis,
        }
    }
}

/// Why a key can't be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRotatable {
    /// It has a successor already.
    #[error("the key is retiring already")]
    Retiring,
    /// A successor would be born expired.
    #[error("the key has expired, and its successor would inherit that")]
    Expired,
    /// Making it work again beside its successor is not what a pause is for.
    #[error("the key is paused")]
    Paused,
    /// The provider made it.
    #[error("the key was minted by the provider")]
    Minted,
}

/// The key that takes another one's place: it inherits every restriction, the label, and a pause.
/// Two keys may share a label only this way; state and access key id tell them apart.
pub fn succeed(
    old: &Key,
    id: KeyId,
    access_key_id: AccessKeyId,
    now: Timestamp,
) -> Result<Key, NotRotatable> {
    if old.successor.is_some() || old.state == KeyState::Retiring {
        return Err(NotRotatable::Retiring);
    }
    if old.kind != KeyKind::Gateway {
        return Err(NotRotatable::Minted);
    }
    if old.expires_at.is_some_and(|end| now >= end) {
        return Err(NotRotatable::Expired);
    }
    Ok(Key {
        id,
        access_key_id,
        generation: 1,
        predecessor: Some(old.id),
        successor: None,
        issued_at: now,
        ..old.clone()
    })
}

/// The old key beside its successor. Its rights stay as they are and so does its generation: what
/// it has open goes on.
pub fn retire(old: &Key, successor: KeyId) -> Result<Key, NotRotatable> {
    match old.state {
        KeyState::Active => Ok(Key {
            state: KeyState::Retiring,
            successor: Some(successor),
            ..old.clone()
        }),
        KeyState::Paused => Err(NotRotatable::Paused),
        KeyState::Retiring => Err(NotRotatable::Retiring),
    }
}

/// The old key after its rotation was called off. A pause stays.
#[must_use]
pub fn restore(old: &Key) -> Key {
    Key {
        state: match old.state {
            KeyState::Retiring => KeyState::Active,
            state => state,
        },
        successor: None,
        ..old.clone()
    }
}

/// Why an old key died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The grace was over.
    Deadline,
    /// It was not used for as long as was asked.
    Silent,
    /// Somebody ended it, or never wanted a grace.
    AtOnce,
}

impl Ending {
    /// In words, after "it was rotated".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deadline => "its grace was over",
            Self::Silent => "it had been silent for as long as was asked",
            Self::AtOnce => "it was ended at once",
        }
    }
}

/// What is journalled; tests of crashes enumerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The successor is there, the old key retires.
    Begun,
    /// The successor is there, the old key is dead.
    AtOnce,
    /// The successor was never used and got a successor of its own.
    Replaced,
    /// Another grace or silence was asked for.
    Retimed,
    /// The clock jumped; nothing dies until somebody decides.
    Parked,
    /// It goes on after that.
    WentOn,
    /// The machine was started again: time counts from here.
    Rebooted,
    /// The old key is dead.
    Ended,
    /// The successor is dead, and the old key is as it was.
    CalledOff,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 9] = [
        Self::Begun,
        Self::AtOnce,
        Self::Replaced,
        Self::Retimed,
        Self::Parked,
        Self::WentOn,
        Self::Rebooted,
        Self::Ended,
        Self::CalledOff,
    ];

    /// The name in the audit.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "rotation-begun",
            Self::AtOnce => "rotation-at-once",
            Self::Replaced => "rotation-replaced",
            Self::Retimed => "rotation-retimed",
            Self::Parked => "rotation-parked",
            Self::WentOn => "rotation-went-on",
            Self::Rebooted => "rotation-rebooted",
            Self::Ended => "rotation-ended",
            Self::CalledOff => "rotation-called-off",
        }
    }
}

/// Why the clocks are not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// How far the wall clock was set forward, or back if negative.
    pub jump: SignedDuration,
    /// By the wall clock that is not trusted.
    pub since: Timestamp,
    /// Whether it was back behind a reboot, where the boot clock can't tell by how much really.
    pub across_a_reboot: bool,
}

/// Two keys that both work, and when the older one dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The key that dies.
    pub old: KeyId,
    /// The key that lives.
    pub successor: KeyId,
    /// Of which connection both are.
    pub connection: ConnectionId,
    /// Who asked.
    pub requested_by: Caller,
    /// When.
    pub began_at: Timestamp,
    /// How long the old key lives on.
    pub grace: Grace,
    /// It dies earlier once it was not used for so long.
    pub until_silent: Option<SignedDuration>,
    /// Both clocks at the moment from which time is counted.
    pub anchor: Moment,
    /// What was left of the grace at the anchor.
    pub left: SignedDuration,
    /// Set while the clocks are not trusted.
    pub parked: Option<Parked>,
}

/// What is known of the old key's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// Its last use; now, while it has a request open.
    pub last_use: Option<Timestamp>,
    /// A use before this moment may not be known.
    pub watched_since: Timestamp,
}

/// What happened, or was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody looked at the clocks: a timer, a step of the clock, a start of the daemon.
    Looked(Evidence),
    /// A shorter grace, from now, or another silence; what is `None` stays, and so does a grace
    /// that is asked for again.
    Retimed {
        /// From now on.
        grace: Option<Grace>,
        /// From now on.
        until_silent: Option<SignedDuration>,
    },
    /// Somebody says that the clock is right now.
    GoOn,
    /// Somebody ends it.
    End,
}

/// What has to be done, in one durable transaction with the rotation as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Keep the rotation as it is now.
    Keep(Step),
    /// Kill the old key; the rotation is over.
    Bury(Ending),
}

/// Why an event was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing to go on with.
    #[error("the rotation is not parked")]
    NotParked,
    /// Whatever repeats it would keep two keys for ever.
    #[error(
        "the grace can only be made shorter: the old key would live longer than it was given first"
    )]
    Longer,
}

/// What a rotation begins with.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long the old key lives on.
    pub grace: Grace,
    /// It dies earlier once it was not used for so long.
    pub until_silent: Option<SignedDuration>,
}

impl Rotation {
    /// Begins now, between an old key and its successor.
    const fn begin(
        old: &Key,
        successor: KeyId,
        terms: Terms,
        requested_by: Caller,
        now: Moment,
    ) -> Self {
        Self {
            old: old.id,
            successor,
            connection: old.connection,
            requested_by,
            began_at: now.wall,
            grace: terms.grace,
            until_silent: terms.until_silent,
            anchor: now,
            left: terms.grace.length,
            parked: None,
        }
    }

    /// When the old key dies at the latest, if the clocks are right.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        let deadline = self.anchor.wall.saturating_add(self.left);
        // A duration that was checked is never too large to be added.
        deadline.unwrap_or(Timestamp::MAX)
    }

    /// Since when the old key counts as silent: only what was watched by clocks that agreed.
    #[must_use]
    pub fn silent_since(&self, evidence: &Evidence) -> Timestamp {
        self.began_at
            .max(self.anchor.wall)
            .max(evidence.watched_since)
            .max(evidence.last_use.unwrap_or(Timestamp::MIN))
    }

    /// When it has to be looked at next, unless something happens before. `None` while parked.
    #[must_use]
    pub fn due(&self, evidence: &Evidence) -> Option<Timestamp> {
        if self.parked.is_some() {
            return None;
        }
        let deadline = self.deadline();
        let silent = self
            .until_silent
            .and_then(|silence| self.silent_since(evidence).saturating_add(silence).ok());
        Some(silent.map_or(deadline, |silent| silent.min(deadline)))
    }

    /// Takes an event. On refusal nothing has changed.
    pub fn apply(&mut self, event: Event, now: Moment) -> Result<Effect, Refusal> {
        match event {
            Event::Looked(evidence) => Ok(self.look(&evidence, now)),
            Event::Retimed {
                grace,
                until_silent,
            } => {
                let grace = grace.filter(|grace| grace.length != self.grace.length);
                if grace.is_none() && until_silent.is_none_or(|_| until_silent == self.until_silent)
                {
                    return Ok(Effect::Nothing);
                }
                if let Some(grace) = grace {
                    let elapsed = now.elapsed_since(&self.anchor).unwrap_or_default();
                    if grace.length > self.left.saturating_sub(elapsed) {
                        return Err(Refusal::Longer);
                    }
                    self.grace = grace;
                    self.left = grace.length;
                    self.anchor = now;
                    // Whoever says how long from now on has seen the clock.
                    self.parked = None;
                }
                self.until_silent = until_silent.or(self.until_silent);
                Ok(Effect::Keep(Step::Retimed))
            }
            Event::GoOn if self.parked.is_none() => Err(Refusal::NotParked),
            Event::GoOn => {
                self.go_on(now);
                Ok(Effect::Keep(Step::WentOn))
            }
            Event::End => Ok(Effect::Bury(Ending::AtOnce)),
        }
    }

    fn look(&mut self, evidence: &Evidence, now: Moment) -> Effect {
        let Some(jump) = now.jump_since(&self.anchor) else {
            return self.look_after_reboot(now);
        };
        if !jump.is_zero() {
            let known = self.parked.is_some_and(|parked| {
                parked.jump.saturating_sub(jump).abs() < SignedDuration::from_mins(2)
            });
            if known {
                return Effect::Nothing;
            }
            return self.park(jump, now, false);
        }
        if self.parked.is_some() {
            // The clock was set right again.
            self.go_on(now);
            return Effect::Keep(Step::WentOn);
        }
        if now.wall >= self.deadline() {
            return Effect::Bury(Ending::Deadline);
        }
        let silent = self
            .until_silent
            .is_some_and(|silence| now.wall.duration_since(self.silent_since(evidence)) >= silence);
        if silent {
            return Effect::Bury(Ending::Silent);
        }
        Effect::Nothing
    }

    fn look_after_reboot(&mut self, now: Moment) -> Effect {
        if self.parked.is_some() {
            return Effect::Nothing;
        }
        let away = now.wall.duration_since(self.anchor.wall);
        if away.is_negative() {
            return self.park(away, now, true);
        }
        self.left = self.left.saturating_sub(away).max(SETTLE);
        self.anchor = now;
        Effect::Keep(Step::Rebooted)
    }

    fn park(&mut self, jump: SignedDuration, now: Moment, across_a_reboot: bool) -> Effect {
        self.parked = Some(Parked {
            jump,
            since: now.wall,
            across_a_reboot,
        });
        Effect::Keep(Step::Parked)
    }

    /// Counts on from now. What the boot clock has counted is gone from the grace; behind a reboot
    /// it has counted nothing, so the old key rather lives too long.
    fn go_on(&mut self, now: Moment) {
        let elapsed = now.elapsed_since(&self.anchor).unwrap_or_default();
        self.left = self.left.saturating_sub(elapsed).max(SignedDuration::ZERO);
        self.anchor = now;
        self.parked = None;
    }
}

/// A change of several keys that is made as a whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// A new key.
    pub add: Option<Key>,
    /// Living keys whose records change.
    pub update: Vec<Key>,
    /// A key that dies, and why.
    pub bury: Option<(Key, CauseOfDeath)>,
    /// Rotations as they are from now on.
    pub rotations: Vec<Rotation>,
    /// Rotations that are over, by their old keys.
    pub over: Vec<KeyId>,
}

/// Both keys work from here on.
pub fn begin(
    old: &Key,
    successor: Key,
    terms: Terms,
    by: Caller,
    now: Moment,
) -> Result<KeyChange, NotRotatable> {
    Ok(KeyChange {
        update: vec![retire(old, successor.id)?],
        rotations: vec![Rotation::begin(old, successor.id, terms, by, now)],
        add: Some(successor),
        ..KeyChange::default()
    })
}

/// The key dies before its successor works. Whatever retires in favour of the dead key does so in
/// favour of the new one. `others` are the connection's rotations, each with its old key.
#[must_use]
pub fn replace<'a>(
    key: &Key,
    successor: Key,
    others: impl IntoIterator<Item = (&'a Rotation, &'a Key)>,
) -> KeyChange {
    let mut change = KeyChange {
        bury: Some((
            key.clone(),
            CauseOfDeath::Rotated {
                successor: successor.id,
                ending: Ending::AtOnce,
            },
        )),
        ..KeyChange::default()
    };
    for (rotation, old) in others {
        if rotation.successor == key.id {
            change.update.push(Key {
                successor: Some(successor.id),
                ..old.clone()
            });
            change.rotations.push(Rotation {
                successor: successor.id,
                ..rotation.clone()
            });
        }
    }
    change.add = Some(successor);
    change
}

/// The key dies. If it was to take another one's place, that one lives on as it was; if it retired,
/// its rotation is over. `others` are the connection's rotations, each with its old key.
#[must_use]
pub fn bury<'a>(
    key: &Key,
    cause: CauseOfDeath,
    others: impl IntoIterator<Item = (&'a Rotation, &'a Key)>,
) -> KeyChange {
    let mut change = KeyChange {
        bury: Some((key.clone(), cause)),
        ..KeyChange::default()
    };
    for (rotation, old) in others {
        if rotation.successor == key.id {
            change.update.push(restore(old));
        }
        if rotation.successor == key.id || rotation.old == key.id {
            change.over.push(rotation.old);
        }
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::{Origin, Permission, Scope},
        moment::BootId,
    };

    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    const DAY: SignedDuration = SignedDuration::from_hours(24);

    fn start() -> Moment {
        Moment {
            wall: Timestamp::from_second(1_800_000_000).unwrap(),
            boot: BootId([1; 16]),
            up: HOUR,
        }
    }

    /// Time goes by for both clocks.
    fn after(from: Moment, time: SignedDuration) -> Moment {
        Moment {
            wall: from.wall.saturating_add(time).unwrap(),
            up: from.up.saturating_add(time),
            ..from
        }
    }

    fn set(from: Moment, by: SignedDuration) -> Moment {
        Moment {
            wall: from.wall.saturating_add(by).unwrap(),
            ..from
        }
    }

    fn rebooted(from: Moment, off: SignedDuration) -> Moment {
        Moment {
            wall: from.wall.saturating_add(off).unwrap(),
            boot: BootId([from.boot.0[0] + 1; 16]),
            up: SignedDuration::from_secs(9),
        }
    }

    fn key() -> Key {
        Key {
            id: KeyId::from_random([1; 10]),
            access_key_id: AccessKeyId::issue([1; 15]),
            connection: ConnectionId::from_random([2; 10]),
            kind: KeyKind::Gateway,
            origin: Origin::Issued,
            label: "nightly".parse().unwrap(),
            permission: Permission::Read,
            scope: Scope {
                buckets: ["photos".parse().unwrap()].into(),
                prefixes: vec!["a/".parse().unwrap()],
                addresses: vec![],
            },
            expires_at: Some(Timestamp::from_second(1_900_000_000).unwrap()),
            state: KeyState::Active,
            generation: 4,
            predecessor: None,
            successor: None,
            issued_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn rotation(grace: SignedDuration, until_silent: Option<SignedDuration>) -> Rotation {
        let terms = Terms {
            grace: Grace::asked(grace).unwrap(),
            until_silent,
        };
        let by = Caller {
            uid: 1,
            pid: None,
            program: None,
            parent: None,
        };
        Rotation::begin(&key(), KeyId::from_random([9; 10]), terms, by, start())
    }

    fn unused() -> Evidence {
        Evidence {
            last_use: None,
            watched_since: Timestamp::UNIX_EPOCH,
        }
    }

    fn look(rotation: &mut Rotation, now: Moment) -> Effect {
        rotation.apply(Event::Looked(unused()), now).unwrap()
    }

    #[test]
    fn a_successor_inherits_everything_that_restricts() {
        let (old, id) = (key(), KeyId::from_random([9; 10]));
        let new = succeed(&old, id, AccessKeyId::issue([9; 15]), start().wall).unwrap();
        assert_eq!(new.predecessor, Some(old.id));
        assert_eq!((new.generation, new.successor), (1, None));
        // Whatever else a key may have one day is inherited too.
        let same = Key {
            id: old.id,
            access_key_id: old.access_key_id.clone(),
            generation: old.generation,
            predecessor: old.predecessor,
            issued_at: old.issued_at,
            ..new
        };
        assert_eq!(same, old);
        let retired = retire(&old, id).unwrap();
        assert_eq!(retired.generation, old.generation, "what is open goes on");
        assert_eq!(restore(&retired), old);
    }

    #[test]
    fn keys_without_a_future_are_not_rotated() {
        let next = || (KeyId::from_random([9; 10]), AccessKeyId::issue([9; 15]));
        let tried = |old: &Key| succeed(old, next().0, next().1, start().wall).map(|_| ());
        let expired = Key {
            expires_at: Some(start().wall),
            ..key()
        };
        assert_eq!(tried(&expired), Err(NotRotatable::Expired));
        let minted = Key {
            kind: KeyKind::ProviderMinted,
            ..key()
        };
        assert_eq!(tried(&minted), Err(NotRotatable::Minted));
        let retiring = retire(&key(), next().0).unwrap();
        assert_eq!(tried(&retiring), Err(NotRotatable::Retiring));
        let paused = Key {
            state: KeyState::Paused,
            ..key()
        };
        assert_eq!(retire(&paused, next().0), Err(NotRotatable::Paused));
        let new = succeed(&paused, next().0, next().1, start().wall).unwrap();
        assert_eq!(
            new.state,
            KeyState::Paused,
            "a pause is not lifted by the way"
        );
    }

    #[test]
    fn the_default_grace_follows_the_longest_interval_and_says_when_it_can_not() {
        let now = start().wall;
        let week_ago = now
            .saturating_sub(SignedDuration::from_hours(24 * 8))
            .unwrap();
        let seen = |longest, observed_since| {
            Grace::by_default(
                Some(Rhythm {
                    observed_since,
                    longest,
                }),
                now,
            )
        };
        let nightly = seen(Some(DAY), week_ago);
        assert_eq!(
            (nightly.length, nightly.basis),
            (DAY * 2, Basis::Interval { longest: DAY })
        );
        assert_eq!(seen(Some(HOUR), week_ago).length, DAY, "at least a day");
        assert_eq!(seen(None, week_ago).basis, Basis::TooBrief, "used once");
        let brief = seen(Some(DAY), now);
        assert_eq!((brief.length, brief.basis), (DAY * 2, Basis::TooBrief));
        let unknown = Grace::by_default(None, now);
        assert_eq!((unknown.length, unknown.basis), (DAY, Basis::TooBrief));
        assert!(Grace::asked(SignedDuration::ZERO).is_err());
        assert!(Grace::asked(SignedDuration::MAX).is_err());
    }

    #[test]
    fn an_old_key_dies_at_its_deadline_to_the_second() {
        let mut rotation = rotation(DAY, None);
        let early = after(start(), DAY - SignedDuration::from_secs(1));
        assert_eq!(look(&mut rotation, early), Effect::Nothing);
        assert_eq!(rotation.due(&unused()), Some(after(start(), DAY).wall));
        assert_eq!(
            look(&mut rotation, after(start(), DAY)),
            Effect::Bury(Ending::Deadline)
        );
    }

    #[test]
    fn a_day_forward_kills_nothing_and_a_day_back_keeps_nothing_alive_for_ever() {
        for jump in [DAY, -DAY] {
            let mut rotation = rotation(DAY * 2, None);
            let now = set(after(start(), HOUR), jump);
            assert_eq!(look(&mut rotation, now), Effect::Keep(Step::Parked));
            assert_eq!(rotation.parked.unwrap().jump, jump);
            assert_eq!(rotation.due(&unused()), None);
            let much_later = after(now, DAY * 9);
            assert_eq!(look(&mut rotation, much_later), Effect::Nothing);
            // Somebody looks at it: what the boot clock counted is over.
            let mut decided = rotation.clone();
            assert_eq!(
                decided.apply(Event::GoOn, after(now, HOUR)),
                Ok(Effect::Keep(Step::WentOn))
            );
            assert_eq!(decided.deadline(), after(now, DAY * 2 - HOUR).wall);
            // The clock is set right again.
            let right = after(start(), HOUR * 3);
            assert_eq!(look(&mut rotation, right), Effect::Keep(Step::WentOn));
            assert_eq!(rotation.deadline(), after(start(), DAY * 2).wall);
            assert_eq!(rotation.apply(Event::GoOn, right), Err(Refusal::NotParked));
        }
    }

    #[test]
    fn behind_a_reboot_a_deadline_that_passed_waits_for_the_clocks_to_settle() {
        let mut rotation = rotation(DAY, None);
        let back = rebooted(start(), DAY * 300);
        assert_eq!(look(&mut rotation, back), Effect::Keep(Step::Rebooted));
        assert_eq!(look(&mut rotation, back), Effect::Nothing);
        // A time server sets the clock right in the meantime: parked, not dead.
        let mut corrected = rotation.clone();
        let right = set(after(back, SignedDuration::from_secs(30)), -DAY * 299);
        assert_eq!(look(&mut corrected, right), Effect::Keep(Step::Parked));
        assert_eq!(
            look(&mut rotation, after(back, SETTLE)),
            Effect::Bury(Ending::Deadline)
        );
    }

    #[test]
    fn a_clock_that_is_behind_after_a_reboot_is_not_trusted() {
        let mut rotation = rotation(DAY, None);
        let back = rebooted(start(), -DAY);
        assert_eq!(look(&mut rotation, back), Effect::Keep(Step::Parked));
        assert!(rotation.parked.unwrap().across_a_reboot);
        let later = after(back, DAY * 30);
        assert_eq!(look(&mut rotation, later), Effect::Nothing);
        rotation.apply(Event::GoOn, later).unwrap();
        assert_eq!(rotation.deadline(), after(later, DAY).wall);
    }

    #[test]
    fn silence_ends_a_rotation_early_and_only_silence_that_was_watched() {
        let at = |time| after(start(), time);
        let used = |time: SignedDuration| Evidence {
            last_use: Some(at(time).wall),
            ..unused()
        };
        let mut rotation = rotation(DAY, Some(HOUR * 2));
        let looked = |r: &mut Rotation, e, time| r.apply(Event::Looked(e), at(time)).unwrap();
        assert_eq!(looked(&mut rotation, used(HOUR), HOUR * 2), Effect::Nothing);
        assert_eq!(rotation.due(&used(HOUR)), Some(at(HOUR * 3).wall));
        assert_eq!(
            looked(&mut rotation, used(HOUR * 5), HOUR * 5),
            Effect::Nothing,
            "a request is open"
        );
        let blind = Evidence {
            watched_since: at(HOUR * 4).wall,
            ..unused()
        };
        assert_eq!(looked(&mut rotation, blind, HOUR * 5), Effect::Nothing);
        assert_eq!(
            looked(&mut rotation, used(HOUR), HOUR * 3),
            Effect::Bury(Ending::Silent)
        );
    }

    #[test]
    fn a_grace_that_is_asked_for_again_never_moves_the_deadline_back() {
        let mut rotation = rotation(DAY, None);
        let (deadline, now) = (rotation.deadline(), after(start(), HOUR));
        let asked = |length| Event::Retimed {
            grace: Some(Grace::asked(length).unwrap()),
            until_silent: None,
        };
        assert_eq!(rotation.apply(asked(DAY), now), Ok(Effect::Nothing));
        let longer = rotation.apply(asked(DAY - SignedDuration::from_mins(1)), now);
        assert_eq!(longer, Err(Refusal::Longer));
        assert_eq!(rotation.deadline(), deadline);
        let shorter = rotation.apply(asked(HOUR), now);
        assert_eq!(shorter, Ok(Effect::Keep(Step::Retimed)));
        assert_eq!(rotation.deadline(), after(now, HOUR).wall);
    }

    #[test]
    fn another_grace_counts_from_now_and_also_ends_a_parking() {
        let mut rotation = rotation(DAY, None);
        let now = set(after(start(), HOUR), DAY);
        look(&mut rotation, now);
        let grace = Some(Grace::asked(HOUR).unwrap());
        let event = Event::Retimed {
            grace,
            until_silent: None,
        };
        assert_eq!(rotation.apply(event, now), Ok(Effect::Keep(Step::Retimed)));
        assert_eq!(rotation.deadline(), after(now, HOUR).wall);
        assert_eq!(rotation.parked, None);
    }
}
