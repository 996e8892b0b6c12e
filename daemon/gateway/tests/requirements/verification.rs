//! Requirements 1 to 11 and 16 to 23: what counts as a right signature, and for whom.

use std::sync::Arc;

use bascule_domain::key::{KeyState, Permission};
use bascule_gateway::Settings;

use crate::{
    hand::{Hand, STAMP, arrived, assert_signed_as_sent, send},
    harness::{Ask, CONNECTION, Script, World, key, refused},
};

/// A request that must be refused with this status and code, and reach nobody.
async fn denied(world: &World, wire: &[u8], status: u16, code: &str) -> String {
    let before = world.provider.requests();
    let reply = send(world, wire, false).await;
    let sent = String::from_utf8_lossy(wire);
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (status, code),
        "{sent}{}",
        reply.text()
    );
    assert_eq!(world.provider.requests(), before, "{sent}");
    reply.text()
}

/// The same request with one digit of its signature changed.
fn forged(world: &World, ask: &Ask) -> Vec<u8> {
    let mut wire = ask.wire(world);
    let at = wire.windows(10).position(|w| w == b"Signature=").unwrap() + 10;
    wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
    wire
}

#[tokio::test]
async fn r01_the_path_is_decoded_once_and_encoded_once() {
    let world = World::new().await;
    // What is sent, and the one form of it that is signed and forwarded.
    for (sent, canonical) in [
        ("a%20b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a%2Bb", "a%2Bb"),
        ("a%2fb", "a/b"),
        ("a%252Fb", "a%252Fb"),
        ("a%25252Fb", "a%25252Fb"),
        ("@(*)'!=", "%40%28%2A%29%27%21%3D"),
        (
            "%40%20%28%20%2A%20%29%20%27%20%21%20%3D",
            "%40%20%28%20%2A%20%29%20%27%20%21%20%3D",
        ),
        ("%f0%9f%8e%89", "%F0%9F%8E%89"),
        ("%C3%BC%2c;:%24&", "%C3%BC%2C%3B%3A%24%26"),
        ("-._~%2d%7e", "-._~-~"),
        ("%61", "a"),
    ] {
        let canonical = format!("/photos/{canonical}");
        let hand = Hand::new(&world, "GET", "").path(&format!("/photos/{sent}"), &canonical);
        let reply = hand.send(&world).await;
        assert_eq!(reply.status, 200, "{sent}: {}", reply.text());
        assert_eq!(arrived(&world), canonical, "{sent}");
    }
    let twice = Hand::new(&world, "GET", "").path("/photos/a%20b", "/photos/a%2520b");
    denied(&world, &twice.wire(&world), 403, "SignatureDoesNotMatch").await;
    let normalised = Hand::new(&world, "GET", "").path("/photos/a/../b", "/photos/b");
    denied(
        &world,
        &normalised.wire(&world),
        403,
        "SignatureDoesNotMatch",
    )
    .await;
}

#[tokio::test]
async fn r02_a_path_signed_as_it_was_sent_is_accepted_and_leaves_in_its_one_form() {
    let world = World::new().await;
    for (sent, canonical) in [
        ("/photos/a@b(c)", "/photos/a%40b%28c%29"),
        ("/photos/a+b", "/photos/a%2Bb"),
        ("/photos/%61", "/photos/a"),
        ("/photos/%c3%a9", "/photos/%C3%A9"),
        ("/photos/a%2Fb", "/photos/a/b"),
        ("//photos/a", ""),
    ] {
        let hand = Hand::new(&world, "GET", sent);
        if canonical.is_empty() {
            // Signed rightly, but there is no bucket without a name.
            denied(&world, &hand.wire(&world), 403, "AccessDenied").await;
            continue;
        }
        assert_eq!(hand.send(&world).await.status, 200, "{sent}");
        assert_eq!(arrived(&world), canonical, "{sent}");
        let seen = world.provider.seen().pop().unwrap();
        assert_signed_as_sent(&world, &seen);
    }
    let neither = Hand::new(&world, "GET", "").path("/photos/%61", "/photos/%2561");
    denied(&world, &neither.wire(&world), 403, "SignatureDoesNotMatch").await;
}

#[tokio::test]
async fn r03_policy_signature_and_wire_get_one_form() {
    let mut limited = key(1, Permission::ReadWrite);
    limited.scope.prefixes = vec!["in/".parse().unwrap()];
    let world = World::with(limited, Settings::default()).await;
    for (sent, canonical) in [
        ("/photos/%69n/%61", "/photos/in/a"),
        ("/photos/in%2fa+b", "/photos/in/a%2Bb"),
    ] {
        let hand = Hand::new(&world, "GET", "").path(sent, canonical);
        assert_eq!(hand.send(&world).await.status, 200, "{sent}");
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(arrived(&world), canonical);
        assert_signed_as_sent(&world, &seen);
    }
    let list = Hand::new(&world, "GET", "/photos").query(
        "prefix=in%2fa+b%2a&list-type=2&delimiter=%2f",
        "delimiter=%2F&list-type=2&prefix=in%2Fa%20b%2A",
    );
    assert_eq!(list.send(&world).await.status, 200);
    assert_eq!(
        arrived(&world),
        "/photos?delimiter=%2F&list-type=2&prefix=in%2Fa%20b%2A"
    );
    assert_signed_as_sent(&world, &world.provider.seen().pop().unwrap());
    // Another spelling is no way around the prefix.
    for (sent, canonical) in [
        ("/photos/%69n%25/a", "/photos/in%25/a"),
        ("/photos/in%252Fa", "/photos/in%252Fa"),
    ] {
        let hand = Hand::new(&world, "GET", "").path(sent, canonical);
        denied(&world, &hand.wire(&world), 403, "AccessDenied").await;
    }
}

#[tokio::test]
async fn r04_slashes_and_dots_survive_and_the_provider_judges_them() {
    let world = World::new().await;
    for path in [
        "/photos//a",
        "/photos/a//b",
        "/photos/a/",
        "/photos//",
        "/photos/a/./b",
        "/photos/a/../b",
        "/photos/..",
        "/photos/%2e%2e/a",
    ] {
        let canonical = path.replace("%2e", ".");
        let hand = Hand::new(&world, "GET", "").path(path, &canonical);
        world.provider.script(Script::new(
            400,
            "<Error><Code>XMinioInvalidObjectName</Code></Error>",
        ));
        let reply = hand.send(&world).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "XMinioInvalidObjectName")
        );
        assert_eq!(arrived(&world), canonical);
    }
}

#[tokio::test]
async fn r04_a_prefix_key_may_name_no_dot_segment_anywhere() {
    let mut limited = key(1, Permission::ReadWrite);
    limited.scope.prefixes = vec!["in/".parse().unwrap()];
    let world = World::with(limited, Settings::default()).await;
    for path in ["in/../out", "in/.", "in/..", "in/./a", "in/a/../../out"] {
        let plain = format!("/photos/{path}");
        let hidden = plain.replace('.', "%2e");
        for sent in [&plain, &hidden] {
            let hand = Hand::new(&world, "GET", "").path(sent, &plain);
            denied(&world, &hand.wire(&world), 403, "AccessDenied").await;
        }
        let list = world.ask("GET", "/photos").query("prefix", path);
        refused(&world, &list, 403, "AccessDenied").await;
        let copy = world
            .ask("PUT", "/photos/in/b")
            .header("x-amz-copy-source", &plain);
        refused(&world, &copy, 403, "AccessDenied").await;
        let bulk = world.ask("POST", "/photos").query("delete", "").body(format!(
            "<Delete><Object><Key>in/a</Key></Object><Object><Key>{path}</Key></Object></Delete>"
        ));
        refused(&world, &bulk, 403, "AccessDenied").await;
    }
    // Dots that are no segment of their own are names like others.
    for path in ["/photos/in/.hidden", "/photos/in/a..b", "/photos/in/..."] {
        assert_eq!(
            world.send(&world.ask("GET", path)).await.status,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn r05_a_query_is_sorted_after_encoding_and_plus_is_a_blank() {
    let world = World::new().await;
    let hand = Hand::new(&world, "GET", "/photos").query(
        "versions&prefix=a+b%2Bc&max-keys=2&delimiter=%2F",
        "delimiter=%2F&max-keys=2&prefix=a%20b%2Bc&versions=",
    );
    assert_eq!(hand.send(&world).await.status, 200);
    assert_eq!(
        arrived(&world),
        "/photos?delimiter=%2F&max-keys=2&prefix=a%20b%2Bc&versions="
    );
    // Encoded, `é` sorts before letters; decoded, it would come last. Duplicates are kept, sorted
    // by value: the signature is right, and only then the table denies them.
    for (sent, signed) in [
        ("prefix=z&%C3%A9=1", "%C3%A9=1&prefix=z"),
        ("prefix=b&prefix=a&prefix=b", "prefix=a&prefix=b&prefix=b"),
        ("prefix=a-&prefix=a%20", "prefix=a%20&prefix=a-"),
    ] {
        let hand = Hand::new(&world, "GET", "/photos").query(sent, signed);
        let text = denied(&world, &hand.wire(&world), 403, "AccessDenied").await;
        assert!(text.contains("NOT-PERMITTED"), "{sent}: {text}");
    }
    let wrong = Hand::new(&world, "GET", "/photos").query("prefix=b&prefix=a", "prefix=b&prefix=a");
    denied(&world, &wrong.wire(&world), 403, "SignatureDoesNotMatch").await;
}

#[tokio::test]
async fn r06_query_values_encode_what_urls_may_leave_alone() {
    let world = World::new().await;
    let hand = Hand::new(&world, "GET", "/photos").query(
        "prefix=a!'()*;:@$,/b",
        "prefix=a%21%27%28%29%2A%3B%3A%40%24%2C%2Fb",
    );
    assert_eq!(hand.send(&world).await.status, 200);
    assert_eq!(
        arrived(&world),
        "/photos?prefix=a%21%27%28%29%2A%3B%3A%40%24%2C%2Fb"
    );
}

#[tokio::test]
async fn r07_headers_are_signed_in_the_listed_order_joined_and_trimmed() {
    let world = World::new().await;
    let mut hand = Hand::new(&world, "PUT", "/photos/a")
        .header("x-amz-meta-list", "  a   b ")
        .header("x-amz-meta-list", "\"c  d\"")
        .header("x-amz-meta-empty", "")
        .header("x-amz-meta-latin", b"caf\xe9")
        .body(b"x");
    // Out of order, and one that nobody sends.
    hand.signed.reverse();
    hand.signed.push("range".into());
    let reply = hand.send(&world).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = world.provider.only();
    let lines: Vec<_> = seen.headers.get_all("x-amz-meta-list").iter().collect();
    assert_eq!(lines, ["a   b", "\"c  d\""], "forwarded as they came");
    assert_eq!(seen.header("x-amz-meta-empty"), Some(""));
    assert_eq!(seen.headers["x-amz-meta-latin"].as_bytes(), b"caf\xe9");
    assert_signed_as_sent(&world, &seen);
    // A header that was listed as absent may not appear on the way.
    let added = hand.unsigned("range", "bytes=0-1");
    let mut wire = hand_without_body(&added, &hand_authorization(&world, &added, "range"));
    wire.extend_from_slice(b"x");
    denied(&world, &wire, 403, "SignatureDoesNotMatch").await;
}

/// The authorization as it was before a header was added.
fn hand_authorization(world: &World, hand: &Hand, added: &str) -> String {
    let mut before = hand.clone();
    before.headers.retain(|(name, _)| name != added);
    before.authorization(world)
}

fn hand_without_body(hand: &Hand, authorization: &str) -> Vec<u8> {
    let mut bare = hand.clone();
    bare.body.clear();
    bare.raw(Some(authorization))
}

#[tokio::test]
async fn r08_headers_that_are_rewritten_upstream_may_be_signed_here() {
    let world = World::new().await;
    let hand = Hand::new(&world, "GET", "/photos/a")
        .header("accept-encoding", "gzip, deflate")
        .header("amz-sdk-invocation-id", "8f1c")
        .header("amz-sdk-request", "attempt=1; max=3")
        .header("range", "bytes=0-1,4-5")
        .header("user-agent", "tool/1.0  (x)")
        .header("connection", "keep-alive")
        .header("te", "trailers");
    let reply = hand.send(&world).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(world.provider.only().header("range"), Some("bytes=0-1,4-5"));
    for name in ["accept-encoding", "range", "user-agent", "amz-sdk-request"] {
        let changed = hand.clone().without(name).header(name, "other");
        let wire = changed.raw(Some(&hand.authorization(&world)));
        denied(&world, &wire, 403, "SignatureDoesNotMatch").await;
    }
}

#[tokio::test]
async fn r09_upstream_only_what_nobody_rewrites_is_signed() {
    let world = World::new().await;
    let ask = world
        .ask("PUT", "/photos/a")
        .header("content-type", "text/plain")
        .header("content-md5", "XrY7u+Ae7tCTyyK7j1rNww==")
        .header("x-amz-meta-a", "1")
        .header("cache-control", "no-store")
        .header("if-none-match", "*")
        .body("x");
    assert_eq!(world.send(&ask).await.status, 200);
    let get = world
        .ask("GET", "/photos/a")
        .header("accept-encoding", "gzip")
        .header("range", "bytes=0-1");
    assert_eq!(world.send(&get).await.status, 200);
    let signed = |at: usize| {
        let seen = &world.provider.seen()[at];
        assert_signed_as_sent(&world, seen);
        let text = seen.header("authorization").unwrap().to_owned();
        let (_, rest) = text.split_once("SignedHeaders=").unwrap();
        rest.split_once(',').unwrap().0.to_owned()
    };
    assert_eq!(
        signed(0),
        "content-md5;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-meta-a"
    );
    assert_eq!(signed(1), "host;x-amz-content-sha256;x-amz-date");
    assert_eq!(
        world.provider.seen()[1].header("accept-encoding"),
        Some("gzip")
    );
}

#[tokio::test]
async fn r10_host_and_every_amz_header_must_be_signed() {
    let world = World::new().await;
    let mut hostless = Hand::new(&world, "GET", "/photos/a");
    hostless.signed.retain(|name| name != "host");
    denied(&world, &hostless.wire(&world), 403, "AccessDenied").await;
    for name in [
        "x-amz-copy-source",
        "x-amz-acl",
        "x-amz-meta-a",
        "x-amz-tagging",
        "x-amz-server-side-encryption",
        "x-amz-storage-class",
        "x-amz-anything",
        "X-Amz-Copy-Source",
    ] {
        let put = Hand::new(&world, "PUT", "/photos/a").body(b"");
        let with = put.clone().unsigned(name, "/photos/b");
        denied(&world, &with.wire(&world), 403, "AccessDenied").await;
        let link = Hand::new(&world, "PUT", "/photos/a")
            .presign(&world, "600", &[])
            .unsigned(name, "/photos/b")
            .body(b"");
        denied(&world, &link.raw(None), 403, "AccessDenied").await;
    }
    // The hash stands in what is signed anyway.
    let mut exempt = Hand::new(&world, "GET", "/photos/a");
    exempt.signed.retain(|name| name != "x-amz-content-sha256");
    assert_eq!(exempt.send(&world).await.status, 200);
    // Not Amazon's own, although it looks so: proxies add it.
    let traced = Hand::new(&world, "GET", "/photos/a").unsigned("x-amzn-trace-id", "Root=1");
    assert_eq!(traced.send(&world).await.status, 200);
}

#[tokio::test]
async fn r11_a_request_has_one_authorization_and_one_value_for_each_name() {
    let world = World::new().await;
    let link = Hand::new(&world, "GET", "/photos/a").presign(&world, "600", &[]);
    let both = link.raw(Some(
        &Hand::new(&world, "GET", "/photos/a").authorization(&world),
    ));
    denied(&world, &both, 400, "InvalidRequest").await;
    let header = Hand::new(&world, "GET", "/photos/a");
    let twice = header
        .clone()
        .unsigned("authorization", header.authorization(&world));
    denied(&world, &twice.wire(&world), 400, "InvalidRequest").await;
    for name in [
        "x-amz-date",
        "x-amz-content-sha256",
        "host",
        "x-amz-copy-source",
    ] {
        let doubled = header.clone().header(name, "one").header(name, "two");
        denied(&world, &doubled.wire(&world), 400, "InvalidRequest").await;
    }
    for name in ["content-type", "content-md5", "range", "if-modified-since"] {
        let conflicting = header.clone().header(name, "one").header(name, "two");
        denied(&world, &conflicting.wire(&world), 400, "InvalidRequest").await;
        let repeated = header.clone().header(name, "one").header(name, "one");
        assert_eq!(repeated.send(&world).await.status, 200, "{name}");
    }
    for extra in [
        "&X-Amz-Expires=600",
        "&x-amz-expires=1",
        "&X-Amz-Credential=a",
        "&AWSAccessKeyId=a&Signature=b",
    ] {
        let mut doubled = link.clone();
        doubled.query.push_str(extra);
        denied(&world, &doubled.raw(None), 400, "InvalidRequest").await;
    }
    let conflicting = Hand::new(&world, "PUT", "/photos/a")
        .header("x-amz-storage-class", "STANDARD")
        .presign(&world, "600", &[("x-amz-storage-class", "GLACIER")])
        .body(b"");
    denied(&world, &conflicting.raw(None), 400, "InvalidRequest").await;
}

#[tokio::test]
async fn r16_clocks_may_differ_by_fifteen_minutes_both_ways() {
    let world = World::new().await;
    for (stamp, passes) in [
        ("20261123T114500Z", true),
        ("20261123T121500Z", true),
        ("20261123T114459Z", false),
        ("20261123T121501Z", false),
        ("20261122T120000Z", false),
    ] {
        let mut hand = Hand::new(&world, "GET", "/photos/a").set("x-amz-date", stamp);
        hand.stamp = stamp.into();
        hand.date = stamp[..8].into();
        if passes {
            assert_eq!(hand.send(&world).await.status, 200, "{stamp}");
        } else {
            denied(&world, &hand.wire(&world), 403, "RequestTimeTooSkewed").await;
        }
    }
    let mut other_day = Hand::new(&world, "GET", "/photos/a");
    other_day.date = "20261122".into();
    denied(
        &world,
        &other_day.wire(&world),
        400,
        "AuthorizationHeaderMalformed",
    )
    .await;
}

#[tokio::test]
async fn r17_the_date_header_serves_where_there_is_no_amz_date() {
    let world = World::new().await;
    for date in [
        "Mon, 23 Nov 2026 12:00:00 GMT",
        "Mon, 23 Nov 2026 12:00:00 +0000",
        // What botocore writes.
        "Mon, 23 Nov 2026 12:00:00 -0000",
        STAMP,
    ] {
        let dated = Hand::new(&world, "GET", "/photos/a").without("x-amz-date");
        for hand in [
            dated.clone().header("date", date),
            dated.clone().unsigned("date", date),
        ] {
            let reply = hand.send(&world).await;
            assert_eq!(reply.status, 200, "{date}: {}", reply.text());
        }
    }
    // The date of `x-amz-date` counts where both are there.
    let both =
        Hand::new(&world, "GET", "/photos/a").header("date", "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(both.send(&world).await.status, 200);
    for date in ["", "yesterday", "2026"] {
        let hand = Hand::new(&world, "GET", "/photos/a")
            .without("x-amz-date")
            .header("date", date);
        denied(
            &world,
            &hand.wire(&world),
            400,
            "AuthorizationHeaderMalformed",
        )
        .await;
    }
}

#[tokio::test]
async fn r18_components_may_stand_with_or_without_blanks() {
    let world = World::new().await;
    for separator in [",", ", ", " , ", ",\t", " ,   "] {
        let mut hand = Hand::new(&world, "GET", "/photos/a");
        hand.separator = separator;
        assert_eq!(hand.send(&world).await.status, 200, "{separator:?}");
    }
}

#[tokio::test]
async fn r19_any_region_is_accepted_and_belongs_to_the_key() {
    let world = World::new().await;
    for region in ["auto", "", "us-east-1", "eu-central-1", "wnam", "nowhere-9"] {
        let mut hand = Hand::new(&world, "GET", "/photos/a");
        hand.region = region.into();
        let reply = hand.send(&world).await;
        assert_eq!(reply.status, 200, "{region}: {}", reply.text());
        // Signed for one region, said to be for another.
        let mut other = hand.clone();
        other.region = "elsewhere".into();
        let wire = hand.raw(Some(
            &other
                .authorization(&world)
                .replace("/elsewhere/", &format!("/{region}/")),
        ));
        denied(&world, &wire, 403, "SignatureDoesNotMatch").await;
    }
    let seen = world.provider.seen().pop().unwrap();
    assert!(
        seen.header("authorization")
            .unwrap()
            .contains("/us-east-1/s3/")
    );
}

#[tokio::test]
async fn r20_version_2_is_refused_and_the_region_is_named_as_the_cure() {
    let world = World::new().await;
    let bare = Hand::new(&world, "GET", "/photos/a").without("x-amz-date");
    let header = bare.raw(Some("AWS AKID:c2lnbmF0dXJl"));
    let mut link = bare.clone();
    link.query = "AWSAccessKeyId=AKID&Signature=c2ln&Expires=1900000000".into();
    for wire in [header, link.raw(None)] {
        let text = denied(&world, &wire, 400, "InvalidRequest").await;
        assert!(text.contains("region") && text.contains("auto"));
        assert!(text.contains("Version 2"), "{text}");
    }
    let mut head = link.clone();
    head.method = "HEAD";
    let reply = head.follow(&world).await;
    assert_eq!(reply.status, 400);
    assert!(
        reply
            .header("x-minio-error-desc")
            .unwrap()
            .contains("region")
    );
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn r21_other_services_schemes_and_tokens_are_refused_by_name() {
    let world = World::new().await;
    let get = Hand::new(&world, "GET", "/photos/a");
    for (service, status, code) in [
        ("sts", 501, "NotImplemented"),
        ("iam", 400, "AuthorizationHeaderMalformed"),
        ("s3express", 400, "AuthorizationHeaderMalformed"),
    ] {
        let mut hand = get.clone();
        hand.service = service.into();
        denied(&world, &hand.wire(&world), status, code).await;
    }
    let sigv4a = get
        .authorization(&world)
        .replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256");
    denied(&world, &get.raw(Some(&sigv4a)), 501, "NotImplemented").await;
    let payload = get
        .clone()
        .payload("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD");
    denied(&world, &payload.wire(&world), 501, "NotImplemented").await;
    let token = get.clone().header("x-amz-security-token", "token");
    denied(&world, &token.wire(&world), 400, "InvalidToken").await;
    let link = Hand::new(&world, "GET", "/photos/a").presign(
        &world,
        "600",
        &[("X-Amz-Security-Token", "token")],
    );
    denied(&world, &link.raw(None), 400, "InvalidToken").await;
    for none in [None, Some("")] {
        let text = denied(&world, &get.raw(none), 403, "AccessDenied").await;
        assert!(text.contains("not signed"), "{text}");
    }
    denied(
        &world,
        &get.raw(Some("Bearer token")),
        400,
        "InvalidRequest",
    )
    .await;
}

#[tokio::test]
async fn r22_a_signature_is_compared_whole_and_in_constant_time() {
    let world = World::new().await;
    let hand = Hand::new(&world, "GET", "/photos/a");
    let right = hand.signature();
    for at in 0..right.len() {
        let mut digits = right.clone().into_bytes();
        digits[at] = if digits[at] == b'f' { b'e' } else { b'f' };
        let wrong = String::from_utf8(digits).unwrap();
        let authorization = hand.authorization(&world).replace(&right, &wrong);
        denied(
            &world,
            &hand.raw(Some(&authorization)),
            403,
            "SignatureDoesNotMatch",
        )
        .await;
    }
    for cut in [&right[..63], "", &right.to_uppercase()] {
        let authorization = hand.authorization(&world).replace(&right, cut);
        denied(
            &world,
            &hand.raw(Some(&authorization)),
            403,
            "SignatureDoesNotMatch",
        )
        .await;
    }
    // Time itself is measured elsewhere (threats.md A18); here, that nothing else compares.
    for source in [
        include_str!("../../../sigv4/src/verify.rs"),
        include_str!("../../../sigv4/src/chunks/seed.rs"),
    ] {
        assert!(source.contains("constant_time::verify_slices_are_equal"));
        assert!(!source.contains("computed =="));
    }
}

#[tokio::test]
async fn r23_unknown_deleted_and_revoked_keys_are_told_as_such() {
    let mut unknown = World::new().await;
    unknown.credentials.access_key_id = "BSCUNKNOWNUNKNOWN222".parse().unwrap();
    let revoked = World::new().await;
    revoked.revoke();
    let deleted = World::new().await;
    deleted.bury();
    assert!(deleted.keyring.remove_connection(CONNECTION));
    for (world, marker) in [
        (unknown, "KEY-UNKNOWN-"),
        (revoked, "KEY-REVOKED-"),
        (deleted, "KEY-REVOKED-"),
    ] {
        for ask in [
            world.ask("GET", "/photos/a"),
            world.ask("PUT", "/photos/a").body("x"),
            world.ask("GET", "/"),
        ] {
            let reply = refused(&world, &ask, 403, "InvalidAccessKeyId").await;
            let id = reply.header("x-amz-request-id").unwrap();
            assert!(id.starts_with(marker), "{id}");
            denied(&world, &forged(&world, &ask), 403, "InvalidAccessKeyId").await;
        }
    }
}

#[tokio::test]
async fn r23_paused_and_expired_are_told_only_after_a_valid_signature() {
    let mut paused = key(1, Permission::ReadWrite);
    paused.state = KeyState::Paused;
    let mut expired = key(1, Permission::ReadWrite);
    expired.expires_at = Some("2026-11-23T12:00:00Z".parse().unwrap());
    let connection = World::new().await;
    connection
        .keyring
        .pause(CONNECTION, bascule_gateway::PausedBy::User)
        .unwrap();
    for (world, marker) in [
        (
            World::with(paused, Settings::default()).await,
            "KEY-PAUSED-",
        ),
        (
            World::with(expired, Settings::default()).await,
            "KEY-EXPIRED-",
        ),
        (connection, "KEY-PAUSED-"),
    ] {
        let ask = world.ask("GET", "/photos/a");
        let reply = refused(&world, &ask, 403, "AccessDenied").await;
        let id = reply.header("x-amz-request-id").unwrap();
        assert!(id.starts_with(marker), "{id}");
        let text = denied(&world, &forged(&world, &ask), 403, "SignatureDoesNotMatch").await;
        assert!(
            !text.contains("paused") && !text.contains("expired"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn r23_state_is_checked_again_before_anything_is_sent() {
    let world = World::new().await;
    let keyring = Arc::clone(&world.keyring);
    // The clock is asked once to verify, and once more right before signing.
    *world.clock.hook.lock().unwrap() = Some((
        1,
        Box::new(move || {
            keyring
                .pause(CONNECTION, bascule_gateway::PausedBy::User)
                .unwrap();
        }),
    ));
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    if let Some(reply) = client.reply(false).await {
        assert_eq!(reply.status, 403);
    }
    assert!(world.clock.hook.lock().unwrap().is_none(), "the hook ran");
    assert_eq!(world.provider.requests(), 0);
}
