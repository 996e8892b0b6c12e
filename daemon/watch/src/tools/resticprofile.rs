//! resticprofile: the profile that a run names, and those that it inherits from.

use bascule_formats::Pattern;

use super::{listed, order::Order, restic};
use crate::{
    catalogue::Catalogue,
    command::Command,
    machine::Machine,
    picture::{Picture, Trail},
};

/// Profiles that inherit from one another go no deeper.
const DEEPEST: usize = 8;

/// Adds the keys that a run of `resticprofile` would use: `--name PROFILE` or `PROFILE.COMMAND`.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let Some(row) = Catalogue::builtin().row("resticprofile") else {
        return;
    };
    let named = row.name_flags.iter().find_map(|flag| command.option(flag));
    let dotted = command
        .arguments
        .iter()
        .skip(1)
        .filter(|argument| !argument.starts_with('-') && !argument.contains('/'))
        .find_map(|argument| argument.rsplit_once('.').map(|(profile, _)| profile));
    let mut profile = named.or(dotted).unwrap_or("default").to_owned();
    let mut order = Order::new(picture);
    for _ in 0..DEEPEST {
        order.then(|picture| listed::files(row, command, Some(&profile), trail, picture));
        match parent(row, command, &profile) {
            Some(parent) => profile = parent,
            None => break,
        }
    }
    // A profile without a key of its own leaves it to restic.
    restic::behind(row, None, command, machine, trail, &mut order);
}

/// What a profile inherits from.
fn parent(row: &crate::catalogue::Row, command: &Command, profile: &str) -> Option<String> {
    let patterns: Vec<Pattern> = ["*.inherit", "profiles.*.inherit"]
        .iter()
        .filter_map(|pattern| pattern.parse().ok())
        .collect();
    listed::paths(row, command)
        .0
        .iter()
        .find_map(|path| row.value(path, &patterns, |bound| bound == profile))
}
