//! The provider `local`: a folder, served in process. Requests reach it only through the gateway
//! or the witness, which have authorised them, so it checks no signature: that header is taken
//! off. It must never write outside its folder, and has no call that makes or removes a bucket.

mod fault;
mod folder;
mod framing;
mod intake;
mod keys;
mod object;
mod page;
mod record;
mod service;
mod transport;
mod uploads;
mod walk;

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bascule_domain::{connection::BucketIdentity, names::BucketName};

pub(crate) use fault::Fault;
pub(crate) use transport::LocalTransport;

/// Why a folder can't serve as a provider.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It can't be looked at.
    #[error("the folder {} can't be used: check that it exists and belongs to the daemon's user", path.display())]
    Unusable {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no folder.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// Which path.
        path: PathBuf,
    },
}

/// What tells a bucket's folder from a later one of its name: device, inode, and where the file
/// system tells it, the time it was made (inodes are used again).
pub(crate) fn folder_identity(root: &Path, bucket: &BucketName) -> io::Result<BucketIdentity> {
    let found = root.join(bucket.as_str()).symlink_metadata()?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let made = found
        .created()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map(|since| format!(":{}", since.as_nanos()))
        .unwrap_or_default();
    Ok(BucketIdentity::Native(format!(
        "{}:{}{made}",
        found.dev(),
        found.ino()
    )))
}
