//! A port of loopback that is a test's own for as long as it needs one, also while nobody listens on it:
//! for what is stopped and started again, or is told a port before it binds it.

use std::{io, net::SocketAddr};

use tokio::net::TcpSocket;

/// A bound socket that never listens: the system gives its port to nobody who asks for any, and whoever
/// is told of it may listen there, again and again, as servers bind (`SO_REUSEADDR`).
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _held: TcpSocket,
}

impl Port {
    /// One of the system's choice.
    #[must_use]
    pub fn new() -> Self {
        Self::at(([127, 0, 0, 1], 0).into()).expect("a free port")
    }

    /// One that was somebody's until now.
    ///
    /// # Errors
    ///
    /// When somebody listens there.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let held = TcpSocket::new_v4()?;
        held.set_reuseaddr(true)?;
        held.bind(address)?;
        Ok(Self {
            address: held.local_addr()?,
            _held: held,
        })
    }

    /// Such as `127.0.0.1:41234`.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for Port {
    fn default() -> Self {
        Self::new()
    }
}
