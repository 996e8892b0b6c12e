//! A relay of bytes before a provider. An object's name can make it stop in the middle of an
//! exchange, as a provider that hangs does, and it notes when the gateway lets go of one.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

use crate::runtime;

/// What happens to an exchange about an object whose name begins with [`prefix`](Self::prefix).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Conduct {
    /// It passes, and nothing is noted.
    Pass,
    /// It passes.
    Watch,
    /// Its bytes pass slowly, in both directions.
    Trickle,
    /// After a while, nothing more of the request is taken.
    Deaf,
    /// After a while, nothing more of the answer is given.
    Drip,
}

impl Conduct {
    const MARKED: [Self; 4] = [Self::Watch, Self::Trickle, Self::Deaf, Self::Drip];

    /// How the names of such objects begin.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Pass => "",
            Self::Watch => "watch-",
            Self::Trickle => "trickle-",
            Self::Deaf => "deaf-",
            Self::Drip => "drip-",
        }
    }

    /// By the first line of a request, if a piece begins with one.
    fn asked(piece: &[u8]) -> Option<Self> {
        let line = piece.split(|&byte| byte == b'\r').next()?;
        let line = std::str::from_utf8(line).ok()?;
        let target = line.strip_suffix(" HTTP/1.1")?;
        let name = target.rsplit('/').next()?;
        let mut marked = Self::MARKED.into_iter();
        let conduct = marked.rfind(|conduct| name.starts_with(conduct.prefix()));
        Some(conduct.unwrap_or(Self::Pass))
    }

    fn of(number: u8) -> Self {
        let mut marked = Self::MARKED.into_iter();
        let conduct = marked.rfind(|conduct| *conduct as u8 == number);
        conduct.unwrap_or(Self::Pass)
    }
}

/// Bytes that pass before an exchange stops.
const BEFORE_THE_STOP: usize = 64 * 1024;
const PIECE: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
struct Shared {
    open: AtomicUsize,
    passed: AtomicUsize,
    ends: Mutex<Vec<Instant>>,
}

/// The relay. It ends on drop, with every connection through it.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts one before `upstream` (host and port).
    #[must_use]
    pub fn start(upstream: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let upstream: SocketAddr = upstream.parse().expect("host and port");
        let listener = runtime()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let task = runtime().spawn(accept(listener, upstream, Arc::clone(&shared)));
        Self {
            shared,
            address,
            task,
        }
    }

    /// Such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Exchanges with a conduct whose connection the gateway has not let go of.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Bytes of such exchanges that passed so far, in both directions.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// When the gateway let go of each of them, since this was asked last.
    #[must_use]
    pub fn ends(&self) -> Vec<Instant> {
        let mut ends = self
            .shared
            .ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut ends)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, shared: Arc<Shared>) {
    // Dropped with this task, and with it every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((gateway, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let Ok(provider) = TcpStream::connect(upstream).await else {
                return;
            };
            let (from_gateway, to_gateway) = gateway.into_split();
            let (from_provider, to_provider) = provider.into_split();
            let line = Line {
                shared,
                conduct: AtomicU8::new(Conduct::Pass as u8),
            };
            let by_gateway = tokio::select! {
                () = line.requests(from_gateway, to_provider) => true,
                by_gateway = line.answers(from_provider, to_gateway) => by_gateway,
            };
            line.over(by_gateway);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection.
struct Line {
    shared: Arc<Shared>,
    conduct: AtomicU8,
}

impl Line {
    fn conduct(&self) -> Conduct {
        Conduct::of(self.conduct.load(Ordering::SeqCst))
    }

    /// A request begins, or the connection is at its end.
    fn turn_to(&self, conduct: Conduct) -> Conduct {
        let before = Conduct::of(self.conduct.swap(conduct as u8, Ordering::SeqCst));
        match (before, conduct) {
            (Conduct::Pass, Conduct::Pass) => {}
            (Conduct::Pass, _) => {
                self.shared.open.fetch_add(1, Ordering::SeqCst);
            }
            (_, Conduct::Pass) => {
                self.shared.open.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        before
    }

    fn over(&self, by_gateway: bool) {
        let now = Instant::now();
        if self.turn_to(Conduct::Pass) != Conduct::Pass && by_gateway {
            let ends = &self.shared.ends;
            ends.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(now);
        }
    }

    /// From the gateway to the provider; ends when the gateway lets go.
    async fn requests(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (mut buffer, mut passed) = (vec![0; PIECE], 0);
        loop {
            let Ok(read @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            if let Some(conduct) = Conduct::asked(&buffer[..read]) {
                self.turn_to(conduct);
                passed = 0;
            }
            passed += read;
            if !self.pass(&mut to, &buffer[..read]).await {
                // The provider is gone; what the other direction still holds may pass.
                std::future::pending::<()>().await;
            }
            if self.conduct() == Conduct::Deaf && passed > BEFORE_THE_STOP {
                // Not read any more, so only a reset shows.
                while !from
                    .ready(Interest::ERROR)
                    .await
                    .is_ok_and(|ready| ready.is_error())
                {}
                return;
            }
        }
    }

    /// From the provider to the gateway. Whether it was the gateway that let go.
    async fn answers(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> bool {
        let (mut buffer, mut passed) = (vec![0; PIECE], 0);
        loop {
            let Ok(read @ 1..) = from.read(&mut buffer).await else {
                return false;
            };
            passed += read;
            if !self.pass(&mut to, &buffer[..read]).await {
                return true;
            }
            if self.conduct() == Conduct::Drip && passed > BEFORE_THE_STOP {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn pass(&self, to: &mut OwnedWriteHalf, piece: &[u8]) -> bool {
        let conduct = self.conduct();
        if conduct == Conduct::Trickle {
            tokio::time::sleep(PAUSE).await;
        }
        let passed = to.write_all(piece).await.is_ok();
        if conduct != Conduct::Pass {
            self.shared.passed.fetch_add(piece.len(), Ordering::SeqCst);
        }
        passed
    }
}
