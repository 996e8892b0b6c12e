//! A provider in memory: records what reaches it, counts it, and answers by script.

use std::{
    collections::VecDeque,
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
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::{Notify, mpsc};

/// What reached the provider.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) complete: bool,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// How the provider answers.
pub(crate) struct Script {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Sent after `body`; the answer ends when the sender is dropped.
    pub(crate) stream: Option<mpsc::Receiver<Bytes>>,
    /// Not answered before this.
    pub(crate) hold: Option<Arc<Notify>>,
    pub(crate) fails: Option<UpstreamErrorKind>,
    /// The answer breaks off after `body` and `stream`.
    pub(crate) breaks: bool,
    /// Nothing of the request's body is taken, and nothing answered.
    pub(crate) deaf: bool,
}

impl Script {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![],
            body: body.into(),
            stream: None,
            hold: None,
            fails: None,
            breaks: false,
            deaf: false,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

#[derive(Default)]
pub(crate) struct Provider {
    requests: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    scripts: Mutex<VecDeque<Script>>,
    pub(crate) received: AtomicUsize,
}

impl Provider {
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn script(&self, script: Script) {
        self.scripts.lock().unwrap().push_back(script);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// What was seen since the last call.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    pub(crate) fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    async fn answer(
        &self,
        request: http::Request<UpstreamBody>,
    ) -> Result<Response<ProviderBody>, UpstreamError> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let script = self
            .scripts
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or_else(|| Script::new(200, ""));
        let (head, mut body) = request.into_parts();
        let mut recorder = Recorder {
            provider: self,
            seen: Some(Seen {
                method: head.method,
                uri: head.uri.to_string(),
                headers: head.headers,
                body: vec![],
                complete: false,
            }),
        };
        if script.deaf {
            std::future::pending::<()>().await;
        }
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| UpstreamError::new(UpstreamErrorKind::Broken, error))?;
            let data = frame.into_data().unwrap();
            self.received.fetch_add(data.len(), Ordering::SeqCst);
            recorder
                .seen
                .as_mut()
                .unwrap()
                .body
                .extend_from_slice(&data);
        }
        recorder.seen.as_mut().unwrap().complete = true;
        drop(recorder);
        if let Some(hold) = &script.hold {
            hold.notified().await;
        }
        if let Some(kind) = script.fails {
            return Err(kind.into());
        }
        let body = match script.stream {
            None if script.breaks => {
                let frames = [
                    Ok(Frame::data(Bytes::from(script.body))),
                    Err(BoxError::from("reset")),
                ];
                StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
            }
            None => Full::new(Bytes::from(script.body))
                .map_err(|never| match never {})
                .boxed_unsync(),
            Some(receiver) => {
                let frames = futures_util::stream::unfold(
                    (Some(script.body), receiver),
                    |(first, mut receiver)| async move {
                        let data = match first {
                            Some(first) => Bytes::from(first),
                            None => receiver.recv().await?,
                        };
                        Some((Ok::<_, BoxError>(Frame::data(data)), (None, receiver)))
                    },
                );
                StreamBody::new(frames).boxed_unsync()
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(script.status).unwrap();
        for (name, value) in script.headers {
            response.headers_mut().append(name, value.parse().unwrap());
        }
        Ok(response)
    }
}

/// Records a request even if it is given up.
struct Recorder<'a> {
    provider: &'a Provider,
    seen: Option<Seen>,
}

impl Drop for Recorder<'_> {
    fn drop(&mut self) {
        self.provider
            .seen
            .lock()
            .unwrap()
            .push(self.seen.take().unwrap());
    }
}

impl Upstream for Provider {
    fn send(&self, request: http::Request<UpstreamBody>) -> UpstreamFuture<'_> {
        Box::pin(self.answer(request))
    }
}
