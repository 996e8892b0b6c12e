//! The load: connections that send a prepared request, read the answer, and send it again. It
//! parses no more of HTTP than it must, so that little of the time is its own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::requests::{Operation, Target, Wire, prepare};

/// What one measurement saw.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Requests per second.
    pub(crate) rate: f64,
    /// How long each request took.
    pub(crate) waits: Vec<Duration>,
    /// How many there were, the first on each connection included.
    pub(crate) requests: usize,
}

/// Sends requests for as long as `window`, at least two on each connection, after one that is not
/// counted.
pub(crate) fn run(target: &Target, operation: &Operation, window: Duration) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut connections = JoinSet::new();
        for worker in 0..operation.at_once {
            let wire = prepare(target, operation, worker);
            let address = target.address.clone();
            connections.spawn(async move {
                let mut connection = Connection::open(&address).await?;
                connection.exchange(&wire).await?;
                Ok::<_, anyhow::Error>((connection, wire))
            });
        }
        let mut ready = Vec::new();
        while let Some(worker) = connections.join_next().await {
            ready.push(worker??);
        }
        let start = Instant::now();
        let mut workers = JoinSet::new();
        for (mut connection, wire) in ready {
            workers.spawn(async move {
                let mut waits = Vec::new();
                while waits.len() < 2 || start.elapsed() < window {
                    let begun = Instant::now();
                    connection.exchange(&wire).await?;
                    waits.push(begun.elapsed());
                }
                Ok::<_, anyhow::Error>(waits)
            });
        }
        let mut waits = Vec::new();
        while let Some(worker) = workers.join_next().await {
            waits.extend(worker??);
        }
        Ok(Sample {
            rate: waits.len() as f64 / start.elapsed().as_secs_f64(),
            requests: waits.len() + operation.at_once,
            waits,
        })
    })
}

struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
}

/// How an answer says where its body ends.
enum End {
    Length(usize),
    Chunked,
}

impl Connection {
    async fn open(address: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).await.context("no connection")?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            buffer: vec![0; 256 * 1024],
        })
    }

    async fn exchange(&mut self, wire: &Wire) -> Result<()> {
        if wire.body.len() <= 64 * 1024 {
            // One packet, as clients send small requests.
            let whole = [&wire.head[..], &wire.body].concat();
            self.send(&whole).await?;
        } else {
            self.send(&wire.head).await?;
            self.send(&wire.body).await?;
        }
        let (status, end, mut filled, start) = self.head().await?;
        ensure!(
            status == 200,
            "answered {status}: {}",
            String::from_utf8_lossy(&self.buffer[start..filled])
        );
        let received = match end {
            End::Length(length) => {
                let mut left = length
                    .checked_sub(filled - start)
                    .context("more than was announced")?;
                while left > 0 {
                    match self.socket.read(&mut self.buffer).await? {
                        0 => bail!("ended early"),
                        read => left = left.checked_sub(read).context("more than announced")?,
                    }
                }
                length
            }
            End::Chunked => {
                let mut tail = self.buffer[start..filled].to_vec();
                let mut count = tail.len();
                while !tail.ends_with(b"0\r\n\r\n") {
                    filled = self.socket.read(&mut self.buffer).await?;
                    ensure!(filled > 0, "ended early");
                    count += filled;
                    tail.extend_from_slice(&self.buffer[..filled]);
                    let keep = tail.len().saturating_sub(8);
                    tail.drain(..keep);
                }
                count
            }
        };
        if let (Some(expected), End::Length(_)) = (wire.answer, end) {
            ensure!(
                received == expected,
                "{received} bytes instead of {expected}"
            );
        }
        Ok(())
    }

    /// Who refuses an upload before its end may close the connection: then the answer tells why.
    async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let Err(error) = self.socket.write_all(bytes).await else {
            return Ok(());
        };
        match self.head().await {
            Ok((status, _, filled, start)) => bail!(
                "answered {status} before the end: {}",
                String::from_utf8_lossy(&self.buffer[start..filled])
            ),
            Err(_) => Err(error.into()),
        }
    }

    /// Reads up to the end of the head. Returns status, end of the body, how much of the buffer is
    /// filled, and where in it the body begins.
    async fn head(&mut self) -> Result<(u16, End, usize, usize)> {
        let mut filled = 0;
        loop {
            match self.socket.read(&mut self.buffer[filled..]).await? {
                0 => bail!("no answer"),
                read => filled += read,
            }
            let Some(at) = self.buffer[..filled]
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            else {
                continue;
            };
            let head = std::str::from_utf8(&self.buffer[..at])?;
            let status = head.get(9..12).context("no status")?.parse()?;
            let mut end = End::Length(0);
            for line in head.lines().skip(1) {
                let (name, value) = line.split_once(':').context("a header without a colon")?;
                if name.eq_ignore_ascii_case("content-length") {
                    end = End::Length(value.trim().parse()?);
                } else if name.eq_ignore_ascii_case("transfer-encoding") {
                    end = End::Chunked;
                }
            }
            return Ok((status, end, filled, at + 4));
        }
    }
}
