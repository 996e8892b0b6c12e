//! An upload on its way to the provider: counted, checked, and cut. It must never let the last
//! byte through before the whole body was found right and the permit still good: an upload that
//! lacks its end leaves no object (gateway.md 24, 27, 53).

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_lc_rs::digest;
use bascule_sigv4::ChunkDecoder;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::{
    checksum::{ChecksumError, Checksums, value_length},
    exchange::{Fault, InFlight},
    idle::Idle,
    throttle::Shaper,
    upstream::BoxError,
};

/// Data bytes in one chunk of a body that is framed anew.
const CHUNK: u64 = 1024 * 1024;

/// How the bytes of an upload are checked and passed on.
pub(crate) enum Form {
    /// As they come; with the SHA-256 that they must have, if one was signed.
    Plain(Option<Box<Expected>>),
    /// As they come, in aws-chunked framing that is read along (gateway.md 25). A provider can tell
    /// from it where the body ends: from its last data on, bytes wait for the end.
    Framed(Box<Reading>),
    /// Out of chunks.
    Decoded(Box<Reading>),
    /// Out of signed chunks, into unsigned ones with the same trailers (gateway.md 28).
    Reframed(Box<Reading>, Framer),
}

/// An aws-chunked body as it is read, with the checksums that its trailers may state.
pub(crate) struct Reading {
    decoder: ChunkDecoder,
    sums: Checksums,
}

impl Reading {
    pub(crate) const fn new(decoder: ChunkDecoder, sums: Checksums) -> Self {
        Self { decoder, sums }
    }

    /// The next decoded piece that may go on; the newest one is held back.
    pub(crate) fn feed(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Fault> {
        let piece = self.decoder.feed(input).map_err(Fault::Chunks)?;
        if let Some(piece) = &piece {
            self.sums.update(piece);
        }
        Ok(piece)
    }

    /// The body has ended: checks everything, and gives out the piece that was held back.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, Fault> {
        let piece = self.decoder.finish().map_err(Fault::Chunks)?;
        if let Some(piece) = &piece {
            self.sums.update(piece);
        }
        self.sums
            .check(self.decoder.trailers())
            .map_err(Fault::Checksum)?;
        Ok(piece)
    }

    /// Whether the trailer of this name is compared with the body here.
    pub(crate) fn compares(&self, name: &HeaderName) -> bool {
        self.sums.compares(name)
    }

    pub(crate) fn trailers(&self) -> &[(HeaderName, HeaderValue)] {
        self.decoder.trailers()
    }

    /// Whether nothing but the framing's end is still to come.
    const fn has_all_data(&self) -> bool {
        self.decoder.has_all_data()
    }
}

/// A SHA-256 that a body must have.
pub(crate) struct Expected {
    hash: [u8; 32],
    seen: digest::Context,
}

impl Expected {
    pub(crate) fn new(hash: [u8; 32]) -> Box<Self> {
        Box::new(Self {
            hash,
            seen: digest::Context::new(&digest::SHA256),
        })
    }

    fn met(&self) -> bool {
        self.seen.clone().finish().as_ref() == self.hash
    }
}

/// The body of one upload.
pub(crate) struct UploadBody {
    incoming: Incoming,
    shaper: Shaper,
    form: Form,
    exchange: Arc<InFlight>,
    /// Bytes that upstream is still to get, if known.
    left: Option<u64>,
    /// What was read and not decoded yet.
    input: Bytes,
    queue: VecDeque<Bytes>,
    ended: bool,
    done: bool,
    idle: Idle,
}

impl UploadBody {
    /// `length` is what upstream gets, if it is known; `idle` how long the client may pause.
    pub(crate) fn new(
        incoming: Incoming,
        form: Form,
        length: Option<u64>,
        exchange: Arc<InFlight>,
        idle: Duration,
    ) -> Box<Self> {
        Box::new(Self {
            incoming,
            shaper: Shaper::default(),
            form,
            exchange,
            left: length,
            input: Bytes::new(),
            queue: VecDeque::new(),
            ended: false,
            done: false,
            idle: Idle::new(idle),
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        loop {
            // Before anything is checked or handed over, so that a stream that waits can be cut.
            let lane = self.exchange.throttle().inbound();
            if let Some(piece) = ready!(self.shaper.poll(lane, cx)) {
                return Poll::Ready(Ok(Some(piece)));
            }
            let Poll::Ready(next) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                ready!(self.idle.poll_stalled(cx));
                return Poll::Ready(Err(Fault::Stalled));
            };
            match next {
                None => return Poll::Ready(Ok(None)),
                Some(Err(_)) => return Poll::Ready(Err(Fault::Incomplete)),
                Some(Ok(frame)) => {
                    // HTTP trailers of the client's hop are not part of the body.
                    if let Ok(data) = frame.into_data() {
                        self.exchange.received(data.len());
                        self.idle.moved();
                        if data.is_empty() {
                            continue;
                        }
                        if let Some(data) = self.shaper.take(lane, data) {
                            return Poll::Ready(Ok(Some(data)));
                        }
                    }
                }
            }
        }
    }

    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        loop {
            if self.done {
                return Poll::Ready(Ok(self.queue.pop_front()));
            }
            let data = ready!(self.poll_read(cx))?;
            if let Some(data) = &data {
                match &mut self.form {
                    Form::Plain(Some(expected)) => expected.seen.update(data),
                    Form::Framed(reading) => {
                        let mut input = data.clone();
                        while reading.feed(&mut input)?.is_some() {}
                    }
                    Form::Plain(None) | Form::Decoded(_) | Form::Reframed(..) => {}
                }
            }
            let last = match (&data, &mut self.left) {
                (Some(data), Some(left)) => {
                    *left = left
                        .checked_sub(data.len() as u64)
                        .ok_or(Fault::Incomplete)?;
                    *left == 0
                }
                (Some(_), None) => false,
                (None, Some(left)) if *left > 0 => return Poll::Ready(Err(Fault::Incomplete)),
                (None, _) => true,
            };
            if last {
                match &mut self.form {
                    Form::Plain(Some(expected)) if !expected.met() => {
                        return Poll::Ready(Err(Fault::Mismatch));
                    }
                    Form::Framed(reading) => {
                        reading.finish()?;
                    }
                    _ => {}
                }
                self.finish()?;
            }
            match (&self.form, data) {
                (Form::Framed(reading), Some(data)) if reading.has_all_data() => {
                    self.queue.push_back(data);
                }
                (Form::Framed(_), None) => {}
                (_, data) => return Poll::Ready(Ok(data)),
            }
        }
    }

    fn poll_chunks(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        loop {
            if let Some(piece) = self.queue.pop_front() {
                if self.ended && self.queue.is_empty() {
                    self.finish()?;
                }
                return Poll::Ready(Ok(Some(piece)));
            }
            if self.ended {
                self.finish()?;
                return Poll::Ready(Ok(None));
            }
            let (reading, framer) = match &mut self.form {
                Form::Decoded(reading) => (reading, None),
                Form::Reframed(reading, framer) => (reading, Some(framer)),
                Form::Plain(_) | Form::Framed(_) => return Poll::Ready(Ok(None)),
            };
            if let Some(piece) = reading.feed(&mut self.input)? {
                pass(piece, framer, &mut self.queue);
                continue;
            }
            match ready!(self.poll_read(cx))? {
                Some(data) => self.input = data,
                None => self.poll_end()?,
            }
        }
    }

    fn poll_end(&mut self) -> Result<(), Fault> {
        self.ended = true;
        match &mut self.form {
            Form::Decoded(reading) => {
                let last = reading.finish()?;
                // The trailers end here: none may be lost that was not compared.
                if !reading
                    .trailers()
                    .iter()
                    .all(|(name, _)| reading.compares(name))
                {
                    return Err(Fault::Checksum(ChecksumError::Unknown));
                }
                if let Some(piece) = last {
                    pass(piece, None, &mut self.queue);
                }
            }
            Form::Reframed(reading, framer) => {
                if let Some(piece) = reading.finish()? {
                    pass(piece, Some(framer), &mut self.queue);
                }
                self.queue.push_back(Framer::end(reading.trailers()));
            }
            Form::Plain(_) | Form::Framed(_) => {}
        }
        Ok(())
    }

    /// Everything was checked: the last byte may go, if the permit allows it.
    fn finish(&mut self) -> Result<(), Fault> {
        if self.done {
            return Ok(());
        }
        if !self.exchange.hand_over() {
            return Err(Fault::Cut);
        }
        self.done = true;
        Ok(())
    }
}

fn pass(piece: Bytes, framer: Option<&mut Framer>, queue: &mut VecDeque<Bytes>) {
    match framer {
        Some(framer) => framer.frame(piece, queue),
        None if piece.is_empty() => {}
        None => queue.push_back(piece),
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.done && this.queue.is_empty() {
            return Poll::Ready(None);
        }
        let polled = if !this.done && !this.exchange.honoured() {
            Err(Fault::Cut)
        } else if matches!(this.form, Form::Plain(_) | Form::Framed(_)) {
            ready!(this.poll_plain(cx))
        } else {
            ready!(this.poll_chunks(cx))
        };
        Poll::Ready(match polled {
            Ok(Some(data)) => {
                if let (Some(left), Form::Decoded(_) | Form::Reframed(..)) =
                    (&mut this.left, &this.form)
                {
                    *left = left.saturating_sub(data.len() as u64);
                }
                Some(Ok(Frame::data(data)))
            }
            Ok(None) => None,
            Err(fault) => {
                this.exchange.fail(fault);
                Some(Err(Box::new(Refused(fault))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.done && self.queue.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Why the upload stopped, for the transport.
#[derive(Debug)]
struct Refused(Fault);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Fault::Mismatch => "the body has not the signed hash",
            Fault::Chunks(_) => "the aws-chunked body is wrong",
            Fault::Checksum(_) => "the body has not the checksum of its trailer",
            Fault::Incomplete => "the client stopped sending",
            Fault::Stalled => "the client sends nothing",
            Fault::Cut => "the permit is void",
        })
    }
}

impl std::error::Error for Refused {}

/// Writes aws-chunked framing without chunk signatures. The sizes of the chunks follow from the
/// decoded length alone, so that the length of the whole is known before.
pub(crate) struct Framer {
    left: u64,
    left_in_chunk: u64,
}

impl Framer {
    pub(crate) const fn new(decoded_length: u64) -> Self {
        Self {
            left: decoded_length,
            left_in_chunk: 0,
        }
    }

    /// Bytes of the framed body, if the lengths of the trailers follow from their names.
    pub(crate) fn length(decoded_length: u64, trailers: &[HeaderName]) -> Option<u64> {
        // Framed, it must still be countable.
        if decoded_length > u64::MAX / 2 {
            return None;
        }
        let chunk = |size: u64| digits(size) + 2 + size + 2;
        let full = decoded_length / CHUNK;
        let rest = decoded_length % CHUNK;
        let mut length = full * chunk(CHUNK) + "0\r\n\r\n".len() as u64;
        if rest > 0 {
            length += chunk(rest);
        }
        for name in trailers {
            length += name.as_str().len() as u64 + 1 + value_length(name)? + 2;
        }
        Some(length)
    }

    fn frame(&mut self, mut piece: Bytes, queue: &mut VecDeque<Bytes>) {
        while !piece.is_empty() {
            if self.left_in_chunk == 0 {
                // The decoder never gives more than the decoded length.
                self.left_in_chunk = self.left.clamp(1, CHUNK);
                queue.push_back(format!("{:x}\r\n", self.left_in_chunk).into());
            }
            let take = usize::try_from(self.left_in_chunk)
                .map_or(piece.len(), |left| left.min(piece.len()));
            queue.push_back(piece.split_to(take));
            self.left_in_chunk -= take as u64;
            self.left = self.left.saturating_sub(take as u64);
            if self.left_in_chunk == 0 {
                queue.push_back(Bytes::from_static(b"\r\n"));
            }
        }
    }

    fn end(trailers: &[(HeaderName, HeaderValue)]) -> Bytes {
        let mut end = b"0\r\n".to_vec();
        for (name, value) in trailers {
            end.extend_from_slice(name.as_str().as_bytes());
            end.push(b':');
            end.extend_from_slice(value.as_bytes());
            end.extend_from_slice(b"\r\n");
        }
        end.extend_from_slice(b"\r\n");
        end.into()
    }
}

fn digits(size: u64) -> u64 {
    u64::from(size.max(1).ilog2() / 4) + 1
}
