//! What is kept about an object beside its bytes, and whether it still fits the file.

use std::{collections::BTreeMap, fs, io, os::unix::fs::MetadataExt};

use serde::{Deserialize, Serialize};

/// Headers that come back with an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attributes {
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_language: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) expires: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// ETag and attributes of one state of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    inode: u64,
    size: u64,
    modified_s: i64,
    modified_ns: i64,
    pub(crate) etag: String,
    pub(crate) attributes: Attributes,
}

impl Record {
    pub(crate) fn new(about: &fs::Metadata, etag: String, attributes: Attributes) -> Self {
        Self {
            inode: about.ino(),
            size: about.len(),
            modified_s: about.mtime(),
            modified_ns: about.mtime_nsec(),
            etag,
            attributes,
        }
    }

    /// Whether the file is still the one that was written then.
    pub(crate) fn fits(&self, about: &fs::Metadata) -> bool {
        self.inode == about.ino()
            && self.size == about.len()
            && self.modified_s == about.mtime()
            && self.modified_ns == about.mtime_nsec()
    }

    pub(crate) fn bytes(&self) -> io::Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(io::Error::other)
    }

    /// A record that can't be read counts as none: the object itself is whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}
