//! Child processes that never outlive the value that stands for them: each is the leader of a
//! process group, which is killed on drop.

use std::{
    fs::File,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// A running program, with its output in a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it in a process group of its own; output is appended to `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(log)
                .expect("a log file")
        };
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends SIGTERM to the program itself.
    pub fn terminate(&self) {
        let _ = kill_process(self.id(), Signal::TERM);
    }

    /// Sends SIGINT to the program itself, as Ctrl-C does.
    pub fn interrupt(&self) {
        let _ = kill_process(self.id(), Signal::INT);
    }

    /// Stops it from running, until [`resume`](Self::resume).
    pub fn suspend(&self) {
        let _ = kill_process(self.id(), Signal::STOP);
    }

    /// Lets it run again.
    pub fn resume(&self) {
        let _ = kill_process(self.id(), Signal::CONT);
    }

    /// Sends SIGKILL to the whole group and waits.
    pub fn kill(&mut self) -> ExitStatus {
        let _ = kill_process_group(self.id(), Signal::KILL);
        self.child.wait().expect("a child that was started")
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child that was started")
    }

    /// Waits for its end.
    pub fn wait(&mut self, what: &str) -> ExitStatus {
        crate::wait::until(what, || self.ended())
    }

    /// What it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.kill();
        }
    }
}

/// Whether the process was ended by SIGKILL.
#[must_use]
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}
