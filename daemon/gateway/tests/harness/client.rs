//! A client that writes raw bytes and reads HTTP/1.1 answers.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::world::PATIENCE;

/// A raw connection to the gateway.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn code(&self) -> String {
        let text = self.text();
        let inner = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"));
        inner.map(|(code, _)| code.to_owned()).unwrap_or_default()
    }
}

impl Client {
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// [`write`](Self::write); false if the connection was ended meanwhile.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        matches!(read.expect("silence"), Ok(1..))
    }

    /// Reads a head: status and headers. `None` if the connection ended.
    pub(crate) async fn reply_head(&mut self) -> Option<Reply> {
        let end = loop {
            match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end,
                None if self.more().await => {}
                None => return None,
            }
        };
        let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Reply {
            status,
            headers,
            body: vec![],
        })
    }

    /// Reads an answer. `None` if the connection ended before the answer did.
    pub(crate) async fn reply(&mut self, head: bool) -> Option<Reply> {
        let mut reply = self.reply_head().await?;
        if head || matches!(reply.status, 100 | 204 | 304) {
            return Some(reply);
        }
        if reply.header("transfer-encoding").is_some() {
            loop {
                let line = self.take_line().await?;
                let size = usize::from_str_radix(line.trim(), 16).ok()?;
                let data = self.take(size + 2).await?;
                reply.body.extend_from_slice(&data[..size]);
                if size == 0 {
                    return Some(reply);
                }
            }
        }
        let length = reply.header("content-length")?.parse().ok()?;
        reply.body = self.take(length).await?;
        Some(reply)
    }

    async fn take_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\r\n") {
                return String::from_utf8(self.read.drain(..end + 2).collect()).ok();
            }
            if !self.more().await {
                return None;
            }
        }
    }

    pub(crate) async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(self.read.drain(..length).collect())
    }

    /// Whether the connection ends, whatever comes before.
    pub(crate) async fn ends(&mut self) -> bool {
        while self.more().await {}
        true
    }
}
