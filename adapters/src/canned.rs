//! A provider for unit tests: it gives prepared answers in turn and remembers what was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
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
    transport::{RequestBody, Sending, Transport, TransportError, TransportErrorKind},
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
        Box::pin(async move {
            match reply {
                Reply::Fails(kind) => Err(TransportError::new(kind, "failed")),
                Reply::Says(status, body) => {
                    let body = Full::new(body.into())
                        .map_err(|never| match never {})
                        .boxed_unsync();
                    Ok(http::Response::builder().status(status).body(body).unwrap())
                }
            }
        })
    }
}

pub(crate) fn exchange(replies: impl IntoIterator<Item = Reply>) -> (Exchange, Arc<Canned>) {
    let canned = Arc::new(Canned {
        replies: Mutex::new(replies.into_iter().collect()),
        ..Canned::default()
    });
    let location = Location::Server {
        endpoint: "https://s3.example.com".parse().unwrap(),
        region: "us-east-1".parse().unwrap(),
        addressing: Addressing::Path,
        extra_ca: None,
        allow_link_local: false,
    };
    (
        Exchange::new(canned.clone(), location, Arc::new(|| Timestamp::UNIX_EPOCH)),
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
