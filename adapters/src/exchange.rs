//! One signed GET and its whole, bounded answer. There is no other method here: what reads a
//! bucket through this module can't change it.

use std::{sync::Arc, time::Duration};

use bascule_domain::{
    connection::Location,
    endpoint::Region,
    names::{BucketName, ObjectKey},
    secret::Credentials,
};
use bascule_sigv4::{Payload, Service, Signer, encode_query};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use jiff::Timestamp;

use crate::{
    registry::Clock,
    storage::upstream,
    transport::{BoxError, RequestBody, Transport, TransportError, TransportErrorKind},
};

/// No listing page or error is larger.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// To the head of the answer, and between two frames of its body (threats.md I2).
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Question<'a> {
    pub(crate) bucket: Option<&'a BucketName>,
    pub(crate) key: Option<&'a ObjectKey>,
    pub(crate) query: &'a [(&'a str, &'a str)],
    /// Only the first byte.
    pub(crate) first_byte: bool,
}

/// The whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) asked_at: Timestamp,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the answer is larger than 16 MiB")]
    TooLarge,
    #[error("the request could not be built")]
    Request(#[source] BoxError),
}

/// Asks one provider.
#[derive(Clone)]
pub(crate) struct Exchange {
    transport: Arc<dyn Transport>,
    location: Location,
    clock: Clock,
}

impl Exchange {
    pub(crate) const fn new(
        transport: Arc<dyn Transport>,
        location: Location,
        clock: Clock,
    ) -> Self {
        Self {
            transport,
            location,
            clock,
        }
    }

    pub(crate) const fn location(&self) -> &Location {
        &self.location
    }

    /// Asks, and once more if the exchange broke off: the other end may have closed a pooled
    /// connection just then, and a question changes nothing however often it is put.
    pub(crate) async fn ask(
        &self,
        credentials: &Credentials,
        question: Question<'_>,
    ) -> Result<Answer, ExchangeError> {
        match self.ask_once(credentials, question).await {
            Err(ExchangeError::Transport(error)) if error.kind() == TransportErrorKind::Broken => {
                self.ask_once(credentials, question).await
            }
            answered => answered,
        }
    }

    async fn ask_once(
        &self,
        credentials: &Credentials,
        question: Question<'_>,
    ) -> Result<Answer, ExchangeError> {
        let asked_at = (self.clock)();
        let request = self.request(credentials, question, asked_at)?;
        let response = in_time(self.transport.send(request)).await??;
        let (head, mut body) = response.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = in_time(body.frame()).await? {
            let Ok(data) = frame.map_err(|_| broken())?.into_data() else {
                continue;
            };
            if whole.len() + data.len() > ANSWER_LIMIT {
                return Err(ExchangeError::TooLarge);
            }
            whole.extend_from_slice(&data);
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: whole.freeze(),
            asked_at,
        })
    }

    fn request(
        &self,
        credentials: &Credentials,
        question: Question<'_>,
        now: Timestamp,
    ) -> Result<Request<RequestBody>, ExchangeError> {
        let to = upstream(&self.location, question.bucket, question.key);
        let pairs: Vec<(String, String)> = question
            .query
            .iter()
            .map(|&(name, value)| (name.into(), value.into()))
            .collect();
        let mut uri = format!("{}://{}{}", to.scheme, to.authority, to.path);
        if !pairs.is_empty() {
            uri.push('?');
            uri.push_str(&encode_query(&pairs));
        }
        let mut builder = Request::builder()
            .method(Method::GET)
            .uri(uri)
            .header(header::HOST, to.authority);
        if question.first_byte {
            builder = builder.header(header::RANGE, "bytes=0-0");
        }
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut request = builder
            .body(body)
            .map_err(|e| ExchangeError::Request(e.into()))?;
        if let Location::Server { region, .. } = &self.location {
            sign(&mut request, credentials, region, now);
        }
        Ok(request)
    }
}

async fn in_time<T>(waiting: impl Future<Output = T>) -> Result<T, TransportError> {
    tokio::time::timeout(SILENCE_LIMIT, waiting)
        .await
        .map_err(|_| {
            TransportError::new(
                TransportErrorKind::Timeout,
                format!(
                    "the provider did not answer within {} seconds",
                    SILENCE_LIMIT.as_secs()
                ),
            )
        })
}

fn broken() -> TransportError {
    TransportError::new(
        TransportErrorKind::Broken,
        "the provider broke off in the middle of its answer",
    )
}

fn sign(
    request: &mut Request<RequestBody>,
    credentials: &Credentials,
    region: &Region,
    now: Timestamp,
) {
    let uri = request.uri().clone();
    let signer = Signer {
        credentials,
        region,
        service: Service::S3,
    };
    signer.sign(
        &Method::GET,
        uri.path(),
        uri.query().unwrap_or_default(),
        request.headers_mut(),
        &Payload::EMPTY,
        now,
    );
}
