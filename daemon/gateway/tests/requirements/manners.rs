//! Requirements 38 to 45, 51, 52, 54 and 55: the manners of HTTP, and answers of the gateway's own.

use bascule_domain::key::{IpRule, KeyState, Permission};
use bascule_gateway::{Settings, UpstreamErrorKind};
use bascule_sigv4::Payload;

use crate::{
    hand::Hand,
    harness::{CONNECTION, Script, World, key, refused},
};

#[tokio::test]
async fn r38_a_refusal_comes_instead_of_100_continue() {
    let world = World::new().await;
    let forged = Hand::new(&world, "PUT", "/photos/a");
    let forged = forged.raw(Some(
        &forged
            .clone()
            .path("/photos/b", "/photos/b")
            .authorization(&world),
    ));
    let expecting = |wire: Vec<u8>| {
        let head = String::from_utf8(wire).unwrap();
        head.replacen(
            "\r\n",
            "\r\nexpect: 100-continue\r\ncontent-length: 5\r\n",
            1,
        )
        .into_bytes()
    };
    let denied = Hand::new(&world, "PUT", "/secrets/a").wire(&world);
    let anonymous = Hand::new(&world, "PUT", "/photos/a")
        .without("x-amz-date")
        .raw(None);
    // What can only be refused after the permit, but still needs no body.
    let unknown = Hand::new(&world, "PUT", "/photos/a")
        .header("x-amz-write-offset-bytes", "1")
        .wire(&world);
    let unframed = Hand::new(&world, "PUT", "/photos/a")
        .payload("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        .wire(&world);
    for (wire, status) in [
        (forged, 403),
        (denied, 403),
        (anonymous, 403),
        (unknown, 501),
        (unframed, 411),
    ] {
        let mut client = world.dial().await;
        client.write(&expecting(wire)).await;
        let reply = client.reply(false).await.unwrap();
        assert_eq!(reply.status, status, "not 100: {}", reply.text());
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn r39_what_follows_a_refused_expectation_is_never_misread() {
    let world = World::new().await;
    // The client holds its body back. It is told that the connection ends, and it does.
    let ask = world
        .ask("PUT", "/secrets/a")
        .announce(5)
        .payload(Payload::Unsigned)
        .unsigned("expect", "100-continue");
    let mut client = world.dial().await;
    client.write(&ask.head(&world)).await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!(
        (reply.status, reply.header("connection")),
        (403, Some("close"))
    );
    // What it sends nevertheless is neither a request nor a reason to lose the next one.
    client
        .write(&world.ask("GET", "/photos/smuggled").wire(&world))
        .await;
    assert!(client.ends().await);
    assert_eq!(world.provider.requests(), 0);
    assert_eq!(world.send(&world.ask("GET", "/photos/a")).await.status, 200);

    // An expectation without a body holds nothing back: the connection stays.
    let ask = world
        .ask("PUT", "/secrets/a")
        .announce(0)
        .unsigned("expect", "100-continue");
    let mut client = world.dial().await;
    client.write(&ask.head(&world)).await;
    assert_eq!(client.reply(false).await.unwrap().status, 403);
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);

    // An expectation of another kind is no reason to refuse (Ceph's suite sends one).
    for expect in ["200", ""] {
        let ask = world
            .ask("PUT", "/photos/a")
            .body("hello")
            .unsigned("expect", expect);
        assert_eq!(world.send(&ask).await.status, 200);
    }
}

#[tokio::test]
async fn r40_a_refused_upload_is_read_on_so_that_its_answer_arrives() {
    let world = World::new().await;
    let ask = world.ask("PUT", "/secrets/a").body(vec![0; 900_000]);
    let mut client = world.dial().await;
    client.write(&ask.wire(&world)).await;
    let reply = client.reply(false).await.expect("no reset hides it");
    assert_eq!(
        (reply.status, reply.header("connection")),
        (403, Some("close"))
    );
    assert!(client.ends().await);
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn r41_answers_to_head_have_no_body_and_keep_their_length() {
    let world = World::new().await;
    let mut client = world.dial().await;
    for (status, length) in [
        (200, "5368709120"),
        (404, "243"),
        (403, "17"),
        (400, "9"),
        (412, "3"),
    ] {
        world.provider.script(
            Script::new(status, "")
                .header("content-length", length)
                .header("x-amz-meta-a", "1"),
        );
        client
            .write(&world.ask("HEAD", "/photos/a").wire(&world))
            .await;
        let reply = client.reply(true).await.unwrap();
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("content-length"), Some(length), "{status}");
        assert_eq!(reply.header("x-amz-meta-a"), Some("1"));
    }
    // Our own refusal: the next answer on this connection begins right after its head.
    client
        .write(&world.ask("HEAD", "/secrets/a").wire(&world))
        .await;
    assert_eq!(client.reply(true).await.unwrap().status, 403);
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
}

#[tokio::test]
async fn r42_head_asks_for_the_plain_form_and_get_for_what_the_client_asked() {
    let world = World::new().await;
    for (method, sent, upstream) in [
        ("HEAD", Some("gzip, br"), Some("identity")),
        ("HEAD", None, Some("identity")),
        ("GET", Some("gzip, br"), Some("gzip, br")),
        ("GET", Some("identity"), Some("identity")),
        ("GET", None, None),
    ] {
        let mut ask = world.ask(method, "/photos/a");
        if let Some(sent) = sent {
            ask = ask.unsigned("accept-encoding", sent);
        }
        world
            .provider
            .script(Script::new(200, "").header("content-encoding", "gzip"));
        let reply = world.send(&ask).await;
        assert_eq!(reply.header("content-encoding"), Some("gzip"), "as stored");
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(
            seen.header("accept-encoding"),
            upstream,
            "{method} {sent:?}"
        );
    }
}

#[tokio::test]
async fn r43_conditions_ranges_and_delete_markers_pass_with_their_headers() {
    let world = World::new().await;
    for (status, name, value) in [
        (304, "etag", "\"e\""),
        (304, "last-modified", "Mon, 23 Nov 2026 12:00:00 GMT"),
        (412, "x-amz-request-id", "provider-1"),
        (416, "content-range", "bytes */5"),
        (206, "content-range", "bytes 0-1/5"),
        (206, "content-type", "multipart/byteranges; boundary=x"),
        (405, "allow", "DELETE"),
        (405, "x-amz-delete-marker", "true"),
        (404, "x-amz-version-id", "v1"),
        (204, "x-amz-version-id", "v1"),
        (409, "retry-after", "1"),
        (429, "retry-after", "1"),
        (500, "x-amz-id-2", "provider"),
        (503, "x-amz-id-2", "provider"),
    ] {
        let empty = matches!(status, 204 | 304);
        let body = if empty {
            ""
        } else {
            "<Error><Code>Theirs</Code></Error>"
        };
        world
            .provider
            .script(Script::new(status, body).header(name, value));
        let reply = world.send(&world.ask("GET", "/photos/a")).await;
        assert_eq!(reply.status, status);
        assert_eq!(reply.header(name), Some(value), "{status}");
        if !empty && reply.header("content-length").is_some() {
            assert_eq!(reply.text(), body);
        }
    }
}

#[tokio::test]
async fn r44_an_error_in_a_200_and_the_blanks_before_it_stream_through() {
    let world = World::new().await;
    let complete = world
        .ask("POST", "/photos/a")
        .query("uploadId", "u")
        .body("<CompleteMultipartUpload/>");
    let copy = world
        .ask("PUT", "/photos/a")
        .header("x-amz-copy-source", "/photos/b");
    let part = world
        .ask("PUT", "/photos/a")
        .query("partNumber", "1")
        .query("uploadId", "u")
        .header("x-amz-copy-source", "/photos/b");
    for ask in [complete, copy, part] {
        let (send, receive) = tokio::sync::mpsc::channel(1);
        let begin = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
        world.provider.script(Script {
            stream: Some(receive),
            ..Script::new(200, begin)
        });
        let mut client = world.dial().await;
        client.write(&ask.wire(&world)).await;
        let head = client.reply_head().await.unwrap();
        assert_eq!(head.status, 200);
        assert!(
            head.header("content-length").is_none(),
            "it is not known yet"
        );
        // The provider is still at work, and the client already hears of it.
        let mut heard = Vec::new();
        while !String::from_utf8_lossy(&heard).contains("?>") {
            heard.extend(client.take(1).await.unwrap());
        }
        for piece in ["   ", "<Error><Code>InternalError</Code></Error>"] {
            send.send(piece.into()).await.unwrap();
        }
        drop(send);
        while !heard.ends_with(b"0\r\n\r\n") {
            heard.extend(client.take(1).await.unwrap());
        }
        let heard = String::from_utf8(heard).unwrap();
        assert!(
            heard.contains("<Error><Code>InternalError</Code></Error>"),
            "{heard}"
        );
    }
}

#[tokio::test]
async fn r45_nothing_is_repeated_once_a_byte_of_the_body_was_taken() {
    let world = World::new().await;
    for kind in [UpstreamErrorKind::Broken, UpstreamErrorKind::Timeout] {
        for ask in [
            world.ask("PUT", "/photos/a").body("hello"),
            world
                .ask("POST", "/photos/a")
                .query("uploadId", "u")
                .body("<CompleteMultipartUpload/>"),
        ] {
            let before = world.provider.requests();
            world.provider.script(Script {
                fails: Some(kind),
                ..Script::new(0, "")
            });
            let reply = world.send(&ask).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (503, "ServiceUnavailable"),
                "tools repeat it themselves"
            );
            assert_eq!(world.provider.requests(), before + 1);
        }
    }
}

#[tokio::test]
async fn r51_the_signed_host_decides_between_path_and_bucket() {
    let settings = Settings {
        host_suffix: Some("s3.local".into()),
        ..Settings::default()
    };
    let world = World::with(key(1, Permission::ReadWrite), settings).await;
    let port = world.address.port();
    for (host, path, upstream) in [
        (format!("127.0.0.1:{port}"), "/photos/a", "/photos/a"),
        (format!("localhost:{port}"), "/photos/a", "/photos/a"),
        ("localhost".into(), "/photos/a", "/photos/a"),
        (format!("[::1]:{port}"), "/photos/a", "/photos/a"),
        ("s3.local".into(), "/photos/a", "/photos/a"),
        ("photos.s3.local".into(), "/a", "/photos/a"),
        (format!("photos.s3.local:{port}"), "/a", "/photos/a"),
        (
            "Photos.S3.local".to_ascii_lowercase(),
            "/music/a",
            "/photos/music/a",
        ),
        ("photos.s3.local".into(), "/", "/photos"),
    ] {
        let mut ask = world.ask("GET", path);
        ask.host.clone_from(&host);
        let reply = world.send(&ask).await;
        assert_eq!(reply.status, 200, "{host}: {}", reply.text());
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(crate::hand::target(&seen), upstream, "{host}");
    }
    let before = world.provider.requests();
    // Signed for one host, sent to another: the bucket is the signature's.
    let mut ask = world.ask("GET", "/a");
    ask.host = "photos.s3.local".into();
    let wire = String::from_utf8(ask.wire(&world)).unwrap();
    let wire = wire.replace("photos.s3.local", "music.s3.local");
    let reply = crate::hand::send(&world, wire.as_bytes(), false).await;
    assert_eq!(reply.code(), "SignatureDoesNotMatch");
    let mut foreign = world.ask("GET", "/photos/a");
    foreign.host = "secrets.s3.local".into();
    assert_eq!(world.send(&foreign).await.status, 403);
    assert_eq!(world.provider.requests(), before);
}

#[tokio::test]
async fn r52_forwarding_headers_count_for_nothing() {
    let mut elsewhere = key(1, Permission::ReadWrite);
    elsewhere.scope.addresses = vec![IpRule("192.0.2.0/24".parse().unwrap())];
    let world = World::with(elsewhere, Settings::default()).await;
    for (name, value) in [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-real-ip", "192.0.2.1"),
        ("forwarded", "for=192.0.2.1;host=music.s3.local;proto=https"),
        ("x-forwarded-host", "music.s3.local"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-prefix", "/music"),
    ] {
        let ask = world.ask("GET", "/photos/a").unsigned(name, value);
        let reply = refused(&world, &ask, 403, "AccessDenied").await;
        let id = reply.header("x-amz-request-id").unwrap();
        assert!(id.starts_with("ADDRESS-NOT-ALLOWED-"), "{name}: {id}");
        let open = World::new().await;
        let ask = open.ask("GET", "/photos/a").unsigned(name, value);
        assert_eq!(open.send(&ask).await.status, 200, "{name}");
        let seen = open.provider.only();
        assert_eq!(crate::hand::target(&seen), "/photos/a");
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn r52_b8_a_configured_proxy_names_its_client() {
    let mut elsewhere = key(1, Permission::ReadWrite);
    elsewhere.scope.addresses = vec![IpRule("192.0.2.0/24".parse().unwrap())];
    let behind = || Settings {
        trusted_proxies: vec![
            IpRule("127.0.0.1/32".parse().unwrap()),
            IpRule("10.0.0.0/8".parse().unwrap()),
        ],
        ..Settings::default()
    };
    let elsewhere = World::with(elsewhere, behind()).await;
    let loopback = World::with(key(1, Permission::ReadWrite), behind()).await;
    for (line, from_elsewhere, from_loopback) in [
        (None, 403, 200),
        (Some("192.0.2.7"), 200, 403),
        (Some("192.0.2.7, 10.1.1.1"), 200, 403),
        (Some("127.0.0.1, 192.0.2.7"), 200, 403),
        (Some("192.0.2.7, 203.0.113.1"), 403, 403),
        (Some("::ffff:192.0.2.7"), 200, 403),
        (Some("127.0.0.1"), 403, 200),
        (Some("unknown"), 400, 400),
        (Some("127.0.0.1, x"), 400, 400),
    ] {
        for (world, expected) in [(&elsewhere, from_elsewhere), (&loopback, from_loopback)] {
            let mut ask = world.ask("GET", "/photos/a");
            if let Some(line) = line {
                ask = ask.unsigned("x-forwarded-for", line);
            }
            assert_eq!(world.send(&ask).await.status, expected, "{line:?}");
            for seen in world.provider.take() {
                assert_eq!(seen.header("x-forwarded-for"), None);
            }
        }
    }
    // Findings name the client, not the proxy.
    let knocks = loopback.knocks.0.lock().unwrap();
    assert!(
        knocks
            .iter()
            .any(|knock| knock.2.to_string() == "203.0.113.1")
    );
}

#[tokio::test]
async fn r54_every_refusal_reaches_a_human_also_where_tools_hide_bodies() {
    let keyed = |change: fn(&mut bascule_domain::key::Key)| {
        let mut changed = key(1, Permission::ReadWrite);
        change(&mut changed);
        World::with(changed, Settings::default())
    };
    let revoked = World::new().await;
    revoked.revoke();
    let connection = World::new().await;
    connection
        .keyring
        .pause(CONNECTION, bascule_gateway::PausedBy::User)
        .unwrap();
    let cases = [
        (revoked, "/photos/a", "KEY-REVOKED-"),
        (connection, "/photos/a", "KEY-PAUSED-"),
        (
            keyed(|key| key.state = KeyState::Paused).await,
            "/photos/a",
            "KEY-PAUSED-",
        ),
        (
            keyed(|key| key.expires_at = Some(bascule_domain::Timestamp::UNIX_EPOCH)).await,
            "/photos/a",
            "KEY-EXPIRED-",
        ),
        (
            keyed(|key| key.scope.addresses = vec![IpRule("192.0.2.0/24".parse().unwrap())]).await,
            "/photos/a",
            "ADDRESS-NOT-ALLOWED-",
        ),
        (World::new().await, "/secrets/a", "NOT-PERMITTED-"),
    ];
    for (world, path, marker) in cases {
        let get = world.send(&world.ask("GET", path)).await;
        let head = world.send(&world.ask("HEAD", path)).await;
        for reply in [&get, &head] {
            assert_eq!(reply.status, 403);
            let id = reply.header("x-amz-request-id").unwrap();
            assert!(id.starts_with(marker) && id.len() > marker.len(), "{id}");
            let next = reply.header("x-amz-id-2").unwrap();
            assert!(next.starts_with("run: bascule "), "{next}");
        }
        let text = get.text();
        assert!(
            text.contains(get.header("x-amz-request-id").unwrap()),
            "{text}"
        );
        assert!(text.contains("<HostId>run: bascule "), "{text}");
        assert!(text.contains("<Message>Bascule: "), "{text}");
        assert!(head.body.is_empty());
        assert_eq!(head.header("x-minio-error-code"), Some("AccessDenied"));
        let description = head.header("x-minio-error-desc").unwrap();
        assert!(description.starts_with("Bascule: "), "{description}");
        assert_eq!(world.provider.requests(), 0);
    }
}

#[tokio::test]
async fn r55_creating_ones_own_bucket_says_it_exists() {
    for permission in [
        Permission::Read,
        Permission::ReadWrite,
        Permission::ReadWriteNoDelete,
    ] {
        let mut limited = key(1, permission);
        limited.scope.prefixes = vec!["in/".parse().unwrap()];
        for key in [key(1, permission), limited] {
            let world = World::with(key, Settings::default()).await;
            let configuration = "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
            for ask in [
                world.ask("PUT", "/photos"),
                world.ask("PUT", "/photos/"),
                world.ask("PUT", "/photos").query("x-id", "CreateBucket"),
                world.ask("PUT", "/photos").body(configuration),
                world
                    .ask("PUT", "/photos")
                    .header("x-amz-acl", "private")
                    .header("x-amz-object-ownership", "BucketOwnerEnforced")
                    .header("x-amz-bucket-object-lock-enabled", "true"),
            ] {
                refused(&world, &ask, 409, "BucketAlreadyOwnedByYou").await;
            }
            refused(&world, &world.ask("PUT", "/secrets"), 403, "AccessDenied").await;
        }
    }
    let mut narrow = key(1, Permission::ReadWrite);
    narrow.scope.buckets = ["music".parse().unwrap()].into();
    let world = World::with(narrow, Settings::default()).await;
    refused(&world, &world.ask("PUT", "/photos"), 403, "AccessDenied").await;
}
