//! The S3 operations of a folder.

use std::sync::Arc;

use super::Folder;

/// The operations that a folder has.
pub(crate) struct Embedded {
    folder: Arc<Folder>,
}

impl Embedded {
    pub(crate) const fn new(folder: Arc<Folder>) -> Self {
        Self { folder }
    }
}

impl s3s::S3 for Embedded {}
