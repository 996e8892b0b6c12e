//! Resolves a provider's name, checks every address, and dials exactly the addresses it checked,
//! so that a name that changes its address in between gains nothing.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream, lookup_host},
};
use tower_service::Service;

use crate::{
    guard::{Guard, Refusal},
    transport::{BoxError, TransportErrorKind},
};

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the provider's name has no address")]
    Dns(#[source] Option<io::Error>),
    #[error("the provider does not accept connections")]
    Unreachable(#[source] io::Error),
    #[error("the provider did not accept a connection within {} seconds", .0.as_secs())]
    Timeout(Duration),
    #[error("the provider's name leads to {0}")]
    Refused(Refusal),
}

impl DialError {
    pub(crate) const fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Dns(_) => TransportErrorKind::Dns,
            Self::Unreachable(_) => TransportErrorKind::Unreachable,
            Self::Timeout(_) => TransportErrorKind::Timeout,
            Self::Refused(refusal) => TransportErrorKind::Refused(*refusal),
        }
    }
}

/// One address gets this long when there are others to try.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Dials after asking the guard.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    guard: Guard,
}

impl Dialer {
    pub(crate) const fn new(guard: Guard) -> Self {
        Self { guard }
    }
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Wire>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guard = self.guard.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let default = if uri.scheme_str() == Some("https") {
                443
            } else {
                80
            };
            let port = uri.port_u16().unwrap_or(default);
            let found = lookup_host((host, port))
                .await
                .map_err(|e| DialError::Dns(Some(e)))?;
            let allowed = admit(&guard, found)?;
            let stream = dial(&allowed).await?;
            Ok(TokioIo::new(Wire(stream)))
        })
    }
}

/// The addresses that may be dialled. When there are none, the first refusal is the reason.
fn admit(
    guard: &Guard,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, DialError> {
    let mut refused = None;
    let mut allowed = Vec::new();
    for address in found {
        match guard.check(address) {
            Ok(()) => allowed.push(address),
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    match refused {
        _ if !allowed.is_empty() => Ok(allowed),
        Some(why) => Err(DialError::Refused(why)),
        None => Err(DialError::Dns(None)),
    }
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, DialError> {
    let mut last = DialError::Dns(None);
    for (at, &address) in addresses.iter().enumerate() {
        let attempt = connect(address);
        let outcome = if at + 1 == addresses.len() {
            attempt.await
        } else {
            match tokio::time::timeout(ATTEMPT, attempt).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    last = DialError::Timeout(ATTEMPT);
                    continue;
                }
            }
        };
        match outcome {
            Ok(stream) => return Ok(stream),
            Err(error) => last = DialError::Unreachable(error),
        }
    }
    Err(last)
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// A connection to a provider. What is given up must not go on out of the socket's buffer, to a
/// provider that takes its time: a connection that is dropped with bytes to deliver is reset.
#[derive(Debug)]
pub(crate) struct Wire(TcpStream);

impl Drop for Wire {
    fn drop(&mut self) {
        if bascule_os::undelivered(self.0.as_raw_fd()) != Some(0) {
            // Failing to say so only lets the provider see the end later.
            self.0.set_zero_linger().ok();
        }
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        self.0.connected()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Ends an attempt to connect, handshakes included, after a fixed time.
#[derive(Debug, Clone)]
pub(crate) struct Bounded<S> {
    inner: S,
    limit: Duration,
}

impl<S> Bounded<S> {
    pub(crate) const fn new(inner: S, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

impl<S> Service<Uri> for Bounded<S>
where
    S: Service<Uri>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(outcome) => outcome.map_err(Into::into),
                Err(_) => Err(DialError::Timeout(limit).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i6_only_checked_addresses_are_dialled() {
        let guard = Guard::default();
        let found = ["169.254.169.254:80", "203.0.113.1:80"].map(|a| a.parse().unwrap());
        assert_eq!(
            admit(&guard, found.into_iter()).unwrap(),
            ["203.0.113.1:80".parse().unwrap()]
        );
        let metadata = ["169.254.169.254:80".parse().unwrap()];
        assert!(matches!(
            admit(&guard, metadata.into_iter()),
            Err(DialError::Refused(Refusal::Metadata))
        ));
        assert!(matches!(
            admit(&guard, std::iter::empty()),
            Err(DialError::Dns(None))
        ));
    }
}
