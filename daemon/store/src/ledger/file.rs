//! Which file is the ledger: opened if it is one of this store's, moved aside and begun anew
//! whatever else it is. It must never remove a file that might still be of use to somebody, nor
//! follow a link out of the state folder.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use bascule_domain::Timestamp;
use bascule_os::{create_private_file, remove_file, sync_dir};

use super::{
    Cause,
    book::{self, Book, Failure},
};
use crate::{
    error::OpenError,
    layout::{LEDGERS_ASIDE, Layout, exists},
};

/// The open file, and which one it is.
pub(super) struct Opened {
    pub(super) book: Book,
    identity: (u64, u64),
    path: PathBuf,
}

impl Opened {
    /// Whether the path still leads to the open file.
    pub(super) fn is_in_place(&self) -> bool {
        identity(&self.path) == Some(self.identity)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Opens the ledger of a store, or begins one. `lost` is why there is none, if one was there just
/// now.
pub(super) fn open(
    layout: &Layout,
    store_id: &[u8],
    now: Timestamp,
    lost: Option<Cause>,
) -> Result<Opened, Failure> {
    let path = layout.ledger();
    let there = exists(&path).map_err(|error| Failure::of(&error))?;
    let mut cause = lost.unwrap_or(Cause::NotBegun);
    if there {
        match open_known(&path, store_id) {
            Ok(opened) => return Ok(opened),
            Err(Refusal::Unreadable(failure)) => return Err(failure),
            Err(Refusal::Not(why, failure)) => {
                tracing::warn!(
                    path = %path.display(), cause = why.as_str(), %failure,
                    "the usage ledger can't be used; it is moved aside and a new one begun, and what it knew is shown as unknown"
                );
                move_aside(layout).map_err(|error| Failure::of(&error))?;
                cause = why;
            }
        }
    }
    // What a file that is gone has left would be taken for the new one's.
    for stray in Layout::ledger_files(&path).iter().skip(1) {
        remove_file(stray).map_err(|error| Failure::of(&error))?;
    }
    drop(create_private_file(&path).map_err(|error| Failure::of(&error))?);
    let mut book = Book::open(&path)?;
    book.begin(store_id, now, cause)?;
    // Best effort: without it a power cut may lose the new, empty file.
    sync_dir(layout.folder()).ok();
    opened(book, &path)
}

/// Refuses to go on beside a ledger of a later version, which must not be moved aside: what it knows
/// would be missing as soon as that version is back. What can't be read is no reason to refuse.
pub(crate) fn refuse_newer(layout: &Layout) -> std::result::Result<(), OpenError> {
    let path = layout.ledger();
    let is_file = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file());
    match is_file.then(|| book::version(&path)) {
        Some(Ok(Some(found))) if found > book::VERSION => Err(OpenError::TooNew {
            path,
            found: found.unsigned_abs(),
            known: book::VERSION.unsigned_abs(),
        }),
        _ => Ok(()),
    }
}

enum Refusal {
    /// It may be whole; the system does not let us have it.
    Unreadable(Failure),
    /// It is not what it should be.
    Not(Cause, Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Damaged(_) => Self::Not(Cause::Damaged, failure),
            Failure::Foreign(_) => Self::Not(Cause::Foreign, failure),
            Failure::Refused(_) => Self::Unreadable(failure),
        }
    }
}

fn open_known(path: &Path, store_id: &[u8]) -> Result<Opened, Refusal> {
    let metadata =
        fs::symlink_metadata(path).map_err(|error| Refusal::Unreadable(Failure::of(&error)))?;
    if !metadata.is_file() {
        return Err(Failure::Foreign("it is no regular file".into()).into());
    }
    if metadata.uid() != bascule_os::effective_uid() {
        return Err(Failure::Foreign("it belongs to another user".into()).into());
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o600))
            .map_err(|error| Refusal::Unreadable(Failure::of(&error)))?;
    }
    // SQLite would make a ledger of whatever lies beside a former ledger's log.
    if !book::is_ledger(path).map_err(|error| Refusal::Unreadable(Failure::of(&error)))? {
        return Err(Failure::Foreign("it was not written by this program".into()).into());
    }
    let mut book = Book::open(path)?;
    book.check(store_id)?;
    Ok(opened(book, path)?)
}

fn opened(book: Book, path: &Path) -> Result<Opened, Failure> {
    let identity =
        identity(path).ok_or_else(|| Failure::Refused("the file is gone already".into()))?;
    Ok(Opened {
        book,
        identity,
        path: path.to_owned(),
    })
}

/// Moves the file away, with those that SQLite keeps beside it.
pub(super) fn move_aside(layout: &Layout) -> std::io::Result<()> {
    let free = (1..LEDGERS_ASIDE).find(|number| {
        fs::symlink_metadata(layout.ledger_aside(*number))
            .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    });
    let aside = layout.ledger_aside(free.unwrap_or(LEDGERS_ASIDE));
    for (from, to) in Layout::ledger_files(&layout.ledger())
        .iter()
        .zip(Layout::ledger_files(&aside))
    {
        match fs::rename(from, to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// See [`super::Ledger::note_disabled`].
pub(super) fn note_disabled(layout: &Layout, now: Timestamp) {
    let path = layout.ledger();
    let noted = match exists(&path) {
        Ok(false) => return,
        Ok(true) => Book::open(&path).and_then(|mut book| book.note_disabled(now)),
        Err(error) => Err(Failure::of(&error)),
    };
    if let Err(failure) = noted {
        tracing::warn!(path = %path.display(), %failure, "the period without a usage ledger could not be noted in it");
    }
}
