//! Revocations, pauses and deletions against requests at every moment of their lives: none is
//! accepted after the withdrawal returned, and what runs is ended by the withdrawal itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails right there"
)]

#[path = "../harness/mod.rs"]
mod harness;
mod moments;
mod provider;
mod race;
mod sequences;
mod stage;
mod streams;
