//! What runs on a machine, by itself or right now: one file a source. Each job's command line goes to
//! `command`, with the chain that starts it and the time of its next run.
//!
//! Files are read and nobody is asked: the same look works for the tree of another system, and no
//! message bus, which may hang or not be there, is waited for. What only a running manager knows (a
//! timer's chance delay) is said as such. Only `failures` asks, for what no file tells.

mod at;
mod containers;
mod cron;
mod engines;
pub(crate) mod failures;
mod launchd;
mod mounts;
mod processes;
mod systemd;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::{
    found::NotUsable,
    machine::{Machine, User},
    picture::{Picture, Trail},
    read,
};

/// Files of zones are a few kilobytes.
const LARGEST_ZONE: u64 = 256 << 10;

/// Where jobs come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// systemd's units of the system.
    SystemUnits,
    /// systemd's units of users.
    UserUnits,
    /// Podman's containers that systemd starts (Quadlet).
    Containers,
    /// Containers that Docker and Podman keep, and the Compose projects that made them.
    Engines,
    /// Crontabs of users and of the system, and anacron's.
    Cron,
    /// Jobs of at.
    At,
    /// Agents and daemons of launchd.
    Launchd,
    /// fstab, and what is mounted now.
    Mounts,
    /// Processes that run now. They have no events, and are no part of another system's tree.
    Processes,
}

impl Source {
    /// All of them, the most telling last.
    pub const ALL: [Self; 9] = [
        Self::SystemUnits,
        Self::UserUnits,
        Self::Containers,
        Self::Engines,
        Self::Cron,
        Self::At,
        Self::Launchd,
        Self::Mounts,
        Self::Processes,
    ];

    /// Adds what the jobs of this source use.
    pub fn look(self, machine: &Machine, picture: &mut Picture) {
        match self {
            Self::SystemUnits => systemd::system(machine, picture),
            Self::UserUnits => systemd::users(machine, picture),
            Self::Containers => containers::look(machine, picture),
            Self::Engines => engines::look(machine, picture),
            Self::Cron => cron::look(machine, picture),
            Self::At => at::look(machine, picture),
            Self::Launchd => launchd::look(machine, picture),
            Self::Mounts => mounts::look(machine, picture),
            Self::Processes if is_running(machine) => {
                processes::look(Path::new("/proc"), machine, picture);
            }
            Self::Processes => {}
        }
    }

    /// The folders and files that it reads, whether or not they are there: a change in one may change
    /// its jobs. Files that jobs name, such as scripts, are not among them.
    #[must_use]
    pub fn folders(self, machine: &Machine) -> Vec<PathBuf> {
        match self {
            Self::SystemUnits => systemd::system_folders(machine),
            Self::UserUnits => users(machine)
                .iter()
                .flat_map(|user| systemd::user_folders(machine, user))
                .collect(),
            Self::Containers => containers::folders(machine),
            Self::Engines => engines::folders(machine),
            Self::Cron => cron::folders(machine),
            Self::At => at::folders(machine),
            Self::Launchd => launchd::folders(machine),
            Self::Mounts => vec![machine.path("/etc/fstab")],
            Self::Processes => Vec::new(),
        }
    }
}

/// Adds what all jobs of a machine use.
pub fn all(machine: &Machine, picture: &mut Picture) {
    for source in Source::ALL {
        source.look(machine, picture);
    }
}

/// The folders and files that all sources read.
#[must_use]
pub fn folders(machine: &Machine) -> Vec<PathBuf> {
    let all = Source::ALL
        .iter()
        .flat_map(|source| source.folders(machine));
    let mut folders: Vec<_> = all.collect();
    folders.sort();
    folders.dedup();
    folders
}

/// Whether it is the machine that this program runs on, and not another system's tree.
fn is_running(machine: &Machine) -> bool {
    machine.root == Path::new("/")
}

/// The zone that the machine's clocks show.
fn zone(machine: &Machine) -> TimeZone {
    zone_file(machine, &machine.path("/etc/localtime")).unwrap_or(TimeZone::UTC)
}

/// The zone of a name such as `Europe/Berlin`.
fn named_zone(machine: &Machine, name: &str) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    let fits = !name.contains("..") && !name.starts_with('/');
    let path = machine.path("/usr/share/zoneinfo").join(name);
    fits.then(|| zone_file(machine, &path)).flatten()
}

fn zone_file(machine: &Machine, path: &Path) -> Option<TimeZone> {
    let path = read::resolved(&machine.root, path);
    let bytes = bascule_os::read_foreign(&path, LARGEST_ZONE).ok()?;
    TimeZone::tzif("", &bytes).ok()
}

/// Who may have jobs of their own: who asks first, then everybody with a home.
fn users(machine: &Machine) -> Vec<&User> {
    let others = machine.users.iter().filter(|user| {
        user.uid != machine.user.uid
            && user
                .home
                .as_ref()
                .is_some_and(|home| *home != machine.root && home.is_dir())
    });
    std::iter::once(&machine.user).chain(others).collect()
}

/// Whose a job is, unless it is that of who asks.
fn owner(machine: &Machine, name: &str) -> Option<String> {
    (machine.user.name != name).then(|| name.to_owned())
}

/// The names in a folder; what can't be listed is told.
fn listed(folder: &Path, remedy: &str, picture: &mut Picture) -> Vec<String> {
    match read::names(folder) {
        Ok(names) => names,
        Err(error) => {
            refused(folder, &error, remedy, picture);
            Vec::new()
        }
    }
}

fn refused(path: &Path, error: &NotUsable, remedy: &str, picture: &mut Picture) {
    let (trail, what) = (Trail::configuration(), path.display().to_string());
    picture.gap(&trail, what, error.told(), remedy);
}
