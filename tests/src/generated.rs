//! A fake provider with one bucket of as many objects as a test wants. It makes up its listings
//! page by page, because a real server would need hours to be filled with so many objects. It
//! knows only what a deletion asks for, checks no signature, and refuses everything that could
//! change something.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use crate::server::Server;

/// The name of its bucket.
pub const BUCKET: &str = "generated";
const LARGEST_PAGE: u64 = 1_000;

/// The fake. It ends on drop, with every connection to it.
#[derive(Debug)]
pub struct Generated {
    server: Server,
    credentials: (String, String),
    listed: Arc<AtomicU64>,
}

impl Generated {
    /// Starts one with so many objects in its bucket.
    #[must_use]
    pub fn start(objects: u64) -> Self {
        Self::start_slow(objects, Duration::ZERO)
    }

    /// Starts one that takes this long for each answer, as a provider at a distance does.
    #[must_use]
    pub fn start_slow(objects: u64, delay: Duration) -> Self {
        let listed = Arc::new(AtomicU64::new(0));
        let of_server = Arc::clone(&listed);
        let server = Server::start(move |request| {
            let answer = answer(&request, objects, &of_server);
            async move {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        // As its port is: whatever runs on this machine with the same key stands in a deletion's way.
        let credentials = (
            format!("user-of-{}", server.port()),
            "a-secret-of-theirs".to_owned(),
        );
        Self {
            server,
            credentials,
            listed,
        }
    }

    /// An access key id that nothing else on this machine has, and its secret.
    #[must_use]
    pub fn credentials(&self) -> (&str, &str) {
        (&self.credentials.0, &self.credentials.1)
    }

    /// Such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    /// How many lines of listings it has handed out.
    #[must_use]
    pub fn listed(&self) -> u64 {
        self.listed.load(SeqCst)
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

/// The value of a parameter, as it stands there.
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

/// The number of the first key behind a text.
fn behind(text: &str, objects: u64) -> u64 {
    let (mut low, mut high) = (0, objects);
    while low < high {
        let middle = low + (high - low) / 2;
        if *key(middle) > *text {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

fn page(query: &str, objects: u64, listed: &AtomicU64) -> Response<Full<Bytes>> {
    let number = |name: &str| parameter(query, name).and_then(|value| value.parse::<u64>().ok());
    let text = |name: &str| parameter(query, name).map(decoded).unwrap_or_default();
    let count = number("max-keys").unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE);
    if !text("delimiter").is_empty() {
        return level(&text("prefix"), count, objects);
    }
    let from = match number("continuation-token") {
        Some(token) => token,
        None => behind(&text("start-after"), objects),
    };
    let until = from.saturating_add(count).min(objects);
    let mut body = format!(
        "<ListBucketResult><Name>{BUCKET}</Name><Prefix></Prefix><MaxKeys>{count}</MaxKeys>\
         <EncodingType>url</EncodingType><KeyCount>{}</KeyCount>",
        until.saturating_sub(from)
    );
    for number in from..until {
        let _ = write!(
            body,
            "<Contents><Key>{}</Key><LastModified>2024-03-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;{number:032x}&quot;</ETag><Size>{number}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            key(number)
        );
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

/// One level of the keys, as with a slash for a delimiter.
fn level(prefix: &str, count: u64, objects: u64) -> Response<Full<Bytes>> {
    let prefixes: Vec<String> = match prefix {
        "" => vec!["archive/".to_owned()],
        "archive/" => (0..objects.div_ceil(1_000).min(count))
            .map(|volume| format!("archive/volume-{volume:06}/"))
            .collect(),
        _ => return error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    };
    let mut body = String::from("<ListBucketResult><EncodingType>url</EncodingType>");
    for prefix in prefixes {
        let _ = write!(
            body,
            "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"
        );
    }
    body.push_str("<IsTruncated>false</IsTruncated></ListBucketResult>");
    xml(body)
}

/// Without the percent-encoding of a query.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = (*first == b'%')
            .then(|| u8::from_str_radix(std::str::from_utf8(tail.get(..2)?).ok()?, 16).ok())
            .flatten();
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
