//! The way to a provider: what the gateway hands over, and what it takes back. Transports (TLS,
//! pools, the embedded service) are the daemon's; this module must never open a socket.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bascule_domain::{
    endpoint::{Addressing, Region},
    names::BucketName,
    secret::Credentials,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use crate::body::UploadBody;

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A provider's response body.
pub type ProviderBody = UnsyncBoxBody<Bytes, BoxError>;

/// What [`Upstream::send`] returns.
pub type UpstreamFuture<'a> =
    Pin<Box<dyn Future<Output = Result<http::Response<ProviderBody>, UpstreamError>> + Send + 'a>>;

/// Sends one request to a provider, exactly as it is: no redirect followed, no retry once a frame
/// of the body was taken, no header of an end-to-end kind added or changed (gateway.md 45).
/// Dropping the future, or an error from the request's body, must abort the request so that the
/// provider never sees its end.
pub trait Upstream: Send + Sync {
    /// Sends it. The URI is absolute (`scheme://authority/path?query`) and the `host` header is
    /// set and signed.
    fn send(&self, request: http::Request<UpstreamBody>) -> UpstreamFuture<'_>;
}

/// How a provider is addressed and signed for. Replaced as a whole: a request uses one value from
/// its signature to its end.
#[derive(Debug, Clone)]
pub struct UpstreamAccess {
    /// What requests are signed with.
    pub credentials: Credentials,
    /// What they are signed for.
    pub region: Region,
    /// How buckets are addressed.
    pub addressing: Addressing,
    /// Whether the way to the provider is encrypted.
    pub tls: bool,
    /// Host, and port unless it is the scheme's own.
    pub authority: String,
    /// Whether it is known beforehand that the provider honours `If-None-Match: *` on writes.
    pub honours_conditions: bool,
    /// The generation of the credentials (`Connection::credentials_generation`).
    pub generation: u64,
}

impl UpstreamAccess {
    /// The `host` header and the canonical path for an object or a bucket. `key_path` is the
    /// encoded object key, without a leading slash; empty for the bucket itself.
    pub(crate) fn address(&self, bucket: &BucketName, key_path: &str) -> (String, String) {
        match self.addressing.of(bucket) {
            Addressing::Path if key_path.is_empty() => {
                (self.authority.clone(), format!("/{bucket}"))
            }
            Addressing::Path => (self.authority.clone(), format!("/{bucket}/{key_path}")),
            Addressing::VirtualHost => (
                format!("{bucket}.{}", self.authority),
                format!("/{key_path}"),
            ),
        }
    }

    pub(crate) const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// What kind of failure kept a provider's answer away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamErrorKind {
    /// No connection could be made, or the name does not resolve: nothing was sent.
    Unreachable,
    /// The TLS handshake failed: nothing was sent.
    Tls,
    /// No answer in time.
    Timeout,
    /// The exchange broke off.
    Broken,
    /// The gateway itself gave the exchange up.
    Aborted,
}

impl UpstreamErrorKind {
    /// Every kind there is.
    pub const ALL: &[Self] = &[
        Self::Unreachable,
        Self::Tls,
        Self::Timeout,
        Self::Broken,
        Self::Aborted,
    ];

    /// In one word, for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Aborted => "aborted",
        }
    }

    /// Whether it is certain that the provider got no request.
    pub(crate) const fn nothing_sent(self) -> bool {
        matches!(self, Self::Unreachable | Self::Tls)
    }
}

impl fmt::Display for UpstreamErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "the provider cannot be reached",
            Self::Tls => "no trusted encrypted connection to the provider could be made",
            Self::Timeout => "the provider did not answer in time",
            Self::Broken => "the exchange with the provider broke off",
            Self::Aborted => "the exchange with the provider was given up",
        })
    }
}

/// A provider's answer did not arrive.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct UpstreamError {
    /// In which way.
    pub kind: UpstreamErrorKind,
    /// What the transport said; for logs, never for clients.
    #[source]
    pub source: Option<BoxError>,
}

impl UpstreamError {
    /// A failure of this kind, caused by `source`.
    pub fn new(kind: UpstreamErrorKind, source: impl Into<BoxError>) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }
}

impl From<UpstreamErrorKind> for UpstreamError {
    fn from(kind: UpstreamErrorKind) -> Self {
        Self { kind, source: None }
    }
}

/// The body of a request to a provider. An error from it means that the request must not be
/// completed.
pub struct UpstreamBody(pub(crate) Source);

pub(crate) enum Source {
    Whole(Option<Bytes>),
    /// Announced as one byte, which never comes.
    Withheld,
    Streamed(Box<UploadBody>),
}

impl UpstreamBody {
    pub(crate) const fn empty() -> Self {
        Self(Source::Whole(None))
    }

    /// One byte that is announced and never sent.
    pub(crate) const fn withheld() -> Self {
        Self(Source::Withheld)
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Source::Whole((!bytes.is_empty()).then_some(bytes)))
    }
}

impl fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Whole(_) => "UpstreamBody(whole)",
            Source::Withheld => "UpstreamBody(withheld)",
            Source::Streamed(_) => "UpstreamBody(streamed)",
        })
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Source::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            // Nobody wakes this: whoever sends it stops waiting by itself.
            Source::Withheld => Poll::Pending,
            Source::Streamed(upload) => Pin::new(&mut **upload).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Whole(bytes) => bytes.is_none(),
            Source::Withheld => false,
            Source::Streamed(upload) => upload.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Withheld => SizeHint::with_exact(1),
            Source::Streamed(upload) => upload.size_hint(),
        }
    }
}
