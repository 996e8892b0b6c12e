//! A client's connection: plain or TLS, and what of its bytes hyper gets to see. It must never
//! hand on part of a head, so that an unsound one can be answered as a whole.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;
use tokio_util::io::poll_read_buf;

use crate::framing::{Framing, Violation};

/// A client's connection.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// The connection below TLS.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// Runs a method of whichever stream it is.
macro_rules! each {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket.get_mut() {
            Socket::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Socket::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}

/// Which request of a connection was unsound, counted from 0, and why. It is the last one.
pub(crate) type Unsound = Arc<OnceLock<(u64, Violation)>>;

/// Sound bytes of a connection. In the place of an unsound request stands an empty one, so that
/// hyper answers it in its turn; nothing after it is read.
pub(crate) struct Checked<S> {
    inner: S,
    framing: Framing,
    /// A head that is not whole yet, or bytes that hyper had no room for.
    held: BytesMut,
    /// So many of them are sound.
    sound: usize,
    unsound: Unsound,
}

impl<S> Checked<S> {
    pub(crate) fn new(inner: S, unsound: Unsound) -> Self {
        Self {
            inner,
            framing: Framing::default(),
            held: BytesMut::new(),
            sound: 0,
            unsound,
        }
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    /// Puts the substitute in the place of what is held after the sound bytes.
    fn condemn(&mut self, violation: Violation, is_head: bool) {
        // The answer to HEAD has no body.
        let substitute: &[u8] = if is_head {
            b"HEAD / HTTP/1.1\r\n\r\n"
        } else {
            b"GET / HTTP/1.1\r\n\r\n"
        };
        self.held.truncate(self.sound);
        self.held.extend_from_slice(substitute);
        self.sound = self.held.len();
        // Only ever set here, and once: nothing is scanned afterwards.
        let _ = self.unsound.set((self.framing.heads(), violation));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Checked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        /// Room for the rest of a head that came in pieces.
        const MORE: usize = 4096;
        let this = self.get_mut();
        loop {
            if this.sound > 0 {
                let fits = this.sound.min(buf.remaining());
                buf.put_slice(&this.held[..fits]);
                this.held.advance(fits);
                this.sound -= fits;
                if this.held.is_empty() {
                    // An idle connection keeps no memory for what it once held.
                    this.held = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            if this.unsound.get().is_some() {
                // Answering the substitute ends the connection; until then there is silence.
                return Poll::Pending;
            }
            if this.held.is_empty() {
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
                let read = &buf.filled()[before..];
                if read.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                let scan = this.framing.scan(read);
                let rest = &read[scan.sound..];
                match scan.violation {
                    Some(violation) => this.condemn(violation, rest.starts_with(b"HEAD ")),
                    None => this.held.extend_from_slice(rest),
                }
                buf.set_filled(before + scan.sound);
                if scan.sound > 0 {
                    return Poll::Ready(Ok(()));
                }
            } else {
                this.held.reserve(MORE);
                let read = ready!(poll_read_buf(Pin::new(&mut this.inner), cx, &mut this.held))?;
                if read == 0 {
                    // A head that will never be whole.
                    return Poll::Ready(Ok(()));
                }
                let scan = this.framing.scan(&this.held);
                this.sound = scan.sound;
                if let Some(violation) = scan.violation {
                    let is_head = this.held[scan.sound..].starts_with(b"HEAD ");
                    this.condemn(violation, is_head);
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Checked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
