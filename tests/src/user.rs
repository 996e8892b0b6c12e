//! Somebody in a [`Machine`]: its root, or a user with a systemd of her own.

use std::{path::Path, process::Command};

use crate::{
    Issued, Port,
    cli::{self, Answer},
    machine::Machine,
    wait,
};

/// The daemon's unit.
pub const SERVICE: &str = "bascule.service";

/// Somebody's programs in a machine, with a systemd of theirs.
#[derive(Debug)]
pub struct User<'a> {
    machine: &'a Machine,
    system: bool,
    port: Option<Port>,
}

impl User<'_> {
    /// One with an account of her own, whose systemd runs without a session.
    ///
    /// # Panics
    /// If the machine does not do as it is told.
    #[must_use]
    pub fn alice(machine: &Machine) -> User<'_> {
        machine
            .run(&["useradd", "--create-home", "--uid", "1000", "alice"])
            .exits(0);
        machine
            .run(&["mkdir", "-p", "/var/lib/systemd/linger"])
            .exits(0);
        machine.write("/var/lib/systemd/linger/alice", "");
        // What a session's PAM module sets, which the machine does not have.
        machine
            .run(&["mkdir", "-p", "/etc/systemd/system/user@.service.d"])
            .exits(0);
        machine.install(
            "user@.service.d/session.conf",
            "[Service]\nPAMName=\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n",
        );
        machine
            .run(&["systemctl", "start", "user@1000.service"])
            .exits(0);
        User {
            machine,
            system: false,
            port: None,
        }
    }

    /// The machine's administrator.
    #[must_use]
    pub fn root(machine: &Machine) -> User<'_> {
        User {
            machine,
            system: true,
            port: None,
        }
    }

    /// With a port that stays their gateway's, in their settings. The machines share the host's loopback:
    /// a port that the installation chose is nobody's while the service has failed or is stopped, and
    /// another machine's installation may choose it then.
    #[must_use]
    pub fn with_a_port(mut self) -> Self {
        self.port = Some(Port::new());
        self.set("");
        self
    }

    /// Writes their settings: these, and the port of their gateway if it has one.
    pub fn set(&self, settings: &str) {
        let folder = if self.system {
            "/etc/bascule"
        } else {
            "/home/alice/.config/bascule"
        };
        let gateway = self.port.as_ref().map(|port| {
            let address = port.address();
            format!("[gateway]\nlisten = \"{address}\"\n")
        });
        let text = settings.to_owned() + &gateway.unwrap_or_default();
        self.write(&format!("{folder}/config.toml"), &text);
    }

    /// Writes a file as theirs, and makes the folders above it.
    fn write(&self, path: &str, text: &str) {
        let parent = Path::new(path)
            .parent()
            .and_then(Path::to_str)
            .expect("a file lies in a folder");
        self.run(&["mkdir", "-p", parent]).exits(0);
        let to = format!("of={path}");
        self.run_with(&["dd", "status=none", &to], text).exits(0);
    }

    /// A command as theirs.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut all = vec![];
        if !self.system {
            all.extend([
                "setpriv",
                "--reuid=1000",
                "--regid=1000",
                "--clear-groups",
                "env",
                "-C",
                "/home/alice",
                "HOME=/home/alice",
                "USER=alice",
                "XDG_RUNTIME_DIR=/run/user/1000",
            ]);
        }
        all.extend(arguments);
        self.machine.command(&all)
    }

    /// Runs a command to its end, with something on standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Answer {
        cli::finish(self.command(arguments), input, arguments.join(" "))
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, "")
    }

    /// Runs `bascule --json`.
    pub fn bascule(&self, arguments: &[&str]) -> Answer {
        self.run(&[&["bascule", "--json"], arguments].concat())
    }

    /// Runs a verb of `bascule service`, of hers or of the machine's.
    pub fn service(&self, verb: &str, more: &[&str]) -> Answer {
        let scope: &[&str] = if self.system { &["--system"] } else { &[] };
        self.bascule(&[&["service", verb], scope, more].concat())
    }

    /// Asks her systemd, or the machine's.
    pub fn systemctl(&self, arguments: &[&str]) -> Answer {
        let scope = if self.system { "--system" } else { "--user" };
        self.run(&[&["systemctl", scope], arguments].concat())
    }

    /// What systemd tells of a unit.
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        let shown = self.systemctl(&["show", "--value", "--property", name, unit]);
        shown.exits(0).stdout.trim().to_owned()
    }

    /// The daemon's process, "0" where none runs.
    #[must_use]
    pub fn pid(&self) -> String {
        self.property(SERVICE, "MainPID")
    }

    /// Waits until a property of the daemon's unit has a value.
    pub fn wait_for(&self, name: &str, value: &str) {
        wait::until(&format!("{name} to be {value}"), || {
            (self.property(SERVICE, name) == value).then_some(())
        });
    }

    /// Installs a unit, or settings of one.
    pub fn install(&self, unit: &str, text: &str) {
        let folder = if self.system {
            "/etc/systemd/system"
        } else {
            "/home/alice/.config/systemd/user"
        };
        self.write(&format!("{folder}/{unit}"), text);
        self.systemctl(&["daemon-reload"]).exits(0);
    }

    /// A connection `photos` to a folder, and a key of it.
    pub fn key(&self, folder: &str) -> Issued {
        self.run(&["mkdir", "-p", &format!("{folder}/pictures")])
            .exits(0);
        if self.system {
            self.run(&["chown", "-R", "bascule:", folder]).exits(0);
        }
        let place = [
            "--provider",
            "local",
            "--path",
            folder,
            "--bucket",
            "pictures",
        ];
        self.bascule(&[&["connect", "photos"][..], &place].concat())
            .exits(0);
        Issued::of(
            &self
                .bascule(&["key", "issue", "photos", "--label", "laptop"])
                .ok(),
        )
    }
}
