//! What must outlive the daemon: connections, keys, tombstones, deletions, receipts, audit,
//! settings and manifests, sealed at rest so that destroying one small file erases a connection
//! from every copy of the store (threats.md, section d).

mod error;
mod manifest;
mod store;

pub use error::{ManifestError, OpenError, RESET_COMMAND, StoreError};
pub use manifest::{Manifest, ManifestReader, ManifestWriter};
pub use store::{IdHash, Image, Store};
