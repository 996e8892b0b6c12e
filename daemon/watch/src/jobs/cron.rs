//! Crontabs of users and of the system, and anacron's.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bascule_formats::crontab::{Dialect, Line, When, parse};
use jiff::tz::TimeZone;

use super::{listed, owner, refused, zone};
use crate::{
    command,
    environment::Environment,
    found::Place,
    machine::{Machine, User},
    picture::{Link, LinkKind, NextRun, Picture, Rank, Trail},
    read::{self, Text},
};

/// What cron looks for programs in when nobody has set it.
const USUAL_PATH: &str = "/usr/bin:/bin";
/// Where users' crontabs lie: Debian, Red Hat, macOS.
const SPOOLS: [&str; 3] = [
    "/var/spool/cron/crontabs",
    "/var/spool/cron",
    "/usr/lib/cron/tabs",
];
const FOLDERS: [&str; 6] = [
    "/etc/cron.d",
    "/etc/cron.hourly",
    "/etc/cron.daily",
    "/etc/cron.weekly",
    "/etc/cron.monthly",
    "/etc",
];
const REMEDY: &str = "yours: crontab -l; everybody's: run it as root";

pub(super) fn folders(machine: &Machine) -> Vec<PathBuf> {
    let all = FOLDERS.iter().chain(&SPOOLS);
    all.map(|folder| machine.path(folder)).collect()
}

pub(super) fn look(machine: &Machine, picture: &mut Picture) {
    let mut look = Look {
        machine,
        zone: zone(machine),
        picture,
    };
    look.tab(&machine.path("/etc/crontab"), Dialect::System, None);
    let folder = machine.path("/etc/cron.d");
    for name in listed(&folder, "run it as root", look.picture) {
        look.tab(&folder.join(name), Dialect::System, None);
    }
    look.tab(&machine.path("/etc/anacrontab"), Dialect::Anacron, None);
    for spool in SPOOLS {
        let spool = machine.path(spool);
        for name in listed(&spool, REMEDY, look.picture) {
            // A file of the wrong name is nobody's.
            if let Some(user) = machine.user(&name).cloned() {
                look.tab(&spool.join(name), Dialect::User, Some(&user));
            }
        }
    }
}

struct Look<'a> {
    machine: &'a Machine,
    zone: TimeZone,
    picture: &'a mut Picture,
}

impl Look<'_> {
    fn tab(&mut self, path: &Path, dialect: Dialect, user: Option<&User>) {
        let path = &read::resolved(&self.machine.root, path);
        if path.is_dir() {
            return;
        }
        let text = match Text::read(path) {
            Ok(Some(text)) => text,
            Ok(None) => return,
            Err(error) => return refused(path, &error, REMEDY, self.picture),
        };
        self.picture.files_read += 1;
        let content = match text.as_str() {
            Ok(content) => content,
            Err(error) => return refused(path, &error, REMEDY, self.picture),
        };
        let inactive = match dialect {
            Dialect::System => self.why_inactive(path),
            Dialect::User | Dialect::Anacron => None,
        };
        let mut variables = Vec::new();
        for line in parse(content, dialect) {
            match line {
                Line::Variable(variable) => variables.push(variable),
                // Cron does not run it either; a user's whole file is refused when it is installed.
                Line::Broken { .. } => {}
                Line::Job(job) => {
                    let place = Place::File {
                        path: path.clone(),
                        line: job.line,
                    };
                    let Some((name, mut environment)) = self.surroundings(job.user, user, &place)
                    else {
                        continue;
                    };
                    let mut zone = self.zone.clone();
                    for variable in &variables {
                        let place = Place::File {
                            path: path.clone(),
                            line: variable.line,
                        };
                        command::assign(
                            &mut environment,
                            &variable.name,
                            &variable.value,
                            Some(&place),
                        );
                        if variable.name == "CRON_TZ" {
                            zone = super::named_zone(self.machine, &variable.value).unwrap_or(zone);
                        }
                    }
                    let (rank, next_run) = match &inactive {
                        Some(why) => (Rank::Manual, NextRun::Never(why.clone())),
                        None => (Rank::Scheduled, self.next(&job.when, &zone)),
                    };
                    let Some(command) = self.without_anacron(&job.command) else {
                        continue;
                    };
                    let link = Link::new(LinkKind::Cron, title(path, &name, dialect), "runs");
                    let trail = Trail {
                        chain: vec![link.at(place.clone())],
                        rank,
                        next_run: Some(next_run),
                        user: owner(self.machine, &name),
                    };
                    command::follow_text(
                        command,
                        environment,
                        &place,
                        self.machine,
                        &trail,
                        self.picture,
                    );
                }
            }
        }
    }

    /// Whom a job runs as, and its surroundings.
    fn surroundings(
        &mut self,
        named: Option<&str>,
        user: Option<&User>,
        place: &Place,
    ) -> Option<(String, Environment)> {
        let name = named.unwrap_or("root");
        let Some(user) = user.or_else(|| self.machine.user(name)) else {
            self.picture.gap(
                &Trail::configuration(),
                place.to_string(),
                format!("it runs as the user {name:?}, whom this machine's list does not name"),
                "look at it yourself",
            );
            return None;
        };
        let mut environment = self.machine.bare_environment(user);
        environment.set("PATH", USUAL_PATH);
        environment.set("SHELL", "/bin/sh");
        Some((user.name.clone(), environment))
    }

    /// Why cron passes over a file of the system's.
    fn why_inactive(&self, path: &Path) -> Option<String> {
        let name = path.file_name()?.to_str()?;
        let in_folder = path.parent()?.ends_with("cron.d");
        if in_folder && name.ends_with('~') || name.starts_with('.') {
            return Some("cron passes over a file of this name".into());
        }
        if in_folder && name.contains('.') {
            return Some("cron passes over files with a dot in their name, on Debian".into());
        }
        let metadata = fs::metadata(path).ok()?;
        // In another system's tree root may be somebody else.
        let root = fs::metadata(&self.machine.root).ok()?.uid();
        if metadata.uid() != root {
            return Some("the file is not root's, so cron passes over it".into());
        }
        if metadata.permissions().mode() & 0o022 != 0 {
            return Some("others than root can write to the file, so cron passes over it".into());
        }
        None
    }

    fn next(&self, when: &When, zone: &TimeZone) -> NextRun {
        match when {
            When::Calendar(calendar) => match calendar.next(self.machine.now, zone) {
                Some(next) => NextRun::At(next),
                None => NextRun::Never("there is no such day".into()),
            },
            When::Boot => NextRun::On("at boot".into()),
            When::Days(1) => NextRun::On("once a day, by anacron".into()),
            When::Days(days) => NextRun::On(format!("every {days} days, by anacron")),
            When::Monthly => NextRun::On("once a month, by anacron".into()),
            When::Unknown => NextRun::Unknown("cron chooses the time by itself".into()),
        }
    }

    /// Debian's lines for machines without anacron; with it, its own crontab says the same.
    fn without_anacron<'c>(&self, command: &'c str) -> Option<&'c str> {
        let test = [
            "test -x /usr/sbin/anacron ||",
            "[ -x /usr/sbin/anacron ] ||",
        ]
        .iter()
        .find_map(|test| command.strip_prefix(test));
        match test {
            Some(_) if self.machine.path("/usr/sbin/anacron").exists() => None,
            Some(rest) => Some(rest),
            None => Some(command),
        }
    }
}

fn title(path: &Path, user: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::User => format!("crontab of {user}"),
        Dialect::System | Dialect::Anacron => path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
    }
}
