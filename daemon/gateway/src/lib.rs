//! The S3 endpoint of Bascule: verify, classify, permit, forward, meter, cut.
//!
//! Every request is verified with an issued key's secret, classified by a closed table
//! (gateway.md §3), permitted by `bascule_domain::access`, rebuilt by an allow-list and signed
//! with the connection's own credentials. This crate must never copy a request through, forward
//! without a `Permit`, cache a key's state, or let a provider's view of our credentials reach a
//! client.

mod account;
mod additions;
mod admission;
mod answer;
mod body;
mod bulk;
mod cells;
mod checksum;
mod classify;
mod exchange;
mod expiry;
mod failures;
#[cfg(test)]
mod fixture;
mod forward;
mod framing;
mod handle;
mod headers;
mod hosts;
mod idle;
mod keyring;
mod knock;
mod learn;
#[cfg(test)]
mod lifecycle;
mod liveness;
mod load;
mod meter;
mod metrics;
mod ports;
mod proof;
mod proxies;
mod reason;
mod reply;
mod respond;
mod route;
mod scrape;
mod serve;
mod throttle;
mod tls;
mod uploads;
mod upstream;
mod visit;
mod wire;
mod workers;
mod writers;

pub use account::ACCESS_LOG;
pub use admission::{Admission, InDoubt, PausedBy};
pub use cells::{ConnectionCell, KeyCell, KeyUse};
pub use keyring::{ConnectionSpec, Keyring, KeyringError};
pub use metrics::{Family, Kind, Sample};
pub use ports::{
    Alarm, Clock, DeadKeys, Ends, Exchange, FindingSink, Knock, Outcome, UsageSink, Visit, Visitor,
};
pub use reason::Reason;
pub use route::{ConditionalWrites, Trouble};
pub use scrape::{Render, ScrapeListener, scrape};
pub use serve::{Gateway, Listener, Settings};
pub use tls::{Certificate, CertificateError};
pub use upstream::{
    BoxError, ProviderBody, Upstream, UpstreamAccess, UpstreamBody, UpstreamError,
    UpstreamErrorKind, UpstreamFuture,
};
pub use workers::Workers;
