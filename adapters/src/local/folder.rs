//! The folder on disk.

use std::path::PathBuf;

/// A folder whose folders are buckets.
pub(crate) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self { root }
    }
}
