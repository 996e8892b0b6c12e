//! A connection's limits, on the path of its requests and streams: how many requests may be open,
//! and how fast bodies may flow in each direction. Without a limit it costs one load. A stream
//! that waits holds a timer and nothing else, and is woken at once when the limit changes. It must
//! never copy a frame, and never keep a stream from being cut.

use std::{
    num::NonZeroU32,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bascule_domain::limits::{Bandwidth, Limits};
use bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What an idle direction has saved up, as the time in which it flows: a small request is not
/// delayed, and a timer that rings late costs nothing.
const CREDIT: Duration = Duration::from_millis(100);
/// How long one piece of a frame takes to flow. Streams take turns piece by piece.
const TURN: u64 = 20;
/// A piece is never smaller, unless the frame is.
const LEAST_PIECE: u64 = 1024;

/// The limits of one connection.
#[derive(Default)]
pub(crate) struct Throttle {
    /// 0 is no limit.
    requests: AtomicUsize,
    inbound: Lane,
    outbound: Lane,
}

impl Throttle {
    pub(crate) fn new(limits: Limits) -> Self {
        let throttle = Self::default();
        throttle.set(limits);
        throttle
    }

    /// In force for the next request and the next piece of every stream, waiting ones too.
    pub(crate) fn set(&self, limits: Limits) {
        let requests = limits.requests.map_or(0, NonZeroU32::get);
        self.requests.store(
            usize::try_from(requests).unwrap_or(usize::MAX),
            Ordering::SeqCst,
        );
        self.inbound.set(limits.bandwidth);
        self.outbound.set(limits.bandwidth);
    }

    /// How many requests may be open; 0 is no limit.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// From clients.
    pub(crate) const fn inbound(&self) -> &Lane {
        &self.inbound
    }

    /// To clients.
    pub(crate) const fn outbound(&self) -> &Lane {
        &self.outbound
    }
}

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Lane(ArcSwapOption<Pace>);

impl Lane {
    fn set(&self, bandwidth: Option<Bandwidth>) {
        let old = self.0.load_full();
        if old.as_ref().map(|pace| pace.bandwidth) == bandwidth {
            return;
        }
        self.0.store(bandwidth.map(Pace::new).map(Arc::new));
        if let Some(old) = old {
            old.replaced.cancel();
        }
    }

    /// Counts bytes that were taken without waiting; what comes after them waits for them.
    pub(crate) fn charge(&self, bytes: usize) {
        if let Some(pace) = &*self.0.load() {
            pace.promise(bytes as u64);
        }
    }
}

/// A token bucket, kept as the time at which everything promised so far will have flowed.
struct Pace {
    bandwidth: Bandwidth,
    began: Instant,
    /// Nanoseconds since `began`.
    due: AtomicU64,
    /// Another limit, or none, is in force.
    replaced: CancellationToken,
}

impl Pace {
    fn new(bandwidth: Bandwidth) -> Self {
        Self {
            bandwidth,
            began: Instant::now(),
            due: AtomicU64::new(0),
            replaced: CancellationToken::new(),
        }
    }

    fn piece(&self) -> usize {
        let piece = (self.bandwidth.bytes() / TURN).max(LEAST_PIECE);
        usize::try_from(piece).unwrap_or(usize::MAX)
    }

    fn cost(&self, bytes: u64) -> u64 {
        let cost = u128::from(bytes) * 1_000_000_000 / u128::from(self.bandwidth.bytes());
        u64::try_from(cost).unwrap_or(u64::MAX)
    }

    /// Promises that so many bytes flow, and says when; `None` is now.
    fn promise(&self, bytes: u64) -> Option<Instant> {
        let now = nanoseconds(self.began.elapsed());
        let cost = self.cost(bytes);
        let after = |due: u64| {
            due.max(now.saturating_sub(nanoseconds(CREDIT)))
                .saturating_add(cost)
        };
        let promised = self
            .due
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |due| Some(after(due)));
        // The update never declines.
        let (Ok(before) | Err(before)) = promised;
        let due = after(before);
        (due > now).then(|| self.began + Duration::from_nanos(due))
    }

    /// Takes back a promise that was not kept.
    fn release(&self, bytes: u64) {
        // What was promised is contained in `due` until it is taken back.
        self.due.fetch_sub(self.cost(bytes), Ordering::SeqCst);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// One stream in one direction: what it read and may not pass on yet.
#[derive(Default)]
pub(crate) struct Shaper {
    held: Bytes,
    waiting: Option<Box<Waiting>>,
}

struct Waiting {
    bytes: usize,
    until: Pin<Box<Sleep>>,
    replaced: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Taken once the bytes flow.
    promised: Option<Arc<Pace>>,
}

impl Waiting {
    fn new(pace: Arc<Pace>, bytes: usize, until: Instant) -> Box<Self> {
        Box::new(Self {
            bytes,
            until: Box::pin(tokio::time::sleep_until(until)),
            replaced: Box::pin(pace.replaced.clone().cancelled_owned()),
            promised: Some(pace),
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(pace) = self.promised.take() {
            pace.release(self.bytes as u64);
        }
    }
}

impl Shaper {
    /// Whether nothing is held back.
    pub(crate) const fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes held back.
    pub(crate) const fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes a frame, and gives it back at once when there is no limit. Otherwise it is held, and
    /// [`poll`](Self::poll) gives its pieces.
    pub(crate) fn take(&mut self, lane: &Lane, frame: Bytes) -> Option<Bytes> {
        if lane.0.load().is_none() {
            return Some(frame);
        }
        self.held = frame;
        None
    }

    /// The next piece of what is held, when it may flow; `None` when nothing is held.
    pub(crate) fn poll(&mut self, lane: &Lane, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.held.is_empty() {
                return Poll::Ready(None);
            }
            if let Some(waiting) = &mut self.waiting {
                if waiting.replaced.as_mut().poll(cx).is_ready() {
                    self.waiting = None;
                    continue;
                }
                if waiting.until.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                waiting.promised = None;
                let bytes = waiting.bytes;
                self.waiting = None;
                return Poll::Ready(Some(self.held.split_to(bytes)));
            }
            let Some(pace) = lane.0.load_full() else {
                return Poll::Ready(Some(std::mem::take(&mut self.held)));
            };
            let bytes = self.held.len().min(pace.piece());
            match pace.promise(bytes as u64) {
                None => return Poll::Ready(Some(self.held.split_to(bytes))),
                Some(until) => self.waiting = Some(Waiting::new(pace, bytes, until)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn limits(bytes: u64) -> Limits {
        Limits {
            requests: None,
            bandwidth: Some(bytes.try_into().unwrap()),
        }
    }

    async fn pass(lane: &Lane, shaper: &mut Shaper, frame: Bytes) -> usize {
        let mut passed = match shaper.take(lane, frame) {
            Some(whole) => whole.len(),
            None => 0,
        };
        while let Some(piece) = poll_fn(|cx| shaper.poll(lane, cx)).await {
            passed += piece.len();
        }
        passed
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_flow_at_the_limit_and_not_faster() {
        let throttle = Throttle::new(limits(1 << 20));
        let began = Instant::now();
        let frame = Bytes::from(vec![0; 128 * 1024]);
        let mut shaper = Shaper::default();
        for _ in 0..32 {
            let passed = pass(throttle.outbound(), &mut shaper, frame.clone()).await;
            assert_eq!(passed, frame.len());
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(4) - CREDIT, "{took:?}");
        assert!(took <= Duration::from_millis(4_200), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn streams_share_a_limit_fairly() {
        let throttle = Arc::new(Throttle::new(limits(1 << 20)));
        let stream = |frame: usize| {
            let throttle = Arc::clone(&throttle);
            tokio::spawn(async move {
                let mut shaper = Shaper::default();
                let frame = Bytes::from(vec![0; frame]);
                let mut passed = 0;
                let flow = async {
                    loop {
                        passed += pass(throttle.outbound(), &mut shaper, frame.clone()).await;
                    }
                };
                let _: Result<(), _> = tokio::time::timeout(Duration::from_secs(10), flow).await;
                passed
            })
        };
        let (large, small) = (stream(1 << 20), stream(64 * 1024));
        let (large, small) = (large.await.unwrap(), small.await.unwrap());
        let whole = large + small;
        assert!(large.min(small) >= whole / 3, "{large} and {small}");
        assert!((7 << 20..=11 << 20).contains(&whole));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_stream_goes_on_at_once_when_its_limit_is_lifted() {
        let throttle = Arc::new(Throttle::new(limits(1024)));
        let waits = {
            let throttle = Arc::clone(&throttle);
            tokio::spawn(async move {
                let frame = Bytes::from(vec![0; 1 << 20]);
                pass(throttle.inbound(), &mut Shaper::default(), frame).await
            })
        };
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!waits.is_finished());
        let lifted = Instant::now();
        throttle.set(Limits::default());
        assert_eq!(waits.await.unwrap(), 1 << 20);
        assert_eq!(lifted.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_goes_away_gives_its_turn_back() {
        let throttle = Throttle::new(limits(1024));
        for _ in 0..100 {
            let mut shaper = Shaper::default();
            assert!(
                shaper
                    .take(throttle.outbound(), Bytes::from(vec![0; 1024]))
                    .is_none()
            );
            let first = poll_fn(|cx| Poll::Ready(shaper.poll(throttle.outbound(), cx))).await;
            assert!(first.is_pending());
        }
        let began = Instant::now();
        let frame = Bytes::from(vec![0; 1024]);
        pass(throttle.outbound(), &mut Shaper::default(), frame).await;
        assert!(began.elapsed() <= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn without_a_limit_a_frame_passes_as_it_is() {
        let throttle = Throttle::default();
        let frame = Bytes::from(vec![7; 1 << 20]);
        let passed = Shaper::default().take(throttle.outbound(), frame.clone());
        assert_eq!(passed.map(|passed| passed.as_ptr()), Some(frame.as_ptr()));
    }
}
