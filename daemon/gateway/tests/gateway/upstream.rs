//! Providers that fail, stall, send elsewhere or blame us.

use std::time::Duration;

use bascule_domain::key::Permission;
use bascule_gateway::{Settings, Trouble, UpstreamErrorKind};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::harness::{Ask, CONNECTION, Reply, Script, Seen, World, key, wait};

fn error(status: u16, code: &str) -> Script {
    Script::new(status, format!("<Error><Code>{code}</Code></Error>"))
}

fn wrong_region(region: &str) -> Script {
    Script::new(
        400,
        format!(
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>{region}</Region></Error>"
        ),
    )
}

fn scope(seen: &Seen) -> String {
    let authorization = seen.header("authorization").unwrap();
    authorization.split('/').nth(2).unwrap().to_owned()
}

fn marker(reply: &Reply) -> String {
    let id = reply.header("x-amz-request-id").unwrap();
    id.rsplit_once('-').unwrap().0.to_owned()
}

async fn quick() -> World {
    let settings = Settings {
        idle_limit: Duration::from_millis(40),
        answer_limit: Duration::from_millis(40),
        ..Settings::default()
    };
    World::with(key(1, Permission::ReadWrite), settings).await
}

#[tokio::test]
async fn r47_a_wrong_region_is_learned_and_bodiless_requests_are_sent_again() {
    let world = World::new().await;
    world.provider.script(wrong_region("eu-west-1"));
    assert_eq!(world.send(&world.ask("GET", "/photos/a")).await.status, 200);
    let seen = world.provider.seen();
    assert_eq!(
        seen.iter().map(scope).collect::<Vec<_>>(),
        ["us-east-1", "eu-west-1"]
    );
    assert_eq!(seen[0].uri, seen[1].uri, "the same host");

    // Remembered, and for this bucket only.
    for (path, region) in [("/photos/b", "eu-west-1"), ("/music/a", "us-east-1")] {
        let before = world.provider.requests();
        assert_eq!(world.send(&world.ask("GET", path)).await.status, 200);
        assert_eq!(world.provider.requests(), before + 1);
        assert_eq!(scope(&world.provider.seen()[before]), region);
    }
}

#[tokio::test]
async fn r47_changes_without_a_body_are_sent_again_and_count_once() {
    let world = World::new().await;
    for ask in [
        world.ask("DELETE", "/photos/a"),
        world
            .ask("PUT", "/photos/b")
            .header("x-amz-copy-source", "/photos/a"),
        world
            .ask("POST", "/photos/c")
            .query("uploads", "")
            .announce(0),
    ] {
        let before = world.provider.requests();
        let region = format!("region-{before}");
        let moved = Script::new(301, "").header("x-amz-bucket-region", &region);
        world.provider.script(moved);
        assert_eq!(world.send(&ask).await.status, 200, "{}", ask.method);
        assert_eq!(world.provider.requests(), before + 2);
        assert_eq!(scope(&world.provider.seen()[before + 1]), region);
    }
    world.idle().await;
    assert!(world.keyring.in_doubt(CONNECTION).is_empty());
    let ended = world.meter.exchanges.lock().unwrap().len();
    assert_eq!(ended, 6, "one beginning and one end for each");
}

#[tokio::test]
async fn r47_a_body_is_never_sent_twice() {
    let world = World::new().await;
    world.provider.script(wrong_region("eu-west-1"));
    let put = world.ask("PUT", "/photos/a").body("hello");
    let reply = world.send(&put).await;
    assert_eq!(
        (reply.status, marker(&reply).as_str()),
        (503, "PROVIDER-REGION")
    );
    assert_eq!(world.provider.requests(), 1);
    assert_eq!(world.send(&put).await.status, 200);
    assert_eq!(scope(&world.provider.seen()[1]), "eu-west-1");
}

#[tokio::test]
async fn r47_a_provider_that_names_ever_new_regions_is_asked_twice() {
    let world = World::new().await;
    world.provider.script(wrong_region("eu-west-1"));
    world.provider.script(wrong_region("eu-west-2"));
    let reply = world.send(&world.ask("GET", "/photos/a")).await;
    assert_eq!(reply.status, 503);
    assert_eq!(world.provider.requests(), 2);
}

#[tokio::test]
async fn i3_a_redirect_is_never_followed() {
    let world = World::new().await;
    for status in [301, 302, 303, 307, 308] {
        for location in [
            "https://elsewhere.test/photos/a",
            "http://provider.test:9000/x",
        ] {
            let before = world.provider.requests();
            let script = error(status, "TemporaryRedirect")
                .header("location", location)
                .header("x-amz-bucket-region", "us-east-1");
            world.provider.script(script);
            let reply = world.send(&world.ask("GET", "/photos/a")).await;
            assert_eq!(
                (reply.status, marker(&reply).as_str()),
                (503, "PROVIDER-REDIRECTS")
            );
            assert_eq!(reply.header("location"), None);
            assert!(!reply.text().contains("elsewhere"));
            assert_eq!(world.provider.requests(), before + 1, "{status} {location}");
        }
    }
    let hosts = world.provider.seen();
    assert!(
        hosts
            .iter()
            .all(|seen| seen.uri == "http://provider.test:9000/photos/a")
    );
}

#[tokio::test]
async fn i1_a_provider_that_cannot_be_reached_is_a_503() {
    let world = World::new().await;
    for kind in [
        UpstreamErrorKind::Unreachable,
        UpstreamErrorKind::Tls,
        UpstreamErrorKind::Timeout,
    ] {
        for ask in [
            world.ask("GET", "/photos/a"),
            world.ask("PUT", "/photos/a").body("hello"),
        ] {
            let before = world.provider.requests();
            world.provider.script(Script {
                fails: Some(kind),
                ..Script::new(0, "")
            });
            let reply = world.send(&ask).await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (503, "ServiceUnavailable")
            );
            assert_eq!(marker(&reply), "PROVIDER-UNAVAILABLE");
            assert_eq!(world.provider.requests(), before + 1, "nothing is repeated");
        }
    }
}

#[tokio::test]
async fn i2_a_provider_that_stays_silent_or_takes_no_body_is_given_up() {
    let world = quick().await;
    for ask in [
        world.ask("GET", "/photos/a"),
        world.ask("PUT", "/photos/a").body(vec![1; 8_000_000]),
    ] {
        world.provider.script(Script {
            deaf: true,
            ..Script::new(200, "")
        });
        let mut client = world.dial().await;
        client.write(&ask.head(&world)).await;
        // It may be answered before all of it is sent.
        let (mut reader, mut writer) = client.stream.split();
        let body = async {
            tokio::io::AsyncWriteExt::write_all(&mut writer, &ask.body)
                .await
                .ok()
        };
        let mut answer = Vec::new();
        let read = async {
            while !answer.ends_with(b"</Error>") {
                let read = tokio::io::AsyncReadExt::read_buf(&mut reader, &mut answer).await;
                if !matches!(read, Ok(1..)) {
                    break;
                }
            }
        };
        tokio::join!(body, read);
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("PROVIDER-UNAVAILABLE"), "{answer}");
    }
}

#[tokio::test]
async fn i2_a_provider_that_stalls_within_a_body_ends_like_one_that_broke() {
    let world = quick().await;
    let (held, stream) = mpsc::channel(1);
    world.provider.script(Script {
        stream: Some(stream),
        ..Script::new(200, "some").header("content-length", "10")
    });
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    let head = client.reply_head().await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(client.take(10).await, None, "never ten bytes");
    drop(held);
    world.idle().await;
}

#[tokio::test]
async fn i2_a_client_that_stalls_within_a_body_is_let_go() {
    let world = quick().await;
    for ask in [
        world.ask("PUT", "/photos/a").body(vec![1; 100]),
        world
            .ask("POST", "/photos")
            .query("delete", "")
            .body("<Delete><Object><Key>a</Key></Object></Delete>"),
    ] {
        let mut client = world.dial().await;
        client.write(&ask.head(&world)).await;
        client.write(&ask.body[..10]).await;
        let reply = client.reply(false).await.unwrap();
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "RequestTimeout")
        );
        assert!(client.ends().await);
    }
    world.idle().await;
    assert!(world.provider.seen().iter().all(|seen| !seen.complete));
}

#[tokio::test]
async fn i4_r45_a_body_that_went_out_is_not_replayed() {
    let world = World::new().await;
    for ask in [
        world.ask("PUT", "/photos/a").body(vec![1; 300_000]),
        world.ask("GET", "/photos/a"),
    ] {
        let before = world.provider.requests();
        world.provider.script(Script {
            fails: Some(UpstreamErrorKind::Broken),
            ..Script::new(0, "")
        });
        let reply = world.send(&ask).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (503, "ServiceUnavailable")
        );
        assert_eq!(world.provider.requests(), before + 1);
    }
}

#[tokio::test]
async fn i5_a_short_body_is_not_a_whole_one() {
    let world = World::new().await;
    for length in [Some("10"), None] {
        let mut script = Script::new(200, "short");
        if let Some(length) = length {
            script = script.header("content-length", length);
        }
        world.provider.script(Script {
            breaks: true,
            ..script
        });
        let mut client = world.dial().await;
        client
            .write(&world.ask("GET", "/photos/a").wire(&world))
            .await;
        assert!(client.reply(false).await.is_none(), "{length:?}");
    }
}

#[tokio::test]
async fn i5_r44_an_error_under_a_200_reaches_the_client() {
    let world = World::new().await;
    let failure = "<?xml version=\"1.0\"?>\n   <Error><Code>InternalError</Code></Error>";
    for ask in [
        world
            .ask("POST", "/photos/a")
            .query("uploadId", "u")
            .body("<CompleteMultipartUpload/>"),
        world
            .ask("PUT", "/photos/a")
            .header("x-amz-copy-source", "/photos/b"),
    ] {
        world.provider.script(Script::new(200, failure));
        let reply = world.send(&ask).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, failure));
    }
}

fn gets(world: &World) -> Ask {
    world.ask("GET", "/photos/a")
}

#[tokio::test]
async fn i7_r46_refused_credentials_are_flagged_and_nothing_is_repeated() {
    let world = World::new().await;
    let cell = world.keyring.connection(CONNECTION).unwrap();
    for code in [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "NotSignedUp",
    ] {
        for ask in [gets(&world), world.ask("PUT", "/photos/a").body("hello")] {
            let before = world.provider.requests();
            world.provider.script(error(403, code));
            let reply = world.send(&ask).await;
            assert_eq!(
                (reply.status, marker(&reply).as_str()),
                (503, "PROVIDER-CREDENTIALS")
            );
            assert!(!reply.text().contains(code));
            assert_eq!(world.provider.requests(), before + 1, "{code}");
            assert_eq!(cell.trouble(), Some(Trouble::Credentials));
        }
    }
    // A HEAD tells nothing; what is known counts.
    world.provider.script(Script::new(403, ""));
    let reply = world.send(&world.ask("HEAD", "/photos/a")).await;
    assert_eq!(reply.status, 503);
    // The provider's administrator repaired it.
    assert_eq!(world.send(&gets(&world)).await.status, 200);
    assert_eq!(cell.trouble(), None);
    world.provider.script(error(403, "AccessDenied"));
    assert_eq!(
        world.send(&gets(&world)).await.status,
        403,
        "about the client's request"
    );
    assert_eq!(cell.trouble(), None);
}

const LATE: &str = "Mon, 23 Nov 2026 14:00:00 GMT";

#[tokio::test]
async fn i8_a_skewed_provider_is_signed_for_by_its_own_clock() {
    let world = World::new().await;
    let skewed = || error(403, "RequestTimeTooSkewed").header("date", LATE);
    world.provider.script(skewed());
    assert_eq!(world.send(&gets(&world)).await.status, 200);
    let dates = |world: &World| {
        let date = |seen: Seen| seen.header("x-amz-date").unwrap().to_owned();
        world
            .provider
            .seen()
            .into_iter()
            .map(date)
            .collect::<Vec<_>>()
    };
    assert_eq!(dates(&world), ["20261123T120000Z", "20261123T140000Z"]);
    assert_eq!(world.send(&gets(&world)).await.status, 200);
    assert_eq!(dates(&world)[2], "20261123T140000Z", "remembered");
    let cell = world.keyring.connection(CONNECTION).unwrap();
    assert_eq!(cell.trouble(), None, "it was corrected");
}

#[tokio::test]
async fn i8_what_cannot_be_corrected_is_named_and_asked_at_most_twice() {
    let world = World::new().await;
    let skewed = |date: &str| error(403, "RequestTimeTooSkewed").header("date", date);
    let far = "Wed, 25 Nov 2026 12:00:01 GMT";
    for (script, ask, requests, apart) in [
        (
            skewed(LATE),
            world.ask("PUT", "/photos/a").body("x"),
            1,
            "7200 s ahead",
        ),
        (skewed(far), gets(&world), 1, "172801 s ahead"),
        (
            error(403, "RequestTimeTooSkewed"),
            gets(&world),
            1,
            "too far",
        ),
        (
            skewed("Mon, 23 Nov 2026 10:00:00 GMT"),
            gets(&world),
            2,
            "7200 s behind",
        ),
    ] {
        let before = world.provider.requests();
        world.provider.script(script);
        if requests == 2 {
            world
                .provider
                .script(skewed("Mon, 23 Nov 2026 10:00:00 GMT"));
        }
        let reply = world.send(&ask).await;
        assert_eq!(
            (reply.status, marker(&reply).as_str()),
            (503, "PROVIDER-CLOCK")
        );
        assert!(reply.text().contains(apart), "{}", reply.text());
        assert_eq!(world.provider.requests(), before + requests);
    }
}

#[tokio::test]
async fn h6_a_slow_reader_never_makes_us_buffer() {
    const FRAME: usize = 64 * 1024;
    let world = World::new().await;
    let (send, stream) = mpsc::channel(1);
    world.provider.script(Script {
        stream: Some(stream),
        ..Script::new(200, "")
    });
    let mut client = world.dial().await;
    client.write(&gets(&world).wire(&world)).await;
    wait(|| world.provider.requests() == 1).await;
    let frame = Bytes::from(vec![7; FRAME]);
    let taken = async {
        let mut taken = 0;
        // 5 GiB, of which none is read. Once nothing is taken for a while, nothing will be.
        while taken < 5 * 1024 * 1024 * 1024 / FRAME {
            let next = tokio::time::timeout(Duration::from_millis(500), send.send(frame.clone()));
            if next.await.is_err() {
                break;
            }
            taken += 1;
        }
        taken
    };
    let taken = taken.await;
    // What fits into the buffers of two sockets and ours.
    assert!(taken * FRAME < 32 * 1024 * 1024, "{taken} frames");
    drop(send);
    let reply = client.reply(false).await.unwrap();
    assert!(reply.body.len() >= taken * FRAME, "and it all arrives");
}
