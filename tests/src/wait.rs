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

/// Asks what is left until nothing is, and returns what still is at the limit: for whoever has to tell
/// what that was.
pub fn gone_within<T>(limit: Duration, mut left: impl FnMut() -> Vec<T>) -> Vec<T> {
    let start = Instant::now();
    loop {
        let left = left();
        if left.is_empty() || start.elapsed() >= limit {
            return left;
        }
        sleep(Duration::from_millis(20));
    }
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
