//! The requests of each row, signed before the clock starts: what is measured is the proxy, not
//! how fast this program signs.

use bascule_domain::{endpoint::Region, secret};
use bascule_sigv4::{Payload, Service, Signer};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;

use aws_lc_rs::{digest, hmac};

pub(crate) const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;
/// Objects in the listing.
pub(crate) const LISTED: usize = 1_000;
/// What the AWS SDKs take for each chunk of a signed body.
const CHUNK: usize = 64 * KIB;

/// What a row does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    /// `UNSIGNED-PAYLOAD`.
    PutUnsigned,
    /// The body's SHA-256 is part of the signature.
    PutHashed,
    /// aws-chunked, each chunk signed.
    PutChunked,
    /// ListObjectsV2 of 1,000 objects.
    List,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Of the body.
    pub(crate) bytes: usize,
    /// Connections that send one request after the other.
    pub(crate) at_once: usize,
    /// The ratio to nginx on the stub that is to be reached.
    pub(crate) goal: f64,
}

const fn operation(
    name: &'static str,
    kind: Kind,
    bytes: usize,
    at_once: usize,
    goal: f64,
) -> Operation {
    Operation {
        name,
        kind,
        bytes,
        at_once,
        goal,
    }
}

pub(crate) static OPERATIONS: [Operation; 9] = [
    operation("GET 4 KiB c=1", Kind::Get, 4 * KIB, 1, 0.9),
    operation("GET 4 KiB c=32", Kind::Get, 4 * KIB, 32, 0.85),
    operation("GET 64 MiB", Kind::Get, 64 * MIB, 1, 1.0),
    operation("PUT 4 KiB c=1", Kind::PutUnsigned, 4 * KIB, 1, 1.0),
    operation("PUT 4 KiB c=32", Kind::PutUnsigned, 4 * KIB, 32, 1.0),
    operation("PUT 64 MiB unsigned", Kind::PutUnsigned, 64 * MIB, 1, 1.0),
    // The issue names no goal for it: it hashes all bytes, nginx none.
    operation("PUT 64 MiB literal hash", Kind::PutHashed, 64 * MIB, 1, 0.0),
    operation(
        "PUT 64 MiB signed chunks",
        Kind::PutChunked,
        64 * MIB,
        1,
        0.6,
    ),
    operation("LIST 1,000", Kind::List, 0, 1, 0.95),
];

/// Who signs.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// Where requests go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Host and port.
    pub(crate) address: String,
    pub(crate) bucket: String,
    pub(crate) credentials: Credentials,
}

/// A request as it goes over the wire.
pub(crate) struct Wire {
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
    /// Bytes of body that an answer must have; `None` when any will do.
    pub(crate) answer: Option<usize>,
}

/// The request that the worker of this number sends again and again.
pub(crate) fn prepare(target: &Target, operation: &Operation, worker: usize) -> Wire {
    let plain = match operation.kind {
        Kind::Get | Kind::List => Bytes::new(),
        _ => Bytes::from(vec![7; operation.bytes]),
    };
    let bucket = &target.bucket;
    let (method, path, query) = match operation.kind {
        Kind::Get => (
            Method::GET,
            format!("/{bucket}/{}", readable(operation)),
            "",
        ),
        Kind::List => (
            Method::GET,
            format!("/{bucket}"),
            "list-type=2&max-keys=1000&prefix=many%2F",
        ),
        _ => (
            Method::PUT,
            format!("/{bucket}/written/{}-{worker}", operation.bytes),
            "",
        ),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, value(&target.address));
    let payload = match operation.kind {
        Kind::Get | Kind::List => Payload::EMPTY,
        Kind::PutUnsigned => Payload::Unsigned,
        Kind::PutHashed => Payload::Literal(sha256(&plain)),
        Kind::PutChunked => {
            headers.insert(header::CONTENT_ENCODING, value("aws-chunked"));
            headers.insert(
                "x-amz-decoded-content-length",
                value(&plain.len().to_string()),
            );
            Payload::SignedChunks
        }
    };
    let credentials = secret::Credentials {
        access_key_id: target.credentials.id.parse().expect("an access key id"),
        secret: secret::SecretKey::parse(&target.credentials.secret).expect("a secret"),
    };
    let region: Region = "us-east-1".parse().expect("a region");
    let signer = Signer {
        credentials: &credentials,
        region: &region,
        service: Service::S3,
    };
    signer.sign(
        &method,
        &path,
        query,
        &mut headers,
        &payload,
        Timestamp::now(),
    );
    let body = match operation.kind {
        Kind::PutChunked => chunked(&plain, &headers, &target.credentials.secret),
        _ => plain,
    };
    if method == Method::PUT {
        headers.insert(header::CONTENT_LENGTH, body.len().into());
    }
    let question = if query.is_empty() { "" } else { "?" };
    let mut head = format!("{method} {path}{question}{query} HTTP/1.1\r\n").into_bytes();
    for (name, value) in &headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Wire {
        head: head.into(),
        body,
        answer: match operation.kind {
            Kind::Get => Some(operation.bytes),
            Kind::List => None,
            _ => Some(0),
        },
    }
}

/// The object that a row reads.
pub(crate) fn readable(operation: &Operation) -> String {
    format!("read-{}", operation.bytes)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("visible ASCII")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest::digest(&digest::SHA256, bytes);
    hash.as_ref().try_into().expect("32 bytes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keyed(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// The aws-chunked form of a body whose head is signed already.
fn chunked(plain: &[u8], headers: &HeaderMap, secret: &str) -> Bytes {
    let text = |name: &str| headers[name].to_str().expect("visible ASCII");
    let time = text("x-amz-date");
    let authorization = text("authorization");
    let after = |mark: &str| authorization.split_once(mark).expect("a signature").1;
    let mut previous = after("Signature=").to_owned();
    let scope = after("/").split_once(',').expect("a scope").0.to_owned();
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/') {
        key = keyed(&key, part).as_ref().to_vec();
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let nothing = hex(&sha256(b""));
    let mut body = Vec::with_capacity(plain.len() + plain.len() / 512 + 256);
    for chunk in plain.chunks(CHUNK).chain([&[][..]]) {
        let hash = hex(&sha256(chunk));
        let statement =
            format!("AWS4-HMAC-SHA256-PAYLOAD\n{time}\n{scope}\n{previous}\n{nothing}\n{hash}");
        previous = hex(hmac::sign(&key, statement.as_bytes()).as_ref());
        let line = format!("{:x};chunk-signature={previous}\r\n", chunk.len());
        body.extend_from_slice(line.as_bytes());
        body.extend_from_slice(chunk);
        body.extend_from_slice(b"\r\n");
    }
    body.into()
}
