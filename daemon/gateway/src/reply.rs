//! What the client gets back: an answer of our own, or the provider's body, metered and cut. It
//! must never end a body cleanly that the provider did not.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio_util::task::TaskTracker;

use crate::{
    exchange::{InFlight, Tied},
    idle::Idle,
    throttle::Shaper,
    upstream::{BoxError, ProviderBody},
};

/// The body of an answer.
pub(crate) enum ReplyBody {
    Whole(Option<Bytes>),
    Provider(Box<Download>),
}

impl ReplyBody {
    pub(crate) const fn empty() -> Self {
        Self::Whole(None)
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Provider(download) => download
                .poll_data(cx)
                .map(|next| next.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Provider(download) => download.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Provider(download) => download.size_hint(),
        }
    }
}

/// A provider's body on its way to the client.
pub(crate) struct Download {
    inner: Option<ProviderBody>,
    exchange: Arc<InFlight>,
    /// Keeps the client connection cuttable for as long as the body runs.
    tied: Option<Tied>,
    location: Option<LocationRewrite>,
    shaper: Shaper,
    tasks: TaskTracker,
    outcome_limit: Duration,
    idle: Idle,
}

/// The permit became void while the body ran.
#[derive(Debug, thiserror::Error)]
#[error("the permit is void")]
struct Cut;

impl Download {
    /// `idle_limit` is how long the provider may pause.
    pub(crate) fn new(
        inner: ProviderBody,
        exchange: Arc<InFlight>,
        tied: Option<Tied>,
        location: Option<LocationRewrite>,
        tasks: TaskTracker,
        outcome_limit: Duration,
        idle_limit: Duration,
    ) -> Box<Self> {
        Box::new(Self {
            inner: Some(inner),
            exchange,
            tied,
            location,
            shaper: Shaper::default(),
            tasks,
            outcome_limit,
            idle: Idle::new(idle_limit),
        })
    }

    /// Nothing more goes to the client.
    fn end_of_body(&mut self) {
        if let Some(tied) = self.tied.take() {
            tied.answered();
        }
    }

    fn is_end(&self) -> bool {
        self.location.is_none()
            && self.shaper.is_idle()
            && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.location) {
            (Some(inner), None) => match inner.size_hint().exact() {
                Some(left) => SizeHint::with_exact(left + self.shaper.held() as u64),
                None => SizeHint::default(),
            },
            (None, None) => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        loop {
            let Some(inner) = &mut self.inner else {
                return Poll::Ready(None);
            };
            if !self.exchange.honoured() {
                return Poll::Ready(Some(Err(Box::new(Cut))));
            }
            let lane = self.exchange.throttle().outbound();
            if let Some(piece) = ready!(self.shaper.poll(lane, cx)) {
                self.exchange.sent(piece.len());
                return Poll::Ready(Some(Ok(piece)));
            }
            let Poll::Ready(next) = Pin::new(inner).poll_frame(cx) else {
                let stalled = ready!(self.idle.poll_stalled(cx));
                self.inner = None;
                return Poll::Ready(Some(Err(Box::new(stalled))));
            };
            self.idle.moved();
            let data = match next {
                None => {
                    self.inner = None;
                    self.end_of_body();
                    self.exchange.delivered();
                    self.exchange.end_of_answer();
                    match self.location.take() {
                        Some(rewrite) => rewrite.finish(),
                        None => return Poll::Ready(None),
                    }
                }
                Some(Err(error)) => {
                    self.inner = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => match (frame.into_data(), &mut self.location) {
                    (Ok(data), Some(rewrite)) => rewrite.take(&data),
                    (Ok(data), None) => match self.shaper.take(lane, data) {
                        Some(data) => data,
                        None => continue,
                    },
                    // Provider's trailers end here: the client was not told to expect any.
                    (Err(_), _) => continue,
                },
            };
            if !data.is_empty() {
                self.exchange.sent(data.len());
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.end_of_body();
        // The client is gone, but what the provider did stands in the rest of the body.
        let Some(mut inner) = self.inner.take() else {
            return;
        };
        if inner.is_end_stream() && self.shaper.is_idle() {
            self.exchange.delivered();
        }
        if !self.exchange.late() || !self.exchange.unsettled() {
            return;
        }
        let exchange = Arc::clone(&self.exchange);
        let limit = self.outcome_limit;
        self.tasks.spawn(async move {
            let rest = async {
                while let Some(frame) = inner.frame().await {
                    if frame.is_err() {
                        return;
                    }
                }
                exchange.end_of_answer();
            };
            // Running into the limit leaves the outcome unknown, which is what it then is.
            let _ = tokio::time::timeout(limit, rest).await;
        });
    }
}

/// The provider's headers that reach the client: all but those of its hop, those for browsers,
/// and where the provider is.
pub(crate) fn headers(mut provider: HeaderMap) -> HeaderMap {
    const LEFT_OUT: &[&str] = &[
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "location",
        "set-cookie",
        "alt-svc",
        "strict-transport-security",
    ];
    let left_out = |name: &&HeaderName| {
        LEFT_OUT.contains(&name.as_str()) || name.as_str().starts_with("access-control-")
    };
    // Most answers have one of them at most: the map is kept, and not built anew.
    while let Some(name) = provider.keys().find(left_out).cloned() {
        provider.remove(name);
    }
    provider
}

/// RGW tells with a bucket how many objects and bytes it holds.
pub(crate) fn leave_out_totals(headers: &mut HeaderMap) {
    let totals: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-rgw-"))
        .cloned()
        .collect();
    for name in totals {
        headers.remove(name);
    }
}

/// Replaces the `Location` in the answer of `CompleteMultipartUpload`, which names the provider
/// (gateway.md 48). Blanks before the result pass at once: they keep the client waiting (44).
pub(crate) struct LocationRewrite {
    location: String,
    held: BytesMut,
}

/// A result is smaller than this; a longer one passes as it is.
const LONGEST_RESULT: usize = 64 * 1024;

impl LocationRewrite {
    pub(crate) fn new(location: String) -> Self {
        Self {
            location,
            held: BytesMut::new(),
        }
    }

    fn take(&mut self, data: &[u8]) -> Bytes {
        self.held.extend_from_slice(data);
        if self.held.len() > LONGEST_RESULT {
            return self.held.split().freeze();
        }
        let passes = preamble(&self.held);
        self.held.split_to(passes).freeze()
    }

    fn finish(self) -> Bytes {
        let Self { location, held } = self;
        let Ok(text) = std::str::from_utf8(&held) else {
            return held.freeze();
        };
        let (Some(start), Some(end)) = (text.find("<Location>"), text.find("</Location>")) else {
            return held.freeze();
        };
        let start = start + "<Location>".len();
        if end < start {
            return held.freeze();
        }
        format!(
            "{}{}{}",
            &text[..start],
            quick_xml::escape::escape(&*location),
            &text[end..]
        )
        .into()
    }
}

/// Bytes of blanks and `<?…?>` at the beginning.
fn preamble(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += text[at..]
            .iter()
            .take_while(|b| b.is_ascii_whitespace())
            .count();
        if !text[at..].starts_with(b"<?") {
            return at;
        }
        match text[at..].windows(2).position(|pair| pair == b"?>") {
            Some(end) => at += end + 2,
            None => return at,
        }
    }
}
