//! What is known of the use of a rotation's keys: who still needs the old one, whether the new one ever
//! arrived. What is not known is never taken for unused.

use std::time::Duration;

use bascule_domain::{
    SignedDuration, Timestamp,
    key::Key,
    rotation::{Evidence, Rhythm},
};

use crate::app::App;

/// How long a rotation waits for what the ledger knows.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether anybody has used a key. What is not known is never taken for unused.
pub(super) enum LastUse {
    Used(Timestamp),
    Never,
    /// It was there before this daemon, and the ledger can't tell.
    NotKnown,
}

impl LastUse {
    /// Why the key may be in use, after its id; `None` when nobody has used it.
    pub(super) fn not_unused(&self) -> Option<String> {
        match self {
            Self::Used(last) => Some(format!(
                "is in use, last at {last:.0}: its secret did arrive somewhere"
            )),
            Self::NotKnown => Some(
                "may be in use: whether it was used before the daemon was started is not known"
                    .into(),
            ),
            Self::Never => None,
        }
    }
}

impl App {
    /// What is known of a key's rhythm; nothing where uses are not recorded. A ledger that does not
    /// answer in time is not waited for: its grace is only a default.
    pub(super) async fn rhythm(&self, key: &Key) -> Option<Rhythm> {
        let asked = tokio::time::timeout(PATIENCE, self.longest_interval(key)).await;
        let known = asked.ok()?.ok()?;
        let longest = known.longest.map(SignedDuration::try_from);
        // Where uses are missing the longest interval can only be too long: the safe side.
        Some(Rhythm {
            observed_since: known.observed_since,
            longest: longest.and_then(std::result::Result::ok),
        })
    }

    /// When a key was last used, as far as that can be told.
    pub(super) fn last_use(&self, key: &Key) -> LastUse {
        match self.keyring.last_used(&key.access_key_id) {
            Some(at) => LastUse::Used(at),
            None if self.uses_not_known.contains(&key.id) => LastUse::NotKnown,
            None => LastUse::Never,
        }
    }

    /// What the gateway knows of a key's use.
    pub(super) fn evidence(&self, key: &Key) -> Evidence {
        let usage = self.keyring.key_use(&key.access_key_id);
        let usage = usage.unwrap_or_default();
        Evidence {
            last_use: match usage.open {
                0 => usage.last,
                _ => Some(self.clock.now()),
            },
            watched_since: self.started_at,
        }
    }
}
