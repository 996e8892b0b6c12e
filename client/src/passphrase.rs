//! Takes a backup's passphrase from stdin or a terminal. It must never echo what it read, and never
//! take it from argv.

use std::io::{self, IsTerminal, Read};

use zeroize::Zeroizing;

use crate::error::{Error, Kind};

/// In bytes.
const LONGEST: usize = 1024;

/// A passphrase, wiped when it is dropped.
pub(crate) type Passphrase = Zeroizing<String>;

/// All of stdin; one line end is not part of it.
pub(crate) fn from_stdin() -> Result<Passphrase, Error> {
    read(io::stdin().lock())
}

/// Whether a person can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks; an empty answer is `None`.
pub(crate) fn prompt(what: &str) -> Result<Option<Passphrase>, Error> {
    let answer = rpassword::prompt_password(format!("{what} (not shown): "))
        .map(Zeroizing::new)
        .map_err(|error| {
            Error::new(
                Kind::Failed,
                format!("the terminal could not be read: {error}"),
            )
        })?;
    Ok((!answer.is_empty()).then_some(answer))
}

fn read(input: impl Read) -> Result<Passphrase, Error> {
    let refused = |why: &str| {
        Error::new(
            Kind::Invalid,
            format!("the passphrase was not taken: {why}"),
        )
        .next("give it on stdin, as one line")
    };
    // Allocated once, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 3));
    input
        .take(LONGEST as u64 + 2)
        .read_to_end(&mut bytes)
        .map_err(|_| refused("stdin could not be read"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| refused("it is not text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(refused("stdin is empty"));
    }
    if text.contains('\n') {
        return Err(refused("stdin has more than one line"));
    }
    if text.len() > LONGEST {
        return Err(refused("it is too long"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_taken_with_any_line_end_and_nothing_else_is() {
        for input in [
            "hunter2 hunter2",
            "hunter2 hunter2\n",
            "hunter2 hunter2\r\n",
        ] {
            assert_eq!(read(input.as_bytes()).unwrap().as_str(), "hunter2 hunter2");
        }
        let long = "s".repeat(LONGEST + 1);
        for input in ["", "\n", "hunter2\nhunter2", &long] {
            let error = read(input.as_bytes()).unwrap_err();
            assert!(!error.message.contains("hunter2"), "{}", error.message);
        }
    }
}
