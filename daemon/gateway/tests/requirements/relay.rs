//! Requirements 46, 48 to 50 and 53: what passes between the provider and the client is neither
//! more nor less than what it is about, and ends when it must.

use std::{
    fmt,
    sync::{Arc, Mutex, atomic::Ordering},
};

use bascule_domain::key::Permission;
use bascule_gateway::{InDoubt, Settings, Trouble, UpstreamAccess};
use tokio::sync::{Notify, mpsc};
use tracing::{Event, Metadata, Subscriber, field::Visit, span};

use crate::{
    hand::assert_signed_as_sent,
    harness::{Ask, CONNECTION, PATIENCE, Script, World, access, key, refused, wait},
};

#[tokio::test]
async fn r46_redirects_and_doubts_about_our_credentials_never_reach_the_client() {
    for (status, code) in [
        (403, "InvalidAccessKeyId"),
        (403, "SignatureDoesNotMatch"),
        (400, "ExpiredToken"),
        (403, "RequestTimeTooSkewed"),
        (307, "TemporaryRedirect"),
        (302, "Found"),
        (301, "Moved"),
    ] {
        for (method, path) in [
            ("GET", "/photos/a"),
            ("GET", "/photos"),
            ("DELETE", "/photos/a"),
        ] {
            let world = World::new().await;
            for _ in 0..4 {
                world.provider.script(
                    Script::new(
                        status,
                        format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>m</Message><AWSAccessKeyId>PROVIDERKEY</AWSAccessKeyId><Endpoint>provider.test</Endpoint></Error>"),
                    )
                    .header("location", "http://provider.test:9000/elsewhere"),
                );
            }
            let reply = world.send(&world.ask(method, path)).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (503, "ServiceUnavailable"),
                "{code}"
            );
            let told = format!("{reply:?}{}", reply.text());
            assert!(
                !told.contains("PROVIDERKEY") && !told.contains("provider.test"),
                "{told}"
            );
            let connection = world.keyring.connection(CONNECTION).unwrap();
            let trouble = match code {
                "RequestTimeTooSkewed" => Trouble::Clock,
                _ if status < 400 => Trouble::Redirects,
                _ => Trouble::Credentials,
            };
            assert_eq!(connection.trouble(), Some(trouble), "{code}");
        }
    }
    // What is about the client's request is the client's to read.
    for (status, code) in [
        (403, "AccessDenied"),
        (400, "InvalidArgument"),
        (400, "EntityTooSmall"),
    ] {
        let world = World::new().await;
        world.provider.script(Script::new(
            status,
            format!("<Error><Code>{code}</Code></Error>"),
        ));
        let reply = world.send(&world.ask("GET", "/photos/a")).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code));
    }
}

#[tokio::test]
async fn r48_a_completed_upload_is_found_where_the_client_asked_for_it() {
    let settings = Settings {
        host_suffix: Some("s3.local".into()),
        ..Settings::default()
    };
    let world = World::with(key(1, Permission::ReadWrite), settings).await;
    for (host, path, location) in [
        (
            "127.0.0.1:9",
            "/photos/a b/c&d",
            "http://127.0.0.1:9/photos/a%20b/c%26d",
        ),
        ("photos.s3.local", "/a+b", "http://photos.s3.local/a%2Bb"),
    ] {
        world.provider.script(Script::new(
            200,
            "<CompleteMultipartUploadResult><Location>http://provider.test:9000/photos/x</Location><Bucket>photos</Bucket><Key>k</Key><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>",
        ));
        let mut ask = world
            .ask("POST", path)
            .query("uploadId", "u")
            .body("<CompleteMultipartUpload/>");
        ask.host = host.into();
        let reply = world.send(&ask).await;
        let text = reply.text();
        assert!(
            text.contains(&format!("<Location>{location}</Location>")),
            "{text}"
        );
        assert!(
            text.contains("<Bucket>photos</Bucket><Key>k</Key><ETag>\"e-2\"</ETag>"),
            "{text}"
        );
    }
    // A listing names buckets as the provider does: they are called the same.
    world.provider.script(Script::new(
        200,
        "<ListBucketResult><Name>photos</Name></ListBucketResult>",
    ));
    let reply = world.send(&world.ask("GET", "/photos")).await;
    assert_eq!(
        reply.text(),
        "<ListBucketResult><Name>photos</Name></ListBucketResult>"
    );
}

/// What a provider says about our credentials may be packed, because the client asked for that.
#[tokio::test]
async fn r46_what_is_packed_is_asked_for_again_so_that_it_can_be_read() {
    let refusal = "<Error><Code>InvalidAccessKeyId</Code><AWSAccessKeyId>PROVIDERKEY</AWSAccessKeyId></Error>";
    let packed =
        |status| Script::new(status, "\x1f\u{8b}PROVIDERKEY").header("content-encoding", "gzip");
    let get = |world: &World| {
        world
            .ask("GET", "/photos/a")
            .header("accept-encoding", "gzip")
    };

    for status in [400, 403] {
        let world = World::new().await;
        world.provider.script(packed(status));
        world.provider.script(Script::new(status, refusal));
        let reply = world.send(&get(&world)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (503, "ServiceUnavailable")
        );
        let connection = world.keyring.connection(CONNECTION).unwrap();
        assert_eq!(connection.trouble(), Some(Trouble::Credentials));
        let seen = world.provider.seen();
        assert_eq!(seen[0].header("accept-encoding"), Some("gzip"));
        assert_eq!((seen.len(), seen[1].header("accept-encoding")), (2, None));
        assert_signed_as_sent(&world, &seen[1]);
    }

    let world = World::new().await;
    world.provider.script(packed(403));
    world
        .provider
        .script(Script::new(403, "<Error><Code>AccessDenied</Code></Error>"));
    let reply = world.send(&get(&world)).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "AccessDenied"));

    let world = World::new().await;
    world.provider.script(packed(403));
    world.provider.script(packed(403));
    let reply = world.send(&get(&world)).await;
    let told = format!("{reply:?}{}", reply.text());
    assert!(
        reply.status == 503 && !told.contains("PROVIDERKEY"),
        "{told}"
    );
    assert_eq!(world.provider.requests(), 2);
    let delete = world.ask("DELETE", "/photos/a");
    world.provider.script(packed(403));
    world.provider.script(packed(403));
    assert_eq!(world.send(&delete).await.status, 503);
}

#[tokio::test]
async fn r49_a_copy_source_is_decoded_once_checked_and_written_anew() {
    let world = World::new().await;
    for (sent, upstream) in [
        ("music/a", "/music/a"),
        ("/music/a", "/music/a"),
        ("%2Fmusic%2Fa", "/music/a"),
        ("/music/a%20b%2Bc", "/music/a%20b%2Bc"),
        // AWS takes it for a blank, MinIO does not: neither is changed on the way.
        ("/music/a+b", "/music/a+b"),
        (
            "music/%c3%a9+%2B+/%2f?versionId=v",
            "/music/%C3%A9+%2B+//?versionId=v",
        ),
        ("/music/a%252Fb", "/music/a%252Fb"),
        ("/music//a/", "/music//a/"),
        ("/music/%C3%BC", "/music/%C3%BC"),
        ("/music/a%3FversionId=x", "/music/a%3FversionId%3Dx"),
        ("/music/a?versionId=v%2F1", "/music/a?versionId=v%2F1"),
        ("/music/a?versionId=null", "/music/a?versionId=null"),
    ] {
        for part in [false, true] {
            let mut ask = world
                .ask("PUT", "/photos/b")
                .header("x-amz-copy-source", sent);
            if part {
                ask = ask.query("partNumber", "1").query("uploadId", "u");
            }
            let reply = world.send(&ask).await;
            assert_eq!(reply.status, 200, "{sent}: {}", reply.text());
            let seen = world.provider.seen().pop().unwrap();
            assert_eq!(seen.header("x-amz-copy-source"), Some(upstream), "{sent}");
            assert_signed_as_sent(&world, &seen);
        }
    }

    let mut limited = key(1, Permission::ReadWrite);
    limited.scope.prefixes = vec!["in/".parse().unwrap()];
    limited.scope.buckets = [("photos".parse().unwrap())].into();
    let world = World::with(limited, Settings::default()).await;
    for (source, status, code) in [
        ("/photos/out/a", 403, "AccessDenied"),
        ("/photos/in%252Fa", 403, "AccessDenied"),
        ("/music/in/a", 403, "AccessDenied"),
        ("/secrets/in/a", 403, "AccessDenied"),
        ("/photos", 400, "InvalidArgument"),
        ("", 400, "InvalidArgument"),
        ("/photos/in/a?x=1", 400, "InvalidArgument"),
        ("/photos/in/%FF", 400, "InvalidArgument"),
    ] {
        let ask = world
            .ask("PUT", "/photos/in/b")
            .header("x-amz-copy-source", source);
        refused(&world, &ask, status, code).await;
    }
}

const CUSTOMER_KEY: &str = "Q1VTVE9NRVJLRVlDVVNUT01FUktFWUNVU1RPTUVSS0U=";

fn with_customer_key(ask: Ask) -> Ask {
    ask.header("x-amz-server-side-encryption-customer-algorithm", "AES256")
        .header("x-amz-server-side-encryption-customer-key", CUSTOMER_KEY)
        .header("x-amz-server-side-encryption-customer-key-md5", "bWQ1")
}

fn encrypted(world: &World) -> Vec<Ask> {
    let copy = world
        .ask("PUT", "/photos/a")
        .header("x-amz-copy-source", "/photos/b")
        .header(
            "x-amz-copy-source-server-side-encryption-customer-algorithm",
            "AES256",
        )
        .header(
            "x-amz-copy-source-server-side-encryption-customer-key",
            CUSTOMER_KEY,
        )
        .header(
            "x-amz-copy-source-server-side-encryption-customer-key-md5",
            "bWQ1",
        );
    vec![
        with_customer_key(world.ask("GET", "/photos/a")),
        with_customer_key(world.ask("HEAD", "/photos/a")),
        with_customer_key(world.ask("PUT", "/photos/a").body("x")),
        with_customer_key(world.ask("POST", "/photos/a").query("uploads", "")),
        with_customer_key(
            world
                .ask("PUT", "/photos/a")
                .query("partNumber", "1")
                .query("uploadId", "u")
                .body("x"),
        ),
        with_customer_key(world.ask("GET", "/photos/a").query("attributes", "")),
        copy,
    ]
}

#[tokio::test]
async fn r50_customers_keys_travel_encrypted_and_are_never_logged() {
    let log = Log::default();
    let _recording = tracing::subscriber::set_default(log.clone());
    let world = World::new().await;
    for ask in encrypted(&world) {
        let reply = refused(&world, &ask, 400, "InvalidRequest").await;
        assert!(ask.method == http::Method::HEAD || reply.text().contains("http"));
    }
    world
        .keyring
        .swap_credentials(
            CONNECTION,
            UpstreamAccess {
                tls: true,
                ..access("PROVIDERKEY", 2)
            },
        )
        .unwrap();
    for ask in encrypted(&world) {
        assert_eq!(world.send(&ask).await.status, 200);
        let seen = world.provider.seen().pop().unwrap();
        assert!(seen.uri.starts_with("https://"));
        for (name, value) in &ask.headers {
            if name.as_str().contains("customer") {
                assert_eq!(seen.headers.get(name), Some(value), "untouched: {name}");
            }
        }
    }
    // Also where the exchange goes wrong, and is told in the log.
    world.provider.script(Script {
        fails: Some(bascule_gateway::UpstreamErrorKind::Broken),
        ..Script::new(0, "")
    });
    world.send(&encrypted(&world)[2]).await;
    let told = log.0.lock().unwrap().clone();
    assert!(told.contains("no answer"), "something was logged: {told}");
    assert!(
        !told.contains(CUSTOMER_KEY) && !told.contains("customer"),
        "{told}"
    );
}

/// Keeps every event, at every level, with all its fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        let mut text = self.0.lock().unwrap();
        text.push_str(&format!("{field}={value:?} "));
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn r53_a_revocation_drops_both_halves_of_a_download() {
    let world = World::new().await;
    let (send, receive) = mpsc::channel(1);
    world.provider.script(
        Script {
            stream: Some(receive),
            ..Script::new(200, "begin")
        }
        .header("content-length", "1000000"),
    );
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply_head().await.unwrap().status, 200);
    assert_eq!(client.take(5).await.unwrap(), b"begin");
    world.revoke();
    assert!(client.ends().await);
    tokio::time::timeout(PATIENCE, send.closed())
        .await
        .expect("the provider's half ended");
}

#[tokio::test]
async fn r53_an_upload_cut_before_its_end_leaves_nothing_and_after_it_is_in_doubt() {
    let world = World::new().await;
    let mut client = world.dial().await;
    let ask = world.ask("PUT", "/photos/early").body(vec![0; 100_000]);
    client.write(&ask.head(&world)).await;
    client.write(&ask.body[..50_000]).await;
    wait(|| world.provider.received.load(Ordering::SeqCst) == 50_000).await;
    world
        .keyring
        .pause(CONNECTION, bascule_gateway::PausedBy::User)
        .unwrap();
    assert!(client.ends().await);
    world.idle().await;
    assert!(!world.provider.only().complete, "no object");
    assert_eq!(world.keyring.in_doubt(CONNECTION), []);

    world.keyring.resume(CONNECTION).unwrap();
    let hold = Arc::new(Notify::new());
    world.provider.script(Script {
        hold: Some(Arc::clone(&hold)),
        ..Script::new(200, "")
    });
    let mut client = world.dial().await;
    let late = world.ask("PUT", "/photos/late").body("whole");
    client.write(&late.wire(&world)).await;
    wait(|| world.provider.seen().len() == 2).await;
    world
        .keyring
        .pause(CONNECTION, bascule_gateway::PausedBy::User)
        .unwrap();
    assert!(client.ends().await, "the client is cut at once");
    let doubt = InDoubt {
        bucket: "photos".parse().unwrap(),
        key: Some("late".parse().unwrap()),
        action: bascule_domain::operation::Action::PutObject,
    };
    assert_eq!(world.keyring.in_doubt(CONNECTION), [doubt]);
    hold.notify_one();
    world.idle().await;
}
