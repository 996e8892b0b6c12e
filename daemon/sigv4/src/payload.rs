//! What `x-amz-content-sha256` says about the body. It must never accept an unknown form: one
//! that falls through to a handler for another form would skip the body's check (threats.md A3).

use std::borrow::Cow;

use data_encoding::HEXLOWER;

use crate::error::{SignatureError, Unsupported};

/// How the body is covered by the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// The SHA-256 of the whole body.
    Literal([u8; 32]),
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: aws-chunked framing, trailers, no chunk signatures.
    UnsignedTrailer,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`: aws-chunked framing, each chunk signed.
    SignedChunks,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`: the same with signed trailers.
    SignedChunksTrailer,
}

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const SIGNED_CHUNKS: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_CHUNKS_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";

impl Payload {
    /// The SHA-256 of no bytes at all.
    pub const EMPTY: Self = Self::Literal([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ]);

    /// The value of `x-amz-content-sha256`, which is also the last line of a canonical request.
    #[must_use]
    pub fn header_value(&self) -> Cow<'static, str> {
        match self {
            Self::Literal(hash) => Cow::Owned(HEXLOWER.encode(hash)),
            Self::Unsigned => Cow::Borrowed(UNSIGNED),
            Self::UnsignedTrailer => Cow::Borrowed(UNSIGNED_TRAILER),
            Self::SignedChunks => Cow::Borrowed(SIGNED_CHUNKS),
            Self::SignedChunksTrailer => Cow::Borrowed(SIGNED_CHUNKS_TRAILER),
        }
    }

    /// Reads the value of `x-amz-content-sha256`. Hex digits are lower case, as they were signed.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        match text {
            UNSIGNED => Ok(Self::Unsigned),
            UNSIGNED_TRAILER => Ok(Self::UnsignedTrailer),
            SIGNED_CHUNKS => Ok(Self::SignedChunks),
            SIGNED_CHUNKS_TRAILER => Ok(Self::SignedChunksTrailer),
            _ if text.starts_with("STREAMING-AWS4-ECDSA-P256-SHA256") => {
                Err(Unsupported::SigV4A.into())
            }
            _ => hash_from_hex(text.as_bytes())
                .map(Self::Literal)
                .ok_or(SignatureError::InvalidPayloadHash),
        }
    }

    /// Whether the body is in aws-chunked framing.
    #[must_use]
    pub const fn is_chunked(&self) -> bool {
        matches!(
            self,
            Self::UnsignedTrailer | Self::SignedChunks | Self::SignedChunksTrailer
        )
    }
}

/// Reads exactly 64 lower-case hex digits.
pub(crate) fn hash_from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    HEXLOWER.decode_mut(text, &mut hash).ok()?;
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_as_it_is_written() {
        for payload in [
            Payload::EMPTY,
            Payload::Literal([7; 32]),
            Payload::Unsigned,
            Payload::UnsignedTrailer,
            Payload::SignedChunks,
            Payload::SignedChunksTrailer,
        ] {
            assert_eq!(Payload::parse(&payload.header_value()), Ok(payload));
        }
    }

    #[test]
    fn unknown_forms_are_refused() {
        for text in [
            "",
            "unsigned-payload",
            "UNSIGNED-PAYLOAD ",
            "STREAMING-",
            "STREAMING-UNSIGNED-PAYLOAD",
            &"E3".repeat(32),
            &"e".repeat(63),
            &"é".repeat(32),
        ] {
            assert_eq!(
                Payload::parse(text),
                Err(SignatureError::InvalidPayloadHash),
                "{text}"
            );
        }
        assert_eq!(
            Payload::parse("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER"),
            Err(SignatureError::Unsupported(Unsupported::SigV4A))
        );
    }
}
