//! `bascule completions`: what makes a shell complete names.

use clap::Args;
use clap_complete::Shell;
use serde::Serialize;

use super::Context;
use crate::{complete, error::Error, exit::Exit};

/// Print what makes a shell complete verbs, flags, and the names of connections, keys and findings
///
/// Names are asked of the daemon as you type; without one, verbs and flags are completed all the
/// same.
///
/// Examples:
///   bascule completions bash > ~/.local/share/bash-completion/completions/bascule
///   bascule completions zsh > ~/.zfunc/_bascule
///   bascule completions fish > ~/.config/fish/completions/bascule.fish
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// bash, zsh or fish
    shell: Shell,
}

#[derive(Serialize)]
struct Document {
    script: String,
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let script = complete::script(arguments.shell)?;
    match context.output.is_json() {
        true => context.output.document(&Document { script })?,
        false => context.output.raw(&script)?,
    }
    Ok(Exit::Ok)
}
