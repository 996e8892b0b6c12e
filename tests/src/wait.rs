//! Waiting for conditions. Nothing here waits for a time to pass: the limits only say when a
//! condition that never comes is a failure.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Far beyond what a slow, busy machine needs.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer, and returns it. Panics with `what` when there
/// is none within [`LIMIT`].
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, what, &mut ask)
}

/// [`until`], with a limit of its own.
pub fn within<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < limit,
            "waited {limit:?} in vain for: {what}"
        );
        sleep(Duration::from_millis(20));
    }
}
