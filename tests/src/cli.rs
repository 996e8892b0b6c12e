//! The real command line, as a script uses it: `--json`, and an exit code.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    home::{self, Home},
    tools,
};

/// Exit code of "the command line can't be right".
pub const USAGE: i32 = 2;
/// Exit code of "there is no such thing".
pub const NOT_FOUND: i32 = 3;
/// Exit code of "something stands in the way".
pub const REFUSED: i32 = 4;
/// Exit code of "the daemon can't be reached".
pub const NO_DAEMON: i32 = 5;
/// Exit code of "revoked, verdict pending".
pub const VERDICT_PENDING: i32 = 6;
/// Exit code of "deleted, with a verdict other than intact".
pub const NOT_INTACT: i32 = 7;
/// Exit code of "something is left for the user to do".
pub const STEPS_REMAIN: i32 = 8;
/// Exit code of "something uses a key that does not work".
pub const FINDINGS: i32 = 9;
/// Exit code of "not everything could be looked at".
pub const INCOMPLETE: i32 = 10;
/// Exit code of the daemon for "the configuration is wrong".
pub const CONFIGURATION: i32 = 78;

/// The boxes that stand in the way of deleting what is in use, which tests vouch for.
pub const IN_USE: [&str; 8] = [
    "consumers-known",
    "quiet",
    "jobs-moved",
    "no-bypass",
    "people-told",
    "provider-login",
    "backup-elsewhere",
    "alternatives-rejected",
];

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The document on standard output; `Null` when there is none.
    pub json: Value,
    /// Standard output as it was.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    command: String,
}

impl Answer {
    /// The document of a command that has to succeed.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert_eq!(self.code, Some(0), "{self}");
        self.json
    }

    /// The deletion that `delete` has brought to its end, with this verdict.
    #[track_caller]
    pub fn verdict(self, verdict: &str) -> Value {
        self.exits_ref(if verdict == "intact" { 0 } else { NOT_INTACT });
        assert_eq!(self.json["deletion"]["verdict"], verdict, "{self}");
        self.json["deletion"].clone()
    }

    /// The error that a failed command has printed: kind, message and next step.
    #[track_caller]
    pub fn error(&self) -> Value {
        assert_ne!(self.code, Some(0), "{self}");
        let document: Value = serde_json::from_str(&self.stderr).unwrap_or_default();
        assert!(document["error"]["kind"].is_string(), "{self}");
        document["error"].clone()
    }

    #[track_caller]
    fn exits_ref(&self, code: i32) {
        assert_eq!(self.code, Some(code), "{self}");
    }

    /// Asserts an exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        self.exits_ref(code);
        self
    }

    /// Everything that was printed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "bascule {}: exit code {:?}\n{}\n{}",
            self.command, self.code, self.stdout, self.stderr
        )
    }
}

/// Runs `bascule` in a home, against the socket of that home's daemon.
#[derive(Debug, Clone)]
pub struct Cli {
    root: PathBuf,
}

impl Cli {
    /// For a home.
    #[must_use]
    pub fn new(home: &Home) -> Self {
        Self {
            root: home.root().to_owned(),
        }
    }

    /// The daemon's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/bascule.sock")
    }

    /// The command without arguments of its own, for what [`run`](Self::run) can't do.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = home::command_in(&self.root, &tools::program("bascule"));
        command.arg("--socket").arg(self.socket());
        command
    }

    /// Runs it with `--json`.
    pub fn run(&self, args: &[&str]) -> Answer {
        self.run_with(args, "")
    }

    /// Runs it with `--json` and something on standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Answer {
        let mut command = self.command();
        command.arg("--json").args(args);
        finish(command, input, args.join(" "))
    }

    /// `delete NAME --yes` of what is in use, with further arguments.
    pub fn delete(&self, connection: &str, more: &[&str]) -> Answer {
        let mut args = vec!["delete", connection, "--yes"];
        args.extend(IN_USE.iter().flat_map(|name| ["--ack", name]));
        args.extend(more);
        self.run(&args)
    }

    /// Runs it as a person would, without `--json`.
    pub fn say(&self, args: &[&str]) -> Answer {
        let mut command = self.command();
        command.args(args);
        finish(command, "", args.join(" "))
    }
}

/// Runs any command to its end with something on standard input.
#[must_use]
pub fn finish(mut command: Command, input: &str, shown: String) -> Answer {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    // A program that ends without reading closes the pipe; that is its business.
    let _ = child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes());
    let output = child.wait_with_output().expect("a child that was started");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Answer {
        code: output.status.code(),
        json: serde_json::from_str(&stdout).unwrap_or(Value::Null),
        stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        command: shown,
    }
}
