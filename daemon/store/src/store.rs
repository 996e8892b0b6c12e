//! The store (signatures).
use std::path::Path;

use bascule_domain::{
    access_key::AccessKeyId,
    audit,
    connection::Connection,
    deletion::{Deletion, Findings},
    ids::{ConnectionId, DeletionId},
    key::Key,
    names::BucketName,
    receipt::Receipt,
    secret::{Credentials, SecretKey},
    tombstone::Tombstone,
};

use crate::{
    error::{ManifestError, OpenError, StoreError},
    manifest::{ManifestReader, ManifestWriter},
};

/// Keyed hash of an access key id: finds a tombstone without revealing the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdHash(pub(crate) [u8; 32]);

/// Everything the daemon starts from.
#[derive(Debug)]
pub struct Image {
    /// Connections whose secrets are not erased.
    pub connections: Vec<(Connection, Credentials)>,
    /// Living keys.
    pub keys: Vec<(Key, SecretKey)>,
    /// Dead keys.
    pub graves: Vec<(IdHash, Tombstone)>,
    /// All deletions; those that are over or erased have no findings.
    pub deletions: Vec<(Deletion, Option<Findings>)>,
}

/// The store. Calls block.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Opens the store, or creates it where nothing of one exists. The instance lock must be held.
    pub fn open_or_create(_state_dir: &Path) -> Result<Self, OpenError> {
        todo!()
    }
    /// Destroys everything of the store. The instance lock must be held.
    pub fn reset(_state_dir: &Path) -> Result<(), StoreError> {
        todo!()
    }
    /// Reads everything.
    pub fn load(&self) -> Result<Image, StoreError> {
        todo!()
    }
    /// Under which a tombstone is kept.
    pub fn hash(&self, _id: &AccessKeyId) -> IdHash {
        todo!()
    }
    /// Adds a connection.
    pub fn add_connection(&self, _c: &Connection, _s: &Credentials, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// Name or identities changed.
    pub fn update_connection(&self, _c: &Connection, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// Other credentials for the same buckets.
    pub fn replace_credentials(&self, _c: &Connection, _s: &Credentials, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// Adds a key.
    pub fn add_key(&self, _k: &Key, _s: &SecretKey, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// Rights or state changed.
    pub fn update_key(&self, _k: &Key, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// A key dies by itself.
    pub fn bury_key(&self, _k: &Key, _t: &Tombstone, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// Journals a deletion in any phase before the keys are dead, or parked after.
    pub fn journal_deletion(&self, _d: &Deletion, _f: &Findings, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// The durable transaction.
    pub fn revoke_connection(&self, _d: &Deletion, _f: &Findings, _keys: &[(Key, Tombstone)], _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// Verdict and first receipt.
    pub fn judge_deletion(&self, _d: &Deletion, _f: &Findings, _r: &Receipt, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// Destroys the connection's key file and manifests; idempotent. Only from `Judged` on.
    pub fn erase_connection(&self, _c: ConnectionId) -> Result<(), StoreError> {
        todo!()
    }
    /// Rows out, receipt final.
    pub fn finish_deletion(&self, _d: &Deletion, _r: &Receipt, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// Called off: the header stays, findings and manifests go.
    pub fn cancel_deletion(&self, _d: &Deletion, _a: &audit::Entry) -> Result<(), StoreError> {
        todo!()
    }
    /// All receipts.
    pub fn receipts(&self) -> Result<Vec<Receipt>, StoreError> {
        todo!()
    }
    /// One receipt.
    pub fn receipt(&self, _id: DeletionId) -> Result<Option<Receipt>, StoreError> {
        todo!()
    }
    /// All audit entries, oldest first.
    pub fn audit(&self) -> Result<Vec<audit::Entry>, StoreError> {
        todo!()
    }
    /// The gateway's port, once chosen.
    pub fn gateway_port(&self) -> Result<Option<u16>, StoreError> {
        todo!()
    }
    /// Keeps the gateway's port.
    pub fn set_gateway_port(&self, _port: u16) -> Result<(), StoreError> {
        todo!()
    }
    /// Writes the manifest of one bucket; replaces the one kept before when finished.
    pub fn manifest_writer(&self, _c: ConnectionId, _d: DeletionId, _b: &BucketName) -> Result<ManifestWriter, ManifestError> {
        todo!()
    }
    /// Reads a finished manifest.
    pub fn manifest_reader(&self, _c: ConnectionId, _d: DeletionId, _b: &BucketName) -> Result<ManifestReader, ManifestError> {
        todo!()
    }
}
