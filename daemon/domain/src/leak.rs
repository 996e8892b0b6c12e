//! A provider's key that has leaked: what was done about it, and what is still to be done. It
//! follows from facts, so it can be asked again at any time and by anybody.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{access_key::AccessKeyId, connection::Connection, ids::ConnectionId};

/// The record of a leaked key. Its secret is kept apart, and only until the key is seen dead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// Which connection's own key it was.
    pub connection: ConnectionId,
    /// The key.
    pub access_key_id: AccessKeyId,
    /// Which of the connection's credentials it was.
    pub generation: u64,
    /// When it was reported.
    pub reported_at: Timestamp,
    /// When the provider was seen to refuse it.
    pub seen_dead_at: Option<Timestamp>,
}

/// What is still to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remaining {
    /// Nothing is admitted with the leaked key until there is another one.
    Pause,
    /// The user makes a new key at the provider, revokes the leaked one, and hands the new one
    /// over.
    Replace,
    /// Requests are admitted again.
    Resume,
    /// The provider is asked whether it still takes the leaked key.
    Prove,
}

impl Leak {
    /// What is still to be done.
    #[must_use]
    pub fn remaining(&self, connection: &Connection) -> Vec<Remaining> {
        let replaced = connection.credentials_generation > self.generation;
        // A pause that came after all this has another cause.
        let paused = connection
            .paused_at
            .is_some_and(|at| self.seen_dead_at.is_none_or(|dead| at <= dead));
        let mut remaining = Vec::new();
        if !replaced && !paused {
            remaining.push(Remaining::Pause);
        }
        if !replaced {
            remaining.push(Remaining::Replace);
        }
        if paused || !replaced {
            remaining.push(Remaining::Resume);
        }
        if self.seen_dead_at.is_none() {
            remaining.push(Remaining::Prove);
        }
        remaining
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::{Buckets, Location},
        limits::Limits,
        provider::ProviderKind,
    };
    use Remaining::{Pause, Prove, Replace, Resume};

    #[test]
    fn each_fact_takes_its_step_off_the_list() {
        let id = ConnectionId::from_random([1; 10]);
        let mut connection = Connection {
            id,
            name: "photos".parse().unwrap(),
            provider: ProviderKind::Minio,
            buckets: Buckets::try_from(vec!["photos".parse().unwrap()]).unwrap(),
            location: Location::Folder { path: "/x".into() },
            identities: Default::default(),
            created_at: Timestamp::UNIX_EPOCH,
            credentials_generation: 3,
            credentials_changed_at: Timestamp::UNIX_EPOCH,
            limits: Limits::default(),
            paused_at: None,
            card_exported_at: None,
        };
        let mut leak = Leak {
            connection: id,
            access_key_id: "AKIAEXAMPLE".parse().unwrap(),
            generation: 3,
            reported_at: Timestamp::UNIX_EPOCH,
            seen_dead_at: None,
        };
        assert_eq!(leak.remaining(&connection), [Pause, Replace, Resume, Prove]);
        connection.paused_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(leak.remaining(&connection), [Replace, Resume, Prove]);
        connection.credentials_generation = 4;
        assert_eq!(leak.remaining(&connection), [Resume, Prove]);
        connection.paused_at = None;
        assert_eq!(leak.remaining(&connection), [Prove]);
        leak.seen_dead_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(leak.remaining(&connection), []);
        // The provider was asked before the connection was resumed.
        connection.paused_at = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(leak.remaining(&connection), [Resume]);
        // Somebody pauses it later.
        connection.paused_at = Some(Timestamp::from_second(1).unwrap());
        assert_eq!(leak.remaining(&connection), []);
    }
}
