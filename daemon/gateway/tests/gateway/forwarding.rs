//! What reaches the provider, and what comes back.

use bascule_domain::{endpoint::Region, key::Permission};
use bascule_gateway::{Outcome, Settings, UpstreamErrorKind};
use bascule_sigv4::{Service, Signer};

use crate::harness::{CONNECTION, Script, World, access, key};

#[tokio::test]
async fn requests_are_rebuilt_and_signed_anew() {
    let world = World::new().await;
    world.provider.script(
        Script::new(206, "bytes")
            .header("etag", "\"e\"")
            .header("content-range", "bytes 0-4/9")
            .header("connection", "x-secret")
            .header("access-control-allow-origin", "*"),
    );
    let ask = world
        .ask("GET", "/photos/a b+c%2F/é")
        .query("versionId", "v 1")
        .query("x-id", "GetObject")
        .header("range", "bytes=0-4")
        .header("if-match", "\"e\"")
        .header("accept-encoding", "gzip")
        .unsigned("cookie", "a=b")
        .unsigned("x-forwarded-for", "192.0.2.1")
        .unsigned("user-agent", "tool");
    let reply = world.send(&ask).await;
    assert_eq!(
        (reply.status, reply.body.as_slice()),
        (206, b"bytes".as_slice())
    );
    assert_eq!(reply.header("content-range"), Some("bytes 0-4/9"));
    assert_eq!(reply.header("access-control-allow-origin"), None);

    let seen = world.provider.only();
    assert_eq!(
        seen.uri,
        "http://provider.test:9000/photos/a%20b%2Bc%252F/%C3%A9?versionId=v%201"
    );
    assert_eq!(seen.header("host"), Some("provider.test:9000"));
    assert_eq!(seen.header("range"), Some("bytes=0-4"));
    assert_eq!(seen.header("accept-encoding"), Some("gzip"));
    for left_behind in ["cookie", "x-forwarded-for", "user-agent", "connection"] {
        assert_eq!(seen.header(left_behind), None, "{left_behind}");
    }
    let authorization = seen.header("authorization").unwrap();
    assert!(
        authorization.contains("Credential=PROVIDERKEY/20261123/us-east-1/s3/"),
        "{authorization}"
    );
    assert!(!authorization.contains(world.credentials.access_key_id.as_str()));
}

#[tokio::test]
async fn a12_awkward_keys_arrive_as_they_were_authorised() {
    let world = World::new().await;
    let keys = [
        "a//b", "/a", "a/", "a/../b", "./a", "a%2Fb", "a%252Fb", "a\\b", "a\0b", "%61", "e\u{301}",
    ];
    for key in keys {
        let before = world.provider.requests();
        let reply = world
            .send(&world.ask("GET", &format!("/photos/{key}")))
            .await;
        assert_eq!(reply.status, 200, "{key:?} {}", reply.text());
        assert_eq!(world.provider.requests(), before + 1);
        let path = bascule_sigv4::encode_path(key.as_bytes());
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.uri, format!("http://provider.test:9000/photos/{path}"));
    }
}

#[tokio::test]
async fn a13_two_spellings_of_one_key_are_one() {
    let world = World::new().await;
    let mut ask = world.ask("GET", "/photos/a");
    let wire =
        String::from_utf8(ask.head(&world))
            .unwrap()
            .replacen("/photos/a ", "/photos/%61 ", 1);
    let mut client = world.dial().await;
    client.write(wire.as_bytes()).await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    assert_eq!(
        world.provider.only().uri,
        "http://provider.test:9000/photos/a"
    );
    // Signed as sent, which the verifier allows: the key is `a/b`, never `a%2Fb`.
    for (sent, arrives) in [
        ("/photos/a%2Fb", "/photos/a/b"),
        ("/photos/a%252Fb", "/photos/a%252Fb"),
    ] {
        ask.path = sent.into();
        assert_eq!(world.send(&ask).await.status, 200);
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.uri, format!("http://provider.test:9000{arrives}"));
    }
}

#[tokio::test]
async fn a16_headers_of_the_clients_hop_stay_there() {
    let world = World::new().await;
    let ask = world
        .ask("PUT", "/photos/a")
        .header("x-other", "1")
        .body("x")
        .unsigned("connection", "authorization, x-other")
        .unsigned("keep-alive", "timeout=5");
    assert_eq!(world.send(&ask).await.status, 200);
    let seen = world.provider.only();
    for name in ["x-other", "connection", "keep-alive"] {
        assert_eq!(seen.header(name), None);
    }
}

#[tokio::test]
async fn r42_head_keeps_its_length_and_asks_for_the_plain_form() {
    let world = World::new().await;
    world
        .provider
        .script(Script::new(200, "").header("content-length", "12345"));
    let reply = world
        .send(
            &world
                .ask("HEAD", "/photos/a")
                .header("accept-encoding", "gzip"),
        )
        .await;
    assert_eq!(
        (reply.status, reply.header("content-length")),
        (200, Some("12345"))
    );
    assert_eq!(
        world.provider.only().header("accept-encoding"),
        Some("identity")
    );
}

#[tokio::test]
async fn r43_conditional_answers_pass_with_their_headers() {
    let world = World::new().await;
    for status in [304, 404, 405, 412, 416, 403] {
        let body = if status == 304 {
            ""
        } else {
            "<Error><Code>Some</Code></Error>"
        };
        world.provider.script(
            Script::new(status, body)
                .header("etag", "\"e\"")
                .header("content-length", body.len().to_string()),
        );
        let reply = world.send(&world.ask("GET", "/photos/a")).await;
        assert_eq!(
            (reply.status, reply.header("etag")),
            (status, Some("\"e\""))
        );
        assert_eq!(reply.text(), body);
    }
}

#[tokio::test]
async fn listing_buckets_is_answered_here() {
    let world = World::new().await;
    let reply = world.send(&world.ask("GET", "/")).await;
    let text = reply.text();
    assert!(
        text.contains("<Name>music</Name><CreationDate>2026-11-23T12:00:00Z</CreationDate>"),
        "{text}"
    );
    assert!(text.contains("<Name>photos</Name>"));
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn every_row_of_the_table_is_forwarded_as_it_was_classified() {
    let world = World::new().await;
    type Query = Vec<(&'static str, &'static str)>;
    let rows: Vec<(&str, &str, Query)> = vec![
        ("HEAD", "/photos", vec![]),
        (
            "GET",
            "/photos",
            vec![
                ("list-type", "2"),
                ("prefix", "a b"),
                ("delimiter", "/"),
                ("continuation-token", "t="),
                ("fetch-owner", "true"),
            ],
        ),
        (
            "GET",
            "/photos",
            vec![
                ("prefix", ""),
                ("marker", "x"),
                ("max-keys", "5"),
                ("encoding-type", "url"),
            ],
        ),
        (
            "GET",
            "/photos",
            vec![("versions", ""), ("key-marker", "a")],
        ),
        ("GET", "/photos", vec![("uploads", ""), ("prefix", "p")]),
        ("GET", "/photos", vec![("location", "")]),
        ("GET", "/photos", vec![("versioning", "")]),
        ("GET", "/photos", vec![("object-lock", "")]),
        ("GET", "/photos", vec![("encryption", "")]),
        ("GET", "/photos", vec![("policy", "")]),
        ("GET", "/photos", vec![("inventory", ""), ("id", "1")]),
        (
            "GET",
            "/photos/a",
            vec![("response-content-type", "text/plain"), ("partNumber", "1")],
        ),
        ("GET", "/photos/a", vec![("tagging", "")]),
        ("GET", "/photos/a", vec![("attributes", "")]),
        (
            "GET",
            "/photos/a",
            vec![("uploadId", "u"), ("max-parts", "3")],
        ),
        ("DELETE", "/photos/a", vec![("versionId", "1")]),
        ("DELETE", "/photos/a", vec![("uploadId", "u")]),
        ("DELETE", "/photos/a", vec![("tagging", "")]),
        ("POST", "/photos/a", vec![("uploads", "")]),
    ];
    for (method, path, query) in rows {
        let mut ask = world.ask(method, path);
        for (name, value) in &query {
            ask = ask.query(name, value);
        }
        let reply = world.send(&ask).await;
        assert_eq!(
            reply.status,
            200,
            "{method} {path} {query:?}: {}",
            reply.text()
        );
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.method.as_str(), method);
        let encoded = bascule_sigv4::encode_query(&ask.query);
        assert_eq!(
            seen.uri.split_once('?').map_or("", |(_, query)| query),
            encoded
        );
    }
}

#[tokio::test]
async fn r49_copies_are_written_anew_from_what_was_checked() {
    let world = World::new().await;
    let ask = world
        .ask("PUT", "/photos/b")
        .header("x-amz-copy-source", "music/a%20b%2Bc?versionId=v1")
        .header("x-amz-metadata-directive", "REPLACE")
        .header("x-amz-meta-a", "1");
    assert_eq!(world.send(&ask).await.status, 200);
    let seen = world.provider.only();
    assert_eq!(
        seen.header("x-amz-copy-source"),
        Some("/music/a%20b%2Bc?versionId=v1")
    );
    assert_eq!(seen.header("x-amz-metadata-directive"), Some("REPLACE"));
}

#[tokio::test]
async fn a_presigned_link_works_and_dies_with_its_key() {
    let world = World::new().await;
    let now = *world.clock.now.lock().unwrap();
    let signer = Signer {
        credentials: &world.credentials,
        region: &Region::try_from("auto".to_owned()).unwrap(),
        service: Service::S3,
    };
    let base = format!("http://{}", world.address);
    let url = signer.presign(&http::Method::GET, &base, "/photos/a", &[], 600, now);
    let target = url.strip_prefix(&base).unwrap();
    let wire = format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", world.address);
    let mut client = world.dial().await;
    client.write(wire.as_bytes()).await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    assert_eq!(
        world.provider.only().uri,
        "http://provider.test:9000/photos/a"
    );

    // c4
    world.revoke();
    client.write(wire.as_bytes()).await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (403, "InvalidAccessKeyId")
    );
    assert_eq!(world.provider.requests(), 1);
}

#[tokio::test]
async fn r51_a_virtual_host_names_the_bucket() {
    let settings = Settings {
        host_suffix: Some("s3.local".into()),
        ..Settings::default()
    };
    let world = World::with(key(1, Permission::ReadWrite), settings).await;
    let mut ask = world.ask("GET", "/music/a");
    ask.host = "photos.s3.local".into();
    assert_eq!(world.send(&ask).await.status, 200);
    assert_eq!(
        world.provider.only().uri,
        "http://provider.test:9000/photos/music/a"
    );
    ask.host = "secrets.s3.local".into();
    assert_eq!(world.send(&ask).await.status, 403);
    assert_eq!(world.provider.requests(), 1);
}

#[tokio::test]
async fn r46_what_the_provider_says_about_our_credentials_stays_here() {
    let world = World::new().await;
    for (status, code) in [
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "ExpiredToken"),
        (403, "RequestTimeTooSkewed"),
        (301, "PermanentRedirect"),
        (401, "Unauthorized"),
    ] {
        world.provider.script(Script::new(
            status,
            format!(
                "<Error><Code>{code}</Code><AWSAccessKeyId>PROVIDERKEY</AWSAccessKeyId></Error>"
            ),
        ));
        let reply = world.send(&world.ask("GET", "/photos/a")).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (503, "ServiceUnavailable"),
            "{code}"
        );
        assert!(!format!("{reply:?}").contains("PROVIDERKEY"));
        assert!(
            world
                .keyring
                .connection(CONNECTION)
                .unwrap()
                .trouble()
                .is_some()
        );
    }
    world
        .keyring
        .swap_credentials(CONNECTION, access("NEWKEY", 2))
        .unwrap();
    assert!(
        world
            .keyring
            .connection(CONNECTION)
            .unwrap()
            .trouble()
            .is_none()
    );
    assert_eq!(world.send(&world.ask("GET", "/photos/a")).await.status, 200);
    let last = world.provider.seen().pop().unwrap();
    assert!(
        last.header("authorization")
            .unwrap()
            .contains("Credential=NEWKEY/")
    );
}

#[tokio::test]
async fn a_provider_that_is_away_is_a_503_that_tools_retry() {
    let world = World::new().await;
    world.provider.script(Script {
        fails: Some(UpstreamErrorKind::Unreachable),
        ..Script::new(0, "")
    });
    let reply = world.send(&world.ask("GET", "/photos/a")).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (503, "ServiceUnavailable")
    );
}

#[tokio::test]
async fn r48_a_completed_upload_is_located_here_and_blanks_pass_at_once() {
    let world = World::new().await;
    let (send, receive) = tokio::sync::mpsc::channel(4);
    let begin = "<?xml version=\"1.0\"?>\n";
    world.provider.script(Script {
        stream: Some(receive),
        ..Script::new(200, begin)
    });
    let mut client = world.dial().await;
    let ask = world
        .ask("POST", "/photos/a b")
        .query("uploadId", "u")
        .body("<CompleteMultipartUpload/>");
    client.write(&ask.wire(&world)).await;
    let head = client.reply_head().await.unwrap();
    assert_eq!(head.status, 200);
    assert!(
        client.take(begin.len()).await.is_some(),
        "the blanks came before the result"
    );
    send.send("  <CompleteMultipartUploadResult><Location>http://provider.test:9000/photos/a</Location><ETag>e</ETag></CompleteMultipartUploadResult>".into()).await.unwrap();
    drop(send);
    let mut rest = Vec::new();
    while let Some(byte) = client.take(1).await {
        rest.extend(byte);
        if rest.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    let rest = String::from_utf8(rest).unwrap();
    assert!(
        rest.contains(&format!(
            "<Location>http://{}/photos/a%20b</Location>",
            world.address
        )),
        "{rest}"
    );
    assert!(!rest.contains("provider.test"));
}

#[tokio::test]
async fn every_exchange_is_metered() {
    let world = World::new().await;
    world.provider.script(Script::new(200, "12345"));
    world.send(&world.ask("GET", "/photos/a")).await;
    world.send(&world.ask("PUT", "/photos/a").body("123")).await;
    world.idle().await;
    let seen = world.meter.exchanges.lock().unwrap().clone();
    assert_eq!(
        seen,
        [
            ("GetObject", Outcome::Answered, 0, 5),
            ("PutObject", Outcome::Running, 0, 0),
            ("PutObject", Outcome::Answered, 3, 0),
        ]
    );
    let used = world.keyring.last_used(&world.credentials.access_key_id);
    assert_eq!(used, Some(*world.clock.now.lock().unwrap()));
}
