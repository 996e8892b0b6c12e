//! The gateway's listeners: bound in one go, and how their addresses are told to people and tools.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use anyhow::Context;
use bascule_gateway::{Certificate, Listener};
use bascule_store::Store;

use crate::{config::Config, gateway_port};

/// Where a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    pub socket: SocketAddr,
    tls: bool,
}

impl Address {
    /// What tools on this machine dial: "every address" is none.
    pub(crate) fn to_dial(self) -> Self {
        let ip = match self.socket.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        Self {
            socket: SocketAddr::new(ip, self.socket.port()),
            ..self
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.socket)
    }
}

/// A listener that is bound and not served yet.
pub(crate) struct Bound {
    pub address: Address,
    socket: TcpListener,
    certificate: Option<Arc<Certificate>>,
}

impl Bound {
    /// Hands it to the runtime, which must be there.
    pub(crate) fn into_listener(self) -> std::io::Result<Listener> {
        let socket = tokio::net::TcpListener::from_std(self.socket)?;
        Ok(match self.certificate {
            Some(certificate) => Listener::tls(socket, certificate),
            None => Listener::from(socket),
        })
    }
}

/// Reads the certificate and binds every address that is configured, that which tools are given
/// first. Blocking; call once at start.
pub(crate) fn bind(config: &Config, store: &Store) -> anyhow::Result<Vec<Bound>> {
    let certificate = config
        .tls
        .as_ref()
        .map(|files| Certificate::load(files.certificate.clone(), files.key.clone()))
        .transpose()
        .context("the gateway's TLS certificate (tls_certificate, tls_key) can't be used")?
        .map(Arc::new);
    let mut all = Vec::with_capacity(1 + config.also.len());
    for (number, listen) in config.listeners().enumerate() {
        let socket = if number == 0 {
            gateway_port::bind(listen, store)?
        } else {
            gateway_port::bind_also(listen)?
        };
        let certificate = match (listen.tls, &certificate) {
            (false, _) => None,
            (true, Some(certificate)) => Some(Arc::clone(certificate)),
            (true, None) => anyhow::bail!("{listen} has no certificate"),
        };
        if listen.is_plain_beyond_loopback() {
            tracing::warn!(address = %listen, "the gateway listens beyond this machine without TLS: whoever is on the way can read and change what passes");
        }
        all.push(bound(socket, certificate).context("the gateway's socket can't be set up")?);
    }
    Ok(all)
}

fn bound(socket: TcpListener, certificate: Option<Arc<Certificate>>) -> std::io::Result<Bound> {
    socket.set_nonblocking(true)?;
    let address = Address {
        socket: socket.local_addr()?,
        tls: certificate.is_some(),
    };
    Ok(Bound {
        address,
        socket,
        certificate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(socket: &str, tls: bool) -> Address {
        Address {
            socket: socket.parse().unwrap(),
            tls,
        }
    }

    #[test]
    fn tools_are_given_an_address_that_can_be_dialled() {
        let told = |socket, tls| address(socket, tls).to_dial().to_string();
        assert_eq!(told("0.0.0.0:8642", false), "http://127.0.0.1:8642");
        assert_eq!(told("[::]:8642", true), "https://[::1]:8642");
        assert_eq!(told("172.17.0.1:8643", true), "https://172.17.0.1:8643");
        assert_eq!(address("0.0.0.0:1", false).to_string(), "http://0.0.0.0:1");
    }
}
