//! `bascule man`: the manual pages, made of what `--help` is made of.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use serde::Serialize;

use super::Context;
use crate::{
    cli,
    error::{Error, Kind},
    exit::Exit,
};

/// Print the manual page, or write one for each verb into a folder
///
/// Examples:
///   bascule man | man -l -
///   bascule man ~/.local/share/man/man1
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Where to write them; it must exist
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document<'a> {
    folder: &'a str,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let command = cli::Arguments::command();
    let Some(folder) = arguments.folder else {
        let mut page = Vec::new();
        let made = clap_mangen::Man::new(command).render(&mut page);
        made.map_err(|error| Error::new(Kind::Failed, error.to_string()))?;
        context.output.raw(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Ok);
    };
    let failed = |error: std::io::Error| {
        Error::new(
            Kind::Failed,
            format!(
                "the pages can't be written to {}: {error}",
                folder.display()
            ),
        )
        .next("bascule man DIR, with a folder that exists and is yours")
    };
    clap_mangen::generate_to(command, &folder).map_err(failed)?;
    let shown = folder.display().to_string();
    let document = Document { folder: &shown };
    context.output.result(&document, || {
        format!("written to {shown}; to read one: man {shown}/bascule.1\n")
    })?;
    Ok(Exit::Ok)
}
