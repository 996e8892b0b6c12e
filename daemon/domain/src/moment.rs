//! Points in time that two clocks vouch for: the wall clock, which people and programs set, and
//! the boot clock, which nobody can. A wall clock that jumped shows in their difference.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// One boot of the machine: the boot clock tells nothing across two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

/// Now, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// By the wall clock.
    pub wall: Timestamp,
    /// During which boot.
    pub boot: BootId,
    /// Since that boot began, sleep included.
    pub up: SignedDuration,
}

/// A difference of the clocks up to here is no jump: time servers correct a little now and then.
const SLACK: SignedDuration = SignedDuration::from_mins(2);
/// Besides, clocks may run apart by a thousandth: time servers slew by half of that at most.
const DRIFT: i32 = 1000;

impl Moment {
    /// How much time has passed by the boot clock; `None` across a reboot.
    #[must_use]
    pub fn elapsed_since(&self, earlier: &Self) -> Option<SignedDuration> {
        (self.boot == earlier.boot).then(|| self.up.saturating_sub(earlier.up))
    }

    /// By how much the wall clock was set forward (or back, if negative) since an earlier moment
    /// of the same boot; zero when the clocks agree. `None` across a reboot.
    #[must_use]
    pub fn jump_since(&self, earlier: &Self) -> Option<SignedDuration> {
        let elapsed = self.elapsed_since(earlier)?;
        let jump = self
            .wall
            .duration_since(earlier.wall)
            .saturating_sub(elapsed);
        let allowed = SLACK.saturating_add(elapsed.abs() / DRIFT);
        Some(if jump.abs() > allowed {
            jump
        } else {
            SignedDuration::ZERO
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(wall: i64, boot: u8, up: i64) -> Moment {
        Moment {
            wall: Timestamp::from_second(wall).unwrap(),
            boot: BootId([boot; 16]),
            up: SignedDuration::from_secs(up),
        }
    }

    #[test]
    fn a_clock_that_was_set_shows_and_one_that_drifts_does_not() {
        let start = moment(1_000_000, 1, 500);
        let hours = 3600 * 48;
        let later = |by: i64| moment(1_000_000 + hours + by, 1, 500 + hours);
        for small in [-100, -1, 0, 1, 100, 200] {
            assert_eq!(
                later(small).jump_since(&start),
                Some(SignedDuration::ZERO),
                "{small}"
            );
        }
        for day in [86_400, -86_400] {
            assert_eq!(
                later(day).jump_since(&start),
                Some(SignedDuration::from_secs(day))
            );
        }
    }

    #[test]
    fn nothing_is_known_across_a_reboot() {
        let (before, after) = (moment(1000, 1, 500), moment(1000, 2, 500));
        assert_eq!(after.jump_since(&before), None);
        assert_eq!(after.elapsed_since(&before), None);
    }
}
