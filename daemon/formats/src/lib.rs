//! Other tools' formats: parsers that keep the place of every value, and writers for handed-out
//! keys.
//!
//! This crate is pure. It must never open a file, run a tool, or put the content of a file into
//! an error: what it reads and writes holds secrets.

pub mod handout;
pub mod ini;
pub mod rclone;

pub use handout::{Format, HandOut, Unwritable, section_name};
pub use ini::{Dialect, Document, Entry, ParseError, Section};
