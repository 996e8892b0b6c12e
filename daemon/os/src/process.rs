//! The process itself.

use rustix::process::{Resource, Rlimit, Signal};

/// What of the hardening failed.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// A crash could still write memory to disk.
    #[error("can't turn core dumps off")]
    CoreDumps(#[source] std::io::Error),
    /// Another process of the same user could still read our memory.
    #[error("can't forbid other processes to read this one's memory")]
    Dumpable(#[source] std::io::Error),
}

/// Keeps secrets in memory from core dumps and, on Linux, from other processes of the same user
/// (threats.md D11).
///
/// macOS: only core dumps are turned off. `PT_DENY_ATTACH` has no safe binding and is lifted by any
/// debugger that runs as root; the hardened runtime of a signed build is what refuses to be traced.
pub fn harden_process() -> Result<(), HardenError> {
    rustix::process::setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
    .map_err(|error| HardenError::CoreDumps(error.into()))?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(|error| HardenError::Dumpable(error.into()))?;
    Ok(())
}

/// Raises the limit on open files as far as this user may, and returns it.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    let now = rustix::process::getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    let limit = match rustix::process::setrlimit(Resource::Nofile, wanted) {
        Ok(()) => now.maximum,
        // macOS refuses "unlimited" here; what was allowed before still is.
        Err(_) => now.current,
    };
    limit.unwrap_or(u64::MAX)
}

/// Whether standard error is the journal's stream that `JOURNAL_STREAM` names: the variable is
/// inherited, so its presence alone proves nothing (systemd.exec(5)).
#[must_use]
pub fn stderr_is_the_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| named == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Lets the calling thread run and read only when nobody else wants to, for as long as it lives.
///
/// macOS: the thread is left as it is.
pub fn idle_priority() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    idle_priority_of_this_thread()?;
    Ok(())
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "there are no safe calls for this")]
fn idle_priority_of_this_thread() -> std::io::Result<()> {
    // `IOPRIO_WHO_PROCESS`, which means a thread, and `IOPRIO_CLASS_IDLE`: ioprio_set(2).
    const WHO: libc::c_int = 1;
    const IDLE: libc::c_int = 3 << 13;
    // SAFETY: zero means the calling thread in both calls; the parameter lives through the first
    // and is only read; the second has no pointers.
    let refused = unsafe {
        let parameter: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) != 0
            || libc::syscall(libc::SYS_ioprio_set, WHO, 0, IDLE) != 0
    };
    if refused {
        Err(std::io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Whose rights this process has.
#[must_use]
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether this process may run the file as a program.
#[must_use]
pub fn may_execute(file: &std::path::Path) -> bool {
    rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

/// What this machine calls itself.
#[must_use]
pub fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// Ends a program that we started as the leader of a process group, with all that it started there.
/// The caller must not have waited for its end: its id could be another's by then.
pub fn kill_group(leader: u32) {
    let leader = i32::try_from(leader).ok();
    if let Some(leader) = leader.and_then(rustix::process::Pid::from_raw) {
        // One that has ended by itself needs none.
        let _ = rustix::process::kill_process_group(leader, Signal::KILL);
    }
}

/// Ends this process as `kill -9` does: nothing is dropped, flushed or reported. For tests of what
/// a crash leaves behind.
pub fn kill_self() -> ! {
    // Whatever hinders the signal, the caller must not go on.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    std::process::abort()
}

/// The program's name, without arguments: those may hold secrets. `None` where the system does not
/// tell.
#[must_use]
pub fn command_of(pid: u32) -> Option<String> {
    if cfg!(target_os = "linux") {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(
            name.trim_end()
                .chars()
                .filter(|c| !c.is_control())
                .collect(),
        )
    } else {
        None
    }
}

/// The process that started this one, if that still runs.
///
/// macOS: not told.
#[must_use]
pub fn parent_of(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// When a process was started, in the system's own ticks, if it still runs: together with its number that
/// tells it from every other one until the next boot.
///
/// macOS: not told.
#[must_use]
pub fn started_at(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    // proc(5): one that has ended, and that nobody has asked about yet.
    let ended = matches!(fields.first()?.as_str(), "Z" | "X");
    let started = fields.get(19)?.parse().ok()?;
    (!ended).then_some(started)
}

/// What `/proc` tells of a process behind its name, from its state on.
fn stat(pid: u32) -> Option<Vec<String>> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in between may hold anything, closing brackets and blanks too.
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_made_idle_leaves_the_others_as_they_are() {
        // proc(5): the 41st field is the scheduling policy; 5 is SCHED_IDLE.
        let policy = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, rest) = stat.rsplit_once(')').unwrap();
            rest.split_whitespace().nth(38).unwrap().to_owned()
        };
        let before = policy();
        let idle = std::thread::spawn(move || {
            idle_priority().unwrap();
            policy()
        });
        assert_eq!(idle.join().unwrap(), "5");
        assert_eq!(policy(), before);
    }

    #[test]
    fn this_process_and_its_parent_are_named() {
        let own = std::process::id();
        assert!(command_of(own).is_some_and(|name| !name.is_empty()));
        let parent = parent_of(own).unwrap();
        assert_eq!(
            parent,
            rustix::process::getppid().unwrap().as_raw_nonzero().get() as u32
        );
        assert!(command_of(parent).is_some());
        assert_eq!(parent_of(u32::MAX), None);
    }
}
