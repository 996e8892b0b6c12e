//! `bascule demo`: the whole story on a daemon of its own.

use clap::Args;

use super::Context;
use crate::{demo, error::Error, exit::Exit};

/// Show the whole story in a few seconds, on a daemon of its own
///
/// Starts the real daemon in a temporary folder, connects a folder of files, issues a key, uses
/// it through the gateway, deletes the connection, and checks that the key is dead and the files
/// are still there. Nothing of yours is touched and nothing is left behind. The exit code is not
/// 0 if anything differs from what it should be.
///
/// Example:
///   bascule demo
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: Arguments, context: &Context) -> Result<Exit, Error> {
    demo::run(context.output).await
}
