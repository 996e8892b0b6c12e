//! A provider that does what an object's name says: answers, keeps silent, floods, or leaves the
//! body unread. It counts what reached it and what it still has open.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bascule_gateway::{
    BoxError, ProviderBody, Upstream, UpstreamBody, UpstreamError, UpstreamErrorKind,
    UpstreamFuture,
};
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};

/// Objects whose names begin so.
pub(crate) mod named {
    /// Takes the first frame of the body and no more.
    pub(crate) const DEAF: &str = "deaf";
    /// Takes nothing of the body.
    pub(crate) const BLIND: &str = "blind";
    /// Takes the whole body and never answers.
    pub(crate) const MUTE: &str = "mute";
    /// Answers with a few bytes of many, then nothing.
    pub(crate) const DRIP: &str = "drip";
    /// Answers with bytes without end.
    pub(crate) const FLOOD: &str = "flood";
    /// Answers with half of an error.
    pub(crate) const ERROR: &str = "error";
    /// Answers with a whole body of `SPILL` bytes.
    pub(crate) const SPILL: &str = "spill";
    /// Must not arrive at all.
    pub(crate) const LATE: &str = "late";
}

/// More than a client's socket takes in before anybody reads, less than the gateway's own takes.
pub(crate) const SPILL: usize = 600 * 1024;

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
pub(crate) struct Shelf {
    open: Arc<AtomicUsize>,
    requests: AtomicUsize,
    late: AtomicUsize,
    received: AtomicUsize,
    sent: Arc<AtomicUsize>,
    stored: Mutex<Vec<String>>,
    /// Run when the next request arrives, before anything of its body is taken.
    pub(crate) on_arrival: Mutex<Option<Hook>>,
}

/// Counts an exchange until it is over.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shelf {
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Requests that were sent although their key was dead.
    pub(crate) fn late(&self) -> usize {
        self.late.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that were taken.
    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }

    /// Bytes of floods that were given.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// The objects whose bodies came to their end.
    pub(crate) fn stored(&self) -> Vec<String> {
        self.stored.lock().unwrap().clone()
    }

    /// Forgets what was stored.
    pub(crate) fn forget(&self) {
        self.stored.lock().unwrap().clear();
    }

    async fn answer(
        &self,
        request: Request<UpstreamBody>,
    ) -> Result<Response<ProviderBody>, UpstreamError> {
        let open = Open::new(&self.open);
        self.requests.fetch_add(1, Ordering::SeqCst);
        let (head, mut body) = request.into_parts();
        let name = head.uri.path().rsplit('/').next().unwrap().to_owned();
        let is = |prefix| name.starts_with(prefix);
        if is(named::LATE) {
            self.late.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(hook) = self.on_arrival.lock().unwrap().take() {
            hook();
        }
        if is(named::BLIND) {
            pending::<()>().await;
        }
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| UpstreamError::new(UpstreamErrorKind::Broken, error))?;
            let data = frame.into_data().unwrap();
            self.received.fetch_add(data.len(), Ordering::SeqCst);
            if is(named::DEAF) {
                pending::<()>().await;
            }
        }
        if head.method != Method::GET {
            self.stored.lock().unwrap().push(name.clone());
        }
        if is(named::MUTE) {
            pending::<()>().await;
        }
        let mut response = Response::new(if is(named::DRIP) || is(named::ERROR) {
            first_then_silence("<Error>", open)
        } else if is(named::FLOOD) {
            flood(Arc::clone(&self.sent), open)
        } else if is(named::SPILL) {
            whole(vec![b'x'; SPILL])
        } else {
            whole("")
        });
        if is(named::DRIP) || is(named::FLOOD) {
            let length = header::HeaderValue::from_static("1000000000000");
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length);
        }
        if is(named::ERROR) {
            *response.status_mut() = http::StatusCode::BAD_REQUEST;
        }
        Ok(response)
    }
}

fn whole(body: impl Into<Bytes>) -> ProviderBody {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn first_then_silence(first: &'static str, open: Open) -> ProviderBody {
    let frames = futures_util::stream::unfold((Some(first), open), |(first, open)| async move {
        let Some(first) = first else { pending().await };
        let frame = Ok::<_, BoxError>(Frame::data(Bytes::from_static(first.as_bytes())));
        Some((frame, (None, open)))
    });
    StreamBody::new(frames).boxed_unsync()
}

fn flood(sent: Arc<AtomicUsize>, open: Open) -> ProviderBody {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let frames = futures_util::stream::unfold((sent, open), move |(sent, open)| {
        let piece = piece.clone();
        async move {
            sent.fetch_add(piece.len(), Ordering::SeqCst);
            Some((Ok::<_, BoxError>(Frame::data(piece)), (sent, open)))
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

impl Upstream for Shelf {
    fn send(&self, request: Request<UpstreamBody>) -> UpstreamFuture<'_> {
        Box::pin(self.answer(request))
    }
}
