//! systemd's units: what each runs, as whom, with which variables, and what starts it.

mod environment;
mod starts;
mod units;

use std::path::{Path, PathBuf};

use bascule_formats::{
    fstab,
    unit::{
        exec::{commands, substituted},
        name::UnitName,
        specifier::Specifiers,
    },
};

use super::{mounts, owner, users as people};
use crate::{
    command::{self, Command},
    environment::Environment,
    machine::{Machine, User},
    picture::{Link, LinkKind, NextRun, Picture, Rank, Trail, UnitUses},
    read::Text,
};
use starts::Starts;
use units::{Loaded, Units};

pub(super) use environment::apply as apply_environment;
pub(super) use units::{Settings, read_file as read_unit};

/// What a service runs, and what the step to it is called.
const EXEC: [&str; 7] = [
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecReload",
    "ExecStop",
    "ExecStopPost",
];

/// Folders of the system's units, the first wins (`systemd-analyze unit-paths`).
const SYSTEM: [&str; 13] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];
/// Folders of all users' units behind a user's own.
const USERS: [&str; 6] = [
    "/etc/systemd/user",
    "/run/systemd/user",
    "/usr/local/share/systemd/user",
    "/usr/share/systemd/user",
    "/usr/local/lib/systemd/user",
    "/usr/lib/systemd/user",
];

pub(super) fn system_folders(machine: &Machine) -> Vec<PathBuf> {
    SYSTEM.iter().map(|folder| machine.path(folder)).collect()
}

pub(super) fn user_folders(machine: &Machine, user: &User) -> Vec<PathBuf> {
    let runtime = machine
        .path(&format!("/run/user/{}", user.uid))
        .join("systemd");
    let home = user.home.as_deref();
    let configuration = home.map(|home| home.join(".config/systemd"));
    let mut folders = Vec::new();
    folders.extend(
        configuration
            .as_ref()
            .map(|folder| folder.join("user.control")),
    );
    folders.extend(["user.control", "transient", "generator.early"].map(|name| runtime.join(name)));
    folders.extend(configuration.map(|folder| folder.join("user")));
    folders.push(machine.path(USERS[0]));
    folders.push(runtime.join("user"));
    folders.push(machine.path(USERS[1]));
    folders.push(runtime.join("generator"));
    folders.extend(home.map(|home| home.join(".local/share/systemd/user")));
    folders.extend(USERS[2..].iter().map(|folder| machine.path(folder)));
    folders.push(runtime.join("generator.late"));
    folders
}

/// Adds what the system's units use.
pub(super) fn system(machine: &Machine, picture: &mut Picture) {
    let scope = Scope::of(machine, None, picture);
    scope.look(system_folders(machine), picture);
}

/// Adds what users' units use: of who asks, and of everybody whose home can be entered.
pub(super) fn users(machine: &Machine, picture: &mut Picture) {
    for user in people(machine) {
        let own = user
            .home
            .as_ref()
            .map(|home| home.join(".config/systemd/user"));
        let refused = own
            .as_ref()
            .and_then(|folder| folder.symlink_metadata().err());
        if let Some(error) = refused
            && error.kind() == std::io::ErrorKind::PermissionDenied
        {
            picture.gap(
                &Trail::configuration(),
                format!("the jobs and configurations of {}", user.name),
                "their home is closed to who asks",
                "run it as root, or let them run it themselves",
            );
            continue;
        }
        // Those that all users have are looked at once, for who asks.
        let own = own.is_some_and(|folder| folder.is_dir());
        if own || user.uid == machine.user.uid {
            let scope = Scope::of(machine, Some(user), picture);
            scope.look(user_folders(machine, user), picture);
        }
    }
}

/// One manager of units.
struct Scope<'a> {
    machine: &'a Machine,
    /// `None`: the system's.
    user: Option<&'a User>,
    host: Option<String>,
    /// The variables that it gives every unit.
    variables: Environment,
}

impl<'a> Scope<'a> {
    fn of(machine: &'a Machine, user: Option<&'a User>, picture: &mut Picture) -> Self {
        let host = Text::read_up_to(&machine.path("/etc/hostname"), 4096);
        let host = host.ok().flatten();
        let host = host.as_ref().and_then(|text| text.as_str().ok());
        Self {
            machine,
            user,
            host: host.map(|host| host.trim().to_owned()),
            variables: environment::of_manager(machine, user, picture),
        }
    }

    fn look(&self, folders: Vec<PathBuf>, picture: &mut Picture) {
        let units = Units::scan(&self.machine.root, folders, picture);
        let mut starts = Starts::new(self.machine, self.user.map(|user| user.name.as_str()));
        let mut names = units.names();
        let mut at = 0;
        let mut runs = Vec::new();
        // Timers and their like may name instances that no folder does.
        while let Some(name) = names.get(at).cloned() {
            at += 1;
            let Loaded::Files(files) = units.load(&name, picture) else {
                continue;
            };
            let settings = files.settings();
            let started = starts.read(&name, &settings, &units);
            for more in started.into_iter().filter(|more| units.has(more)) {
                if !names.contains(&more) {
                    names.push(more);
                }
            }
            let kind = UnitName::parse(&name).map_or("", |name| name.kind);
            if matches!(kind, "service" | "mount" | "socket") {
                runs.push((name, files));
            }
        }
        for (name, files) in &runs {
            let before = picture.uses.len();
            self.unit(name, &files.settings(), &starts, picture);
            if picture.uses.len() > before {
                picture.units.push(UnitUses {
                    manager: self.user.map(|user| user.uid),
                    name: name.clone(),
                    uses: before..picture.uses.len(),
                });
            }
        }
    }

    /// Adds what a unit uses, once for each thing that starts it.
    fn unit(
        &self,
        name: &str,
        settings: &Settings<'_>,
        starts: &Starts<'_>,
        picture: &mut Picture,
    ) {
        let fstab = settings
            .last("Unit", "SourcePath")
            .is_some_and(|(value, _)| value.value == "/etc/fstab");
        let any = EXEC
            .iter()
            .any(|key| settings.last("Service", key).is_some())
            || settings.last("Mount", "What").is_some() && !fstab;
        if !any {
            return;
        }
        let specifiers = self.specifiers(name);
        let user = self.runs_as(settings, &specifiers);
        let trails = starts.ways(name).into_iter().map(|way| {
            let mut chain = way.links;
            chain.push(Link::new(LinkKind::Unit, name, way.why));
            Trail {
                chain,
                rank: if way.scheduled {
                    Rank::Scheduled
                } else {
                    Rank::Manual
                },
                next_run: Some(way.next),
                user: owner(self.machine, &user.name),
            }
        });
        let mut trails = trails.collect::<Vec<_>>().into_iter();
        let Some(first) = trails.next() else { return };
        let (uses, gaps) = (picture.uses.len(), picture.gaps.len());
        self.mount(settings, &specifiers, &first, picture);
        self.service(settings, &specifiers, &user, &first, picture);
        // What it runs is the same, whatever starts it.
        picture.again(
            uses..picture.uses.len(),
            gaps..picture.gaps.len(),
            &first,
            trails,
        );
    }

    fn service(
        &self,
        settings: &Settings<'_>,
        specifiers: &Specifiers,
        user: &User,
        trail: &Trail,
        picture: &mut Picture,
    ) {
        let all = EXEC.map(|key| (key, settings.list("Service", key)));
        if all.iter().all(|(_, list)| list.is_empty()) {
            return;
        }
        let own = self.environment(settings, specifiers, user, trail, picture);
        for (key, setting, path) in all.iter().flat_map(|(key, list)| {
            list.iter()
                .map(move |(setting, path)| (*key, *setting, *path))
        }) {
            let parsed = match commands(&setting.value) {
                Ok(parsed) => parsed,
                Err(error) => {
                    let place = units::place(path, setting.line());
                    picture.gap(
                        trail,
                        place.to_string(),
                        error.to_string(),
                        "mend the unit, and look again",
                    );
                    continue;
                }
            };
            for exec in parsed {
                let line = exec
                    .words
                    .first()
                    .map_or(0, |word| setting.line_of(word.offset));
                let place = units::place(path, line);
                let mut arguments = Vec::new();
                for (at, word) in exec.words.iter().enumerate() {
                    let text = specifiers.expand(&word.text);
                    if at == 0 || exec.verbatim {
                        arguments.push(text);
                    } else {
                        arguments.extend(substituted(&text, |name| own.set_variable(name)));
                    }
                }
                if exec.shell {
                    arguments = vec!["sh".into(), "-c".into(), arguments.join(" ")];
                }
                let command = Command {
                    arguments,
                    environment: own.clone(),
                };
                command::follow_at(&command, Some(&place), key, self.machine, trail, picture);
            }
        }
    }

    fn mount(
        &self,
        settings: &Settings<'_>,
        specifiers: &Specifiers,
        trail: &Trail,
        picture: &mut Picture,
    ) {
        let text = |key| {
            let found = settings.last("Mount", key);
            found.map(|(setting, _)| specifiers.expand(&setting.value))
        };
        let (Some(source), Some(target), Some((what, path))) =
            (text("What"), text("Where"), settings.last("Mount", "What"))
        else {
            return;
        };
        let entry = fstab::Entry {
            source,
            target,
            kind: text("Type").unwrap_or_default(),
            options: text("Options").map_or_else(Vec::new, |options| fstab::options(&options)),
            line: what.line(),
        };
        let place = units::place(path, what.line());
        mounts::follow(&entry, Some(&place), self.machine, trail, picture);
    }

    /// Whom a unit runs as. A user that the machine's list does not name has no home.
    fn runs_as(&self, settings: &Settings<'_>, specifiers: &Specifiers) -> User {
        let machine = self.machine;
        if let Some(user) = self.user {
            return user.clone();
        }
        let named = settings.last("Service", "User").map_or_else(
            || "root".to_owned(),
            |(user, _)| specifiers.expand(&user.value),
        );
        machine.user(&named).cloned().unwrap_or(User {
            name: named,
            uid: u32::MAX,
            home: None,
        })
    }

    fn specifiers(&self, unit: &str) -> Specifiers {
        let seen = |path: Option<&Path>| {
            let seen = self.machine.seen(path?);
            seen.to_str().map(ToOwned::to_owned)
        };
        let (name, uid, home) = match self.user {
            Some(user) => (user.name.as_str(), user.uid, seen(user.home.as_deref())),
            None => ("root", 0, Some("/root".to_owned())),
        };
        let below = |path: &str| home.as_ref().map(|home| format!("{home}/{path}"));
        let own = self.user.is_some();
        let either = |system: &str, below: Option<String>| {
            if own { below } else { Some(system.to_owned()) }
        };
        Specifiers {
            unit: unit.to_owned(),
            user: Some(name.to_owned()),
            uid: Some(uid),
            runtime: either("/run", Some(format!("/run/user/{uid}"))),
            state: either("/var/lib", below(".config")),
            cache: either("/var/cache", below(".cache")),
            logs: either("/var/log", below(".config/log")),
            configuration: either("/etc", below(".config")),
            credentials: None,
            shell: Some("/bin/sh".to_owned()),
            host: self.host.clone(),
            home,
        }
    }

    fn environment(
        &self,
        settings: &Settings<'_>,
        specifiers: &Specifiers,
        user: &User,
        trail: &Trail,
        picture: &mut Picture,
    ) -> Environment {
        let mut own = self.machine.bare_environment(user);
        for (name, value, _) in self.variables.variables() {
            let place = self.variables.place_of(name);
            command::assign(&mut own, name, value, Some(&place));
        }
        if self.user.is_none() && settings.last("Service", "User").is_none() {
            // systemd sets none of these then; programs find root's home by the list of users.
            for name in ["HOME", "USER", "LOGNAME"] {
                own.unset(name);
            }
        }
        environment::apply(&mut own, "Service", settings, specifiers, trail, picture);
        let folder = settings.last("Service", "WorkingDirectory");
        let folder = folder.map(|(folder, _)| specifiers.expand(&folder.value));
        own.current_folder = match folder
            .as_deref()
            .map(|folder| folder.trim_start_matches('-'))
        {
            Some("~") => own.home.clone().unwrap_or_else(|| own.root.clone()),
            Some(folder) => own.absolute(Path::new(folder)),
            None if self.user.is_some() => own.home.clone().unwrap_or_else(|| own.root.clone()),
            None => own.root.clone(),
        };
        own
    }
}

/// What a unit that nothing starts is told as.
fn by_hand() -> NextRun {
    NextRun::Never("nothing starts it by itself".into())
}
