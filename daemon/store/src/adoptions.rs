//! Adoptions: who was given a key of ours in which files, and what stood in those before.
//!
//! The records outlive their connections. The files' contents never do: they are sealed with the
//! connection's key, go with it, and go as soon as an adoption is settled.

use bascule_domain::{
    adoption::{Adoption, AdoptionId, Adoptions, Original, Originals, State},
    audit,
    ids::ConnectionId,
    key::Key,
};

use crate::{
    database::{ADOPTION_ORIGINALS, ADOPTIONS, Batch, Read},
    error::StoreError,
    keyring::Standing,
    record,
    root_key::RootKey,
    store::Store,
};

const DAMAGED: StoreError = StoreError::Damaged {
    table: ADOPTIONS.name(),
};

/// What the rows of an adoption's files begin with.
pub(crate) fn originals_row(connection: ConnectionId, adoption: AdoptionId) -> Vec<u8> {
    [&connection.as_bytes()[..], adoption.as_bytes()].concat()
}

/// The row of one of its files.
fn original_row(adoption: &Adoption, number: usize) -> Result<Vec<u8>, StoreError> {
    let number = u8::try_from(number).map_err(|_| StoreError::OutOfOrder("too many files"))?;
    let mut row = originals_row(adoption.connection, adoption.id);
    row.push(number);
    Ok(row)
}

/// Opens a record.
pub(crate) fn open(root: &RootKey, row: &[u8], value: &[u8]) -> Result<Adoption, StoreError> {
    let adoption: Adoption = record::open(&root.seal, ADOPTIONS, row, value)?;
    match adoption.id.as_bytes() == row {
        true => Ok(adoption),
        false => Err(DAMAGED),
    }
}

impl Store {
    /// Every adoption that is remembered.
    pub fn adoptions(&self) -> Result<Adoptions, StoreError> {
        self.rows.read(|view| self.adoptions_in(view))
    }

    fn adoptions_in(&self, read: &impl Read) -> Result<Adoptions, StoreError> {
        let rows = read.rows(ADOPTIONS, &[])?;
        let adoptions: Result<Vec<_>, _> = rows
            .iter()
            .map(|(row, value)| open(&self.root, row, value))
            .collect();
        adoptions.map(Into::into)
    }

    /// Keeps files as they are, before a client changes them.
    pub fn prepare_adoption(
        &self,
        adoption: &Adoption,
        originals: &Originals,
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        if adoption.state != State::Prepared || adoption.paths != originals.paths() {
            return Err(StoreError::OutOfOrder("the adoption is not one to prepare"));
        }
        let connection = adoption.connection;
        self.rows.write(|batch| {
            // Within the transaction, so that a revocation comes before or after, never between.
            if self.keyring.standing(connection) != Some(Standing::Living) {
                return Err(StoreError::ConnectionRevoked(connection));
            }
            if batch.get(ADOPTIONS, adoption.id.as_bytes())?.is_some() {
                return Err(StoreError::OutOfOrder("the adoption exists already"));
            }
            let sealer = self.sealer(connection)?;
            for (number, file) in originals.iter().enumerate() {
                let row = original_row(adoption, number)?;
                let sealed = sealer.seal(&ADOPTION_ORIGINALS.place(&row), &file.content)?;
                batch.put(ADOPTION_ORIGINALS, &row, &sealed)?;
            }
            self.put_adoption(batch, adoption)?;
            self.record_audit(batch, entry)
        })
    }

    /// Keeps what became of adoptions, all of them or none. The files of those that are over go, and
    /// so do the oldest records of such.
    pub fn settle_adoptions(
        &self,
        settled: &[Adoption],
        entry: &audit::Entry,
    ) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            for adoption in settled {
                let row = adoption.id.as_bytes();
                let known = batch.get(ADOPTIONS, row)?;
                let known = known
                    .map(|value| open(&self.root, row, &value))
                    .transpose()?;
                let fits = known.is_some_and(|known| {
                    known.connection == adoption.connection
                        && known.state.may_become(adoption.state)
                });
                if !fits {
                    return Err(StoreError::OutOfOrder("the adoption is in another state"));
                }
                self.put_adoption(batch, adoption)?;
                if !adoption.state.is_open() {
                    let files = originals_row(adoption.connection, adoption.id);
                    batch.remove_all(ADOPTION_ORIGINALS, &files)?;
                }
            }
            for forgotten in self.adoptions_in(batch)?.to_forget() {
                batch.remove(ADOPTIONS, forgotten.as_bytes())?;
            }
            self.record_audit(batch, entry)
        })
    }

    /// An adoption's files as they were; `None` once they are not kept any more.
    pub fn originals(&self, adoption: &Adoption) -> Result<Option<Originals>, StoreError> {
        let Some(sealer) = self.keyring.get(adoption.connection) else {
            return Ok(None);
        };
        let damaged = || StoreError::Damaged {
            table: ADOPTION_ORIGINALS.name(),
        };
        self.rows.read(|view| {
            let mut files = Vec::with_capacity(adoption.paths.len());
            for (number, path) in adoption.paths.iter().enumerate() {
                let row = original_row(adoption, number)?;
                let Some(sealed) = view.get(ADOPTION_ORIGINALS, &row)? else {
                    return Ok(None);
                };
                let content = sealer.open(&ADOPTION_ORIGINALS.place(&row), &sealed);
                files.push(Original {
                    path: path.clone(),
                    content: content.map_err(|_| damaged())?,
                });
            }
            files.try_into().map(Some).map_err(|_| damaged())
        })
    }

    /// Records that a connection's credentials are about to be handed out.
    pub fn note_hand_out(&self, entry: &audit::Entry) -> Result<(), StoreError> {
        self.rows.write(|batch| self.record_audit(batch, entry))
    }

    /// Takes out what is kept of an erased connection's files, and its adoptions that are over. The open
    /// ones stay: their consumers hold a dead key until they are moved.
    pub(crate) fn erase_adoptions(
        &self,
        batch: &Batch,
        connection: ConnectionId,
    ) -> Result<(), StoreError> {
        batch.remove_all(ADOPTION_ORIGINALS, connection.as_bytes())?;
        for adoption in self.adoptions_in(batch)?.iter() {
            if adoption.connection == connection && !adoption.state.is_open() {
                batch.remove(ADOPTIONS, adoption.id.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Keeps what keys that die were allowed, for whoever holds them still.
    pub(crate) fn note_rights(&self, batch: &Batch, dead: &[&Key]) -> Result<(), StoreError> {
        for adoption in self.adoptions_in(batch)?.bereaved(dead) {
            self.put_adoption(batch, &adoption)?;
        }
        Ok(())
    }

    fn put_adoption(&self, batch: &Batch, adoption: &Adoption) -> Result<(), StoreError> {
        let row = adoption.id.as_bytes();
        record::put(batch, &self.root.seal, ADOPTIONS, row, adoption)
    }
}
