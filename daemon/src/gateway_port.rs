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
    let stored = store.gateway_port()?;
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let listener = match (listen.at, stored) {
        (At::Exactly(address), _) => exactly(address)?,
        (At::Chosen, Some(port)) => exactly(SocketAddr::new(localhost, port))?,
        (At::Ephemeral(ip), Some(port)) => exactly(SocketAddr::new(ip, port))?,
        (At::Ephemeral(ip), None) => exactly(SocketAddr::new(ip, 0))?,
        (At::Chosen, None) => first_free(localhost)?,
    };
    let port = listener
        .local_addr()
        .map_err(|source| PortError::Bind {
            address: SocketAddr::new(localhost, 0),
            source,
        })?
        .port();
    match stored {
        None => store.set_gateway_port(port)?,
        // Asked for explicitly, for this run: tools keep the port that was chosen once.
        Some(stored) if stored != port => tracing::warn!(
            port,
            stored,
            "the gateway listens on another port than the one tools were given"
        ),
        Some(_) => {}
    }
    Ok(listener)
}

fn exactly(address: SocketAddr) -> Result<TcpListener, PortError> {
    TcpListener::bind(address).map_err(|source| {
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
        .find_map(|port| TcpListener::bind(SocketAddr::new(ip, port)).ok())
        .ok_or(PortError::NoneFree)
}

fn holder(port: u16) -> String {
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
