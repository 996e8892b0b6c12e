//! Heads that two readers could frame differently, on a raw socket (threats.md A17, H3).

use crate::harness::{Client, World};

/// A request that must be refused, sent whole and byte by byte; after it comes one that would
/// succeed, and must never be read.
async fn unsound(world: &World, request: &str, status: u16) {
    let smuggled = world.ask("GET", "/photos/smuggled").wire(world);
    for pieces in [1, 3, request.len()] {
        let mut client = world.dial().await;
        let wire = [request.as_bytes(), &smuggled].concat();
        for piece in wire.chunks(wire.len().div_ceil(pieces)) {
            client.try_write(piece).await;
        }
        let reply = client.reply(request.starts_with("HEAD ")).await;
        let reply = reply.unwrap_or_else(|| panic!("{request:?} was not answered"));
        assert_eq!(reply.status, status, "{request:?}");
        assert_eq!(reply.header("connection"), Some("close"), "{request:?}");
        let id = reply.header("x-amz-request-id").unwrap();
        assert!(id.starts_with("NOT-VALID-"), "{request:?}: {id}");
        assert!(client.ends().await);
        assert!(client.read.is_empty(), "{request:?} had a second answer");
    }
    assert_eq!(world.provider.requests(), 0, "{request:?}");
}

/// A signed PUT with further lines in its head, and a body of 5 bytes.
fn put(world: &World, lines: &str) -> String {
    let ask = world
        .ask("PUT", "/photos/a")
        .payload(bascule_sigv4::Payload::Unsigned);
    let head = String::from_utf8(ask.head(world)).unwrap();
    format!("{}{lines}\r\n\r\nhello", head.strip_suffix("\r\n").unwrap())
}

#[tokio::test]
async fn a17_a_length_beside_chunks_is_refused_in_either_order() {
    let world = World::new().await;
    for lines in [
        "content-length: 5\r\ntransfer-encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "transfer-encoding: chunked\r\ncontent-length: 0",
    ] {
        unsound(&world, &put(&world, lines), 400).await;
    }
}

#[tokio::test]
async fn a17_repeated_and_malformed_lengths_are_refused() {
    let world = World::new().await;
    for lines in [
        "content-length: 5\r\ncontent-length: 5",
        "content-length: 5\r\ncontent-length: 6",
        "content-length: +5",
        "content-length: -5",
        "content-length:  5",
        "content-length: 5,5",
        "content-length: 5, 5",
        "content-length: 0x5",
        "content-length: 5 5",
        "content-length:",
        "content-length: 18446744073709551616",
    ] {
        unsound(&world, &put(&world, lines), 400).await;
    }
}

#[tokio::test]
async fn a17_any_coding_but_chunked_is_refused() {
    let world = World::new().await;
    for lines in [
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: gzip",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding:\x0bchunked",
    ] {
        unsound(&world, &put(&world, lines), 400).await;
    }
    let older = put(&world, "transfer-encoding: chunked").replacen("HTTP/1.1", "HTTP/1.0", 1);
    unsound(&world, &older, 400).await;
}

#[tokio::test]
async fn a17_lines_end_in_cr_lf_and_names_before_their_colon() {
    let world = World::new().await;
    for lines in [
        "x-a: b\nx-c: d\r\ncontent-length: 5",
        "x-a: b\rcontent-length: 7\r\ncontent-length: 5",
        "x-a: b\r\n c\r\ncontent-length: 5",
        "x-a: b\r\n\tcontent-length: 7\r\ncontent-length: 5",
        " content-length: 5",
        "content-length : 5",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        ": 5",
        "nonsense",
        "content-length: 5\n",
    ] {
        unsound(&world, &put(&world, lines), 400).await;
    }
    let bare = put(&world, "content-length: 5").replace("\r\n", "\n");
    unsound(&world, &bare, 400).await;
    let request_line = put(&world, "content-length: 5").replacen("\r\n", "\n", 1);
    unsound(&world, &request_line, 400).await;
}

#[tokio::test]
async fn a17_an_unsound_head_is_answered_without_a_body() {
    let world = World::new().await;
    unsound(&world, "HEAD /photos/a HTTP/1.1\r\nhost : x\r\n\r\n", 400).await;
}

#[tokio::test]
async fn a17_sound_requests_before_an_unsound_one_are_answered() {
    let world = World::new().await;
    let first = world.ask("PUT", "/photos/a").body("hello").wire(&world);
    let second = world.ask("GET", "/photos/b").wire(&world);
    let last = put(&world, "content-length: +5").into_bytes();
    let wire = [first, second, last].concat();
    for pieces in [1, 2, 7, wire.len()] {
        let before = world.provider.requests();
        let mut client = world.dial().await;
        for piece in wire.chunks(wire.len().div_ceil(pieces)) {
            client.try_write(piece).await;
        }
        for status in [200, 200, 400] {
            assert_eq!(client.reply(false).await.unwrap().status, status);
        }
        assert!(client.ends().await);
        assert_eq!(world.provider.requests() - before, 2);
    }
}

#[tokio::test]
async fn a17_a_body_that_looks_like_a_head_is_a_body() {
    let world = World::new().await;
    let body = "GET / HTTP/1.1\nhost : x\r\n\r\nPUT / HTTP/1.1\r\ncontent-length: +1\r\n\r\n";
    let ask = world.ask("PUT", "/photos/a").body(body);
    let mut client: Client = world.dial().await;
    for _ in 0..2 {
        client.write(&ask.wire(&world)).await;
        assert_eq!(client.reply(false).await.unwrap().status, 200);
    }
    assert_eq!(world.provider.requests(), 2);
}

#[tokio::test]
async fn a17_a_chunked_request_is_the_last_one_of_its_connection() {
    let world = World::new().await;
    let mut client = world.dial().await;
    let wire =
        put(&world, "transfer-encoding: chunked").replace("hello", "5\r\nhello\r\n0\r\n\r\n");
    client.write(wire.as_bytes()).await;
    client
        .try_write(&world.ask("GET", "/photos/b").wire(&world))
        .await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (200, Some("close"))
    );
    assert!(client.ends().await);
    assert_eq!(world.provider.only().body, b"hello");
}

#[tokio::test]
async fn h3_too_long_a_target_and_too_long_a_head_are_told_apart() {
    let world = World::new().await;
    let long = "a".repeat(100 * 1024);
    let longer = format!(
        "GET /photos/{long} HTTP/1.1\r\nhost: {}\r\n\r\n",
        world.address
    );
    let padded = format!("GET /photos/a HTTP/1.1\r\nx-a: {long}\r\n\r\n");
    let many = format!("GET /photos/a HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    for (wire, status) in [(longer, 414), (padded, 431), (many, 431)] {
        let mut client = world.dial().await;
        client.try_write(wire.as_bytes()).await;
        let reply = client.reply(false).await.expect("an answer");
        assert_eq!(reply.status, status);
        assert_eq!(reply.code(), "RequestHeaderSectionTooLarge");
        assert!(client.ends().await);
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn h3_a_head_of_64_kib_is_served() {
    let world = World::new().await;
    let ask = world
        .ask("GET", "/photos/a")
        .unsigned("x-padding", "a".repeat(64 * 1024));
    let mut client = world.dial().await;
    for _ in 0..2 {
        for piece in ask.wire(&world).chunks(10_000) {
            client.write(piece).await;
        }
        assert_eq!(client.reply(false).await.unwrap().status, 200);
    }
}
