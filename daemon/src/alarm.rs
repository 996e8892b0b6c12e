//! Wakes whoever waits when a time of the wall clock has come, or when that clock was set. It
//! sleeps in between: nothing here polls.

use std::time::Duration;

use bascule_domain::SignedDuration;

use crate::clock::Clock;

/// Where nobody tells when the clock is set, it is looked at so often.
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) use imp::Alarm;

#[cfg(target_os = "linux")]
mod imp {
    use std::{io, sync::Arc, thread};

    use bascule_domain::Timestamp;
    use bascule_os::WallTimer;
    use tokio::sync::Notify;

    use super::{HOUR, shifted};
    use crate::clock::Clock;

    /// Far enough for "until somebody sets the clock": the year 2096.
    const FAR: i64 = 4_000_000_000;

    /// One sleeper's alarm.
    pub(crate) struct Alarm {
        timer: Arc<WallTimer>,
        fired: Arc<Notify>,
    }

    impl Alarm {
        pub(crate) fn new() -> io::Result<Self> {
            let (timer, fired) = (Arc::new(WallTimer::new()?), Arc::new(Notify::new()));
            let (waiting, tell) = (Arc::clone(&timer), Arc::clone(&fired));
            // A thread of its own: the wait ends with the process, never with the runtime.
            thread::Builder::new().name("alarm".into()).spawn(move || {
                while waiting.wait().is_ok() {
                    tell.notify_one();
                }
            })?;
            Ok(Self { timer, fired })
        }

        /// Returns when the time has come or the clock was set; without a time only for the
        /// latter. It may return early.
        pub(crate) async fn until(&self, due: Option<Timestamp>, clock: &dyn Clock) {
            let shift = clock.shift();
            let fire = due.map(|due| due.saturating_sub(shift).unwrap_or(due));
            let (second, nanosecond) =
                fire.map_or((FAR, 0), |at| (at.as_second(), at.subsec_nanosecond()));
            if let Err(error) = self.timer.set(second, nanosecond) {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the timer can't be set; deadlines are looked at hourly"
                );
                return tokio::time::sleep(HOUR).await;
            }
            tokio::select! {
                () = self.fired.notified() => {}
                () = shifted(clock, shift) => {}
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::{io, time::Duration};

    use bascule_domain::{SignedDuration, Timestamp};

    use super::{HOUR, shifted};
    use crate::clock::Clock;

    /// One sleeper's alarm.
    pub(crate) struct Alarm;

    impl Alarm {
        pub(crate) const fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// Returns when the time has come, and at least hourly. It may return early.
        pub(crate) async fn until(&self, due: Option<Timestamp>, clock: &dyn Clock) {
            let left = due.map_or(HOUR, |due| {
                let left = due.duration_since(clock.now()).max(SignedDuration::ZERO);
                Duration::try_from(left).unwrap_or(HOUR).min(HOUR)
            });
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = shifted(clock, clock.shift()) => {}
            }
        }
    }
}

/// Returns when a test has shifted the clock, which no system tells.
async fn shifted(clock: &dyn Clock, from: SignedDuration) {
    if !clock.can_shift() {
        return std::future::pending().await;
    }
    while clock.shift() == from {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
