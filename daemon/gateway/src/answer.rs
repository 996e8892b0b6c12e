//! From the provider's answer to the client's. It must never pass on what a provider says about
//! our own credentials, nor where the provider is (gateway.md 46, 48).

use std::{sync::Arc, time::Duration};

use bascule_domain::{
    Timestamp,
    endpoint::Region,
    names::BucketName,
    operation::{Action, Target},
};
use bascule_sigv4::encode_path;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response::Parts};
use http_body_util::BodyExt;

use crate::{
    cells::ConnectionCell,
    exchange::{InFlight, Tied},
    forward::place,
    hosts::Named,
    learn::{self, Asked, Lesson},
    load::Parcel,
    reply::{self, Download, LocationRewrite, ReplyBody},
    respond::Refusal,
    route::{Route, Trouble},
    serve::Gateway,
    uploads,
    upstream::{ProviderBody, UpstreamErrorKind},
};

/// Bytes of a provider's error that are read to see what it is about.
const LONGEST_ERROR: usize = 64 * 1024;

/// The client's own address of an object it completed.
fn location(gateway: &Gateway, exchange: &InFlight, parcel: &Parcel) -> Option<LocationRewrite> {
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

/// How a request went out, as far as its answer depends on it.
pub(crate) struct Sent {
    /// The region it was signed for, if not the connection's.
    pub(crate) learned_region: Option<Arc<Region>>,
    /// By our clock.
    pub(crate) at: Timestamp,
    pub(crate) with_trailers: bool,
    /// It was asked not to overwrite.
    pub(crate) with_condition: bool,
}

/// What an answer is.
pub(crate) enum Heard {
    /// For the client.
    Answer(Parts, Told),
    /// About us, and learned from: the same request may be accepted when it is built again. The
    /// refusal is for a client whose request cannot be.
    Again(Refusal),
    /// Perhaps about us: it is packed, as the client asked for, and so cannot be read here. The
    /// refusal is for a client whose request is not sent again.
    Packed(Refusal),
}

/// The body of an answer.
pub(crate) enum Told {
    Whole(Bytes),
    Stream(ProviderBody),
}

/// Reads an answer, as far as it is about us, and learns from it.
pub(crate) async fn hear(
    gateway: &Gateway,
    exchange: &InFlight,
    route: &Route,
    sent: &Sent,
    response: Response<ProviderBody>,
) -> Result<Heard, Refusal> {
    let (head, body) = response.into_parts();
    let connection = exchange.key().connection();
    let asked = Asked {
        headless: headless(exchange.action()),
        with_trailers: sent.with_trailers,
        with_condition: sent.with_condition,
        region: sent
            .learned_region
            .as_deref()
            .unwrap_or(&route.access.region),
        now: sent.at,
        credentials_refused: route.trouble() == Some(Trouble::Credentials),
    };
    let tells = learn::body_tells(head.status, &asked);
    if tells && is_packed(&head.headers) {
        return Ok(Heard::Packed(Refusal::Upstream(UpstreamErrorKind::Broken)));
    }
    let told = if tells {
        Told::Whole(Box::pin(read_whole(body, gateway.settings.idle_limit)).await?)
    } else {
        Told::Stream(body)
    };
    let error = match &told {
        Told::Whole(error) => &error[..],
        Told::Stream(_) => &[],
    };
    let Some(lesson) = learn::read(head.status, &head.headers, error, &asked) else {
        if head.status.is_success() || matches!(head.status.as_u16(), 304 | 404 | 412 | 416) {
            route.works();
        }
        if head.status.is_success() && sent.with_trailers {
            route.accept_trailers();
        }
        return Ok(Heard::Answer(head, told));
    };
    let answered = match &lesson {
        Lesson::NoTrailers => !route.refuse_trailers(),
        Lesson::NoConditions => !route.refuse_condition(exchange.action()),
        _ => false,
    };
    if answered {
        return Ok(Heard::Answer(head, told));
    }
    let (bucket, _) = place(exchange.permit().operation())?;
    heed(connection, route, bucket, sent.at, lesson).map(Heard::Again)
}

/// Learns what an answer taught about `bucket`, `at` by our clock. Gives the refusal for a client
/// whose request cannot be built again, or that of one where it would not help.
pub(crate) fn heed(
    connection: &ConnectionCell,
    route: &Route,
    bucket: &BucketName,
    at: Timestamp,
    lesson: Lesson,
) -> Result<Refusal, Refusal> {
    match lesson {
        Lesson::Region(region) => {
            tracing::info!(connection = %connection.id(), %region, "the provider named a bucket's region");
            route.learn_region(bucket, region);
            Ok(Refusal::RegionLearned(connection.name()))
        }
        Lesson::Redirect => {
            if route.flag(Trouble::Redirects) {
                tracing::warn!(connection = %connection.id(), "the provider redirects the connection's requests");
            }
            Err(Refusal::Redirected(connection.name()))
        }
        Lesson::NoTrailers => {
            tracing::info!(connection = %connection.id(), "the provider takes no trailers: their checksums are compared here");
            Ok(Refusal::TrailersRefused(connection.name()))
        }
        Lesson::NoConditions => {
            tracing::info!(connection = %connection.id(), "the provider takes no conditions on writes: whether an object exists is checked here");
            Ok(Refusal::ConditionsRefused(connection.name()))
        }
        Lesson::Clock(theirs) => {
            let ahead = theirs.map(|theirs| theirs.duration_since(at));
            let refusal = Refusal::ClockSkewed {
                connection: connection.name(),
                ahead,
            };
            if route.flag(Trouble::Clock) {
                let seconds = ahead.map(|ahead| ahead.as_secs());
                tracing::warn!(connection = %connection.id(), ahead = seconds, "the provider's clock and ours differ");
            }
            match theirs {
                Some(theirs) if route.learn_time(at, theirs) => Ok(refusal),
                _ => Err(refusal),
            }
        }
        Lesson::Credentials => {
            if route.flag(Trouble::Credentials) {
                tracing::warn!(connection = %connection.id(), "the provider refuses the connection's credentials");
            }
            Err(Refusal::CredentialsRefused(connection.name()))
        }
    }
}

fn is_packed(headers: &HeaderMap) -> bool {
    let identity = |coding: &HeaderValue| {
        coding.is_empty() || coding.as_bytes().eq_ignore_ascii_case(b"identity")
    };
    !headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(identity)
}

/// Passes an answer on.
pub(crate) async fn relay(
    gateway: &Arc<Gateway>,
    exchange: Arc<InFlight>,
    tied: Tied,
    parcel: &Parcel,
    head: Parts,
    told: Told,
) -> Result<Response<ReplyBody>, Refusal> {
    let location = location(gateway, &exchange, parcel).filter(|_| head.status == StatusCode::OK);
    let mut answer = Response::new(ReplyBody::empty());
    *answer.status_mut() = head.status;
    *answer.headers_mut() = reply::headers(head.headers);
    if exchange.action() == Action::HeadBucket && !exchange.permit().sees_whole_bucket() {
        reply::leave_out_totals(answer.headers_mut());
    }
    let body = match told {
        Told::Stream(body)
            if head.status == StatusCode::OK
                && exchange.action() == Action::CreateMultipartUpload =>
        {
            let whole = Box::pin(read_whole(body, gateway.settings.idle_limit)).await?;
            remember(&exchange, &whole);
            Told::Whole(whole)
        }
        told => told,
    };
    if head.status.is_success() {
        forget(&exchange, parcel);
    }
    let body = match body {
        Told::Whole(bytes) => {
            exchange.sent(bytes.len());
            exchange.delivered();
            *answer.body_mut() = ReplyBody::whole(bytes);
            return Ok(answer);
        }
        Told::Stream(body) => body,
    };
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
        gateway.settings.idle_limit,
    );
    *answer.body_mut() = ReplyBody::Provider(download);
    Ok(answer)
}

/// An upload was begun.
fn remember(exchange: &InFlight, answer: &[u8]) {
    if let (Some(id), Target::Object { bucket, key }) = (
        uploads::id_in(answer),
        &exchange.permit().operation().target,
    ) {
        let begun_by = exchange.permit().key();
        exchange
            .key()
            .connection()
            .uploads
            .begin(&id, begun_by, bucket, key);
    }
}

/// An upload has ended. Should a completion still fail in its body, the provider knows the id.
fn forget(exchange: &InFlight, parcel: &Parcel) {
    let ends = matches!(
        exchange.action(),
        Action::CompleteMultipartUpload | Action::AbortMultipartUpload
    );
    if let Some(id) = uploads::named(&parcel.query).filter(|_| ends) {
        exchange.key().connection().uploads.end(id);
    }
}

const fn headless(action: Action) -> bool {
    matches!(action, Action::HeadObject | Action::HeadBucket)
}

async fn read_whole(mut body: ProviderBody, limit: Duration) -> Result<Bytes, Refusal> {
    let reading = async {
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
    };
    tokio::time::timeout(limit, reading)
        .await
        .unwrap_or(Err(Refusal::Upstream(UpstreamErrorKind::Timeout)))
}
