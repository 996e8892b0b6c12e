//! What one request came to, told once when it is over: to the meters, and to the access log if
//! that is on. It must never log a query string, which may hold a signature, nor a header.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
};

use bascule_domain::{Timestamp, operation::Action};
use http::{HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use crate::{
    cells::KeyCell, keyring::Keyring, meter::Meter, ports::Visit, reason::Reason, respond::Refusal,
    serve::Gateway, visit::Visits,
};

/// The target of access log lines, to switch them on or off apart from the rest.
pub const ACCESS_LOG: &str = "bascule_gateway::access";

/// A request while it is answered; what is known of it grows.
pub(crate) struct Account<'a> {
    keyring: &'a Keyring,
    visits: &'a Visits,
    agent: Option<HeaderValue>,
    peer: IpAddr,
    visit: Option<Arc<dyn Visit>>,
    refusal: Option<Reason>,
    key: Option<Arc<KeyCell>>,
    pub(crate) action: Option<Action>,
    /// Of the connection that a dead key opened.
    late: Option<Arc<Meter>>,
    status: Option<StatusCode>,
    line: Option<Arc<Line>>,
}

impl<'a> Account<'a> {
    pub(crate) fn open(
        gateway: &'a Gateway,
        visits: &'a Visits,
        method: &Method,
        path: &str,
        agent: Option<HeaderValue>,
        peer: IpAddr,
    ) -> Self {
        let logged = tracing::enabled!(target: ACCESS_LOG, tracing::Level::INFO);
        Self {
            keyring: &gateway.keyring,
            visits,
            agent,
            peer,
            visit: None,
            refusal: None,
            key: None,
            action: None,
            late: None,
            status: None,
            line: logged.then(|| Arc::new(Line::begin(method, path, peer))),
        }
    }

    pub(crate) const fn agent(&self) -> Option<&HeaderValue> {
        self.agent.as_ref()
    }

    pub(crate) const fn key(&self) -> Option<&Arc<KeyCell>> {
        self.key.as_ref()
    }

    /// The request names this key.
    pub(crate) fn names(&mut self, key: Arc<KeyCell>) {
        let connection = key.connection().id();
        let agent = self.agent.as_ref();
        self.visit = self.visits.of(key.id(), connection, agent, self.peer);
        self.key = Some(key);
    }

    /// The request is signed with it.
    pub(crate) fn proven(&self, at: Timestamp) {
        if let Some(visit) = &self.visit {
            visit.used(at);
        }
    }

    /// For the exchange, whose end is the request's.
    pub(crate) fn told(&self) -> Told {
        Told {
            line: self.line.clone(),
            visit: self.visit.clone(),
        }
    }

    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        if let (None, Refusal::Revoked(Some(dead))) = (&self.key, refusal) {
            self.late = self.keyring.meter_of(dead.connection);
            let agent = self.agent.as_ref();
            self.visit = self.visits.of(dead.key, dead.connection, agent, self.peer);
        }
        self.refusal = Some(refusal.reason());
        let meter = self.meter();
        meter.refusal(refusal.reason());
        if let Refusal::Upstream(kind) = refusal {
            meter.upstream_error(*kind);
        }
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    fn meter(&self) -> &Meter {
        match (&self.key, &self.late) {
            (Some(key), _) => key.connection().meter(),
            (None, Some(late)) => late,
            (None, None) => self.keyring.meters().nobody(),
        }
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        self.meter().request(self.action, self.status);
        match (&self.visit, self.refusal) {
            (Some(visit), Some(reason)) => visit.refused(reason),
            (Some(visit), None) => visit.answered(self.action),
            (None, _) => {}
        }
        if let Some(line) = &self.line {
            line.tell(self);
        }
    }
}

/// Who is told what an exchange has moved, once it is over.
pub(crate) struct Told {
    line: Option<Arc<Line>>,
    visit: Option<Arc<dyn Visit>>,
}

impl Told {
    pub(crate) fn moved(&self, action: Action, received: u64, sent: u64) {
        if let Some(line) = &self.line {
            line.moved(received, sent);
        }
        if let Some(visit) = &self.visit {
            visit.moved(action, received, sent);
        }
    }
}

/// A line of the access log. It is written when nobody holds it any more.
pub(crate) struct Line {
    method: Method,
    path: String,
    peer: IpAddr,
    began: Instant,
    /// Of the request, once it is answered.
    about: std::sync::OnceLock<About>,
    status: AtomicU16,
    received: AtomicU64,
    sent: AtomicU64,
}

struct About {
    operation: &'static str,
    connection: String,
    key: String,
}

impl Line {
    fn begin(method: &Method, path: &str, peer: IpAddr) -> Self {
        Self {
            method: method.clone(),
            path: path.to_owned(),
            peer,
            began: Instant::now(),
            about: std::sync::OnceLock::new(),
            status: AtomicU16::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    fn tell(&self, account: &Account<'_>) {
        let key = account.key.as_ref();
        // Told once: an account is dropped once.
        let _ = self.about.set(About {
            operation: account.action.map_or("", Action::name),
            connection: key.map_or_else(String::new, |key| key.connection().name().to_string()),
            key: key.map_or_else(String::new, |key| key.id().to_string()),
        });
        if let Some(status) = account.status {
            self.status.store(status.as_u16(), Ordering::Relaxed);
        }
    }

    /// What the exchange with the provider moved.
    fn moved(&self, received: u64, sent: u64) {
        self.received.store(received, Ordering::Relaxed);
        self.sent.store(sent, Ordering::Relaxed);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let about = self.about.get();
        tracing::info!(
            target: ACCESS_LOG,
            peer = %self.peer,
            method = %self.method,
            // Escaped: it is the client's.
            path = ?self.path,
            operation = about.map_or("", |about| about.operation),
            status = self.status.load(Ordering::Relaxed),
            connection = about.map_or("", |about| &about.connection),
            key = about.map_or("", |about| &about.key),
            received = self.received.load(Ordering::Relaxed),
            sent = self.sent.load(Ordering::Relaxed),
            milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}
