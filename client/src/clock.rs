//! The command line's one clock: for relative times, and for the demo's signatures.

use bascule_domain::Timestamp;

/// The time now.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the client's one clock; renderers take the time as an argument"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
