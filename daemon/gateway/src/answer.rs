//! From the provider's answer to the client's. It must never pass on what a provider says about
//! our own credentials, nor where the provider is (gateway.md 46, 48).

use std::sync::Arc;

use bascule_domain::operation::Action;
use bascule_sigv4::encode_path;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt;

use crate::{
    cells::ConnectionCell,
    exchange::{InFlight, Tied},
    forward::place,
    hosts::Named,
    load::Parcel,
    reply::{self, Download, LocationRewrite, ReplyBody},
    respond::Refusal,
    serve::Gateway,
    upstream::{ProviderBody, UpstreamAccess, UpstreamErrorKind},
};

/// Bytes of a provider's error that are read to see what it is about.
const LONGEST_ERROR: usize = 64 * 1024;

/// The client's own address of an object it completed.
pub(crate) fn location(
    gateway: &Gateway,
    exchange: &InFlight,
    parcel: &Parcel,
) -> Option<LocationRewrite> {
    let operation = exchange.permit().operation();
    if operation.action != Action::CompleteMultipartUpload {
        return None;
    }
    let (bucket, key) = place(operation).ok()?;
    let host = parcel.headers.get(header::HOST)?.to_str().ok()?;
    let key = encode_path(key?.as_str().as_bytes());
    let scheme = if parcel.tls { "https" } else { "http" };
    let location = match gateway.hosts.read(host)? {
        Named::Bucket(_) => format!("{scheme}://{host}/{key}"),
        Named::Gateway => format!("{scheme}://{host}/{bucket}/{key}"),
    };
    Some(LocationRewrite::new(location))
}

pub(crate) async fn answer(
    gateway: &Arc<Gateway>,
    exchange: Arc<InFlight>,
    tied: Tied,
    access: &UpstreamAccess,
    location: Option<LocationRewrite>,
    response: Response<ProviderBody>,
) -> Result<Response<ReplyBody>, Refusal> {
    let (head, body) = response.into_parts();
    let connection = exchange.key().connection();
    let refused = || {
        connection.refuse_credentials(access.generation);
        tracing::warn!(connection = %connection.id(), "the provider refuses the connection's credentials");
        Refusal::CredentialsRefused(connection.name())
    };
    if head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED {
        return Err(Refusal::Redirected(connection.name()));
    }
    if head.status == StatusCode::UNAUTHORIZED {
        return Err(refused());
    }
    if head.status.is_success() || matches!(head.status.as_u16(), 304 | 404 | 412 | 416) {
        connection.accept_credentials(access.generation);
    }
    let mut answer = Response::new(ReplyBody::empty());
    *answer.status_mut() = head.status;
    *answer.headers_mut() = reply::headers(&head.headers);
    if matches!(head.status, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN) {
        let error = if headless(exchange.action()) {
            Bytes::new()
        } else {
            read_error(body).await?
        };
        if about_credentials(connection, &head.headers, &error, exchange.action()) {
            return Err(refused());
        }
        exchange.sent(error.len());
        exchange.delivered();
        *answer.body_mut() = ReplyBody::whole(error);
        return Ok(answer);
    }
    let location = location.filter(|_| head.status == StatusCode::OK);
    if location.is_some() {
        answer.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let download = Download::new(
        body,
        exchange,
        Some(tied),
        location,
        gateway.tasks.clone(),
        gateway.settings.outcome_limit,
    );
    *answer.body_mut() = ReplyBody::Provider(download);
    Ok(answer)
}

const fn headless(action: Action) -> bool {
    matches!(action, Action::HeadObject | Action::HeadBucket)
}

async fn read_error(mut body: ProviderBody) -> Result<Bytes, Refusal> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Upstream(UpstreamErrorKind::Broken))?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > LONGEST_ERROR {
            return Err(Refusal::Upstream(UpstreamErrorKind::Broken));
        }
    }
    Ok(read.freeze())
}

/// Whether an error is about our credentials rather than the client's request (gateway.md 46).
/// A HEAD has no body to say so; then what earlier requests learned counts.
fn about_credentials(
    connection: &ConnectionCell,
    headers: &HeaderMap,
    error: &[u8],
    action: Action,
) -> bool {
    const CODES: &[&str] = &[
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
        "RequestTimeTooSkewed",
        "RequestExpired",
        "AuthorizationHeaderMalformed",
        "InvalidSecurity",
        "NotSignedUp",
        "AccountProblem",
    ];
    if headless(action) {
        let code = headers
            .get("x-minio-error-code")
            .and_then(|code| code.to_str().ok());
        return code.map_or_else(
            || connection.credentials_refused(),
            |code| CODES.contains(&code),
        );
    }
    let text = String::from_utf8_lossy(error);
    text.split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .is_some_and(|(code, _)| CODES.contains(&code.trim()))
}
