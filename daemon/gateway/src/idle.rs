//! Notices that a body stands still. A timer is made when a body first has to wait, and looked at
//! only while it waits: moving bytes costs one flag (threats.md I2).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Watches one body.
pub(crate) struct Idle {
    limit: Duration,
    moved: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("the body stands still")]
pub(crate) struct Stalled;

impl Idle {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self {
            limit,
            moved: false,
            timer: None,
        }
    }

    pub(crate) const fn moved(&mut self) {
        self.moved = true;
    }

    /// Ready when nothing moved for at least the limit, and at most twice of it. To be asked while
    /// the body is pending.
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Stalled> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep(self.limit)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if !std::mem::take(&mut self.moved) {
                return Poll::Ready(Stalled);
            }
            timer.as_mut().reset(Instant::now() + self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn stalled(idle: &mut Idle) {
        poll_fn(|cx| idle.poll_stalled(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_not_a_stalled_one() {
        let mut idle = Idle::new(LIMIT);
        for _ in 0..100 {
            let waited = tokio::time::timeout(LIMIT * 3 / 4, stalled(&mut idle)).await;
            assert!(waited.is_err(), "bytes come, if slowly");
            idle.moved();
        }
        let last = Instant::now();
        stalled(&mut idle).await;
        assert!(last.elapsed() >= LIMIT && last.elapsed() <= LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_begins_is_noticed() {
        let began = Instant::now();
        stalled(&mut Idle::new(LIMIT)).await;
        assert_eq!(began.elapsed(), LIMIT);
    }
}
