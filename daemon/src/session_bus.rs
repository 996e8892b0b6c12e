//! The bus of the session that the daemon belongs to; no other is ever looked for. A connection is made
//! for one errand and closed after it, so that an idle daemon has none.

use std::{os::unix::net::UnixStream, path::PathBuf};

use zbus::{Connection, conn::Builder};

/// Where a session bus is.
pub(crate) enum Bus {
    Address(String),
    Socket(PathBuf),
}

impl Bus {
    /// The one that this process's surroundings name.
    pub(crate) fn find() -> Option<Self> {
        let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
        if !address.is_empty() {
            return Some(Self::Address(address));
        }
        let folder = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty())?;
        let socket = PathBuf::from(folder).join("bus");
        socket.exists().then_some(Self::Socket(socket))
    }

    pub(crate) async fn connect(self) -> zbus::Result<Connection> {
        let builder = match self {
            Self::Address(address) => Builder::address(address.as_str()),
            Self::Socket(path) => Builder::unix_stream(UnixStream::connect(path)?),
        };
        builder.build().await
    }
}
