//! Processes that run now. Whoever asks sees everybody's command lines, but only the variables of
//! their own: those are what the process was started with.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use bascule_os::{Running, attribution::masked, initial_environment, running};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::owner;
use crate::{
    command::{self, Command, assign},
    environment::Environment,
    found::Place,
    machine::{Machine, User},
    picture::{Link, LinkKind, NextRun, Picture, Rank, Trail},
};

type Variables = BTreeMap<String, Zeroizing<String>>;

/// Adds what the processes below `proc` use.
pub(super) fn look(proc: &Path, machine: &Machine, picture: &mut Picture) {
    let all = match running(proc) {
        Ok(all) => all,
        Err(source) => {
            let trail = Trail::configuration();
            let (what, why) = (proc.display().to_string(), source.to_string());
            return picture.gap(&trail, what, why, "look at the processes yourself: ps -ef");
        }
    };
    let own = std::process::id();
    for process in all.iter().filter(|process| process.pid != own) {
        let before = picture.uses.len();
        of(process, proc, machine, picture);
        for found in &mut picture.uses[before..] {
            let changed = match &found.key.place {
                Place::File { path, .. } => changed_since(path, process),
                Place::Variable(_) | Place::Argument(_) => None,
            };
            if let (Some((path, changed)), Some(link)) = (
                changed,
                found
                    .chain
                    .iter_mut()
                    .find(|link| link.kind == LinkKind::Process),
            ) {
                link.why = format!(
                    "runs since before {} was changed ({changed}), and may still use the key that stood there: restart it",
                    path.display()
                )
                .into();
            }
        }
    }
}

/// A file that was changed after the process had started.
fn changed_since(path: &Path, process: &Running) -> Option<(PathBuf, Timestamp)> {
    if path.starts_with("/proc") {
        return None;
    }
    let modified = fs::metadata(path).ok()?.modified().ok()?;
    let modified = Timestamp::try_from(modified).ok()?;
    // The start is known to a second only.
    let second = Timestamp::from_second(modified.as_second()).ok()?;
    (modified.as_second() > process.started?).then(|| (path.to_owned(), second))
}

fn of(process: &Running, proc: &Path, machine: &Machine, picture: &mut Picture) {
    let number = process.uid.to_string();
    let user = machine.user(&number).cloned().unwrap_or(User {
        name: number,
        uid: process.uid,
        home: None,
    });
    let mut chain = Vec::new();
    if let Some(unit) = &process.owner.unit {
        chain.push(Link::new(LinkKind::Unit, unit.to_string(), "runs"));
    }
    if let Some(container) = &process.owner.container {
        let short: String = container.chars().take(12).collect();
        chain.push(Link::new(LinkKind::Container, short, "runs"));
    }
    let since = process
        .started
        .and_then(|started| Timestamp::from_second(started).ok());
    let why = match since {
        Some(since) => format!("runs since {since}"),
        None => "runs".to_owned(),
    };
    let name = format!("{} (process {})", masked(&process.arguments), process.pid);
    chain.push(Link::new(LinkKind::Process, name, why));
    let trail = Trail {
        chain,
        rank: Rank::Process,
        next_run: Some(NextRun::On("now".into())),
        user: owner(machine, &user.name),
    };
    let command = Command {
        arguments: process.arguments.clone(),
        environment: surroundings(process, &user, proc, machine),
    };
    command::follow(&command, machine, &trail, picture);
}

fn surroundings(process: &Running, user: &User, proc: &Path, machine: &Machine) -> Environment {
    let mut environment = machine.bare_environment(user);
    if process.owner.container.is_some() {
        // It has a file system of its own.
        environment.root = proc.join(process.pid.to_string()).join("root");
        environment.home = None;
        environment.current_folder.clone_from(&environment.root);
        environment.unset("HOME");
    }
    if let Some(folder) = &process.folder {
        environment.current_folder = environment.absolute(folder);
    }
    let Some(own) = variables(proc, process.pid) else {
        return environment;
    };
    // Who started it may have had the same; then that is where they were set.
    let parents = variables(proc, process.parent).unwrap_or_default();
    for (name, value) in &own {
        let place = Place::Variable(format!("{name} of process {}", process.pid));
        let place = (parents.get(name) != Some(value)).then_some(place);
        assign(&mut environment, name, value, place.as_ref());
    }
    if !own.contains_key("HOME") && process.owner.container.is_none() {
        environment.unset("HOME");
    }
    environment
}

fn variables(proc: &Path, pid: u32) -> Option<Variables> {
    let block = Zeroizing::new(initial_environment(proc, pid)?);
    let of_one = |entry: &[u8]| {
        let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        Some((name.to_owned(), Zeroizing::new(value.to_owned())))
    };
    Some(block.split(|byte| *byte == 0).filter_map(of_one).collect())
}
