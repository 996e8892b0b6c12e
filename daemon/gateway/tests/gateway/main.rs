//! The gateway from outside: raw bytes in, and what reached the provider. Tests that realise a
//! case of the threat model carry its number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails right there"
)]

mod additions;
mod cutting;
mod doubt;
mod endings;
mod exhaustion;
mod expiry;
mod forwarding;
mod framing;
#[path = "../harness/mod.rs"]
mod harness;
mod hosts;
mod knocks;
mod limits;
mod metrics;
mod multipart;
mod refusals;
mod throttling;
mod trailers;
mod uploads;
mod upstream;
mod visits;
mod workers;
