//! An adapter under test, and what the test itself does to its buckets. Requests that change
//! something are signed here: the crate has no such call.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use bascule_adapters::{OwnAddresses, RequestBody, Storage, Surroundings, Wish, adapter};
use bascule_domain::{
    connection::Buckets,
    endpoint::Region,
    names::{BucketName, ObjectKey},
    provider::ProviderKind,
    secret::{Credentials, SecretKey},
};
use bascule_sigv4::{Payload, Service, Signer};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use jiff::{SignedDuration, Timestamp};

use crate::server::MinioServer;

#[expect(
    clippy::disallowed_methods,
    reason = "a real server checks the signature's time"
)]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) fn surroundings(ahead: SignedDuration) -> Surroundings {
    Surroundings {
        clock: Arc::new(move || now() + ahead),
        own: OwnAddresses::default(),
    }
}

pub(crate) fn credentials(id: &str, secret: &str) -> Credentials {
    Credentials {
        access_key_id: id.parse().unwrap(),
        secret: SecretKey::parse(secret).unwrap(),
    }
}

pub(crate) fn buckets(names: &[&str]) -> Buckets {
    names
        .iter()
        .map(|name| name.parse().unwrap())
        .collect::<Vec<BucketName>>()
        .try_into()
        .unwrap()
}

pub(crate) struct Subject {
    pub(crate) storage: Arc<Storage>,
    pub(crate) credentials: Credentials,
    pub(crate) root: Option<PathBuf>,
    region: Region,
}

impl Subject {
    pub(crate) fn local(root: &Path) -> Self {
        let wish = Wish {
            path: Some(root.into()),
            ..Wish::default()
        };
        let mut subject = Self::open(ProviderKind::Local, &wish, credentials("local", "unused"));
        subject.root = Some(root.into());
        subject
    }

    pub(crate) fn server(kind: ProviderKind, server: &MinioServer) -> Self {
        let wish = Wish {
            endpoint: Some(server.endpoint.clone()),
            ..Wish::default()
        };
        Self::open(kind, &wish, server.credentials())
    }

    pub(crate) fn open(kind: ProviderKind, wish: &Wish, credentials: Credentials) -> Self {
        Self::open_at(kind, wish, credentials, SignedDuration::ZERO)
    }

    pub(crate) fn open_at(
        kind: ProviderKind,
        wish: &Wish,
        credentials: Credentials,
        ahead: SignedDuration,
    ) -> Self {
        let location = adapter(kind).locate(wish).unwrap();
        let storage = adapter(kind).open(&location, &surroundings(ahead)).unwrap();
        let region = storage
            .region()
            .cloned()
            .unwrap_or_else(|| "auto".parse().unwrap());
        Self {
            storage,
            credentials,
            root: None,
            region,
        }
    }

    /// Sends a signed request and returns status and body.
    pub(crate) async fn send(
        &self,
        method: Method,
        bucket: &str,
        key: Option<&str>,
        query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (Response<()>, Bytes) {
        let key: Option<ObjectKey> = key.map(|key| key.parse().unwrap());
        let to = self
            .storage
            .upstream(Some(&bucket.parse().unwrap()), key.as_ref());
        let question = if query.is_empty() {
            String::new()
        } else {
            format!("?{query}")
        };
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!(
                "{}://{}{}{question}",
                to.scheme, to.authority, to.path
            ))
            .header("host", to.authority)
            .header("content-length", body.len());
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        let full: RequestBody = Full::new(Bytes::copy_from_slice(body))
            .map_err(|never| match never {})
            .boxed_unsync();
        let mut request = request.body(full).unwrap();
        let hash = digest::digest(&digest::SHA256, body)
            .as_ref()
            .try_into()
            .unwrap();
        let signer = Signer {
            credentials: &self.credentials,
            region: &self.region,
            service: Service::S3,
        };
        signer.sign(
            &method,
            &to.path,
            query,
            request.headers_mut(),
            &Payload::Literal(hash),
            now(),
        );
        let transport = self.storage.transport();
        let (head, body) = transport.send(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(head, ()), body)
    }

    pub(crate) async fn put(&self, bucket: &str, key: &str, body: &[u8]) -> StatusCode {
        self.send(Method::PUT, bucket, Some(key), "", &[], body)
            .await
            .0
            .status()
    }

    pub(crate) async fn get(&self, bucket: &str, key: &str) -> (StatusCode, Bytes) {
        let (head, body) = self
            .send(Method::GET, bucket, Some(key), "", &[], b"")
            .await;
        (head.status(), body)
    }

    pub(crate) async fn delete(&self, bucket: &str, key: &str) -> StatusCode {
        self.send(Method::DELETE, bucket, Some(key), "", &[], b"")
            .await
            .0
            .status()
    }

    pub(crate) async fn make_bucket(&self, bucket: &str) {
        match &self.root {
            Some(root) => std::fs::create_dir(root.join(bucket)).unwrap(),
            None => assert_eq!(
                self.send(Method::PUT, bucket, None, "", &[], b"")
                    .await
                    .0
                    .status(),
                200
            ),
        }
    }

    pub(crate) async fn remove_empty_bucket(&self, bucket: &str) {
        match &self.root {
            Some(root) => std::fs::remove_dir(root.join(bucket)).unwrap(),
            None => assert_eq!(
                self.send(Method::DELETE, bucket, None, "", &[], b"")
                    .await
                    .0
                    .status(),
                204
            ),
        }
    }

    /// Many small objects, as fast as the provider allows.
    pub(crate) async fn fill(&self, bucket: &str, count: usize) {
        if let Some(root) = &self.root {
            for number in 0..count {
                std::fs::write(root.join(bucket).join(format!("n{number:05}")), b"x").unwrap();
            }
            return;
        }
        let mut numbers = (0..count).peekable();
        while numbers.peek().is_some() {
            let batch: Vec<String> = numbers
                .by_ref()
                .take(64)
                .map(|number| format!("n{number:05}"))
                .collect();
            let puts = batch.iter().map(|key| self.put(bucket, key, b"x"));
            for status in futures_util::future::join_all(puts).await {
                assert_eq!(status, 200);
            }
        }
    }
}
