//! Bodies that end before their last byte: a provider acts when it can tell the end, and so must
//! not be able to before everything was checked (gateway.md 24, 53).

use bascule_domain::ids::KeyId;
use bascule_sigv4::Payload;

use crate::harness::{Ask, CONNECTION, PATIENCE, World, chunked, crc32, hex, load, sha256, wait};

const KEY: KeyId = KeyId::from_random([1; 10]);
const CHECKSUM: &str = "x-amz-checksum-crc32";
const FRAMED: &[u8] = b"5\r\nhello\r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:+esgrQ==\r\n\r\n";

/// A framed upload whose framing ends before it does, and its last bytes.
fn framed(world: &World) -> [(Ask, Vec<u8>, &'static [u8]); 2] {
    let ask = || chunked(world, Payload::UnsignedTrailer, 10).header("x-amz-trailer", CHECKSUM);
    let in_chunks = [format!("{:x}\r\n", FRAMED.len()).as_bytes(), FRAMED].concat();
    let without_length = ask().unsigned("transfer-encoding", "chunked");
    let blank_lines = load(ask(), [FRAMED, b"\r\n"].concat());
    [
        (without_length, in_chunks, b"\r\n0\r\n\r\n"),
        (blank_lines, FRAMED.to_vec(), b"\r\n"),
    ]
}

/// The bytes of bodies that the gateway has taken from clients.
fn taken(world: &World) -> u64 {
    let families = world.keyring.metrics();
    let name = "bascule_received_bytes_total";
    let family = families.iter().find(|family| family.name == name).unwrap();
    family.samples.iter().map(|sample| sample.value).sum()
}

#[tokio::test]
async fn r53_the_end_of_a_framed_body_waits_for_the_end_of_the_request() {
    for case in 0..2 {
        let world = World::new().await;
        let (ask, begin, _) = framed(&world)[case].clone();
        let mut client = world.dial().await;
        client.write(&ask.head(&world)).await;
        client.write(&begin).await;
        wait(|| taken(&world) == FRAMED.len() as u64).await;
        world.revoke();
        world.keyring.changes_ended(CONNECTION, KEY, PATIENCE).await;
        assert_eq!(world.keyring.in_doubt_of(CONNECTION, KEY), []);
        world.idle().await;
        let seen = world.provider.only();
        let end = seen.body.windows(5).any(|five| five == b"world");
        assert!(!seen.complete && !end, "{:?}", seen.body);
    }
}

#[tokio::test]
async fn r25_what_waited_for_the_end_arrives_as_it_was() {
    for case in 0..2 {
        for at_once in [true, false] {
            let world = World::new().await;
            let (ask, begin, end) = framed(&world)[case].clone();
            let mut client = world.dial().await;
            client.write(&ask.head(&world)).await;
            if at_once {
                client.write(&[&begin, end].concat()).await;
            } else {
                for byte in [&begin, end].concat() {
                    client.write(&[byte]).await;
                }
            }
            let reply = client.reply(false).await.unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
            let seen = world.provider.only();
            assert!(seen.complete && seen.body.starts_with(FRAMED));
            let length = seen.header("content-length").map(str::to_owned);
            assert!(length.is_none_or(|length| length == seen.body.len().to_string()));
        }
    }
}

/// Documents end with the end tag of their root; what comes after it may be blanks for ever.
fn documents(world: &World) -> Vec<(Ask, &'static [u8])> {
    let post = |query: &[(&str, &str)], body: &'static [u8]| {
        let ask = world.ask("POST", "/photos/a");
        let ask = query
            .iter()
            .fold(ask, |ask, (name, value)| ask.query(name, value));
        (ask, body)
    };
    let parts = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>";
    vec![
        post(&[("uploadId", "u")], parts),
        post(&[("restore", "")], b"<RestoreRequest/>"),
        post(
            &[("select", ""), ("select-type", "2")],
            b"<SelectObjectContentRequest/>",
        ),
        (
            world.ask("PUT", "/photos/a").query("tagging", ""),
            b"<Tagging><TagSet/></Tagging>",
        ),
    ]
}

#[tokio::test]
async fn r24_a_document_reaches_nobody_before_its_last_byte_was_checked() {
    let world = World::new().await;
    for (ask, body) in documents(&world) {
        let whole = [body, b"\n"].concat();
        let wrong = load(ask.payload(Payload::Literal(sha256(body))), whole);
        let reply = world.send(&wrong).await;
        let refused = (reply.status, reply.code());
        assert_eq!(refused, (400, "XAmzContentSHA256Mismatch".to_owned()));
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn r53_a_document_that_is_cut_before_its_last_byte_changes_nothing() {
    for case in 0..4 {
        let world = World::new().await;
        let (ask, body) = documents(&world).swap_remove(case);
        let ask = load(ask.payload(Payload::Unsigned), [body, b"\n"].concat());
        let mut client = world.dial().await;
        client.write(&ask.head(&world)).await;
        client.write(body).await;
        wait(|| world.keyring.open_requests() == 1).await;
        world.revoke();
        world.idle().await;
        assert_eq!(world.keyring.in_doubt_of(CONNECTION, KEY), []);
        assert_eq!(world.provider.requests(), 0);
    }
}

#[tokio::test]
async fn a_document_is_sent_as_it_is_and_counted() {
    let world = World::new().await;
    let mut bytes = 0;
    for (ask, body) in documents(&world) {
        bytes += body.len() as u64;
        let reply = world.send(&ask.body(body)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = world.provider.take().pop().unwrap();
        assert!(seen.complete && seen.body == body);
        let length = body.len().to_string();
        assert_eq!(seen.header("content-length"), Some(length.as_str()));
    }
    assert_eq!(taken(&world), bytes);
}

#[tokio::test]
async fn r25_a_framed_document_arrives_decoded_with_its_checksum() {
    let world = World::new().await;
    for (ask, body) in documents(&world) {
        let sum = crc32(body);
        let framed = format!(
            "{:x}\r\n{}\r\n0\r\n{CHECKSUM}:{sum}\r\n\r\n",
            body.len(),
            std::str::from_utf8(body).unwrap()
        );
        let ask = ask
            .payload(Payload::UnsignedTrailer)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &body.len().to_string())
            .header("x-amz-trailer", CHECKSUM);
        let reply = world.send(&load(ask, framed.into_bytes())).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = world.provider.take().pop().unwrap();
        assert_eq!(seen.body, body);
        assert_eq!(seen.header(CHECKSUM), Some(sum.as_str()));
        assert_eq!(seen.header("content-encoding"), None);
        let hash = hex(&sha256(body));
        assert_eq!(seen.header("x-amz-content-sha256"), Some(hash.as_str()));
    }
}

#[tokio::test]
async fn h4_ten_thousand_parts_fit_into_a_document_and_bombs_do_not() {
    let world = World::new().await;
    let part = "<Part><PartNumber>10000</PartNumber><ETag>0123456789abcdef0123456789abcdef</ETag><ChecksumSHA256>FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=</ChecksumSHA256></Part>";
    let parts = part.repeat(10_000);
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    let complete = world.ask("POST", "/photos/a").query("uploadId", "u");
    assert_eq!(world.send(&complete.clone().body(body)).await.status, 200);
    let bomb = complete.payload(Payload::Unsigned).announce(1 << 40);
    let refused = world.send(&bomb).await;
    let refused = (refused.status, refused.code());
    assert_eq!(refused, (400, "MaxMessageLengthExceeded".to_owned()));
    assert_eq!(world.provider.requests(), 1);
}
