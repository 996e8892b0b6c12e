//! Requirements 12 to 15: links that carry their signature in the query.

use bascule_domain::key::Permission;
use bascule_gateway::Settings;

use crate::{
    hand::{Hand, UNSIGNED, arrived, assert_signed_as_sent},
    harness::{World, hex, key, sha256},
};

async fn denied(world: &World, link: &Hand, status: u16, code: &str) -> String {
    let before = world.provider.requests();
    let reply = link.follow(world).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (status, code),
        "{}: {}",
        link.query,
        reply.text()
    );
    assert_eq!(world.provider.requests(), before, "{}", link.query);
    reply.text()
}

#[tokio::test]
async fn r12_hoisted_parameters_become_headers_and_the_seven_go() {
    let world = World::new().await;
    let link = Hand::new(&world, "PUT", "/photos/a")
        .presign(
            &world,
            "600",
            &[
                ("x-amz-meta-note", "b c"),
                ("X-Amz-Storage-Class", "STANDARD_IA"),
                ("x-amz-sdk-checksum-algorithm", "CRC32"),
                ("X-Amz-User-Agent", "aws-sdk-js/3"),
                ("x-id", "PutObject"),
            ],
        )
        .body(b"hello");
    let reply = link.follow(&world).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(arrived(&world), "/photos/a");
    let seen = world.provider.only();
    assert_eq!(seen.header("x-amz-meta-note"), Some("b c"));
    assert_eq!(seen.header("x-amz-storage-class"), Some("STANDARD_IA"));
    assert_eq!(seen.header("x-amz-sdk-checksum-algorithm"), Some("CRC32"));
    assert_signed_as_sent(&world, &seen);

    // What was hoisted is judged like a header: it may turn a PUT into a copy, or widen an ACL.
    let copy = Hand::new(&world, "PUT", "/photos/b").presign(
        &world,
        "600",
        &[("x-amz-copy-source", "/secrets/a")],
    );
    denied(&world, &copy, 403, "AccessDenied").await;
    let acl = Hand::new(&world, "PUT", "/photos/b").presign(
        &world,
        "600",
        &[("x-amz-acl", "public-read")],
    );
    denied(&world, &acl, 403, "AccessDenied").await;
}

#[tokio::test]
async fn r12_ordinary_parameters_of_a_link_stay_in_the_query() {
    let world = World::new().await;
    let link = Hand::new(&world, "GET", "/photos/a").presign(
        &world,
        "600",
        &[
            (
                "response-content-disposition",
                "attachment; filename=\"a b\"",
            ),
            ("response-content-type", "text/plain"),
            ("versionId", "null"),
            ("partNumber", "1"),
        ],
    );
    assert_eq!(link.follow(&world).await.status, 200);
    assert_eq!(
        arrived(&world),
        "/photos/a?partNumber=1&response-content-disposition=attachment%3B%20filename%3D%22a%20b%22&response-content-type=text%2Fplain&versionId=null"
    );
}

#[tokio::test]
async fn r13_a_link_covers_its_payload_only_if_the_hash_was_signed() {
    let world = World::new().await;
    let link = Hand::new(&world, "PUT", "/photos/a").presign(&world, "600", &[]);
    let free = link.clone().body(b"anything");
    assert_eq!(free.follow(&world).await.status, 200);
    let seen = world.provider.only();
    assert_eq!(seen.header("x-amz-content-sha256"), Some(UNSIGNED));
    assert_eq!(seen.body, b"anything");

    let hash = hex(&sha256(b"pinned"));
    let in_header = Hand::new(&world, "PUT", "/photos/a")
        .payload(&hash)
        .presign(&world, "600", &[]);
    let mut in_query = Hand::new(&world, "PUT", "/photos/a").without("x-amz-content-sha256");
    in_query.payload = hash.clone();
    let in_query = in_query.presign(&world, "600", &[("X-Amz-Content-Sha256", &hash)]);
    for pinned in [in_header, in_query] {
        let right = pinned.clone().body(b"pinned");
        let reply = right.follow(&world).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.header("x-amz-content-sha256"), Some(hash.as_str()));
        let wrong = pinned.body(b"forged").follow(&world).await;
        assert_eq!(wrong.code(), "XAmzContentSHA256Mismatch");
        assert!(!world.provider.seen().pop().unwrap().complete);
    }
    // Unsigned, it decides nothing.
    let unsigned = link
        .unsigned("x-amz-content-sha256", hex(&sha256(b"other")))
        .body(b"anything");
    assert_eq!(unsigned.follow(&world).await.status, 200);
}

#[tokio::test]
async fn r14_the_content_type_of_a_link_is_free_unless_it_was_signed() {
    let world = World::new().await;
    let signed = Hand::new(&world, "PUT", "/photos/a")
        .header("content-type", "image/png")
        .presign(&world, "600", &[])
        .body(b"x");
    assert_eq!(signed.follow(&world).await.status, 200);
    assert_eq!(
        world.provider.only().header("content-type"),
        Some("image/png")
    );
    let mut other = signed.clone();
    for (name, value) in &mut other.headers {
        if name == "content-type" {
            *value = b"text/html".to_vec();
        }
    }
    denied(&world, &other, 403, "SignatureDoesNotMatch").await;
    let mut none = signed.clone();
    none.headers.retain(|(name, _)| name != "content-type");
    denied(&world, &none, 403, "SignatureDoesNotMatch").await;

    let free = Hand::new(&world, "PUT", "/photos/a").presign(&world, "600", &[]);
    for kind in ["text/html", "image/png"] {
        let link = free.clone().unsigned("content-type", kind).body(b"x");
        assert_eq!(link.follow(&world).await.status, 200);
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(seen.header("content-type"), Some(kind));
    }
}

#[tokio::test]
async fn r15_a_link_lives_from_one_second_to_seven_days() {
    let world = World::new().await;
    for expires in [
        "0",
        "-1",
        "604801",
        "9999999999",
        "",
        "x",
        "1.5",
        "1e3",
        "+5",
        " 5",
    ] {
        let link = Hand::new(&world, "GET", "/photos/a").presign(&world, expires, &[]);
        denied(&world, &link, 403, "AccessDenied").await;
    }
    for expires in ["1", "604800"] {
        let link = Hand::new(&world, "GET", "/photos/a").presign(&world, expires, &[]);
        assert_eq!(link.follow(&world).await.status, 200, "{expires}");
    }
    let link = Hand::new(&world, "GET", "/photos/a").presign(&world, "60", &[]);
    *world.clock.now.lock().unwrap() = "2026-11-23T12:01:00Z".parse().unwrap();
    assert_eq!(link.follow(&world).await.status, 200, "its last second");
    *world.clock.now.lock().unwrap() = "2026-11-23T12:01:01Z".parse().unwrap();
    let text = denied(&world, &link, 403, "AccessDenied").await;
    assert!(text.contains("expired"), "{text}");
    // A link that begins in the future, beyond what clocks may differ.
    *world.clock.now.lock().unwrap() = "2026-11-23T11:44:59Z".parse().unwrap();
    denied(&world, &link, 403, "RequestTimeTooSkewed").await;
}

#[tokio::test]
async fn r15_no_link_outlives_its_key() {
    let mut short = key(1, Permission::ReadWrite);
    short.expires_at = Some("2026-11-23T12:01:00Z".parse().unwrap());
    let world = World::with(short, Settings::default()).await;
    let link = Hand::new(&world, "GET", "/photos/a").presign(&world, "604800", &[]);
    *world.clock.now.lock().unwrap() = "2026-11-23T12:00:59Z".parse().unwrap();
    assert_eq!(link.follow(&world).await.status, 200);
    *world.clock.now.lock().unwrap() = "2026-11-23T12:01:00Z".parse().unwrap();
    let text = denied(&world, &link, 403, "AccessDenied").await;
    assert!(text.contains("KEY-EXPIRED"), "{text}");
}
