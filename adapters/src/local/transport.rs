//! Takes requests to the embedded service: authorised already, so their signature is taken off.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use http::{Method, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use s3s::service::{S3Service, S3ServiceBuilder};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{FolderError, folder::Folder, framing::unframe, service::Embedded};
use crate::transport::{RequestBody, Sending, Transport, TransportError, TransportErrorKind};

/// A folder behind an S3 service, without a socket.
pub(crate) struct LocalTransport {
    service: S3Service,
}

/// Buckets are checked where they are parsed, by rules wider than today's AWS ones.
struct AnyBucketName;

impl s3s::validation::NameValidation for AnyBucketName {
    fn validate_bucket_name(&self, name: &str) -> bool {
        name.parse::<bascule_domain::names::BucketName>().is_ok()
    }
}

impl LocalTransport {
    /// Opens a folder. It is not changed.
    pub(crate) fn open(root: &Path) -> Result<Self, FolderError> {
        let folder = shared(root)?;
        let mut builder = S3ServiceBuilder::new(Embedded::new(folder));
        builder.set_validation(AnyBucketName);
        Ok(Self {
            service: builder.build(),
        })
    }
}

/// Two connections to one folder share its locks.
fn shared(root: &Path) -> Result<Arc<Folder>, FolderError> {
    static OPEN: Mutex<Option<HashMap<PathBuf, Weak<Folder>>>> = Mutex::new(None);
    let root = root
        .canonicalize()
        .map_err(|source| FolderError::Unusable {
            path: root.into(),
            source,
        })?;
    if !root.is_dir() {
        return Err(FolderError::NotAFolder { path: root });
    }
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let open = open.get_or_insert_default();
    open.retain(|_, folder| folder.strong_count() > 0);
    if let Some(folder) = open.get(&root).and_then(Weak::upgrade) {
        return Ok(folder);
    }
    let folder = Arc::new(Folder::new(root.clone()));
    open.insert(root, Arc::downgrade(&folder));
    Ok(folder)
}

impl Transport for LocalTransport {
    fn send(&self, request: http::Request<RequestBody>) -> Sending<'_> {
        let (mut head, body) = request.into_parts();
        for name in [
            header::AUTHORIZATION.as_str(),
            "x-amz-date",
            "x-amz-security-token",
        ] {
            head.headers.remove(name);
        }
        let body = unframe(&mut head.headers, body);
        let bodiless = head.method == Method::HEAD;
        let service = self.service.clone();
        Box::pin(async move {
            let body = body.map_err(|_| failed())?;
            let request = http::Request::from_parts(head, s3s::Body::http_body_unsync(body));
            // The library logs requests with bucket names and keys, which no log of ours may hold.
            let answer = async move { service.call(request).await }
                .with_subscriber(NoSubscriber::new())
                .await;
            match answer {
                // On a wire, these answers have no body; there is no wire here to drop it.
                Ok(response) if bodiless || response.status() == StatusCode::NOT_MODIFIED => {
                    Ok(response
                        .map(|_| Empty::new().map_err(|never| match never {}).boxed_unsync()))
                }
                Ok(response) => Ok(response.map(|body| body.boxed_unsync())),
                Err(_) => Err(failed()),
            }
        })
    }
}

fn failed() -> TransportError {
    TransportError::new(
        TransportErrorKind::Local,
        "the embedded service can't take this request",
    )
}
