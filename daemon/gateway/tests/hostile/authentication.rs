//! The cases A of the threat model: who is taken for whom, and what was signed. Each request that
//! must be refused is signed rightly but for what the case is about.

use bascule_domain::{
    key::Permission,
    secret::{Credentials, SecretKey},
};
use bascule_gateway::Settings;
use bascule_sigv4::Payload;

use crate::harness::{
    Chunker, Forged, Line, Pen, Reply, World, chunked, crc32, hex, key, load, sha256,
};

pub(crate) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const PART: &[&str] = &["partNumber=1", "uploadId=u1"];

/// Sends a request that must be refused so, before anything reaches the provider.
pub(crate) async fn refused(world: &World, request: &Forged, status: u16, code: &str) -> Reply {
    let before = world.provider.requests();
    let reply = Line::new(world).ask(request).await.expect("an answer");
    let text = reply.text();
    assert_eq!(
        (reply.status, &*reply.code()),
        (status, code),
        "{request:?}: {text}"
    );
    assert_eq!(
        world.provider.requests(),
        before,
        "{request:?} reached the provider"
    );
    reply
}

/// Sends a request that must be accepted, and returns what the provider was asked for.
pub(crate) async fn accepted(world: &World, request: &Forged) -> crate::harness::Seen {
    world.provider.take();
    let reply = Line::new(world).ask(request).await.expect("an answer");
    assert_eq!(reply.status, 200, "{request:?}: {}", reply.text());
    let mut seen = world.provider.take();
    assert_eq!(seen.len(), 1, "{request:?}");
    seen.remove(0)
}

fn forge(mut request: Forged) -> Forged {
    let forged = "0123456789abcdef".repeat(4);
    if let Some(text) = request.value("authorization") {
        let head = text.rsplit_once('=').unwrap().0;
        let text = format!("{head}={forged}");
        request.set("authorization", text);
    }
    for pair in &mut request.query {
        if pair.starts_with("X-Amz-Signature=") {
            *pair = format!("X-Amz-Signature={forged}");
        }
    }
    request
}

fn unsigned_trailer(world: &World, query: &[&str]) -> Forged {
    let framed = format!(
        "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:{}\r\n\r\n",
        crc32(b"hello")
    );
    Forged::new(world, "PUT", "/photos/a", query)
        .header("content-encoding", "aws-chunked")
        .header("x-amz-decoded-content-length", "5")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .body(framed)
}

#[tokio::test]
async fn a1_a_forged_signature_on_an_unsigned_trailer_upload_is_refused() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    for query in [&[][..], PART] {
        let right = pen.sign(unsigned_trailer(&world, query), Some(UNSIGNED_TRAILER));
        refused(&world, &forge(right.clone()), 403, "SignatureDoesNotMatch").await;
        let mut other = Pen::of(&world);
        other.secret = "guessed".into();
        let guessed = other.sign(unsigned_trailer(&world, query), Some(UNSIGNED_TRAILER));
        refused(&world, &guessed, 403, "SignatureDoesNotMatch").await;
        accepted(&world, &right).await;
    }
}

#[tokio::test]
async fn a2_a_forged_credential_in_the_query_is_refused() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    for query in [&[][..], PART] {
        let plain = || Forged::new(&world, "PUT", "/photos/a", query).body("x");
        let link = forge(pen.presign(plain(), "60", UNSIGNED));
        refused(&world, &link, 403, "SignatureDoesNotMatch").await;
        for sentinel in [UNSIGNED_TRAILER, UNSIGNED, EMPTY] {
            let mut framed = forge(pen.presign(unsigned_trailer(&world, query), "60", sentinel));
            framed
                .headers
                .push(("x-amz-content-sha256".into(), sentinel.into()));
            let reply = Line::new(&world).ask(&framed).await.unwrap();
            assert!(
                matches!(reply.status, 400 | 403),
                "{sentinel}: {}",
                reply.text()
            );
        }
        // The credential alone, as if naming a key were enough.
        let mut named = link.clone();
        named.query.retain(|pair| !pair.starts_with("X-Amz-Sig"));
        refused(&world, &named, 400, "AuthorizationHeaderMalformed").await;
        let mut only = link;
        only.query
            .retain(|pair| pair.starts_with("X-Amz-Credential") || PART.contains(&&**pair));
        refused(&world, &only, 400, "AuthorizationHeaderMalformed").await;
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn a4_each_unsigned_amz_header_is_refused_and_never_signed_anew() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    let put = || Forged::new(&world, "PUT", "/photos/a", &[]).body("x");
    for right in [
        pen.sign(put(), Some(UNSIGNED)),
        pen.presign(put(), "60", UNSIGNED),
    ] {
        for (name, value) in [
            ("x-amz-copy-source", "/photos/b"),
            ("X-Amz-Copy-Source", "/photos/b"),
            ("x-amz-copy-source-range", "bytes=0-1"),
            ("x-amz-acl", "private"),
            ("x-amz-acl", "public-read"),
            ("x-amz-grant-read", "id=1"),
            ("x-amz-tagging", "a=b"),
            ("x-amz-tagging-directive", "REPLACE"),
            ("x-amz-object-lock-mode", "COMPLIANCE"),
            (
                "x-amz-object-lock-retain-until-date",
                "2099-01-01T00:00:00Z",
            ),
            ("x-amz-object-lock-legal-hold", "ON"),
            ("x-amz-bypass-governance-retention", "true"),
            ("x-amz-meta-a", "1"),
            ("x-amz-metadata-directive", "REPLACE"),
            ("x-amz-storage-class", "GLACIER"),
            ("x-amz-server-side-encryption", "AES256"),
            ("x-amz-website-redirect-location", "/x"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("x-amz-decoded-content-length", "1"),
            ("x-amz-write-offset-bytes", "1"),
            ("x-amz-unheard-of", "1"),
        ] {
            let wider = right.clone().header(name, value);
            let reply = refused(&world, &wider, 403, "AccessDenied").await;
            assert!(
                reply.text().contains(&name.to_lowercase()),
                "{}",
                reply.text()
            );
        }
    }
    // What says how the body is covered is exempt, and stays what it was.
    let link = pen.presign(put(), "60", UNSIGNED);
    let seen = accepted(&world, &link.header("x-amz-content-sha256", UNSIGNED)).await;
    assert_eq!(seen.header("x-amz-content-sha256"), Some(UNSIGNED));
}

#[tokio::test]
async fn a5_what_must_be_said_once_is_refused_when_it_is_said_twice() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    let put = |query: &[&str]| Forged::new(&world, "PUT", "/photos/a", query).body("x");
    let right = pen.sign(put(&[]), Some(UNSIGNED));
    let link = pen.presign(put(&[]), "60", UNSIGNED);
    let authorization = right.value("authorization").unwrap().to_owned();
    let mut twice = vec![
        link.clone().header("authorization", &*authorization),
        link.clone().header("authorization", "AWS a:b"),
        right.clone().header("authorization", &*authorization),
        right.clone().header("Authorization", "AWS a:b"),
        right.clone().header("AUTHORIZATION", ""),
        right.clone().header("x-amz-date", &*pen.time),
        right.clone().header("X-Amz-Content-Sha256", UNSIGNED),
        right.clone().header("host", "other.test"),
        pen.sign(
            put(&[])
                .header("x-amz-acl", "private")
                .header("x-amz-acl", "private"),
            Some(UNSIGNED),
        ),
    ];
    for pair in link.query.iter().filter(|pair| pair.starts_with("X-Amz-")) {
        for pair in [pair.clone(), pair.to_lowercase(), format!("{pair}0")] {
            let mut repeated = link.clone();
            repeated.query.push(pair);
            twice.push(repeated);
        }
    }
    for pairs in [
        ["X-Amz-Meta-A=1", "X-Amz-Meta-A=1"],
        ["x-amz-acl=private", "X-Amz-Acl=private"],
    ] {
        twice.push(pen.presign(put(&pairs), "60", UNSIGNED));
    }
    let mut both = right.clone();
    both.query.extend(link.query.iter().cloned());
    twice.push(both);
    for request in twice {
        refused(&world, &request, 400, "InvalidRequest").await;
    }
    accepted(&world, &right).await;
    accepted(&world, &link).await;
}

#[tokio::test]
async fn a6_a_wrong_or_absent_trailer_signature_commits_nothing() {
    let world = World::new().await;
    let data = [[1; 40_000], [2; 40_000]];
    let name = "x-amz-checksum-crc32";
    let sum = crc32(&data.concat());
    let ask = chunked(&world, Payload::SignedChunksTrailer, 80_000).header("x-amz-trailer", name);
    let chunks = || Chunker::new(&world, &ask).chunk(&data[0]).chunk(&data[1]);
    let right = chunks().chunk(&[]).trailer(name, &sum);
    let flip = |body: &[u8], at: usize| {
        let mut body = body.to_vec();
        body[at] = if body[at] == b'0' { b'1' } else { b'0' };
        body
    };
    let cut = |body: &[u8], at: &str| {
        let found = body
            .windows(at.len())
            .rposition(|part| part == at.as_bytes());
        body[..found.unwrap()].to_vec()
    };
    let mut swapped = Chunker::new(&world, &ask)
        .chunk(&data[1])
        .chunk(&data[0])
        .body;
    swapped.extend_from_slice(&right[chunks().body.len()..]);
    let mut other = ask.clone();
    other.path = "/photos/other".into();
    let mut foreign = Chunker::new(&world, &other).chunk(&data[0]).body;
    foreign.extend_from_slice(&right[foreign.len()..]);
    let wrong = [
        ("trailer signature", flip(&right, right.len() - 6)),
        ("trailer value", flip(&right, right.len() - 100)),
        ("first chunk's signature", flip(&right, 30)),
        ("first chunk's data", flip(&right, 20_000)),
        (
            "no trailer signature",
            [&cut(&right, "x-amz-trailer-signature")[..], b"\r\n"].concat(),
        ),
        ("no final chunk", chunks().body),
        ("chunks in another order", swapped),
        ("a chunk of another upload", foreign),
    ];
    for (what, body) in wrong {
        let reply = world.send(&load(ask.clone(), body)).await;
        assert!(
            (400..500).contains(&reply.status),
            "{what}: {}",
            reply.text()
        );
        world.idle().await;
        let committed = world.provider.take().iter().any(|seen| seen.complete);
        assert!(!committed, "{what} was committed");
    }
    assert_eq!(world.send(&load(ask.clone(), right)).await.status, 200);
}

#[tokio::test]
async fn a7_a_decoded_length_that_is_not_the_bodys_is_refused() {
    let world = World::new().await;
    let name = "x-amz-checksum-crc32";
    let sum = crc32(b"hello");
    for payload in [Payload::SignedChunks, Payload::SignedChunksTrailer] {
        for part in [false, true] {
            let ask = |length: Option<&str>| {
                let mut ask = world.ask("PUT", "/photos/a").payload(payload);
                if part {
                    ask = ask.query("partNumber", "1").query("uploadId", "u1");
                }
                if payload != Payload::SignedChunks {
                    ask = ask.header("x-amz-trailer", name);
                }
                match length {
                    Some(length) => ask.header("x-amz-decoded-content-length", length),
                    None => ask,
                }
            };
            let body = |ask: &crate::harness::Ask| {
                let chunks = || Chunker::new(&world, ask).chunk(b"hello").chunk(&[]);
                match payload {
                    Payload::SignedChunks => chunks().end(),
                    Payload::SignedChunksTrailer => chunks().trailer(name, &sum),
                    _ => format!("5\r\nhello\r\n0\r\n{name}:{sum}\r\n\r\n").into_bytes(),
                }
            };
            for length in [
                None,
                Some(""),
                Some("0"),
                Some("1"),
                Some("4"),
                Some("6"),
                Some("-5"),
                Some("+5"),
                Some("5.0"),
                Some("0x5"),
                Some("5 5"),
                Some("18446744073709551615"),
                Some("18446744073709551616"),
                Some("18446744073709551621"),
                Some("five"),
            ] {
                let ask = ask(length);
                let body = body(&ask);
                let reply = world.send(&load(ask, body)).await;
                let at = format!("{payload:?} part: {part} {length:?}");
                assert!(
                    (400..500).contains(&reply.status),
                    "{at}: {} {}",
                    reply.status,
                    reply.text()
                );
                world.idle().await;
                assert!(
                    world.provider.take().iter().all(|seen| !seen.complete),
                    "{at}"
                );
            }
            for tail in [
                &b"x"[..],
                b"\r\n\r\nx",
                b"0\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",
            ] {
                let ask = ask(Some("5"));
                let body = [&body(&ask)[..], tail].concat();
                let reply = world.send(&load(ask, body)).await;
                let at = format!(
                    "{payload:?} part: {part} then {:?}",
                    String::from_utf8_lossy(tail)
                );
                assert!(
                    (400..500).contains(&reply.status),
                    "{at}: {} {}",
                    reply.status,
                    reply.text()
                );
                world.idle().await;
                assert!(
                    world.provider.take().iter().all(|seen| !seen.complete),
                    "{at}"
                );
            }
            let right = ask(Some("5"));
            let body = body(&right);
            assert_eq!(world.send(&load(right, body)).await.status, 200);
            assert!(world.provider.take()[0].complete);
        }
    }
}

#[tokio::test]
async fn a8_a_trailer_that_is_not_the_declared_one_is_refused() {
    let world = World::new().await;
    let crc = "x-amz-checksum-crc32";
    let right = crc32(b"hello");
    let sha1 = "x-amz-checksum-sha1";
    for payload in [Payload::SignedChunksTrailer] {
        for (declared, name, value) in [
            (sha1, crc, &*right),
            ("x-amz-checksum-crc32,x-amz-checksum-sha1", crc, &right),
            (crc, "x-amz-meta-a", "1"),
            (crc, "x-amz-copy-source", "/photos/b"),
        ] {
            let ask = world
                .ask("PUT", "/photos/a")
                .payload(payload)
                .header("x-amz-decoded-content-length", "5")
                .header("x-amz-trailer", declared);
            let body = match payload {
                Payload::SignedChunksTrailer => Chunker::new(&world, &ask)
                    .chunk(b"hello")
                    .chunk(&[])
                    .trailer(name, value),
                _ => format!("5\r\nhello\r\n0\r\n{name}:{value}\r\n\r\n").into_bytes(),
            };
            let reply = world.send(&load(ask, body)).await;
            let at = format!("{payload:?}: declared {declared}, sent {name}:{value}");
            assert!((400..500).contains(&reply.status), "{at}: {}", reply.text());
            world.idle().await;
            assert!(
                world.provider.take().iter().all(|seen| !seen.complete),
                "{at}"
            );
        }
    }
}

fn set_clock(world: &World, time: &str) {
    *world.clock.now.lock().unwrap() = time.parse().unwrap();
}

#[tokio::test]
async fn a9_a_link_lives_for_the_time_that_was_signed_and_no_other() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    let get = || Forged::new(&world, "GET", "/photos/a", &[]);
    for expires in [
        "0",
        "-1",
        "-604800",
        "604801",
        "9999999999",
        "18446744073709551616",
        "abc",
        "",
        "1e3",
        "60.0",
        "%2B60",
        "0x3c",
        "60s",
        "%20",
        "%D9%A6",
    ] {
        refused(
            &world,
            &pen.presign(get(), expires, UNSIGNED),
            403,
            "AccessDenied",
        )
        .await;
    }
    accepted(&world, &pen.presign(get(), "604800", UNSIGNED)).await;
    let minute = pen.presign(get(), "60", UNSIGNED);
    for (now, lives) in [
        ("2026-11-23T11:46:00Z", true),
        ("2026-11-23T11:44:59Z", false),
        ("2026-11-23T12:01:00Z", true),
        ("2026-11-23T12:01:01Z", false),
        ("2026-11-24T12:00:00Z", false),
        ("2027-11-23T12:00:00Z", false),
    ] {
        set_clock(&world, now);
        if lives {
            accepted(&world, &minute).await;
        } else {
            let early = now < "2026-11-23T12";
            let code = if early {
                "RequestTimeTooSkewed"
            } else {
                "AccessDenied"
            };
            refused(&world, &minute, 403, code).await;
        }
    }
    let mut without = minute.clone();
    without
        .query
        .retain(|pair| !pair.starts_with("X-Amz-Expires"));
    refused(&world, &without, 400, "AuthorizationHeaderMalformed").await;
}

#[tokio::test]
async fn a10_clock_and_scope_are_those_of_the_request() {
    let world = World::new().await;
    let get = || Forged::new(&world, "GET", "/photos/a", &[]);
    let right = Pen::of(&world).sign(get(), Some(EMPTY));
    for (now, passes) in [
        ("2026-11-23T12:14:59Z", true),
        ("2026-11-23T12:15:01Z", false),
        ("2026-11-23T11:45:01Z", true),
        ("2026-11-23T11:44:59Z", false),
    ] {
        set_clock(&world, now);
        if passes {
            accepted(&world, &right).await;
        } else {
            refused(&world, &right, 403, "RequestTimeTooSkewed").await;
        }
    }
    set_clock(&world, "2026-11-23T12:00:00Z");
    // Every one of these is signed with the scope that it states.
    let scoped = |change: fn(&mut Pen)| {
        let mut pen = Pen::of(&world);
        change(&mut pen);
        [
            pen.sign(get(), Some(EMPTY)),
            pen.presign(get(), "60", UNSIGNED),
        ]
    };
    for (change, status, code) in [
        (
            (|pen| pen.date = "20261122".into()) as fn(&mut Pen),
            400,
            "AuthorizationHeaderMalformed",
        ),
        (
            |pen| pen.date = "20261124".into(),
            400,
            "AuthorizationHeaderMalformed",
        ),
        (
            |pen| pen.date = String::new(),
            400,
            "AuthorizationHeaderMalformed",
        ),
        (
            |pen| pen.service = "ec2".into(),
            400,
            "AuthorizationHeaderMalformed",
        ),
        (
            |pen| pen.service = "s3express".into(),
            400,
            "AuthorizationHeaderMalformed",
        ),
        (
            |pen| pen.service = "S3".into(),
            400,
            "AuthorizationHeaderMalformed",
        ),
        (|pen| pen.service = "sts".into(), 501, "NotImplemented"),
        (
            |pen| pen.terminator = "aws5_request".into(),
            400,
            "AuthorizationHeaderMalformed",
        ),
        (
            |pen| pen.terminator = String::new(),
            400,
            "AuthorizationHeaderMalformed",
        ),
    ] {
        for request in scoped(change) {
            refused(&world, &request, status, code).await;
        }
    }
    for region in ["auto", "us-east-1", "eu-central-2", "", "mars", "EU"] {
        let mut pen = Pen::of(&world);
        pen.region = region.into();
        accepted(&world, &pen.sign(get(), Some(EMPTY))).await;
        accepted(&world, &pen.presign(get(), "60", UNSIGNED)).await;
        // It is part of the key: what was signed for one region says nothing in another.
        let mut moved = pen.sign(get(), Some(EMPTY));
        let from = format!("/{region}/s3/");
        let text = moved
            .value("authorization")
            .unwrap()
            .replace(&from, "/moon/s3/");
        moved.set("authorization", text);
        refused(&world, &moved, 403, "SignatureDoesNotMatch").await;
    }
}

#[tokio::test]
async fn a11_a_replay_with_anything_altered_is_refused() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    let get = || Forged::new(&world, "GET", "/photos/a", &["partNumber=1", "versionId=v"]);
    for right in [
        pen.sign(get(), Some(EMPTY)),
        pen.presign(get(), "60", UNSIGNED),
    ] {
        accepted(&world, &right).await;
        let host = right.value("host").unwrap().to_owned();
        let (name, port) = host.split_once(':').unwrap();
        let mut altered = Vec::new();
        for method in ["PUT", "DELETE", "HEAD"] {
            let mut request = right.clone();
            request.method = method.into();
            altered.push(request);
        }
        for host in [
            format!("localhost:{port}"),
            name.to_owned(),
            format!("{name}:1"),
            "s3.amazonaws.com".into(),
        ] {
            let mut request = right.clone();
            request.set("host", host);
            altered.push(request);
        }
        for (at, pair) in [
            (0, "versionId=w"),
            (1, "acl"),
            (2, "x=y"),
            (0, "versionId=v"),
        ] {
            let mut request = right.clone();
            request.query.insert(at, pair.into());
            altered.push(request);
        }
        for at in [0, 1] {
            let mut request = right.clone();
            request.query.remove(at);
            altered.push(request);
            let mut request = right.clone();
            request.query[at].push('1');
            altered.push(request);
        }
        for path in [
            "/photos/b",
            "/music/a",
            "/photos//a",
            "/photos/A",
            "/photos/a/",
        ] {
            let mut request = right.clone();
            request.path = path.into();
            altered.push(request);
        }
        for request in altered {
            let before = world.provider.requests();
            let reply = Line::new(&world).ask(&request).await.unwrap();
            assert_eq!(reply.status, 403, "{request:?}: {}", reply.text());
            assert_eq!(world.provider.requests(), before, "{request:?}");
        }
    }
}

#[tokio::test]
async fn a12_the_provider_gets_the_bytes_that_were_authorised_or_nothing() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    let longest = "k".repeat(1024);
    let too_long = "k".repeat(1025);
    for (wire, canonical) in [
        ("a+b", Some("a%2Bb")),
        ("a%2Bb", Some("a%2Bb")),
        ("a%20b", Some("a%20b")),
        ("..", Some("..")),
        ("%2e%2e/%2E", Some("../.")),
        ("a/%2e%2e/b", Some("a/../b")),
        ("a%2F..%2Fb", Some("a/../b")),
        ("a//b//", Some("a//b//")),
        ("%2F", Some("/")),
        ("a%252Fb", Some("a%252Fb")),
        ("a%5Cb", Some("a%5Cb")),
        ("..%5C..%5Cb", Some("..%5C..%5Cb")),
        ("a%00b", Some("a%00b")),
        ("a%0D%0Ab", Some("a%0D%0Ab")),
        ("%C3%A9", Some("%C3%A9")),
        ("e%CC%81", Some("e%CC%81")),
        ("%E2%80%AE", Some("%E2%80%AE")),
        ("%EF%BB%BFa", Some("%EF%BB%BFa")),
        ("%3Facl", Some("%3Facl")),
        ("a%23b", Some("a%23b")),
        (&*longest, Some(&*longest)),
        (&*too_long, None),
        ("%FF", None),
        ("%C0%AF", None),
        ("%ED%A0%80", None),
        ("a%C3", None),
        ("%", None),
        ("%4", None),
        ("%zz", None),
        ("%u0041", None),
    ] {
        let path = format!("/photos/{wire}");
        // Signed in its canonical form, and as it is sent: clients do either.
        let spelled = canonical.map_or_else(|| path.clone(), |key| format!("/photos/{key}"));
        for signed in [spelled, path.clone()] {
            let mut request = pen.sign(Forged::new(&world, "GET", &signed, &[]), Some(EMPTY));
            request.path.clone_from(&path);
            match canonical {
                Some(key) => {
                    let seen = accepted(&world, &request).await;
                    assert_eq!(seen.uri, format!("http://provider.test:9000/photos/{key}"));
                }
                None => {
                    let code = match wire.contains('%') {
                        true => "InvalidURI",
                        false => "KeyTooLongError",
                    };
                    refused(&world, &request, 400, code).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a13_policy_sees_the_key_that_the_provider_gets() {
    let mut limited = key(1, Permission::ReadWrite);
    limited.scope.prefixes = vec!["a/".parse().unwrap()];
    let world = World::with(limited, Settings::default()).await;
    let pen = Pen::of(&world);
    let ask = |wire: &str| {
        let mut request = Forged::new(&world, "GET", wire, &[]);
        request = pen.sign(request, Some(EMPTY));
        request
    };
    for wire in [
        "/photos/a/x",
        "/photos/%61/x",
        "/photos/a%2Fx",
        "/photos/%61%2fx",
        "/%70hotos/a/x",
    ] {
        let seen = accepted(&world, &ask(wire)).await;
        assert_eq!(seen.uri, "http://provider.test:9000/photos/a/x", "{wire}");
    }
    for wire in [
        "/photos/a%252Fx",
        "/photos/%2561/x",
        "/photos/b/x",
        "/photos/A/x",
        "/photos//a/x",
        "/photos/a",
    ] {
        refused(&world, &ask(wire), 403, "AccessDenied").await;
    }
}

#[tokio::test]
async fn a14_host_and_path_name_one_bucket_or_none() {
    let settings = Settings {
        host_suffix: Some("s3.local".into()),
        ..Settings::default()
    };
    let world = World::with(key(1, Permission::ReadWrite), settings).await;
    let pen = Pen::of(&world);
    let ask = |host: &str, path: &str| {
        let mut request = Forged::new(&world, "GET", path, &[]);
        request.set("host", host);
        pen.sign(request, Some(EMPTY))
    };
    for (host, path, arrives) in [
        ("photos.s3.local", "/private/a", "/photos/private/a"),
        ("photos.s3.local:80", "/music/a", "/photos/music/a"),
        ("PHOTOS.S3.LOCAL", "/a", ""),
        ("private.s3.local", "/photos/a", ""),
        ("photos.private.s3.local", "/a", ""),
        ("s3.local", "/photos/a", "/photos/a"),
        ("s3.local", "/private/a", ""),
    ] {
        let request = ask(host, path);
        if arrives.is_empty() {
            refused(&world, &request, 403, "AccessDenied").await;
        } else {
            let seen = accepted(&world, &request).await;
            assert_eq!(
                seen.uri,
                format!("http://provider.test:9000{arrives}"),
                "{host} {path}"
            );
        }
    }
    // The host that was signed is the one that counts.
    let mut moved = ask("photos.s3.local", "/a");
    moved.set("host", "music.s3.local");
    refused(&world, &moved, 403, "SignatureDoesNotMatch").await;
    let address = world.address.to_string();
    for authority in [
        &*address,
        "photos.s3.local",
        "other.test",
        "private.s3.local",
    ] {
        let mut absolute = ask(&address, "/photos/a");
        absolute.path = format!("http://{authority}/photos/a");
        refused(&world, &absolute, 400, "InvalidURI").await;
    }
}

#[tokio::test]
async fn a14_a_target_that_is_no_path_is_refused() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    let address = world.address.to_string();
    for (method, target) in [
        ("CONNECT", &*address),
        ("CONNECT", "provider.test:9000"),
        ("GET", "*"),
        ("GET", "photos/a"),
        ("GET", "?list-type=2"),
        ("PRI", "*"),
        ("GET", "//provider.test/photos/a"),
    ] {
        let request = pen.sign(Forged::new(&world, method, target, &[]), Some(EMPTY));
        let mut client = world.dial().await;
        client.write(&request.wire()).await;
        let reply = client.reply(false).await;
        assert!(
            reply.is_none_or(|reply| matches!(reply.status, 400 | 403)),
            "{method} {target}"
        );
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn a15_headers_are_canonical_when_they_are_signed_and_unchanged_when_they_are_sent() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    // After the cases of the AWS suite: key and value order, duplicates, case, trimming.
    for values in [
        &["value1"][..],
        &["value4", "value1", "value3", "value2"],
        &["a", "a", "a"],
        &["  leading and trailing  "],
        &["inner   blanks    collapse"],
        &["\"quoted   blanks collapse too\""],
        &["a,b", "c , d"],
        &[""],
        &["", "b"],
        &["semi;colon:and=sign"],
    ] {
        let mut request = Forged::new(&world, "PUT", "/photos/a", &[]);
        for value in values {
            request = request.header("x-amz-meta-mine", *value);
        }
        let mut request = pen.sign(request, Some(EMPTY));
        for (name, _) in &mut request.headers {
            if name == "x-amz-meta-mine" {
                *name = "X-Amz-META-Mine".into();
            }
        }
        let seen = accepted(&world, &request).await;
        let arrived: Vec<&str> = seen
            .headers
            .get_all("x-amz-meta-mine")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        let sent: Vec<&str> = values.iter().map(|value| value.trim_matches(' ')).collect();
        assert_eq!(arrived, sent);

        let mut other = request.clone();
        other
            .headers
            .push(("x-amz-meta-mine".into(), "more".into()));
        refused(&world, &other, 403, "SignatureDoesNotMatch").await;
    }
    let folded = pen.sign(
        Forged::new(&world, "PUT", "/photos/a", &[]).header("x-amz-meta-mine", "one two"),
        Some(EMPTY),
    );
    let wire = String::from_utf8(folded.wire())
        .unwrap()
        .replace("one two", "one\r\n two");
    let before = world.provider.requests();
    let mut client = world.dial().await;
    client.write(wire.as_bytes()).await;
    assert_eq!(
        client.reply(false).await.map(|reply| reply.status),
        Some(400)
    );
    assert_eq!(world.provider.requests(), before);
}

#[tokio::test]
async fn a16_naming_signed_headers_in_connection_changes_nothing_but_what_is_left_behind() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    let put = Forged::new(&world, "PUT", "/photos/a", &[])
        .header("x-amz-meta-a", "1")
        .header("content-type", "text/plain")
        .body("x");
    let right = pen.sign(put, Some(UNSIGNED));
    let plain = accepted(&world, &right).await;
    for named in [
        "authorization, x-amz-date",
        "host",
        "X-Amz-Content-SHA256 ,Content-Length",
        "accept-encoding, x-other",
    ] {
        let seen = accepted(&world, &right.clone().header("connection", named)).await;
        assert_eq!(
            (&seen.uri, &seen.body),
            (&plain.uri, &plain.body),
            "{named}"
        );
        for name in [
            "authorization",
            "host",
            "x-amz-date",
            "x-amz-content-sha256",
        ] {
            assert_eq!(
                seen.headers.get_all(name).iter().count(),
                1,
                "{named}: {name}"
            );
        }
        assert!(
            seen.header("authorization")
                .unwrap()
                .contains("PROVIDERKEY")
        );
        assert_eq!(seen.header("connection"), None);
        assert_eq!(seen.header("x-amz-meta-a"), Some("1"), "{named}");
    }
    // Whoever has a link can name what its maker signed.
    let signed = [
        ("if-none-match", "*"),
        ("content-md5", "ZajifYh5KDgxtmS9i38K1A=="),
        ("x-amz-checksum-crc32", "jNww9A=="),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-write-offset-bytes", "0"),
        ("x-amz-meta-a", "1"),
        ("content-type", "text/plain"),
    ];
    for (name, value) in signed {
        let put = Forged::new(&world, "PUT", "/photos/a", &[]).body("x");
        let listed = put.clone().header(name, value);
        let parameter = bascule_sigv4::encode_query(&[(name.into(), value.into())]);
        let hoisted = Forged::new(&world, "PUT", "/photos/a", &[&parameter]).body("x");
        let mut requests = vec![
            pen.sign(listed.clone(), Some(UNSIGNED)),
            pen.presign(listed, "60", UNSIGNED),
        ];
        if name.starts_with("x-amz-") {
            requests.push(pen.presign(hoisted, "60", UNSIGNED));
        }
        for request in requests {
            let stripped = request.header("connection", format!("close, {}", name.to_uppercase()));
            refused(&world, &stripped, 400, "InvalidRequest").await;
        }
    }
    // What another signed cannot be hidden from the verifier either.
    let unsigned = right
        .header("x-amz-acl", "private")
        .header("connection", "x-amz-acl");
    refused(&world, &unsigned, 403, "AccessDenied").await;
}

#[tokio::test]
async fn a19_tokens_and_other_schemes_are_refused_however_well_they_are_signed() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    for (method, path) in [
        ("GET", "/photos/a"),
        ("PUT", "/photos/a"),
        ("GET", "/photos"),
        ("GET", "/"),
    ] {
        let ask = |query: &[&str]| Forged::new(&world, method, path, query);
        for name in ["x-amz-security-token", "x-amz-s3session-token"] {
            let token = pen.sign(ask(&[]).header(name, "token"), Some(EMPTY));
            refused(&world, &token, 400, "InvalidToken").await;
        }
        let token = pen.presign(ask(&["X-Amz-Security-Token=token"]), "60", UNSIGNED);
        refused(&world, &token, 400, "InvalidToken").await;
        refused(&world, &ask(&[]), 403, "AccessDenied").await;
        for (value, status, code) in [
            ("AWS BSCKEY:c2lnbmF0dXJl", 400, "InvalidRequest"),
            ("AWS4-ECDSA-P256-SHA256 Credential=a", 501, "NotImplemented"),
            ("AWS4-HMAC-SHA512 Credential=a", 400, "InvalidRequest"),
            ("aws4-hmac-sha256 Credential=a", 400, "InvalidRequest"),
            ("Basic dTpw", 400, "InvalidRequest"),
            ("Bearer token", 400, "InvalidRequest"),
            ("", 403, "AccessDenied"),
        ] {
            refused(
                &world,
                &ask(&[]).header("authorization", value),
                status,
                code,
            )
            .await;
        }
        let v2 = ask(&["AWSAccessKeyId=a", "Expires=9999999999", "Signature=b"]);
        refused(&world, &v2, 400, "InvalidRequest").await;
        for algorithm in ["AWS4-HMAC-SHA1", "AWS4-ECDSA-P256-SHA256", ""] {
            let mut other = Pen::of(&world);
            other.algorithm = algorithm.into();
            let reply = Line::new(&world)
                .ask(&other.presign(ask(&[]), "60", UNSIGNED))
                .await;
            assert!(matches!(reply.unwrap().status, 400 | 501), "{algorithm}");
        }
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn a20_an_empty_secret_authenticates_nobody() {
    assert!(
        SecretKey::parse("").is_err(),
        "no key can have an empty secret"
    );
    let world = World::new().await;
    let get = || Forged::new(&world, "GET", "/photos/a", &[]);
    for secret in ["", " ", "AWS4", "null", "issuedsecret"] {
        let mut pen = Pen::of(&world);
        pen.secret = secret.into();
        for request in [
            pen.sign(get(), Some(EMPTY)),
            pen.presign(get(), "60", UNSIGNED),
        ] {
            refused(&world, &request, 403, "SignatureDoesNotMatch").await;
        }
        pen.id = "BSCUNKNOWNUNKNOWN222".into();
        for request in [
            pen.sign(get(), Some(EMPTY)),
            pen.presign(get(), "60", UNSIGNED),
        ] {
            refused(&world, &request, 403, "InvalidAccessKeyId").await;
        }
        pen.id = String::new();
        for request in [
            pen.sign(get(), Some(EMPTY)),
            pen.presign(get(), "60", UNSIGNED),
        ] {
            refused(&world, &request, 400, "AuthorizationHeaderMalformed").await;
        }
    }
    let Credentials { access_key_id, .. } = &world.credentials;
    let masked = access_key_id.masked().to_string();
    let mut pen = Pen::of(&world);
    pen.id = masked;
    let reply = Line::new(&world)
        .ask(&pen.presign(get(), "60", UNSIGNED))
        .await
        .unwrap();
    assert!(matches!(reply.status, 400 | 403), "{}", reply.text());
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn a21_post_forms_are_refused_before_their_body_whoever_signs_them() {
    let world = World::new().await;
    let pen = Pen::of(&world);
    for path in ["/photos", "/photos/", "/", "/photos/a"] {
        for kind in [
            "multipart/form-data; boundary=x",
            "Multipart/Form-Data;boundary=x",
            "multipart/form-data",
        ] {
            let form = Forged::new(&world, "POST", path, &[]).header("content-type", kind);
            for form in [pen.sign(form.clone(), Some(UNSIGNED)), form] {
                // The head alone: whoever waits for the body waits for ever.
                let form = form.header("expect", "100-continue");
                let wire = String::from_utf8(form.wire()).unwrap();
                let wire = wire.replace("content-length: 0", "content-length: 1000");
                let mut client = world.dial().await;
                client.write(wire.as_bytes()).await;
                let reply = client.reply(false).await.unwrap();
                assert_eq!(
                    (reply.status, &*reply.code()),
                    (501, "NotImplemented"),
                    "{path} {kind}"
                );
            }
        }
    }
    assert_eq!(world.provider.requests(), 0);
    let plain = hex(&sha256(b"<Delete><Object><Key>a</Key></Object></Delete>"));
    let bulk = Forged::new(&world, "POST", "/photos", &["delete"])
        .header("content-type", "application/xml")
        .body("<Delete><Object><Key>a</Key></Object></Delete>");
    accepted(&world, &pen.sign(bulk, Some(&plain))).await;
}
