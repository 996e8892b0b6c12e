//! From a permit to the provider and back: rebuilds the request from the operation, signs it with
//! the connection's credentials, sends it, and reads the answer. It must never send what the
//! permit does not cover, nor pass on what a provider says about our credentials.

use std::sync::Arc;

use bascule_domain::{
    names::{BucketName, ObjectKey},
    operation::{Action, CopySource, Operation, Target},
};
use bascule_sigv4::{
    ChunkDecoder, ChunkSeed, Payload, Service, Signer, Trailers, chunks, encode_path, encode_query,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::{
    admission::Admission,
    body::{Expected, Form, Framer, UploadBody},
    cells::ConnectionCell,
    exchange::{Fault, InFlight, Tied},
    headers,
    reply::{self, Download, LocationRewrite, ReplyBody},
    respond::Refusal,
    serve::Gateway,
    upstream::{
        ProviderBody, Source, UpstreamAccess, UpstreamBody, UpstreamError, UpstreamErrorKind,
    },
};

/// Bytes of a provider's error that are read to see what it is about.
const LONGEST_ERROR: usize = 64 * 1024;

/// A verified and classified request, without its body.
pub(crate) struct Parcel {
    pub(crate) method: Method,
    /// For upstream, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// As the client sent them, with hoisted ones.
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    pub(crate) seed: Option<ChunkSeed>,
}

/// A body as it goes upstream.
pub(crate) enum Freight {
    /// None at all.
    None,
    /// Read whole, and checked.
    Whole(Collected),
    /// Still with the client.
    Stream(Incoming),
}

/// A body that was read whole.
pub(crate) struct Collected {
    pub(crate) bytes: Bytes,
    trailers: Vec<(HeaderName, HeaderValue)>,
}

/// Whether the action has a body that matters.
pub(crate) const fn has_body(action: Action) -> bool {
    matches!(
        action,
        Action::PutObject
            | Action::UploadPart
            | Action::CompleteMultipartUpload
            | Action::PutObjectTagging
            | Action::RestoreObject
            | Action::SelectObjectContent
            | Action::DeleteObjects
    )
}

/// Whether an aws-chunked body holds no byte of data: it has no last byte to hold back, so it is
/// read whole before anything is sent.
pub(crate) fn decodes_to_nothing(parcel: &Parcel) -> bool {
    matches!(
        parcel.payload,
        Payload::SignedChunks | Payload::SignedChunksTrailer
    ) && chunks::decoded_length(&parcel.headers) == Ok(0)
}

/// Reads a body whole, at most `limit` bytes of it, and checks it.
pub(crate) async fn collect(
    mut incoming: Incoming,
    parcel: &mut Parcel,
    limit: usize,
) -> Result<Collected, Refusal> {
    let mut decoder = match parcel.payload {
        Payload::Literal(_) | Payload::Unsigned => None,
        Payload::UnsignedTrailer | Payload::SignedChunks | Payload::SignedChunksTrailer => {
            Some(decoder(parcel)?)
        }
    };
    let mut bytes = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Refusal::IncompleteBody)?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        match &mut decoder {
            None => bytes.extend_from_slice(&data),
            Some(decoder) => {
                while let Some(piece) = decoder.feed(&mut data).map_err(Refusal::Chunks)? {
                    bytes.extend_from_slice(&piece);
                }
            }
        }
        if bytes.len() > limit {
            return Err(Refusal::TooLarge);
        }
    }
    let mut trailers = Vec::new();
    if let Some(decoder) = &mut decoder {
        if let Some(piece) = decoder.finish().map_err(Refusal::Chunks)? {
            bytes.extend_from_slice(&piece);
        }
        trailers = decoder.trailers().to_vec();
    }
    if bytes.len() > limit {
        return Err(Refusal::TooLarge);
    }
    if let Payload::Literal(hash) = parcel.payload
        && sha256(&bytes) != hash
    {
        return Err(Refusal::ContentMismatch);
    }
    Ok(Collected {
        bytes: bytes.freeze(),
        trailers,
    })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
    hash
}

fn decoder(parcel: &mut Parcel) -> Result<ChunkDecoder, Refusal> {
    let length = chunks::decoded_length(&parcel.headers).map_err(Refusal::Chunks)?;
    let trailers = Trailers::expected(&parcel.payload, &parcel.headers).map_err(Refusal::Chunks)?;
    if parcel.payload == Payload::UnsignedTrailer {
        return Ok(ChunkDecoder::unsigned(length, trailers));
    }
    let seed = parcel
        .seed
        .take()
        .ok_or(Refusal::InvalidRequest("signed chunks need a signed head"))?;
    Ok(ChunkDecoder::new(seed, length, trailers))
}

/// A body on its way, and what the head must say about it.
struct Loaded {
    body: UpstreamBody,
    payload: Payload,
    length: Option<u64>,
}

fn load(
    exchange: &Arc<InFlight>,
    parcel: &mut Parcel,
    freight: Freight,
    headers: &mut HeaderMap,
) -> Result<Loaded, Refusal> {
    let nothing = || Loaded {
        body: UpstreamBody::empty(),
        payload: Payload::EMPTY,
        length: (parcel_may_have_body(exchange.action())).then_some(0),
    };
    let incoming = match freight {
        Freight::None => return Ok(nothing()),
        Freight::Whole(collected) => {
            strip_chunked(headers);
            for (name, value) in collected.trailers {
                headers.insert(name, value);
            }
            return Ok(Loaded {
                payload: Payload::Literal(sha256(&collected.bytes)),
                length: Some(collected.bytes.len() as u64),
                body: UpstreamBody::whole(collected.bytes),
            });
        }
        Freight::Stream(incoming) => incoming,
    };
    let arriving = incoming.size_hint().exact();
    if arriving == Some(0) {
        return match parcel.payload {
            Payload::Literal(_) if parcel.payload != Payload::EMPTY => {
                Err(Refusal::ContentMismatch)
            }
            Payload::Literal(_) | Payload::Unsigned => Ok(nothing()),
            _ => Err(Refusal::IncompleteBody),
        };
    }
    let (form, payload, length) = match parcel.payload {
        Payload::Literal(hash) => (
            Form::Plain(Some(Expected::new(hash))),
            parcel.payload,
            arriving,
        ),
        Payload::Unsigned => (Form::Plain(None), Payload::Unsigned, arriving),
        Payload::UnsignedTrailer => {
            chunks::decoded_length(&parcel.headers).map_err(Refusal::Chunks)?;
            copy(
                &parcel.headers,
                headers,
                &["x-amz-decoded-content-length", "x-amz-trailer"],
            );
            (Form::Plain(None), Payload::UnsignedTrailer, arriving)
        }
        Payload::SignedChunks | Payload::SignedChunksTrailer => {
            let decoded = chunks::decoded_length(&parcel.headers).map_err(Refusal::Chunks)?;
            let trailers =
                Trailers::expected(&parcel.payload, &parcel.headers).map_err(Refusal::Chunks)?;
            let decoder = decoder(parcel)?;
            if let Trailers::Announced(names) = trailers {
                copy(
                    &parcel.headers,
                    headers,
                    &["x-amz-decoded-content-length", "x-amz-trailer"],
                );
                let length = Framer::length(decoded, &names);
                (
                    Form::Reframed(decoder, Framer::new(decoded)),
                    Payload::UnsignedTrailer,
                    length,
                )
            } else {
                strip_chunked(headers);
                (Form::Decoded(decoder), Payload::Unsigned, Some(decoded))
            }
        }
    };
    let upload = UploadBody::new(incoming, form, length, Arc::clone(exchange));
    Ok(Loaded {
        body: UpstreamBody(Source::Streamed(upload)),
        payload,
        length,
    })
}

/// Whether upstream expects a length even for no body (gateway.md 35).
const fn parcel_may_have_body(action: Action) -> bool {
    has_body(action)
        || matches!(
            action,
            Action::CreateMultipartUpload
                | Action::CopyObject
                | Action::UploadPartCopy
                | Action::RenameObject
        )
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[&'static str]) {
    for &name in names {
        for value in from.get_all(name) {
            to.append(HeaderName::from_static(name), value.clone());
        }
    }
}

/// `gzip,aws-chunked` becomes `gzip` (gateway.md 32).
fn strip_chunked(headers: &mut HeaderMap) {
    let kept: Vec<String> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty() && !token.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    headers.remove(header::CONTENT_ENCODING);
    if let Ok(value) = HeaderValue::from_str(&kept.join(","))
        && !kept.is_empty()
    {
        headers.insert(header::CONTENT_ENCODING, value);
    }
}

/// Sends a permitted request and returns the answer for the client.
pub(crate) async fn forward(
    gateway: &Arc<Gateway>,
    exchange: Arc<InFlight>,
    tied: Tied,
    mut parcel: Parcel,
    freight: Freight,
) -> Result<Response<ReplyBody>, Refusal> {
    let connection = Arc::clone(exchange.key().connection());
    let access = connection.access();
    if !access.tls && headers::has_customer_key(&parcel.headers) {
        return Err(Refusal::InvalidRequest(
            "a customer's encryption key is not sent to a provider over plain http",
        ));
    }
    let (request, streamed) = build(gateway, &exchange, &access, &mut parcel, freight)?;
    if !streamed && !exchange.hand_over() {
        return Err(withdrawn(gateway, &exchange));
    }
    let sent = if exchange.mutates() {
        send_change(gateway, &exchange, request).await
    } else {
        let sent = connection.upstream().send(request).await;
        note(&exchange, &sent);
        sent
    };
    match sent {
        Ok(response) => {
            let location = location(&exchange, &parcel);
            answer(gateway, exchange, tied, &access, location, response).await
        }
        Err(error) => Err(failure(gateway, &exchange, &error)),
    }
}

fn build(
    gateway: &Gateway,
    exchange: &Arc<InFlight>,
    access: &UpstreamAccess,
    parcel: &mut Parcel,
    freight: Freight,
) -> Result<(Request<UpstreamBody>, bool), Refusal> {
    let operation = exchange.permit().operation();
    let mut headers = headers::rebuild(operation.action, &parcel.headers)?;
    let streamed = matches!(freight, Freight::Stream(_));
    let loaded = load(exchange, parcel, freight, &mut headers)?;
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
    let (bucket, key) = place(operation)?;
    let key = key.map_or_else(String::new, |key| encode_path(key.as_str().as_bytes()));
    let (authority, path) = access.address(bucket, &key);
    let query = encode_query(&parcel.query);
    let host = HeaderValue::from_str(&authority)
        .map_err(|_| Refusal::Upstream(UpstreamErrorKind::Unreachable))?;
    headers.insert(header::HOST, host);
    let now = gateway.clock.now();
    if !exchange.honoured() {
        return Err(withdrawn(gateway, exchange));
    }
    let signer = Signer {
        credentials: &access.credentials,
        region: &access.region,
        service: Service::S3,
    };
    signer.sign(
        &parcel.method,
        &path,
        &query,
        &mut headers,
        &loaded.payload,
        now,
    );
    let mark = if query.is_empty() { "" } else { "?" };
    let uri = format!("{}://{authority}{path}{mark}{query}", access.scheme());
    let mut request = Request::new(loaded.body);
    *request.method_mut() = parcel.method.clone();
    *request.uri_mut() = uri
        .try_into()
        .map_err(|_| Refusal::InvalidUri("the request's path or query is too long"))?;
    *request.headers_mut() = headers;
    Ok((request, streamed))
}

fn place(operation: &Operation) -> Result<(&BucketName, Option<&ObjectKey>), Refusal> {
    match &operation.target {
        Target::Bucket { bucket, .. } => Ok((bucket, None)),
        Target::Object { bucket, key } => Ok((bucket, Some(key))),
        Target::Service => Err(Refusal::NotAllowed("a request about no bucket")),
    }
}

fn source_header(source: &CopySource) -> Result<HeaderValue, Refusal> {
    let path = encode_path(format!("/{}/{}", source.bucket, source.key).as_bytes());
    let text = match &source.version {
        Some(version) => format!("{path}?versionId={}", encode_path(version.as_bytes())),
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
        let tasks = gateway.tasks.clone();
        async move {
            let connection = Arc::clone(exchange.key().connection());
            let mut sending = connection.upstream().send(request);
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
                ));
            }
        }
    };
    gateway.tasks.spawn(task);
    wait.await
        .unwrap_or_else(|_| Err(UpstreamErrorKind::Broken.into()))
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

fn failure(gateway: &Gateway, exchange: &InFlight, error: &UpstreamError) -> Refusal {
    match exchange.fault() {
        Some(Fault::Mismatch) => Refusal::ContentMismatch,
        Some(Fault::Chunks(error)) => Refusal::Chunks(error),
        Some(Fault::Incomplete) => Refusal::IncompleteBody,
        Some(Fault::Cut) => withdrawn(gateway, exchange),
        None if !exchange.honoured() => withdrawn(gateway, exchange),
        None => {
            tracing::warn!(
                connection = %exchange.permit().connection(),
                key = %exchange.permit().key(),
                action = exchange.action().name(),
                kind = %error.kind,
                "no answer from the provider"
            );
            Refusal::Upstream(error.kind)
        }
    }
}

/// Why a permit no longer holds.
fn withdrawn(gateway: &Gateway, exchange: &InFlight) -> Refusal {
    exchange.give_up();
    let key = exchange.key();
    match (key.living(), key.connection().admission()) {
        (Some(_), Admission::Paused) => Refusal::ConnectionPaused(key.connection().name()),
        (Some(_), Admission::Open) => Refusal::Withdrawn,
        (None, _) | (_, Admission::Dead) => {
            Refusal::Revoked(gateway.dead_keys.find(key.access_key_id()).map(Box::new))
        }
    }
}

/// The client's own address of an object it completed.
fn location(exchange: &InFlight, parcel: &Parcel) -> Option<LocationRewrite> {
    let operation = exchange.permit().operation();
    if operation.action != Action::CompleteMultipartUpload {
        return None;
    }
    let (bucket, key) = place(operation).ok()?;
    let host = parcel.headers.get(header::HOST)?.to_str().ok()?;
    let key = encode_path(key?.as_str().as_bytes());
    Some(LocationRewrite::new(format!(
        "http://{host}/{bucket}/{key}"
    )))
}

async fn answer(
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
    let redirected = head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED;
    if redirected || head.status == StatusCode::UNAUTHORIZED {
        return Err(refused());
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
