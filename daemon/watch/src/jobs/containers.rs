//! Podman's containers that systemd starts (Quadlet). What runs in one sees other files than the
//! machine: a path counts only where a volume shows it.

use std::path::PathBuf;

use bascule_formats::unit::{exec::words, specifier::Specifiers};

use super::{
    listed, owner,
    systemd::{Settings, apply_environment, read_unit},
    users,
};
use crate::{
    command::{self, Command},
    environment::Environment,
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
    let mut environment = Environment::of(None, machine.root.clone());
    environment.root.clone_from(&machine.root);
    apply_environment(
        &mut environment,
        "Container",
        &settings,
        &specifiers,
        &trail,
        picture,
    );
    let volumes = Volumes::of(&settings, &specifiers);
    let mut inside = environment.clone();
    for (name, value, _) in environment.variables() {
        if let Some(outside) = volumes.outside(value) {
            inside.set_at(name, outside, environment.place_of(name));
        }
    }
    // rclone's own image keeps its configuration there.
    let program = program(&image.value);
    if program == "rclone"
        && inside.set_variable("RCLONE_CONFIG").is_none()
        && let Some(outside) = volumes.outside("/config/rclone/rclone.conf")
    {
        inside.set("RCLONE_CONFIG", outside);
    }
    let exec = settings.last("Container", "Exec");
    let exec = exec.map_or_else(Vec::new, |(exec, _)| words(&exec.value).unwrap_or_default());
    let mut arguments = vec![program.to_owned()];
    arguments.extend(
        exec.into_iter()
            .map(|word| volumes.argument(&specifiers.expand(&word.text))),
    );
    let command = Command {
        arguments,
        environment: inside,
    };
    command::follow_at(&command, Some(&place), "runs", machine, &trail, picture);
}

/// `docker.io/rclone/rclone:1.70` is mostly named after what it runs.
fn program(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split(['@', ':']).next().unwrap_or(name);
    match name {
        "aws-cli" => "aws",
        name => name,
    }
}

/// What of the machine is seen where in a container.
struct Volumes(Vec<(String, String)>);

impl Volumes {
    fn of(settings: &Settings<'_>, specifiers: &Specifiers) -> Self {
        let volumes = settings.list("Container", "Volume").into_iter();
        let pair = |text: String| {
            let mut parts = text.split(':');
            let (outside, inside) = (parts.next()?, parts.next()?);
            let pair = (inside.trim_end_matches('/').to_owned(), outside.to_owned());
            outside.starts_with('/').then_some(pair)
        };
        Self(
            volumes
                .filter_map(|(setting, _)| pair(specifiers.expand(&setting.value)))
                .collect(),
        )
    }

    /// Where a path of the container lies on the machine, if a volume shows it.
    fn outside(&self, path: &str) -> Option<String> {
        let fits = |(inside, outside): &(String, String)| {
            let below = path.strip_prefix(inside.as_str())?;
            let whole = below.is_empty() || below.starts_with('/');
            whole.then(|| (inside.len(), format!("{outside}{below}")))
        };
        let all = self.0.iter().filter_map(fits);
        all.max_by_key(|(length, _)| *length).map(|(_, path)| path)
    }

    /// An argument, with the path in it made to one of the machine.
    fn argument(&self, argument: &str) -> String {
        match argument.split_once('=') {
            Some((name, value)) if name.starts_with('-') => match self.outside(value) {
                Some(outside) => format!("{name}={outside}"),
                None => argument.to_owned(),
            },
            _ => self
                .outside(argument)
                .unwrap_or_else(|| argument.to_owned()),
        }
    }
}
