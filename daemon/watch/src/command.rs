//! From a command line to the keys that it would use. A command is what a job, a script or a process
//! runs; it is read, never run.

use std::path::PathBuf;

use crate::{
    environment::Environment,
    machine::Machine,
    picture::{Picture, Trail},
    tools,
};

/// A command line with the surroundings it runs in.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments, as the program gets them.
    pub arguments: Vec<String>,
    /// Its surroundings: those of the job that runs it.
    pub environment: Environment,
}

impl Command {
    /// The program's name without its folder.
    #[must_use]
    pub fn program(&self) -> &str {
        let program = self.arguments.first().map_or("", String::as_str);
        program.rsplit('/').next().unwrap_or(program)
    }

    /// The value of an option: of `--name VALUE` and `--name=VALUE`, the last one that is given.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut value = None;
        for (at, argument) in self.arguments.iter().enumerate().skip(1) {
            if argument == "--" {
                break;
            }
            let Some(rest) = argument.strip_prefix(name) else {
                continue;
            };
            if rest.is_empty() {
                value = self.arguments.get(at + 1).map(String::as_str);
            } else if let Some(rest) = rest.strip_prefix('=') {
                value = Some(rest);
            }
        }
        value
    }

    /// A path that an argument names, as it lies on this machine.
    #[must_use]
    pub fn path(&self, argument: &str) -> PathBuf {
        self.environment.absolute(argument.as_ref())
    }
}

/// Adds what a command leads to.
pub fn follow(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    tools::uses(command, machine, trail, picture);
}
