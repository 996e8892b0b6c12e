//! A fake provider with one bucket of as many objects as a test wants. It makes up its listings
//! page by page, because a real server would need hours to be filled with so many objects. It
//! knows only what a deletion asks for, checks no signature, and refuses everything that could
//! change something.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::runtime;

/// The name of its bucket.
pub const BUCKET: &str = "generated";
const LARGEST_PAGE: u64 = 1_000;

/// The fake. It ends on drop, with every connection to it.
#[derive(Debug)]
pub struct Generated {
    address: SocketAddr,
    listed: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Generated {
    /// Starts one with so many objects in its bucket.
    #[must_use]
    pub fn start(objects: u64) -> Self {
        let listener = runtime()
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let listed = Arc::new(AtomicU64::new(0));
        let task = runtime().spawn(accept(listener, objects, Arc::clone(&listed)));
        Self {
            address,
            listed,
            task,
        }
    }

    /// Such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many lines of listings it has handed out.
    #[must_use]
    pub fn listed(&self) -> u64 {
        self.listed.load(SeqCst)
    }
}

impl Drop for Generated {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, objects: u64, listed: Arc<AtomicU64>) {
    // Dropped with this task, and with it every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let listed = Arc::clone(&listed);
        connections.spawn(async move {
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(&request, objects, &listed);
                async { Ok::<_, std::convert::Infallible>(answer) }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answer<B>(request: &Request<B>, objects: u64, listed: &AtomicU64) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return error(StatusCode::FORBIDDEN, "AccessDenied");
    }
    let path = request.uri().path().trim_matches('/');
    let query = request.uri().query().unwrap_or_default();
    if path.is_empty() {
        return xml(format!(
            "<ListAllMyBucketsResult><Buckets><Bucket><Name>{BUCKET}</Name>\
             <CreationDate>2024-02-29T12:00:00.000Z</CreationDate></Bucket></Buckets>\
             </ListAllMyBucketsResult>"
        ));
    }
    if let Some(key) = path
        .strip_prefix(BUCKET)
        .and_then(|rest| rest.strip_prefix('/'))
    {
        return object(key);
    }
    if path != BUCKET {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    if parameter(query, "list-type") == Some("2") {
        return page(query, objects, listed);
    }
    if parameter(query, "location").is_some() {
        return xml("<LocationConstraint></LocationConstraint>".to_owned());
    }
    if parameter(query, "versioning").is_some() {
        return xml("<VersioningConfiguration></VersioningConfiguration>".to_owned());
    }
    error(StatusCode::NOT_IMPLEMENTED, "NotImplemented")
}

/// The value of a parameter; none of those asked for holds anything that is encoded.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        (found == name).then_some(value)
    })
}

/// Keys whose bytes are in the order of their numbers, about as long as real ones.
fn key(number: u64) -> String {
    format!(
        "archive/volume-{:06}/photograph-taken-on-a-long-journey-{number:012}.jpeg",
        number / 1_000
    )
}

fn page(query: &str, objects: u64, listed: &AtomicU64) -> Response<Full<Bytes>> {
    let number = |name: &str| parameter(query, name).and_then(|value| value.parse::<u64>().ok());
    let from = number("continuation-token").unwrap_or(0);
    let count = number("max-keys").unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE);
    let until = from.saturating_add(count).min(objects);
    let mut body = format!(
        "<ListBucketResult><Name>{BUCKET}</Name><Prefix></Prefix><MaxKeys>{count}</MaxKeys>\
         <EncodingType>url</EncodingType><KeyCount>{}</KeyCount>",
        until.saturating_sub(from)
    );
    for number in from..until {
        body.push_str(&format!(
            "<Contents><Key>{}</Key><LastModified>2024-03-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;{number:032x}&quot;</ETag><Size>{number}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            key(number)
        ));
    }
    if until < objects {
        body.push_str(&format!(
            "<IsTruncated>true</IsTruncated>\
             <NextContinuationToken>{until}</NextContinuationToken>"
        ));
    } else {
        body.push_str("<IsTruncated>false</IsTruncated>");
    }
    body.push_str("</ListBucketResult>");
    listed.fetch_add(until.saturating_sub(from), SeqCst);
    xml(body)
}

/// Every object answers with the first byte of itself.
fn object(key: &str) -> Response<Full<Bytes>> {
    if !key.starts_with("archive/") {
        return error(StatusCode::NOT_FOUND, "NoSuchKey");
    }
    let mut response = Response::new(Full::new(Bytes::from_static(b"x")));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    response
}

fn xml(body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    response
}

fn error(status: StatusCode, code: &str) -> Response<Full<Bytes>> {
    let mut response = xml(format!("<Error><Code>{code}</Code></Error>"));
    *response.status_mut() = status;
    response
}
