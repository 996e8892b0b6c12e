//! Clients that take their time, all on one thread that hardly ever has anything to do: heads and bodies
//! that trickle in, answers that are hardly read, connections on which nothing or only half of
//! something comes. As many of each kind at any time; whoever is done begins anew.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use anyhow::{Context, Result, ensure};
use bascule_tests::{Issued, S3};
use http::Method;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    course::{Course, EndsWith},
    load::LARGE,
};

/// What a small object holds, and what slow bodies store.
pub(crate) const SMALL: &str = "sixteen bytes...";
/// Longer than the gateway lets a head take (`header_timeout_seconds`), on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Connects and never says anything.
    Silent,
    /// A byte of a head each second, without an end.
    EndlessHead,
    /// A head that comes in pieces within the time that it has.
    SlowHead,
    /// A body of one byte at a time.
    SlowBody,
    /// Hardly reads a large object, and leaves it half way.
    SlowReader,
    /// Asks once and keeps its connection.
    Idle,
    /// Sends half of a head and closes its side.
    HalfOpen,
}

/// Of twenty clients, how many are of each kind.
const MIX: [Kind; 20] = [
    Kind::Silent,
    Kind::Silent,
    Kind::Silent,
    Kind::EndlessHead,
    Kind::EndlessHead,
    Kind::EndlessHead,
    Kind::SlowHead,
    Kind::SlowHead,
    Kind::SlowBody,
    Kind::SlowBody,
    Kind::SlowBody,
    Kind::SlowBody,
    Kind::SlowReader,
    Kind::SlowReader,
    Kind::Idle,
    Kind::Idle,
    Kind::Idle,
    Kind::Idle,
    Kind::Idle,
    Kind::HalfOpen,
];

/// Where they go, and with what.
pub(crate) struct Target<'a> {
    pub(crate) key: &'a Issued,
    pub(crate) bucket: &'a str,
}

/// Keeps this many clients busy until the course is over. `up` is called once all have connected.
pub(crate) fn trickle(course: &Course, target: &Target<'_>, clients: usize, up: impl FnOnce()) {
    let _end = EndsWith(course);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut at_work = JoinSet::new();
        for number in 0..clients {
            let client = Client::new(target, number);
            // Not all in step.
            let delay = Duration::from_millis(30_000 * number as u64 / clients as u64);
            at_work.spawn(async move { client.once(delay).await.map(|()| client) });
        }
        let mut up = Some(up);
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        while course.goes_on() {
            tokio::select! {
                done = at_work.join_next() => {
                    let client = done.unwrap().unwrap().unwrap_or_else(|error| panic!("{error:#}"));
                    course.slow.fetch_add(1, SeqCst);
                    at_work.spawn(async move { client.once(Duration::ZERO).await.map(|()| client) });
                }
                _ = tick.tick() => if let Some(up) = up.take() { up() },
            }
        }
    });
}

struct Client {
    kind: Kind,
    s3: S3,
    address: String,
    bucket: String,
    name: String,
}

impl Client {
    fn new(target: &Target<'_>, number: usize) -> Self {
        Self {
            kind: MIX[number % MIX.len()],
            s3: target.key.s3(),
            address: target.key.endpoint.trim_start_matches("http://").to_owned(),
            bucket: target.bucket.to_owned(),
            name: format!("slow/{number}"),
        }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if matches!(self.kind, Kind::SlowReader) {
            // What the system takes in for us would make us look quick.
            socket.set_recv_buffer_size(4096)?;
        }
        Ok(socket.connect(self.address.parse()?).await?)
    }

    /// A head as it is sent; signed for an hour.
    fn head(&self, method: &Method, name: &str, more: &str) -> String {
        let link = self.s3.presigned_for(method, &self.bucket, name);
        let (_, rest) = link.split_once("://").expect("a link");
        let (host, target) = rest.split_at(rest.find('/').expect("a path"));
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")
    }

    /// One visit. The connection is there from the first moment, whatever the delay.
    async fn once(&self, delay: Duration) -> Result<()> {
        let mut stream = self.connect().await?;
        let done = async {
            match self.kind {
                Kind::Silent => self.silent(&mut stream).await,
                Kind::EndlessHead => self.endless_head(&mut stream).await,
                Kind::SlowHead => self.slow_head(&mut stream, delay).await,
                Kind::SlowBody => self.slow_body(&mut stream, delay).await,
                Kind::SlowReader => self.slow_reader(&mut stream, delay).await,
                Kind::Idle => self.idle(&mut stream, delay).await,
                Kind::HalfOpen => self.half_open(&mut stream, delay).await,
            }
        };
        done.await.with_context(|| format!("{:?}", self.kind))
    }

    async fn silent(&self, stream: &mut TcpStream) -> Result<()> {
        let said = rest(stream).await?;
        ensure!(said.is_empty(), "an answer to nothing: {said}");
        Ok(())
    }

    async fn endless_head(&self, stream: &mut TcpStream) -> Result<()> {
        stream.write_all(b"GET / HTTP/1.1\r\nX-Long: ").await?;
        let (mut reads, mut writes) = stream.split();
        let cut = async {
            let mut answer = Vec::new();
            // It may be reset with what was not read.
            let _ = reads.read_to_end(&mut answer).await;
        };
        let trickles = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                if writes.write_all(b"x").await.is_err() {
                    return;
                }
            }
        };
        let cut = async {
            tokio::select! { () = cut => {}, () = trickles => {} }
        };
        timeout(PATIENCE, cut)
            .await
            .context("a head without an end was waited for")
    }

    async fn slow_head(&self, stream: &mut TcpStream, delay: Duration) -> Result<()> {
        sleep(delay / 3).await;
        let head = self.head(&Method::GET, "small", "Connection: close\r\n");
        for piece in head.as_bytes().chunks(head.len() / 10 + 1) {
            stream.write_all(piece).await?;
            sleep(Duration::from_secs(1)).await;
        }
        let answer = rest(stream).await?;
        ensure!(is_small(&answer), "{answer}");
        Ok(())
    }

    async fn slow_body(&self, stream: &mut TcpStream, delay: Duration) -> Result<()> {
        let head = self.head(
            &Method::PUT,
            &self.name,
            &format!("Content-Length: {}\r\nConnection: close\r\n", SMALL.len()),
        );
        stream.write_all(head.as_bytes()).await?;
        sleep(delay).await;
        for byte in SMALL.as_bytes() {
            stream.write_all(&[*byte]).await?;
            sleep(Duration::from_secs(2)).await;
        }
        let answer = rest(stream).await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    }

    async fn slow_reader(&self, stream: &mut TcpStream, delay: Duration) -> Result<()> {
        let head = self.head(&Method::GET, LARGE, "");
        stream.write_all(head.as_bytes()).await?;
        let mut piece = [0; 2048];
        let read = timeout(PATIENCE, stream.read(&mut piece)).await??;
        ensure!(
            piece[..read].starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&piece[..read])
        );
        sleep(delay).await;
        for _ in 0..30 {
            let read = timeout(PATIENCE, stream.read(&mut piece)).await??;
            ensure!(read > 0, "the answer ends early");
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    async fn idle(&self, stream: &mut TcpStream, delay: Duration) -> Result<()> {
        sleep(delay / 2).await;
        let head = self.head(&Method::GET, "small", "");
        stream.write_all(head.as_bytes()).await?;
        let answer = rest(stream).await?;
        ensure!(is_small(&answer), "{answer}");
        Ok(())
    }

    async fn half_open(&self, stream: &mut TcpStream, delay: Duration) -> Result<()> {
        sleep(delay / 2).await;
        let head = self.head(&Method::GET, "small", "");
        stream.write_all(&head.as_bytes()[..100]).await?;
        stream.shutdown().await?;
        let answer = rest(stream).await?;
        ensure!(!answer.contains("200 OK"), "{answer}");
        sleep(Duration::from_secs(10)).await;
        Ok(())
    }
}

fn is_small(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200") && answer.ends_with(SMALL)
}

/// What comes until the other side closes.
async fn rest(stream: &mut TcpStream) -> Result<String> {
    let mut answer = Vec::new();
    match timeout(PATIENCE, stream.read_to_end(&mut answer)).await {
        Ok(Ok(_)) => {}
        // What it did not read makes the system say so instead of "closed".
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => anyhow::bail!("it neither answers nor closes"),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
