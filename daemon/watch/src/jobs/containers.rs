//! Podman's containers that systemd starts (Quadlet).

use std::path::PathBuf;

use bascule_formats::{
    compose::Bind,
    unit::{exec::words, specifier::Specifiers},
};

use super::{
    listed, owner,
    systemd::{Settings, apply_environment, read_unit},
    users,
};
use crate::{
    container::Container,
    machine::{Machine, User},
    picture::{Link, LinkKind, NextRun, Picture, Rank, Trail},
};

const SYSTEM: [&str; 3] = [
    "/etc/containers/systemd",
    "/run/containers/systemd",
    "/usr/share/containers/systemd",
];
const REMEDY: &str = "run it as root";

fn own_folder(user: &User) -> Option<PathBuf> {
    Some(user.home.as_ref()?.join(".config/containers/systemd"))
}

pub(super) fn folders(machine: &Machine) -> Vec<PathBuf> {
    let system = SYSTEM.iter().map(|folder| machine.path(folder));
    system
        .chain(users(machine).into_iter().filter_map(own_folder))
        .collect()
}

pub(super) fn look(machine: &Machine, picture: &mut Picture) {
    let root = machine.user("root").cloned();
    for folder in SYSTEM.iter().map(|folder| machine.path(folder)) {
        for name in listed(&folder, REMEDY, picture) {
            unit(&folder, &name, root.as_ref(), false, machine, picture);
        }
    }
    for user in users(machine) {
        // A home that is closed is told with the user's units.
        let Some(folder) = own_folder(user).filter(|folder| folder.is_dir()) else {
            continue;
        };
        for name in listed(&folder, REMEDY, picture) {
            unit(&folder, &name, Some(user), true, machine, picture);
        }
    }
}

fn unit(
    folder: &std::path::Path,
    name: &str,
    user: Option<&User>,
    own: bool,
    machine: &Machine,
    picture: &mut Picture,
) {
    let Some(stem) = name.strip_suffix(".container") else {
        return;
    };
    let path = folder.join(name);
    let Some(text) = read_unit(&path, picture) else {
        return;
    };
    let settings = Settings::of(&text);
    let Some((image, at)) = settings.last("Container", "Image") else {
        return;
    };
    let enabled = ["WantedBy", "RequiredBy"]
        .iter()
        .any(|key| settings.last("Install", key).is_some());
    let (rank, next) = match (enabled, own) {
        (true, false) => (Rank::Scheduled, NextRun::On("at boot".into())),
        (true, true) => (Rank::Scheduled, NextRun::On("at login".into())),
        (false, _) => (
            Rank::Manual,
            NextRun::Never("nothing starts it by itself".into()),
        ),
    };
    let place = crate::found::Place::File {
        path: at.to_owned(),
        line: image.line(),
    };
    let link = Link::new(LinkKind::Container, format!("{stem}.service"), "runs");
    let trail = Trail {
        chain: vec![link.at(place.clone())],
        rank,
        next_run: Some(next),
        user: user.and_then(|user| owner(machine, &user.name)),
    };
    let specifiers = Specifiers {
        unit: format!("{stem}.service"),
        home: user.and_then(|user| Some(user.home.as_ref()?.display().to_string())),
        ..Specifiers::default()
    };
    let mut container = Container::of(image.value.to_string(), machine);
    apply_environment(
        &mut container.environment,
        "Container",
        &settings,
        &specifiers,
        &trail,
        picture,
    );
    for (volume, _) in settings.list("Container", "Volume") {
        let volume = Bind::short(&specifiers.expand(&volume.value));
        if let Some(volume) = volume.filter(|volume| volume.source.starts_with('/')) {
            container.show(&volume.target, volume.source);
        }
    }
    let split = |key| {
        let found = settings.last("Container", key);
        let split = found.map_or_else(Vec::new, |(text, _)| words(&text.value).unwrap_or_default());
        let words = split.into_iter();
        words
            .map(|word| specifiers.expand(&word.text))
            .collect::<Vec<_>>()
    };
    container.entrypoint = split("Entrypoint");
    container.command = split("Exec");
    container.follow(&place, machine, &trail, picture);
}
