//! A real session bus of the test's own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::tools;

/// The bus. It ends on drop.
#[derive(Debug)]
pub(crate) struct SessionBus {
    /// What `DBUS_SESSION_BUS_ADDRESS` is set to.
    pub(crate) address: String,
    process: Child,
}

impl SessionBus {
    /// Starts one. `None` where there is no `dbus-daemon`.
    pub(crate) fn start() -> Option<Self> {
        let program = tools::installed_path("dbus-daemon")?;
        let mut process = Command::new(program)
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon");
        let mut address = String::new();
        BufReader::new(process.stdout.take().expect("a pipe"))
            .read_line(&mut address)
            .expect("the bus says its address");
        Some(Self {
            address: address.trim().to_owned(),
            process,
        })
    }
}

impl Drop for SessionBus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
