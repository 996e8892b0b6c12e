//! A recording proxy before a provider. It writes down every request, passes heads and bodies on
//! as they came, and on demand lets a request wait, keeps an answer back, or drops the connection.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header, uri::Authority};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::watch;

use crate::{server::Server, wait};

/// What a request looked like.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Path and query as they were on the wire.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
}

impl Seen {
    /// Whether such a request can change what the provider holds.
    #[must_use]
    pub fn may_mutate(&self) -> bool {
        self.method != Method::GET && self.method != Method::HEAD
    }

    /// Whether it lists objects.
    #[must_use]
    pub fn lists_objects(&self) -> bool {
        self.method == Method::GET && self.target.contains("list-type=2")
    }

    /// Whether it was signed with this access key id.
    #[must_use]
    pub fn signed_by(&self, access_key_id: &str) -> bool {
        self.headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains(&format!("Credential={access_key_id}/")))
    }
}

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treat {
    /// Pass it on, and the answer back.
    Pass,
    /// Let it wait; the rule is asked again when it changes.
    Wait,
    /// Pass it on, and keep the answer back until the rule changes.
    KeepAnswer,
    /// Drop the connection.
    Drop,
}

type Rule = Arc<dyn Fn(&Seen) -> Treat + Send + Sync>;

struct Shared {
    upstream: Authority,
    seen: Mutex<Vec<Seen>>,
    rule: watch::Sender<Rule>,
    held: watch::Sender<usize>,
    client: Client<HttpConnector, BoxBody<Bytes, hyper::Error>>,
}

/// The proxy. It ends on drop, with every connection through it.
pub struct Recorder {
    shared: Arc<Shared>,
    server: Server,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Starts one before `upstream` (host and port); it passes everything.
    #[must_use]
    pub fn start(upstream: &str) -> Self {
        let pass: Rule = Arc::new(|_| Treat::Pass);
        let shared = Arc::new(Shared {
            upstream: upstream.parse().expect("host and port"),
            seen: Mutex::default(),
            rule: watch::Sender::new(pass),
            held: watch::Sender::new(0),
            client: Client::builder(TokioExecutor::new())
                .pool_idle_timeout(Duration::from_secs(5))
                .build(HttpConnector::new()),
        });
        let of_server = Arc::clone(&shared);
        let server = Server::start(move |request| answer(Arc::clone(&of_server), request));
        Self { shared, server }
    }

    /// Such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// Decides from now on, also about what waits and about answers that are kept back. The rule
    /// may block.
    pub fn rule(&self, rule: impl Fn(&Seen) -> Treat + Send + Sync + 'static) {
        self.shared.rule.send_replace(Arc::new(rule));
    }

    /// Passes everything from now on.
    pub fn pass(&self) {
        self.rule(|_| Treat::Pass);
    }

    /// Every request so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Those among them that can change what the provider holds.
    #[must_use]
    pub fn mutating(&self) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(Seen::may_mutate);
        seen
    }

    /// Forgets what was seen.
    pub fn forget(&self) {
        self.shared
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Waits until so many requests wait or have their answer kept back.
    pub fn wait_until_held(&self, count: usize) {
        wait::until("requests to be held by the proxy", || {
            (*self.shared.held.borrow() >= count).then_some(())
        });
    }
}

/// The connection is to be dropped.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Dropped> {
    let seen = Seen {
        method: request.method().clone(),
        target: request.uri().to_string(),
        headers: request.headers().clone(),
    };
    shared
        .seen
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(seen.clone());
    let keep = match settle(&shared, &seen, &[Treat::Wait]).await {
        Treat::Drop => return Err(Dropped),
        treat => treat == Treat::KeepAnswer,
    };
    let (mut head, body) = request.into_parts();
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    parts.scheme = Some(http::uri::Scheme::HTTP);
    parts.authority = Some(shared.upstream.clone());
    head.uri = Uri::from_parts(parts).map_err(|_| Dropped)?;
    let request = Request::from_parts(head, body.boxed());
    let response = shared.client.request(request).await.map_err(|_| Dropped)?;
    if keep && settle(&shared, &seen, &[Treat::Wait, Treat::KeepAnswer]).await == Treat::Drop {
        return Err(Dropped);
    }
    Ok(response)
}

/// Asks the rule until it says something else than what is to be waited for.
async fn settle(shared: &Arc<Shared>, seen: &Seen, waits: &[Treat]) -> Treat {
    let mut rules = shared.rule.subscribe();
    let mut held = None;
    loop {
        let rule = Arc::clone(&rules.borrow_and_update());
        let asked = seen.clone();
        let treat = tokio::task::spawn_blocking(move || rule(&asked))
            .await
            .unwrap_or(Treat::Drop);
        if !waits.contains(&treat) {
            return treat;
        }
        held.get_or_insert_with(|| Held::new(shared));
        if rules.changed().await.is_err() {
            return Treat::Drop;
        }
    }
}

/// Counts a request as held until it goes on or its connection ends.
struct Held(Arc<Shared>);

impl Held {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.held.send_modify(|count| *count += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.send_modify(|count| *count -= 1);
    }
}
