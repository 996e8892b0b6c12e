//! The real daemon on a home: started, killed, stopped and started again on the same state.

use std::{
    ffi::OsString,
    path::Path,
    process::{Command, ExitStatus},
};

use serde_json::Value;

use crate::{
    cli::Cli,
    home::Home,
    port::Port,
    process::{Process, was_killed},
    tools, wait,
};

/// A running `basculed`. It is killed on drop, and its log is shown when the test has failed.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    /// Such as `http://127.0.0.1:8642`.
    pub gateway: String,
    /// The gateway's port once the process has ended, so that it is there when it starts again.
    held: Option<Port>,
}

/// How to start one.
#[derive(Debug, Default, Clone)]
pub struct Start {
    environment: Vec<(String, String)>,
    arguments: Vec<OsString>,
    gateway: Option<String>,
    files: Option<u32>,
    watches: Option<u32>,
}

impl Start {
    /// With defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The daemon kills itself once, right before or right after a journal write: `before:PHASE`
    /// or `after:PHASE`.
    #[must_use]
    pub fn crash(self, point: &str) -> Self {
        self.env("BASCULED_CRASH", point)
    }

    /// One more variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Asks for this address instead of a free port.
    #[must_use]
    pub fn gateway(mut self, address: &str) -> Self {
        self.gateway = Some(address.to_owned());
        self
    }

    /// It may open so many files and no more.
    #[must_use]
    pub fn limit_files(mut self, files: u32) -> Self {
        self.files = Some(files);
        self
    }

    /// It may watch so many folders and no more: it runs in a user namespace of its own, which has a
    /// limit of its own.
    #[must_use]
    pub fn limit_watches(mut self, watches: u32) -> Self {
        self.watches = Some(watches);
        self
    }

    fn command(&self, home: &Home) -> Command {
        let program = tools::program("basculed");
        let (start, limit) = match (self.files, self.watches) {
            (None, None) => return home.command(&program),
            (Some(files), _) => ("ulimit -n \"$0\" && exec \"$@\"", files),
            (None, Some(watches)) => (
                "exec unshare --user --map-current-user --keep-caps sh -c 'echo \"$0\" >/proc/sys/user/max_inotify_watches && exec \"$@\"' \"$0\" \"$@\"",
                watches,
            ),
        };
        let mut command = home.command(Path::new("/bin/sh"));
        command
            .args(["-c", start])
            .arg(limit.to_string())
            .arg(program);
        command
    }

    /// Starts it without waiting for anything.
    #[must_use]
    pub fn spawn(&self, home: &Home) -> Process {
        let mut command = self.command(home);
        command
            .arg("--state-dir")
            .arg(home.state())
            .arg("--runtime-dir")
            .arg(home.runtime())
            // Never the machine that the test runs on.
            .arg("--sweep-root")
            .arg(home.path("home"))
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .arg("--gateway")
            .arg(self.gateway.as_deref().unwrap_or("127.0.0.1:0"));
        Process::start(command, &home.path("daemon.log"))
    }

    /// Starts it and waits until it answers.
    #[must_use]
    pub fn run(&self, home: &Home) -> Daemon {
        let mut process = self.spawn(home);
        let status = wait::until("the daemon to answer", || {
            if let Some(status) = process.ended() {
                panic!("the daemon ended with {status}:\n{}", process.output());
            }
            let answer = Cli::new(home).run(&["status"]);
            // Its document names the process that answered: not one that is still going.
            (answer.code == Some(0) && answer.json["pid"] == process.pid()).then_some(answer.json)
        });
        let gateway = gateway_of(&status);
        Daemon {
            process,
            gateway,
            held: None,
        }
    }
}

fn gateway_of(status: &Value) -> String {
    status["gateways"][0]
        .as_str()
        .unwrap_or_else(|| panic!("no gateway in {status}"))
        .to_owned()
}

impl Daemon {
    /// Starts one on a free port and waits until it answers.
    #[must_use]
    pub fn start(home: &Home) -> Self {
        Start::new().run(home)
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The address of the gateway without its scheme.
    #[must_use]
    pub fn gateway_address(&self) -> &str {
        self.gateway.trim_start_matches("http://")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.process.kill();
        self.hold_port();
    }

    fn hold_port(&mut self) {
        let address = self.gateway_address().parse();
        self.held = address.ok().and_then(|address| Port::at(address).ok());
    }

    /// SIGSTOP: it does nothing until [`Self::resume`].
    pub fn suspend(&self) {
        self.process.suspend();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.process.terminate();
        let status = self.process.wait("the daemon to end after SIGTERM");
        self.hold_port();
        status
    }

    /// Waits for the end, however it comes.
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.process.wait("the daemon to end");
        self.hold_port();
        status
    }

    /// Waits until the daemon has killed itself.
    pub fn wait_for_crash(&mut self) {
        let status = self.process.wait("the daemon to kill itself");
        self.hold_port();
        assert!(
            was_killed(status),
            "the daemon ended with {status}, not by SIGKILL"
        );
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Starts it again on the same state and the same port. It must have ended.
    pub fn restart(&mut self, home: &Home) {
        self.restart_as(home, &Start::new());
    }

    /// Starts it again on the same state and the same port, in another way.
    pub fn restart_as(&mut self, home: &Home, start: &Start) {
        assert!(!self.runs(), "the daemon still runs");
        let next = start.clone().gateway(self.gateway_address()).run(home);
        *self = next;
    }

    /// What it has logged since the home was made.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.output()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(8_000).map_or(0, |(at, _)| at);
            eprintln!("--- the daemon's log ---\n{}", &log[from..]);
        }
    }
}
