//! Where tools keep keys: which file a tool reads, and which key it would use.
//!
//! This crate only reads, with a bound and without waiting. It must never write another tool's
//! file, run a tool or a password command, read the process's environment by itself, or put the
//! content of a file into an error.

pub mod aws;
pub mod environment;
pub mod found;
pub mod holders;
pub mod places;
pub mod rclone;

mod read;

pub use environment::Environment;
pub use found::{FoundKey, NotUsable, Place};
