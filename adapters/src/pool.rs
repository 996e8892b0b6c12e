//! Connections to one server, kept for the next request. Each is driven by whoever uses it, in the
//! same task: no other has to be woken for a request or a frame. It must never send a request a second
//! time once any of it was written, nor keep a connection whose exchange did not come to its end.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::{
    runtime::{self, Handle},
    task::coop::unconstrained,
    time::Instant,
};
use tower_service::Service;

use crate::{
    dialer::{Bounded, Dialer, Wire},
    transport::{BoxError, RequestBody, TransportError},
};

pub(crate) type Connector = Bounded<HttpsConnector<Dialer>>;

/// Idle connections are dropped before common servers drop them, so that a request rarely meets
/// a connection that is being closed.
const IDLE: Duration = Duration::from_secs(15);
const MOST_IDLE: usize = 64;
/// Bounds the head of a response, and what is read ahead of a slow reader (threats.md H6).
const READ_BUFFER: usize = 256 * 1024;

/// The way to one server.
pub(crate) struct Pool {
    connector: Connector,
    idle: Mutex<Idle>,
}

#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "a connection is large, and goes from hand to hand"
)]
struct Idle {
    /// The one that was used last comes last.
    lines: Vec<Box<Line>>,
    /// Whether somebody will look for old ones.
    watched: bool,
}

/// Where a request goes. Buckets may have hosts of their own.
#[derive(PartialEq, Eq)]
struct Place {
    scheme: Scheme,
    authority: Authority,
    /// A connection is woken by the runtime in which it was made.
    runtime: runtime::Id,
}

/// A connection, and the way to hand it a request.
struct Line {
    place: Place,
    sender: SendRequest<RequestBody>,
    connection: Connection<MaybeHttpsStream<TokioIo<Wire>>, RequestBody>,
    idle_since: Instant,
}

impl Line {
    /// Does what can be done. Ready once the connection has ended; what that means for a request is
    /// told to the request.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.connection).poll(cx).map(drop)
    }

    /// Whether it can take another request.
    fn is_free(&mut self) -> bool {
        // It may still have to see that its last exchange is over.
        self.sender.is_ready() || self.drive(&mut unwoken()).is_pending() && self.sender.is_ready()
    }
}

/// For what only makes progress when its connection is driven.
const fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl Pool {
    pub(crate) fn new(connector: Connector) -> Self {
        Self {
            connector,
            idle: Mutex::default(),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Reading>, TransportError> {
        let target = std::mem::take(request.uri_mut()).into_parts();
        let (Some(scheme), Some(authority)) = (target.scheme, target.authority) else {
            return Err(TransportError::broken("the request names no server"));
        };
        let path = target.path_and_query;
        *request.uri_mut() = path.unwrap_or(PathAndQuery::from_static("/")).into();
        let place = Place {
            scheme,
            authority,
            runtime: Handle::current().id(),
        };
        while let Some(line) = self.take(&place) {
            match self.exchange(line, request).await {
                Ok(response) => return Ok(response),
                // The server had closed it, and nothing was written.
                Err(Failed {
                    unsent: Some(unsent),
                    ..
                }) => request = *unsent,
                Err(failed) => return Err(failed.error),
            }
        }
        let line = self.connect(place).await?;
        let answered = self.exchange(line, request).await;
        answered.map_err(|failed| failed.error)
    }

    async fn connect(&self, place: Place) -> Result<Box<Line>, TransportError> {
        let uri = Uri::builder()
            .scheme(place.scheme.clone())
            .authority(place.authority.clone())
            .path_and_query("/")
            .build()
            .map_err(TransportError::from_connect)?;
        let connected = self.connector.clone().call(uri).await;
        let io = connected.map_err(TransportError::from_connect)?;
        let (sender, connection) = Builder::new()
            .max_buf_size(READ_BUFFER)
            .handshake(io)
            .await
            .map_err(TransportError::from_exchange)?;
        Ok(Box::new(Line {
            place,
            sender,
            connection,
            idle_since: Instant::now(),
        }))
    }

    async fn exchange(
        self: &Arc<Self>,
        mut line: Box<Line>,
        request: Request<RequestBody>,
    ) -> Result<Response<Reading>, Failed> {
        let mut answer = pin!(unconstrained(line.sender.try_send_request(request)));
        let answered = poll_fn(|cx| {
            let ended = line.drive(cx).is_ready();
            match answer.as_mut().poll(&mut unwoken()) {
                Poll::Pending if ended => Poll::Ready(None),
                polled => polled.map(Some),
            }
        })
        .await;
        let response = match answered {
            Some(Ok(response)) => response,
            Some(Err(mut error)) => {
                return Err(Failed {
                    unsent: error.take_message().map(Box::new),
                    error: TransportError::from_exchange(error.into_error()),
                });
            }
            // The connection answers a request before it ends.
            None => {
                return Err(Failed {
                    unsent: None,
                    error: TransportError::broken("the connection ended"),
                });
            }
        };
        Ok(response.map(|body| {
            let mut reading = Reading {
                body,
                line: Some(line),
                pool: Arc::clone(self),
            };
            if reading.body.is_end_stream() {
                reading.keep_line();
            }
            reading
        }))
    }

    /// The connection to this place that was used last.
    fn take(&self, place: &Place) -> Option<Box<Line>> {
        let mut idle = self.idle();
        let at = idle.lines.iter().rposition(|line| line.place == *place)?;
        Some(idle.lines.remove(at))
    }

    /// Keeps a connection for the next request.
    fn keep(self: &Arc<Self>, mut line: Box<Line>) {
        if !line.is_free() {
            return;
        }
        line.idle_since = Instant::now();
        let mut idle = self.idle();
        let oldest = (idle.lines.len() >= MOST_IDLE).then(|| idle.lines.remove(0));
        idle.lines.push(line);
        // Without a runtime everything is about to end.
        if !idle.watched
            && let Ok(runtime) = Handle::try_current()
        {
            idle.watched = true;
            runtime.spawn(drop_idle(Arc::downgrade(self)));
        }
        drop(idle);
        drop(oldest);
    }
}

/// Drops connections that nobody has used for a while, until there are none.
async fn drop_idle(pool: std::sync::Weak<Pool>) {
    let mut next = Instant::now() + IDLE;
    loop {
        tokio::time::sleep_until(next).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = pool.idle();
        let now = Instant::now();
        let old = |line: &mut Box<Line>| now.duration_since(line.idle_since) >= IDLE;
        let dropped: Vec<_> = idle.lines.extract_if(.., old).collect();
        match idle.lines.first() {
            Some(oldest) => next = oldest.idle_since + IDLE,
            None => {
                idle.watched = false;
                return;
            }
        }
        drop(idle);
        drop(dropped);
    }
}

/// Why there is no answer, and the request if none of it was written.
struct Failed {
    error: TransportError,
    unsent: Option<Box<Request<RequestBody>>>,
}

/// The body of an answer, with the connection that brings it.
pub(crate) struct Reading {
    body: Incoming,
    line: Option<Box<Line>>,
    pool: Arc<Pool>,
}

impl Reading {
    fn keep_line(&mut self) {
        if let Some(line) = self.line.take() {
            self.pool.keep(line);
        }
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.body).poll_frame(&mut unwoken());
        if polled.is_pending()
            && let Some(line) = &mut this.line
        {
            if line.drive(cx).is_ready() {
                this.line = None;
            }
            polled = Pin::new(&mut this.body).poll_frame(&mut unwoken());
        }
        if let Poll::Ready(None) = polled {
            this.keep_line();
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.keep_line();
        }
    }
}
