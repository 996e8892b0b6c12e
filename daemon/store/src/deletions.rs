//! Deletions: the journal, the durable transaction, erasure and receipts.
//!
//! Each call checks that it fits what is journalled, so that no step can be taken twice with
//! another meaning, skipped, or taken back.

use bascule_domain::{
    audit,
    deletion::{Deletion, Findings, Phase},
    ids::{ConnectionId, DeletionId},
    key::Key,
    receipt::Receipt,
    tombstone::Tombstone,
};

use crate::{
    database::{
        AUDIT_DETAILS, Batch, CONNECTIONS, CREDENTIAL_SECRETS, CREDENTIALS, DELETIONS, FINDINGS,
        KEY_FILES, KEY_SECRETS, KEYS, LEAKED_SECRETS, LEAKS, RECEIPTS, ROTATIONS, Read,
    },
    error::StoreError,
    keyring::Standing,
    layout::{manifests_of_connection, manifests_of_deletion},
    record,
    store::Store,
};

impl Store {
    /// Journals a phase in which the keys are not dead, or a new one.
    pub fn journal_deletion(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        if deletion.phase.keys_are_dead() || deletion.phase.is_over() {
            return Err(StoreError::OutOfOrder("this phase has a call of its own"));
        }
        self.rows.write(|batch| {
            self.put_deletion(batch, deletion)?;
            self.put_findings(batch, deletion, findings)?;
            self.record_audit(batch, entry)
        })
    }

    /// Notes something within a phase: a restart, that it waits for the provider, or, with an entry of
    /// the audit, what somebody asked for.
    pub fn note_deletion(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        entry: Option<&audit::Entry>,
    ) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            let known = self.header(batch, deletion.id)?;
            if known.is_none_or(|known| known.phase != deletion.phase) || deletion.phase.is_over() {
                return Err(StoreError::OutOfOrder("a note does not change the phase"));
            }
            self.put_deletion(batch, deletion)?;
            self.put_findings(batch, deletion, findings)?;
            entry.map_or(Ok(()), |entry| self.record_audit(batch, entry))
        })
    }

    /// The durable transaction that kills every key of a connection: all out, tombstones in, phase
    /// `revoked` journalled. `keys` must name every key that is stored; one that is not named, and
    /// so would have no tombstone, makes the call fail. The connection and its credentials stay
    /// sealed for the second survey.
    pub fn revoke_connection(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        keys: &[(Key, Tombstone)],
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        if deletion.phase != Phase::Revoked {
            return Err(StoreError::OutOfOrder(
                "the deletion is not at its revocation",
            ));
        }
        let connection = deletion.connection;
        if keys.iter().any(|(key, _)| key.connection != connection) {
            return Err(StoreError::OutOfOrder("a key of another connection"));
        }
        self.rows.write(|batch| {
            self.put_deletion(batch, deletion)?;
            self.put_findings(batch, deletion, findings)?;
            self.bury(batch, keys)?;
            batch.remove_all(ROTATIONS, connection.as_bytes())?;
            for table in [KEYS, KEY_SECRETS] {
                if !batch.rows(table, connection.as_bytes())?.is_empty() {
                    return Err(StoreError::OutOfOrder("a key without a tombstone"));
                }
            }
            self.record_audit(batch, entry)?;
            // While the transaction is open, so that no key is added behind it.
            self.keyring.set_standing(connection, Standing::Revoked);
            Ok(())
        })?;
        self.raise_anchor();
        Ok(())
    }

    /// Keeps the verdict and the first form of the receipt, to which the backups that still hold
    /// the connection are added. From here the connection's key may be
    /// destroyed.
    pub fn judge_deletion(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        receipt: &Receipt,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        if deletion.phase != Phase::Judged || receipt.id != deletion.id {
            return Err(StoreError::OutOfOrder("the deletion is not at its verdict"));
        }
        self.rows.write(|batch| {
            self.put_deletion(batch, deletion)?;
            self.put_findings(batch, deletion, findings)?;
            // Within the transaction, so that no backup comes between.
            let receipt = Receipt {
                backups: self.holders(batch, deletion.connection)?,
                ..receipt.clone()
            };
            self.put_receipt(batch, &receipt)?;
            self.record_audit(batch, entry)
        })?;
        self.raise_anchor();
        self.keyring
            .set_standing(deletion.connection, Standing::Judged);
        Ok(())
    }

    /// Destroys the connection's key file and manifests. Nothing opens the connection's records
    /// from here on, in no copy of the store. Can be repeated, also for a connection that is gone.
    pub fn erase_connection(&self, connection: ConnectionId) -> Result<(), StoreError> {
        match self.keyring.standing(connection) {
            Some(Standing::Living | Standing::Revoked) => {
                return Err(StoreError::OutOfOrder("the verdict is not kept yet"));
            }
            Some(Standing::Judged) | None => {}
        }
        self.keyring.destroy(connection)?;
        Ok(self
            .layout
            .remove_manifests(&manifests_of_connection(connection))?)
    }

    /// Removes what is left of an erased connection and keeps the final receipt. Can be repeated.
    pub fn finish_deletion(
        &self,
        deletion: &Deletion,
        receipt: &Receipt,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        if deletion.phase != Phase::Finished || receipt.id != deletion.id {
            return Err(StoreError::OutOfOrder("the deletion is not at its end"));
        }
        let connection = deletion.connection;
        if self.keyring.get(connection).is_some() {
            return Err(StoreError::OutOfOrder("the connection is not erased yet"));
        }
        self.rows.write(|batch| {
            self.put_deletion(batch, deletion)?;
            self.put_receipt(batch, receipt)?;
            for table in [CONNECTIONS, CREDENTIALS, CREDENTIAL_SECRETS, KEY_FILES] {
                batch.remove(table, connection.as_bytes())?;
            }
            for table in [
                KEYS,
                KEY_SECRETS,
                FINDINGS,
                AUDIT_DETAILS,
                LEAKS,
                LEAKED_SECRETS,
            ] {
                batch.remove_all(table, connection.as_bytes())?;
            }
            self.erase_adoptions(batch, connection)?;
            self.record_audit(batch, entry)
        })?;
        self.keyring.remove(connection);
        Ok(())
    }

    /// Keeps that a deletion was called off; its findings and manifests go. A manifest that can't be
    /// removed now goes at the next start: the deletion is called off all the same.
    pub fn cancel_deletion(
        &self,
        deletion: &Deletion,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        if deletion.phase != Phase::Cancelled {
            return Err(StoreError::OutOfOrder("the deletion is not called off"));
        }
        self.rows.write(|batch| {
            self.put_deletion(batch, deletion)?;
            batch.remove(
                FINDINGS,
                &record::findings_row(deletion.connection, deletion.id),
            )?;
            self.record_audit(batch, entry)
        })?;
        let whose = manifests_of_deletion(deletion.connection, deletion.id);
        if let Err(error) = self.layout.remove_manifests(&whose) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a manifest of a deletion that was called off was not removed"
            );
        }
        Ok(())
    }

    /// Every receipt, also of deletions whose secrets are not erased yet.
    pub fn receipts(&self) -> Result<Vec<Receipt>, StoreError> {
        self.rows.read(|view| {
            let rows = view.rows(RECEIPTS, &[])?;
            rows.iter()
                .map(|(row, value)| record::open(&self.root.seal, RECEIPTS, row, value))
                .collect()
        })
    }

    /// One deletion's receipt.
    pub fn receipt(&self, deletion: DeletionId) -> Result<Option<Receipt>, StoreError> {
        self.rows.read(|view| {
            let row = deletion.as_bytes();
            let value = view.get(RECEIPTS, row)?;
            value
                .map(|value| record::open(&self.root.seal, RECEIPTS, row, &value))
                .transpose()
        })
    }

    pub(crate) fn deletion_headers(&self) -> Result<Vec<Deletion>, StoreError> {
        self.rows.read(|view| {
            let rows = view.rows(DELETIONS, &[])?;
            rows.iter()
                .map(|(row, value)| record::open(&self.root.seal, DELETIONS, row, value))
                .collect()
        })
    }

    fn header(&self, batch: &Batch, deletion: DeletionId) -> Result<Option<Deletion>, StoreError> {
        let row = deletion.as_bytes();
        let value = batch.get(DELETIONS, row)?;
        value
            .map(|value| record::open(&self.root.seal, DELETIONS, row, &value))
            .transpose()
    }

    /// A journalled deletion never goes back, and one that is over stays as it is.
    fn put_deletion(&self, batch: &Batch, deletion: &Deletion) -> Result<(), StoreError> {
        let known = self.header(batch, deletion.id)?;
        let from = known.as_ref().map(|known| known.phase);
        if known.is_some_and(|known| known.connection != deletion.connection) {
            return Err(StoreError::OutOfOrder(
                "the deletion is of another connection",
            ));
        }
        let fits = match deletion.phase {
            Phase::Listening => matches!(from, None | Some(Phase::Listening)),
            Phase::Requested => matches!(from, None | Some(Phase::Listening | Phase::Requested)),
            Phase::Drained => matches!(from, Some(Phase::Requested | Phase::Drained)),
            Phase::Surveyed => matches!(from, Some(Phase::Drained | Phase::Surveyed)),
            Phase::Revoked => matches!(
                from,
                Some(Phase::Drained | Phase::Surveyed | Phase::Revoked)
            ),
            Phase::Judged => matches!(from, Some(Phase::Revoked | Phase::Judged)),
            Phase::Finished => matches!(from, Some(Phase::Judged | Phase::Finished)),
            Phase::Cancelled => !from.is_none_or(Phase::keys_are_dead),
        };
        if !fits {
            return Err(StoreError::OutOfOrder(
                "the journalled deletion is in another phase",
            ));
        }
        record::put(
            batch,
            &self.root.seal,
            DELETIONS,
            deletion.id.as_bytes(),
            deletion,
        )
    }

    fn put_findings(
        &self,
        batch: &Batch,
        deletion: &Deletion,
        findings: &Findings,
    ) -> Result<(), StoreError> {
        let sealer = self.sealer(deletion.connection)?;
        let row = record::findings_row(deletion.connection, deletion.id);
        record::put(batch, &sealer, FINDINGS, &row, findings)
    }

    fn put_receipt(&self, batch: &Batch, receipt: &Receipt) -> Result<(), StoreError> {
        record::put(
            batch,
            &self.root.seal,
            RECEIPTS,
            receipt.id.as_bytes(),
            receipt,
        )
    }
}
