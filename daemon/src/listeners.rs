//! The gateway's listeners: bound in one go, and how their addresses are told to people and tools.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use anyhow::Context;
use bascule_gateway::{Certificate, Listener};
use bascule_store::Store;

use crate::{
    config::{At, Config, Listen, is_loopback},
    gateway_port,
};

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
/// first. Where the service manager has passed a socket for one of them, that is taken. Blocking; call
/// once at start.
pub(crate) fn bind(
    config: &Config,
    store: &Store,
    passed: Vec<TcpListener>,
) -> anyhow::Result<Vec<Bound>> {
    let certificate = config
        .tls
        .as_ref()
        .map(|files| Certificate::load(files.certificate.clone(), files.key.clone()))
        .transpose()
        .context("the gateway's TLS certificate (tls_certificate, tls_key) can't be used")?
        .map(Arc::new);
    let mut passed = Waiting::new(passed)?;
    let mut all = Vec::with_capacity(1 + config.also.len());
    for (number, listen) in config.listeners().enumerate() {
        let main = number == 0;
        let socket = match passed.claim(listen, main)? {
            Some(socket) => {
                check_reach(config, socket.local_addr()?, listen.tls)?;
                if main {
                    gateway_port::keep(&socket, store)?;
                }
                socket
            }
            None if main => gateway_port::bind(listen, store)?,
            None => gateway_port::bind_also(listen)?,
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
    for (address, socket) in passed.0 {
        check_reach(config, address, false)?;
        all.push(bound(socket, None).context("a passed gateway socket can't be set up")?);
    }
    Ok(all)
}

/// Sockets that the service manager has passed and that nobody has claimed yet.
struct Waiting(Vec<(SocketAddr, TcpListener)>);

impl Waiting {
    fn new(passed: Vec<TcpListener>) -> std::io::Result<Self> {
        let with_address = |socket: TcpListener| Ok((socket.local_addr()?, socket));
        passed
            .into_iter()
            .map(with_address)
            .collect::<std::io::Result<_>>()
            .map(Self)
    }

    /// The one for a configured address. The main address is that of the first one passed, unless
    /// the settings name another: then one of the two is wrong, and which can't be known.
    fn claim(&mut self, listen: Listen, main: bool) -> anyhow::Result<Option<TcpListener>> {
        let place = match listen.at {
            At::Exactly(wanted) => {
                let place = self.0.iter().position(|(address, _)| *address == wanted);
                if let (true, None, Some((passed, _))) = (main, place, self.0.first()) {
                    anyhow::bail!(contradiction(*passed, wanted));
                }
                place
            }
            At::Chosen | At::Ephemeral(_) => (main && !self.0.is_empty()).then_some(0),
        };
        Ok(place.map(|place| self.0.remove(place).1))
    }
}

/// Which of the two is meant can't be known.
pub(crate) fn contradiction(passed: SocketAddr, wanted: SocketAddr) -> String {
    format!(
        "the service manager passed {passed} for the gateway, and the settings say {wanted}; write the same address into ListenStream= of bascule-gateway.socket and into the settings"
    )
}

/// What the settings demand of an address holds for one that a unit names, too.
pub(crate) fn check_reach(config: &Config, address: SocketAddr, tls: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        tls || is_loopback(address.ip()) || config.allow_plain_http,
        "the service manager passed http://{address}, which is reachable from other machines: they could read everything that passes; name a loopback address in ListenStream= of bascule-gateway.socket, or use https:// in the settings, or accept that with allow_plain_http_beyond_loopback = true under [gateway]"
    );
    Ok(())
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

    fn listen(at: At) -> Listen {
        Listen { at, tls: false }
    }

    fn waiting(number: usize) -> (Waiting, Vec<SocketAddr>) {
        let sockets = (0..number).map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let waiting = Waiting::new(sockets.collect()).unwrap();
        let addresses = waiting.0.iter().map(|(address, _)| *address).collect();
        (waiting, addresses)
    }

    #[test]
    fn a_passed_socket_stands_for_the_address_that_is_not_named_or_named_so() {
        let (mut passed, addresses) = waiting(3);
        let claimed = passed.claim(listen(At::Chosen), true).unwrap().unwrap();
        assert_eq!(claimed.local_addr().unwrap(), addresses[0]);
        let also = listen(At::Exactly(addresses[2]));
        let claimed = passed.claim(also, false).unwrap().unwrap();
        assert_eq!(claimed.local_addr().unwrap(), addresses[2]);
        let other = listen(At::Exactly("127.0.0.9:1".parse().unwrap()));
        assert!(passed.claim(other, false).unwrap().is_none());
        assert_eq!(passed.0.len(), 1);

        let (mut none, _) = waiting(0);
        assert!(none.claim(other, true).unwrap().is_none());
    }

    #[test]
    fn a_passed_socket_that_contradicts_the_settings_is_refused_by_both_names() {
        let (mut passed, addresses) = waiting(1);
        let wanted: SocketAddr = "127.0.0.9:1".parse().unwrap();
        let refused = passed.claim(listen(At::Exactly(wanted)), true).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(&addresses[0].to_string()), "{text}");
        assert!(text.contains("127.0.0.9:1"), "{text}");
    }

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
