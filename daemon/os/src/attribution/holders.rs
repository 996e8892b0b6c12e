//! Which processes hold a socket, by `/proc/PID/fd`.

use std::{ffi::CStr, fs, os::fd::OwnedFd, os::unix::fs::MetadataExt, path::PathBuf};

use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags},
    io::Errno,
};

use super::{Unknown, proc, sock_diag::Socket, system};

/// How many open files are looked at for one connection. A machine has a few ten thousand.
const MOST_FILES: usize = 1 << 20;
/// How many control groups are looked at. A machine has a few hundred.
const MOST_GROUPS: usize = 1 << 14;

/// A process that holds the socket.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) pid: u32,
    /// `/proc/PID` of this very process: when it ends the folder is empty, whoever gets its id.
    pub(super) folder: OwnedFd,
}

impl Holder {
    /// Whether it has the socket still, under whatever number.
    pub(super) fn holds(&self, socket: &Socket) -> bool {
        has(&self.folder, socket, &mut 0).unwrap_or(false)
    }
}

/// The process that holds the socket: the one that the others descend from, if there are several.
pub(super) fn holder(socket: &Socket) -> Result<Holder, Unknown> {
    let mut search = Search {
        socket,
        refused: Vec::new(),
        files: 0,
    };
    // The socket remembers the control group of who made it, and that has few processes. Only
    // when nobody there has it is the whole machine looked through.
    if let Some(pids) = socket.cgroup.and_then(members) {
        let found = search.among(&pids)?;
        if !found.is_empty() {
            return leader(found);
        }
    }
    let found = search.among(&everybody()?)?;
    if !found.is_empty() {
        return leader(found);
    }
    Err(
        match search
            .refused
            .iter()
            .any(|&pid| proc::runs_as(pid, socket.uid))
        {
            true => Unknown::NotReadable { uid: socket.uid },
            false => Unknown::Ended,
        },
    )
}

struct Search<'a> {
    socket: &'a Socket,
    /// Processes that may not be looked into.
    refused: Vec<u32>,
    files: usize,
}

impl Search<'_> {
    /// Those of the socket's owner go first. Root owns what hides from its own user.
    fn among(&mut self, pids: &[u32]) -> Result<Vec<Holder>, Unknown> {
        let fits = |pid: &&u32| {
            fs::metadata(format!("/proc/{pid}"))
                .is_ok_and(|folder| folder.uid() == self.socket.uid || folder.uid() == 0)
        };
        let (first, rest): (Vec<u32>, Vec<u32>) = pids.iter().partition(fits);
        let found = self.through(&first)?;
        if found.is_empty() {
            self.through(&rest)
        } else {
            Ok(found)
        }
    }

    fn through(&mut self, pids: &[u32]) -> Result<Vec<Holder>, Unknown> {
        let mut found = Vec::new();
        for &pid in pids {
            match self.look_into(pid) {
                Ok(holder) => found.extend(holder),
                Err(Errno::ACCESS | Errno::PERM) => self.refused.push(pid),
                // It has ended meanwhile.
                Err(Errno::NOENT | Errno::SRCH) => {}
                Err(error) => {
                    return Err(system("look through the open files of processes", error));
                }
            }
            if self.files > MOST_FILES {
                return Err(Unknown::TooMany);
            }
        }
        Ok(found)
    }

    fn look_into(&mut self, pid: u32) -> rustix::io::Result<Option<Holder>> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        let folder = rustix::fs::openat(CWD, format!("/proc/{pid}"), flags, Mode::empty())?;
        let found = has(&folder, self.socket, &mut self.files)?;
        Ok(found.then_some(Holder { pid, folder }))
    }
}

/// Whether the process with this folder has the socket open. Adds what was looked at to `files`.
fn has(folder: &OwnedFd, socket: &Socket, files: &mut usize) -> rustix::io::Result<bool> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::openat(folder, c"fd", flags, Mode::empty())?;
    for entry in Dir::read_from(&open)? {
        let entry = entry?;
        *files += 1;
        let name = entry.file_name();
        if name != c"." && name != c".." && leads_to(&open, name, socket)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether this link of a `/proc/PID/fd` leads to the socket.
fn leads_to(folder: &OwnedFd, name: &CStr, socket: &Socket) -> rustix::io::Result<bool> {
    let mut target = [0; 64];
    match rustix::fs::readlinkat_raw(folder, name, &mut target) {
        Ok(length) => Ok(is_socket(&target[..length], socket.inode)),
        // It was closed meanwhile.
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_socket(target: &[u8], inode: u32) -> bool {
    target
        .strip_prefix(b"socket:[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .is_some_and(|digits| digits.parse() == Ok(inode))
}

fn leader(mut found: Vec<Holder>) -> Result<Holder, Unknown> {
    let mut pids: Vec<u32> = found.iter().map(|holder| holder.pid).collect();
    let leads = |holder: &Holder| {
        pids.iter()
            .all(|&pid| pid == holder.pid || proc::descends(pid, holder.pid))
    };
    match found.iter().position(leads) {
        Some(at) => Ok(found.swap_remove(at)),
        None => {
            pids.sort_unstable();
            Err(Unknown::Shared { pids })
        }
    }
}

fn everybody() -> Result<Vec<u32>, Unknown> {
    let folders = fs::read_dir("/proc").map_err(|error| Unknown::System {
        what: "list the processes of this machine",
        code: error.raw_os_error().unwrap_or_default(),
    })?;
    Ok(folders
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// The processes in a control group, if its folder can be found.
fn members(cgroup: u64) -> Option<Vec<u32>> {
    /// `CGROUP2_SUPER_MAGIC`
    const VERSION_2: u64 = 0x6367_7270;
    let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .find(|root| {
            rustix::fs::statfs(*root).is_ok_and(|system| system.f_type as u64 == VERSION_2)
        })?;
    let mut open = vec![PathBuf::from(root)];
    let mut seen = 0;
    while let Some(folder) = open.pop() {
        seen += 1;
        let metadata = rustix::fs::statat(CWD, &folder, AtFlags::SYMLINK_NOFOLLOW).ok();
        if metadata.is_some_and(|metadata| metadata.st_ino == cgroup) {
            let text = fs::read_to_string(folder.join("cgroup.procs")).ok()?;
            // 0 stands for processes that this namespace does not see.
            let pids = text.lines().filter_map(|line| line.parse().ok());
            return Some(pids.filter(|&pid| pid != 0).collect());
        }
        if seen > MOST_GROUPS {
            return None;
        }
        let below = fs::read_dir(&folder).ok().into_iter().flatten().flatten();
        open.extend(
            below
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::attribution::sock_diag;

    #[test]
    fn who_has_closed_the_socket_holds_it_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        let socket = sock_diag::find(near.peer_addr().unwrap(), near.local_addr().unwrap());
        let socket = socket.unwrap();
        let found = holder(&socket).unwrap();
        assert!(found.holds(&socket));
        drop(far);
        assert!(!found.holds(&socket));
    }

    #[test]
    fn the_control_group_of_a_socket_leads_to_its_maker() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (own, other) = (far.local_addr().unwrap(), far.peer_addr().unwrap());
        let cgroup = sock_diag::find(own, other).unwrap().cgroup;
        // Neither is there in a container that sees only its own groups.
        if let Some(pids) = cgroup.and_then(members) {
            assert!(pids.contains(&std::process::id()), "{pids:?}");
        }
    }
}
