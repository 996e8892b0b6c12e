//! Agents and daemons of launchd. Apple's own in `/System` use no keys of anybody's and are passed over.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bascule_formats::launchd::{self, Job, Start};
use jiff::tz::TimeZone;

use super::{listed, owner, refused, users, zone};
use crate::{
    command::{self, Command},
    found::{NotUsable, Place},
    machine::{Machine, User},
    picture::{Link, LinkKind, NextRun, Picture, Rank, Trail},
    read::{self, Text},
};

const DAEMONS: &str = "/Library/LaunchDaemons";
const AGENTS: &str = "/Library/LaunchAgents";
/// What launchd itself remembers as switched off, by label.
const SWITCHES: &str = "/private/var/db/com.apple.xpc.launchd";
/// What launchd looks for programs in.
const USUAL_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";
const REMEDY: &str = "run it as root";

pub(super) fn folders(machine: &Machine) -> Vec<PathBuf> {
    let common = [DAEMONS, AGENTS, SWITCHES].map(|folder| machine.path(folder));
    let own = users(machine).into_iter().filter_map(own_folder);
    common.into_iter().chain(own).collect()
}

fn own_folder(user: &User) -> Option<PathBuf> {
    Some(user.home.as_ref()?.join("Library/LaunchAgents"))
}

pub(super) fn look(machine: &Machine, picture: &mut Picture) {
    let root = machine.user("root");
    let of_root = (root, "at boot", "disabled.plist".to_owned());
    // Everybody's agents are looked at once, for who asks.
    let of_asker = of_agents(&machine.user);
    let mut folders = vec![
        (machine.path(DAEMONS), of_root),
        (machine.path(AGENTS), of_asker),
    ];
    for user in users(machine) {
        // A home that is closed is told with the user's units.
        if let Some(folder) = own_folder(user).filter(|folder| folder.is_dir()) {
            folders.push((folder, of_agents(user)));
        }
    }
    for (folder, (user, loaded, switches)) in folders {
        let names = listed(&folder, REMEDY, picture);
        let names: Vec<_> = names
            .into_iter()
            .filter(|name| name.ends_with(".plist"))
            .collect();
        if names.is_empty() {
            continue;
        }
        let look = Look {
            machine,
            user,
            loaded,
            zone: zone(machine),
            switches: switched(&machine.path(SWITCHES).join(switches), picture),
        };
        for name in names {
            look.file(&folder.join(name), picture);
        }
    }
}

/// Whose agents they are, when they are loaded, and where launchd switches them.
fn of_agents(user: &User) -> (Option<&User>, &'static str, String) {
    (
        Some(user),
        "at login",
        format!("disabled.{}.plist", user.uid),
    )
}

fn switched(path: &Path, picture: &mut Picture) -> BTreeMap<String, bool> {
    let read = read_list(path, launchd::parse_switches, picture);
    read.map_or_else(BTreeMap::new, |(_, switches)| {
        switches.into_iter().collect()
    })
}

fn read_list<T>(
    path: &Path,
    parse: impl Fn(&[u8]) -> Result<T, bascule_formats::ParseError>,
    picture: &mut Picture,
) -> Option<(PathBuf, T)> {
    let text = match Text::read(path) {
        Ok(text) => text?,
        Err(error) => {
            refused(path, &error, REMEDY, picture);
            return None;
        }
    };
    picture.files_read += 1;
    match parse(text.bytes()) {
        Ok(list) => Some((text.path.clone(), list)),
        Err(source) => {
            let path = path.to_owned();
            let what = path.display().to_string();
            let error = NotUsable::Parse { path, source };
            picture.unusable(&Trail::configuration(), what, &error);
            None
        }
    }
}

/// The jobs of one folder.
struct Look<'a> {
    machine: &'a Machine,
    /// Whom they run as, unless they say so themselves.
    user: Option<&'a User>,
    /// When they are loaded.
    loaded: &'static str,
    zone: TimeZone,
    switches: BTreeMap<String, bool>,
}

impl Look<'_> {
    fn file(&self, path: &Path, picture: &mut Picture) {
        let machine = self.machine;
        let path = read::resolved(&machine.root, path);
        let Some((path, job)) = read_list(&path, launchd::parse, picture) else {
            return;
        };
        let at = |line| Place::File {
            path: path.clone(),
            line,
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let label = job.label.as_ref();
        let name = label.map_or(&*stem, |label| label.text.as_str()).to_owned();
        let line = label.map_or(1, |label| label.line);
        let Some(program) = job.program.as_ref().or(job.arguments.first()) else {
            return;
        };
        let named = job.user.as_ref().map(|user| user.text.as_str());
        let user = match named {
            Some(named) => machine.user(named),
            None => self.user,
        };
        let nobody = User {
            name: named.unwrap_or("root").to_owned(),
            uid: u32::MAX,
            home: None,
        };
        let user = user.unwrap_or(&nobody);
        let mut environment = machine.bare_environment(user);
        if let Some(root) = &job.root {
            environment.root = machine.path(&root.text);
        }
        environment.current_folder.clone_from(&environment.root);
        environment.set("PATH", USUAL_PATH);
        for (name, value) in &job.variables {
            command::assign(&mut environment, name, &value.text, Some(&at(value.line)));
        }
        if let Some(folder) = &job.folder {
            environment.current_folder = environment
                .expanded(&folder.text)
                .unwrap_or_else(|| environment.root.clone());
        }
        let (rank, next_run) = self.when(&job, &name);
        let trail = Trail {
            chain: vec![Link::new(LinkKind::Launchd, name, "runs").at(at(line))],
            rank,
            next_run: Some(next_run),
            user: owner(machine, &user.name),
        };
        let words = job.arguments.iter().skip(1);
        let arguments = std::iter::once(program)
            .chain(words)
            .map(|word| word.text.to_string());
        let command = Command {
            arguments: arguments.collect(),
            environment,
        };
        let place = at(program.line);
        command::follow_at(&command, Some(&place), "runs", machine, &trail, picture);
    }

    fn when(&self, job: &Job, label: &str) -> (Rank, NextRun) {
        let never = |why: &str| (Rank::Manual, NextRun::Never(why.to_owned()));
        match self.switches.get(label) {
            Some(true) => return never("it is switched off (launchctl disable)"),
            Some(false) => {}
            None if job.disabled => return never("it is switched off (Disabled)"),
            None => {}
        }
        let times = job.starts.iter().filter_map(|start| match start {
            Start::At(calendar) => calendar.as_ref()?.next(self.machine.now, &self.zone),
            _ => None,
        });
        if let Some(next) = times.min() {
            return (Rank::Scheduled, NextRun::At(next));
        }
        let mut events = Vec::new();
        for start in &job.starts {
            events.push(match start {
                Start::Loaded => self.loaded.to_owned(),
                Start::Kept => format!("{}, and whenever it ends", self.loaded),
                Start::Every(seconds) => format!("every {seconds}s"),
                Start::Changed(path) => format!("when {path} changes"),
                Start::Filled(path) => format!("when {path} is not empty"),
                Start::Mounted => "when a volume is mounted".to_owned(),
                Start::Asked => "when somebody connects to it".to_owned(),
                Start::At(_) => continue,
            });
        }
        match (events.is_empty(), job.starts.is_empty()) {
            (false, _) => (Rank::Scheduled, NextRun::On(events.join(", or "))),
            (true, false) => {
                let why = "its StartCalendarInterval never comes, or can't be read";
                (Rank::Scheduled, NextRun::Unknown(why.into()))
            }
            (true, true) => never("nothing starts it by itself"),
        }
    }
}
