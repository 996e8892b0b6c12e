//! Bodies before they go upstream: in which form they come, in which they leave, and what the head
//! must say about it. It must never let a form through to the handling of another (threats.md A3).

use std::sync::Arc;

use bascule_domain::operation::Action;
use bascule_sigv4::{ChunkDecoder, ChunkSeed, Payload, Trailers, chunks};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    body::{Expected, Form, Framer, UploadBody},
    exchange::InFlight,
    respond::Refusal,
    upstream::{Source, UpstreamBody},
};

/// A verified and classified request, without its body.
pub(crate) struct Parcel {
    /// Whether the client came by TLS.
    pub(crate) tls: bool,
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
                // Nothing else of a trailer may become a header: a copy source there would be one
                // that nobody permitted.
                if !crate::headers::is_checksum(name.as_str()) || headers.contains_key(&name) {
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
    if payload == Payload::UnsignedTrailer {
        announce_chunked(headers);
    }
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

/// A framed body says so, also where the client left it out (gateway.md 25).
fn announce_chunked(headers: &mut HeaderMap) {
    let announced = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| {
            value
                .as_bytes()
                .split(|&b| b == b',')
                .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"aws-chunked"))
        });
    if !announced {
        headers.append(
            header::CONTENT_ENCODING,
            HeaderValue::from_static("aws-chunked"),
        );
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
