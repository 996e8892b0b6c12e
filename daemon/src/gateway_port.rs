//! Chooses the gateway's port once and keeps it: tools have it in their configurations, so it must
//! never change silently.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use bascule_store::{Store, StoreError};

use crate::config::{At, Listen};

/// The port tried first.
const FIRST: u16 = 8642;
/// How many ports after it are tried when it is taken.
const TRIED: u16 = 100;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PortError {
    #[error(
        "the gateway's port {port} is taken by {holder}; end that process, or choose another port with --gateway 127.0.0.1:PORT (tools then need the new one)"
    )]
    Taken { port: u16, holder: String },
    #[error("no port from {FIRST} to {last} is free for the gateway; choose one with --gateway 127.0.0.1:PORT", last = FIRST + TRIED)]
    NoneFree,
    #[error("the gateway can't listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the gateway's port could not be stored")]
    Store(#[from] StoreError),
}

/// Binds a further address, exactly as it was asked for.
pub(crate) fn bind_also(listen: Listen) -> Result<TcpListener, PortError> {
    match listen.at {
        At::Exactly(address) => exactly(address),
        At::Ephemeral(ip) => exactly(SocketAddr::new(ip, 0)),
        At::Chosen => first_free(Ipv4Addr::LOCALHOST.into()),
    }
}

/// Binds the listener whose port tools are given. Blocking; call once at start.
pub(crate) fn bind(listen: Listen, store: &Store) -> Result<TcpListener, PortError> {
    let listener = choose(listen, store.gateway_port()?)?;
    keep(&listener, store)?;
    Ok(listener)
}

/// Binds what [`bind`] would, given the port that is stored.
fn choose(listen: Listen, stored: Option<u16>) -> Result<TcpListener, PortError> {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    match (listen.at, stored) {
        (At::Exactly(address), _) => exactly(address),
        (At::Chosen, Some(port)) => exactly(SocketAddr::new(localhost, port)),
        (At::Ephemeral(ip), Some(port)) => exactly(SocketAddr::new(ip, port)),
        (At::Ephemeral(ip), None) => exactly(SocketAddr::new(ip, 0)),
        (At::Chosen, None) => first_free(localhost),
    }
}

/// The address that would be bound if the daemon started now, on a state folder with this port.
pub(crate) fn preview(listen: Listen, stored: Option<u16>) -> Result<SocketAddr, PortError> {
    address_of(&choose(listen, stored)?)
}

/// Keeps the port of the listener that tools are given, whoever has bound it.
pub(crate) fn keep(listener: &TcpListener, store: &Store) -> Result<(), PortError> {
    let port = address_of(listener)?.port();
    match store.gateway_port()? {
        None => store.set_gateway_port(port)?,
        // Asked for explicitly, for this run: tools keep the port that was chosen once.
        Some(stored) if stored != port => tracing::warn!(
            port,
            stored,
            "the gateway listens on another port than the one tools were given"
        ),
        Some(_) => {}
    }
    Ok(())
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, PortError> {
    listener.local_addr().map_err(|source| PortError::Bind {
        address: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0),
        source,
    })
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    bascule_os::let_many_wait(&listener)?;
    Ok(listener)
}

fn exactly(address: SocketAddr) -> Result<TcpListener, PortError> {
    listen(address).map_err(|source| {
        if source.kind() == std::io::ErrorKind::AddrInUse {
            PortError::Taken {
                port: address.port(),
                holder: holder(address.port()),
            }
        } else {
            PortError::Bind { address, source }
        }
    })
}

fn first_free(ip: IpAddr) -> Result<TcpListener, PortError> {
    (FIRST..=FIRST + TRIED)
        .find_map(|port| listen(SocketAddr::new(ip, port)).ok())
        .ok_or(PortError::NoneFree)
}

/// Who listens there, in words.
pub(crate) fn holder(port: u16) -> String {
    let Some(holder) = bascule_os::port_holder(port) else {
        return "another process".to_owned();
    };
    match (holder.command, holder.pid) {
        (Some(command), Some(pid)) => format!("{command} (process {pid})"),
        (Some(command), None) => command,
        (None, Some(pid)) => format!("process {pid}"),
        (None, None) => format!("a process of user {}", holder.uid),
    }
}
