//! The owner-only Unix socket: made in a private folder, replaced only when nobody answers, and
//! open only to the daemon's own user and to root. Or passed by the service manager.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bascule_proto::location::SOCKET_NAME;
use futures_util::{Stream, stream};
use tokio::net::{UnixListener, UnixStream};

/// The socket, listening.
pub(crate) struct ControlSocket {
    pub listener: UnixListener,
    pub path: PathBuf,
    /// Whether it is the service manager's, who listens on when we have ended.
    pub passed: bool,
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("the runtime folder can't be used")]
    Folder(#[source] bascule_os::PathError),
    #[error("the socket's place can't be used")]
    Place(#[source] bascule_os::SocketError),
    #[error("another process answers at {0}")]
    Live(String),
    #[error("the socket {path} could not be made")]
    Bind {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// Opens `runtime_dir/bascule.sock`, 0600 in a 0700 folder.
pub(crate) fn open(runtime_dir: &Path) -> Result<ControlSocket, SocketError> {
    bascule_os::private_dir(runtime_dir).map_err(SocketError::Folder)?;
    let path = runtime_dir.join(SOCKET_NAME);
    let failed = |source| SocketError::Bind {
        path: path.display().to_string(),
        source,
    };
    match bascule_os::check_socket_path(&path).map_err(SocketError::Place)? {
        bascule_os::SocketState::Free => {}
        bascule_os::SocketState::Live => return Err(SocketError::Live(path.display().to_string())),
        bascule_os::SocketState::Stale => std::fs::remove_file(&path).map_err(failed)?,
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    // Nobody else can get in meanwhile: the folder is 0700.
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    Ok(ControlSocket {
        listener,
        path,
        passed: false,
    })
}

/// Takes the socket that the service manager has opened and [`bascule_os::service`] has checked.
pub(crate) fn take(
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
) -> io::Result<ControlSocket> {
    listener.set_nonblocking(true)?;
    Ok(ControlSocket {
        listener: UnixListener::from_std(listener)?,
        path,
        passed: true,
    })
}

/// Connections of our own user and of root only, who may become any user anyway; others are dropped before a byte is read. A failed accept, as
/// for want of file descriptors, is waited out: tonic would end the server (threats.md H2).
pub(crate) fn own_peers(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> {
    const PAUSE: Duration = Duration::from_millis(100);
    let own = bascule_os::effective_uid();
    stream::unfold((listener, true), move |(listener, mut well)| async move {
        loop {
            match listener.accept().await {
                Ok((peer, _)) => {
                    well = true;
                    if is_of(own, &peer) {
                        return Some((Ok(peer), (listener, well)));
                    }
                }
                Err(error) => {
                    if std::mem::take(&mut well) {
                        tracing::warn!(%error, "a call could not be accepted; it is tried again");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

fn is_of(own: u32, peer: &UnixStream) -> bool {
    match peer.peer_cred() {
        Ok(credentials) if [own, 0].contains(&credentials.uid()) => true,
        Ok(credentials) => {
            tracing::warn!(
                uid = credentials.uid(),
                "refused a connection of another user"
            );
            false
        }
        Err(_) => false,
    }
}
