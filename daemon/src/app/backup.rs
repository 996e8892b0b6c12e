//! Hands out a backup of everything that is kept, while all goes on.

mod records;

use std::io;

use bascule_domain::{
    audit::{Asked, Change, Details},
    backup::Place,
    ids::BackupId,
    names::Label,
};
use bascule_store::{BackupError, NewBackup};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::{
    App,
    error::{Error, Kind, Result},
};
use crate::random;

pub(crate) use records::{Held, KnownBackup};

const PIECE: usize = 64 << 10;
/// Pieces that wait for the client.
const AHEAD: usize = 4;
/// In characters: whoever has the file can try as often as they like.
const SHORTEST_PASSPHRASE: usize = 8;

/// What is asked for.
pub(crate) struct BackupWish {
    /// What the file is called.
    pub file: Label,
    /// Where it is written.
    pub place: Place,
    /// Without one the backup opens in this installation only.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
}

impl App {
    /// The backup's id, and its content in order. The last piece comes once it is on record, and
    /// nothing after it.
    pub(crate) fn backup(
        self: std::sync::Arc<Self>,
        by: Asked,
        wish: BackupWish,
    ) -> Result<(BackupId, mpsc::Receiver<Result<Vec<u8>>>)> {
        if let Some(passphrase) = &wish.passphrase
            && String::from_utf8_lossy(passphrase).chars().count() < SHORTEST_PASSPHRASE
        {
            return Err(Error::new(
                Kind::Invalid,
                format!("the passphrase has fewer than {SHORTEST_PASSPHRASE} characters"),
            )
            .next("take a longer one: whoever finds the file can try as often as they like"));
        }
        let new = NewBackup {
            id: BackupId::from_random(random::bytes()),
            made_at: self.clock.now(),
            file: wish.file,
            place: wish.place,
            passphrase: wish.passphrase,
        };
        let id = new.id;
        let entry = self.audit(
            Some(by),
            Change::BackedUp { backup: id },
            Details::default(),
        );
        let (sender, receiver) = mpsc::channel(AHEAD);
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || {
            let mut pieces = io::BufWriter::with_capacity(PIECE, Pieces(sender.clone()));
            match store.write_backup(&new, &entry, &mut pieces) {
                Ok(_) => tracing::info!(backup = %id, "backup handed out"),
                Err(BackupError::Write(_)) => {
                    tracing::info!(backup = %id, "a backup was not taken to its end");
                }
                Err(error) => {
                    tracing::error!(backup = %id, error = &error as &dyn std::error::Error, "no backup was made");
                    // What is buffered must not follow.
                    drop(pieces.into_parts());
                    sender.blocking_send(Err(failure(&error))).ok();
                }
            }
        });
        Ok((id, receiver))
    }
}

fn failure(error: &BackupError) -> Error {
    let kind = match error {
        BackupError::Overtaken => Kind::Refused,
        _ => Kind::Storage,
    };
    Error::new(kind, error.to_string()).next("make it again: bascule backup FILE")
}

/// Sends what is written.
struct Pieces(mpsc::Sender<Result<Vec<u8>>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(bytes.to_vec()))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
