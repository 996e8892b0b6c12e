//! Other tools' formats: parsers that keep the place of every value, and writers for handed-out
//! keys. A change is decided here as text in, places and texts out; who makes it is elsewhere.
//!
//! This crate is pure. It must never open a file, run a tool, or put the content of a file into
//! an error: what it reads and writes holds secrets.

pub mod aws;
pub mod calendar;
pub mod compose;
pub mod crontab;
pub mod edit;
pub mod environment_file;
pub mod fstab;
pub mod handout;
mod hidden;
pub mod ini;
pub mod insert;
pub mod launchd;
pub mod leaves;
pub mod pattern;
pub mod rclone;
pub mod revise;
pub mod shell;
pub mod unit;

pub use edit::Edit;
pub use handout::{Format, HandOut, InvalidName, SectionName, Unwritable, shell_word};
pub use ini::{Dialect, Document, Entry, ParseError, Section};
pub use insert::{NoRoom, Target};
pub use leaves::{Leaf, Step, Structure, leaves};
pub use pattern::Pattern;
