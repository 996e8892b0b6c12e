//! Private files: written whole or not at all, read only if nobody else can reach them, and
//! destroyed as well as a file system lets one.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    folder::sync_dir,
    path_error::{PathError, check_private_of},
};

const FILE_MODE: u32 = 0o600;

pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// The name under which the new content stands until it is complete: `NAME.new`.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".new");
    name.into()
}

/// Creates a file that must not exist yet, with mode 0600 whatever the umask is.
pub fn create_private_file(path: &Path) -> Result<File, PathError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(path)
        .map_err(PathError::io("create", path))?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))
        .map_err(PathError::io("set the mode of", path))?;
    Ok(file)
}

/// Replaces the file's content: after a crash it is the old one or the new one, never a mix. Its
/// mode is 0600 whatever the umask is. On success it is durable.
///
/// The content stands in `NAME.new` until it is complete; one that a crash left there is destroyed
/// first. Two callers must not write the same file at once: one of them fails.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), PathError> {
    let new = unfinished(path);
    destroy_file(&new)?;
    let mut file = create_private_file(&new)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // The first failure is the one to report.
        let _ = destroy_file(&new);
        return Err(PathError::io("write", path)(error));
    }
    replace_file(&new, path)
}

/// Renames a file over another in the same folder, durably.
pub fn replace_file(from: &Path, to: &Path) -> Result<(), PathError> {
    fs::rename(from, to).map_err(PathError::io("rename a file to", to))?;
    sync_dir(folder_of(to))
}

fn open_checked(path: &Path, owner: u32) -> Result<(File, fs::Metadata), PathError> {
    let file = OpenOptions::new()
        .read(true)
        // Without blocking, because the path may name a pipe.
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path)
        .map_err(|error| link_or("open", path, error))?;
    let metadata = file.metadata().map_err(PathError::io("examine", path))?;
    if !metadata.is_file() {
        return Err(PathError::NotAFile {
            path: path.to_owned(),
        });
    }
    check_private_of(owner, path, &metadata, FILE_MODE)?;
    Ok((file, metadata))
}

fn link_or(action: &'static str, path: &Path, error: io::Error) -> PathError {
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        PathError::Symlink {
            path: path.to_owned(),
        }
    } else if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) {
        // A socket, or a pipe that nobody reads.
        PathError::NotAFile {
            path: path.to_owned(),
        }
    } else {
        PathError::io(action, path)(error)
    }
}

/// Opens for reading a file that only we can reach; refuses as [`read_private`] does.
pub fn open_private_file(path: &Path) -> Result<File, PathError> {
    open_checked(path, crate::effective_uid()).map(|(file, _)| file)
}

/// Checks that the file is a regular one, ours, and closed to others; returns its length.
pub fn check_private_file(path: &Path) -> Result<u64, PathError> {
    open_checked(path, crate::effective_uid()).map(|(_, metadata)| metadata.len())
}

/// Reads a whole file that only we can reach, of `limit` bytes at most. A symbolic link, anything
/// but a regular file, another owner and a mode wider than 0600 are refused.
pub fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, PathError> {
    read_private_of(crate::effective_uid(), path, limit)
}

/// As [`read_private`], of a file that only this other user can reach: what root reads for a service.
pub fn read_private_of(owner: u32, path: &Path, limit: u64) -> Result<Vec<u8>, PathError> {
    let (file, metadata) = open_checked(path, owner)?;
    let too_large = || PathError::TooLarge {
        path: path.to_owned(),
        limit,
    };
    if metadata.len() > limit {
        return Err(too_large());
    }
    // One allocation, so that no copy of a secret is left behind by growing.
    let capacity = usize::try_from(limit.saturating_add(1)).map_err(|_| too_large())?;
    let wanted = usize::try_from(metadata.len())
        .map_err(|_| too_large())?
        .saturating_add(1);
    let mut bytes = Vec::with_capacity(wanted.min(capacity));
    file.take(wanted as u64)
        .read_to_end(&mut bytes)
        .map_err(PathError::io("read", path))?;
    if bytes.len() as u64 > metadata.len() {
        return Err(PathError::io("read", path)(io::Error::other(
            "it grew while it was read",
        )));
    }
    Ok(bytes)
}

/// Overwrites the file, then removes it, durably at each step. A file that is not there is
/// destroyed already, so the call can be repeated after a crash.
///
/// On SSDs and on file systems that write elsewhere the old blocks may survive.
pub fn destroy_file(path: &Path) -> Result<(), PathError> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return sync_removal(path),
        Err(error) => return Err(link_or("open", path, error)),
    };
    let metadata = file.metadata().map_err(PathError::io("examine", path))?;
    if !metadata.is_file() {
        return Err(PathError::NotAFile {
            path: path.to_owned(),
        });
    }
    overwrite(&mut file, metadata.len()).map_err(PathError::io("overwrite", path))?;
    drop(file);
    remove_file(path)
}

fn overwrite(file: &mut File, len: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut io::repeat(0).take(len), file)?;
    file.sync_all()
}

/// Removes a file, durably; one that is not there is removed already.
pub fn remove_file(path: &Path) -> Result<(), PathError> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(folder_of(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => sync_removal(path),
        Err(error) => Err(PathError::io("remove", path)(error)),
    }
}

/// A crash may have come between the removal and its becoming durable.
fn sync_removal(path: &Path) -> Result<(), PathError> {
    match sync_dir(folder_of(path)) {
        Err(error) if error.is_absent() => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::{
            fs::{MetadataExt, symlink},
            net::UnixListener,
        },
        time::Duration,
    };

    use super::*;

    #[test]
    fn what_is_written_reads_back_and_replaces_what_was_there() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two!").unwrap();
        assert_eq!(read_private(&path, 4).unwrap(), b"two!");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(
            fs::read_dir(temp.path()).unwrap().count(),
            1,
            "nothing unfinished stays"
        );
    }

    #[test]
    fn an_unfinished_write_of_before_a_crash_is_no_obstacle() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        fs::write(temp.path().join("file.new"), "half").unwrap();
        write_private(&path, b"whole").unwrap();
        assert_eq!(read_private(&path, 100).unwrap(), b"whole");
        assert!(!temp.path().join("file.new").exists());
    }

    #[test]
    fn files_that_others_can_reach_or_that_are_no_files_are_not_read() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        write_private(&path, b"content").unwrap();
        assert!(matches!(
            read_private(&path, 6),
            Err(PathError::TooLarge { limit: 6, .. })
        ));

        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let error = read_private(&path, 100).unwrap_err();
        assert!(
            matches!(error, PathError::TooOpen { mode: 0o640, .. }),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains(&format!("chmod 600 {}", path.display())),
            "{error}"
        );

        let link = temp.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(
            read_private(&link, 100),
            Err(PathError::Symlink { .. })
        ));
        assert!(matches!(
            read_private(temp.path(), 100),
            Err(PathError::NotAFile { .. })
        ));
        assert!(
            read_private(&temp.path().join("absent"), 100)
                .unwrap_err()
                .is_absent()
        );
    }

    #[test]
    fn a_pipe_or_a_socket_is_refused_without_waiting_for_its_other_end() {
        let temp = tempfile::tempdir().unwrap();
        let pipe = temp.path().join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg("-m600")
            .arg(&pipe)
            .status()
            .unwrap();
        assert!(made.success());
        let socket = temp.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();

        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for path in [&pipe, &socket] {
                sender.send(read_private(path, 10).map(|_| ())).unwrap();
                sender.send(destroy_file(path)).unwrap();
            }
        });
        for _ in 0..4 {
            let result = receiver
                .recv_timeout(Duration::from_secs(30))
                .expect("it blocks");
            assert!(
                matches!(result, Err(PathError::NotAFile { .. })),
                "{result:?}"
            );
        }
    }

    #[test]
    fn a_destroyed_file_is_overwritten_before_it_is_removed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("key");
        write_private(&path, &[7; 5000]).unwrap();
        let witness = temp.path().join("witness");
        fs::hard_link(&path, &witness).unwrap();

        destroy_file(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read(&witness).unwrap(), [0; 5000]);
        destroy_file(&path).unwrap();
        destroy_file(&temp.path().join("no/such/folder")).unwrap();
    }

    #[test]
    fn a_symbolic_link_is_not_followed_to_destroy_its_target() {
        let temp = tempfile::tempdir().unwrap();
        let target = temp.path().join("target");
        fs::write(&target, "mine").unwrap();
        let link = temp.path().join("link");
        symlink(&target, &link).unwrap();
        assert!(matches!(
            destroy_file(&link),
            Err(PathError::Symlink { .. })
        ));
        assert_eq!(fs::read(&target).unwrap(), b"mine");
    }
}
