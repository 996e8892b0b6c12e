//! A real container engine, Podman from `tests/setup` with podman-compose, for what only a container shows.
//! It runs as root, on the host's network where a service asks for that; there is no other.
//!
//! Each command has process ids and mounts of its own: all that it starts or mounts ends with it, and it ends
//! with the test. What the engine keeps between commands lies in the test's home, but for control groups.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{cli, control_groups, home::Home, random_hex, tools};

/// An engine with the image `restic/restic`. Its control groups are removed on drop.
#[derive(Debug)]
pub struct Containers {
    /// The home's.
    root: PathBuf,
    groups: Vec<PathBuf>,
}

impl Containers {
    /// Makes one. `None` when the test is to be skipped.
    #[must_use]
    pub fn new(home: &Home) -> Option<Self> {
        let podman = usable()?;
        let restic = tools::find("restic")?;
        let name = format!("bt{}", random_hex(6));
        let groups = match control_groups::make_in_each_hierarchy(&name) {
            Ok(groups) => groups,
            Err(error) => {
                skipped(&format!("no control groups can be made here: {error}"));
                return None;
            }
        };
        let containers = Self {
            root: home.root().to_owned(),
            groups,
        };
        containers.configure(podman, &name);
        containers.make_image(&restic);
        Some(containers)
    }

    fn path(&self, part: &str) -> PathBuf {
        self.root.join("containers").join(part)
    }

    /// Writes what the engine reads, and the `podman` that every command finds first.
    fn configure(&self, podman: &Path, group: &str) {
        let write = |name: &str, text: &str| {
            let path = self.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in this home");
            fs::write(path, text).expect("a file in this home");
        };
        let usr = podman.ancestors().nth(2).expect("usr").display();
        let libraries = format!("{usr}/lib/{}-linux-gnu", std::env::consts::ARCH);
        // conmon, which holds a container, passes nothing on but what it is told to. It tells the engine of the
        // end by starting it: where that fails, the engine goes on waiting for 20 seconds.
        write(
            "containers.conf",
            &format!(
                "[containers]\n\
                 default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
                 [engine]\n\
                 cgroup_manager = \"cgroupfs\"\n\
                 events_logger = \"none\"\n\
                 lock_type = \"file\"\n\
                 runtime = \"runc\"\n\
                 conmon_path = [\"{usr}/bin/conmon\"]\n\
                 conmon_env_vars = [\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\", \"LD_LIBRARY_PATH={libraries}\"]\n\
                 [engine.runtimes]\n\
                 runc = [\"{usr}/sbin/runc\"]\n"
            ),
        );
        write(
            "registries.conf",
            "unqualified-search-registries = [\"docker.io\"]\n",
        );
        write(
            ".config/containers/policy.json",
            r#"{"default":[{"type":"insecureAcceptAnything"}]}"#,
        );
        write(
            "bin/podman",
            &format!(
                "#!/bin/sh\n\
                 export LD_LIBRARY_PATH={libraries}\n\
                 verb=$1; shift\n\
                 case $verb in create | run) set -- --cgroup-parent /{group} \"$@\" ;; esac\n\
                 exec {} --root {} --runroot /run/engine --tmpdir /run/engine/tmp --storage-driver vfs \"$verb\" \"$@\"\n",
                podman.display(),
                self.path("kept").display()
            ),
        );
        fs::set_permissions(self.path("bin/podman"), PermissionsExt::from_mode(0o755))
            .expect("a file in this home");
    }

    /// The image that is published under that name is another build of the same program.
    fn make_image(&self, restic: &Path) {
        let files = self.path("image");
        for folder in ["usr/bin", "tmp"] {
            fs::create_dir_all(files.join(folder)).expect("a folder in this home");
        }
        let mut make = self.command("/bin/sh".as_ref());
        let script = "set -e; cp \"$1\" usr/bin/restic; \
             for file in $(ldd \"$1\" | grep -o '/[^ ]*'); do cp -L --parents \"$file\" .; done; \
             tar -c . | podman import --change 'ENTRYPOINT [\"restic\"]' - docker.io/restic/restic";
        make.args(["-c", script, "sh"])
            .arg(restic)
            .current_dir(&files);
        let _ = cli::finish(make, "", "(podman import)".to_owned()).exits(0);
    }

    /// Compose with the file of a folder.
    #[must_use]
    pub fn compose(&self, project: &Path, args: &[&str]) -> Command {
        let mut command = self.command(&tools::get("python"));
        command
            .args(["-m", "podman_compose", "--in-pod", "false"])
            .args(args)
            .current_dir(project);
        command
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = confined(&self.root);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.path("bin")).chain(std::env::split_paths(&path));
        command
            .arg(program)
            .env("PATH", std::env::join_paths(folders).expect("a path"))
            .env("HOME", self.path(""))
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf"));
        command
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for group in &self.groups {
            control_groups::remove(group);
        }
    }
}

/// What is given as arguments runs with process ids, mounts and a `/run` of its own, and is killed with the
/// thread that started it, or after two minutes. The shell is there to take leave of the orphans among what
/// is started: the engine waits until a container's keeper is gone.
fn confined(root: &Path) -> Command {
    let mut command = crate::home::command_in(root, "setpriv".as_ref());
    command
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid"])
        .args(["--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c"])
        .arg("mount -t tmpfs none /run && timeout --signal=KILL 120 \"$@\"; exit $?")
        .arg("sh");
    command
}

/// The engine's program, where it can run. Says once why not.
fn usable() -> Option<&'static Path> {
    static PODMAN: OnceLock<Option<PathBuf>> = OnceLock::new();
    PODMAN
        .get_or_init(|| {
            if !rustix::process::geteuid().is_root() {
                skipped("this is not root");
                return None;
            }
            let Some(podman) = tools::installed_path("podman") else {
                skipped("tests/setup could not unpack Podman");
                return None;
            };
            let mut probe = confined(&std::env::temp_dir());
            probe.arg("true").current_dir("/");
            let probe = cli::finish(probe, "", "(unshare)".to_owned());
            if probe.code != Some(0) {
                skipped(&format!(
                    "no namespaces can be made here: {}",
                    probe.stderr.trim()
                ));
                return None;
            }
            Some(podman)
        })
        .as_deref()
}

fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "a container: skipped: {why}");
}
