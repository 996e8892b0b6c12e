//! The requirements 1 to 55 and the classification table of the gateway's reference, each through
//! the socket: what reaches the provider, or that nothing does. A test's name carries its number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails right there"
)]

mod bodies;
mod classification;
mod coverage;
mod denials;
mod hand;
#[path = "../harness/mod.rs"]
mod harness;
mod manners;
mod presigned;
mod relay;
mod verification;
