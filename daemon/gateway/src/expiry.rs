//! The end of keys' time, for what they have open. One sleeper for the whole gateway wakes when the
//! next key's time has come, or when the wall clock was set; requests only hold the token that it
//! cancels. It must never end a request before its key's second.

use std::sync::atomic::{AtomicBool, Ordering};

use bascule_domain::{Timestamp, key::Key};
use tokio_util::sync::CancellationToken;

use crate::{
    cells::KeyCell,
    keyring::Keyring,
    ports::{Alarm, Clock},
};

/// The end of a key that expires. What the key has open ends with the token.
pub(crate) struct End {
    token: CancellationToken,
    over: AtomicBool,
}

impl End {
    /// Of a key whose rights end with `rights`; `None` if its time has no end.
    pub(crate) fn of(key: &Key, rights: &CancellationToken) -> Option<Self> {
        key.expires_at.map(|_| Self {
            token: rights.child_token(),
            over: AtomicBool::new(false),
        })
    }

    pub(crate) const fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Whether the key's time ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn come(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.token.cancel();
    }
}

/// Ends what the key has open if its time has come. Where the clock was set back behind that time,
/// later requests are not ended by it. `None` if the key has no end.
pub(crate) fn enforce(cell: &KeyCell, now: &mut dyn FnMut() -> Timestamp) -> Option<Timestamp> {
    let living = cell.living()?;
    let (at, end) = (living.key.expires_at?, living.end.as_ref()?);
    if now() >= at {
        end.come();
    } else if end.is_over() {
        cell.renew_end();
    }
    Some(at)
}

impl Keyring {
    /// Ends what keys have open when their time has come. Runs as long as requests are served.
    pub async fn end_keys_in_time(&self, clock: &dyn Clock, alarm: &impl Alarm) {
        loop {
            let changed = self.ends_changed();
            let ahead = self.enforce_ends(clock);
            if ahead.any {
                tokio::select! {
                    () = changed => {}
                    () = alarm.until(ahead.next) => {}
                }
            } else {
                changed.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use jiff::SignedDuration;
    use tokio::{sync::watch, time::Instant};

    use super::*;
    use crate::fixture;

    /// Goes as the runtime's time does, which stands still but for timers, and can be set.
    #[derive(Clone)]
    struct Wall {
        began: Instant,
        ahead: watch::Sender<SignedDuration>,
    }

    impl Wall {
        fn set(&self, by: i64) {
            self.ahead
                .send_modify(|ahead| *ahead += SignedDuration::from_secs(by));
        }
    }

    impl Clock for Wall {
        fn now(&self) -> Timestamp {
            let elapsed = SignedDuration::try_from(self.began.elapsed()).unwrap();
            Timestamp::UNIX_EPOCH + elapsed + *self.ahead.borrow()
        }
    }

    impl Alarm for Wall {
        async fn until(&self, due: Option<Timestamp>) {
            let mut ahead = self.ahead.subscribe();
            let left = due.map(|due| Duration::try_from(due.duration_since(self.now())).unwrap());
            let due = async {
                match left {
                    Some(left) => tokio::time::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                _ = ahead.changed() => {}
            }
        }
    }

    fn ending(seconds: Option<i64>) -> Key {
        Key {
            expires_at: seconds.map(|seconds| Timestamp::from_second(seconds).unwrap()),
            ..fixture::key(1)
        }
    }

    /// A keyring with one key, whose time is looked after.
    fn keyring(key: Key) -> (Arc<Keyring>, Wall) {
        let keyring = Arc::new(Keyring::new());
        keyring.add_connection(fixture::connection()).unwrap();
        keyring.add_key(key, fixture::secret()).unwrap();
        let wall = Wall {
            began: Instant::now(),
            ahead: watch::Sender::new(SignedDuration::ZERO),
        };
        let (watched, clock) = (Arc::clone(&keyring), wall.clone());
        tokio::spawn(async move { watched.end_keys_in_time(&clock, &clock).await });
        (keyring, wall)
    }

    /// The token of a request that begins now.
    fn request(keyring: &Keyring) -> CancellationToken {
        let cell = keyring.key(&fixture::key(1).access_key_id).unwrap();
        cell.living().unwrap().ending().clone()
    }

    /// Lets the sleeper look.
    async fn settle() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_open_ends_at_the_keys_second_and_not_before() {
        let (keyring, _) = keyring(ending(Some(3600)));
        let open = request(&keyring);
        tokio::time::sleep(Duration::from_millis(3_599_999)).await;
        assert!(!open.is_cancelled());
        settle().await;
        assert!(open.is_cancelled());
        let key = keyring.key(&fixture::key(1).access_key_id).unwrap();
        let living = key.living().unwrap();
        assert!(living.end.as_ref().unwrap().is_over());
        assert!(!living.token.is_cancelled(), "its rights are as they were");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_whose_time_is_moved_keeps_what_it_has_open_until_then() {
        let (keyring, _) = keyring(ending(Some(60)));
        let open = request(&keyring);
        tokio::time::sleep(Duration::from_secs(30)).await;
        keyring.change_key(ending(Some(120))).unwrap();
        tokio::time::sleep(Duration::from_secs(89)).await;
        assert!(!open.is_cancelled());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(open.is_cancelled());
        // Given more time afterwards, it serves again.
        keyring.change_key(ending(Some(180))).unwrap();
        let next = request(&keyring);
        settle().await;
        assert!(!next.is_cancelled());
        keyring.change_key(ending(None)).unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(!next.is_cancelled(), "its time has no end any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forward_ends_what_is_open_and_set_back_not_what_comes_then() {
        let (keyring, wall) = keyring(ending(Some(3600)));
        let open = request(&keyring);
        settle().await;
        // As after a suspension, too: the runtime's own time did not go on.
        wall.set(86_400);
        settle().await;
        assert!(open.is_cancelled());
        wall.set(-86_400);
        settle().await;
        let next = request(&keyring);
        assert!(!next.is_cancelled());
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert!(next.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_added_later_is_looked_after_too_and_one_without_an_end_is_not() {
        let (keyring, _) = keyring(ending(None));
        settle().await;
        let open = request(&keyring);
        let key = Key {
            expires_at: ending(Some(60)).expires_at,
            ..fixture::key(7)
        };
        keyring.add_key(key.clone(), fixture::secret()).unwrap();
        let cell = keyring.key(&key.access_key_id).unwrap();
        let ends = cell.living().unwrap().ending().clone();
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(ends.is_cancelled() && !open.is_cancelled());
    }
}
