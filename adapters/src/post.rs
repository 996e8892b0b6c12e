//! Hands a small message to a web server of the user's choice, through the one HTTP client: no redirect
//! is followed, nothing is sent twice, TLS is never left out. An address may hold a secret in its path,
//! so it is shown without one.

use std::{fmt, str::FromStr, time::Duration};

use bascule_domain::endpoint::{Endpoint, EndpointError};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};

use crate::{
    guard::{Guard, Refusal},
    transport::{HttpTransport, Transport, TransportError, TransportErrorKind},
    trust::TlsSetupError,
};

/// From the first packet to the head of the answer.
const LIMIT: Duration = Duration::from_secs(15);
const LONGEST: usize = 2_048;

/// The address of a resource: server, path and query.
#[derive(Clone, PartialEq, Eq)]
pub struct WebAddress {
    endpoint: Endpoint,
    /// From the first `/` on, query included.
    path: Box<str>,
}

/// Why a text is no address. It never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebAddressError {
    /// Server and port are wrong.
    #[error(transparent)]
    Server(#[from] EndpointError),
    /// Blanks, controls and what is not ASCII are written with percent signs.
    #[error("the address holds a character that has to be written as %XX")]
    Character,
    /// It never gets to a server.
    #[error("the address has a fragment (#…), which no server sees")]
    Fragment,
    /// Nobody's is.
    #[error("the address is longer than 2048 characters")]
    TooLong,
}

impl WebAddress {
    /// Whether others on the way could read what is sent there. `localhost` is this machine.
    #[must_use]
    pub fn is_plain_beyond_loopback(&self) -> bool {
        !self.endpoint.is_tls() && !self.endpoint.is_loopback()
    }

    /// The address of something below it; a query stays.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (&*self.path, String::new()),
        };
        let path = path.trim_end_matches('/');
        Self {
            endpoint: self.endpoint.clone(),
            path: format!("{path}/{name}{query}").into(),
        }
    }
}

impl FromStr for WebAddress {
    type Err = WebAddressError;

    fn from_str(text: &str) -> Result<Self, WebAddressError> {
        if text.len() > LONGEST {
            return Err(WebAddressError::TooLong);
        }
        if text.contains('#') {
            return Err(WebAddressError::Fragment);
        }
        let start = text.find("://").map_or(0, |at| at + 3);
        let end = text[start..]
            .find(['/', '?'])
            .map_or(text.len(), |at| start + at);
        let endpoint = text[..end].parse()?;
        let path = &text[end..];
        let plain = |b: u8| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b);
        if !path.bytes().all(plain) {
            return Err(WebAddressError::Character);
        }
        let path = if path.starts_with('/') {
            path.into()
        } else {
            format!("/{path}").into()
        };
        Ok(Self { endpoint, path })
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if &*self.path == "/" { "" } else { "…" };
        write!(f, "{}/{more}", self.endpoint)
    }
}

impl fmt::Debug for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebAddress({self})")
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The name has no address.
    #[error("the server's name has no address")]
    Dns,
    /// Nothing accepts connections there.
    #[error("nothing accepts connections at the server's port")]
    Unreachable,
    /// No connection or no answer in time.
    #[error("the server did not answer in time")]
    Timeout,
    /// Its address must not be dialled.
    #[error("the server's name leads to {0}, which is not dialled")]
    Refused(Refusal),
    /// No trusted TLS connection.
    #[error("{0}")]
    Tls(String),
    /// The exchange broke off, or was no HTTP.
    #[error("the exchange broke off; is that a web server?")]
    Broken,
    /// This machine's own certificate authorities can't be used.
    #[error("TLS can't be set up: {0}")]
    Setup(#[from] TlsSetupError),
    /// What was to be sent is no request.
    #[error("the request could not be built")]
    Request,
}

impl From<TransportError> for PostError {
    fn from(error: TransportError) -> Self {
        match error.kind() {
            TransportErrorKind::Dns => Self::Dns,
            TransportErrorKind::Unreachable => Self::Unreachable,
            TransportErrorKind::Timeout => Self::Timeout,
            TransportErrorKind::Refused(refusal) => Self::Refused(refusal),
            // The transport speaks of providers, which are all it meets otherwise.
            TransportErrorKind::Tls | TransportErrorKind::NotTls => {
                Self::Tls(error.to_string().replace("provider", "server"))
            }
            TransportErrorKind::Broken | TransportErrorKind::Local => Self::Broken,
        }
    }
}

/// Posts a body once and returns the answer's status. What else the server says is not read.
///
/// # Errors
/// That there is no answer within 15 seconds, with the reason. The server may have got the message.
pub async fn post(
    to: &WebAddress,
    guard: Guard,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, PostError> {
    let transport = HttpTransport::new(&to.endpoint, None, guard)?;
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}{}", to.endpoint, to.path))
        .body(
            Full::new(body)
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
        .map_err(|_| PostError::Request)?;
    *request.headers_mut() = headers;
    let host = to.endpoint.authority().parse();
    let host = host.map_err(|_| PostError::Request)?;
    request.headers_mut().insert(header::HOST, host);
    let answer = tokio::time::timeout(LIMIT, transport.send(request)).await;
    Ok(answer.map_err(|_| PostError::Timeout)??.status())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<WebAddress, WebAddressError> {
        text.parse()
    }

    #[test]
    fn an_address_is_shown_without_what_may_be_a_secret() {
        for (text, shown) in [
            ("https://hc-ping.com/6f1c-uuid", "https://hc-ping.com/…"),
            ("https://ntfy.sh:8443/topic?a=b", "https://ntfy.sh:8443/…"),
            ("https://example.com", "https://example.com/"),
            ("https://example.com?token=x", "https://example.com/…"),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("WebAddress({shown})"));
        }
        for bad in [
            "example.com/x",
            "ftp://example.com/",
            "https://user:pw@example.com/",
            "https://example.com/ä",
            "https://example.com/a b",
            "https://example.com/a#b",
            "https:///x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_text_beyond_this_machine_is_known() {
        for here in [
            "http://127.0.0.1:1/x",
            "http://[::1]/",
            "http://localhost/a",
            "https://a.b/",
        ] {
            assert!(!parse(here).unwrap().is_plain_beyond_loopback(), "{here}");
        }
        for beyond in [
            "http://10.0.0.1/",
            "http://localhost.evil.test/",
            "http://a/",
        ] {
            assert!(
                parse(beyond).unwrap().is_plain_beyond_loopback(),
                "{beyond}"
            );
        }
    }

    #[test]
    fn what_lies_below_keeps_the_query() {
        let below = |text: &str| parse(text).unwrap().below("fail").path;
        assert_eq!(&*below("https://a.b/u/"), "/u/fail");
        assert_eq!(&*below("https://a.b/u?create=1"), "/u/fail?create=1");
        assert_eq!(&*below("https://a.b"), "/fail");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_send_elsewhere(text in "(https?://)?[a-z.@:/?#\\[\\]\\\\é ]{0,20}") {
            if let Ok(address) = parse(&text) {
                let uri: http::Uri = format!("{}{}", address.endpoint, address.path).parse().unwrap();
                let authority = uri.authority().unwrap().as_str().to_owned();
                prop_assert_eq!(authority, address.endpoint.authority());
            }
        }
    }
}
