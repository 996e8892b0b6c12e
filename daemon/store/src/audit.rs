//! The audit. Who did what to which id, and when, is sealed by the root and stays; the details are
//! sealed with their connection's key and go with it. It must never put a detail of a connection where
//! its erasure does not reach.

use bascule_domain::{
    audit::{Details, Entry},
    ids::ConnectionId,
};

use crate::{
    database::{AUDIT, AUDIT_DETAILS, Batch, Read, View},
    error::StoreError,
    record,
    seal::Sealer,
    store::Store,
};

/// Without a connection the row is the number alone, which begins like no connection's rows: they are
/// longer.
fn details_row(connection: Option<ConnectionId>, number: u64) -> Vec<u8> {
    let number = number.to_be_bytes();
    match connection {
        Some(connection) => [&connection.as_bytes()[..], &number].concat(),
        None => number.to_vec(),
    }
}

fn number_of(row: &[u8]) -> Result<u64, StoreError> {
    let number = row.try_into().map_err(|_| StoreError::Damaged {
        table: AUDIT.name(),
    })?;
    Ok(u64::from_be_bytes(number))
}

impl Store {
    /// Adds an entry. Its details are dropped when the connection is erased already.
    pub(crate) fn record_audit(&self, batch: &Batch, entry: &Entry) -> Result<(), StoreError> {
        match entry.change.connection() {
            Some(connection) => {
                let sealer = self.keyring.get(connection);
                self.record_audit_with(batch, entry, sealer.as_deref())
            }
            None => self.record_audit_with(batch, entry, Some(&self.root.seal)),
        }
    }

    /// [`Self::record_audit`], for a connection that is being added.
    pub(crate) fn record_audit_with(
        &self,
        batch: &Batch,
        entry: &Entry,
        sealer: Option<&Sealer>,
    ) -> Result<(), StoreError> {
        let last = batch.last(AUDIT)?;
        let number = last.map_or(Ok(0), |row| number_of(&row))? + 1;
        if let (Some(details), Some(sealer)) = (&entry.details, sealer) {
            let row = details_row(entry.change.connection(), number);
            record::put(batch, sealer, AUDIT_DETAILS, &row, details)?;
        }
        if let Some(observer) = self.observer.get().cloned() {
            let entry = entry.clone();
            batch.afterwards(move || observer(&entry));
        }
        record::put(batch, &self.root.seal, AUDIT, &number.to_be_bytes(), entry)
    }

    /// At most so many entries after the one of this number, which is 0 for none, each with its
    /// number, the oldest first.
    pub fn audit(&self, after: u64, most: usize) -> Result<Vec<(u64, Entry)>, StoreError> {
        self.rows.read(|view| {
            let rows = view.rows_after(AUDIT, &after.to_be_bytes(), most)?;
            rows.iter()
                .map(|(row, value)| {
                    let number = number_of(row)?;
                    let entry = record::open(&self.root.seal, AUDIT, row, value)?;
                    Ok((number, self.with_details(view, number, entry)?))
                })
                .collect()
        })
    }

    fn with_details(&self, view: &View, number: u64, entry: Entry) -> Result<Entry, StoreError> {
        let connection = entry.change.connection();
        let row = details_row(connection, number);
        let open = |sealer: &Sealer| -> Result<Details, StoreError> {
            let value = view.get(AUDIT_DETAILS, &row)?;
            let open = |value: Vec<u8>| record::open(sealer, AUDIT_DETAILS, &row, &value);
            Ok(value.map(open).transpose()?.unwrap_or_default())
        };
        let details = match connection {
            Some(connection) => {
                let sealer = self.keyring.get(connection);
                sealer.map(|sealer| open(&sealer)).transpose()?
            }
            None => Some(open(&self.root.seal)?),
        };
        Ok(Entry { details, ..entry })
    }
}
