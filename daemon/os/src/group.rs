//! Groups of users: by name, and of whoever is at the other end of a Unix socket.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::BorrowedFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::Path,
};

use rustix::fs::Gid;

use crate::path_error::PathError;

/// The number of a group, as the system's name service knows it. `None` if there is no such group.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[expect(unsafe_code, reason = "there is no safe call for this question")]
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    let mut buffer: Vec<libc::c_char> = vec![0; 1 << 16];
    // SAFETY: a group of zeroes is a valid one for the call to fill.
    let mut group: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: all pointers live through the call, the length is the buffer's, and what is read
    // afterwards is a number, which points nowhere.
    let code = unsafe {
        libc::getgrnam_r(
            name.as_ptr(),
            &raw mut group,
            buffer.as_mut_ptr(),
            buffer.len(),
            &raw mut found,
        )
    };
    match code {
        0 if found.is_null() => Ok(None),
        0 => Ok(Some(group.gr_gid)),
        // Both mean that nobody is called so.
        libc::ENOENT | libc::ESRCH => Ok(None),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Whether the process at the other end of a Unix socket was in a group when it connected, by its own
/// group or by one besides.
///
/// macOS: only its own group counts.
pub fn peer_is_in(peer: BorrowedFd<'_>, own_group: u32, group: u32) -> io::Result<bool> {
    if own_group == group {
        return Ok(true);
    }
    #[cfg(target_os = "linux")]
    return Ok(more_groups(peer)?.contains(&group));
    #[cfg(not(target_os = "linux"))]
    {
        let _ = peer;
        Ok(false)
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there is no safe call for this question")]
fn more_groups(peer: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    use std::os::fd::AsRawFd;
    // `NGROUPS_MAX`: nobody is in more.
    const MOST: usize = 65_536;
    let mut groups = vec![0_u32; 64];
    loop {
        let mut length =
            libc::socklen_t::try_from(groups.len() * 4).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: the descriptor is borrowed for the call; it writes at most `length` bytes into
        // the vector, which has as many, and the length itself.
        let code = unsafe {
            libc::getsockopt(
                peer.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if code == 0 {
            groups.truncate(length as usize / 4);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        let needed = length as usize / 4;
        if error.raw_os_error() != Some(libc::ERANGE) || needed <= groups.len() || needed > MOST {
            return Err(error);
        }
        groups.resize(needed, 0);
    }
}

/// Makes sure that a folder exists, is ours, and is closed to everybody but, if one is named, a group
/// that may pass through it and not list it.
pub fn group_dir(path: &Path, group: Option<u32>) -> Result<(), PathError> {
    const PASSABLE: u32 = 0o710;
    let set_mode = |mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .map_err(PathError::io("set the mode of", path))
    };
    if fs::symlink_metadata(path).is_ok_and(|found| {
        found.is_dir() && found.uid() == crate::effective_uid() && found.mode() & 0o7777 == PASSABLE
    }) {
        // As this was left for a group; what else it could be is refused below.
        set_mode(0o700)?;
    }
    crate::private_dir(path)?;
    if let Some(group) = group {
        give(path, group)?;
        set_mode(PASSABLE)?;
    }
    Ok(())
}

/// Makes a file or folder of ours a group's.
pub fn give(path: &Path, group: u32) -> Result<(), PathError> {
    rustix::fs::chown(path, None, Some(Gid::from_raw(group)))
        .map_err(|error| PathError::io("give to the group", path)(error.into()))
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsFd, unix::net::UnixStream};

    use super::*;

    fn own_group() -> u32 {
        rustix::process::getegid().as_raw()
    }

    #[test]
    fn a_group_is_known_by_its_name_and_one_that_is_not_there_is_none() {
        let root = if cfg!(target_os = "macos") {
            "wheel"
        } else {
            "root"
        };
        assert_eq!(group_id(root).unwrap(), Some(0));
        assert_eq!(group_id("no-such-group-here").unwrap(), None);
        assert!(group_id("with\0zero").is_err());
    }

    #[test]
    fn e1_whoever_connects_is_in_its_own_groups_and_in_no_other() {
        let (one, _other) = UnixStream::pair().unwrap();
        let own = own_group();
        assert!(peer_is_in(one.as_fd(), own, own).unwrap());
        assert!(!peer_is_in(one.as_fd(), own, 4_000_000_001).unwrap());
    }

    #[test]
    fn a_folder_is_opened_to_a_group_and_closed_again() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("run");
        let mode = || folder.metadata().unwrap().mode() & 0o7777;
        group_dir(&folder, Some(own_group())).unwrap();
        assert_eq!(mode(), 0o710);
        group_dir(&folder, Some(own_group())).unwrap();
        group_dir(&folder, None).unwrap();
        assert_eq!(mode(), 0o700);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(
            group_dir(&folder, None).is_err(),
            "wider than this makes it"
        );
    }
}
