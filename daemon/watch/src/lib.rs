//! Who uses which key: where tools keep keys, which one each would use, and which jobs lead there.
//!
//! `jobs` finds what runs, `command` follows each command line to a tool, `tools` says which keys it
//! would use and `catalogue` where those that no job runs keep theirs. All of it ends in a `Picture`.
//! `sweep` searches whole folders for ids that none of them leads to.
//!
//! This crate only reads, with a bound and without waiting. It must never write another tool's
//! file, run a tool or a password command (`jobs/failures` says which two programs are no tools), read the process's environment by itself, or put the
//! content of a file into an error.

pub mod adopt;
pub mod aws;
pub mod catalogue;
pub mod changes;
pub mod command;
mod compose;
mod container;
pub mod environment;
pub mod found;
pub mod holders;
pub mod jobs;
pub mod machine;
pub mod picture;
pub mod places;
pub mod rclone;
pub mod reference;
pub mod scan;
pub mod subjects;
pub mod sweep;
pub mod traces;

mod read;
pub mod tools;
#[cfg(test)]
mod tree;

pub use catalogue::Catalogue;
pub use environment::Environment;
pub use found::{FoundKey, NotUsable, Place};
pub use machine::{Machine, User};
pub use picture::{
    Gap, HeldKey, Left, Link, LinkKind, NextRun, Picture, Rank, Standing, Suspicion, Trail, Use,
};
