//! The server: accepts connections, bounds them, and ends each one properly. A connection whose
//! exchange is cut is dropped at once, even while the client does not read. It must never answer
//! on its own authority: every answer comes from `handle`.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bascule_domain::key::IpRule;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    exchange::Slot,
    failures::Failures,
    framing,
    handle::{Client, handle, refuse_unsound},
    hosts::Hosts,
    keyring::Keyring,
    ports::{Clock, DeadKeys, Ends, FindingSink, UsageSink},
    reason::Reason,
    tls::Certificate,
    visit::Visits,
    wire::{Checked, Socket, Unsound},
    workers::{self, Seats, Workers},
    writers::Writers,
};

/// Bytes that hyper may hold per connection and direction.
const BUFFER: usize = 128 * 1024;
const _: () = assert!(
    framing::LONGEST_HEAD < BUFFER,
    "hyper must not refuse first"
);
/// What is read and thrown away after the last answer, so that a client that is still sending
/// gets to read it (gateway.md 40).
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Pause after a failed accept, such as for want of file descriptors (threats.md H2).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits and names of the endpoint.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long the head of a request may take, idle time before it included; also a greeting
    /// by TLS.
    pub header_timeout: Duration,
    /// How many client connections may be open on all listeners; more wait to be accepted.
    pub max_connections: usize,
    /// `<bucket>.<suffix>` addresses a bucket; without it only path style is known.
    pub host_suffix: Option<String>,
    /// Names of the gateway besides its addresses, `localhost` and the suffix.
    pub hosts: Vec<String>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpRule>,
    /// Users of this machine who may connect; `None`: everybody. Other machines are no matter of it.
    pub allow_uids: Option<Vec<u32>>,
    /// How long a change is awaited whose client is gone.
    pub outcome_limit: Duration,
    /// How long a provider that has the whole request may stay silent.
    pub answer_limit: Duration,
    /// How long a body under way may stand still, in either direction.
    pub idle_limit: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            max_connections: 1024,
            host_suffix: None,
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            allow_uids: None,
            outcome_limit: Duration::from_secs(120),
            answer_limit: Duration::from_secs(300),
            idle_limit: Duration::from_secs(300),
        }
    }
}

/// Where clients connect.
pub struct Listener {
    socket: TcpListener,
    certificate: Option<Arc<Certificate>>,
}

impl Listener {
    /// One that speaks TLS, HTTP/1.1 inside.
    #[must_use]
    pub const fn tls(socket: TcpListener, certificate: Arc<Certificate>) -> Self {
        Self {
            socket,
            certificate: Some(certificate),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(socket: TcpListener) -> Self {
        Self {
            socket,
            certificate: None,
        }
    }
}

/// The S3 endpoint.
pub struct Gateway {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) dead_keys: Arc<dyn DeadKeys>,
    pub(crate) usage: Arc<dyn UsageSink>,
    pub(crate) findings: Arc<dyn FindingSink>,
    pub(crate) settings: Settings,
    pub(crate) hosts: Hosts,
    pub(crate) failures: Failures,
    /// Users who may not connect.
    strangers: Failures,
    pub(crate) tasks: TaskTracker,
    pub(crate) writers: Arc<Writers>,
    places: Arc<Semaphore>,
    /// Absent where connections are served by whoever accepts them.
    seats: Option<Seats>,
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
        findings: Arc<dyn FindingSink>,
        settings: Settings,
    ) -> Self {
        let mut run = [0; 4];
        // Without randomness ids repeat between runs, which only makes them less handy.
        let _ = aws_lc_rs::rand::fill(&mut run);
        Self {
            run: u32::from_ne_bytes(run),
            requests: AtomicU64::new(0),
            failures: Failures::default(),
            strangers: Failures::default(),
            places: Arc::new(Semaphore::new(settings.max_connections)),
            seats: None,
            hosts: Hosts {
                suffix: settings.host_suffix.clone(),
                names: settings.hosts.clone(),
            },
            keyring,
            clock,
            dead_keys,
            usage,
            findings,
            settings,
            tasks: TaskTracker::new(),
            writers: Arc::default(),
        }
    }

    /// Serves each connection on one of these threads, for as long as they are there.
    #[must_use]
    pub fn on(self, workers: &Workers) -> Self {
        Self {
            seats: Some(workers.seats()),
            ..self
        }
    }

    /// The threads that serve connections; none where that is whoever accepts them.
    pub(crate) fn runtimes(&self) -> Vec<Handle> {
        self.seats
            .as_deref()
            .map(workers::runtimes)
            .unwrap_or_default()
    }

    /// Serves until `shutdown`, then stops accepting, lets what is open end, and returns. The
    /// caller bounds how long that may take by dropping the future. Several listeners are served
    /// by several calls.
    pub async fn serve(
        self: Arc<Self>,
        listener: impl Into<Listener>,
        shutdown: CancellationToken,
    ) {
        let listener = listener.into();
        let mut well = true;
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let place = Arc::clone(&self.places).acquire_owned().await.ok();
                (listener.socket.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accepted => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    well = true;
                    let gateway = Arc::clone(&self);
                    let certificate = listener.certificate.clone();
                    let shutdown = shutdown.clone();
                    let serving = move |stream: TcpStream| async move {
                        if !gateway.admits(&stream, peer) {
                            return;
                        }
                        let client = Client {
                            peer: peer.ip(),
                            tls: certificate.is_some(),
                        };
                        let greeted = gateway.greet(stream, certificate, &shutdown).await;
                        if let Some(socket) = greeted {
                            gateway.connection(socket, peer, client, shutdown).await;
                        }
                        drop(place);
                    };
                    self.spawn(stream, serving);
                }
                Err(error) => {
                    if std::mem::take(&mut well) {
                        tracing::warn!(%error, "a connection could not be accepted; it is tried again");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Whether the user behind a connection may connect. Whose is unknown may not, unless it comes from
    /// another machine or network namespace, whose addresses a key's rules are about. Asks the system, in
    /// tens of microseconds, and nothing at all as long as everybody may.
    fn admits(&self, stream: &TcpStream, peer: SocketAddr) -> bool {
        let Some(allowed) = &self.settings.allow_uids else {
            return true;
        };
        let Ok(local) = stream.local_addr() else {
            return false;
        };
        let user = bascule_os::attribution::user_of_peer(local, peer);
        let admitted = match &user {
            Ok(Some(uid)) => allowed.contains(uid),
            Ok(None) => true,
            Err(_) => false,
        };
        if !admitted {
            let who = match user {
                Ok(Some(uid)) => format!("user {uid}"),
                Ok(None) => "another machine".to_owned(),
                Err(why) => why.to_string(),
            };
            self.keyring
                .meters()
                .nobody()
                .refusal(Reason::UserNotAllowed);
            self.strangers.note_user(&who);
        }
        admitted
    }

    fn spawn<S: Future<Output = ()> + Send + 'static>(
        &self,
        stream: TcpStream,
        serving: impl FnOnce(TcpStream) -> S + Send + 'static,
    ) {
        let Some(seats) = &self.seats else {
            self.tasks.spawn(serving(stream));
            return;
        };
        let moved = stream.into_std();
        workers::serve(seats, &self.tasks, async move {
            // A socket that no runtime takes is closed, as one that broke.
            if let Ok(stream) = moved.and_then(TcpStream::from_std) {
                serving(stream).await;
            }
        });
    }

    /// Greets a client as its listener does. `None` if that came to nothing: whoever speaks no
    /// TLS, or too slowly, is not worth a line in the log.
    async fn greet(
        &self,
        stream: TcpStream,
        certificate: Option<Arc<Certificate>>,
        shutdown: &CancellationToken,
    ) -> Option<Socket> {
        // Small answers must not wait for the client's acknowledgement; failing costs only time.
        let _ = stream.set_nodelay(true);
        let Some(certificate) = certificate else {
            return Some(Socket::Plain(stream));
        };
        let greeting = Box::pin(certificate.accept(stream));
        let bounded = tokio::time::timeout(self.settings.header_timeout, greeting);
        tokio::select! {
            () = shutdown.cancelled() => None,
            greeted = bounded => Some(Socket::Tls(Box::new(greeted.ok()?.ok()?))),
        }
    }

    async fn connection(
        self: Arc<Self>,
        socket: Socket,
        peer: SocketAddr,
        client: Client,
        shutdown: CancellationToken,
    ) {
        // Outlives the socket.
        let open = Arc::new(());
        let ends = socket.tcp().local_addr().ok().map(|local| Ends {
            peer,
            local,
            open: Arc::downgrade(&open),
        });
        let visitor = ends.as_ref().and_then(|ends| self.usage.connected(ends));
        let visits = Visits::new(ends, visitor);
        let slot = Arc::new(Slot::default());
        let descriptor = socket.tcp().as_raw_fd();
        // Where the system does not tell, an idle connection is not cut on suspicion.
        let delivered = || bascule_os::undelivered(descriptor).unwrap_or(0) == 0;
        let unsound = Unsound::default();
        let requests = AtomicU64::new(0);
        let (gateway, slot, visits) = (&self, &slot, &visits);
        let service = service_fn(|request| {
            let number = requests.fetch_add(1, Ordering::Relaxed);
            let violation = unsound.get().filter(|(unsound, _)| *unsound == number);
            Box::pin(async move {
                Ok::<_, Infallible>(match violation {
                    Some((_, violation)) => {
                        refuse_unsound(gateway, &request, client, visits, *violation)
                    }
                    None => handle(gateway, request, client, slot, visits).await,
                })
            })
        });
        let socket = Checked::new(socket, Arc::clone(&unsound));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.header_timeout)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(socket), service);
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
        let socket = connection.into_parts().io.into_inner().into_inner();
        if cut {
            // What waits in the socket's buffer is not delivered either: several seconds of a
            // slow download. Failing to say so only delays the end.
            let _ = socket.tcp().set_zero_linger();
        } else {
            linger(socket).await;
        }
    }

    /// The end of a request id: differs for every request.
    pub(crate) fn tail(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("{:08X}{number:08X}", self.run)
    }
}

/// Says that nothing more comes, then reads what the client still sends, for a while.
async fn linger(mut socket: Socket) {
    let drain = async {
        let mut left = LINGER_BYTES;
        let mut scratch = vec![0; 16 * 1024];
        if socket.shutdown().await.is_err() {
            return;
        }
        while left > 0 {
            match socket.read(&mut scratch).await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    };
    // Running out of time is as good an end as any.
    let _ = tokio::time::timeout(LINGER_TIME, drain).await;
}
