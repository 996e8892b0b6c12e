//! Control groups that a test makes for what it starts, as root.

use std::{
    fs,
    io::Result,
    path::{Path, PathBuf},
};

use crate::wait;

/// Makes one of a name in every hierarchy of this machine: there is one for all controllers, or one for each.
pub(crate) fn make_in_each_hierarchy(name: &str) -> Result<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    let is_hierarchy = |folder: &PathBuf| folder.join("cgroup.procs").exists();
    let mut hierarchies = vec![root.to_owned()];
    if !is_hierarchy(&hierarchies[0]) {
        // Some are known by further names, as links.
        hierarchies = fs::read_dir(root)?
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .filter(is_hierarchy)
            .collect();
    }
    let mut groups = Vec::new();
    for group in hierarchies.iter().map(|hierarchy| hierarchy.join(name)) {
        if let Err(error) = fs::create_dir(&group) {
            groups.iter().for_each(|made: &PathBuf| remove(made));
            return Err(error);
        }
        groups.push(group);
    }
    Ok(groups)
}

/// Removes one with all below it, as soon as the last process has left.
pub(crate) fn remove(group: &Path) {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path());
    }
    wait::until("the control group to be empty", || {
        let _ = fs::remove_dir(group);
        (!group.exists()).then_some(())
    });
}
