//! The control socket: made in a private folder, replaced only when nobody answers, and open only to the
//! daemon's own user, to root, and, if the settings say so, to the members of a group. Or passed by the
//! service manager. Whoever else gets as far as it is told so, whatever was asked, and nothing more.

use std::{
    io,
    net::Shutdown,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bascule_proto::location::SOCKET_NAME;
use futures_util::{Stream, StreamExt, stream};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tonic::{
    Request,
    service::{InterceptorLayer, Routes},
    transport::Server,
};

use super::status;
use crate::app::error::{Error, Kind};

/// Peers that are being told that they may not come; more are closed without a word.
const TOLD_AT_ONCE: usize = 16;
/// How long telling one may take.
const TELLING: Duration = Duration::from_secs(3);

/// The socket, listening.
pub(crate) struct ControlSocket {
    pub peers: Peers,
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
    #[error("there is no group {0:?}, which operators under [access] names")]
    NoGroup(String),
    #[error("the group {name:?} can't be looked up")]
    Group {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("another process answers at {0}")]
    Live(String),
    #[error("the socket {path} could not be made")]
    Bind {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// Opens `runtime_dir/bascule.sock`: 0600 in a 0700 folder, or, for a group, 0660 in a folder that it may
/// pass through.
pub(crate) fn open(
    runtime_dir: &Path,
    operators: Option<&str>,
) -> Result<ControlSocket, SocketError> {
    let operators = operators.map(group).transpose()?;
    bascule_os::group_dir(runtime_dir, operators).map_err(SocketError::Folder)?;
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
    // Whoever gets in meanwhile is asked who it is all the same.
    let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode));
    mode(0o600).map_err(failed)?;
    if let Some(group) = operators {
        bascule_os::give(&path, group).map_err(SocketError::Folder)?;
        mode(0o660).map_err(failed)?;
    }
    Ok(ControlSocket {
        peers: Peers {
            listener,
            operators,
        },
        path,
        passed: false,
    })
}

/// Takes the socket that the service manager has opened and [`bascule_os::service`] has checked.
pub(crate) fn take(
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
    operators: Option<&str>,
) -> io::Result<ControlSocket> {
    listener.set_nonblocking(true)?;
    let operators = operators.map(group).transpose().map_err(io::Error::other)?;
    Ok(ControlSocket {
        peers: Peers {
            listener: UnixListener::from_std(listener)?,
            operators,
        },
        path,
        passed: true,
    })
}

/// The number of the group that operators are in.
pub(crate) fn group(name: &str) -> Result<u32, SocketError> {
    match bascule_os::group_id(name) {
        Ok(Some(group)) => Ok(group),
        Ok(None) => Err(SocketError::NoGroup(name.to_owned())),
        Err(source) => Err(SocketError::Group {
            name: name.to_owned(),
            source,
        }),
    }
}

/// The open socket, and the group whose members may use it besides the daemon's own user and root.
pub(crate) struct Peers {
    listener: UnixListener,
    operators: Option<u32>,
}

impl Peers {
    /// Connections of our own user, of root, who may become any user anyway, and of operators only; nothing that
    /// others say is looked at. A failed accept, as for want of file descriptors, is waited out: tonic would end
    /// the server (threats.md H2).
    pub(crate) fn admitted(self) -> impl Stream<Item = io::Result<UnixStream>> {
        const PAUSE: Duration = Duration::from_millis(100);
        let own = bascule_os::effective_uid();
        let places = Arc::new(Semaphore::new(TOLD_AT_ONCE));
        stream::unfold((self, true), move |(control, mut well)| {
            let places = Arc::clone(&places);
            async move {
                loop {
                    match control.listener.accept().await {
                        Ok((peer, _)) => {
                            well = true;
                            match admission(own, control.operators, &peer) {
                                Admission::Operator => return Some((Ok(peer), (control, well))),
                                Admission::Stranger(uid) => {
                                    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
                                        tokio::spawn(async move {
                                            // A peer that is gone needs no answer.
                                            refuse(peer, uid).await.ok();
                                            drop(place);
                                        });
                                    }
                                }
                                Admission::Unknown => {}
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
            }
        })
    }
}

/// Answers whatever is asked that this user may not ask, and closes the connection soon.
async fn refuse(peer: UnixStream, uid: u32) -> io::Result<()> {
    let peer = peer.into_std()?;
    let closing = peer.try_clone()?;
    let peers = stream::iter([UnixStream::from_std(peer)]).chain(stream::pending());
    let deny = move |_: Request<()>| -> Result<Request<()>, tonic::Status> {
        let told = format!("user {uid} is not an operator of this daemon");
        let next = "ask whoever runs it to name a group of yours (bascule help multi-user), or start a daemon of your own: basculed";
        Err(status::denied(Error::new(Kind::Refused, told).next(next)))
    };
    let telling = Server::builder()
        .max_concurrent_streams(1)
        .layer(InterceptorLayer::new(deny))
        .add_routes(Routes::default())
        .serve_with_incoming_shutdown(peers, tokio::time::sleep(TELLING / 2));
    // What it does not read in time is not waited for.
    tokio::time::timeout(TELLING, telling).await.ok();
    closing.shutdown(Shutdown::Both)
}

enum Admission {
    Operator,
    /// Of this user.
    Stranger(u32),
    Unknown,
}

/// Asked at each connection: a socket's mode alone would let in whoever it was handed to.
fn admission(own: u32, operators: Option<u32>, peer: &UnixStream) -> Admission {
    let Ok(credentials) = peer.peer_cred() else {
        return Admission::Unknown;
    };
    if [own, 0].contains(&credentials.uid()) {
        return Admission::Operator;
    }
    let is_operator = operators.is_some_and(|group| {
        bascule_os::peer_is_in(peer.as_fd(), credentials.gid(), group).unwrap_or(false)
    });
    if is_operator {
        return Admission::Operator;
    }
    tracing::warn!(
        uid = credentials.uid(),
        "refused a connection of another user"
    );
    Admission::Stranger(credentials.uid())
}
