//! A machine of the test's own with a booted systemd, for what only that can show: units, timers,
//! users' managers. It is a Debian from `tests/setup`, run by systemd-nspawn as root, on the host's
//! network, so that loopback is the same inside and outside.
//!
//! Whatever is done in it is kept in memory and gone with it; its files are never changed.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cli::{self, Answer},
    control_groups,
    home::Home,
    process::Process,
    random_hex, tools, wait,
};

/// A running machine. It is killed on drop.
#[derive(Debug)]
pub struct Machine {
    name: String,
    leader: u32,
    groups: Vec<PathBuf>,
    process: Process,
    // Dropped last: it holds the log, and what the machine had open.
    _home: Home,
}

/// What of the host a machine sees.
#[derive(Debug, Default, Clone)]
pub struct Boot {
    binds: Vec<String>,
    settings: Vec<&'static str>,
    unified: bool,
}

impl Boot {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A file or folder of the host, which can't be written to in there.
    #[must_use]
    pub fn bind(mut self, outside: &Path, inside: &str) -> Self {
        let outside = outside.canonicalize().expect("what is bound exists");
        let escaped = outside.display().to_string().replace(':', "\\:");
        self.binds.push(format!("--bind-ro={escaped}:{inside}"));
        self
    }

    /// `basculed`, `bascule` and rclone, in `/usr/local/bin`.
    #[must_use]
    pub fn programs(self) -> Self {
        self.bind(&tools::program("basculed"), "/usr/local/bin/basculed")
            .bind(&tools::program("bascule"), "/usr/local/bin/bascule")
            .bind(&tools::get("rclone"), "/usr/local/bin/rclone")
    }

    /// A network of its own, with nothing but loopback.
    #[must_use]
    pub fn own_network(mut self) -> Self {
        self.settings.push("--private-network");
        self
    }

    /// What its systemd needs to confine a unit as one on bare metal does: control groups of the one
    /// hierarchy, programs that the kernel runs for them, and calls that systemd-nspawn refuses to all.
    /// None of them can do more than its root may.
    #[must_use]
    pub fn sandboxes(mut self) -> Self {
        self.settings
            .push("--system-call-filter=@clock @keyring bpf");
        self.unified = true;
        self
    }

    /// Boots it and waits until every unit has started. `None` when the test is to be skipped.
    #[must_use]
    pub fn start(&self) -> Option<Machine> {
        let image = usable()?;
        let home = Home::new();
        let name = format!("bt{}", random_hex(6));
        let groups = make_groups(&name);
        let mut command = home.command(Path::new("/bin/sh"));
        // Each argument up to `--` is a control group, which the machine then keeps to.
        command
            .args(["-c", "while [ \"$1\" != -- ]; do echo 0 >\"$1/cgroup.procs\" || exit; shift; done; shift; exec \"$@\"", "sh"])
            .args(&groups)
            .args(["--", "systemd-nspawn", "--quiet", "--boot", "--console=pipe"])
            // Nobody else on this machine is told of it.
            .args(["--register=no", "--keep-unit"])
            .arg(format!("--machine={name}"))
            .arg(format!("--directory={}", image.display()))
            .args(["--volatile=overlay", "--link-journal=no", "--resolv-conf=off", "--timezone=off"])
            .args(&self.settings)
            .args(&self.binds);
        if self.unified {
            command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
        }
        let process = Process::start(command, &home.path("machine.log"));
        let mut machine = Machine {
            name,
            leader: 0,
            groups,
            process,
            _home: home,
        };
        machine.wait_until_up();
        Some(machine)
    }
}

impl Machine {
    /// Boots one that sees nothing of the host. `None` when the test is to be skipped.
    #[must_use]
    pub fn start() -> Option<Self> {
        Boot::new().start()
    }

    /// What it is called outside.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id of its systemd, outside.
    #[must_use]
    pub fn leader(&self) -> u32 {
        self.leader
    }

    fn wait_until_up(&mut self) {
        self.leader = wait::until("the machine to have a systemd", || {
            self.check_alive();
            let child = first_child(self.process.pid())?.as_raw_pid().unsigned_abs();
            // Before it runs systemd it still is the program that started it.
            let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name.trim() == "systemd").then_some(child)
        });
        wait::until("the machine to be up", || {
            self.check_alive();
            let state = self.run(&["systemctl", "is-system-running", "--wait"]);
            let state = state.stdout.trim().to_owned();
            assert!(
                state != "degraded",
                "{}",
                self.run(&["systemctl", "--failed"])
            );
            (state == "running").then_some(())
        });
    }

    fn check_alive(&mut self) {
        if let Some(status) = self.process.ended() {
            panic!(
                "the machine ended with {status}:\n{}",
                self.process.output()
            );
        }
    }

    /// A command that runs in it as root, outside of its units.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--all", "--wd=/", "--target"])
            .arg(self.leader.to_string())
            .arg("--")
            .args(args)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8");
        command
    }

    /// Runs a command in it to its end.
    pub fn run(&self, args: &[&str]) -> Answer {
        cli::finish(
            self.command(args),
            "",
            format!("(machine) {}", args.join(" ")),
        )
    }

    /// Writes a file, whose folder has to be there.
    pub fn write(&self, path: &str, text: &str) {
        let command = self.command(&["dd", "status=none", &format!("of={path}")]);
        let _ = cli::finish(command, text, format!("(machine) writes {path}")).exits(0);
    }

    /// Installs a unit of the system's and lets systemd read it.
    pub fn install(&self, unit: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/{unit}"), text);
        let _ = self.run(&["systemctl", "daemon-reload"]).exits(0);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() && self.leader != 0 && self.process.ended().is_none() {
            let log = self.run(&["journalctl", "--no-pager", "--lines=50"]);
            eprintln!("--- the machine's journal ---\n{}", log.stdout);
        }
        // The end of its systemd is the end of all in it, and then of the program that holds it,
        // which cleans up. If it has not come so far, there is nothing to clean up.
        match first_child(self.process.pid()) {
            Some(leader) => {
                let _ = kill_process(leader, Signal::KILL);
                self.process.wait("the machine to end");
            }
            None => {
                self.process.kill();
            }
        }
        for group in &self.groups {
            control_groups::remove(group);
        }
        for folder in ["propagate", "unix-export"] {
            let _ = fs::remove_dir(
                Path::new("/run/systemd/nspawn")
                    .join(folder)
                    .join(&self.name),
            );
        }
    }
}

/// The folder of the Debian, where one can be booted. Says once why not.
fn usable() -> Option<&'static Path> {
    static IMAGE: OnceLock<Option<PathBuf>> = OnceLock::new();
    IMAGE
        .get_or_init(|| {
            let image = tools::installed_path("machine");
            let why = match image {
                Some(_) if !rustix::process::geteuid().is_root() => "this is not root",
                None => "tests/setup could not make one",
                Some(image) => return Some(image),
            };
            let _ = writeln!(std::io::stderr(), "a booted systemd: skipped: {why}");
            None
        })
        .as_deref()
}

/// Makes the control groups that a machine has where systemd starts it, in every hierarchy that
/// systemd uses: two machines must not share one.
fn make_groups(name: &str) -> Vec<PathBuf> {
    ["", "unified", "systemd"]
        .iter()
        .map(|hierarchy| Path::new("/sys/fs/cgroup").join(hierarchy))
        .filter(|root| root.join("cgroup.procs").exists())
        .map(|root| root.join(format!("machine-{name}.scope")))
        .inspect(|group| fs::create_dir(group).expect("a new control group"))
        .collect()
}

fn first_child(pid: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}
