//! What is not signed, not classified or not permitted never reaches a provider: generated
//! requests against rules that are written down here a second time, and the cases A and B of the
//! threat model by their numbers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails right there"
)]

mod authentication;
mod authorisation;
#[path = "../harness/mod.rs"]
mod harness;
mod matrix;
mod mutations;
mod positives;
mod rights;
mod routes;
#[allow(unreachable_pub, reason = "shared with the verifier's tests")]
#[path = "../../../sigv4/tests/common/sdk.rs"]
mod sdk;

use harness::dice;
