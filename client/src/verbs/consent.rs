//! The consent to change other programs' files: asked for on a terminal, given by --yes elsewhere.

use std::io::{self, BufRead, IsTerminal};

use crate::{
    credentials,
    error::{Error, Kind},
    output::Output,
};

/// Returns when the changes that were shown may be made. `command` is what the user ran.
pub(super) async fn to_changes(yes: bool, command: &str, output: Output) -> Result<(), Error> {
    if yes {
        return Ok(());
    }
    if output.is_json() || !credentials::can_ask() || !io::stderr().is_terminal() {
        let message = "nothing was changed: nobody has agreed to it yet";
        return Err(Error::new(Kind::Refused, message).next(format!("{command} --yes")));
    }
    output.stderr("Make these changes? [y/N] ");
    match agreed().await? {
        true => Ok(()),
        false => Err(Error::new(Kind::Refused, "nothing was changed")),
    }
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
