//! The rules of Bascule: ids, names, states, permits, plans, verdicts.
//!
//! Everything here is a value or a pure function. This crate must never do I/O, read a clock,
//! draw randomness, or know a runtime (tokio), a store (redb) or a protocol (hyper, tonic): that
//! is what lets every rule be tested exhaustively, and what keeps a decision the same before and
//! after a crash.

pub mod access;
pub mod access_key;
pub mod adoption;
pub mod audit;
pub mod backup;
pub mod connection;
pub mod deletion;
pub mod endpoint;
pub mod finding;
pub mod ids;
pub mod key;
pub mod leak;
pub mod limits;
pub mod manifest;
pub mod moment;
pub mod names;
pub mod operation;
pub mod plan;
pub mod provider;
pub mod receipt;
pub mod rights;
pub mod root_key;
pub mod rotation;
pub mod secret;
pub mod since;
pub mod survey;
pub mod tombstone;
pub mod tool;
pub mod transition;
pub mod verdict;

pub use jiff::{SignedDuration, Timestamp};
