//! The anchor: how many deaths there have been, kept outside of the state folder, so that a state
//! folder which was put back from outside is noticed (threats.md G10). What is counted are the
//! tombstones of keys and the receipts of connections; both only grow.
//!
//! It must never hold up a revocation, and never go down by itself.

use std::{
    path::{Path, PathBuf},
    sync::PoisonError,
};

use aws_lc_rs::hmac;
use bascule_domain::{audit, backup::Closure};
use bascule_os::{private_dir, read_private, write_private};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::{
    database::{Batch, RECEIPTS, Read, SETTINGS, TOMBSTONES},
    error::StoreError,
    record,
    root_key::RootKey,
    store::Store,
};

const CLOSURE: &[u8] = b"closure";
/// Set once an anchor was made: from then on a missing one is worth a word.
const ANCHORED: &[u8] = b"anchored";
const LIMIT: u64 = 4096;

/// What was found where the anchor is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchored {
    /// There was none yet; it is there now.
    New,
    /// It has seen no more deaths than the store knows of.
    Held,
    /// There was one before, and it is gone or damaged; it was made anew. Why, in words.
    Lost(String),
    /// It has seen deaths that the store does not know of. The store says so until it is
    /// activated.
    RolledBack {
        /// Deaths that it has seen.
        seen: u64,
        /// Deaths that the store knows of.
        known: u64,
    },
    /// It can't be kept. Why, in words.
    Unusable(String),
}

pub(crate) struct Anchor {
    path: PathBuf,
    seen: u64,
    trouble: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    bascule_anchor: u32,
    deaths: u64,
    check: String,
}

fn checked(root: &RootKey, deaths: u64) -> hmac::Tag {
    hmac::sign(&root.anchors, &deaths.to_be_bytes())
}

/// How many deaths it has seen; `Ok(None)` if there is none.
fn read(path: &Path, root: &RootKey) -> Result<Option<u64>, String> {
    let bytes = match read_private(path, LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let damaged = || format!("{} is damaged", path.display());
    let document: Document = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    let check = HEXLOWER
        .decode(document.check.as_bytes())
        .map_err(|_| damaged())?;
    hmac::verify(&root.anchors, &document.deaths.to_be_bytes(), &check).map_err(|_| damaged())?;
    Ok(Some(document.deaths))
}

fn write(path: &Path, root: &RootKey, deaths: u64) -> Result<(), String> {
    let document = Document {
        bascule_anchor: 1,
        deaths,
        check: HEXLOWER.encode(checked(root, deaths).as_ref()),
    };
    let json = serde_json::to_vec(&document).map_err(|error| error.to_string())?;
    write_private(path, &json).map_err(|error| error.to_string())
}

impl Store {
    /// Compares with the anchor in this folder, and keeps it there from now on.
    pub fn anchor_in(&self, folder: &Path) -> Result<Anchored, StoreError> {
        let known = self.deaths()?;
        let name = HEXLOWER.encode(&self.root.store_id);
        let path = folder.join(format!("anchor-{name}"));
        if let Err(error) = private_dir(folder) {
            self.hold(path, known, Some(error.to_string()));
            return Ok(Anchored::Unusable(error.to_string()));
        }
        let found = match read(&path, &self.root) {
            Ok(Some(seen)) if seen > known => {
                self.hold(path, seen, None);
                self.rows
                    .write(|batch| self.put_closure(batch, &Closure::RolledBack { seen, known }))?;
                return Ok(Anchored::RolledBack { seen, known });
            }
            Ok(Some(seen)) if seen == known => {
                self.hold(path, seen, None);
                return Ok(Anchored::Held);
            }
            Ok(Some(_)) => Anchored::Held,
            Ok(None) if self.was_anchored()? => {
                Anchored::Lost(format!("{} is gone", path.display()))
            }
            Ok(None) => Anchored::New,
            Err(why) => Anchored::Lost(why),
        };
        if let Err(why) = write(&path, &self.root, known) {
            self.hold(path, known, Some(why.clone()));
            return Ok(Anchored::Unusable(why));
        }
        self.hold(path, known, None);
        if !self.was_anchored()? {
            self.rows
                .write(|batch| record::put(batch, &self.root.seal, SETTINGS, ANCHORED, &true))?;
        }
        Ok(found)
    }

    /// Why the anchor can't be kept, if it can't.
    #[must_use]
    pub fn anchor_trouble(&self) -> Option<String> {
        let anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        anchor.as_ref()?.trouble.clone()
    }

    /// Why every connection is paused, if that is so.
    pub fn closure(&self) -> Result<Option<Closure>, StoreError> {
        self.rows.read(|view| {
            let value = view.get(SETTINGS, CLOSURE)?;
            value
                .map(|value| record::open(&self.root.seal, SETTINGS, CLOSURE, &value))
                .transpose()
        })
    }

    /// Takes this state for the right one: the anchor follows it from now on, also downwards.
    pub fn activate(&self, entry: &audit::Entry) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            batch.remove(SETTINGS, CLOSURE)?;
            self.record_audit(batch, entry)
        })?;
        let deaths = self.deaths()?;
        self.move_anchor(|_| deaths);
        Ok(())
    }

    /// After a death that is durable. What goes wrong here is told, and takes nothing back.
    pub(crate) fn raise_anchor(&self) {
        match self.deaths() {
            Ok(deaths) => self.move_anchor(|seen| seen.max(deaths)),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the anchor was not raised"
                );
            }
        }
    }

    pub(crate) fn put_closure(&self, batch: &Batch, closure: &Closure) -> Result<(), StoreError> {
        record::put(batch, &self.root.seal, SETTINGS, CLOSURE, closure)
    }

    /// Elsewhere there is no anchor yet.
    pub(crate) fn forget_anchor(batch: &Batch) -> Result<(), StoreError> {
        batch.remove(SETTINGS, ANCHORED).map(|_| ())
    }

    fn move_anchor(&self, to: impl FnOnce(u64) -> u64) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(anchor) = anchor.as_mut() else {
            return;
        };
        let deaths = to(anchor.seen);
        match write(&anchor.path, &self.root, deaths) {
            Ok(()) => {
                anchor.seen = deaths;
                anchor.trouble = None;
            }
            Err(why) => {
                tracing::warn!(why, "the anchor was not moved");
                anchor.trouble = Some(why);
            }
        }
    }

    fn hold(&self, path: PathBuf, seen: u64, trouble: Option<String>) {
        let mut anchor = self.anchor.lock().unwrap_or_else(PoisonError::into_inner);
        *anchor = Some(Anchor {
            path,
            seen,
            trouble,
        });
    }

    fn was_anchored(&self) -> Result<bool, StoreError> {
        self.rows
            .read(|view| Ok(view.get(SETTINGS, ANCHORED)?.is_some()))
    }

    fn deaths(&self) -> Result<u64, StoreError> {
        self.rows
            .read(|view| Ok(view.count(TOMBSTONES)? + view.count(RECEIPTS)?))
    }
}
