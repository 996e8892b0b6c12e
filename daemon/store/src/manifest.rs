//! Manifests (signatures).
use bascule_domain::survey::{Digest, Entry};

use crate::error::ManifestError;

/// What a finished manifest comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// SHA-256 over the encoded entries.
    pub digest: Digest,
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Writes a manifest, frame by frame.
#[derive(Debug)]
pub struct ManifestWriter {}

impl ManifestWriter {
    /// Takes the next entry; keys must grow strictly, byte by byte.
    pub fn push(&mut self, _entry: &Entry) -> Result<(), ManifestError> {
        todo!()
    }

    /// Seals the last frame and makes the manifest durable; only then can it be read.
    pub fn finish(self) -> Result<Manifest, ManifestError> {
        todo!()
    }
}

/// Reads a manifest, frame by frame.
#[derive(Debug)]
pub struct ManifestReader {}

impl Iterator for ManifestReader {
    type Item = Result<Entry, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
