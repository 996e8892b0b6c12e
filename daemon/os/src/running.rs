//! The processes that run now, as `/proc` tells them. Nobody is asked to hold still: what ends
//! meanwhile is left out.
//!
//! macOS: none are told.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use crate::attribution::{Unit, cgroup};

/// More processes than a machine has by far.
const MOST: usize = 1 << 16;
/// A command line or an environment may be megabytes; a key stands at no such place.
const LONGEST: u64 = 256 << 10;

/// A process.
#[derive(Clone)]
pub struct Running {
    /// Its number.
    pub pid: u32,
    /// Who started it.
    pub parent: u32,
    /// Whose rights it has.
    pub uid: u32,
    /// Its arguments as it shows them. They may hold secrets.
    pub arguments: Vec<String>,
    /// When it was started, in seconds since 1970.
    pub started: Option<i64>,
    /// What it runs in.
    pub owner: Owner,
    /// Its current folder, where the system shows it.
    pub folder: Option<PathBuf>,
}

/// What a process runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The systemd unit.
    pub unit: Option<Unit>,
    /// The container or machine.
    pub container: Option<String>,
}

/// Arguments may be secrets.
impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("pid", &self.pid)
            .field("uid", &self.uid)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// All processes below `proc`, which is `/proc`, that have a command line.
pub fn running(proc: &Path) -> std::io::Result<Vec<Running>> {
    let boot = boot_time(proc);
    let pids = fs::read_dir(proc)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut pids: Vec<u32> = pids.take(MOST).collect();
    pids.sort_unstable();
    Ok(pids.iter().filter_map(|pid| of(proc, *pid, boot)).collect())
}

/// The variables that a process was started with, each with a NUL behind it, where the system shows
/// them. They may be secrets: the caller wipes them.
#[must_use]
pub fn initial_environment(proc: &Path, pid: u32) -> Option<Vec<u8>> {
    read(&proc.join(pid.to_string()).join("environ"))
}

/// The user id that a process acts as.
#[must_use]
pub fn user_of(proc: &Path, pid: u32) -> Option<u32> {
    let status = read(&proc.join(pid.to_string()).join("status"))?;
    String::from_utf8_lossy(&status)
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn of(proc: &Path, pid: u32, boot: Option<i64>) -> Option<Running> {
    let folder = proc.join(pid.to_string());
    let line = read(&folder.join("cmdline"))?;
    // Threads of the kernel have none.
    let arguments: Vec<String> = line
        .strip_suffix(b"\0")
        .unwrap_or(&line)
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    if line.is_empty() {
        return None;
    }
    let uid = user_of(proc, pid)?;
    let stat = String::from_utf8_lossy(&read(&folder.join("stat"))?).into_owned();
    // The name in between may hold anything, closing brackets and blanks too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let started = fields.get(19).and_then(|ticks| ticks.parse::<i64>().ok());
    let groups = read(&folder.join("cgroup")).unwrap_or_default();
    let place = cgroup::place(&String::from_utf8_lossy(&groups));
    Some(Running {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        uid,
        arguments,
        started: started
            .zip(boot)
            .map(|(ticks, boot)| boot + ticks / ticks_per_second()),
        owner: Owner {
            unit: place.unit,
            container: place.container,
        },
        folder: fs::read_link(folder.join("cwd")).ok(),
    })
}

#[cfg(target_os = "linux")]
fn ticks_per_second() -> i64 {
    i64::try_from(rustix::param::clock_ticks_per_second()).map_or(100, |ticks| ticks.max(1))
}

#[cfg(not(target_os = "linux"))]
fn ticks_per_second() -> i64 {
    100
}

fn boot_time(proc: &Path) -> Option<i64> {
    let stat = read(&proc.join("stat"))?;
    let stat = String::from_utf8_lossy(&stat);
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    // In one piece, so that no copy of a secret is left behind.
    let mut bytes = Vec::with_capacity(usize::try_from(LONGEST).ok()?);
    fs::File::open(path)
        .ok()?
        .take(LONGEST)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_told_with_what_it_was_started_with() {
        let own = running(Path::new("/proc"))
            .unwrap()
            .into_iter()
            .find(|process| process.pid == std::process::id())
            .unwrap();
        assert_eq!(own.uid, crate::effective_uid());
        assert_eq!(own.arguments, std::env::args().collect::<Vec<_>>());
        assert_eq!(own.folder, std::env::current_dir().ok());
        assert!(initial_environment(Path::new("/proc"), own.pid).is_some());
        let started = own.started.unwrap();
        let boot = boot_time(Path::new("/proc")).unwrap();
        assert!(started >= boot, "{started} {boot}");
        assert!(
            !format!("{own:?}").contains("running"),
            "arguments are not shown"
        );
    }

    #[test]
    fn threads_of_the_kernel_and_what_ended_are_left_out() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, line) in [("1", "a\0b\0"), ("2", ""), ("3", "a\0")] {
            let folder = proc.path().join(pid);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("cmdline"), line).unwrap();
            if pid != "3" {
                fs::write(folder.join("status"), "Name:\tx\nUid:\t7\t8\t7\t7\n").unwrap();
                fs::write(
                    folder.join("stat"),
                    format!("{pid} (x) y) S 5 {}", "0 ".repeat(30)),
                )
                .unwrap();
            }
        }
        fs::write(proc.path().join("stat"), "cpu 1\nbtime 1000\n").unwrap();
        let found = running(proc.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].uid, found[0].parent, found[0].started),
            (8, 5, Some(1000))
        );
        assert_eq!(found[0].arguments, ["a", "b"]);
    }
}
