//! Other programs' files: read with a bound, without ever waiting for whoever holds them.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{fs::OFlags, io::Errno};
use zeroize::Zeroizing;

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
    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        // A socket or a device without a driver.
        let special = [Errno::NXIO, Errno::OPNOTSUPP].map(|errno| Some(errno.raw_os_error()));
        if special.contains(&source.raw_os_error()) {
            Self::NotAFile { path }
        } else {
            Self::Io { path, source }
        }
    }

    /// Which path it is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::NotAFile { path }
            | Self::TooLarge { path, .. }
            | Self::TooOpen { path, .. }
            | Self::Io { path, .. } => path,
        }
    }

    /// Whether there is nothing at the path, nor can be: a folder of it is a file.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        const ABSENT: [io::ErrorKind; 2] = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        matches!(self, Self::Io { source, .. } if ABSENT.contains(&source.kind()))
    }
}

/// Reads a whole regular file of `limit` bytes at most, whoever owns it. Symbolic links are
/// followed, since people link their configuration. Opening never blocks: the path may name a
/// pipe (threats.md F1, F2). No copy of a secret is left behind, and what is returned takes hardly more
/// memory than the file: whoever wipes it wipes all of that.
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

fn open_checked(
    path: &Path,
    check: impl FnOnce(&Metadata) -> Result<(), ForeignError>,
) -> Result<(File, Metadata), ForeignError> {
    let failed = |source| ForeignError::of(path, source);
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
    Ok((file, metadata))
}

fn read_checked(
    path: &Path,
    limit: u64,
    check: impl FnOnce(&Metadata) -> Result<(), ForeignError>,
) -> Result<Vec<u8>, ForeignError> {
    let failed = |source| ForeignError::of(path, source);
    let (file, metadata) = open_checked(path, check)?;
    let too_large = || ForeignError::TooLarge {
        path: path.to_owned(),
        limit,
    };
    if metadata.len() > limit {
        return Err(too_large());
    }
    let whole = usize::try_from(limit).map_err(|_| too_large())?;
    let said = usize::try_from(metadata.len()).map_err(|_| too_large())?;
    // One byte more than the file says to have shows whether that is true.
    let bytes = read_start(&file, said.saturating_add(1)).map_err(failed)?;
    if bytes.len() <= said {
        return Ok(bytes);
    }
    // It grew, or it is one of /proc, which all say that they are empty.
    drop(Zeroizing::new(bytes));
    let bytes = read_start(&file, whole.saturating_add(1)).map_err(failed)?;
    if bytes.len() <= whole {
        Ok(bytes)
    } else {
        drop(Zeroizing::new(bytes));
        Err(too_large())
    }
}

/// Whether a regular file begins with these bytes, without reading more of it.
pub fn foreign_begins_with(path: &Path, start: &[u8]) -> Result<bool, ForeignError> {
    let (file, _) = open_checked(path, |_| Ok(()))?;
    let read = read_start(&file, start.len());
    read.map(|bytes| bytes == start)
        .map_err(|source| ForeignError::of(path, source))
}

/// Reads from the beginning into one allocation of that many bytes.
fn read_start(file: &File, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
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
    fn what_is_read_takes_no_more_memory_than_the_file_unless_that_says_less_than_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conf");
        fs::write(&path, "12345").unwrap();
        assert!(read_foreign(&path, 1 << 20).unwrap().capacity() < 64);
        // Files of /proc say that they are empty.
        if let Ok(told) = fs::read("/proc/self/cmdline") {
            let read = read_foreign(Path::new("/proc/self/cmdline"), 1 << 20).unwrap();
            assert_eq!(read, told);
            assert!(matches!(
                read_foreign(Path::new("/proc/self/cmdline"), 3),
                Err(ForeignError::TooLarge { .. })
            ));
        }
    }

    #[test]
    fn only_the_beginning_of_a_file_is_looked_at_for_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        assert!(foreign_begins_with(&path, b"#!").unwrap());
        fs::write(&path, "#").unwrap();
        assert!(!foreign_begins_with(&path, b"#!").unwrap());
        let folder = foreign_begins_with(folder.path(), b"#!");
        assert!(matches!(folder, Err(ForeignError::NotAFile { .. })));
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
        fs::write(folder.path().join("file"), "").unwrap();
        for nothing in ["nothing", "file/below"] {
            let error = read_foreign(&folder.path().join(nothing), 5).unwrap_err();
            assert!(error.is_absent(), "{nothing}");
        }
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
