//! The backups on record. The daemon never looks for their files: they belong to users, and lie
//! where it may see nothing or something else. It keeps what those who can look have found.

use bascule_domain::{
    audit::{Asked, Change, Details},
    backup::{Backup, Found, LastLook},
    ids::{BackupId, ConnectionId, DeletionId},
    names::ConnectionName,
};

use crate::app::{
    App,
    error::{Error, Kind, Result},
};

/// A backup, and what it holds.
pub(crate) struct KnownBackup {
    pub backup: Backup,
    pub holds: Vec<(ConnectionId, Held)>,
}

/// What has become of a connection that a backup holds.
pub(crate) enum Held {
    Living(ConnectionName),
    BeingDeleted(ConnectionName, DeletionId),
    Deleted(ConnectionName, DeletionId),
    /// Nothing is known of it here.
    Unknown,
}

impl App {
    /// The oldest first.
    pub(crate) async fn backups(&self) -> Result<Vec<KnownBackup>> {
        let backups = self.stored(|store| store.backups()).await?;
        let known = backups.into_iter().map(|backup| KnownBackup {
            holds: (backup.connections.iter())
                .map(|id| (*id, self.held(*id)))
                .collect(),
            backup,
        });
        Ok(known.collect())
    }

    fn held(&self, connection: ConnectionId) -> Held {
        if let Some(entry) = self.registry.get(connection) {
            let name = entry.connection.name.clone();
            return match entry.deletion {
                Some(deletion) => Held::BeingDeleted(name, deletion),
                None => Held::Living(name),
            };
        }
        let mut deletions = self.deletions.all().into_iter();
        // One that was called off is of a connection that lives.
        let deleted = deletions
            .find(|deletion| deletion.connection == connection && deletion.phase.keys_are_dead());
        match deleted {
            Some(deletion) if deletion.phase.is_over() => Held::Deleted(deletion.name, deletion.id),
            Some(deletion) => Held::BeingDeleted(deletion.name, deletion.id),
            None => Held::Unknown,
        }
    }

    /// Keeps what was found where backups were written.
    pub(crate) async fn note_backups(&self, found: Vec<(BackupId, Found)>) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        let at = self.clock.now();
        let looks: Vec<_> = found
            .into_iter()
            .map(|(id, found)| (id, LastLook { at, found }))
            .collect();
        self.stored(move |store| store.note_backups(&looks)).await
    }

    /// Removes a backup from the record, so that later receipts do not name it. `found` is what its
    /// user saw where it was written, `None` if they could not look.
    pub(crate) async fn forget_backup(
        &self,
        by: Asked,
        id: BackupId,
        found: Option<Found>,
    ) -> Result<()> {
        if found == Some(Found::Present) {
            return Err(Error::new(
                Kind::Refused,
                format!("the file of {id} is still there, so receipts go on naming it"),
            )
            .next(format!("remove the file, then: bascule backup forget {id}")));
        }
        let change = Change::BackupForgotten { backup: id, found };
        let entry = self.audit(Some(by), change, Details::default());
        match self
            .stored(move |store| store.forget_backup(id, &entry))
            .await?
        {
            true => Ok(()),
            false => Err(no_backup(id)),
        }
    }
}

fn no_backup(id: BackupId) -> Error {
    Error::new(Kind::NotFound, format!("no backup {id} is on record here"))
        .next("bascule backup list")
}
