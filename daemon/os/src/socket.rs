//! The path of a Unix socket that is about to be bound (threats.md E2).

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketType},
};

use crate::path_error::PathError;

/// Bytes a socket's path may have: the system's field less the closing zero.
pub const SOCKET_PATH_LIMIT: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What stands at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketState {
    /// Nothing.
    Free,
    /// A socket of ours that nobody listens on any more; it may be removed.
    Stale,
    /// A socket that somebody listens on.
    Live,
}

/// Why a socket must not be bound there.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The system could not take it.
    #[error(
        "the socket path {} has {} bytes, and this system allows {SOCKET_PATH_LIMIT}; choose a shorter runtime folder",
        .path.display(), .path.as_os_str().len()
    )]
    TooLong {
        /// Which path.
        path: PathBuf,
    },
    /// Something other than a socket stands there.
    #[error("{} is not a socket; move it away", .path.display())]
    NotASocket {
        /// Which path.
        path: PathBuf,
    },
    /// Others could put a socket of their own in its place.
    #[error("the folder {} has mode {mode:04o}, so that other users can replace the socket; choose a folder of mode 700", .path.display())]
    OpenFolder {
        /// Which folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A symbolic link, a foreign owner, or a refusal of the system.
    #[error("the socket can't be placed there")]
    Path(#[source] PathError),
}

/// Looks at the path before a socket is bound there and says what it meets. It changes nothing.
pub fn check_socket_path(path: &Path) -> Result<SocketState, SocketError> {
    if path.as_os_str().as_bytes().len() > SOCKET_PATH_LIMIT {
        return Err(SocketError::TooLong {
            path: path.to_owned(),
        });
    }
    check_folder(
        path.parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new(".")),
    )?;
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(SocketState::Free),
        Err(error) => return Err(SocketError::Path(PathError::io("examine", path)(error))),
    };
    if metadata.is_symlink() {
        return Err(SocketError::Path(PathError::Symlink {
            path: path.to_owned(),
        }));
    }
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket {
            path: path.to_owned(),
        });
    }
    ours(path, &metadata)?;
    probe(path).map_err(|error| SocketError::Path(PathError::io("connect to", path)(error.into())))
}

fn check_folder(folder: &Path) -> Result<(), SocketError> {
    let metadata = fs::symlink_metadata(folder)
        .map_err(|error| SocketError::Path(PathError::io("examine", folder)(error)))?;
    if metadata.is_symlink() {
        return Err(SocketError::Path(PathError::Symlink {
            path: folder.to_owned(),
        }));
    }
    if !metadata.is_dir() {
        return Err(SocketError::Path(PathError::NotAFolder {
            path: folder.to_owned(),
        }));
    }
    ours(folder, &metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(SocketError::OpenFolder {
            path: folder.to_owned(),
            mode,
        });
    }
    Ok(())
}

fn ours(path: &Path, metadata: &fs::Metadata) -> Result<(), SocketError> {
    let us = crate::effective_uid();
    if metadata.uid() == us {
        return Ok(());
    }
    Err(SocketError::Path(PathError::Foreign {
        path: path.to_owned(),
        owner: metadata.uid(),
        us,
    }))
}

/// Connects without waiting: a listener that does not accept would block for ever.
fn probe(path: &Path) -> Result<SocketState, Errno> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(SocketState::Live),
        Err(Errno::CONNREFUSED) => Ok(SocketState::Stale),
        Err(Errno::NOENT) => Ok(SocketState::Free),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::{
            fs::{PermissionsExt, symlink},
            net::UnixListener,
        },
    };

    use super::*;

    #[test]
    fn free_live_and_stale_are_told_apart() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("socket");
        assert_eq!(check_socket_path(&path).unwrap(), SocketState::Free);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(check_socket_path(&path).unwrap(), SocketState::Live);
        drop(listener);
        assert_eq!(check_socket_path(&path).unwrap(), SocketState::Stale);
        assert!(path.exists(), "looking must not remove it");
    }

    #[test]
    fn e2_links_files_and_open_folders_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(
            check_socket_path(&file),
            Err(SocketError::NotASocket { .. })
        ));

        let link = temp.path().join("link");
        symlink(&file, &link).unwrap();
        let refused = check_socket_path(&link);
        assert!(matches!(
            refused,
            Err(SocketError::Path(PathError::Symlink { .. }))
        ));

        let open = temp.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        let refused = check_socket_path(&open.join("socket"));
        assert!(matches!(
            refused,
            Err(SocketError::OpenFolder { mode: 0o777, .. })
        ));

        let linked = temp.path().join("linked");
        symlink(&open, &linked).unwrap();
        let refused = check_socket_path(&linked.join("socket"));
        assert!(matches!(
            refused,
            Err(SocketError::Path(PathError::Symlink { .. }))
        ));
        assert_eq!(fs::read(&file).unwrap(), b"mine");
    }

    #[test]
    fn a_path_longer_than_the_system_takes_is_refused_before_binding() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("s".repeat(SOCKET_PATH_LIMIT));
        let error = check_socket_path(&path).unwrap_err();
        assert!(matches!(error, SocketError::TooLong { .. }));
        assert!(error.to_string().contains("shorter"), "{error}");

        let room = SOCKET_PATH_LIMIT - temp.path().as_os_str().len() - 1;
        let fits = temp.path().join("s".repeat(room));
        let _listener = UnixListener::bind(&fits).unwrap();
        assert_eq!(check_socket_path(&fits).unwrap(), SocketState::Live);
    }
}
