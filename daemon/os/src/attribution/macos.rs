//! macOS: each process is asked for its sockets (libproc). It tells this user's processes, and all of
//! them only to root. launchd names its jobs to nobody but itself, so there is no unit: the variable
//! `XPC_SERVICE_NAME` is a process's own word.
//!
//! It was compiled and never run: no Mac was there to run it on. What it makes of the kernel's bytes
//! (`xnu`) is tested everywhere.

use std::{
    ffi::{OsStr, c_int, c_void},
    io,
    net::SocketAddr,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
};

use super::{Process, Unknown, command, xnu};

/// `proc_info.h`; not among libc's.
const PROC_ALL_PIDS: u32 = 1;
const PROC_PIDFDSOCKETINFO: c_int = 3;
/// What comes behind the command line is not needed.
const MOST_ARGUMENTS: usize = 64 << 10;
/// How many open files are looked at for one connection.
const MOST_FILES: usize = 1 << 20;
/// How deep the ancestors of a process are followed.
const MOST_ANCESTORS: usize = 64;

pub(super) fn of_peer(local: SocketAddr, peer: SocketAddr) -> Result<Process, Unknown> {
    let wanted = Wanted {
        own: canonical(peer),
        far: canonical(local),
    };
    let mut seen = Seen::default();
    for pid in everybody()? {
        match wanted.held_by(pid, &mut seen.files) {
            Ok(true) => seen.holders.push(pid),
            Ok(false) => {}
            Err(error) => match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => seen.refused = true,
                // It has ended meanwhile.
                Some(libc::ESRCH) => {}
                code => {
                    return Err(Unknown::System {
                        what: "look through the open files of processes",
                        code: code.unwrap_or_default(),
                    });
                }
            },
        }
        if seen.files > MOST_FILES {
            return Err(Unknown::TooMany);
        }
    }
    let pid = seen.leader()?;
    let process = Process {
        pid,
        uid: facts(pid).map_err(|_| Unknown::Ended)?.pbi_uid,
        exe: exe(pid),
        command: command_line(pid),
        unit: None,
        container: None,
    };
    // What was read is the process's only if it is still the one at the other end.
    match wanted.held_by(pid, &mut 0) {
        Ok(true) => Ok(process),
        Ok(false) | Err(_) => Err(Unknown::Ended),
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[derive(Default)]
struct Seen {
    holders: Vec<u32>,
    /// Whether some process could not be looked into.
    refused: bool,
    files: usize,
}

impl Seen {
    /// The one that the others descend from.
    fn leader(mut self) -> Result<u32, Unknown> {
        if self.holders.is_empty() {
            return Err(match self.refused {
                true => Unknown::NeedsRoot,
                false => Unknown::Ended,
            });
        }
        let leads = |holder: &u32| {
            let others = self.holders.iter();
            others
                .filter(|pid| *pid != holder)
                .all(|pid| descends(*pid, *holder))
        };
        match self.holders.iter().copied().find(leads) {
            Some(pid) => Ok(pid),
            None => {
                self.holders.sort_unstable();
                Err(Unknown::Shared { pids: self.holders })
            }
        }
    }
}

fn descends(mut pid: u32, ancestor: u32) -> bool {
    for _ in 0..MOST_ANCESTORS {
        match facts(pid).map(|facts| facts.pbi_ppid) {
            Ok(parent) if parent == ancestor => return true,
            Ok(parent) if parent > 1 => pid = parent,
            Ok(_) | Err(_) => return false,
        }
    }
    false
}

/// A connection, from the end that is looked for.
struct Wanted {
    own: SocketAddr,
    far: SocketAddr,
}

impl Wanted {
    fn held_by(&self, pid: u32, files: &mut usize) -> io::Result<bool> {
        let open = open_files(pid)?;
        *files += open.len();
        let sockets = open
            .iter()
            .filter(|file| file.proc_fdtype == libc::PROX_FDTYPE_SOCKET as u32);
        for file in sockets {
            let mut info = [0; xnu::SOCKET_FDINFO];
            let length = match socket_info(pid, file.proc_fd, &mut info) {
                Ok(length) => length,
                // It was closed meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => continue,
                Err(error) => return Err(error),
            };
            let found = info.get(..length).and_then(xnu::socket);
            if found.is_some_and(|found| (found.own, found.far) == (self.own, self.far)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn id(pid: u32) -> io::Result<c_int> {
    c_int::try_from(pid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))
}

/// What a call says that gives the bytes it wrote, and none in case of an error.
fn written(result: c_int) -> io::Result<usize> {
    match usize::try_from(result) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

fn size_of_all<T>(items: &[T]) -> c_int {
    c_int::try_from(size_of_val(items)).unwrap_or(c_int::MAX)
}

#[expect(unsafe_code, reason = "there is no safe call for this")]
fn everybody() -> Result<Vec<u32>, Unknown> {
    /// More processes than a Mac allows.
    const MOST: usize = 1 << 16;
    let mut pids = vec![0_i32; MOST];
    // SAFETY: the buffer is ours, and as long as we say.
    let bytes = unsafe {
        let buffer = pids.as_mut_ptr().cast::<c_void>();
        libc::proc_listpids(PROC_ALL_PIDS, 0, buffer, size_of_all(&pids))
    };
    let bytes = written(bytes).map_err(|error| Unknown::System {
        what: "list the processes of this machine",
        code: error.raw_os_error().unwrap_or_default(),
    })?;
    pids.truncate(bytes / size_of::<i32>());
    let pids = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok());
    Ok(pids.filter(|pid| *pid != 0).collect())
}

#[expect(unsafe_code, reason = "there is no safe call for this")]
fn open_files(pid: u32) -> io::Result<Vec<libc::proc_fdinfo>> {
    let pid = id(pid)?;
    let mut room = 256;
    loop {
        let none = libc::proc_fdinfo {
            proc_fd: 0,
            proc_fdtype: 0,
        };
        let mut files = vec![none; room];
        // SAFETY: the buffer is ours, and as long as we say.
        let bytes = unsafe {
            let buffer = files.as_mut_ptr().cast::<c_void>();
            libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, buffer, size_of_all(&files))
        };
        let found = written(bytes)? / size_of::<libc::proc_fdinfo>();
        // A full buffer may not hold all.
        if found < room || room >= MOST_FILES {
            files.truncate(found);
            return Ok(files);
        }
        room *= 4;
    }
}

#[expect(unsafe_code, reason = "there is no safe call for this")]
fn socket_info(pid: u32, fd: i32, info: &mut [u8]) -> io::Result<usize> {
    let pid = id(pid)?;
    let size = size_of_all(info);
    // SAFETY: the buffer is ours, and as long as we say.
    written(unsafe {
        let buffer = info.as_mut_ptr().cast::<c_void>();
        libc::proc_pidfdinfo(pid, fd, PROC_PIDFDSOCKETINFO, buffer, size)
    })
}

#[expect(unsafe_code, reason = "there is no safe call for this")]
fn facts(pid: u32) -> io::Result<libc::proc_bsdinfo> {
    let pid = id(pid)?;
    // SAFETY: numbers and characters, for which zero is a value; the call writes no more than the size
    // that it is told.
    unsafe {
        let mut facts: libc::proc_bsdinfo = std::mem::zeroed();
        let size = size_of_all(std::slice::from_ref(&facts));
        let buffer = (&raw mut facts).cast::<c_void>();
        written(libc::proc_pidinfo(
            pid,
            libc::PROC_PIDTBSDINFO,
            0,
            buffer,
            size,
        ))?;
        Ok(facts)
    }
}

#[expect(unsafe_code, reason = "there is no safe call for this")]
fn exe(pid: u32) -> Option<PathBuf> {
    let mut path = [0_u8; libc::PROC_PIDPATHINFO_MAXSIZE as usize];
    let pid = id(pid).ok()?;
    let size = u32::try_from(path.len()).ok()?;
    // SAFETY: the buffer is ours, and as long as we say.
    let length = unsafe { libc::proc_pidpath(pid, path.as_mut_ptr().cast::<c_void>(), size) };
    let path = path.get(..written(length).ok()?)?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

/// Told of this user's processes only, except to root.
fn command_line(pid: u32) -> Option<String> {
    let mut bytes = vec![0; MOST_ARGUMENTS];
    let length = raw_arguments(pid, &mut bytes)?;
    let (arguments, whole) = xnu::arguments(bytes.get(..length)?)?;
    command::line(arguments, whole)
}

#[expect(unsafe_code, reason = "there is no safe call for this")]
fn raw_arguments(pid: u32, bytes: &mut [u8]) -> Option<usize> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, id(pid).ok()?];
    let mut length = bytes.len();
    // SAFETY: name and buffer are ours, and as long as we say; nothing is set.
    let refused = unsafe {
        libc::sysctl(
            name.as_mut_ptr(),
            3,
            bytes.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    (refused == 0).then_some(length)
}
