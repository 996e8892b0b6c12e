//! Other programs' files: read with a bound, without ever waiting for whoever holds them.

use std::{
    fs::{self, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{fs::OFlags, io::Errno};

/// Why another program's file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// A folder, pipe, socket or device.
    #[error("{} is not a regular file", .path.display())]
    NotAFile {
        /// Which path.
        path: PathBuf,
    },
    /// No configuration is that large.
    #[error("{} is larger than {limit} bytes", .path.display())]
    TooLarge {
        /// Which path.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A secret that other users can read is none.
    #[error("{} holds a secret and has mode {mode:04o}, so that other users can reach it; run: chmod 600 {}", .path.display(), .path.display())]
    TooOpen {
        /// Which path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The operating system refused.
    #[error("can't read {}", .path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ForeignError {
    /// Whether there is nothing at the path.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a whole regular file of `limit` bytes at most, whoever owns it. Symbolic links are
/// followed, since people link their configuration. Opening never blocks: the path may name a
/// pipe (threats.md F1, F2). One allocation, so that no copy of a secret is left behind.
pub fn read_foreign(path: &Path, limit: u64) -> Result<Vec<u8>, ForeignError> {
    read_checked(path, limit, |_| Ok(()))
}

/// Reads another program's secret as [`read_foreign`] does, and refuses it when users who need not
/// be trusted can reach it: everybody, or the group of a file that is not root's. Root hands keys
/// to services by a group of their own.
pub fn read_foreign_secret(path: &Path, limit: u64) -> Result<Vec<u8>, ForeignError> {
    read_checked(path, limit, |metadata| {
        let mode = metadata.mode() & 0o7777;
        let closed = if metadata.uid() == 0 { 0o027 } else { 0o077 };
        if mode & closed == 0 {
            Ok(())
        } else {
            Err(ForeignError::TooOpen {
                path: path.to_owned(),
                mode,
            })
        }
    })
}

/// What tells one content of a file from the next without reading it. A link's target counts, so
/// that a link which is turned to another file is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The identity of what is at the path now; `None` when that can't be told.
#[must_use]
pub fn file_identity(path: &Path) -> Option<FileIdentity> {
    Some(FileIdentity::of(&fs::metadata(path).ok()?))
}

impl FileIdentity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn read_checked(
    path: &Path,
    limit: u64,
    check: impl FnOnce(&Metadata) -> Result<(), ForeignError>,
) -> Result<Vec<u8>, ForeignError> {
    let failed = |source: io::Error| {
        // A socket or a device without a driver.
        let special = [Errno::NXIO, Errno::OPNOTSUPP].map(|errno| Some(errno.raw_os_error()));
        if special.contains(&source.raw_os_error()) {
            ForeignError::NotAFile {
                path: path.to_owned(),
            }
        } else {
            ForeignError::Io {
                path: path.to_owned(),
                source,
            }
        }
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
        .open(path)
        .map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(ForeignError::NotAFile {
            path: path.to_owned(),
        });
    }
    check(&metadata)?;
    let too_large = || ForeignError::TooLarge {
        path: path.to_owned(),
        limit,
    };
    if metadata.len() > limit {
        return Err(too_large());
    }
    // The file may grow while it is read, and files of /proc say that they are empty.
    let capacity = usize::try_from(limit.saturating_add(1)).map_err(|_| too_large())?;
    let mut bytes = Vec::with_capacity(capacity);
    file.take(capacity as u64)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        Err(too_large())
    } else {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{fs::PermissionsExt, net::UnixListener},
    };

    use super::*;

    #[test]
    fn files_and_links_to_files_are_read_whole_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conf");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_foreign(&path, 5).unwrap(), b"12345");
        assert!(matches!(
            read_foreign(&path, 4),
            Err(ForeignError::TooLarge { limit: 4, .. })
        ));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read_foreign(&link, 5).unwrap(), b"12345");
        let sparse = fs::File::create(folder.path().join("sparse")).unwrap();
        sparse.set_len(10 << 30).unwrap();
        assert!(matches!(
            read_foreign(&folder.path().join("sparse"), 5),
            Err(ForeignError::TooLarge { .. })
        ));
    }

    #[test]
    fn pipes_sockets_folders_and_devices_are_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap();
        assert!(made.success());
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [
            fifo.as_path(),
            &socket,
            folder.path(),
            Path::new("/dev/zero"),
        ] {
            assert!(
                matches!(read_foreign(path, 5), Err(ForeignError::NotAFile { .. })),
                "{}",
                path.display()
            );
        }
        assert!(
            read_foreign(&folder.path().join("nothing"), 5)
                .unwrap_err()
                .is_absent()
        );
        let looped = folder.path().join("loop");
        std::os::unix::fs::symlink(&looped, &looped).unwrap();
        assert!(matches!(
            read_foreign(&looped, 5),
            Err(ForeignError::Io { .. })
        ));
    }

    #[test]
    fn a_secret_that_others_can_reach_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "secret").unwrap();
        for (mode, fits) in [(0o600, true), (0o400, true), (0o604, false), (0o620, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match read_foreign_secret(&path, 10) {
                Ok(bytes) => assert!(fits && bytes == b"secret", "{mode:o}"),
                Err(error) => {
                    assert!(!fits, "{mode:o}: {error}");
                    assert!(error.to_string().contains("chmod 600"), "{error}");
                }
            }
        }
    }

    #[test]
    fn a_new_content_is_another_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cert.pem");
        assert_eq!(file_identity(&path), None);
        fs::write(&path, "one").unwrap();
        let before = file_identity(&path);
        assert!(before.is_some());
        assert_eq!(file_identity(&path), before);
        let next = folder.path().join("next.pem");
        fs::write(&next, "two").unwrap();
        fs::rename(&next, &path).unwrap();
        assert_ne!(file_identity(&path), before);
    }
}
