//! From a permit to the provider: rebuilds the request from the operation, signs it with the
//! connection's credentials, sends it, and waits for the outcome. It must never send what the
//! permit does not cover.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bascule_domain::{
    access::Denial,
    names::{BucketName, ObjectKey},
    operation::{Action, CopySource, Operation, Target},
};
use bascule_sigv4::{Payload, encode_path, encode_query};
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use tokio::sync::oneshot;

use crate::{
    additions,
    admission::Admission,
    answer::{Heard, Sent, hear, relay},
    exchange::{Fault, InFlight, Tied},
    headers,
    load::{Freight, Parcel, load},
    reply::{Download, ReplyBody},
    respond::Refusal,
    route::{Outgoing, Route},
    serve::Gateway,
    upstream::{ProviderBody, UpstreamBody, UpstreamError, UpstreamErrorKind, UpstreamFuture},
};

/// Sends a permitted request and returns the answer for the client. A request without a body is
/// sent a second time if the first answer taught how to (gateway.md 47).
pub(crate) async fn forward(
    gateway: &Arc<Gateway>,
    exchange: Arc<InFlight>,
    tied: Tied,
    mut parcel: Box<Parcel>,
    freight: Freight,
    route: Arc<Route>,
) -> Result<Response<ReplyBody>, Refusal> {
    if !route.access.tls && headers::has_customer_key(&parcel.headers) {
        return Err(Refusal::InvalidRequest(
            "a customer's encryption key is not sent to a provider over plain http",
        ));
    }
    let mut once_more = matches!(freight, Freight::None);
    let mut freight = freight;
    loop {
        let built = build(gateway, &exchange, &route, &mut parcel, freight)?;
        let response = send(gateway, &exchange, built.request, built.streamed).await?;
        match hear(gateway, &exchange, &route, &built.sent, response).await? {
            Heard::Answer(head, told) => {
                additions::heard(gateway, &exchange, &route, &built.sent, head.status)?;
                return relay(gateway, exchange, tied, &parcel, head, told).await;
            }
            Heard::Again(refusal) | Heard::Packed(refusal) if !once_more => return Err(refusal),
            Heard::Again(_) => {}
            Heard::Packed(_) => {
                parcel.headers.remove(header::ACCEPT_ENCODING);
            }
        }
        once_more = false;
        freight = Freight::None;
        exchange.begin_again();
    }
}

/// Sends a request that was signed, and waits for its answer.
async fn send(
    gateway: &Arc<Gateway>,
    exchange: &Arc<InFlight>,
    request: Request<UpstreamBody>,
    streamed: bool,
) -> Result<Response<ProviderBody>, Refusal> {
    if !streamed && !exchange.hand_over() {
        return Err(withdrawn(gateway, exchange));
    }
    let sent = if exchange.mutates() {
        send_change(gateway, exchange, request).await
    } else {
        let connection = exchange.key().connection();
        let sending = connection.upstream().send(request);
        let sent = in_time(exchange, gateway.settings.answer_limit, sending).await;
        note(exchange, &sent);
        sent
    };
    match sent {
        // A provider that answers a body we broke off knows less about it than we do.
        // But one that answers before the end is believed, although the rest is then not sent.
        Ok(_)
            if exchange
                .fault()
                .is_some_and(|fault| fault != Fault::Cut || !exchange.honoured()) =>
        {
            Err(failure(gateway, exchange, UpstreamErrorKind::Aborted))
        }
        // What was asked under a permit is not answered without one. What became of a change is.
        Ok(_) if !exchange.mutates() && !exchange.honoured() => Err(withdrawn(gateway, exchange)),
        Ok(response) => Ok(response),
        Err(error) => Err(failure(gateway, exchange, error.kind)),
    }
}

/// A request that is ready to be sent.
struct Built {
    request: Request<UpstreamBody>,
    /// Its body is still with the client.
    streamed: bool,
    sent: Sent,
}

fn build(
    gateway: &Gateway,
    exchange: &Arc<InFlight>,
    route: &Route,
    parcel: &mut Parcel,
    freight: Freight,
) -> Result<Built, Refusal> {
    let operation = exchange.permit().operation();
    let mut headers = match parcel.rebuilt.take() {
        Some(rebuilt) => rebuilt,
        None => headers::rebuild(operation.action, &parcel.headers)?,
    };
    let streamed = matches!(freight, Freight::Stream(_));
    let loaded = load(
        exchange,
        parcel,
        freight,
        &mut headers,
        route.takes_trailers(),
        gateway.settings.idle_limit,
    )?;
    let streamed = streamed && !loaded.body.is_end_stream();
    if let Some(source) = &operation.source {
        let name = if operation.action == Action::RenameObject {
            "x-amz-rename-source"
        } else {
            "x-amz-copy-source"
        };
        headers.insert(name, source_header(source)?);
    }
    if let Some(length) = loaded.length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    let with_condition = additions::condition(exchange, route, &mut headers);
    let (bucket, object) = place(operation)?;
    let now = gateway.clock.now();
    if !exchange.honoured() {
        return Err(withdrawn(gateway, exchange));
    }
    let learned = route.region(bucket);
    let with_trailers = loaded.payload == Payload::UnsignedTrailer;
    let request = Outgoing {
        method: parcel.method.clone(),
        bucket,
        object,
        query: &parcel.query,
        headers,
        payload: loaded.payload,
        body: loaded.body,
    }
    .sign(route, now)?;
    Ok(Built {
        request,
        streamed,
        sent: Sent {
            learned_region: learned,
            at: now,
            with_trailers,
            with_condition,
        },
    })
}

pub(crate) fn place(operation: &Operation) -> Result<(&BucketName, Option<&ObjectKey>), Refusal> {
    match &operation.target {
        Target::Bucket { bucket, .. } => Ok((bucket, None)),
        Target::Object { bucket, key } => Ok((bucket, Some(key))),
        Target::Service => Err(Refusal::NotAllowed("a request about no bucket")),
    }
}

/// A plus sign stays as the client wrote it, where only the provider knows what it means.
fn source_header(source: &CopySource) -> Result<HeaderValue, Refusal> {
    let (bucket, key) = (&source.bucket, source.key.as_str());
    let key = match &source.with_blanks {
        None => encode_path(key.as_bytes()),
        // Both readings are of one length: they differ at those plus signs only.
        Some(other) => key
            .as_bytes()
            .iter()
            .zip(other.as_str().as_bytes())
            .map(|(byte, other)| match byte == other {
                true => Cow::Owned(encode_path(&[*byte])),
                false => Cow::Borrowed("+"),
            })
            .collect(),
    };
    let path = format!("/{bucket}/{key}");
    let text = match &source.version {
        Some(version) => {
            let version = encode_query(&[("versionId".to_owned(), version.clone())]);
            format!("{path}?{version}")
        }
        None => path,
    };
    HeaderValue::from_str(&text)
        .map_err(|_| Refusal::InvalidArgument("the copy source is not /bucket/key"))
}

/// Runs a change apart from the client: once the provider has the whole request, a client that
/// goes away, or is cut, no longer aborts it, and its outcome is awaited.
async fn send_change(
    gateway: &Arc<Gateway>,
    exchange: &Arc<InFlight>,
    request: Request<UpstreamBody>,
) -> Result<Response<ProviderBody>, UpstreamError> {
    let (mut reply, wait) = oneshot::channel();
    let task = {
        let exchange = Arc::clone(exchange);
        let limit = gateway.settings.outcome_limit;
        let answer_limit = gateway.settings.answer_limit;
        let tasks = gateway.tasks.clone();
        async move {
            let connection = Arc::clone(exchange.key().connection());
            let sending = connection.upstream().send(request);
            let mut sending = Box::pin(in_time(&exchange, answer_limit, sending));
            let sent = tokio::select! {
                sent = &mut sending => sent,
                () = left_alone(&exchange, &mut reply) => {
                    if exchange.give_up() {
                        Err(UpstreamErrorKind::Aborted.into())
                    } else {
                        tokio::time::timeout(limit, &mut sending)
                            .await
                            .unwrap_or_else(|_| Err(UpstreamErrorKind::Timeout.into()))
                    }
                }
            };
            drop(sending);
            note(&exchange, &sent);
            if let Err(Ok(response)) = reply.send(sent) {
                // Nobody waits: what is left of the body still tells the outcome.
                drop(Download::new(
                    response.into_body(),
                    exchange,
                    None,
                    None,
                    tasks,
                    limit,
                    limit,
                ));
            }
        }
    };
    gateway.tasks.spawn(task);
    wait.await
        .unwrap_or_else(|_| Err(UpstreamErrorKind::Broken.into()))
}

/// Waits for the answer, and gives up on a provider that stays silent: not while the body is on
/// its way, which may take hours, but once the provider has the whole request, or takes nothing
/// more of it (threats.md I2).
async fn in_time(
    exchange: &InFlight,
    limit: Duration,
    mut sending: UpstreamFuture<'_>,
) -> Result<Response<ProviderBody>, UpstreamError> {
    let mut moved = 0;
    loop {
        if let Ok(sent) = tokio::time::timeout(limit, &mut sending).await {
            return sent;
        }
        let before = std::mem::replace(&mut moved, exchange.bytes_received());
        if !exchange.is_sending() || moved == before {
            return Err(UpstreamErrorKind::Timeout.into());
        }
    }
}

/// Ends when the exchange was cut or its client is gone.
async fn left_alone<T>(exchange: &InFlight, reply: &mut oneshot::Sender<T>) {
    tokio::select! {
        () = exchange.token().cancelled() => {}
        () = reply.closed() => {}
    }
}

fn note(exchange: &InFlight, sent: &Result<Response<ProviderBody>, UpstreamError>) {
    match sent {
        Ok(response) => exchange.answered(response.status().as_u16()),
        Err(error) if error.kind.nothing_sent() => exchange.not_sent(),
        Err(_) => {
            exchange.give_up();
        }
    }
}

fn failure(gateway: &Gateway, exchange: &InFlight, kind: UpstreamErrorKind) -> Refusal {
    match exchange.fault() {
        Some(Fault::Cut) => withdrawn(gateway, exchange),
        Some(fault) => fault.into(),
        None if !exchange.honoured() => withdrawn(gateway, exchange),
        None => {
            tracing::warn!(
                connection = %exchange.permit().connection(),
                key = %exchange.permit().key(),
                action = exchange.action().name(),
                %kind,
                "no answer from the provider"
            );
            Refusal::Upstream(kind)
        }
    }
}

/// Why a permit no longer holds.
fn withdrawn(gateway: &Gateway, exchange: &InFlight) -> Refusal {
    exchange.give_up();
    let key = exchange.key();
    if exchange.has_expired() {
        return Refusal::denied(Denial::Expired);
    }
    match (key.living(), key.connection().admission()) {
        (Some(_), Admission::Paused(by)) => Refusal::ConnectionPaused(key.connection().name(), by),
        (Some(_), Admission::Open) => Refusal::Withdrawn,
        (None, _) | (_, Admission::Dead) => {
            Refusal::Revoked(gateway.dead_keys.find(key.access_key_id()).map(Box::new))
        }
    }
}
