//! Takes the provider's credentials from stdin or a terminal. It must never echo what it read,
//! not even in an error, and never take a secret from argv.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use bascule_domain::{
    access_key::{AccessKeyId, AccessKeyIdError},
    secret::{Credentials, SecretError, SecretKey},
};
use bascule_proto::v1;
use zeroize::Zeroizing;

use crate::error::{Error, Kind};

/// More than two lines of the longest id and secret can have.
const LIMIT: usize = 1024;

/// Why what was read can't be credentials. It never holds what was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("stdin is empty")]
    Empty,
    #[error("stdin has one line only: the secret access key is missing")]
    NoSecret,
    #[error("stdin has {0} lines instead of two")]
    Lines(usize),
    #[error("stdin has more than {LIMIT} bytes")]
    TooLong,
    #[error("stdin is not text")]
    NotText,
    #[error("the first line is not an access key id")]
    Id(#[source] AccessKeyIdError),
    #[error("the second line is not a secret access key")]
    Secret(#[source] SecretError),
    #[error("it could not be read")]
    Read(#[source] io::Error),
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Self {
        let why = std::error::Error::source(&error)
            .map(|source| format!(": {source}"))
            .unwrap_or_default();
        Self::new(
            Kind::Invalid,
            format!("the credentials were not taken: {error}{why}"),
        )
        .next("give the access key id on the first line of stdin and the secret on the second")
    }
}

/// Reads credentials from stdin: prompts on a terminal, else two lines.
pub(crate) fn from_stdin() -> Result<Credentials, Error> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        prompt(stdin.lock())
    } else {
        Ok(read(stdin.lock())?)
    }
}

/// Whether a person can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// Two lines: id, secret. Line ends may be CRLF; the last may be missing.
pub(crate) fn read(input: impl Read) -> Result<Credentials, InputError> {
    // Allocated once, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    input
        .take(LIMIT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(InputError::Read)?;
    if bytes.len() > LIMIT {
        return Err(InputError::TooLong);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| InputError::NotText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(InputError::Empty);
    }
    let mut lines = text
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line));
    let id = lines.next().unwrap_or_default();
    let secret = lines.next().ok_or(InputError::NoSecret)?;
    match lines.count() {
        0 => credentials(id, secret),
        more => Err(InputError::Lines(more + 2)),
    }
}

fn credentials(id: &str, secret: &str) -> Result<Credentials, InputError> {
    Ok(Credentials {
        access_key_id: id.parse::<AccessKeyId>().map_err(InputError::Id)?,
        secret: SecretKey::parse(secret).map_err(InputError::Secret)?,
    })
}

fn prompt(mut input: impl BufRead) -> Result<Credentials, Error> {
    let failed = |error: io::Error| {
        Error::new(
            Kind::Failed,
            format!("the terminal could not be read: {error}"),
        )
    };
    let mut out = io::stderr();
    write!(out, "Access key id: ")
        .and_then(|()| out.flush())
        .map_err(failed)?;
    let mut id = String::new();
    input.read_line(&mut id).map_err(failed)?;
    let secret = Zeroizing::new(
        rpassword::prompt_password("Secret access key (not shown): ").map_err(failed)?,
    );
    Ok(credentials(id.trim(), secret.trim())?)
}

/// As the daemon takes them.
pub(crate) fn to_wire(credentials: &Credentials) -> v1::Credentials {
    v1::Credentials {
        access_key_id: credentials.access_key_id.to_string(),
        secret_access_key: credentials.secret.expose().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8]) -> Result<(String, String), InputError> {
        read(input).map(|c| (c.access_key_id.to_string(), c.secret.expose().to_owned()))
    }

    #[test]
    fn two_lines_are_taken_with_any_line_end() {
        for input in [
            &b"AKIAEXAMPLE\nsecret/+="[..],
            b"AKIAEXAMPLE\nsecret/+=\n",
            b"AKIAEXAMPLE\r\nsecret/+=\r\n",
            b"AKIAEXAMPLE\r\nsecret/+=",
        ] {
            let (id, secret) = check(input).unwrap();
            assert_eq!((id.as_str(), secret.as_str()), ("AKIAEXAMPLE", "secret/+="));
        }
    }

    #[test]
    fn anything_else_is_refused_and_never_echoed() {
        let long = [b"AKIAEXAMPLE\n".to_vec(), vec![b's'; 4096]].concat();
        for input in [
            &b""[..],
            b"\n",
            b"\r\n",
            b"AKIAHUNTER2",
            b"AKIAHUNTER2\n",
            b"AKIAHUNTER2\n\n",
            b"\nHUNTER2HUNTER2",
            b"AKIAHUNTER2\nHUNTER2\nmore",
            b"AKIAHUNTER2\nHUNTER2\n\n",
            b"AKIAHUNTER2 HUNTER2",
            b"AKIA HUNTER2\nHUNTER2",
            b"AKIAHUNTER2\nHUN TER2",
            b"AKIAHUNTER2\n\x1b[31mHUNTER2",
            b"AKIAHUNTER2\nHUNTER2\0",
            b"\xff\xfe\nHUNTER2",
            b"aws_access_key_id = AKIAHUNTER2\naws_secret_access_key = HUNTER2",
            &long,
        ] {
            let error = check(input).unwrap_err();
            let mut shown = format!("{error:?}");
            shown.push_str(&Error::from(error).message);
            assert!(!shown.contains("HUNTER2"), "{shown}");
        }
    }

    #[test]
    fn reading_stops_at_the_limit() {
        assert!(matches!(read(io::repeat(b'x')), Err(InputError::TooLong)));
    }
}
