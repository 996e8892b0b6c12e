//! What each tool makes of its arguments and surroundings: one file a tool, one function each. A
//! tool that is not listed is still looked at for the variables that a job sets for it.

mod aws;
pub mod rclone;
pub(crate) mod variables;

use crate::{
    command::Command,
    machine::Machine,
    picture::{Picture, Trail},
};

/// What a command of one tool leads to.
type Tool = fn(&Command, &Machine, &Trail, &mut Picture);

/// Which function knows which program.
const TOOLS: &[(&str, Tool)] = &[
    ("aws", aws::uses),
    ("mount.rclone", rclone::mount_uses),
    ("rclone", rclone::uses),
    ("rclonefs", rclone::mount_uses),
];

/// Adds the keys that a command of a tool would use.
pub fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let program = command.program();
    match TOOLS.iter().find(|(name, _)| *name == program) {
        Some((_, tool)) => tool(command, machine, trail, picture),
        None => variables::uses(command, trail, picture),
    }
}

#[cfg(test)]
mod tests;
