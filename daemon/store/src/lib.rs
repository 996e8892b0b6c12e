//! What must outlive the daemon: connections, keys, tombstones, deletions, receipts, audit,
//! settings and manifests.
//!
//! Everything is sealed at rest, each connection under a key of its own that lies in one small
//! file outside the database; destroying that file erases the connection from every copy of the
//! store (threats.md, section d). The store must never hold plaintext on disk, answer from a file
//! it has not checked, create a new store beside the remains of one, or bring a dead key back.
//! It decides nothing about connections or deletions: it only refuses steps that do not fit what
//! is journalled. The [`ledger`] of uses is evidence only, in a file of its own: nothing else
//! depends on it, and none of this is promised for it.

#![allow(unexpected_cfgs, reason = "what fuzzing sets is known to nobody else")]

// The fixture that the tests share names the room as those outside do.
#[cfg(test)]
extern crate self as bascule_store;

mod adoptions;
mod anchor;
mod audit;
mod backup;
mod database;
mod deletions;
mod error;
#[cfg(test)]
mod faults;
#[cfg(test)]
#[path = "../tests/fixture/mod.rs"]
mod fixture;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keyring;
mod layout;
mod leaks;
pub mod ledger;
mod load;
mod manifest;
mod open;
mod overlay;
mod place;
mod record;
mod restore;
mod root_key;
mod scratch;
mod seal;
mod seam;
mod store;
mod sweeps;
mod turns;
mod watched;

pub use anchor::Anchored;
pub use backup::{BackupError, NewBackup};
pub use error::{ManifestError, Mend, OpenError, StoreError};
pub use leaks::ReportedLeak;
pub use load::Image;
pub use manifest::{Manifest, ManifestReader, ManifestWriter, Wholeness};
pub use place::{Keychain, KeychainError, MoveError, RootKeyPlaces, Unfinished, Whereabouts};
pub use restore::{RestoreError, Restored};
pub use store::{IdHash, Store};
pub use sweeps::{SkippedPlaces, Sweep, Sweeps};
pub use turns::KeyTurn;
pub use watched::{MarkedKey, Probed, Said, SaidBy};
