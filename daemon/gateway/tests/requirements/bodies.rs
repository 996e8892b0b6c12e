//! Requirements 25 and 29 to 37: bodies in pieces, bodies of known form, and bodies that are refused.

use bascule_domain::key::Permission;
use bascule_gateway::Settings;
use bascule_sigv4::Payload;

use crate::{
    hand::Hand,
    harness::{Ask, Chunker, Script, World, chunked, hex, key, load, refused, sha256},
};

const FORMS: [Payload; 3] = [
    Payload::UnsignedTrailer,
    Payload::SignedChunks,
    Payload::SignedChunksTrailer,
];

#[tokio::test]
async fn r25_a_framed_body_is_announced_as_the_client_announced_it() {
    let world = World::new().await;
    let framed = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";
    for (method, query) in [
        ("PUT", &[][..]),
        ("PUT", &[("partNumber", "1"), ("uploadId", "u")]),
    ] {
        for encoding in [None, Some("aws-chunked"), Some("gzip, aws-chunked")] {
            let mut ask = world
                .ask(method, "/photos/a")
                .payload(Payload::UnsignedTrailer)
                .header("x-amz-decoded-content-length", "5")
                .header("x-amz-trailer", "x-amz-checksum-crc32")
                .header("x-amz-sdk-checksum-algorithm", "CRC32");
            for (name, value) in query {
                ask = ask.query(name, value);
            }
            if let Some(encoding) = encoding {
                ask = ask.header("content-encoding", encoding);
            }
            let reply = world.send(&load(ask, framed.to_vec())).await;
            assert_eq!(reply.status, 200, "{query:?}: {}", reply.text());
            let seen = world.provider.seen().pop().unwrap();
            assert_eq!(seen.body, framed);
            for (name, value) in [
                ("content-encoding", encoding),
                (
                    "x-amz-content-sha256",
                    Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
                ),
                ("x-amz-decoded-content-length", Some("5")),
                ("x-amz-trailer", Some("x-amz-checksum-crc32")),
                ("x-amz-sdk-checksum-algorithm", Some("CRC32")),
            ] {
                assert_eq!(seen.header(name), value, "{query:?} {encoding:?}");
            }
        }
    }
}

#[tokio::test]
async fn r29_checksums_of_every_algorithm_pass() {
    let world = World::new().await;
    for (name, value) in [
        ("x-amz-checksum-crc32", "NhCmhg=="),
        ("x-amz-checksum-crc32c", "mnG7TA=="),
        ("x-amz-checksum-crc64nvme", "M3eFcAZSQlc="),
        ("x-amz-checksum-sha1", "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
        (
            "x-amz-checksum-sha256",
            "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        ),
        // Not known here: the provider decides.
        ("x-amz-checksum-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
        ("x-amz-checksum-xxhash64", "JsdIxfb9jrM="),
    ] {
        let framed = format!("5\r\nhello\r\n0\r\n{name}:{value}\r\n\r\n");
        let ask = chunked(&world, Payload::UnsignedTrailer, 5).header("x-amz-trailer", name);
        let reply = world.send(&load(ask, framed.clone().into_bytes())).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.body, framed.as_bytes(), "{name}");
        assert_eq!(seen.header("x-amz-trailer"), Some(name));

        let ask = chunked(&world, Payload::SignedChunksTrailer, 5).header("x-amz-trailer", name);
        let body = Chunker::new(&world, &ask)
            .chunk(b"hello")
            .chunk(b"")
            .trailer(name, value);
        let reply = world.send(&load(ask, body)).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.body, framed.as_bytes(), "{name}");

        let put = world
            .ask("PUT", "/photos/a")
            .header(name, value)
            .body("hello");
        assert_eq!(world.send(&put).await.status, 200, "{name}");
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.header(name), Some(value));
    }
}

#[tokio::test]
async fn r30_trailers_may_end_in_both_ways_and_chunks_may_be_tiny() {
    let world = World::new().await;
    let trailer = "x-amz-checksum-crc32:NhCmhg==";
    let ask = chunked(&world, Payload::SignedChunksTrailer, 5)
        .header("x-amz-trailer", "x-amz-checksum-crc32");
    let chunks = || {
        let mut chunker = Chunker::new(&world, &ask);
        for byte in b"hello" {
            chunker = chunker.chunk(&[*byte]);
        }
        chunker.chunk(b"")
    };
    let signed = String::from_utf8(chunks().trailer("x-amz-checksum-crc32", "NhCmhg==")).unwrap();
    let bare = String::from_utf8(chunks().body).unwrap();
    let (_, signature) = signed.rsplit_once("x-amz-trailer-signature:").unwrap();
    let signature = signature.trim_end();
    for end in [
        format!("{trailer}\r\nx-amz-trailer-signature:{signature}\r\n\r\n"),
        format!("{trailer}\n\r\n\r\nx-amz-trailer-signature:{signature}\n\r\n\r\n"),
        format!("{trailer}\n\r\nx-amz-trailer-signature:{signature}\r\n\r\n\r\n"),
    ] {
        let reply = world
            .send(&load(ask.clone(), format!("{bare}{end}").into_bytes()))
            .await;
        assert_eq!(reply.status, 200, "{end:?}: {}", reply.text());
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(
            seen.body,
            format!("5\r\nhello\r\n0\r\n{trailer}\r\n\r\n").as_bytes()
        );
    }
}

#[tokio::test]
async fn r30_a_chunks_head_is_short_and_its_size_has_64_bits() {
    let world = World::new().await;
    let signature = "0".repeat(64);
    for (head, code) in [
        // As long as it may be, but nothing signed it.
        (
            format!("5;chunk-signature={signature}\r\n"),
            "SignatureDoesNotMatch",
        ),
        (format!("5;{}\r\n", "x".repeat(1024)), "InvalidRequest"),
        (
            format!("fffffffffffffffff;chunk-signature={signature}\r\n"),
            "InvalidRequest",
        ),
        (
            format!("ffffffffffffffff;chunk-signature={signature}\r\n"),
            "IncompleteBody",
        ),
        (
            format!("-5;chunk-signature={signature}\r\n"),
            "InvalidRequest",
        ),
        (
            format!("0x5;chunk-signature={signature}\r\n"),
            "InvalidRequest",
        ),
    ] {
        let ask = chunked(&world, Payload::SignedChunks, 5);
        let reply = world
            .send(&load(ask, format!("{head}hello\r\n").into_bytes()))
            .await;
        assert_eq!(reply.code(), code, "{head}: {}", reply.text());
    }
    assert!(world.provider.seen().iter().all(|seen| !seen.complete));
}

#[tokio::test]
async fn r32_the_framing_leaves_the_content_encoding_only_when_it_is_decoded() {
    let world = World::new().await;
    for (sent, left) in [
        ("gzip,aws-chunked", Some("gzip")),
        ("aws-chunked, gzip", Some("gzip")),
        ("AWS-Chunked", None),
        ("aws-chunked,gzip,aws-chunked", Some("gzip")),
    ] {
        let ask = world
            .ask("PUT", "/photos/a")
            .payload(Payload::SignedChunks)
            .header("content-encoding", sent)
            .header("x-amz-decoded-content-length", "5");
        let body = Chunker::new(&world, &ask).chunk(b"hello").chunk(b"").end();
        assert_eq!(world.send(&load(ask, body)).await.status, 200);
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.header("content-encoding"), left, "{sent}");
        assert_eq!(seen.header("x-amz-decoded-content-length"), None);

        let whole = world
            .ask("PUT", "/photos/a")
            .header("content-encoding", sent)
            .body("hello");
        assert_eq!(world.send(&whole).await.status, 200);
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.header("content-encoding"), Some(sent), "not decoded");
    }
}

#[tokio::test]
async fn r33_a_framed_body_says_how_long_it_is_decoded() {
    let world = World::new().await;
    for payload in FORMS {
        let ask = world.ask("PUT", "/photos/a").payload(payload);
        let missing = load(ask.clone(), b"0\r\n\r\n".to_vec());
        refused(&world, &missing, 411, "MissingContentLength").await;
        for wrong in ["-1", "+5", "5x", "18446744073709551616", ""] {
            let ask = ask.clone().header("x-amz-decoded-content-length", wrong);
            let ask = load(ask, b"0\r\n\r\n".to_vec());
            refused(&world, &ask, 400, "InvalidArgument").await;
        }
    }
    for announced in [4, 6] {
        let ask = chunked(&world, Payload::SignedChunks, announced);
        let body = Chunker::new(&world, &ask).chunk(b"hello").chunk(b"").end();
        let reply = world.send(&load(ask, body)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "IncompleteBody")
        );
    }
    assert!(world.provider.seen().iter().all(|seen| !seen.complete));
}

#[tokio::test]
async fn r34_the_provider_judges_a_body_without_length() {
    let world = World::new().await;
    for (status, code) in [(501, "NotImplemented"), (411, "MissingContentLength")] {
        world.provider.script(Script::new(
            status,
            format!("<Error><Code>{code}</Code></Error>"),
        ));
        let mut ask = world
            .ask("PUT", "/photos/a")
            .payload(Payload::Literal(sha256(b"hello")))
            .header("transfer-encoding", "chunked");
        ask.body = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n".to_vec();
        let reply = world.send(&ask).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.body, b"hello");
        assert_eq!(seen.header("content-length"), None);
    }
}

#[tokio::test]
async fn r34_a_body_that_was_signed_and_not_sent_lacks_its_length() {
    let world = World::new().await;
    for payload in [Payload::Literal([1; 32]), Payload::SignedChunks] {
        let ask = world.ask("PUT", "/photos/a").payload(payload);
        refused(&world, &ask, 411, "MissingContentLength").await;
    }
    // Tools that store nothing at all leave the length out.
    for payload in [Payload::EMPTY, Payload::Unsigned] {
        let ask = world.ask("PUT", "/photos/a").payload(payload);
        assert_eq!(world.send(&ask).await.status, 200);
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.header("content-length"), Some("0"));
    }
}

#[tokio::test]
async fn r35_no_body_has_a_length_where_one_is_expected() {
    let world = World::new().await;
    let copy = world
        .ask("PUT", "/photos/b")
        .header("x-amz-copy-source", "/photos/a");
    for ask in [
        world.ask("PUT", "/photos/a").announce(0),
        world
            .ask("POST", "/photos/a")
            .query("uploads", "")
            .announce(0),
        world.ask("POST", "/photos/a").query("uploads", ""),
        copy,
        world
            .ask("PUT", "/photos/a")
            .query("partNumber", "1")
            .query("uploadId", "u")
            .announce(0),
        world
            .ask("POST", "/photos/a")
            .query("restore", "")
            .announce(0),
    ] {
        assert_eq!(world.send(&ask).await.status, 200);
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.header("content-length"), Some("0"), "{}", seen.uri);
        assert!(seen.complete && seen.body.is_empty());
    }
    for method in ["GET", "HEAD", "DELETE"] {
        world.send(&world.ask(method, "/photos/a")).await;
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.header("content-length"), None, "{method}");
    }
}

#[tokio::test]
async fn r36_browser_forms_are_not_supported_and_their_bodies_not_read() {
    let world = World::new().await;
    for path in ["/photos", "/photos/", "/"] {
        for kind in ["multipart/form-data; boundary=x", "Multipart/Form-Data"] {
            let mut client = world.dial().await;
            let form = Hand::new(&world, "POST", path)
                .without("x-amz-date")
                .unsigned("content-type", kind)
                .unsigned("content-length", "100000")
                .unsigned("expect", "100-continue");
            client.write(&form.raw(None)).await;
            let reply = client.reply(false).await.unwrap();
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (501, "NotImplemented")
            );
            assert!(reply.text().contains("POST form"), "{}", reply.text());
        }
    }
    // A form stays a form when it is signed as well.
    let signed = world
        .ask("POST", "/photos")
        .header("content-type", "multipart/form-data; boundary=x")
        .body("--x--");
    refused(&world, &signed, 501, "NotImplemented").await;
}

fn bulk(world: &World, body: &str) -> Ask {
    world.ask("POST", "/photos").query("delete", "").body(body)
}

#[tokio::test]
async fn r37_each_object_of_a_bulk_delete_is_checked() {
    let mut limited = key(1, Permission::ReadWrite);
    limited.scope.prefixes = vec!["in/".parse().unwrap(), "tmp/".parse().unwrap()];
    let world = World::with(limited, Settings::default()).await;
    for foreign in [
        "out/a",
        "in",
        "IN/a",
        "in%2Fa",
        "",
        "/in/a",
        "&#105;n",
        "in&#47;..&#47;a",
    ] {
        let body = format!(
            "<Delete><Object><Key>in/a</Key></Object><Object><Key>{foreign}</Key></Object></Delete>"
        );
        let (status, code) = match foreign {
            "" => (400, "MalformedXML"),
            _ => (403, "AccessDenied"),
        };
        refused(&world, &bulk(&world, &body), status, code).await;
    }
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n <Object><Key>in/&#x61;&lt;</Key><VersionId>null</VersionId><ETag>e</ETag></Object>\n <Object><Key>tmp/b</Key></Object><Quiet>true</Quiet></Delete>";
    assert_eq!(world.send(&bulk(&world, body)).await.status, 200);
    assert_eq!(
        world.provider.only().body,
        body.as_bytes(),
        "the same bytes"
    );
}

#[tokio::test]
async fn r37_a_bulk_delete_is_read_strictly_and_to_two_mebibytes() {
    let world = World::new().await;
    let object = |count: usize| "<Object><Key>a</Key></Object>".repeat(count);
    for body in [
        format!("<Delete>{}</Delete>", object(1001)),
        "<Delete></Delete>".into(),
        "<delete><Object><Key>a</Key></Object></delete>".into(),
        "<Delete><Object><Key a=\"b\">a</Key></Object></Delete>".into(),
        "<Delete><Object><Key>a<b/></Key></Object></Delete>".into(),
        "<Delete><Object><Key>&lol;</Key></Object></Delete>".into(),
        "<Delete><Object><Key>a</Key></Object><Object/></Delete>".into(),
        "{\"Delete\": []}".into(),
    ] {
        refused(&world, &bulk(&world, &body), 400, "MalformedXML").await;
    }
    let padded = |length: usize| {
        let body = format!("<Delete>{}", object(1));
        let rest = length - body.len() - "</Delete>".len();
        format!("{body}{}</Delete>", " ".repeat(rest))
    };
    let long = bulk(&world, &padded(2 * 1024 * 1024 + 1));
    refused(&world, &long, 400, "MaxMessageLengthExceeded").await;
    assert_eq!(
        world
            .send(&bulk(&world, &padded(2 * 1024 * 1024)))
            .await
            .status,
        200
    );
    let most = format!("<Delete>{}</Delete>", object(1000));
    assert_eq!(world.send(&bulk(&world, &most)).await.status, 200);
}

#[tokio::test]
async fn r37_checksums_of_a_bulk_delete_hold_upstream() {
    let world = World::new().await;
    let body = "<Delete><Object><Key>a</Key></Object></Delete>";
    let literal = bulk(&world, body)
        .payload(Payload::Literal(sha256(body.as_bytes())))
        .header("content-md5", "XrY7u+Ae7tCTyyK7j1rNww==")
        .header("x-amz-checksum-crc32", "NhCmhg==")
        .header("x-amz-sdk-checksum-algorithm", "CRC32");
    assert_eq!(world.send(&literal).await.status, 200);
    let seen = world.provider.only();
    assert_eq!(seen.body, body.as_bytes());
    for (name, value) in [
        ("content-md5", "XrY7u+Ae7tCTyyK7j1rNww=="),
        ("x-amz-checksum-crc32", "NhCmhg=="),
        ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ("x-amz-content-sha256", &hex(&sha256(body.as_bytes()))),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    // The hash that was signed is checked before anything is sent.
    let other = bulk(&world, body).payload(Payload::Literal([1; 32]));
    let reply = world.send(&other).await;
    assert_eq!(reply.code(), "XAmzContentSHA256Mismatch");
    assert_eq!(world.provider.requests(), 1);
}
