//! Signed requests to the gateway, as any S3 tool would send them.

use bascule_domain::{
    endpoint::{Endpoint, Region},
    secret::Credentials,
};
use bascule_sigv4::{Payload, Service, Signer, encode_path};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::clock;

const LARGEST_BODY: usize = 1024 * 1024;

/// What the gateway answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// `x-amz-request-id`, which names the cause of a refusal.
    pub(super) request_id: String,
    pub(super) body: Bytes,
}

/// A key with the gateway it is for.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) endpoint: Endpoint,
    pub(super) region: Region,
    pub(super) credentials: Credentials,
}

impl Access {
    /// `PUT /bucket/key`.
    pub(super) async fn put(
        &self,
        bucket: &str,
        key: &str,
        body: &'static [u8],
    ) -> Result<Answer, String> {
        self.send(Method::PUT, bucket, key, Bytes::from_static(body))
            .await
    }

    /// `GET /bucket/key`.
    pub(super) async fn get(&self, bucket: &str, key: &str) -> Result<Answer, String> {
        self.send(Method::GET, bucket, key, Bytes::new()).await
    }

    async fn send(
        &self,
        method: Method,
        bucket: &str,
        key: &str,
        body: Bytes,
    ) -> Result<Answer, String> {
        let path = encode_path(format!("/{bucket}/{key}").as_bytes());
        let host =
            HeaderValue::from_str(&self.endpoint.authority()).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::from_iter([(header::HOST, host)]);
        let payload = if body.is_empty() {
            Payload::EMPTY
        } else {
            Payload::Unsigned
        };
        let signer = Signer {
            credentials: &self.credentials,
            region: &self.region,
            service: Service::S3,
        };
        signer.sign(&method, &path, "", &mut headers, &payload, clock::now());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|error| format!("{error}"))?;
        *request.headers_mut() = headers;
        self.exchange(request)
            .await
            .map_err(|error| format!("the gateway: {error}"))
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect((self.endpoint.host(), self.endpoint.port())).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the connection, and its failure shows in the answer.
        tokio::spawn(async move { connection.await.ok() });
        let response = sender.send_request(request).await?;
        let status = response.status();
        let request_id = response
            .headers()
            .get("x-amz-request-id")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = Limited::new(response.into_body(), LARGEST_BODY)
            .collect()
            .await?
            .to_bytes();
        Ok(Answer {
            status,
            request_id,
            body,
        })
    }
}

impl Answer {
    /// The S3 error code in the body.
    pub(super) fn code(&self) -> &str {
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        text.split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"))
            .map_or("", |(code, _)| code)
    }

    /// Status and code, for people.
    pub(super) fn shown(&self) -> String {
        format!(
            "{} {} {}",
            self.status.as_u16(),
            self.code(),
            self.request_id
        )
        .trim_end()
        .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_refusal_is_read_from_its_body() {
        let answer = |body: &'static str| Answer {
            status: StatusCode::FORBIDDEN,
            request_id: "KEY-REVOKED-1".into(),
            body: Bytes::from_static(body.as_bytes()),
        };
        assert_eq!(
            answer("<Error><Code>InvalidAccessKeyId</Code></Error>").code(),
            "InvalidAccessKeyId"
        );
        assert_eq!(answer("").shown(), "403  KEY-REVOKED-1");
    }
}
