//! The chain of chunk signatures. Each signature covers the one before it, so it must never be
//! advanced by anything but what was just checked.

use aws_lc_rs::constant_time;

use crate::{
    canonical::hex,
    key::{Sha256, SigningKey},
    time::RequestTime,
};

pub(super) const CHUNK_LABEL: &[u8] = b"AWS4-HMAC-SHA256-PAYLOAD";
pub(super) const TRAILER_LABEL: &[u8] = b"AWS4-HMAC-SHA256-TRAILER";

/// What chunk signatures start from: the signature of the request's head.
#[derive(Clone)]
pub struct ChunkSeed {
    key: Box<SigningKey>,
    time: RequestTime,
    scope: String,
    pub(super) previous: [u8; 32],
}

impl std::fmt::Debug for ChunkSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkSeed(redacted)")
    }
}

impl ChunkSeed {
    pub(crate) fn new(
        key: SigningKey,
        time: RequestTime,
        scope: String,
        signature: [u8; 32],
    ) -> Self {
        Self {
            key: Box::new(key),
            time,
            scope,
            previous: signature,
        }
    }

    pub(super) fn signature(&self, label: &[u8], hashes: &[[u8; 32]]) -> [u8; 32] {
        let previous = hex(&self.previous);
        let hashes: Vec<String> = hashes.iter().map(hex).collect();
        let mut lines: Vec<&[u8]> = vec![
            label,
            self.time.as_str().as_bytes(),
            self.scope.as_bytes(),
            previous.as_bytes(),
        ];
        lines.extend(hashes.iter().map(String::as_bytes));
        self.key.sign(&lines)
    }

    fn check(&mut self, label: &[u8], hashes: &[[u8; 32]], presented: &[u8; 32]) -> bool {
        let computed = self.signature(label, hashes);
        self.previous = computed;
        constant_time::verify_slices_are_equal(&computed, presented).is_ok()
    }

    /// Whether this is the signature of the next chunk, whose data has this hash.
    pub(super) fn check_chunk(&mut self, chunk: [u8; 32], presented: &[u8; 32]) -> bool {
        self.check(CHUNK_LABEL, &[Sha256::new().finish(), chunk], presented)
    }

    /// Whether this is the signature of the trailers that follow the final chunk.
    pub(super) fn check_trailers(&mut self, trailers: [u8; 32], presented: &[u8; 32]) -> bool {
        self.check(TRAILER_LABEL, &[trailers], presented)
    }
}
