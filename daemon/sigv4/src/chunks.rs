//! Decodes aws-chunked bodies piece by piece and checks what was signed (gateway.md 26-33).
//!
//! It must never hand on the last piece of a body before every check has passed: whoever forwards
//! the pieces under the announced length then cannot complete an upload that was tampered with
//! (threats.md A6).

mod announced;
mod seed;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

pub use self::{
    announced::{Trailers, decoded_length},
    seed::ChunkSeed,
};
use crate::{key::Sha256, payload::hash_from_hex};

const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";
/// Bytes of a chunk's header line (gateway.md 30).
const LONGEST_LINE: usize = 1024;
/// Bytes of all trailers together.
const LONGEST_TRAILERS: usize = 16 * 1024;

/// Why an aws-chunked body is refused. No text holds a part of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// No `x-amz-decoded-content-length` (411 `MissingContentLength`; gateway.md 33).
    #[error("the header x-amz-decoded-content-length is missing")]
    LengthMissing,
    /// `x-amz-decoded-content-length` or `x-amz-trailer` cannot be read (400 `InvalidArgument`).
    #[error("x-amz-decoded-content-length or x-amz-trailer is malformed")]
    Header,
    /// The framing is broken (400 `InvalidRequest`).
    #[error("the aws-chunked framing is malformed")]
    Framing,
    /// A chunk's or the trailers' signature is wrong or absent (403 `SignatureDoesNotMatch`).
    #[error("a chunk signature does not match")]
    Signature,
    /// The chunks do not add up to `x-amz-decoded-content-length` (400 `IncompleteBody`).
    #[error("the body has not the length of x-amz-decoded-content-length")]
    Length,
    /// The body ended inside a chunk or without the final one (400 `IncompleteBody`).
    #[error("the body ended before its final chunk")]
    Incomplete,
    /// A trailer that cannot be read, was not announced, or was announced and is missing
    /// (400 `MalformedTrailerError`; threats.md A8).
    #[error("the trailers are malformed or not those that x-amz-trailer announced")]
    Trailer,
}

enum Chunks {
    Signed(ChunkSeed),
    Unsigned,
}

enum State {
    /// Reading a chunk's header line.
    Header(Vec<u8>),
    /// Reading a chunk's data.
    Data {
        left: u64,
        hash: Sha256,
        signature: [u8; 32],
    },
    /// Reading the line break after a chunk's data; how many of its two bytes are left.
    Break(u8),
    /// After the final chunk.
    Trailers(Vec<u8>),
    /// Everything was checked.
    Done,
    /// Something was refused; so is everything after it.
    Failed(ChunkError),
}

/// An incremental decoder of one body. Feed it every frame, then call [`finish`](Self::finish).
///
/// ```text
/// for each frame: while let Some(piece) = decoder.feed(&mut frame)? { forward(piece) }
/// at the end:     if let Some(piece) = decoder.finish()? { forward(piece) }; decoder.trailers()
/// ```
pub struct ChunkDecoder {
    chunks: Chunks,
    state: State,
    /// Decoded bytes that are still to come.
    remaining: u64,
    rule: Trailers,
    /// The newest piece; it goes on only when a newer one came or everything was checked.
    held: Option<Bytes>,
    trailers: Vec<(HeaderName, HeaderValue)>,
}

impl ChunkDecoder {
    /// A decoder that checks each chunk's signature. `decoded_length` is what the head announced.
    #[must_use]
    pub const fn new(seed: ChunkSeed, decoded_length: u64, trailers: Trailers) -> Self {
        Self::with(Chunks::Signed(seed), decoded_length, trailers)
    }

    /// A decoder for `STREAMING-UNSIGNED-PAYLOAD-TRAILER`, whose chunks carry no signatures.
    #[must_use]
    pub const fn unsigned(decoded_length: u64, trailers: Trailers) -> Self {
        Self::with(Chunks::Unsigned, decoded_length, trailers)
    }

    const fn with(chunks: Chunks, decoded_length: u64, rule: Trailers) -> Self {
        Self {
            chunks,
            state: State::Header(Vec::new()),
            remaining: decoded_length,
            rule,
            held: None,
            trailers: Vec::new(),
        }
    }

    /// Takes bytes of the body from the front of `input` and returns the next decoded piece that
    /// may go on. `None` means that `input` is used up. The newest piece is held back. An error
    /// is final: the body must not be completed upstream.
    pub fn feed(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        while !input.is_empty() {
            match self.step(input) {
                Ok(None) => {}
                Ok(Some(piece)) => {
                    if let Some(older) = self.held.replace(piece) {
                        return Ok(Some(older));
                    }
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
        match self.state {
            State::Failed(error) => Err(error),
            _ => Ok(None),
        }
    }

    /// Says that the body has ended. Returns the piece that was held back, now that the final
    /// chunk, the length and the trailers were checked.
    pub fn finish(&mut self) -> Result<Option<Bytes>, ChunkError> {
        let text = match &mut self.state {
            State::Trailers(text) => std::mem::take(text),
            State::Done => return Ok(None),
            State::Failed(error) => return Err(*error),
            State::Header(_) | State::Data { .. } | State::Break(_) => {
                return Err(self.fail(ChunkError::Incomplete));
            }
        };
        match self.read_trailers(&text) {
            Ok(trailers) => {
                self.trailers = trailers;
                self.state = State::Done;
                Ok(self.held.take())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The trailers, without their signature. Empty until [`finish`](Self::finish) succeeded.
    #[must_use]
    pub fn trailers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.trailers
    }

    /// Whether all data was taken: nothing but the final chunk and the trailers is to come.
    #[must_use]
    pub const fn has_all_data(&self) -> bool {
        self.remaining == 0
    }

    fn fail(&mut self, error: ChunkError) -> ChunkError {
        self.state = State::Failed(error);
        error
    }

    /// Consumes at least one byte, or fails. Returns a piece of data if it found one.
    fn step(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, ChunkError> {
        match &mut self.state {
            State::Header(line) => {
                let end = input.iter().position(|&b| b == b'\n');
                let taken = input.split_to(end.map_or(input.len(), |at| at + 1));
                if line.len() + taken.len() > LONGEST_LINE {
                    return Err(ChunkError::Framing);
                }
                line.extend_from_slice(&taken);
                if end.is_some() {
                    let line = std::mem::take(line);
                    self.begin_chunk(&line)?;
                }
                Ok(None)
            }
            State::Data {
                left,
                hash,
                signature,
            } => {
                let length =
                    usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                let piece = input.split_to(length);
                *left -= length as u64;
                self.remaining -= length as u64;
                if let Chunks::Signed(seed) = &mut self.chunks {
                    hash.update(&piece);
                    if *left == 0 {
                        let hash = std::mem::replace(hash, Sha256::new()).finish();
                        if !seed.check_chunk(hash, signature) {
                            return Err(ChunkError::Signature);
                        }
                    }
                }
                if *left == 0 {
                    self.state = State::Break(2);
                }
                Ok(Some(piece))
            }
            State::Break(left) => {
                let expected = if *left == 2 { b'\r' } else { b'\n' };
                if input.split_to(1)[0] != expected {
                    return Err(ChunkError::Framing);
                }
                *left -= 1;
                if *left == 0 {
                    self.state = State::Header(Vec::new());
                }
                Ok(None)
            }
            State::Trailers(text) => {
                if text.len() + input.len() > LONGEST_TRAILERS {
                    return Err(ChunkError::Trailer);
                }
                text.extend_from_slice(input);
                input.clear();
                Ok(None)
            }
            State::Done => Err(ChunkError::Framing),
            State::Failed(error) => Err(*error),
        }
    }

    /// Acts on a chunk's header line, its line break included.
    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let line = line.strip_suffix(b"\r\n").ok_or(ChunkError::Framing)?;
        let (size, extension) = match line.iter().position(|&b| b == b';') {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        let size = chunk_size(size).ok_or(ChunkError::Framing)?;
        let signature = match (&self.chunks, extension) {
            (Chunks::Signed(_), Some(extension)) => {
                let text = extension
                    .strip_prefix(b"chunk-signature=")
                    .ok_or(ChunkError::Framing)?;
                hash_from_hex(text).ok_or(ChunkError::Signature)?
            }
            (Chunks::Signed(_), None) => return Err(ChunkError::Signature),
            (Chunks::Unsigned, None) => [0; 32],
            (Chunks::Unsigned, Some(_)) => return Err(ChunkError::Framing),
        };
        if size > self.remaining {
            return Err(ChunkError::Length);
        }
        if size > 0 {
            self.state = State::Data {
                left: size,
                hash: Sha256::new(),
                signature,
            };
            return Ok(());
        }
        if self.remaining > 0 {
            return Err(ChunkError::Length);
        }
        if let Chunks::Signed(seed) = &mut self.chunks
            && !seed.check_chunk(Sha256::new().finish(), &signature)
        {
            return Err(ChunkError::Signature);
        }
        self.state = State::Trailers(Vec::new());
        Ok(())
    }

    /// Reads what follows the final chunk. Lines end with `\r\n` or `\n`, and a blank line may
    /// stand before the signature as well as at the end (gateway.md 30).
    fn read_trailers(&mut self, text: &[u8]) -> Result<Vec<(HeaderName, HeaderValue)>, ChunkError> {
        if self.rule == Trailers::Forbidden {
            return if matches!(text, b"" | b"\r\n") {
                Ok(Vec::new())
            } else {
                Err(ChunkError::Framing)
            };
        }
        let mut trailers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        let mut signature = None;
        for line in text.split(|&b| b == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let at = line
                .iter()
                .position(|&b| b == b':')
                .ok_or(ChunkError::Trailer)?;
            let name = HeaderName::from_bytes(&line[..at]).map_err(|_| ChunkError::Trailer)?;
            let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii())
                .map_err(|_| ChunkError::Trailer)?;
            if signature.is_some() || trailers.iter().any(|(known, _)| *known == name) {
                return Err(ChunkError::Trailer);
            }
            if name.as_str() == TRAILER_SIGNATURE {
                signature = Some(hash_from_hex(value.as_bytes()).ok_or(ChunkError::Signature)?);
            } else {
                trailers.push((name, value));
            }
        }
        if let Trailers::Announced(names) = &self.rule {
            let all_here = names
                .iter()
                .all(|name| trailers.iter().any(|(known, _)| known == name));
            if !all_here || trailers.len() != names.len() {
                return Err(ChunkError::Trailer);
            }
        }
        match (&mut self.chunks, signature) {
            (Chunks::Signed(seed), Some(presented)) => {
                if !seed.check_trailers(trailer_hash(&trailers), &presented) {
                    return Err(ChunkError::Signature);
                }
            }
            (Chunks::Signed(_), None) => return Err(ChunkError::Signature),
            (Chunks::Unsigned, None) => {}
            (Chunks::Unsigned, Some(_)) => return Err(ChunkError::Trailer),
        }
        Ok(trailers)
    }
}

/// Hex digits only; 64 bits at most.
fn chunk_size(text: &[u8]) -> Option<u64> {
    if !(1..=16).contains(&text.len()) {
        return None;
    }
    text.iter().try_fold(0, |size: u64, &digit| {
        Some(size << 4 | u64::from(char::from(digit).to_digit(16)?))
    })
}

/// The hash of `name:value\n` for each trailer, sorted by name.
fn trailer_hash(trailers: &[(HeaderName, HeaderValue)]) -> [u8; 32] {
    let mut sorted: Vec<_> = trailers.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| name.as_str());
    let mut hash = Sha256::new();
    for (name, value) in sorted {
        hash.update(name.as_str().as_bytes());
        hash.update(b":");
        hash.update(value.as_bytes());
        hash.update(b"\n");
    }
    hash.finish()
}

#[cfg(test)]
mod tests;
