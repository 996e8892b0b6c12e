//! `bascule man`: the manual pages, made of what `--help` is made of.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory};
use clap_mangen::Man;
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
    /// Where to write them; it is made if it is not there
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document<'a> {
    folder: &'a str,
}

pub(crate) fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let command = cli::Arguments::command();
    let Some(folder) = arguments.folder else {
        let page = page(&Man::new(command))
            .map_err(|error| Error::new(Kind::Failed, error.to_string()))?;
        context.output.raw(&page)?;
        return Ok(Exit::Ok);
    };
    let failed = |error: io::Error| {
        Error::new(
            Kind::Failed,
            format!(
                "the pages can't be written to {}: {error}",
                folder.display()
            ),
        )
        .next("bascule man DIR, with a folder that is yours")
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write(command, &folder).map_err(failed)?;
    let shown = folder.display().to_string();
    let document = Document { folder: &shown };
    context.output.result(&document, || {
        format!("written to {shown}; to read one: man {shown}/bascule.1\n")
    })?;
    Ok(Exit::Ok)
}

/// The page of a command and those of all below it.
fn write(command: clap::Command, folder: &Path) -> io::Result<()> {
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    for verb in shown.cloned() {
        write(verb, folder)?;
    }
    let man = Man::new(command);
    std::fs::write(folder.join(man.get_filename()), page(&man)?)
}

/// Examples are lines to be pasted: they are neither filled nor hyphenated.
fn page(man: &Man) -> io::Result<String> {
    let mut rendered = Vec::new();
    man.render(&mut rendered)?;
    let rendered = String::from_utf8(rendered).map_err(io::Error::other)?;
    let mut page = String::with_capacity(rendered.len());
    let mut as_it_is = false;
    for line in rendered.lines() {
        let example = line.starts_with("  ");
        if example != as_it_is {
            page.push_str(if example { ".nf\n" } else { ".fi\n" });
            as_it_is = example;
        }
        page.push_str(line);
        page.push('\n');
        if line.starts_with(".TH ") {
            page.push_str(".nh\n");
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_keep_their_lines() {
        let command = clap::Command::new("tool").long_about(
            "Does it\n\nExamples:\n  tool --credentials-stdin \\\n      --bucket b\n  tool\n\nMore.",
        );
        let page = page(&Man::new(command)).unwrap();
        let examples = "Examples:\n.nf\n  tool \\-\\-credentials\\-stdin \\\\\n      \\-\\-bucket b\n  tool\n.fi\n";
        assert!(page.contains(examples), "{page}");
        assert_eq!(page.matches(".nh").count(), 1);
    }
}
