//! The decoder of aws-chunked bodies: however the bytes are cut, the outcome is the same, and no more
//! comes out than was announced.
#![no_main]

use bascule_sigv4::{ChunkDecoder, ChunkError, Trailers};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fn decoded(body: &[u8], length: u64, cut: usize) -> Result<Vec<u8>, ChunkError> {
    let mut decoder = ChunkDecoder::unsigned(length, Trailers::Any);
    let mut out = Vec::new();
    for frame in body.chunks(cut.max(1)) {
        let mut frame = Bytes::copy_from_slice(frame);
        while let Some(piece) = decoder.feed(&mut frame)? {
            out.extend_from_slice(&piece);
        }
        assert!(out.len() as u64 <= length);
    }
    if let Some(piece) = decoder.finish()? {
        out.extend_from_slice(&piece);
    }
    assert_eq!(out.len() as u64, length);
    Ok(out)
}

fuzz_target!(|data: &[u8]| {
    let [length, cut, body @ ..] = data else {
        return;
    };
    let whole = decoded(body, u64::from(*length), body.len());
    let cut = decoded(body, u64::from(*length), usize::from(*cut));
    assert_eq!(whole.is_ok(), cut.is_ok());
    if let (Ok(whole), Ok(cut)) = (whole, cut) {
        assert_eq!(whole, cut);
    }
});
