//! How the daemon is started, by whoever reads it here: a program of its own, or the service that is
//! installed. It only looks at whether files of units exist; it must never start anything.

use std::path::{Path, PathBuf};

use bascule_proto::location;

/// What runs the daemon that a client dials when nothing else is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// Nothing: whoever wants it starts the program.
    Nobody,
    /// The calling user's service.
    User,
    /// The machine's service.
    Machine,
}

impl Runner {
    /// The one that is installed here; of two, the user's own.
    pub(crate) fn here() -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let settings = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let settings = settings.filter(|path| path.is_absolute());
        let settings = settings.or_else(|| Some(home.as_ref()?.join(".config")));
        let users = [
            settings
                .as_ref()
                .map(|path| path.join("systemd/user/bascule.service")),
            // A package's, which this user has enabled.
            settings.map(|path| path.join("systemd/user/sockets.target.wants/bascule.socket")),
            home.map(|path| path.join("Library/LaunchAgents/org.bascule.basculed.plist")),
        ];
        let machines = [
            "/etc/systemd/system/bascule.service",
            "/usr/lib/systemd/system/bascule.service",
            "/Library/LaunchDaemons/org.bascule.basculed.plist",
        ];
        let there = |path: &Path| path.symlink_metadata().is_ok();
        if users.into_iter().flatten().any(|path| there(&path)) {
            Self::User
        } else if machines.into_iter().any(|path| there(Path::new(path))) {
            Self::Machine
        } else {
            Self::Nobody
        }
    }

    /// Of the socket that is dialled: another one than the usual is some program's.
    pub(crate) fn of(socket: &Path) -> Self {
        if socket == Path::new(location::SYSTEM_SOCKET) {
            return Self::Machine;
        }
        match Self::here() {
            // Root's own daemon is not what a machine with a service is about.
            Self::Machine if bascule_os::effective_uid() != 0 => Self::Nobody,
            runner => runner,
        }
    }

    /// Such as `start the daemon: basculed`.
    pub(crate) fn start(self) -> &'static str {
        match (self, is_root()) {
            (Self::Nobody, _) => "start the daemon: basculed",
            (Self::User, _) => {
                "start your service: bascule service install; what it said last: bascule service logs"
            }
            (Self::Machine, true) => {
                "start the machine's service: bascule service install --system; what it said last: bascule service logs --system"
            }
            (Self::Machine, false) => {
                "start the machine's service: sudo bascule service install --system; what it said last: sudo bascule service logs --system"
            }
        }
    }

    /// Such as `restart the daemon: basculed`.
    pub(crate) fn restart(self) -> &'static str {
        let macos = cfg!(target_os = "macos");
        match (self, is_root()) {
            (Self::Nobody, _) => "restart the daemon: end it (Ctrl-C), then: basculed",
            (Self::User, _) if macos => {
                "restart your service: launchctl kickstart -k gui/$(id -u)/org.bascule.basculed"
            }
            (Self::User, _) => "restart your service: systemctl --user restart bascule",
            (Self::Machine, _) if macos => {
                "restart the machine's service: sudo launchctl kickstart -k system/org.bascule.basculed"
            }
            (Self::Machine, true) => "restart the machine's service: systemctl restart bascule",
            (Self::Machine, false) => {
                "restart the machine's service: sudo systemctl restart bascule"
            }
        }
    }
}

fn is_root() -> bool {
    bascule_os::effective_uid() == 0
}
