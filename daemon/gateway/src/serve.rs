//! The server: accepts connections, bounds them, and ends each one properly. A connection whose
//! exchange is cut is dropped at once, even while the client does not read. It must never answer
//! on its own authority: every answer comes from `handle`.

use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    os::fd::AsRawFd,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    exchange::Slot,
    handle::handle,
    keyring::Keyring,
    ports::{Clock, DeadKeys, UsageSink},
    reply::ReplyBody,
};

/// Bytes that hyper may hold per connection and direction; also the longest head.
const BUFFER: usize = 128 * 1024;
/// What is read and thrown away after the last answer, so that a client that is still sending
/// gets to read it (gateway.md 40).
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Pause after a failed accept, such as for want of file descriptors (threats.md H2).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits and names of the endpoint.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long the head of a request may take, idle time before it included.
    pub header_timeout: Duration,
    /// How many client connections may be open; more wait to be accepted.
    pub max_connections: usize,
    /// `<bucket>.<suffix>` addresses a bucket; without it only path style is known.
    pub host_suffix: Option<String>,
    /// How long a change is awaited whose client is gone.
    pub outcome_limit: Duration,
    /// How long a provider that has the whole request may stay silent.
    pub answer_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            max_connections: 1024,
            host_suffix: None,
            outcome_limit: Duration::from_secs(120),
            answer_limit: Duration::from_secs(300),
        }
    }
}

/// The S3 endpoint.
pub struct Gateway {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dead_keys: Arc<dyn DeadKeys>,
    pub(crate) usage: Arc<dyn UsageSink>,
    pub(crate) settings: Settings,
    pub(crate) tasks: TaskTracker,
    /// Makes request ids differ between runs.
    run: u32,
    requests: AtomicU64,
}

impl Gateway {
    /// An endpoint for these keys.
    #[must_use]
    pub fn new(
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        dead_keys: Arc<dyn DeadKeys>,
        usage: Arc<dyn UsageSink>,
        settings: Settings,
    ) -> Self {
        let mut run = [0; 4];
        // Without randomness ids repeat between runs, which only makes them less handy.
        let _ = aws_lc_rs::rand::fill(&mut run);
        Self {
            run: u32::from_ne_bytes(run),
            requests: AtomicU64::new(0),
            keyring,
            clock,
            dead_keys,
            usage,
            settings,
            tasks: TaskTracker::new(),
        }
    }

    /// Serves until `shutdown`, then stops accepting, lets what is open end, and returns. The
    /// caller bounds how long that may take by dropping the future.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.settings.max_connections));
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let gateway = Arc::clone(&self);
                    let shutdown = shutdown.clone();
                    self.tasks.spawn(async move {
                        gateway.connection(stream, peer.ip(), shutdown).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: IpAddr,
        shutdown: CancellationToken,
    ) {
        // Small answers must not wait for the client's acknowledgement; failing costs only time.
        let _ = stream.set_nodelay(true);
        let slot = Arc::new(Slot::default());
        let socket = stream.as_raw_fd();
        // Where the system does not tell, an idle connection is not cut on suspicion.
        let delivered = || bascule_os::undelivered(socket).unwrap_or(0) == 0;
        let service = service_fn(|request| {
            let answer = handle(Arc::clone(&self), request, peer, Arc::clone(&slot));
            let answer: Answering = Box::pin(async { Ok(answer.await) });
            answer
        });
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.header_timeout)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service);
        let mut stop = pin!(shutdown.cancelled());
        let mut stopping = false;
        let cut = poll_fn(|cx| {
            if !stopping && stop.as_mut().poll(cx).is_ready() {
                stopping = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            // First, so that a cut never ends like an answer that merely broke off.
            if slot.poll_cut(cx, delivered).is_ready() {
                return Poll::Ready(true);
            }
            if connection.poll_without_shutdown(cx).is_ready() {
                return Poll::Ready(false);
            }
            // Again: the exchange may have begun in between, and must wake this task.
            slot.poll_cut(cx, delivered).map(|()| true)
        })
        .await;
        let stream = connection.into_parts().io.into_inner();
        if cut {
            // What waits in the socket's buffer is not delivered either: several seconds of a
            // slow download. Failing to say so only delays the end.
            let _ = stream.set_zero_linger();
        } else {
            linger(stream).await;
        }
    }

    /// The end of a request id: differs for every request.
    pub(crate) fn tail(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{:08X}{number:08X}", self.run)
    }
}

type Answering = Pin<
    Box<dyn Future<Output = Result<http::Response<ReplyBody>, std::convert::Infallible>> + Send>,
>;

/// Says that nothing more comes, then reads what the client still sends, for a while.
async fn linger(mut stream: TcpStream) {
    let drain = async {
        let mut left = LINGER_BYTES;
        let mut scratch = vec![0; 16 * 1024];
        if stream.shutdown().await.is_err() {
            return;
        }
        while left > 0 {
            match stream.read(&mut scratch).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    // Running out of time is as good an end as any.
    let _ = tokio::time::timeout(LINGER_TIME, drain).await;
}
