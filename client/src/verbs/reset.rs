//! `bascule reset`: hands over to `basculed reset`. What it destroys is the daemon's business.

use std::{os::unix::process::CommandExt, path::PathBuf, process::Command};

use clap::Args;

use super::Context;
use crate::{
    error::{Error, Kind},
    exit::Exit,
    program,
};

/// Destroy everything Bascule keeps: connections, keys, tombstones, receipts
///
/// The way on when the store or its root key is lost. Every key stops working, and dead keys are
/// forgotten. The daemon must not be running. Buckets are not touched.
///
/// Example:
///   bascule reset --yes-lose-everything
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Says that all of it may go
    #[arg(long, required = true)]
    pub(crate) yes_lose_everything: bool,
    /// The daemon's state folder, if it is not at the default place
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, _: &Context) -> Result<Exit, Error> {
    let program = program::basculed()?;
    let mut command = Command::new(&program);
    command.arg("reset");
    if arguments.yes_lose_everything {
        command.arg("--yes-lose-everything");
    }
    if let Some(folder) = &arguments.state_dir {
        command.arg("--state-dir").arg(folder);
    }
    // On success this process is that program.
    let error = command.exec();
    Err(Error::new(
        Kind::Failed,
        format!("{} could not be run: {error}", program.display()),
    ))
}
