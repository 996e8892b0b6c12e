//! What each tool makes of its arguments and surroundings: one file a tool, one function each, or a
//! row of the table where that says it all. A tool that is not listed is still looked at for the
//! variables that a job sets for it.

mod aws;
mod crestic;
mod duplicity;
mod listed;
mod litestream;
mod mc;
mod order;
pub mod rclone;
pub(crate) mod restic;
mod resticprofile;
mod s3cmd;
mod s3fs;
mod s5cmd;
pub(crate) mod variables;

use crate::{
    catalogue::Catalogue,
    command::Command,
    machine::Machine,
    picture::{Picture, Trail},
};

/// What a command of one tool leads to.
type Tool = fn(&Command, &Machine, &Trail, &mut Picture);

/// Which function knows which program.
const TOOLS: &[(&str, Tool)] = &[
    ("autorestic", restic::front),
    ("aws", aws::uses),
    ("backrest", restic::front),
    ("borgmatic", restic::front),
    ("crestic", crestic::uses),
    ("duplicity", duplicity::uses),
    ("litestream", litestream::uses),
    ("mc", mc::uses),
    ("mcli", mc::uses),
    ("mount.fuse.s3fs", s3fs::uses),
    ("mount.rclone", rclone::mount_uses),
    ("rclone", rclone::uses),
    ("rclonefs", rclone::mount_uses),
    ("restic", restic::uses),
    ("resticprofile", resticprofile::uses),
    ("s3cmd", s3cmd::uses),
    ("s3fs", s3fs::uses),
    ("s5cmd", s5cmd::uses),
];

/// Whether a program is one of them.
pub(crate) fn is_known(program: &str) -> bool {
    TOOLS.iter().any(|(name, _)| *name == program)
        || Catalogue::builtin().of_program(program).is_some()
}

/// Adds the keys that a command of a tool would use.
pub fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let program = command.program();
    if let Some((_, tool)) = TOOLS.iter().find(|(name, _)| *name == program) {
        tool(command, machine, trail, picture);
    } else if let Some(row) = Catalogue::builtin().of_program(program) {
        listed::uses(row, command, machine, trail, picture);
    } else {
        variables::uses(command, trail, picture);
    }
}

#[cfg(test)]
mod tests;
