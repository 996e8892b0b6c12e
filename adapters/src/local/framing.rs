//! Bodies as the gateway forwards them: plain, with the hash of the whole, or in aws-chunked
//! framing with unsigned trailers. Here the framing is taken off and what was announced is
//! checked; a body that does not fit ends in an error, and nothing of it is stored.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use aws_lc_rs::digest;
use bascule_sigv4::{ChunkDecoder, Payload, Trailers, chunks::decoded_length};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame};
use s3s::{checksum::ChecksumHasher, dto::Checksum};

use crate::transport::{BoxError, RequestBody};

/// What a body fails with when it is not what its head announced.
#[derive(Debug, thiserror::Error)]
#[error("the body is not what its head announced")]
pub(crate) struct Mismatch;

/// Takes the framing off and the headers that describe it.
pub(crate) fn unframe(headers: &mut HeaderMap, body: RequestBody) -> Result<Framed, Mismatch> {
    let announced = headers.remove("x-amz-content-sha256");
    let Some(announced) = announced else {
        return Ok(Framed::plain(body));
    };
    match Payload::parse(announced.to_str().map_err(|_| Mismatch)?).map_err(|_| Mismatch)? {
        Payload::Unsigned => Ok(Framed::plain(body)),
        Payload::Literal(hash) => Ok(Framed {
            body,
            check: Check::Hash {
                expected: hash,
                context: digest::Context::new(&digest::SHA256),
            },
            input: Bytes::new(),
            ended: false,
        }),
        payload @ Payload::UnsignedTrailer => {
            let length = decoded_length(headers).map_err(|_| Mismatch)?;
            let trailers = Trailers::expected(&payload, headers).map_err(|_| Mismatch)?;
            let sums = Box::new(sums(&trailers));
            headers.remove("x-amz-decoded-content-length");
            headers.remove("x-amz-trailer");
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            strip_encoding(headers)?;
            let decoder = Box::new(ChunkDecoder::unsigned(length, trailers));
            Ok(Framed {
                body,
                check: Check::Chunks { decoder, sums },
                input: Bytes::new(),
                ended: false,
            })
        }
        // The gateway has checked these signatures; it never hands them on.
        Payload::SignedChunks | Payload::SignedChunksTrailer => Err(Mismatch),
    }
}

/// `aws-chunked` is framing, not a property of the object; what else is named stays.
fn strip_encoding(headers: &mut HeaderMap) -> Result<(), Mismatch> {
    let Some(encoding) = headers.remove(header::CONTENT_ENCODING) else {
        return Ok(());
    };
    let text = encoding.to_str().map_err(|_| Mismatch)?;
    let rest: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|coding| !matches!(*coding, "" | "aws-chunked"))
        .collect();
    if !rest.is_empty() {
        let rest = HeaderValue::from_str(&rest.join(",")).map_err(|_| Mismatch)?;
        headers.insert(header::CONTENT_ENCODING, rest);
    }
    Ok(())
}

fn sums(trailers: &Trailers) -> ChecksumHasher {
    let announced = |name: &str| match trailers {
        Trailers::Announced(names) => names.iter().any(|trailer| trailer == name),
        Trailers::Any => true,
        Trailers::Forbidden => false,
    };
    ChecksumHasher {
        crc32: announced("x-amz-checksum-crc32").then(Default::default),
        crc32c: announced("x-amz-checksum-crc32c").then(Default::default),
        sha1: announced("x-amz-checksum-sha1").then(Default::default),
        sha256: announced("x-amz-checksum-sha256").then(Default::default),
        crc64nvme: announced("x-amz-checksum-crc64nvme").then(Default::default),
    }
}

/// A request's body without framing, checked to its end.
pub(crate) struct Framed {
    body: RequestBody,
    check: Check,
    /// Of the newest frame, what was not decoded yet.
    input: Bytes,
    ended: bool,
}

enum Check {
    Nothing,
    Hash {
        expected: [u8; 32],
        context: digest::Context,
    },
    Chunks {
        decoder: Box<ChunkDecoder>,
        sums: Box<ChecksumHasher>,
    },
}

impl Framed {
    const fn plain(body: RequestBody) -> Self {
        Self {
            body,
            check: Check::Nothing,
            input: Bytes::new(),
            ended: false,
        }
    }

    /// A piece that is ready without more of the body.
    fn decoded(&mut self) -> Result<Option<Bytes>, BoxError> {
        match &mut self.check {
            Check::Chunks { decoder, sums } => {
                let piece = decoder.feed(&mut self.input)?;
                if let Some(piece) = &piece {
                    sums.update(piece);
                }
                Ok(piece)
            }
            Check::Hash { context, .. } => {
                context.update(&self.input);
                Ok(Some(std::mem::take(&mut self.input)).filter(|piece| !piece.is_empty()))
            }
            Check::Nothing => {
                Ok(Some(std::mem::take(&mut self.input)).filter(|piece| !piece.is_empty()))
            }
        }
    }

    /// The last piece, once everything that was announced has been checked.
    fn last(&mut self) -> Result<Option<Bytes>, BoxError> {
        match std::mem::replace(&mut self.check, Check::Nothing) {
            Check::Nothing => Ok(None),
            Check::Hash { expected, context } => {
                if context.finish().as_ref() == expected {
                    Ok(None)
                } else {
                    Err(Mismatch.into())
                }
            }
            Check::Chunks {
                mut decoder,
                mut sums,
            } => {
                let piece = decoder.finish()?;
                if let Some(piece) = &piece {
                    sums.update(piece);
                }
                let found = sums.finalize();
                for (name, value) in decoder.trailers() {
                    if let Some(sum) = sum_named(&found, name.as_str())
                        && sum.as_bytes() != value.as_bytes()
                    {
                        return Err(Mismatch.into());
                    }
                }
                Ok(piece)
            }
        }
    }
}

fn sum_named<'a>(sums: &'a Checksum, trailer: &str) -> Option<&'a str> {
    match trailer {
        "x-amz-checksum-crc32" => sums.checksum_crc32.as_deref(),
        "x-amz-checksum-crc32c" => sums.checksum_crc32c.as_deref(),
        "x-amz-checksum-sha1" => sums.checksum_sha1.as_deref(),
        "x-amz-checksum-sha256" => sums.checksum_sha256.as_deref(),
        "x-amz-checksum-crc64nvme" => sums.checksum_crc64nvme.as_deref(),
        _ => None,
    }
}

impl Body for Framed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if !self.input.is_empty() {
                match self.decoded() {
                    Ok(None) => {}
                    Ok(Some(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    // HTTP's own trailers mean nothing here.
                    if let Ok(data) = frame.into_data() {
                        self.input = data;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.ended = true;
                    if let Some(last) = self.last().transpose() {
                        return Poll::Ready(Some(last.map(Frame::data)));
                    }
                }
            }
        }
    }
}
