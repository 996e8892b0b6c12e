//! Why the store refuses. Messages name the file and the next step, and never hold what is sealed.

use std::path::PathBuf;

use bascule_domain::ids::ConnectionId;
use bascule_os::PathError;

use crate::place::KeychainError;

/// Why the store was not opened. Nothing was changed, and nothing new was created in its place.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder can't be used, or others can reach it.
    #[error("the state folder can't be used")]
    Path(#[from] PathError),
    /// The root key that the service manager keeps can't be read, or others can read it.
    #[error("the root key can't be taken from the service manager")]
    Credential(#[source] bascule_os::ForeignError),
    /// The keychain, where the root key is kept, does not give it.
    #[error(
        "the root key is kept in the keychain, which does not give it now; once that is there and unlocked, start the daemon again"
    )]
    Keychain(#[source] KeychainError),
    /// The keychain has no entry for this store.
    #[error(
        "the root key is kept in the keychain, which has no entry for store {store}: unlock the one that it was put into, or move this state folder away and restore a backup that has a passphrase; if there is none, start anew by a reset"
    )]
    NotInKeychain {
        /// Which store.
        store: String,
    },
    /// Nobody lent the credential with the root key.
    #[error(
        "the root key is kept as a credential of the service manager, which lends it to its service and lent none here"
    )]
    CredentialMissing,
    /// What says where the root key is was altered.
    #[error("{} is damaged, so it is not known where the root key is; {WAY_ON}", .path.display())]
    PlaceDamaged {
        /// Which file.
        path: PathBuf,
    },
    /// There is a store, but no root key.
    #[error("the root key {} is missing, and without it the store can't be read; {WAY_ON}", .path.display())]
    RootKeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The root key's file is cut, zeroed or otherwise not what was written.
    #[error("the root key {} is damaged ({what}), and without it the store can't be read; {WAY_ON}", .path.display())]
    RootKeyDamaged {
        /// Which file.
        path: PathBuf,
        /// How, in fixed words.
        what: &'static str,
    },
    /// The root key is whole, but the store was sealed with another one.
    #[error(
        "the root key {} belongs to another store than {}; put back the file that belongs to it, or, if you can't, start anew by a reset",
        .root_key.display(), .store.display()
    )]
    RootKeyOfAnotherStore {
        /// The root key.
        root_key: PathBuf,
        /// The store.
        store: PathBuf,
    },
    /// There is a root key or a connection's key, but no store.
    #[error("the store {} is missing although its keys are there; {WAY_ON}", .path.display())]
    StoreMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The store's file is cut, altered, or no store.
    #[error("the store {} is damaged or no store of Bascule's; {WAY_ON}", .path.display())]
    StoreDamaged {
        /// Which file.
        path: PathBuf,
        /// What the database found.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A connection's key is missing although the connection was not deleted.
    #[error("the key file {} of connection {connection} is missing; {WAY_ON}", .path.display())]
    ConnectionKeyMissing {
        /// Where it should be.
        path: PathBuf,
        /// Whose it is.
        connection: ConnectionId,
    },
    /// A connection's key is cut, altered, or another connection's.
    #[error("the key file {} of connection {connection} is damaged; {WAY_ON}", .path.display())]
    ConnectionKeyDamaged {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        connection: ConnectionId,
    },
    /// Written by a later version: the store, its root key or its ledger.
    #[error(
        "{} was written by a newer Bascule: it has format {found}, and this version, {}, knows formats up to {known}; nothing was changed, so install the newer version again",
        .path.display(), env!("CARGO_PKG_VERSION")
    )]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest one known.
        known: u32,
    },
    /// Another process has it open.
    #[error("the store {} is open in another process", .path.display())]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// A record in it is damaged, or a call of the system failed.
    #[error("the store can't be read")]
    Store(#[from] StoreError),
}

/// What has to happen before the store opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    /// The root key is lent to another process.
    ElsewhereNow,
    /// The root key is in a keychain that may be unlocked later.
    HereLater,
    /// A file is put back from a copy, or, without one, everything is given up by a reset.
    CopyOrReset,
    /// Another thing, which the message says.
    Other,
}

impl OpenError {
    /// What has to happen.
    #[must_use]
    pub const fn mend(&self) -> Mend {
        match self {
            Self::CredentialMissing => Mend::ElsewhereNow,
            Self::Keychain(_) => Mend::HereLater,
            Self::NotInKeychain { .. }
            | Self::PlaceDamaged { .. }
            | Self::RootKeyMissing { .. }
            | Self::RootKeyDamaged { .. }
            | Self::RootKeyOfAnotherStore { .. }
            | Self::StoreMissing { .. }
            | Self::StoreDamaged { .. }
            | Self::ConnectionKeyMissing { .. }
            | Self::ConnectionKeyDamaged { .. } => Mend::CopyOrReset,
            Self::Path(_)
            | Self::Credential(_)
            | Self::TooNew { .. }
            | Self::InUse { .. }
            | Self::Store(_) => Mend::Other,
        }
    }
}

const WAY_ON: &str = "put the file back from a copy of the whole state folder, or, if there is none, start anew by a reset";

/// Why an operation failed. Unless it is [`StoreError::CommitUnknown`], nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An earlier operation failed, so nothing the handle says can be trusted.
    #[error("the store failed earlier and takes nothing more; restart the daemon")]
    Unusable,
    /// The change may be durable or not. Callers must act as if keys it revokes were dead and keys
    /// it adds did not exist.
    #[error("it is not known whether the change was stored; restart the daemon")]
    CommitUnknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database refused; nothing was changed, and the handle is [`StoreError::Unusable`] now.
    #[error("the store failed, nothing was changed; check the disk and restart the daemon")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A record does not open with its key in its place: it was altered, cut, or moved.
    #[error("a record in {table} of the store is damaged or was moved there")]
    Damaged {
        /// In which table.
        table: &'static str,
    },
    /// A key file could not be written, read or destroyed.
    #[error("a file of the store can't be used")]
    Path(#[from] PathError),
    /// There is no such connection, or its key is destroyed.
    #[error("there is no connection {0} in the store")]
    UnknownConnection(ConnectionId),
    /// The connection's keys are dead; it takes no new ones.
    #[error("connection {0} is being deleted and takes no keys")]
    ConnectionRevoked(ConnectionId),
    /// The step does not fit what is stored: a defect, never the user's fault.
    #[error("the step does not fit what is stored: {0}")]
    OutOfOrder(&'static str),
    /// The system gave no randomness, or sealing failed.
    #[error("the cryptographic library refused")]
    Cryptography,
}

/// Why a manifest can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The connection is unknown, or its key is destroyed.
    #[error("there is no connection {0} in the store")]
    UnknownConnection(ConnectionId),
    /// No finished manifest was kept for this bucket in this deletion.
    #[error("no manifest was kept")]
    Absent,
    /// Listings are strictly ordered by the bytes of the key; this one is not.
    #[error("the listing is not in order, has a gap, or names an object twice")]
    NotInOrder,
    /// One stretch is longer than a frame may be.
    #[error("a part of the listing is too long to be kept")]
    TooLong,
    /// Its end is missing, or a frame was altered, moved or taken from another manifest.
    #[error("the kept manifest is damaged")]
    Damaged,
    /// The file could not be written or read.
    #[error("the kept manifest can't be used")]
    Path(#[from] PathError),
    /// The system gave no randomness, or sealing failed.
    #[error("the cryptographic library refused")]
    Cryptography,
}
