//! Trailers: kept where the provider takes them, compared here where it does not.

use bascule_sigv4::Payload;

use crate::harness::{CONNECTION, Chunker, Script, World, access, chunked, crc32, load};

const CRC32: &str = "x-amz-checksum-crc32";

/// Of `hello`, and of as many bytes as the algorithm has where it is not computed here.
const SUMS: &[(&str, &str)] = &[
    (CRC32, "NhCmhg=="),
    ("x-amz-checksum-crc32c", "mnG7TA=="),
    ("x-amz-checksum-crc64nvme", "M3eFcAZSQlc="),
    ("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
    (
        "x-amz-checksum-sha256",
        "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
    ),
    (
        "x-amz-checksum-sha512",
        "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==",
    ),
    ("x-amz-checksum-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
    ("x-amz-checksum-xxhash64", "AAAAAAAAAAA="),
    ("x-amz-checksum-xxhash3", "AAAAAAAAAAA="),
    ("x-amz-checksum-xxhash128", "AAAAAAAAAAAAAAAAAAAAAA=="),
];

fn unsigned(data: &str, name: &str, value: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n0\r\n{name}:{value}\r\n\r\n", data.len()).into_bytes()
}

#[tokio::test]
async fn r28_r29_every_signed_trailer_is_framed_anew_under_a_known_length() {
    let world = World::new().await;
    for &(name, value) in SUMS {
        let ask = chunked(&world, Payload::SignedChunksTrailer, 5).header("x-amz-trailer", name);
        let body = Chunker::new(&world, &ask)
            .chunk(b"hello")
            .chunk(&[])
            .trailer(name, value);
        let reply = world.send(&load(ask, body)).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.body, unsigned("hello", name, value), "{name}");
        for (header, expected) in [
            ("content-length", seen.body.len().to_string().as_str()),
            ("x-amz-trailer", name),
            ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            ("x-amz-decoded-content-length", "5"),
        ] {
            assert_eq!(seen.header(header), Some(expected), "{name}");
        }
    }
}

#[tokio::test]
async fn r29_an_unknown_checksum_passes_without_a_length() {
    let world = World::new().await;
    let name = "x-amz-checksum-future";
    let ask = chunked(&world, Payload::SignedChunksTrailer, 5).header("x-amz-trailer", name);
    let body = Chunker::new(&world, &ask)
        .chunk(b"hello")
        .chunk(&[])
        .trailer(name, "anything");
    assert_eq!(world.send(&load(ask, body)).await.status, 200);
    let seen = world.provider.only();
    assert_eq!(seen.body, unsigned("hello", name, "anything"));
    assert_eq!(seen.header("content-length"), None);
}

#[tokio::test]
async fn r31_a_signed_trailer_that_nobody_announced_becomes_the_header_of_its_checksum() {
    let world = World::new().await;
    for &(name, value) in SUMS {
        let ask = chunked(&world, Payload::SignedChunksTrailer, 5);
        let body = Chunker::new(&world, &ask)
            .chunk(b"hello")
            .chunk(&[])
            .trailer(name, value);
        let reply = world.send(&load(ask, body)).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.body, b"hello");
        assert_eq!(seen.header(name), Some(value));
        assert_eq!(seen.header("content-encoding"), Some("gzip"));
    }
}

#[tokio::test]
async fn r31_the_sdks_own_header_announces_a_trailer_as_well() {
    let world = World::new().await;
    let ask = chunked(&world, Payload::SignedChunksTrailer, 5)
        .header("x-amz-sdk-checksum-algorithm", "CRC32");
    let body = |value: &str| {
        Chunker::new(&world, &ask)
            .chunk(b"hello")
            .chunk(&[])
            .trailer(CRC32, value)
    };
    let reply = world.send(&load(ask.clone(), body("NhCmhg=="))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = world.provider.only();
    assert_eq!(seen.body, unsigned("hello", CRC32, "NhCmhg=="));
    assert_eq!(seen.header("x-amz-trailer"), Some(CRC32));
}

#[tokio::test]
async fn r31_a_long_body_with_a_trailer_that_nobody_announced_is_compared_here() {
    let world = World::new().await;
    let data = vec![5; 1_500_000];
    let ask = chunked(&world, Payload::SignedChunksTrailer, data.len());
    let body = |value: &str| {
        let mut chunker = Chunker::new(&world, &ask);
        for piece in data.chunks(65_536) {
            chunker = chunker.chunk(piece);
        }
        chunker.chunk(&[]).trailer(CRC32, value)
    };
    let reply = world.send(&load(ask.clone(), body(&crc32(&data)))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = world.provider.only();
    assert!(seen.complete && seen.body == data);
    let reply = world.send(&load(ask.clone(), body("AAAAAA=="))).await;
    assert_eq!((reply.status, reply.code().as_str()), (400, "BadDigest"));
    assert!(!world.provider.seen()[1].complete);
}

#[tokio::test]
async fn a8_a_wrong_or_strange_trailer_is_refused_whichever_way_the_body_goes() {
    let world = World::new().await;
    let cases = [
        (CRC32, CRC32, "AAAAAA==", "BadDigest"),
        (CRC32, CRC32, "AAAA", "InvalidRequest"),
        (
            CRC32,
            "x-amz-checksum-crc32c",
            "mnG7TA==",
            "MalformedTrailerError",
        ),
        ("", CRC32, "AAAAAA==", "BadDigest"),
        ("", "x-amz-copy-source", "/a/b", "MalformedTrailerError"),
    ];
    for trailers_taken in [true, false] {
        if !trailers_taken {
            world.provider.script(no_trailers());
            let ask = chunked(&world, Payload::UnsignedTrailer, 5).header("x-amz-trailer", CRC32);
            let right = load(ask, unsigned("hello", CRC32, "NhCmhg=="));
            assert_eq!(world.send(&right).await.status, 503);
        }
        for (announced, name, value, code) in cases {
            let before = world.provider.seen().len();
            for payload in [Payload::UnsignedTrailer, Payload::SignedChunksTrailer] {
                let mut ask = chunked(&world, payload, 5);
                if !announced.is_empty() {
                    ask = ask.header("x-amz-trailer", announced);
                }
                let body = if payload == Payload::UnsignedTrailer {
                    unsigned("hello", name, value)
                } else {
                    Chunker::new(&world, &ask)
                        .chunk(b"hello")
                        .chunk(&[])
                        .trailer(name, value)
                };
                let reply = world.send(&load(ask, body)).await;
                assert_eq!(reply.code(), code, "{payload:?} {announced} {name} {value}");
            }
            world.idle().await;
            let after = world.provider.seen();
            assert!(after[before..].iter().all(|seen| !seen.complete));
        }
    }
}

#[tokio::test]
async fn a7_unsigned_framing_is_read_along_and_refused_when_it_is_wrong() {
    let world = World::new().await;
    for body in [
        &b"4\r\nhell\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"[..],
        b"6\r\nhello!\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n",
        b"5\r\nhello\r\n",
        b"hello",
        b"5;chunk-signature=0\r\nhello\r\n0\r\n\r\n",
    ] {
        let ask = chunked(&world, Payload::UnsignedTrailer, 5).header("x-amz-trailer", CRC32);
        let reply = world.send(&load(ask, body.to_vec())).await;
        assert_eq!(reply.status, 400, "{}", String::from_utf8_lossy(body));
    }
    world.idle().await;
    assert!(world.provider.seen().iter().all(|seen| !seen.complete));
}

fn no_trailers() -> Script {
    Script::new(
        501,
        "<Error><Code>NotImplemented</Code><Message>STREAMING-UNSIGNED-PAYLOAD-TRAILER not implemented</Message></Error>",
    )
}

#[tokio::test]
async fn r26_a_provider_without_trailers_gets_plain_bodies_that_were_compared_here() {
    let world = World::new().await;
    let put = |value: &str| {
        let ask = chunked(&world, Payload::UnsignedTrailer, 5)
            .header("x-amz-trailer", CRC32)
            .header("x-amz-sdk-checksum-algorithm", "CRC32");
        load(ask, unsigned("hello", CRC32, value))
    };
    world.provider.script(no_trailers());
    let reply = world.send(&put("NhCmhg==")).await;
    assert_eq!(reply.status, 503, "tools repeat it");
    assert!(
        reply
            .header("x-amz-request-id")
            .unwrap()
            .starts_with("PROVIDER-TRAILERS-")
    );
    let reply = world.send(&put("NhCmhg==")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = world.provider.seen().pop().unwrap();
    assert_eq!(seen.body, b"hello");
    for (name, expected) in [
        ("content-length", Some("5")),
        ("x-amz-content-sha256", Some("UNSIGNED-PAYLOAD")),
        ("content-encoding", Some("gzip")),
        ("x-amz-trailer", None),
        ("x-amz-decoded-content-length", None),
        ("x-amz-sdk-checksum-algorithm", None),
    ] {
        assert_eq!(seen.header(name), expected, "{name}");
    }
    assert_eq!(world.send(&put("AAAAAA==")).await.code(), "BadDigest");
    assert!(!world.provider.seen()[2].complete);

    // An empty body has no last byte to hold back.
    let empty = chunked(&world, Payload::UnsignedTrailer, 0).header("x-amz-trailer", CRC32);
    let body = |value: &str| format!("0\r\n{CRC32}:{value}\r\n\r\n").into_bytes();
    let wrong = load(empty.clone(), body("NhCmhg=="));
    assert_eq!(world.send(&wrong).await.code(), "BadDigest");
    assert_eq!(world.provider.requests(), 3);
    assert_eq!(world.send(&load(empty, body("AAAAAA=="))).await.status, 200);

    // What can neither be sent nor compared is refused before anything is sent.
    let name = "x-amz-checksum-xxhash3";
    let ask = chunked(&world, Payload::UnsignedTrailer, 5).header("x-amz-trailer", name);
    let ask = load(ask, unsigned("hello", name, "AAAAAAAAAAA="));
    assert_eq!(world.send(&ask).await.status, 501);
    assert_eq!(world.provider.requests(), 4);

    // A new way to the provider is tried anew.
    world
        .keyring
        .swap_credentials(CONNECTION, access("NEWKEY", 2))
        .unwrap();
    assert_eq!(world.send(&put("NhCmhg==")).await.status, 200);
    let seen = world.provider.seen().pop().unwrap();
    assert_eq!(seen.header("x-amz-trailer"), Some(CRC32));
}

#[tokio::test]
async fn r26_a_provider_that_took_a_trailer_is_not_thought_to_refuse_them_later() {
    let world = World::new().await;
    let ask = chunked(&world, Payload::UnsignedTrailer, 5).header("x-amz-trailer", CRC32);
    let put = load(ask, unsigned("hello", CRC32, "NhCmhg=="));
    assert_eq!(world.send(&put).await.status, 200);
    world.provider.script(no_trailers());
    let reply = world.send(&put).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (501, "NotImplemented")
    );
    assert_eq!(world.send(&put).await.status, 200);
    let seen = world.provider.seen().pop().unwrap();
    assert_eq!(seen.header("x-amz-trailer"), Some(CRC32));
}

#[tokio::test]
async fn a_checksum_in_the_head_is_forwarded() {
    let world = World::new().await;
    let ask = world
        .ask("PUT", "/photos/a")
        .header(CRC32, "NhCmhg==")
        .body("hello");
    assert_eq!(world.send(&ask).await.status, 200);
    assert_eq!(world.provider.only().header(CRC32), Some("NhCmhg=="));
}
