//! How long both keys of a rotation work: as asked for, or what is known of the old key's rhythm.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The shortest grace that is taken by default.
pub const SHORTEST_DEFAULT: SignedDuration = SignedDuration::from_hours(24);
/// Longer graces and silences are mistakes.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 366);
/// A key seen for less than this may have a weekly user nobody has met.
const SEEN_ENOUGH: SignedDuration = SignedDuration::from_hours(24 * 7);
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
