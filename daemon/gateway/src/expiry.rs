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
