//! Writes planned files, and puts back what stood there. It never makes a copy beside a file: the daemon
//! keeps the originals, sealed.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use bascule_formats::revise;
use bascule_os::{OwnFile, OwnFileError};
use bascule_watch::adopt::{FilePlan, Plan};
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::error::{Error, Kind};

/// No tool's configuration is larger (threats.md F2).
pub(crate) const LARGEST_FILE: u64 = 1024 * 1024;

/// The digest that tells a text from others.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// A file's text as it is now, if the user may change it. The text says why not, and what to do instead.
pub(crate) fn text(path: &Path) -> Result<Zeroizing<String>, String> {
    let file = OwnFile::look(path, LARGEST_FILE).map_err(|error| told(&error))?;
    let bytes = file
        .bytes()
        .ok_or_else(|| "it is not there any more".to_owned())?;
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if let Some(line) = revise::managed(text) {
        return Err(format!(
            "another program manages it ({line}): change it there, since what is written here would be lost"
        ));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Writes the files of a plan, the later ones only when the earlier ones are written. When one can't be,
/// those before it are put back.
pub(crate) fn write(plan: &Plan) -> Result<(), Error> {
    for (at, file) in plan.files.iter().enumerate() {
        if let Err(error) = replace(&file.path, file.before.as_bytes(), file.after.as_bytes()) {
            let kept = put_back(&plan.files[..at]);
            return Err(match kept {
                Ok(()) => error,
                Err(second) => Error::new(
                    Kind::Failed,
                    format!("{}; and {}", error.message, second.message),
                ),
            });
        }
    }
    Ok(())
}

/// Puts back what stood in the files, where nobody has changed them since.
pub(crate) fn put_back(files: &[FilePlan]) -> Result<(), Error> {
    let mut first = None;
    for file in files.iter().rev() {
        let back = replace(&file.path, file.after.as_bytes(), file.before.as_bytes());
        if let Err(error) = back {
            first.get_or_insert(error);
        }
    }
    first.map_or(Ok(()), Err)
}

/// Replaces a file that holds exactly what is expected.
pub(crate) fn replace(path: &Path, expected: &[u8], new: &[u8]) -> Result<(), Error> {
    let refused = |why: String| {
        let message = format!("{} is left as it is: {why}", path.display());
        Error::new(Kind::Refused, message)
    };
    let file = OwnFile::look(path, LARGEST_FILE).map_err(|error| refused(told(&error)))?;
    match file.bytes() {
        Some(now) if now == new => return Ok(()),
        Some(now) if now == expected => {}
        Some(_) => return Err(refused("it was changed meanwhile; look again".into())),
        None => return Err(refused("it is gone".into())),
    }
    match file.rewrite(new) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(told(&error))),
    }
}

/// What is told of a file that can't be changed, with what to do.
fn told(error: &OwnFileError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    if matches!(error, OwnFileError::NotOurs { .. }) {
        text.push_str(
            "; run bascule as that user, or as root with that user's daemon: --socket PATH",
        );
    }
    text
}

/// Whether others than the owner can read a file that holds a key.
pub(crate) fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

/// The paths of a plan.
pub(crate) fn paths(plan: &Plan) -> Vec<PathBuf> {
    plan.files.iter().map(|file| file.path.clone()).collect()
}
