//! What a request's head announces about its aws-chunked body.

use http::{HeaderMap, HeaderName};

use super::ChunkError;
use crate::payload::Payload;

/// Which trailers may follow the final chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trailers {
    /// None.
    Forbidden,
    /// Exactly these, from `x-amz-trailer`.
    Announced(Vec<HeaderName>),
    /// Any: `x-amz-trailer` was not sent, which is legal (gateway.md 31).
    Any,
}

impl Trailers {
    /// What the head of a request announces for its form of payload.
    pub fn expected(payload: &Payload, headers: &HeaderMap) -> Result<Self, ChunkError> {
        if !matches!(
            payload,
            Payload::UnsignedTrailer | Payload::SignedChunksTrailer
        ) {
            return Ok(Self::Forbidden);
        }
        let mut names = Vec::new();
        for value in headers.get_all("x-amz-trailer") {
            let text = value.to_str().map_err(|_| ChunkError::Header)?;
            for name in text
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
            {
                let name =
                    HeaderName::from_bytes(name.as_bytes()).map_err(|_| ChunkError::Header)?;
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Ok(if names.is_empty() {
            Self::Any
        } else {
            Self::Announced(names)
        })
    }
}

/// Reads `x-amz-decoded-content-length`: bytes of the body without its framing.
pub fn decoded_length(headers: &HeaderMap) -> Result<u64, ChunkError> {
    let value = headers
        .get("x-amz-decoded-content-length")
        .ok_or(ChunkError::LengthMissing)?;
    let text = value.to_str().map_err(|_| ChunkError::Header)?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ChunkError::Header);
    }
    text.parse().map_err(|_| ChunkError::Header)
}
