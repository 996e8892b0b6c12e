//! A server that takes every request for an empty listing and notes whose key signed it: what a tool
//! really uses, whatever anybody thinks that it would.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Fits a listing, and role credentials that AWS's own tools ask for.
const LISTING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
    <ListBucketResult><Name>b</Name><Prefix></Prefix><KeyCount>0</KeyCount><MaxKeys>1000</MaxKeys>\
    <IsTruncated>false</IsTruncated></ListBucketResult>";

#[derive(Default)]
struct Shared {
    ids: Mutex<Vec<String>>,
    ended: AtomicBool,
}

/// The server. It ends on drop.
pub struct Signers {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Signers {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if shared.ended.load(Ordering::SeqCst) {
                        return;
                    }
                    let shared = Arc::clone(&shared);
                    // A client that breaks off has nothing more to say.
                    std::thread::spawn(move || answer(&stream, &shared).ok());
                }
            })
        };
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// Such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether somebody signed since the last call of [`Signers::take`].
    #[must_use]
    pub fn has_seen(&self) -> bool {
        !self.ids().is_empty()
    }

    /// The access key ids that signed since the last call, each once, in order.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        let mut ids = std::mem::take(&mut *self.ids());
        ids.dedup();
        ids
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.shared
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Signers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signers")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Drop for Signers {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn answer(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut first, mut length) = (String::new(), String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        if first.is_empty() {
            text.clone_into(&mut first);
        }
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
        if name.eq_ignore_ascii_case("authorization") {
            // Version 4 names a scope behind the id, version 2 a signature.
            let id = value
                .split_once("Credential=")
                .map(|(_, rest)| rest.split('/').next())
                .unwrap_or_else(|| value.trim().strip_prefix("AWS ")?.split(':').next());
            let mut ids = shared.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.extend(id.map(str::to_owned));
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let body = if first.starts_with("HEAD") {
        ""
    } else {
        LISTING
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}
