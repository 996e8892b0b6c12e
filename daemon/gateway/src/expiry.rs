//! The end of a key's time, for what it has open: one timer for each open request of a key that
//! expires, and none for any other. It must never end a request before its key's second.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    cells::{KeyCell, Living},
    ports::Clock,
};

/// Watches one request of a key that expires, until dropped.
pub(crate) struct Expiry {
    over: Arc<AtomicBool>,
    timer: AbortHandle,
}

impl Expiry {
    /// The token that ends a request of this key, and what watches its time, if it has an end.
    pub(crate) fn watch(
        clock: &Arc<dyn Clock>,
        key: &Arc<KeyCell>,
        living: &Living,
    ) -> (CancellationToken, Option<Self>) {
        if living.key.expires_at.is_none() {
            return (living.token.clone(), None);
        }
        let token = living.token.child_token();
        let over = Arc::new(AtomicBool::new(false));
        let task = {
            let (clock, key) = (Arc::clone(clock), Arc::clone(key));
            let (token, over) = (token.clone(), Arc::clone(&over));
            async move {
                // A key that is changed may get more time.
                while let Some(end) = key.living().and_then(|living| living.key.expires_at) {
                    let left = end.duration_since(clock.now());
                    match std::time::Duration::try_from(left) {
                        Ok(left) if !left.is_zero() => tokio::time::sleep(left).await,
                        _ => {
                            over.store(true, Ordering::SeqCst);
                            token.cancel();
                            return;
                        }
                    }
                }
            }
        };
        let timer = tokio::spawn(task).abort_handle();
        (token, Some(Self { over, timer }))
    }

    /// Whether the key's time ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

impl Drop for Expiry {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bascule_domain::{
        Timestamp,
        access_key::AccessKeyId,
        endpoint::{Addressing, Region},
        ids::{ConnectionId, KeyId},
        key::{Key, KeyKind, KeyState, Origin, Permission, Scope},
        limits::Limits,
        secret::{Credentials, SecretKey},
    };
    use jiff::SignedDuration;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        Admission, ConnectionSpec, Upstream, UpstreamAccess, UpstreamBody, UpstreamFuture,
        cells::ConnectionCell,
    };

    struct Nowhere;

    impl Upstream for Nowhere {
        fn send(&self, _: http::Request<UpstreamBody>) -> UpstreamFuture<'_> {
            Box::pin(std::future::pending())
        }
    }

    /// Goes as the runtime's time does, which stands still but for timers.
    struct Paused(Instant);

    impl Clock for Paused {
        fn now(&self) -> Timestamp {
            let elapsed = SignedDuration::try_from(self.0.elapsed()).unwrap();
            Timestamp::UNIX_EPOCH + elapsed
        }
    }

    fn ending(seconds: Option<i64>) -> Key {
        Key {
            id: KeyId::from_random([1; 10]),
            access_key_id: AccessKeyId::issue([1; 15]),
            connection: ConnectionId::from_random([2; 10]),
            kind: KeyKind::Gateway,
            origin: Origin::Issued,
            label: "test".parse().unwrap(),
            permission: Permission::Read,
            scope: Scope::default(),
            expires_at: seconds.map(|seconds| Timestamp::from_second(seconds).unwrap()),
            state: KeyState::Active,
            generation: 1,
            predecessor: None,
            successor: None,
            issued_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn cell(key: Key) -> Arc<KeyCell> {
        let secret = || SecretKey::parse("secretsecret").unwrap();
        let connection = ConnectionCell::new(ConnectionSpec {
            id: key.connection,
            name: "vault".parse().unwrap(),
            buckets: vec!["photos".parse().unwrap()].try_into().unwrap(),
            created_at: Timestamp::UNIX_EPOCH,
            access: UpstreamAccess {
                credentials: Credentials {
                    access_key_id: AccessKeyId::issue([3; 15]),
                    secret: secret(),
                },
                region: Region::AUTO,
                addressing: Addressing::Path,
                tls: false,
                authority: "provider.test".into(),
                honours_conditions: false,
                generation: 1,
            },
            upstream: Arc::new(Nowhere),
            admission: Admission::Open,
            limits: Limits::default(),
        });
        Arc::new(KeyCell::new(key, secret(), Arc::new(connection)))
    }

    fn watch(key: &Arc<KeyCell>) -> (CancellationToken, Option<Expiry>) {
        let clock: Arc<dyn Clock> = Arc::new(Paused(Instant::now()));
        Expiry::watch(&clock, key, &key.living().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_open_ends_at_the_keys_second_and_not_before() {
        let key = cell(ending(Some(3600)));
        let (token, expiry) = watch(&key);
        let expiry = expiry.unwrap();
        tokio::time::sleep(Duration::from_millis(3_599_999)).await;
        assert!(!token.is_cancelled() && !expiry.is_over());
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(token.is_cancelled() && expiry.is_over());
        let living = key.living().unwrap();
        assert!(!living.token.is_cancelled(), "only this request ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_whose_time_is_moved_keeps_what_it_has_open_until_then() {
        let key = cell(ending(Some(60)));
        let (token, _expiry) = watch(&key);
        let (forever, _open) = watch(&key);
        tokio::time::sleep(Duration::from_secs(30)).await;
        key.change(ending(Some(120)));
        tokio::time::sleep(Duration::from_secs(89)).await;
        assert!(!token.is_cancelled());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(token.is_cancelled() && forever.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_without_an_end_is_not_watched_and_an_ended_request_no_more() {
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        let before = tasks();
        let (token, expiry) = watch(&cell(ending(None)));
        assert!(expiry.is_none() && !token.is_cancelled());
        assert_eq!(tasks(), before);

        let (_, expiry) = watch(&cell(ending(Some(60))));
        assert_eq!(tasks(), before + 1);
        drop(expiry);
        tokio::task::yield_now().await;
        assert_eq!(tasks(), before);
    }
}
