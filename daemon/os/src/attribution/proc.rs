//! What `/proc` tells about one process.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::PathBuf,
};

use rustix::fs::{Mode, OFlags};

use crate::process::parent_of;

/// How deep the ancestors of a process are followed.
const MOST_ANCESTORS: usize = 64;

/// The program. What the system writes behind the path of a replaced one is left out.
pub(super) fn exe(folder: &OwnedFd) -> Option<PathBuf> {
    let target = rustix::fs::readlinkat(folder, c"exe", Vec::new()).ok()?;
    let path = target.to_bytes();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

/// A file of the process, up to `limit` bytes, and whether that is all of it.
pub(super) fn read(folder: &OwnedFd, name: &str, limit: u64) -> Option<(Vec<u8>, bool)> {
    let file = rustix::fs::openat(
        folder,
        name,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let mut bytes = Vec::new();
    let read = fs::File::from(file).take(limit + 1).read_to_end(&mut bytes);
    let whole = read.ok()? as u64 <= limit;
    bytes.truncate(usize::try_from(limit).ok()?);
    Some((bytes, whole))
}

/// Whether the process has the rights of this user.
pub(super) fn runs_as(pid: u32, uid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .is_some_and(|uids| uids.split_whitespace().any(|text| text.parse() == Ok(uid)))
}

/// Whether the process was started by `ancestor`, or by one that was.
pub(super) fn descends(pid: u32, ancestor: u32) -> bool {
    let mut pid = pid;
    for _ in 0..MOST_ANCESTORS {
        match parent_of(pid) {
            Some(parent) if parent == ancestor => return true,
            Some(parent) => pid = parent,
            None => return false,
        }
    }
    false
}
