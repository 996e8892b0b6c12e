//! The rotation of a key as a pure state machine.
//!
//! A [`Rotation`] exists while an old key and its successor both work. It is journalled together
//! with the keys' records, so at every moment there is either one key, or two and a rotation that
//! will end. [`Rotation::apply`] takes an event and says what has to be done; the daemon does that
//! in one durable transaction. An event that is applied again after a crash leads to the same end.
//!
//! Nothing dies by the wall clock alone: the boot clock must have counted the same time since the
//! rotation's anchor, or the rotation is parked until the clocks agree again or somebody decides.

mod grace;
mod keys;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    audit::Caller,
    ids::{ConnectionId, KeyId},
    key::Key,
    moment::Moment,
};

pub use grace::{Basis, Grace, LONGEST, OutOfBounds, Rhythm, SHORTEST_DEFAULT, bounded};
pub use keys::{
    KeyChange, NotInherited, NotRotatable, begin, bury, inherits, replace, restore, retire, succeed,
};

/// How long an old key lives on, by both clocks, after a reboot behind which its deadline passed:
/// what set the wall clock meanwhile is not known, and time servers need a moment.
pub const SETTLE: SignedDuration = SignedDuration::from_mins(10);

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
