//! Bodies on their way to the provider.

use bascule_sigv4::Payload;

use crate::harness::{Ask, Chunker, World, chunked, crc32, hex, load, sha256};

#[tokio::test]
async fn r24_a_literal_hash_is_checked_in_passing() {
    let world = World::new().await;
    let body = vec![7; 300_000];
    let right = world
        .ask("PUT", "/photos/a")
        .body(body.clone())
        .payload(Payload::Literal(sha256(&body)));
    assert_eq!(world.send(&right).await.status, 200);
    let seen = world.provider.only();
    assert!(seen.complete && seen.body == body);
    assert_eq!(
        seen.header("x-amz-content-sha256"),
        Some(hex(&sha256(&body)).as_str())
    );
    assert_eq!(seen.header("content-length"), Some("300000"));
}

#[tokio::test]
async fn r24_a_wrong_literal_hash_never_hands_over_the_last_frame() {
    let world = World::new().await;
    let body = vec![7; 300_000];
    let wrong = world
        .ask("PUT", "/photos/a")
        .body(body)
        .payload(Payload::Literal([1; 32]));
    let reply = world.send(&wrong).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "XAmzContentSHA256Mismatch")
    );
    let seen = world.provider.only();
    assert!(!seen.complete && seen.body.len() < 300_000);

    let empty = world
        .ask("PUT", "/photos/b")
        .announce(0)
        .payload(Payload::Literal([1; 32]));
    assert_eq!(world.send(&empty).await.code(), "XAmzContentSHA256Mismatch");
    assert_eq!(
        world.provider.requests(),
        1,
        "an empty body has no last frame to hold back"
    );
}

#[tokio::test]
async fn r35_an_empty_object_keeps_its_length() {
    let world = World::new().await;
    assert_eq!(
        world
            .send(&world.ask("PUT", "/photos/a").announce(0))
            .await
            .status,
        200
    );
    let seen = world.provider.only();
    assert!(seen.complete);
    assert_eq!(seen.header("content-length"), Some("0"));
}

#[tokio::test]
async fn r34_a_body_without_length_passes_through() {
    let world = World::new().await;
    let mut ask = world
        .ask("PUT", "/photos/a")
        .payload(Payload::Unsigned)
        .header("transfer-encoding", "chunked");
    ask.body = b"5\r\nhello\r\n0\r\n\r\n".to_vec();
    assert_eq!(world.send(&ask).await.status, 200);
    let seen = world.provider.only();
    assert_eq!(
        (seen.body.as_slice(), seen.header("content-length")),
        (b"hello".as_slice(), None)
    );
}

#[tokio::test]
async fn r25_the_unsigned_trailer_form_passes_as_it_is() {
    let world = World::new().await;
    let framed = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    let ask = chunked(&world, Payload::UnsignedTrailer, 5)
        .header("x-amz-trailer", "x-amz-checksum-crc32");
    assert_eq!(world.send(&load(ask, framed.to_vec())).await.status, 200);
    let seen = world.provider.only();
    assert_eq!(seen.body, framed);
    for (name, value) in [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("x-amz-decoded-content-length", "5"),
        ("content-encoding", "gzip,aws-chunked"),
    ] {
        assert_eq!(seen.header(name), Some(value));
    }
}

#[tokio::test]
async fn r27_signed_chunks_arrive_decoded() {
    let world = World::new().await;
    let ask = chunked(&world, Payload::SignedChunks, 100_000);
    let body = Chunker::new(&world, &ask)
        .chunk(&[1; 65_536])
        .chunk(&[2; 34_464])
        .chunk(&[])
        .end();
    let reply = world.send(&load(ask, body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = world.provider.only();
    assert!(seen.complete && seen.body.len() == 100_000 && seen.body[99_999] == 2);
    assert_eq!(seen.header("content-length"), Some("100000"));
    assert_eq!(seen.header("content-encoding"), Some("gzip"));
    assert_eq!(
        seen.header("x-amz-content-sha256"),
        Some("UNSIGNED-PAYLOAD")
    );
}

#[tokio::test]
async fn a6_a_wrong_or_absent_final_chunk_commits_nothing() {
    let world = World::new().await;
    let ask = chunked(&world, Payload::SignedChunks, 100_000);
    let good = || {
        Chunker::new(&world, &ask)
            .chunk(&[1; 65_536])
            .chunk(&[2; 34_464])
    };
    let mut wrong_final = good().chunk(&[]).end();
    let at = wrong_final.len() - 5;
    wrong_final[at] = if wrong_final[at] == b'0' { b'1' } else { b'0' };
    let mut wrong_middle = good().chunk(&[]).end();
    wrong_middle[50_000] = 9;
    for (body, code) in [
        (wrong_final, "SignatureDoesNotMatch"),
        (wrong_middle, "SignatureDoesNotMatch"),
        (good().body, "IncompleteBody"),
    ] {
        let reply = world.send(&load(ask.clone(), body)).await;
        assert_eq!(reply.code(), code);
    }
    assert!(
        world
            .provider
            .seen()
            .iter()
            .all(|seen| !seen.complete && seen.body.len() < 100_000)
    );
}

#[tokio::test]
async fn an_empty_chunked_upload_is_checked_before_it_is_sent() {
    let world = World::new().await;
    let ask = chunked(&world, Payload::SignedChunks, 0);
    let body = Chunker::new(&world, &ask).chunk(&[]).end();
    let mut wrong = body.clone();
    let at = wrong.len() - 5;
    wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
    assert_eq!(
        world.send(&load(ask.clone(), wrong)).await.code(),
        "SignatureDoesNotMatch"
    );
    assert_eq!(world.provider.requests(), 0);
    assert_eq!(world.send(&load(ask, body)).await.status, 200);
    assert_eq!(world.provider.only().header("content-length"), Some("0"));
}

#[tokio::test]
async fn r28_signed_chunks_with_a_trailer_keep_their_checksum() {
    let world = World::new().await;
    let data = vec![3; 1_500_000];
    let ask = chunked(&world, Payload::SignedChunksTrailer, data.len())
        .header("x-amz-trailer", "x-amz-checksum-crc32");
    let signed = |value: &str| {
        let mut chunker = Chunker::new(&world, &ask);
        for piece in data.chunks(65_536) {
            chunker = chunker.chunk(piece);
        }
        chunker.chunk(&[]).trailer("x-amz-checksum-crc32", value)
    };
    let reply = world.send(&load(ask.clone(), signed(&crc32(&data)))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = world.provider.only();
    assert_eq!(
        seen.header("x-amz-content-sha256"),
        Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    );
    assert_eq!(
        seen.header("content-length").unwrap(),
        seen.body.len().to_string()
    );
    let mut expected = b"100000\r\n".to_vec();
    expected.extend_from_slice(&data[..1_048_576]);
    expected.extend_from_slice(format!("\r\n{:x}\r\n", 1_500_000 - 1_048_576).as_bytes());
    expected.extend_from_slice(&data[1_048_576..]);
    let end = format!("\r\n0\r\nx-amz-checksum-crc32:{}\r\n\r\n", crc32(&data));
    expected.extend_from_slice(end.as_bytes());
    assert!(seen.body == expected);

    let mut forged = signed(&crc32(&data));
    let at = forged.len() - 6;
    forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
    assert_eq!(
        world.send(&load(ask, forged)).await.code(),
        "SignatureDoesNotMatch"
    );
    assert!(!world.provider.seen()[1].complete);
}

#[tokio::test]
async fn a7_a_missing_decoded_length_is_refused_before_anything_is_sent() {
    let world = World::new().await;
    let ask = world.ask("PUT", "/photos/a").payload(Payload::SignedChunks);
    let reply = world
        .send(&load(ask, b"0;chunk-signature=x\r\n\r\n".to_vec()))
        .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (411, "MissingContentLength")
    );
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn r37_a_bulk_delete_forwards_the_same_bytes() {
    let world = World::new().await;
    let body = "<?xml version=\"1.0\"?>\n<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet><Object><Key>a&amp;b&#13;</Key><VersionId>v</VersionId></Object></Delete>";
    let ask = world
        .ask("POST", "/photos")
        .query("delete", "")
        .header("content-md5", "abc=")
        .body(body);
    assert_eq!(world.send(&ask).await.status, 200);
    let seen = world.provider.only();
    assert_eq!(seen.body, body.as_bytes());
    assert_eq!(seen.header("content-md5"), Some("abc="));
}

/// Trailers are read after the permit was given: none of them may become a header of the request
/// upstream but a checksum, whichever way the body is framed.
#[tokio::test]
async fn no_trailer_becomes_a_header_that_nobody_permitted() {
    let world = World::new().await;
    let hostile = [
        ("x-amz-copy-source", "/private/secret"),
        ("x-amz-acl", "public-read"),
        ("x-amz-bypass-governance-retention", "true"),
        ("transfer-encoding", "chunked"),
        ("x-amz-meta-owner", "somebody"),
    ];
    for (name, value) in hostile {
        for announced in [true, false] {
            let announce = |ask: Ask| match announced {
                true => ask.header("x-amz-trailer", name),
                false => ask,
            };
            for data in [&b""[..], b"hello"] {
                let ask = announce(chunked(&world, Payload::SignedChunksTrailer, data.len()));
                let mut chunker = Chunker::new(&world, &ask);
                if !data.is_empty() {
                    chunker = chunker.chunk(data);
                }
                let body = chunker.chunk(&[]).trailer(name, value);
                let reply = world.send(&load(ask, body)).await;
                if data.is_empty() || announced {
                    assert!(
                        reply.status >= 400,
                        "{name}, announced: {announced}: {}",
                        reply.text()
                    );
                }
            }
            let objects = b"<Delete><Object><Key>a</Key></Object></Delete>";
            let framed = [
                format!("{:x}\r\n", objects.len()).as_bytes(),
                objects,
                format!("\r\n0\r\n{name}:{value}\r\n\r\n").as_bytes(),
            ]
            .concat();
            let ask = announce(
                world
                    .ask("POST", "/photos")
                    .query("delete", "")
                    .payload(Payload::UnsignedTrailer)
                    .header("x-amz-decoded-content-length", &objects.len().to_string()),
            );
            let reply = world.send(&load(ask, framed)).await;
            assert!(
                reply.status >= 400,
                "{name}, announced: {announced}: {}",
                reply.text()
            );
        }
        for seen in world.provider.seen() {
            assert_eq!(seen.header(name), None, "{name} reached the provider");
        }
    }
}
