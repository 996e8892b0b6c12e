//! A scream test: keys are paused, reversibly, and die only after so long a silence. A knock stops the
//! countdown until somebody decides.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::names::Label;

/// What a scream test has heard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scream {
    /// So long a silence is waited for.
    pub length: SignedDuration,
    /// So long nobody knocked while it was listened, up to `counting_since`. Time in which the daemon
    /// did not run is none of it.
    pub silent: SignedDuration,
    /// Since when more silence is counted; absent while the countdown stands still.
    pub counting_since: Option<Timestamp>,
    /// The knock that stopped the countdown.
    pub knock: Option<ScreamKnock>,
    /// How often it was stopped.
    pub knocks: u32,
}

/// Somebody tried a paused key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreamKnock {
    /// When.
    pub at: Timestamp,
    /// With which key.
    pub label: Label,
    /// The finding that names the job.
    pub finding: String,
}

impl Scream {
    /// One that begins.
    #[must_use]
    pub const fn of(length: SignedDuration) -> Self {
        Self {
            length,
            silent: SignedDuration::ZERO,
            counting_since: None,
            knock: None,
            knocks: 0,
        }
    }

    /// How much silence is still missing; `None` while the countdown stands still.
    #[must_use]
    pub fn left(&self) -> Option<SignedDuration> {
        let left = self.length.saturating_sub(self.silent);
        self.knock.is_none().then(|| left.max(SignedDuration::ZERO))
    }

    /// Adds silence, which must have been heard by a clock that nobody can set.
    pub(super) fn listened(&mut self, silence: SignedDuration) {
        if self.knock.is_none() {
            self.silent = self
                .silent
                .saturating_add(silence.max(SignedDuration::ZERO));
        }
    }

    /// Stops the countdown.
    pub(super) fn stop(&mut self, knock: ScreamKnock) {
        self.knock = Some(knock);
        self.counting_since = None;
        self.silent = SignedDuration::ZERO;
        self.knocks = self.knocks.saturating_add(1);
    }

    /// Begins it anew.
    pub(super) fn begin_anew(&mut self) {
        self.knock = None;
        self.silent = SignedDuration::ZERO;
    }
}
