//! What the watcher must not forget: which findings it has told, and which keys the user said are dead
//! elsewhere. What a finding says is never kept; it is seen anew.

use std::collections::BTreeMap;

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    audit::Entry,
    finding::{FindingId, Record},
};
use serde::{Deserialize, Serialize};

use crate::{
    database::{FINDING_RECORDS, MARKED_KEYS, PROBES, Read, View},
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
    /// Who says so.
    #[serde(default)]
    pub said_by: SaidBy,
}

/// Who says that a key is dead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaidBy {
    /// The user.
    #[default]
    User,
    /// The server that its configuration names, which is this one.
    Server(String),
}

/// What a server said of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// It takes it.
    Alive,
    /// It does not know it, or has disabled it.
    Dead,
    /// It knows the id, and refuses the secret or the question.
    Known,
    /// Nothing about the key; or it is being asked.
    Nothing,
}

/// When a server was asked about a key, and what it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Which key, as a keyed hash.
    pub key: [u8; 8],
    /// When it was asked.
    pub at: Timestamp,
    /// What it said.
    pub said: Said,
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

    /// Keeps that the user knows of a finding.
    pub fn acknowledge(
        &self,
        id: FindingId,
        record: &Record,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            let row = id.as_bytes();
            record::put(batch, &self.root.seal, FINDING_RECORDS, row, record)?;
            self.record_audit(batch, entry)
        })
    }

    /// Keeps a key that is dead elsewhere.
    pub fn mark_key(&self, key: &MarkedKey, entry: &Entry) -> Result<(), StoreError> {
        let row = self.hash(&key.access_key_id).0;
        self.rows.write(|batch| {
            record::put(batch, &self.root.seal, MARKED_KEYS, &row, key)?;
            self.record_audit(batch, entry)
        })
    }

    /// Forgets it again.
    pub fn unmark_key(&self, id: &AccessKeyId, entry: &Entry) -> Result<(), StoreError> {
        let row = self.hash(id).0;
        self.rows.write(|batch| {
            batch.remove(MARKED_KEYS, &row)?;
            self.record_audit(batch, entry)
        })
    }

    /// When servers were asked about keys, by the hash of both ([`Store::finding_id`]).
    pub fn probes(&self) -> Result<BTreeMap<FindingId, Probed>, StoreError> {
        self.rows.read(|view| {
            let rows = view.rows(PROBES, &[])?.into_iter();
            rows.map(|(row, value)| {
                let probed = record::open(&self.root.seal, PROBES, &row, &value)?;
                let id = row.try_into().map_err(|_| StoreError::Damaged {
                    table: PROBES.name(),
                })?;
                Ok((FindingId::from_hash(id), probed))
            })
            .collect()
        })
    }

    /// Keeps or removes what is known of them, all or nothing.
    pub fn keep_probes(&self, changes: &[(FindingId, Option<Probed>)]) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            for (id, kept) in changes {
                let row = id.as_bytes();
                match kept {
                    Some(kept) => record::put(batch, &self.root.seal, PROBES, row, kept)?,
                    None => {
                        batch.remove(PROBES, row)?;
                    }
                }
            }
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
