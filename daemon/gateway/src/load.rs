//! Bodies before they go upstream: in which form they come, in which they leave, and what the head
//! must say about it. It must never let a form through to the handling of another (threats.md A3).

use std::{sync::Arc, time::Duration};

use bascule_domain::operation::Action;
use bascule_sigv4::{ChunkDecoder, ChunkError, ChunkSeed, Payload, Trailers, chunks};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::{
    body::{Expected, Form, Framer, Reading, UploadBody},
    checksum::{self, Checksums},
    exchange::InFlight,
    headers::is_checksum,
    respond::Refusal,
    upstream::{Source, UpstreamBody},
};

const DECODED_LENGTH: &str = "x-amz-decoded-content-length";
const SDK_ALGORITHM: &str = "x-amz-sdk-checksum-algorithm";
const TRAILER: &str = "x-amz-trailer";

/// A verified and classified request, without its body.
pub(crate) struct Parcel {
    /// Whether the client came by TLS.
    pub(crate) tls: bool,
    pub(crate) method: Method,
    /// For upstream, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// As the client sent them, with hoisted ones.
    pub(crate) headers: HeaderMap,
    /// What goes upstream of them, for the first request that is built.
    pub(crate) rebuilt: Option<HeaderMap>,
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

/// Whether the body is XML. A provider may act as soon as it has read the root's end tag: such a
/// body is read whole, so that nothing of it leaves before all of it was checked.
const fn is_document(action: Action) -> bool {
    matches!(
        action,
        Action::CompleteMultipartUpload
            | Action::PutObjectTagging
            | Action::RestoreObject
            | Action::SelectObjectContent
    )
}

/// Bytes of such a document: 10,000 parts with their checksums fit.
const LONGEST_DOCUMENT: usize = 4 * 1024 * 1024;
/// Bytes of a body that is read whole because nobody announced its trailers.
const LONGEST_WHOLE: u64 = 1024 * 1024;

/// Bytes of a body that must be read whole before anything is sent, if it must: documents; an
/// aws-chunked body without data, which has no last byte to hold back; and one whose trailers
/// nobody announced, since they can follow it no more once it is under way. Where that is longer,
/// they are only compared.
pub(crate) fn whole(action: Action, parcel: &Parcel, takes_trailers: bool) -> Option<usize> {
    if is_document(action) {
        return Some(LONGEST_DOCUMENT);
    }
    let length = chunks::decoded_length(&parcel.headers).ok()?;
    let limit = match parcel.payload {
        Payload::Literal(_) | Payload::Unsigned => return None,
        Payload::UnsignedTrailer if takes_trailers => return None,
        Payload::SignedChunks => 0,
        Payload::UnsignedTrailer | Payload::SignedChunksTrailer => match announced(parcel) {
            Ok(Trailers::Any) => LONGEST_WHOLE,
            _ => 0,
        },
    };
    usize::try_from(length).ok().filter(|_| length <= limit)
}

/// The trailers that the head announces. SDKs name the algorithm a second time, in a header of
/// their own; without a checksum header beside it, it is the trailer's (gateway.md 31).
fn announced(parcel: &Parcel) -> Result<Trailers, Refusal> {
    let announced =
        Trailers::expected(&parcel.payload, &parcel.headers).map_err(Refusal::Chunks)?;
    let in_head = parcel
        .headers
        .keys()
        .any(|name| is_checksum(name.as_str()) && name != "x-amz-checksum-type");
    let named = parcel
        .headers
        .get(SDK_ALGORITHM)
        .and_then(|value| checksum::trailer_of(value.to_str().ok()?));
    Ok(match (announced, named) {
        (Trailers::Any, Some(name)) if !in_head => Trailers::Announced(vec![name]),
        (announced, _) => announced,
    })
}

/// Reads a body whole, at most `limit` bytes of it, and checks it. `idle` is how long the client
/// may pause.
pub(crate) async fn collect(
    mut incoming: Incoming,
    parcel: &mut Parcel,
    limit: usize,
    idle: Duration,
) -> Result<Collected, Refusal> {
    let mut reading = match parcel.payload {
        Payload::Literal(_) | Payload::Unsigned => None,
        Payload::UnsignedTrailer | Payload::SignedChunks | Payload::SignedChunksTrailer => {
            let trailers = announced(parcel)?;
            Some(reading(parcel, trailers)?)
        }
    };
    // A body that says how long it is need not be read to be refused.
    if reading.is_none() && Body::size_hint(&incoming).lower() > limit as u64 {
        return Err(Refusal::TooLarge(limit));
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = timeout(idle, incoming.frame())
        .await
        .map_err(|_| Refusal::Stalled)?
    {
        let frame = frame.map_err(|_| Refusal::IncompleteBody)?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        match &mut reading {
            None => bytes.extend_from_slice(&data),
            Some(reading) => {
                while let Some(piece) = reading.feed(&mut data)? {
                    bytes.extend_from_slice(&piece);
                }
            }
        }
        if bytes.len() > limit {
            return Err(Refusal::TooLarge(limit));
        }
    }
    let mut trailers = Vec::new();
    if let Some(reading) = &mut reading {
        if let Some(piece) = reading.finish()? {
            bytes.extend_from_slice(&piece);
        }
        trailers = reading.trailers().to_vec();
    }
    if bytes.len() > limit {
        return Err(Refusal::TooLarge(limit));
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

fn reading(parcel: &mut Parcel, trailers: Trailers) -> Result<Box<Reading>, Refusal> {
    let length = chunks::decoded_length(&parcel.headers).map_err(Refusal::Chunks)?;
    let sums = Checksums::of(&trailers);
    let decoder = if parcel.payload == Payload::UnsignedTrailer {
        ChunkDecoder::unsigned(length, trailers)
    } else {
        let seed = parcel
            .seed
            .take()
            .ok_or(Refusal::InvalidRequest("signed chunks need a signed head"))?;
        ChunkDecoder::new(seed, length, trailers)
    };
    Ok(Box::new(Reading::new(decoder, sums)))
}

/// A body on its way, and what the head must say about it.
pub(crate) struct Loaded {
    pub(crate) body: UpstreamBody,
    pub(crate) payload: Payload,
    pub(crate) length: Option<u64>,
}

pub(crate) fn load(
    exchange: &Arc<InFlight>,
    parcel: &mut Parcel,
    freight: Freight,
    headers: &mut HeaderMap,
    takes_trailers: bool,
    idle: Duration,
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
                // The reading let nothing but checksums through: a copy source in a trailer would
                // be a header that nobody permitted.
                if headers.contains_key(&name) {
                    return Err(Refusal::HeaderNotSupported(name));
                }
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
        Payload::UnsignedTrailer | Payload::SignedChunks | Payload::SignedChunksTrailer => {
            chunked(parcel, headers, arriving, takes_trailers)?
        }
    };
    if payload == Payload::UnsignedTrailer {
        keep_encoding(&parcel.headers, headers);
    }
    let upload = UploadBody::new(incoming, form, length, Arc::clone(exchange), idle);
    Ok(Loaded {
        body: UpstreamBody(Source::Streamed(upload)),
        payload,
        length,
    })
}

/// How an aws-chunked body goes on: in its framing where the provider takes that, with its trailers
/// if there are any to be kept, and else decoded.
fn chunked(
    parcel: &mut Parcel,
    headers: &mut HeaderMap,
    arriving: Option<u64>,
    takes_trailers: bool,
) -> Result<(Form, Payload, Option<u64>), Refusal> {
    let decoded = chunks::decoded_length(&parcel.headers).map_err(Refusal::Chunks)?;
    let trailers = announced(parcel)?;
    let reading = reading(parcel, trailers.clone())?;
    match (parcel.payload, trailers) {
        (Payload::UnsignedTrailer, _) if takes_trailers => {
            copy(&parcel.headers, headers, &[DECODED_LENGTH, TRAILER]);
            Ok((Form::Framed(reading), Payload::UnsignedTrailer, arriving))
        }
        (Payload::SignedChunksTrailer, Trailers::Announced(names)) if takes_trailers => {
            copy(&parcel.headers, headers, &[DECODED_LENGTH]);
            for name in &names {
                headers.append(
                    TRAILER,
                    HeaderValue::from_str(name.as_str())
                        .map_err(|_| Refusal::Chunks(ChunkError::Header))?,
                );
            }
            let length = Framer::length(decoded, &names);
            let form = Form::Reframed(reading, Framer::new(decoded));
            Ok((form, Payload::UnsignedTrailer, length))
        }
        (_, trailers) => {
            if let Trailers::Announced(names) = &trailers
                && let Some(name) = names.iter().find(|name| !reading.compares(name))
            {
                return Err(Refusal::HeaderNotSupported(name.clone()));
            }
            strip_chunked(headers);
            if trailers != Trailers::Forbidden {
                // Names a checksum that no longer comes along.
                headers.remove(SDK_ALGORITHM);
            }
            Ok((Form::Decoded(reading), Payload::Unsigned, Some(decoded)))
        }
    }
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

/// A body that stays framed is announced as the client announced it, or not at all: a provider
/// might store an encoding that nobody stated (gateway.md 25).
fn keep_encoding(client: &HeaderMap, headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_ENCODING);
    for value in client.get_all(header::CONTENT_ENCODING) {
        headers.append(header::CONTENT_ENCODING, value.clone());
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
