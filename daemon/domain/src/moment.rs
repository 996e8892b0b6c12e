//! Points in time that two clocks vouch for: the wall clock, which people and programs set, and
//! the boot clock, which nobody can. A wall clock that jumped shows in their difference. And what
//! lies between two points, in words.

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

/// A length of time for people: the two largest units that say something, such as `1 d 2 h`.
#[must_use]
pub fn span(length: SignedDuration) -> String {
    // Clocks are read one after the other, so what lies between two of them is never whole.
    let seconds = (length.as_millis().unsigned_abs() + 500) / 1000;
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let said: Vec<_> = parts
        .iter()
        .skip_while(|(number, _)| *number == 0)
        .take(2)
        .filter(|(number, _)| *number != 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    match (said.is_empty(), length.is_zero()) {
        (false, _) => said.join(" "),
        (true, true) => "0 s".to_owned(),
        (true, false) => "below 1 s".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (3_600, "1 h"),
            (12_000, "3 h 20 min"),
            (86_399, "23 h 59 min"),
            (86_400 + 61, "1 d"),
            (90_061, "1 d 1 h"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text);
        }
        assert_eq!(span(SignedDuration::from_millis(200)), "below 1 s");
        assert_eq!(span(SignedDuration::from_millis(-86_399_999)), "1 d");
    }

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
