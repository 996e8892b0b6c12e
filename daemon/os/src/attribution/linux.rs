//! Linux: the kernel names the socket, `/proc` the process that holds it.

use std::net::SocketAddr;

use super::{Process, Unknown, cgroup, command, holders, proc, sock_diag};

/// A command line may be megabytes; nobody reads that.
const MOST_ARGUMENTS: u64 = 64 << 10;
const MOST_GROUPS: u64 = 64 << 10;

pub(super) fn of_peer(local: SocketAddr, peer: SocketAddr) -> Result<Process, Unknown> {
    let socket = sock_diag::find(peer, local).map_err(|unknown| {
        // Nothing of a client's socket is left; ours still tells that it has said goodbye.
        let own = (unknown == Unknown::NoSuchSocket).then(|| sock_diag::find(local, peer));
        match own {
            Some(Ok(own)) if !own.established => Unknown::Ended,
            _ => unknown,
        }
    })?;
    let holder = holders::holder(&socket)?;
    let exe = proc::exe(&holder.folder);
    let command = proc::read(&holder.folder, "cmdline", MOST_ARGUMENTS)
        .and_then(|(arguments, whole)| command::line(&arguments, whole));
    let groups = proc::read(&holder.folder, "cgroup", MOST_GROUPS);
    let place = cgroup::place(&String::from_utf8_lossy(&groups.unwrap_or_default().0));
    // What was read is the process's only if it is still the one at the other end.
    if !holder.holds(&socket) {
        return Err(Unknown::Ended);
    }
    Ok(Process {
        pid: holder.pid,
        uid: socket.uid,
        exe,
        command,
        unit: place.unit,
        container: place.container,
    })
}

/// The user that made the socket at the other end.
pub(super) fn user_of_peer(local: SocketAddr, peer: SocketAddr) -> Result<u32, Unknown> {
    sock_diag::find(peer, local).map(|socket| socket.uid)
}

/// The process that holds the socket with this inode of this user's, if that can be told.
pub(crate) fn holder_of(inode: u32, uid: u32) -> Option<u32> {
    let socket = sock_diag::Socket {
        inode,
        uid,
        cgroup: None,
        established: true,
    };
    holders::holder(&socket).ok().map(|holder| holder.pid)
}
