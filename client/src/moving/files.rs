//! Writes planned files, and puts back what stood there. It never makes a copy beside a file: the daemon
//! keeps the originals, sealed.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use bascule_formats::revise;
use bascule_os::{Link, OwnFile, OwnFileError};
use bascule_watch::adopt::{FilePlan, Plan};
use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::encrypted;
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
    if let Some(Link::WorkTree { root, .. }) = file.link() {
        return Err(format!(
            "it is a link into a Git work tree ({}), where a key would be committed: put the file there outside of it, or move it by hand",
            root.display()
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
    if let Some(opened) = encrypted::opened(text) {
        return opened;
    }
    if let Some(line) = revise::managed(text) {
        return Err(format!(
            "another program manages it ({line}): change it there, since what is written here would be lost"
        ));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// The bytes of a file as they are now, encrypted or not.
pub(crate) fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let refused = |why: String| Error::new(Kind::Refused, format!("{}: {why}", path.display()));
    let file = OwnFile::look(path, LARGEST_FILE).map_err(|error| refused(told(&error)))?;
    let bytes = file
        .bytes()
        .ok_or_else(|| refused("it is not there any more".into()))?;
    Ok(Zeroizing::new(bytes.to_vec()))
}

/// What tells the files, as they are now, from others.
pub(crate) fn digests(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Error> {
    let of = |path: &PathBuf| Ok((path.clone(), digest_of(&bytes(path)?)));
    paths.iter().map(of).collect()
}

/// Whether a file is one that only its tool writes.
pub(crate) fn is_encrypted(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(bascule_formats::rclone::is_encrypted)
}

/// Writes the files of a plan, the later ones only when the earlier ones are written. When one can't be,
/// those before it are put back.
pub(crate) async fn write(plan: &Plan) -> Result<(), Failure> {
    for (at, file) in plan.files.iter().enumerate() {
        let before = match bytes(&file.path) {
            Ok(before) => before,
            Err(error) => return Err(after(error, &plan.files[..at]).await),
        };
        if let Err(error) = put(file, Direction::There).await {
            // rclone may have written before it failed, and a folder may fail to be synced after that.
            let ours = |now: &[u8]| is_encrypted(&before) || now == file.after.as_bytes();
            let written = bytes(&file.path).is_ok_and(|now| *now != *before && ours(&now));
            let done = if written { at + 1 } else { at };
            return Err(after(error, &plan.files[..done]).await);
        }
    }
    Ok(())
}

/// Why files were not changed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// They are as they were.
    PutBack(Error),
    /// Some could not be put back: what they hold now is in use.
    Stuck(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::PutBack(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::PutBack(error) | Failure::Stuck(error) => error,
        }
    }
}

/// Puts back what was written before something failed.
pub(crate) async fn after(error: Error, files: &[FilePlan]) -> Failure {
    match put_back(files).await {
        Ok(()) => Failure::PutBack(error),
        Err(second) => {
            let message = format!(
                "{}; and it could not be put back: {}",
                error.message, second.message
            );
            Failure::Stuck(Error::new(Kind::Failed, message))
        }
    }
}

/// Puts back what stood in the files, where nobody has changed them since.
async fn put_back(files: &[FilePlan]) -> Result<(), Error> {
    let mut first = None;
    for file in files.iter().rev() {
        if let Err(error) = put(file, Direction::Back).await {
            first.get_or_insert(error);
        }
    }
    first.map_or(Ok(()), Err)
}

#[derive(Clone, Copy)]
enum Direction {
    There,
    Back,
}

async fn put(file: &FilePlan, direction: Direction) -> Result<(), Error> {
    let (from, to) = match direction {
        Direction::There => (&file.before, &file.after),
        Direction::Back => (&file.after, &file.before),
    };
    if !is_encrypted(&bytes(&file.path)?) {
        return replace(&file.path, from.as_bytes(), to.as_bytes());
    }
    let remote = file.part.trim_start_matches('[').trim_end_matches(']');
    let settings = file.changes.iter().map(|change| {
        let value = match direction {
            Direction::There => &change.after,
            Direction::Back => &change.before,
        };
        (change.name.as_str(), value.as_deref().map(String::as_str))
    });
    let settings: Vec<_> = settings.collect();
    encrypted::set(&file.path, remote, &settings).await
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
