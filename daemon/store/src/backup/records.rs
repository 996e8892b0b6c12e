//! The record of backups that were handed out: who holds what, where it was written, and what was
//! last seen there. It never claims that a file exists or does not: it keeps what its user saw.

use bascule_domain::{
    audit,
    backup::{Backup, Holder, LastLook},
    deletion::Deletion,
    ids::{BackupId, ConnectionId},
};

use super::BackupError;
use crate::{
    database::{BACKUPS, Batch, DELETIONS, Read},
    error::StoreError,
    keyring::Standing,
    record,
    store::Store,
};

impl Store {
    /// Every backup on record, the oldest first.
    pub fn backups(&self) -> Result<Vec<Backup>, StoreError> {
        self.rows.read(|view| self.backups_in(view))
    }

    /// Keeps what was seen of backups. Those that are not on record any more are passed over.
    pub fn note_backups(&self, looks: &[(BackupId, LastLook)]) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            for (id, look) in looks {
                if let Some(mut backup) = self.backup(batch, *id)? {
                    backup.last_look = Some(*look);
                    self.put_backup(batch, &backup)?;
                }
            }
            Ok(())
        })
    }

    /// Removes a record; says whether there was one. Receipts that are written stay as they are.
    pub fn forget_backup(&self, id: BackupId, entry: &audit::Entry) -> Result<bool, StoreError> {
        self.rows.write(|batch| {
            let known = batch.remove(BACKUPS, id.as_bytes())?;
            if known {
                self.record_audit(batch, entry)?;
            }
            Ok(known)
        })
    }

    /// Remembers a backup, unless it holds a connection whose receipt is written already: that one
    /// would not name it.
    pub(super) fn record_backup(
        &self,
        backup: &Backup,
        entry: &audit::Entry,
    ) -> Result<(), BackupError> {
        let recorded = self.rows.write(|batch| {
            for (row, value) in batch.rows(DELETIONS, &[])? {
                let deletion: Deletion = record::open(&self.root.seal, DELETIONS, &row, &value)?;
                if Standing::of(deletion.phase) == Standing::Judged
                    && backup.connections.contains(&deletion.connection)
                {
                    return Ok(false);
                }
            }
            self.put_backup(batch, backup)?;
            self.record_audit(batch, entry)?;
            Ok(true)
        })?;
        recorded.then_some(()).ok_or(BackupError::Overtaken)
    }

    /// Remembers a backup that was put back. What its installation knows of it says more; on another
    /// machine nothing that was written on the old one is in sight.
    pub(crate) fn record_restored(
        &self,
        batch: &Batch,
        restored: &Backup,
        moved: bool,
    ) -> Result<(), StoreError> {
        if moved {
            for mut backup in self.backups_in(batch)? {
                backup.place = backup.place.moved();
                self.put_backup(batch, &backup)?;
            }
        }
        if self.backup(batch, restored.id)?.is_none() {
            self.put_backup(batch, restored)?;
        }
        Ok(())
    }

    /// The backups that a connection can be read from, the oldest first.
    pub(crate) fn holders(
        &self,
        read: &impl Read,
        connection: ConnectionId,
    ) -> Result<Vec<Holder>, StoreError> {
        let backups = self.backups_in(read)?.into_iter();
        Ok(backups
            .filter(|backup| backup.connections.contains(&connection))
            .map(Holder::from)
            .collect())
    }

    fn backups_in(&self, read: &impl Read) -> Result<Vec<Backup>, StoreError> {
        let rows = read.rows(BACKUPS, &[])?;
        let backups = rows
            .iter()
            .map(|(row, value)| record::open(&self.root.seal, BACKUPS, row, value));
        let mut backups: Vec<Backup> = backups.collect::<Result<_, _>>()?;
        backups.sort_by_key(|backup| backup.made_at);
        Ok(backups)
    }

    fn backup(&self, read: &impl Read, id: BackupId) -> Result<Option<Backup>, StoreError> {
        let row = id.as_bytes();
        let value = read.get(BACKUPS, row)?;
        value
            .map(|value| record::open(&self.root.seal, BACKUPS, row, &value))
            .transpose()
    }

    fn put_backup(&self, batch: &Batch, backup: &Backup) -> Result<(), StoreError> {
        record::put(
            batch,
            &self.root.seal,
            BACKUPS,
            backup.id.as_bytes(),
            backup,
        )
    }
}
