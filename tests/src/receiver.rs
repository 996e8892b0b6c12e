//! A web server that writes down what is posted to it and answers as the test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;

use crate::{server::Server, wait};

/// One message, and how it was answered.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Path and query.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, which is text.
    pub body: String,
    /// The answer.
    pub status: StatusCode,
}

impl Posted {
    /// A header that must be there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The body as a document.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

#[derive(Default)]
struct Shared {
    posted: Vec<Posted>,
    /// What to answer to the next ones; afterwards `usual`.
    next: VecDeque<StatusCode>,
    usual: StatusCode,
}

/// The server. It ends on drop.
pub struct Receiver {
    shared: Arc<Mutex<Shared>>,
    server: Server,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// Starts one that says 200 to everything.
    #[must_use]
    pub fn start() -> Self {
        let shared = Arc::<Mutex<Shared>>::default();
        let of_server = Arc::clone(&shared);
        let server = Server::start(move |request| note(Arc::clone(&of_server), request));
        Self { shared, server }
    }

    /// Such as `http://127.0.0.1:9000/hook`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.server.endpoint())
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to say to the next message.
    pub fn answer_next(&self, status: u16) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.shared().next.push_back(status);
    }

    /// What to say from now on.
    pub fn answer(&self, status: u16) {
        self.shared().usual = StatusCode::from_u16(status).expect("a status");
    }

    /// Every message so far.
    #[must_use]
    pub fn posted(&self) -> Vec<Posted> {
        self.shared().posted.clone()
    }

    /// Waits until so many messages have come.
    #[must_use]
    pub fn wait_for(&self, number: usize) -> Vec<Posted> {
        wait::until(&format!("{number} messages"), || {
            let posted = self.posted();
            (posted.len() >= number).then_some(posted)
        })
    }
}

async fn note(
    shared: Arc<Mutex<Shared>>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let status = shared.next.pop_front().unwrap_or(shared.usual);
    shared.posted.push(Posted {
        target: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        status,
    });
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}
