//! The one way to providers: a small interface, the errors it has, and the HTTP client behind it,
//! whose connections are in `pool`.
//! It follows no redirect, buffers no body, retries nothing that was sent, and never falls back
//! from TLS to plain text (threats.md I1 to I4).

use std::{
    error::Error as StdError, future::Future, io, path::Path, pin::Pin, sync::Arc, time::Duration,
};

use bascule_domain::endpoint::Endpoint;
use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper_rustls::HttpsConnectorBuilder;

use crate::{
    dialer::{Bounded, DialError, Dialer},
    guard::{Guard, Refusal},
    pool::Pool,
    trust::{TlsSetupError, tls_config},
};

/// What bodies fail with.
pub type BoxError = Box<dyn StdError + Send + Sync>;
/// A request's body: streamed, of any length.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;
/// A response's body: streamed, of any length.
pub type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;
/// A response, or why there is none, some time later.
pub type Sending<'a> =
    Pin<Box<dyn Future<Output = Result<http::Response<ResponseBody>, TransportError>> + Send + 'a>>;

/// Takes requests to one provider. The request's URI is absolute and its `Host` header is what
/// was signed.
pub trait Transport: Send + Sync {
    /// Sends one request and waits for the head of the response. There is no time limit from
    /// here on, since an upload may take hours; dropping the future cuts the exchange.
    fn send(&self, request: http::Request<RequestBody>) -> Sending<'_>;
}

/// What kind of thing went wrong between us and the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransportErrorKind {
    /// The name has no address.
    Dns,
    /// Nothing accepts connections there.
    Unreachable,
    /// No connection in time.
    Timeout,
    /// All its addresses are ones that must not be dialled.
    Refused(Refusal),
    /// The certificate or the handshake was not accepted.
    Tls,
    /// The other end does not speak TLS.
    NotTls,
    /// The exchange broke off, or was no HTTP.
    Broken,
    /// The embedded service failed.
    Local,
}

/// Why there is no response. It names neither the URL nor its query.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    kind: TransportErrorKind,
    message: String,
    #[source]
    source: Option<BoxError>,
}

impl TransportError {
    pub(crate) fn new(kind: TransportErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> TransportErrorKind {
        self.kind
    }

    /// There is no connection.
    pub(crate) fn from_connect(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let (kind, message) = classify(&*error);
        Self {
            kind,
            message,
            source: Some(error),
        }
    }

    /// Once there is a connection, whatever breaks it leaves open what the provider got.
    pub(crate) fn from_exchange(error: hyper::Error) -> Self {
        Self::broken(error)
    }

    pub(crate) fn broken(cause: impl Into<BoxError>) -> Self {
        let (kind, message) = broken();
        Self {
            kind,
            message,
            source: Some(cause.into()),
        }
    }
}

/// Looks for the cause in the chain of sources.
fn classify(error: &(dyn StdError + 'static)) -> (TransportErrorKind, String) {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(dial) = cause.downcast_ref::<DialError>() {
            return (dial.kind(), dial.to_string());
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return tls_cause(tls);
        }
        // An I/O error's source is its content's source, which would skip the content.
        let content = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = content.map_or_else(|| cause.source(), |content| Some(content));
    }
    broken()
}

fn broken() -> (TransportErrorKind, String) {
    (
        TransportErrorKind::Broken,
        "the exchange with the provider broke off".into(),
    )
}

fn tls_cause(error: &rustls::Error) -> (TransportErrorKind, String) {
    match error {
        rustls::Error::InvalidMessage(_) => (
            TransportErrorKind::NotTls,
            "the provider's port does not speak TLS".into(),
        ),
        rustls::Error::InvalidCertificate(why) => (
            TransportErrorKind::Tls,
            format!("the provider's certificate is not accepted: {why}"),
        ),
        other => (
            TransportErrorKind::Tls,
            format!("the TLS handshake failed: {other}"),
        ),
    }
}

/// Name resolution, TCP and TLS together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The HTTP client towards one server.
pub struct HttpTransport {
    pool: Arc<Pool>,
}

impl HttpTransport {
    /// A client for this endpoint. It opens nothing yet.
    pub fn new(
        endpoint: &Endpoint,
        extra_ca: Option<&Path>,
        guard: Guard,
    ) -> Result<Self, TlsSetupError> {
        let tls = tls_config(endpoint.is_tls(), extra_ca)?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
        // An endpoint has one scheme; a request with the other one is a fault, not a fallback.
        let builder = if endpoint.is_tls() {
            builder.https_only()
        } else {
            builder.https_or_http()
        };
        let connector = builder.enable_http1().wrap_connector(Dialer::new(guard));
        let pool = Pool::new(Bounded::new(connector, CONNECT_LIMIT));
        Ok(Self {
            pool: Arc::new(pool),
        })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: http::Request<RequestBody>) -> Sending<'_> {
        Box::pin(async move {
            let response = self.pool.send(request).await?;
            Ok(response.map(BodyExt::boxed_unsync))
        })
    }
}
