//! The one clock. Everything else takes a time, or this.
//!
//! Debug builds can be given another time: `BASCULED_CLOCK` names a file with up to three numbers,
//! the seconds by which the wall clock is ahead, the seconds by which the boot clock is, and the
//! number of the boot. It is read anew for each question. Release builds know no such thing.

use std::path::PathBuf;

use bascule_domain::{
    SignedDuration, Timestamp,
    moment::{BootId, Moment},
};

use crate::random;

/// Tells the time.
pub(crate) trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;

    /// Now, by the wall clock and by the one that nobody can set.
    fn moment(&self) -> Moment;

    /// How long the machine was awake, by a clock that nobody can set.
    fn awake(&self) -> SignedDuration;

    /// How far this clock's wall is ahead of the system's.
    fn shift(&self) -> SignedDuration;

    /// Whether that can change.
    fn can_shift(&self) -> bool;
}

/// The system's clocks.
pub(crate) struct SystemClock {
    boot: BootId,
    shifted_by: Option<PathBuf>,
}

/// What a test makes of the clocks.
#[derive(Default)]
struct Shift {
    wall: SignedDuration,
    boot: SignedDuration,
    number: u8,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        let shifted_by = cfg!(debug_assertions)
            .then(|| std::env::var_os("BASCULED_CLOCK"))
            .flatten()
            .map(PathBuf::from);
        // Where the system names no boot, what the boot clock says counts for this process only.
        let boot = bascule_os::boot_id().unwrap_or_else(random::bytes);
        Self {
            boot: BootId(boot),
            shifted_by,
        }
    }

    fn read(&self) -> Shift {
        let Some(path) = &self.shifted_by else {
            return Shift::default();
        };
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|number| number.parse().ok());
        let mut seconds = || SignedDuration::from_secs(numbers.next().flatten().unwrap_or(0));
        Shift {
            wall: seconds(),
            boot: seconds(),
            number: u8::try_from(seconds().as_secs()).unwrap_or(0),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    fn shifted(&self, shift: &Shift) -> Timestamp {
        let now = Timestamp::now();
        now.saturating_add(shift.wall).unwrap_or(now)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.shifted(&self.read())
    }

    fn moment(&self) -> Moment {
        let shift = self.read();
        let mut boot = self.boot;
        boot.0[0] ^= shift.number;
        let up = SignedDuration::try_from(bascule_os::since_boot()).unwrap_or(SignedDuration::MAX);
        Moment {
            wall: self.shifted(&shift),
            boot,
            up: up.saturating_add(shift.boot),
        }
    }

    fn awake(&self) -> SignedDuration {
        let awake = SignedDuration::try_from(bascule_os::awake()).unwrap_or(SignedDuration::MAX);
        awake.saturating_add(self.read().boot)
    }

    fn shift(&self) -> SignedDuration {
        self.read().wall
    }

    fn can_shift(&self) -> bool {
        self.shifted_by.is_some()
    }
}
