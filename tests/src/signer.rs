//! A server that refuses everything and writes down with which key each request was signed. It stands
//! for an S3 server where all that matters is which key a tool takes.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// The longest head that is read.
const LONGEST_HEAD: usize = 64 * 1024;
const REFUSAL: &str = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>\
                       <Message>nothing is here</Message></Error>";

/// The server. It ends with the test's process.
#[derive(Debug)]
pub struct Signer {
    address: SocketAddr,
    ids: Arc<Mutex<Vec<String>>>,
}

impl Signer {
    /// Starts it on a port of the system's choice.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let ids = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&ids);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                thread::spawn(move || answer(&stream, &seen));
            }
        });
        Self { address, ids }
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Whether a signed request came.
    #[must_use]
    pub fn has_seen(&self) -> bool {
        !self
            .ids
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// The access key ids of the requests so far, each once, in their order.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        let mut ids = std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner));
        ids.dedup();
        ids
    }
}

fn answer(stream: &TcpStream, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.trim().is_empty() => break,
            Ok(_) => head.push_str(&line),
        }
        if head.len() > LONGEST_HEAD {
            return;
        }
    }
    if let Some(id) = signed_by(&head) {
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(id.to_owned());
    }
    let body = if head.starts_with("HEAD") {
        ""
    } else {
        REFUSAL
    };
    let _ = write!(
        &*stream,
        "HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        REFUSAL.len()
    );
}

/// The access key id of a head, signed by version 4 or 2.
fn signed_by(head: &str) -> Option<&str> {
    let header = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization")
            .then(|| value.trim())
    })?;
    match header.split_once("Credential=") {
        Some((_, rest)) => rest.split('/').next(),
        None => header.strip_prefix("AWS ")?.split(':').next(),
    }
}
