//! AWS Signature Version 4 for S3: one canonicaliser, one signer, one verifier, chunk signatures.
//!
//! This crate is pure. It must never do I/O, read a clock, log, or put a secret or a
//! computed signature into an error. What it hands out after a verification is the one form of
//! the request that may go to policy, to the upstream signature and to the wire.

pub mod canonical;
pub mod chunks;
pub mod payload;
pub mod sign;
pub mod verify;

mod authorization;
mod error;
mod key;
mod time;

pub use canonical::{CanonicalTarget, encode_path, encode_query};
pub use chunks::{ChunkDecoder, ChunkError, ChunkSeed, Trailers};
pub use error::{SignatureError, Unsupported};
pub use key::SigningKeys;
pub use payload::Payload;
pub use sign::{Service, Signer};
pub use verify::{Head, Presented, Proof};
