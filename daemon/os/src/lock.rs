//! One instance per state folder.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::{FlockOperation, OFlags};

use crate::{path_error::PathError, process::command_of};

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another instance is running{}", holder(.pid, .command))]
    Held {
        /// Its process id, if it has written it yet.
        pid: Option<u32>,
        /// Its program, where the system tells it.
        command: Option<String>,
    },
    /// The lock file can't be used.
    #[error("can't lock the state folder")]
    Unusable(#[source] PathError),
}

fn holder(pid: &Option<u32>, command: &Option<String>) -> String {
    match (pid, command) {
        (Some(pid), Some(command)) => format!(": {command}, process {pid}"),
        (Some(pid), None) => format!(": process {pid}"),
        _ => String::new(),
    }
}

/// Held as long as the value lives; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct InstanceLock {
    file: File,
    left_behind: bool,
}

impl InstanceLock {
    /// Takes the lock at the path, or says who holds it. The file stays after release.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let mut file = take(path)?;
        let left_behind = read_pid(&mut file).is_some();
        write_pid(&mut file)
            .map_err(|source| LockError::Unusable(PathError::io("write", path)(source)))?;
        Ok(Self { file, left_behind })
    }

    /// Keeps others out as long as the value lives, and leaves what the holder before has written to
    /// whoever acquires the lock next.
    pub fn borrow(path: &Path) -> Result<impl Sized + use<>, LockError> {
        take(path)
    }

    /// Whether the holder before was killed: it left its process id.
    #[must_use]
    pub const fn left_behind(&self) -> bool {
        self.left_behind
    }
}

fn take(path: &Path) -> Result<File, LockError> {
    let unusable = |action| move |source| LockError::Unusable(PathError::io(action, path)(source));
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)
        .map_err(unusable("open"))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid = read_pid(&mut file);
            return Err(LockError::Held {
                pid,
                command: pid.and_then(command_of),
            });
        }
        Err(error) => return Err(unusable("lock")(error.into())),
    }
    Ok(file)
}

impl Drop for InstanceLock {
    fn drop(&mut self) {
        // A stale id would only matter to somebody who meets the lock before its next holder has
        // written its own.
        let _ = self.file.set_len(0);
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_learns_who_the_first_is_and_gets_it_after_release() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let first = InstanceLock::acquire(&path).unwrap();
        let error = InstanceLock::acquire(&path).unwrap_err();
        let LockError::Held { pid, command } = &error else {
            panic!("{error}")
        };
        assert_eq!(*pid, Some(std::process::id()));
        if cfg!(target_os = "linux") {
            assert!(command.is_some());
        }
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(first);
        let clean = InstanceLock::acquire(&path).unwrap();
        assert!(!clean.left_behind());
        drop(clean);
        std::fs::write(&path, "4711\n").unwrap();
        let borrowed = InstanceLock::borrow(&path).unwrap();
        assert!(InstanceLock::acquire(&path).is_err());
        drop(borrowed);
        assert!(InstanceLock::acquire(&path).unwrap().left_behind());
    }
}
