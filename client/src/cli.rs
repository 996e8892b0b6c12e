//! The forms of the command line. Scripts rely on them: they are added to, never changed.

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::{
    error::{Error, Kind},
    exit::{self, Exit},
    output::Output,
    verbs::Verb,
};

/// Keep storage connections, give each tool a key of its own, and delete connections safely.
///
/// Bascule stands between your tools and your buckets. Each tool gets its own key; deleting a
/// connection kills every key at once and for good, and proves that the buckets were not touched.
///
/// The daemon `basculed` must be running. Try it first without one: bascule demo
#[derive(Debug, Parser)]
#[command(name = "bascule", version, after_long_help = exit::help(), after_help = "Concepts: bascule help. Exit codes and more: bascule --help", disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Print one JSON document instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The daemon's socket, if it is not at the default place
    #[arg(long, global = true, value_name = "PATH", env = "BASCULE_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Prints what clap says, or the same as a JSON error if that was asked for.
pub(crate) fn refuse(refusal: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    if wants_json && refusal.use_stderr() {
        let text = refusal.render().to_string();
        let message = text
            .trim_start_matches("error: ")
            .lines()
            .map(str::trim)
            .take_while(|line| !line.starts_with("Usage") && !line.starts_with("For more"))
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let error = Error::new(Kind::Invalid, message).next("bascule --help");
        Output::new(true).error(&error);
        return Exit::Usage.into();
    }
    // A closed pipe is all that can go wrong here.
    refusal.print().ok();
    if refusal.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::Ok.into()
    }
}

/// Whether a command line that is shown to people, without what a shell makes of it, is taken.
#[cfg(test)]
pub(crate) fn shown_is_taken(line: &str) -> Result<(), String> {
    let line = line.split(" #").next().unwrap_or_default();
    // What stands in quotes is one word.
    let parts = line.split(['\'', '"']).enumerate();
    let line: String = parts
        .map(|(number, part)| match number % 2 {
            0 => part.to_owned(),
            _ => part.replace(' ', "_"),
        })
        .collect();
    let words = line.split_whitespace();
    let mut own = Vec::new();
    for word in words.take_while(|word| !matches!(*word, "|" | ">" | "<" | "&&" | ";")) {
        own.push(word.trim_end_matches(';'));
        if word.ends_with(';') {
            break;
        }
    }
    let parsed = Arguments::try_parse_from(own);
    match parsed {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "cli/tests.rs"]
mod tests;
