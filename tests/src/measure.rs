//! What the daemon takes from the machine: what its process holds, as Linux tells it in `/proc`,
//! and what its folder takes on the disk.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Resident memory now, in bytes.
    pub resident: u64,
    /// What of it is nobody else's: without the pages of the program's file, which the system drops and
    /// brings back as it likes.
    pub own: u64,
    /// The most resident memory since its start, in bytes.
    pub peak: u64,
    /// Open descriptors; `None` when only the superuser may count them.
    pub descriptors: Option<usize>,
    /// Threads.
    pub threads: u64,
}

/// Looks at a process. `None` where there is no `/proc`.
#[must_use]
pub fn held(pid: u32) -> Option<Held> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Held {
        resident: number("VmRSS:")? * 1024,
        own: number("RssAnon:")? * 1024,
        peak: number("VmHWM:")? * 1024,
        descriptors: fs::read_dir(format!("/proc/{pid}/fd"))
            .ok()
            .map(Iterator::count),
        threads: number("Threads:")?,
    })
}

/// Processor time that the living threads of a process have used since their start. `None` where
/// Linux does not tell.
#[must_use]
pub fn processor_time(pid: u32) -> Option<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let used = tasks.flatten().map(|task| {
        // A thread may end meanwhile.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    });
    Some(used.flatten().sum())
}

/// The bytes of all files below a folder; a file that vanishes meanwhile counts nothing.
#[must_use]
pub fn on_disk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| match entry.file_type().ok()? {
            kind if kind.is_dir() => Some(on_disk(&entry.path())),
            _ => Some(entry.metadata().ok()?.len()),
        })
        .sum()
}

/// How often the threads of a process were put on a processor since their start, by the names of the
/// threads: each time one wakes is at least one. `None` where Linux does not tell.
#[must_use]
pub fn switches(pid: u32) -> Option<BTreeMap<String, u64>> {
    let mut switches = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let path = task.path();
        // A thread may end meanwhile.
        let status = fs::read_to_string(path.join("status")).unwrap_or_default();
        let fields = status.lines().filter_map(|line| line.split_once(':'));
        let counted = fields.filter(|(name, _)| name.ends_with("_ctxt_switches"));
        let counted = counted.filter_map(|(_, number)| number.trim().parse::<u64>().ok());
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let name = format!("{} ({})", name.trim(), task.file_name().display());
        switches.insert(name, counted.sum());
    }
    Some(switches)
}
