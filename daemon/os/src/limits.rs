//! What this machine leaves to us: room on a file system, memory that may be locked, watches.

use std::{io, path::Path};

use rustix::process::Resource;

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What this user may still write.
    pub free: u64,
    /// All of it.
    pub whole: u64,
}

/// The room on the file system that the path is on.
pub fn space(path: &Path) -> io::Result<Space> {
    let figures = rustix::fs::statvfs(path)?;
    Ok(Space {
        free: figures.f_bavail.saturating_mul(figures.f_frsize),
        whole: figures.f_blocks.saturating_mul(figures.f_frsize),
    })
}

/// How memory is kept from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryGuard {
    /// No crash writes it to the disk.
    pub no_core_dumps: bool,
    /// No other process of the user may read it. `None` where that can't be asked.
    pub unreadable: Option<bool>,
    /// How many bytes may be locked; `None`: as many as there are.
    pub lockable: Option<u64>,
    /// Whether memory can be written to a swap area on a disk. `None` where that is not told.
    pub swaps: Option<bool>,
}

/// How this process's memory is kept from others.
#[must_use]
pub fn memory_guard() -> MemoryGuard {
    #[cfg(target_os = "linux")]
    let unreadable = rustix::process::dumpable_behavior()
        .ok()
        .map(|how| how == rustix::process::DumpableBehavior::NotDumpable);
    #[cfg(not(target_os = "linux"))]
    let unreadable = None;
    MemoryGuard {
        no_core_dumps: rustix::process::getrlimit(Resource::Core).current == Some(0),
        unreadable,
        lockable: rustix::process::getrlimit(Resource::Memlock).current,
        swaps: std::fs::read_to_string("/proc/swaps")
            .ok()
            .map(|table| swaps_to_disk(&table)),
    }
}

/// A swap area that is compressed memory is no disk.
fn swaps_to_disk(table: &str) -> bool {
    let mut areas = table.lines().skip(1).filter(|line| !line.trim().is_empty());
    areas.any(|line| !line.starts_with("/dev/zram"))
}

/// Folders and files that this process is told the changes of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watches {
    /// This process's.
    pub used: u64,
    /// What all processes of the user may have together.
    pub allowed: u64,
}

/// How many watches this process has. `None` where the system does not tell.
#[must_use]
pub fn watches() -> Option<Watches> {
    let allowed = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?;
    let mut used = 0;
    for entry in std::fs::read_dir("/proc/self/fdinfo").ok()?.flatten() {
        // One that was closed meanwhile has none.
        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
        used += text
            .lines()
            .filter(|line| line.starts_with("inotify wd:"))
            .count() as u64;
    }
    Some(Watches {
        used,
        allowed: allowed.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_folder_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let space = space(temp.path()).unwrap();
        assert!(space.free <= space.whole && space.whole > 0);
        assert!(super::space(&temp.path().join("nowhere")).is_err());
    }

    #[test]
    fn compressed_memory_is_no_swap_on_a_disk() {
        let head = "Filename\tType\tSize\tUsed\tPriority\n";
        assert!(!swaps_to_disk(head));
        assert!(!swaps_to_disk(&format!(
            "{head}/dev/zram0 partition 1 0 100\n"
        )));
        assert!(swaps_to_disk(&format!("{head}/swap.img file 1 0 -2\n")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn watches_are_counted() {
        let temp = tempfile::tempdir().unwrap();
        let before = watches().unwrap();
        let inotify = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::empty()).unwrap();
        let flags = rustix::fs::inotify::WatchFlags::MODIFY;
        rustix::fs::inotify::add_watch(&inotify, temp.path(), flags).unwrap();
        let after = watches().unwrap();
        assert!(after.used > before.used.saturating_sub(1) && after.used > 0);
        assert!(after.allowed > 0);
    }
}
