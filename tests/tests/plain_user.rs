//! The daemon as a plain user's, without the rights of root that the other tests may have.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, and why it is skipped on its standard error"
)]

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::ExitStatusExt,
    },
    path::Path,
    process::Command,
};

use bascule_tests::{Home, cli::CONFIGURATION, process::Process, tools, wait};
use rustix::process::{Pid, Signal, kill_process};

const NOBODY: u32 = 65_534;

/// A home of nobody's, with the daemon's program in it.
struct Plain(Home);

impl Plain {
    /// `None` where this is not root, who alone can be somebody else.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: this is not root");
            return None;
        }
        let home = Home::new();
        chown(home.root(), Some(NOBODY), Some(NOBODY)).unwrap();
        for part in ["home", "tmp", "work"] {
            chown(home.path(part), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let program = home.path("work/basculed");
        fs::copy(tools::program("basculed"), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        Some(Self(home))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.command(Path::new("setpriv"));
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.args(arguments);
        command
    }

    /// The daemon with its state in a folder, and no limit on cores but its own.
    fn daemon(&self, state: &Path) -> Process {
        let mut command = self.command(&["sh", "-c", "ulimit -c unlimited; exec \"$@\"", "sh"]);
        command.arg(self.0.path("work/basculed"));
        command.arg("--state-dir").arg(state);
        command.arg("--runtime-dir").arg(self.0.runtime());
        command.arg("--sweep-root").arg(self.0.path("home"));
        command.args(["--gateway", "127.0.0.1:0"]);
        Process::start(command, &self.0.path("daemon.log"))
    }

    fn can(&self, script: &str) -> bool {
        self.command(&["sh", "-c", script])
            .output()
            .unwrap()
            .status
            .success()
    }
}

fn wait_until_ready(daemon: &mut Process) {
    wait::until("the daemon to be ready", || {
        assert!(daemon.ended().is_none(), "{}", daemon.output());
        daemon.output().contains("ready").then_some(())
    });
}

#[test]
fn d11_no_process_of_the_same_user_reads_the_daemon_and_no_abort_leaves_a_core() {
    let Some(plain) = Plain::new() else { return };
    let mut daemon = plain.daemon(&plain.0.state());
    wait_until_ready(&mut daemon);
    let other = Process::start(plain.command(&["sleep", "600"]), &plain.0.path("sleep.log"));
    for part in ["environ", "maps", "mem", "auxv"] {
        let opens = |pid: u32| plain.can(&format!("exec 3</proc/{pid}/{part}"));
        wait::until("what is not hardened to be readable", || {
            opens(other.pid()).then_some(())
        });
        assert!(!opens(daemon.pid()), "{part} can be read");
    }

    let pid = Pid::from_raw(daemon.pid().cast_signed()).unwrap();
    kill_process(pid, Signal::ABORT).unwrap();
    let status = daemon.wait("the daemon to abort");
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
    assert!(!status.core_dumped(), "{status}");
}

/// The folder is missing and can't be made, can't be written to, or is no folder: the daemon says
/// which, and ends before anything listens.
#[test]
fn g6_without_a_folder_to_write_to_the_daemon_says_so_and_serves_nothing() {
    let Some(plain) = Plain::new() else { return };
    let home = &plain.0;
    let refused = |state: &Path, runs_into: &Path, code: i32| {
        let mut daemon = plain.daemon(state);
        let status = daemon.wait("the daemon to refuse");
        assert_eq!(status.code(), Some(code), "{}", daemon.output());
        let said = daemon.output();
        assert!(said.contains(runs_into.to_str().unwrap()), "{said}");
        assert!(!said.contains("ready"), "{said}");
        assert!(!home.runtime().join("bascule.sock").exists());
        let log = home.path("daemon.log");
        fs::remove_file(log).unwrap();
    };
    // Nobody may make a folder in one of root's.
    let roots = home.path("roots");
    fs::create_dir(&roots).unwrap();
    refused(&roots.join("state"), &roots.join("state"), CONFIGURATION);
    assert!(!roots.join("state").exists());
    // A file stands where the folder should be.
    let file = home.path("work/file");
    fs::write(&file, "mine").unwrap();
    refused(&file, &file, CONFIGURATION);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
    // A store that was good can't be written to any more.
    let state = home.state();
    let mut daemon = plain.daemon(&state);
    wait_until_ready(&mut daemon);
    daemon.terminate();
    daemon.wait("the daemon to end");
    fs::remove_file(home.path("daemon.log")).unwrap();
    let store = state.join("store.redb");
    let before = fs::read(&store).unwrap();
    fs::set_permissions(&store, Permissions::from_mode(0o400)).unwrap();
    refused(&state, &store, 1);
    assert!(fs::read(&store).unwrap() == before, "it was changed");
    fs::set_permissions(&store, Permissions::from_mode(0o600)).unwrap();
    wait_until_ready(&mut plain.daemon(&state));
}
