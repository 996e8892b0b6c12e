//! The consent to change other programs' files: asked for on a terminal, given by --yes elsewhere.

use std::{
    ffi::OsString,
    io::{self, BufRead, IsTerminal},
    path::Path,
};

use crate::{
    channel::quoted,
    credentials,
    error::{Error, Kind},
    output::Output,
};

/// Returns when the changes that were shown may be made.
pub(super) async fn to_changes(yes: bool, output: Output) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if output.is_json() || !credentials::can_ask() || !io::stderr().is_terminal() {
        let message = "nothing was changed: nobody has agreed to it yet";
        return Err(
            Error::new(Kind::Refused, message).next(again_with_yes(std::env::args_os().skip(1)))
        );
    }
    output.stderr("Make these changes? [y/N] ");
    match agreed().await? {
        true => Ok(()),
        false => Err(Error::new(Kind::Refused, "nothing was changed")),
    }
}

/// What was run, with the consent: whatever else was asked for stays. No secret is ever among it.
fn again_with_yes(arguments: impl Iterator<Item = OsString>) -> String {
    let arguments = arguments.map(|argument| quoted(Path::new(&argument)));
    let words: Vec<_> = std::iter::once("bascule".to_owned())
        .chain(arguments)
        .collect();
    format!("{} --yes", words.join(" "))
}

/// Whether a line is read that says yes.
pub(super) async fn agreed() -> Result<bool, Error> {
    // On a thread of its own: a signal must be heard while the terminal waits.
    let read = tokio::task::spawn_blocking(|| {
        let mut typed = String::new();
        io::stdin().lock().read_line(&mut typed).map(|_| typed)
    });
    let typed = read.await.map_err(io::Error::other).flatten();
    let typed = typed.map_err(|error| {
        let message = format!("the terminal could not be read: {error}");
        Error::new(Kind::Failed, message)
    })?;
    Ok(matches!(
        typed.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_stays_in_the_command_that_is_offered() {
        let typed = ["adopt", "rclone:my remote", "--connection", "backups"];
        let offered = again_with_yes(typed.iter().map(OsString::from));
        assert_eq!(
            offered,
            "bascule adopt 'rclone:my remote' --connection backups --yes"
        );
    }
}
