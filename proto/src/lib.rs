//! The gRPC contract `bascule.v1`: what is generated from `bascule/v1/*.proto`, the JSON form of
//! what both ends tell, and where the daemon's socket is.
//!
//! This crate must hold no behaviour: both ends of the socket know it, so anything else here would
//! be known to both.

pub mod document;
pub mod exposition;
pub mod location;
mod redacted;

/// Messages, clients and servers of `bascule.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the documentation stands in the .proto files"
)]
pub mod v1 {
    tonic::include_proto!("bascule.v1");
}

/// Bytes of a message that the daemon takes: originals of an adoption, and all around them.
pub const LARGEST_REQUEST: usize = 10 << 20;

/// The compiled descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
