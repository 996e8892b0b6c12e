//! Vectors are from the AWS documentation, "Signature Calculations for the Authorization Header:
//! Transferring Payload in Multiple Chunks".

use bascule_domain::secret::SecretKey;
use http::HeaderMap;
use proptest::prelude::*;

use super::{
    seed::{CHUNK_LABEL, TRAILER_LABEL},
    *,
};
use crate::{
    canonical::hex,
    key::{SigningKey, scope},
    payload::Payload,
    time::RequestTime,
};

const FINAL: &str = "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9";
const CHUNKS: [(usize, &str); 3] = [
    (
        65_536,
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    ),
    (
        1_024,
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    ),
    (0, FINAL),
];
const LENGTH: u64 = 66_560;

fn seed() -> ChunkSeed {
    let secret = SecretKey::parse("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap();
    let time = RequestTime::parse_iso("20130524T000000Z").unwrap();
    let key = SigningKey::derive(&secret, "20130524", "us-east-1", "s3");
    let first =
        hash_from_hex(b"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9").unwrap();
    ChunkSeed::new(key, time, scope(&time, "us-east-1", "s3"), first)
}

/// The documentation's body: 65 KiB of `a` in three chunks.
fn documented() -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in CHUNKS {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        body.extend_from_slice(b"\r\n");
    }
    body
}

/// A body that is signed as the decoder expects, with these trailers.
fn signed_body(chunks: &[&[u8]], trailers: &str, blank: &str) -> Vec<u8> {
    let mut seed = seed();
    let mut body = Vec::new();
    for &data in chunks.iter().chain([&&b""[..]]) {
        let mut hash = Sha256::new();
        hash.update(data);
        seed.previous = seed.signature(CHUNK_LABEL, &[Sha256::new().finish(), hash.finish()]);
        body.extend_from_slice(
            format!(
                "{:X};chunk-signature={}\r\n",
                data.len(),
                hex(&seed.previous)
            )
            .as_bytes(),
        );
        body.extend_from_slice(data);
        if !data.is_empty() {
            body.extend_from_slice(b"\r\n");
        }
    }
    let mut hash = Sha256::new();
    hash.update(trailers.as_bytes());
    let signature = seed.signature(TRAILER_LABEL, &[hash.finish()]);
    body.extend_from_slice(
        format!(
            "{trailers}{blank}x-amz-trailer-signature:{}\r\n",
            hex(&signature)
        )
        .as_bytes(),
    );
    body
}

/// What went on before the end of the body, and how it ended.
fn decode(
    mut decoder: ChunkDecoder,
    body: &[u8],
    frame: usize,
) -> (Vec<u8>, Result<Vec<u8>, ChunkError>) {
    let mut before = Vec::new();
    for part in body.chunks(frame.max(1)) {
        let mut part = Bytes::copy_from_slice(part);
        loop {
            match decoder.feed(&mut part) {
                Ok(Some(piece)) => before.extend_from_slice(&piece),
                Ok(None) => break,
                Err(error) => return (before, Err(error)),
            }
        }
    }
    let end = decoder.finish().map(|last| {
        let mut whole = before.clone();
        whole.extend_from_slice(&last.unwrap_or_default());
        whole
    });
    (before, end)
}

fn check(body: &[u8], expected: Result<u64, ChunkError>) {
    for frame in [1, 7, 4096, usize::MAX] {
        let (before, end) = decode(
            ChunkDecoder::new(seed(), LENGTH, Trailers::Forbidden),
            body,
            frame,
        );
        assert_eq!(
            end.map(|whole| whole.len() as u64),
            expected,
            "frames of {frame}"
        );
        assert!(
            (before.len() as u64) < LENGTH,
            "the last piece went on before it was checked"
        );
    }
}

#[test]
fn the_documented_body_is_accepted_in_frames_of_any_size() {
    check(&documented(), Ok(LENGTH));
}

#[test]
fn a_tampered_chunk_never_completes_the_body() {
    let body = documented();
    let first_data = 90;
    let second_data = 65_536 + 2 + 90 + 90;
    for at in [first_data, second_data] {
        let mut tampered = body.clone();
        tampered[at] = b'b';
        check(&tampered, Err(ChunkError::Signature));
    }
}

#[test]
fn a_wrong_or_absent_final_signature_never_completes_the_body() {
    let text = documented();
    let end = text.len() - FINAL.len() - 4;
    let mut wrong = text.clone();
    wrong[end] = if wrong[end] == b'0' { b'1' } else { b'0' };
    check(&wrong, Err(ChunkError::Signature));

    let start = text.len() - FINAL.len() - 4 - "0;chunk-signature=".len();
    let mut unsigned = text[..start].to_vec();
    unsigned.extend_from_slice(b"0\r\n\r\n");
    check(&unsigned, Err(ChunkError::Signature));
    check(&text[..start], Err(ChunkError::Incomplete));
    check(&text[..start - 5], Err(ChunkError::Incomplete));
}

#[test]
fn bytes_after_the_final_chunk_are_refused() {
    let mut body = documented();
    body.extend_from_slice(b"GET / HTTP/1.1\r\n");
    check(&body, Err(ChunkError::Framing));
}

#[test]
fn the_chunks_must_add_up_to_the_announced_length() {
    for length in [0, LENGTH - 1, LENGTH + 1, u64::MAX] {
        let decoder = ChunkDecoder::new(seed(), length, Trailers::Forbidden);
        assert_eq!(
            decode(decoder, &documented(), 1000).1,
            Err(ChunkError::Length),
            "{length}"
        );
    }
}

#[test]
fn hostile_chunk_headers_are_refused() {
    for line in [
        "\r\n",
        ";\r\n",
        "0x1\r\n",
        "+1\r\n",
        "-1\r\n",
        " 1\r\n",
        "g\r\n",
        "1\n",
        "11111111111111111\r\n",
        "1;chunk-signature\r\n",
        "1;x=y\r\n",
        "é\r\n",
    ] {
        let decoder = ChunkDecoder::unsigned(1, Trailers::Any);
        assert_eq!(
            decode(decoder, line.as_bytes(), 100).1,
            Err(ChunkError::Framing),
            "{line:?}"
        );
    }
    let huge = ChunkDecoder::unsigned(5, Trailers::Any);
    assert_eq!(
        decode(huge, b"ffffffffffffffff\r\n", 100).1,
        Err(ChunkError::Length)
    );
    let endless = ChunkDecoder::unsigned(5, Trailers::Any);
    assert_eq!(
        decode(endless, &[b'0'; 4000], 100).1,
        Err(ChunkError::Framing)
    );
    let unbroken = ChunkDecoder::unsigned(2, Trailers::Any);
    assert_eq!(
        decode(unbroken, b"1\r\naa\r\n", 100).1,
        Err(ChunkError::Framing)
    );
}

#[test]
fn signed_trailers_are_checked_with_their_own_label_in_both_line_forms() {
    let names = || Trailers::Announced(vec![HeaderName::from_static("x-amz-checksum-crc32c")]);
    let trailers = "x-amz-checksum-crc32c:wdBDMA==\n";
    for blank in ["", "\r\n"] {
        for tail in ["", "\r\n"] {
            let mut body = signed_body(&[b"hello ", b"world"], trailers, blank);
            body.extend_from_slice(tail.as_bytes());
            let mut decoder = ChunkDecoder::new(seed(), 11, names());
            let mut input = Bytes::from(body);
            let mut whole = Vec::new();
            while let Some(piece) = decoder.feed(&mut input).unwrap() {
                whole.extend_from_slice(&piece);
            }
            whole.extend_from_slice(&decoder.finish().unwrap().unwrap());
            assert_eq!(whole, b"hello world");
            assert_eq!(
                decoder.trailers(),
                [(
                    HeaderName::from_static("x-amz-checksum-crc32c"),
                    HeaderValue::from_static("wdBDMA==")
                )]
            );
        }
    }
    let refused = |body: &[u8], rule, error| {
        let (before, end) = decode(ChunkDecoder::new(seed(), 11, rule), body, 5);
        assert_eq!(end, Err(error));
        assert!(before.len() < 11);
    };
    let body = signed_body(&[b"hello world"], trailers, "");
    let text = String::from_utf8(body.clone()).unwrap();
    refused(
        text.replace("wdBDMA", "wdBDMB").as_bytes(),
        names(),
        ChunkError::Signature,
    );
    let without = text.split("x-amz-trailer-signature").next().unwrap();
    refused(without.as_bytes(), names(), ChunkError::Signature);
    let other = Trailers::Announced(vec![HeaderName::from_static("x-amz-checksum-sha1")]);
    refused(&body, other, ChunkError::Trailer);
    refused(&body, Trailers::Announced(Vec::new()), ChunkError::Trailer);
    let after = format!("{text}x-amz-meta-late:1\r\n");
    refused(after.as_bytes(), Trailers::Any, ChunkError::Trailer);
}

#[test]
fn unsigned_trailer_bodies_are_decoded_with_or_without_an_announcement() {
    let body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    for rule in [
        Trailers::Any,
        Trailers::Announced(vec![HeaderName::from_static("x-amz-checksum-crc32")]),
    ] {
        assert_eq!(
            decode(ChunkDecoder::unsigned(5, rule), body, 3).1,
            Ok(b"hello".to_vec())
        );
    }
    let empty = ChunkDecoder::unsigned(0, Trailers::Any);
    assert_eq!(decode(empty, b"0\r\n\r\n", 3).1, Ok(Vec::new()));
    let endless = [b"0\r\n".to_vec(), vec![b'a'; 20_000]].concat();
    assert_eq!(
        decode(ChunkDecoder::unsigned(0, Trailers::Any), &endless, 100).1,
        Err(ChunkError::Trailer)
    );
}

#[test]
fn announced_lengths_and_trailers_are_read_strictly() {
    let headers = |name: &'static str, text: &str| {
        HeaderMap::from_iter([(
            HeaderName::from_static(name),
            HeaderValue::from_str(text).unwrap(),
        )])
    };
    let length = |text| decoded_length(&headers("x-amz-decoded-content-length", text));
    assert_eq!(length("18446744073709551615"), Ok(u64::MAX));
    for text in ["", "-1", "+1", "1.0", "0x1", "18446744073709551616", " 1"] {
        assert_eq!(length(text), Err(ChunkError::Header), "{text:?}");
    }
    assert_eq!(
        decoded_length(&HeaderMap::new()),
        Err(ChunkError::LengthMissing)
    );

    let trailer = headers("x-amz-trailer", "x-amz-checksum-crc32 ,x-amz-meta-a,");
    let expected = Trailers::Announced(vec![
        HeaderName::from_static("x-amz-checksum-crc32"),
        HeaderName::from_static("x-amz-meta-a"),
    ]);
    assert_eq!(
        Trailers::expected(&Payload::SignedChunksTrailer, &trailer),
        Ok(expected)
    );
    assert_eq!(
        Trailers::expected(&Payload::UnsignedTrailer, &HeaderMap::new()),
        Ok(Trailers::Any)
    );
    assert_eq!(
        Trailers::expected(&Payload::SignedChunks, &trailer),
        Ok(Trailers::Forbidden)
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_neither_panic_nor_yield_more_than_was_announced(
        body in proptest::collection::vec(any::<u8>(), 0..2000),
        length in 0_u64..100,
        frame in 1_usize..100,
    ) {
        for decoder in [ChunkDecoder::unsigned(length, Trailers::Any), ChunkDecoder::new(seed(), length, Trailers::Any)] {
            let (before, _) = decode(decoder, &body, frame);
            prop_assert!(before.len() as u64 <= length);
        }
    }

    #[test]
    fn any_flipped_byte_is_noticed_before_the_last_piece_goes_on(
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        frame in 1_usize..50,
    ) {
        let mut body = signed_body(&[b"first", b"second chunk", b"third"], "x-amz-checksum-crc32:AAAAAA==\n", "");
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        let (before, end) = decode(ChunkDecoder::new(seed(), 22, Trailers::Any), &body, frame);
        match end {
            // Hex digits of a size, names of trailers and line ends have two spellings.
            Ok(whole) => prop_assert_eq!(whole, b"firstsecond chunkthird".to_vec()),
            Err(_) => prop_assert!(before.len() < 22),
        }
    }

    #[test]
    fn bodies_split_anywhere_decode_to_the_same_bytes(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..50), 0..6),
        frame in 1_usize..60,
    ) {
        let parts: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let body = signed_body(&parts, "", "");
        let whole = chunks.concat();
        let (before, end) = decode(ChunkDecoder::new(seed(), whole.len() as u64, Trailers::Any), &body, frame);
        prop_assert_eq!(end, Ok(whole.clone()));
        prop_assert!(whole.is_empty() || before.len() < whole.len());
    }
}
