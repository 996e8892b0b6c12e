//! Changes other tools' files, as the user who runs the command. What changes is decided by
//! `bascule-formats` from the text alone: first before anything is asked of the daemon, then again
//! when it is made, from the text as it is then. No byte outside the decided places may change, and
//! no error may hold what a file does.

use std::path::Path;

use bascule_formats::{Edit, edit};
use bascule_os::{OwnFile, OwnFileError, Replaced};

use crate::error::{Error, Kind};

/// No tool's configuration is larger (threats.md F2).
const LARGEST_FILE: u64 = 1024 * 1024;

/// Finds out whether the change can be made, and changes nothing. `decide` is given the text of
/// the file; `None` if there is no file.
pub(crate) fn check(
    path: &Path,
    decide: impl FnOnce(Option<&str>) -> Result<Vec<Edit>, Error>,
) -> Result<(), Error> {
    let file = look(path)?;
    decide(text(&file, path)?).map(|_| ())
}

/// Makes the change, durably; what was there before is kept beside it.
pub(crate) fn make(
    path: &Path,
    decide: impl FnOnce(Option<&str>) -> Result<Vec<Edit>, Error>,
) -> Result<Replaced, Error> {
    let file = look(path)?;
    let old = text(&file, path)?;
    let edits = decide(old)?;
    let new = edit::apply(old.unwrap_or_default(), &edits)
        .map_err(|error| Error::new(Kind::Failed, error.to_string()))?;
    file.replace(new.as_bytes())
        .map_err(|error| refused(&error))
}

fn look(path: &Path) -> Result<OwnFile, Error> {
    OwnFile::look(path, LARGEST_FILE).map_err(|error| refused(&error))
}

fn text<'a>(file: &'a OwnFile, path: &Path) -> Result<Option<&'a str>, Error> {
    file.bytes()
        .map(std::str::from_utf8)
        .transpose()
        .map_err(|_| {
            let message = format!("{} is not UTF-8 text", path.display());
            Error::new(Kind::Refused, message)
        })
}

fn refused(error: &OwnFileError) -> Error {
    let kind = match error {
        OwnFileError::Io { .. } | OwnFileError::Path(_) => Kind::Failed,
        _ => Kind::Refused,
    };
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    Error::new(kind, message)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn only_the_decided_place_changes_and_an_error_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conf");
        std::fs::write(&path, "a = 1\r\nb = 2").unwrap();
        let edit = |text: Option<&str>| {
            let at = text.unwrap().find('1').unwrap();
            Ok(vec![Edit {
                span: at..at + 1,
                text: Zeroizing::new("3".into()),
            }])
        };
        check(&path, edit).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a = 1\r\nb = 2");
        make(&path, edit).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a = 3\r\nb = 2");
        let no = |_: Option<&str>| Err(Error::new(Kind::Refused, "no"));
        assert_eq!(make(&path, no).unwrap_err().message, "no");
        assert_eq!(std::fs::read(&path).unwrap(), b"a = 3\r\nb = 2");
    }

    #[test]
    fn a_file_that_is_no_text_is_refused_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conf");
        std::fs::write(&path, b"hunter2\xff").unwrap();
        let error = check(&path, |_| Ok(Vec::new())).unwrap_err();
        assert_eq!(error.kind, Kind::Refused);
        assert!(!error.message.contains("hunter2"));
    }
}
