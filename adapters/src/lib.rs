//! What differs between providers: how they are reached, what they answer when something is
//! wrong, and how their buckets are looked at.
//!
//! No adapter has a call that creates, empties or deletes a bucket, and the probe and the witness
//! know no method but GET. Requests of key holders pass through [`Transport`], which sends what
//! the gateway permitted. Only this crate is an HTTP client; [`post`] hands alerts to the user's own server.

mod answer;
#[cfg(test)]
mod canned;
mod check;
mod dialer;
mod exchange;
mod guard;
mod identity;
mod listing;
mod local;
mod pool;
mod post;
mod probe;
mod providers;
mod registry;
mod storage;
mod transport;
mod trust;
mod witness;
mod xml;

pub use check::{Checker, Health, Obstacle, Server};
pub use guard::{Guard, OwnAddresses, Refusal};
pub use local::FolderError;
pub use post::{PostError, WebAddress, WebAddressError, post};
pub use probe::{BucketProbe, Probe, ProbeFailure, Right, Versioning};
pub use registry::{Adapter, Clock, OpenError, Surroundings, Wish, WishError, adapter};
pub use storage::{Storage, Upstream};
pub use transport::{
    BoxError, HttpTransport, RequestBody, ResponseBody, Sending, Transport, TransportError,
    TransportErrorKind,
};
pub use trust::TlsSetupError;
pub use witness::{
    About, BrowseItem, Browser, OpenUpload, OpenUploads, Stretches, Witness, WitnessError,
};
