//! What runs in a container: its program and variables, and which of the machine's files it sees where.
//! A path in a container is one of the machine only where a volume shows it.

use std::path::{Path, PathBuf};

use crate::{
    Catalogue,
    command::{self, Command},
    environment::Environment,
    found::Place,
    machine::Machine,
    picture::{Picture, Trail},
    tools::{self, variables},
};

/// Where programs in a container look for their configuration, and the variable that says so.
const CONFIGURATIONS: [(&str, &str); 6] = [
    ("RCLONE_CONFIG", "/config/rclone/rclone.conf"),
    ("RCLONE_CONFIG", "~/.config/rclone/rclone.conf"),
    ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    ("AWS_CONFIG_FILE", "~/.aws/config"),
    ("MC_CONFIG_DIR", "~/.mc"),
    ("S3CMD_CONFIG", "~/.s3cfg"),
];

/// A container as it would be started.
pub(crate) struct Container {
    pub(crate) image: String,
    /// What replaces the image's entry point.
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    /// Its variables and volumes. The root is the machine's.
    pub(crate) environment: Environment,
}

impl Container {
    /// Without variables and volumes.
    pub(crate) fn of(image: String, machine: &Machine) -> Self {
        let mut environment = Environment::of(None, machine.root.clone());
        environment.root.clone_from(&machine.root);
        Self {
            image,
            entrypoint: Vec::new(),
            command: Vec::new(),
            environment,
        }
    }

    /// Adds what it uses. The place is where its program is told.
    pub(crate) fn follow(
        &self,
        place: &Place,
        machine: &Machine,
        trail: &Trail,
        picture: &mut Picture,
    ) {
        let before = picture.uses.len();
        let command = Command {
            arguments: self.words(),
            environment: self.configured(machine),
        };
        command::follow_at(&command, Some(place), "runs", machine, trail, picture);
        if picture.uses.len() == before {
            // Whatever it runs, it was given a key for something.
            variables::uses(&command, trail, picture);
        }
        self.shown(before, machine, trail, picture);
    }

    /// What it runs, as far as that can be told without its image.
    fn words(&self) -> Vec<String> {
        let knows = |words: &[String]| {
            let program = words.first().map_or("", String::as_str);
            tools::is_known(program.rsplit('/').next().unwrap_or(program))
        };
        let named = [program(&self.image).to_owned()];
        let entrypoint = match self.entrypoint.as_slice() {
            // Mostly a script of the image that ends in what it is given.
            given if knows(&self.command) && !knows(given) => &[],
            [] => named.as_slice(),
            given => given,
        };
        [entrypoint, &self.command].concat()
    }

    /// Its variables, and those that say where its configurations are.
    fn configured(&self, machine: &Machine) -> Environment {
        let own = &self.environment;
        let mut environment = own.clone();
        let home = own.variable("HOME").unwrap_or("/root");
        // What is there goes first; what is shown and is not there is told as missing.
        for there in [true, false] {
            for (variable, path) in CONFIGURATIONS {
                let inside = path.replacen('~', home, 1);
                if environment.set_variable(variable).is_none()
                    && let Some(outside) = own.shown(Path::new(&inside))
                    && machine.path(&outside.to_string_lossy()).exists() == there
                {
                    environment.set(variable, inside);
                }
            }
        }
        environment
    }

    /// Shows a path of the machine, as its programs see it, somewhere in the container.
    pub(crate) fn show(&mut self, inside: &str, outside: impl Into<PathBuf>) {
        let outside = outside.into();
        self.environment.volumes.insert(inside.into(), outside);
    }

    /// Adds configurations that are shown to it one by one, of programs whose arguments do not lead to
    /// them. `before`: the uses that are none of its own.
    fn shown(&self, before: usize, machine: &Machine, trail: &Trail, picture: &mut Picture) {
        let catalogue = Catalogue::builtin();
        for (inside, outside) in &self.environment.volumes {
            let path = machine.path(&outside.to_string_lossy());
            let is_known =
                |place: &Place| matches!(place, Place::File { path: known, .. } if *known == path);
            let mut uses = picture.uses.iter().skip(before);
            if !path.is_file() || uses.any(|found| is_known(&found.key.place)) {
                continue;
            }
            let row = catalogue.recognise(inside);
            let Some(row) = row.or_else(|| catalogue.recognise(&path)) else {
                continue;
            };
            let from = picture.uses.len();
            catalogue.file(row, &path, machine, picture);
            for found in picture.uses.iter_mut().skip(from) {
                found.chain.splice(0..0, trail.chain.iter().cloned());
                found.rank = found.rank.min(trail.rank);
                found.next_run.clone_from(&trail.next_run);
                found.user.clone_from(&trail.user);
            }
        }
    }
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
