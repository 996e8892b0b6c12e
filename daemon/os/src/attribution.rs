//! Which process is at the other end of a loopback connection.
//!
//! It names a process only when the system says that it holds the connection's socket, before and
//! after it was looked at. Everything else is [`Unknown`], with its reason: a guess here would
//! blame, or excuse, the wrong program. No secret of a command line leaves this room.

use std::{fmt, net::SocketAddr, path::PathBuf};

pub(crate) mod cgroup;
mod command;
#[cfg(target_os = "linux")]
mod holders;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "macos")]
mod macos;
mod mask;
#[cfg(target_os = "linux")]
mod proc;
#[cfg(target_os = "linux")]
mod sock_diag;
#[cfg(any(test, target_os = "macos"))]
mod xnu;

#[cfg(target_os = "linux")]
pub(crate) use linux::holder_of;

/// The process that has made a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    /// Its process id, as this process sees it.
    pub pid: u32,
    /// Whose the connection is.
    pub uid: u32,
    /// Its program; unknown where the system keeps that to its owner.
    pub exe: Option<PathBuf>,
    /// Its arguments in one line, as a shell would take them: secrets masked, without control
    /// characters, cut when they are very long. Unknown when they can't be read.
    pub command: Option<String>,
    /// The systemd unit that it runs in.
    pub unit: Option<Unit>,
    /// The container or machine that it runs in: the id that Docker, Podman and others give it, or
    /// the name of a machine.
    pub container: Option<String>,
}

/// A systemd unit: a service, or the scope of a login or of a program that was started in one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unit {
    /// Such as `backup.service` or `resticprofile-backup@profile-home.service`.
    pub name: String,
    /// The user whose manager runs it; `None` for the system's.
    pub user: Option<u32>,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.user {
            None => write!(f, "{}", self.name),
            Some(user) => write!(f, "{} of user {user}", self.name),
        }
    }
}

/// Why the process behind a connection is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unknown {
    /// The peer is on another machine.
    #[error("the connection does not come from this machine")]
    NotLoopback,
    /// It comes out of another network namespace, such as a container's, or has gone.
    #[error("no socket of this network namespace is the other end of the connection")]
    NoSuchSocket,
    /// The system shows another user's processes to nobody else.
    #[error("it is a process of user {uid}, which this one may not examine")]
    NotReadable {
        /// Whose the connection is.
        uid: u32,
    },
    /// The program closed the connection, or ended, while it was looked for.
    #[error("the process has closed the connection or ended")]
    Ended,
    /// Several processes hold the socket, and none of them is the ancestor of the others.
    #[error("several processes share the connection: {}", list(.pids))]
    Shared {
        /// All of them, ascending.
        pids: Vec<u32>,
    },
    /// Looking further would take too long.
    #[error("this machine has too many open files to look through")]
    TooMany,
    /// It is another user's process, or has ended; the system tells only root which.
    #[error("it is a process that only root may examine, or it has ended")]
    NeedsRoot,
    /// This is neither Linux nor macOS.
    #[error("this system does not tell which process a connection belongs to")]
    NotSupported,
    /// The system refused an answer that others get.
    #[error("can't {what}: {}", std::io::Error::from_raw_os_error(*.code))]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's error number.
        code: i32,
    },
}

fn list(pids: &[u32]) -> String {
    let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
    pids.join(", ")
}

/// The process at the other end of a connection that was accepted here: `local` is our end, `peer`
/// the other one. Takes from tens of microseconds to, on a machine with very many open files,
/// tenths of a second.
///
/// The caller keeps the connection open meanwhile, so that its addresses can't be another one's.
pub fn of_peer(local: SocketAddr, peer: SocketAddr) -> Result<Process, Unknown> {
    if !on_this_machine(local, peer) {
        return Err(Unknown::NotLoopback);
    }
    #[cfg(target_os = "linux")]
    return linux::of_peer(local, peer);
    #[cfg(target_os = "macos")]
    return macos::of_peer(local, peer);
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    Err(Unknown::NotSupported)
}

/// The user whose program is at the other end of a connection that was accepted here. `None` if it comes from
/// another machine or network namespace; one that comes by loopback never does. Takes some ten microseconds
/// on Linux, and as long as [`of_peer`] on macOS.
///
/// The caller keeps the connection open meanwhile.
pub fn user_of_peer(local: SocketAddr, peer: SocketAddr) -> Result<Option<u32>, Unknown> {
    #[cfg(target_os = "linux")]
    let user = linux::user_of_peer(local, peer);
    #[cfg(target_os = "macos")]
    let user = macos::of_peer(local, peer).map(|process| process.uid);
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    let user = Err(Unknown::NotSupported);
    match user {
        // Nobody else's socket can have a loopback address.
        Err(Unknown::NoSuchSocket) if !on_this_machine(local, peer) => Ok(None),
        other => other.map(Some),
    }
}

/// Whether the other end of a connection is on this machine, by its addresses.
#[must_use]
pub fn on_this_machine(local: SocketAddr, peer: SocketAddr) -> bool {
    let (local, peer) = (local.ip().to_canonical(), peer.ip().to_canonical());
    peer.is_loopback() || peer == local
}

/// A command line as it may be shown and kept: as a shell would take it, secrets masked, without
/// control characters, cut when it is very long.
#[must_use]
pub fn masked(arguments: &[String]) -> String {
    command::shown(arguments, true)
}

/// A line of a log as it may be shown and kept: secrets masked, without control characters, cut when it
/// is very long.
#[must_use]
pub fn masked_text(line: &str) -> String {
    const LONGEST_LINE: usize = 300;
    let plain = line.replace(char::is_control, " ");
    mask::mask_text(&plain).chars().take(LONGEST_LINE).collect()
}

#[cfg(target_os = "linux")]
fn system(what: &'static str, error: rustix::io::Errno) -> Unknown {
    Unknown::System {
        what,
        code: error.raw_os_error(),
    }
}
