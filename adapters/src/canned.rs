//! A provider for unit tests: it gives prepared answers in turn and remembers what was asked.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bascule_domain::{
    connection::{Buckets, Location},
    endpoint::Addressing,
    names::BucketName,
    secret::{Credentials, SecretKey},
};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;

use crate::{
    exchange::Exchange,
    transport::{
        RequestBody, ResponseBody, Sending, Transport, TransportError, TransportErrorKind,
    },
};

/// One prepared answer.
pub(crate) enum Reply {
    Says(u16, String),
    Fails(TransportErrorKind),
}

#[derive(Default)]
pub(crate) struct Canned {
    replies: Mutex<VecDeque<Reply>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Transport for Canned {
    fn send(&self, request: http::Request<RequestBody>) -> Sending<'_> {
        self.asked
            .lock()
            .unwrap()
            .push(format!("{} {}", request.method(), request.uri()));
        let reply = self
            .replies
            .lock()
            .unwrap()
            .pop_front()
            .expect("an answer is left");
        Box::pin(async move { reply.response() })
    }
}

impl Reply {
    fn response(self) -> Result<http::Response<ResponseBody>, TransportError> {
        match self {
            Self::Fails(kind) => Err(TransportError::new(kind, "failed")),
            Self::Says(status, body) => {
                let body = Full::new(body.into())
                    .map_err(|never| match never {})
                    .boxed_unsync();
                Ok(http::Response::builder().status(status).body(body).unwrap())
            }
        }
    }
}

/// A provider that makes up each answer from the path and query it is asked for, and tells how
/// many questions were open at once.
pub(crate) struct Acting<F> {
    act: F,
    open: Arc<Open>,
}

#[derive(Default)]
pub(crate) struct Open {
    now: AtomicUsize,
    pub(crate) most: AtomicUsize,
}

impl<F: Fn(&str) -> Reply + Send + Sync> Transport for Acting<F> {
    fn send(&self, request: http::Request<RequestBody>) -> Sending<'_> {
        assert_eq!(request.method(), http::Method::GET);
        let reply = (self.act)(request.uri().path_and_query().unwrap().as_str());
        Box::pin(async move {
            let now = self.open.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.open.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            self.open.now.fetch_sub(1, Ordering::SeqCst);
            reply.response()
        })
    }
}

/// Time has to be paused: each answer takes a while.
pub(crate) fn acting(act: impl Fn(&str) -> Reply + Send + Sync + 'static) -> (Exchange, Arc<Open>) {
    let open = Arc::new(Open::default());
    let acting = Arc::new(Acting {
        act,
        open: open.clone(),
    });
    let clock = Arc::new(|| Timestamp::UNIX_EPOCH);
    (Exchange::new(acting, location(), clock), open)
}

fn location() -> Location {
    Location::Server {
        endpoint: "https://s3.example.com".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        addressing: Addressing::Path,
        extra_ca: None,
        allow_link_local: false,
    }
}

pub(crate) fn exchange(replies: impl IntoIterator<Item = Reply>) -> (Exchange, Arc<Canned>) {
    let canned = Arc::new(Canned {
        replies: Mutex::new(replies.into_iter().collect()),
        ..Canned::default()
    });
    (
        Exchange::new(
            canned.clone(),
            location(),
            Arc::new(|| Timestamp::UNIX_EPOCH),
        ),
        canned,
    )
}

pub(crate) fn credentials() -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".parse().unwrap(),
        secret: SecretKey::parse("marker-of-a-secret").unwrap(),
    }
}

pub(crate) fn bucket() -> BucketName {
    "photos".parse().unwrap()
}

pub(crate) fn buckets() -> Buckets {
    vec![bucket()].try_into().unwrap()
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::Says(
        status,
        format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"),
    )
}

pub(crate) fn listing(keys: &[&str], next: Option<&str>) -> Reply {
    let mut body = String::from("<ListBucketResult><EncodingType>url</EncodingType>");
    for key in keys {
        body.push_str(&format!(
            "<Contents><Key>{key}</Key><Size>1</Size><ETag>&quot;e&quot;</ETag></Contents>"
        ));
    }
    body.push_str(&format!("<IsTruncated>{}</IsTruncated>", next.is_some()));
    if let Some(token) = next {
        body.push_str(&format!(
            "<NextContinuationToken>{token}</NextContinuationToken>"
        ));
    }
    Reply::Says(200, body + "</ListBucketResult>")
}
