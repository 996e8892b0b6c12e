//! A small S3 client for what the tests do themselves: directly at the provider, or through the
//! gateway with an issued key. Bodies are signed as `UNSIGNED-PAYLOAD`, so they can be streamed.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use bascule_domain::{
    endpoint::Region,
    secret::{Credentials, SecretKey},
};
use bascule_sigv4::{Payload, Service, Signer, encode_path, encode_query};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{
    runtime,
    stream::{Download, Pieces, Upload},
};

type Boxed = BoxBody<Bytes, std::io::Error>;

/// Credentials at an endpoint.
#[derive(Debug, Clone)]
pub struct S3 {
    endpoint: String,
    credentials: Arc<Credentials>,
    region: Region,
    client: Client<HttpConnector, Boxed>,
}

/// One object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Without quotes.
    pub etag: String,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Reply {
    /// The S3 error code in the body; empty when there is none.
    #[must_use]
    pub fn code(&self) -> String {
        element(&self.text(), "Code").unwrap_or_default().to_owned()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl S3 {
    /// For an endpoint such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn new(endpoint: &str, access_key_id: &str, secret: &str) -> Self {
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            credentials: Arc::new(Credentials {
                access_key_id: access_key_id.parse().expect("an access key id"),
                secret: SecretKey::parse(secret).expect("a secret access key"),
            }),
            region: "us-east-1".parse().expect("a region"),
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
        }
    }

    /// The access key id it signs with.
    #[must_use]
    pub fn access_key_id(&self) -> &str {
        self.credentials.access_key_id.as_str()
    }

    fn signer(&self) -> Signer<'_> {
        Signer {
            credentials: &self.credentials,
            region: &self.region,
            service: Service::S3,
        }
    }

    fn signed(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        extra: &[(&str, &str)],
        body: Boxed,
    ) -> Result<Request<Boxed>> {
        let pairs: Vec<_> = query
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let (path, query) = (encode_path(path.as_bytes()), encode_query(&pairs));
        let mut headers = HeaderMap::new();
        let host = self
            .endpoint
            .split_once("://")
            .map_or(&*self.endpoint, |(_, host)| host);
        headers.insert(header::HOST, HeaderValue::from_str(host)?);
        for (name, value) in extra {
            headers.insert(
                HeaderName::from_bytes(name.as_bytes())?,
                HeaderValue::from_str(value)?,
            );
        }
        self.signer().sign(
            &method,
            &path,
            &query,
            &mut headers,
            &Payload::Unsigned,
            now(),
        );
        let question = if query.is_empty() { "" } else { "?" };
        let uri: Uri = format!("{}{path}{question}{query}", self.endpoint).parse()?;
        let mut request = Request::builder().method(method).uri(uri).body(body)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Sends one request and reads the whole answer. `path` and `query` are decoded.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply> {
        self.send_with(method, path, query, &[], body).await
    }

    /// [`send`](Self::send), with further headers.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Reply> {
        let body = Full::new(body.into())
            .map_err(|never| match never {})
            .boxed();
        collect(
            self.client
                .request(self.signed(method, path, query, headers, body)?)
                .await?,
        )
        .await
    }

    /// Sends one request and waits for it, from a thread outside the runtime.
    pub fn call(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Result<Reply> {
        runtime().block_on(self.send(method, path, &[], body))
    }

    /// Stores an object; anything but 200 is an error.
    pub fn put(&self, bucket: &str, key: &str, body: impl Into<Bytes>) -> Result<Reply> {
        expect_status(
            self.call(Method::PUT, &format!("/{bucket}/{key}"), body)?,
            200,
        )
    }

    /// Reads an object; anything but 200 is an error.
    pub fn get(&self, bucket: &str, key: &str) -> Result<Reply> {
        expect_status(
            self.call(Method::GET, &format!("/{bucket}/{key}"), "")?,
            200,
        )
    }

    /// Removes an object; anything but 204 is an error.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<Reply> {
        expect_status(
            self.call(Method::DELETE, &format!("/{bucket}/{key}"), "")?,
            204,
        )
    }

    /// Makes a bucket.
    pub fn make_bucket(&self, bucket: &str) -> Result<Reply> {
        expect_status(self.call(Method::PUT, &format!("/{bucket}"), "")?, 200)
    }

    /// Every object of a bucket, in the order of the keys' bytes.
    pub fn list(&self, bucket: &str) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("list-type", "2"), ("encoding-type", "url")];
            if let Some(token) = &token {
                query.push(("continuation-token", token));
            }
            let path = format!("/{bucket}");
            let page = runtime().block_on(self.send(Method::GET, &path, &query, ""))?;
            let page = expect_status(page, 200)?.text();
            for entry in page.split("<Contents>").skip(1) {
                let field =
                    |name| element(entry, name).with_context(|| format!("{name} in {entry}"));
                objects.push(Object {
                    key: decode(field("Key")?)?,
                    size: field("Size")?.parse()?,
                    etag: field("ETag")?
                        .replace("&#34;", "")
                        .replace("&quot;", "")
                        .replace('"', ""),
                });
            }
            token = element(&page, "NextContinuationToken").map(|text| text.replace("&#34;", "\""));
            if token.is_none() {
                objects.sort();
                return Ok(objects);
            }
        }
    }

    /// A link that reads an object without headers, valid for an hour.
    #[must_use]
    pub fn presigned(&self, bucket: &str, key: &str) -> String {
        self.presigned_for(&Method::GET, bucket, key)
    }

    /// [`presigned`](Self::presigned), for any method.
    #[must_use]
    pub fn presigned_for(&self, method: &Method, bucket: &str, key: &str) -> String {
        let path = encode_path(format!("/{bucket}/{key}").as_bytes());
        self.signer()
            .presign(method, &self.endpoint, &path, &[], 3600, now())
    }

    /// Follows a link.
    pub fn follow(&self, link: &str) -> Result<Reply> {
        let body = Full::new(Bytes::new())
            .map_err(|never| match never {})
            .boxed();
        let request = Request::get(link).body(body)?;
        runtime().block_on(async { collect(self.client.request(request).await?).await })
    }

    /// Starts to read an object and hands out its body as it comes.
    pub fn open(&self, bucket: &str, key: &str) -> Result<Download> {
        let body = Full::new(Bytes::new())
            .map_err(|never| match never {})
            .boxed();
        let request = self.signed(Method::GET, &format!("/{bucket}/{key}"), &[], &[], body)?;
        let response = runtime().block_on(self.client.request(request))?;
        if response.status() != 200 {
            let reply = runtime().block_on(collect(response))?;
            return Err(anyhow!("{}: {}", reply.status, reply.text()));
        }
        Ok(Download::new(response.into_body()))
    }

    /// Starts to store an object of `length` bytes, which are handed over one piece at a time.
    pub fn upload(&self, bucket: &str, key: &str, length: u64) -> Result<Upload> {
        let (pieces, body) = Pieces::new(length);
        let body = body.boxed();
        let length = length.to_string();
        let path = format!("/{bucket}/{key}");
        let request = self.signed(
            Method::PUT,
            &path,
            &[],
            &[("content-length", &length)],
            body,
        )?;
        let client = self.client.clone();
        let answer = runtime().spawn(async move { collect(client.request(request).await?).await });
        Ok(Upload::new(pieces, answer))
    }
}

async fn collect(response: Response<Incoming>) -> Result<Reply> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
    })
}

fn expect_status(reply: Reply, status: u16) -> Result<Reply> {
    if reply.status == status {
        Ok(reply)
    } else {
        Err(anyhow!(
            "{} instead of {status}: {}",
            reply.status,
            reply.text()
        ))
    }
}

/// The text of the first element of a name that has no elements inside.
#[must_use]
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// Decodes the URL encoding of a listing.
fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [
                    rest.next().context("a digit")?,
                    rest.next().context("a digit")?,
                ];
                u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?
            }
            b'+' => b' ',
            other => other,
        });
    }
    Ok(String::from_utf8(bytes)?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests stand outside the daemon and its clock"
)]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
