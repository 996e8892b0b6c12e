//! Failed authentications, and users who may not connect, in the log: a few lines now and then, with how
//! many were left out. It must never keep anything per client, nor log what a client sent.
//!
//! The requests themselves are answered however many there are: on loopback every tool comes from
//! one address, so a bound by address would let one broken tool silence all others.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bascule_domain::ids::KeyId;
use tokio::time::Instant;

use crate::{reason::Reason, respond::Refusal};

/// Lines in one window.
const LINES: u32 = 5;
const WINDOW: Duration = Duration::from_secs(10);

/// What was logged lately. Locked on refusals only.
#[derive(Default)]
pub(crate) struct Failures(Mutex<Option<Window>>);

struct Window {
    began: Instant,
    lines: u32,
    left_out: u64,
}

impl Failures {
    /// Logs a refusal if it is a failed authentication and its turn. `key` is the one whose id was
    /// presented, if there is such a key.
    pub(crate) fn note(&self, refusal: &Refusal, key: Option<KeyId>, peer: IpAddr) {
        if !matches!(
            refusal.reason(),
            Reason::NotAuthenticated | Reason::KeyUnknown
        ) {
            return;
        }
        let Some(left_out) = self.turn(Instant::now()) else {
            return;
        };
        let why = match refusal {
            // Our own words; a header's name in them is made of letters that are safe.
            Refusal::Signature(error) => error.to_string(),
            _ => "no such key".to_owned(),
        };
        tracing::warn!(
            %peer,
            key = key.map(tracing::field::display),
            why,
            left_out,
            "a request was not authenticated"
        );
    }

    /// Logs a connection that was closed since its user may not connect, if it is its turn.
    pub(crate) fn note_user(&self, who: &str) {
        if let Some(left_out) = self.turn(Instant::now()) {
            tracing::warn!(
                who,
                left_out,
                "a connection is closed: allow_uid does not name its user"
            );
        }
    }

    /// Whether a line is due, and how many were left out since the last one.
    fn turn(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = window.get_or_insert(Window {
            began: now,
            lines: 0,
            left_out: 0,
        });
        if now.duration_since(window.began) >= WINDOW {
            window.began = now;
            window.lines = 0;
        }
        if window.lines == LINES {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h7_lines_have_a_rate_and_tell_what_was_left_out() {
        let failures = Failures::default();
        let start = Instant::now();
        let lines = (0..1000).filter_map(|_| failures.turn(start)).count();
        assert_eq!(lines, LINES as usize);
        let later = start + WINDOW;
        assert_eq!(failures.turn(later), Some(1000 - u64::from(LINES)));
        assert_eq!(failures.turn(later), Some(0));
    }
}
