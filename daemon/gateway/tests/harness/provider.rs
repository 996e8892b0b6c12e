//! A provider in memory: records what reaches it, counts it, and answers by script.

use std::{
    collections::{BTreeMap, VecDeque},
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

/// What a provider keeps that answers by it instead of by script.
#[derive(Default)]
pub(crate) struct Shelf {
    /// Whether it refuses to overwrite when asked to.
    pub(crate) honours: bool,
    /// By path, as it is on the wire.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    uploads: usize,
}

#[derive(Default)]
pub(crate) struct Provider {
    requests: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    scripts: Mutex<VecDeque<Script>>,
    /// Once it is set, what no script answers is answered by it.
    pub(crate) shelf: Mutex<Option<Shelf>>,
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
        let script = self.scripts.lock().unwrap().pop_front();
        if script.is_none() && self.shelf.lock().unwrap().is_some() {
            return self.keep(request).await;
        }
        let script = script.unwrap_or_else(|| Script::new(200, ""));
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

impl Provider {
    /// Puts objects on the shelf, and answers by it from now on.
    pub(crate) fn stock(&self, honours: bool, names: &[&str]) {
        let objects = names
            .iter()
            .map(|name| ((*name).to_owned(), b"as it was".to_vec()))
            .collect();
        *self.shelf.lock().unwrap() = Some(Shelf {
            honours,
            objects,
            uploads: 0,
        });
    }

    pub(crate) fn stored(&self, path: &str) -> Option<Vec<u8>> {
        self.shelf
            .lock()
            .unwrap()
            .as_ref()?
            .objects
            .get(path)
            .cloned()
    }

    async fn keep(
        &self,
        request: http::Request<UpstreamBody>,
    ) -> Result<Response<ProviderBody>, UpstreamError> {
        let (head, mut body) = request.into_parts();
        let mut seen = Seen {
            method: head.method.clone(),
            uri: head.uri.to_string(),
            headers: head.headers,
            body: vec![],
            complete: false,
        };
        let answer = |status: u16, text: String| {
            let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
            let mut response = Response::new(body.boxed_unsync());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok(response)
        };
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let has = |name: &str| {
            query
                .split('&')
                .any(|pair| pair.split('=').next() == Some(name))
        };
        let exists = self.stored(&path).is_some();
        let only_new = seen.header("if-none-match") == Some("*");
        let honours = self.shelf.lock().unwrap().as_ref().unwrap().honours;
        if seen.header("expect").is_some() {
            self.seen.lock().unwrap().push(seen);
            return answer(
                if honours && exists && only_new {
                    412
                } else {
                    400
                },
                String::new(),
            );
        }
        if head.method == Method::HEAD {
            self.seen.lock().unwrap().push(seen);
            return answer(
                if exists || path.matches('/').count() == 1 {
                    200
                } else {
                    404
                },
                String::new(),
            );
        }
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| UpstreamError::new(UpstreamErrorKind::Broken, error))?;
            seen.body.extend_from_slice(&frame.into_data().unwrap());
        }
        seen.complete = true;
        // Between looking and acting, others have their turn.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        let content = seen.body.clone();
        self.seen.lock().unwrap().push(seen);
        let mut shelf = self.shelf.lock().unwrap();
        let shelf = shelf.as_mut().unwrap();
        let writes = match head.method {
            Method::PUT => !has("partNumber"),
            Method::POST => has("uploadId"),
            _ => false,
        };
        if writes && honours && only_new && shelf.objects.contains_key(&path) {
            return answer(412, "<Error><Code>PreconditionFailed</Code></Error>".into());
        }
        if writes {
            shelf.objects.insert(path, content);
        } else if head.method == Method::DELETE && !has("uploadId") {
            shelf.objects.remove(&path);
        } else if head.method == Method::POST && has("uploads") {
            shelf.uploads += 1;
            return answer(200, format!("<UploadId>u{}</UploadId>", shelf.uploads));
        } else if head.method == Method::POST && has("delete") {
            shelf.objects.clear();
        } else if head.method == Method::GET
            && let Some(content) = shelf.objects.get(&path)
        {
            return answer(200, String::from_utf8_lossy(content).into_owned());
        }
        answer(200, String::new())
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
