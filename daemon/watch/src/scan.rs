//! The whole look at a machine: what jobs use, what configurations hold, and what nobody explains.

use std::path::PathBuf;

use crate::{
    aws,
    catalogue::Catalogue,
    machine::Machine,
    picture::{Picture, Trail},
    tools::{rclone, variables},
};

/// Looks at the places that are known: configurations of who asks, and jobs. It takes no longer than
/// reading them.
#[must_use]
pub fn known(machine: &Machine) -> Picture {
    let mut picture = Picture::default();
    let (trail, own) = (Trail::configuration(), &machine.environment);
    variables::surroundings(own, &trail, &mut picture);
    rclone::configured(machine, own, &trail, &mut picture);
    aws::configured(machine, own, &trail, &mut picture);
    Catalogue::builtin().configurations(machine, &machine.user, &mut picture);
    picture.settle();
    picture
}

/// The files and folders on which [`known`] depends, whether or not they are there.
#[must_use]
pub fn interests(machine: &Machine) -> Vec<PathBuf> {
    let own = &machine.environment;
    let files = [
        crate::rclone::file(own),
        aws::credentials_file(own),
        aws::config_file(own),
    ];
    files.into_iter().flatten().collect()
}

/// Looks at files and folders that somebody names, and at nothing else.
#[must_use]
pub fn paths(machine: &Machine, paths: &[PathBuf]) -> Picture {
    let mut picture = Picture::default();
    let trail = Trail::configuration();
    for path in paths {
        let path = machine.environment.current_folder.join(path);
        if !path.is_file() {
            continue;
        }
        let catalogue = Catalogue::builtin();
        match catalogue.recognise(&path) {
            Some(row) => catalogue.file(row, &path, machine, &mut picture),
            None => rclone::configured_in(&path, machine, &trail, &mut picture),
        }
    }
    picture.settle();
    picture
}
