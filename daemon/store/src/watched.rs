//! What the watcher must not forget: which findings it has told, and which keys the user said are dead
//! elsewhere. What a finding says is never kept; it is seen anew.

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    finding::{FindingId, Record},
};
use serde::{Deserialize, Serialize};

use crate::{
    database::{FINDING_RECORDS, MARKED_KEYS, Read, View},
    error::StoreError,
    record,
    store::Store,
};

/// A key that was not ours and is dead at its provider, as the user says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedKey {
    /// The whole id: it is looked for in files.
    pub access_key_id: AccessKeyId,
    /// When the user said so.
    pub marked_at: Timestamp,
    /// Why, in the user's words.
    pub reason: Option<String>,
}

impl Store {
    /// The hash that a finding's id is made of. It is stable as long as the store is.
    #[must_use]
    pub fn finding_id(&self, identity: &str) -> FindingId {
        let hash = self.root.lookup(identity);
        let mut short = [0; 8];
        short.copy_from_slice(&hash[..8]);
        FindingId::from_hash(short)
    }

    /// Keeps or removes what is known of findings, all or nothing.
    pub fn keep_findings(&self, changes: &[(FindingId, Option<Record>)]) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            for (id, kept) in changes {
                let row = id.as_bytes();
                match kept {
                    Some(kept) => {
                        record::put(batch, &self.root.seal, FINDING_RECORDS, row, kept)?;
                    }
                    None => {
                        batch.remove(FINDING_RECORDS, row)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Keeps a key that is dead elsewhere.
    pub fn mark_key(&self, key: &MarkedKey) -> Result<(), StoreError> {
        let row = self.hash(&key.access_key_id).0;
        self.rows
            .write(|batch| record::put(batch, &self.root.seal, MARKED_KEYS, &row, key))
    }

    /// Forgets it again.
    pub fn unmark_key(&self, id: &AccessKeyId) -> Result<(), StoreError> {
        let row = self.hash(id).0;
        self.rows.write(|batch| {
            batch.remove(MARKED_KEYS, &row)?;
            Ok(())
        })
    }

    pub(crate) fn load_finding_records(
        &self,
        view: &View,
    ) -> Result<Vec<(FindingId, Record)>, StoreError> {
        let mut records = Vec::new();
        for (row, value) in view.rows(FINDING_RECORDS, &[])? {
            let kept = record::open(&self.root.seal, FINDING_RECORDS, &row, &value)?;
            let id = row.try_into().map_err(|_| StoreError::Damaged {
                table: FINDING_RECORDS.name(),
            })?;
            records.push((FindingId::from_hash(id), kept));
        }
        Ok(records)
    }

    pub(crate) fn load_marked_keys(&self, view: &View) -> Result<Vec<MarkedKey>, StoreError> {
        let rows = view.rows(MARKED_KEYS, &[])?.into_iter();
        rows.map(|(row, value)| record::open(&self.root.seal, MARKED_KEYS, &row, &value))
            .collect()
    }
}
