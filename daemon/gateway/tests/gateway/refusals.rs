//! What is refused, how it is told, and that nothing of it reaches the provider.

use bascule_domain::key::Permission;
use bascule_gateway::Settings;
use bascule_sigv4::Payload;

use crate::harness::{CONNECTION, World, key, refused};

#[tokio::test]
async fn r54_a_revoked_key_is_named_and_never_looks_like_an_empty_bucket() {
    let world = World::new().await;
    world.revoke();
    let mut ids = Vec::new();
    for ask in [
        world.ask("GET", "/photos").query("list-type", "2"),
        world.ask("GET", "/photos/a"),
        world.ask("PUT", "/photos/a").body("x"),
        world.ask("DELETE", "/photos/a"),
        world.ask("GET", "/"),
    ] {
        let reply = refused(&world, &ask, 403, "InvalidAccessKeyId").await;
        let id = reply.header("x-amz-request-id").unwrap().to_owned();
        assert!(id.starts_with("KEY-REVOKED-"), "{id}");
        ids.push(id);
        let finding = format!("run: bascule findings show F{}", ids.len());
        assert_eq!(reply.header("x-amz-id-2"), Some(&*finding));
        assert!(reply.text().contains("vault") && reply.text().contains("laptop"));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "request ids are unique");

    let head = refused(&world, &world.ask("HEAD", "/photos/a"), 403, "").await;
    assert_eq!(head.header("x-minio-error-code"), Some("AccessDenied"));
    assert!(
        head.header("x-minio-error-desc")
            .unwrap()
            .contains("revoked")
    );
}

#[tokio::test]
async fn a20_an_unknown_key_never_authenticates() {
    let mut world = World::new().await;
    world.credentials.access_key_id = "BSCUNKNOWNUNKNOWN222".parse().unwrap();
    let reply = refused(
        &world,
        &world.ask("GET", "/photos/a"),
        403,
        "InvalidAccessKeyId",
    )
    .await;
    assert!(
        reply
            .header("x-amz-request-id")
            .unwrap()
            .starts_with("KEY-UNKNOWN-")
    );
}

#[tokio::test]
async fn a1_a_forged_signature_is_refused_whatever_the_payload_form() {
    let world = World::new().await;
    for payload in [
        Payload::EMPTY,
        Payload::Unsigned,
        Payload::UnsignedTrailer,
        Payload::SignedChunks,
        Payload::SignedChunksTrailer,
    ] {
        for path in ["/photos/a", "/photos"] {
            let ask = world
                .ask("PUT", path)
                .payload(payload)
                .header("x-amz-decoded-content-length", "1");
            let mut wire = ask.head(&world);
            let at = wire.windows(10).position(|w| w == b"Signature=").unwrap() + 10;
            wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
            let mut client = world.dial().await;
            client.write(&wire).await;
            let reply = client.reply(false).await.unwrap();
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (403, "SignatureDoesNotMatch")
            );
        }
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn a_paused_connection_says_what_paused_it_and_what_helps() {
    use bascule_gateway::PausedBy::{Deletion, Leak, Restore, User};
    let world = World::new().await;
    for (by, said) in [
        (User, "is paused."),
        (
            Leak,
            "is paused, because its key at the provider has leaked.",
        ),
        (Deletion, "is paused, because it is being deleted."),
        (Restore, "is paused, because its state comes from a backup."),
    ] {
        world.keyring.pause(CONNECTION, by).unwrap();
        let reply = refused(&world, &world.ask("GET", "/photos/a"), 403, "AccessDenied").await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(text.contains(said), "{text}");
    }
    world.keyring.resume(CONNECTION).unwrap();
    let mut client = world.dial().await;
    client
        .write(&world.ask("GET", "/photos/a").wire(&world))
        .await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
}

#[tokio::test]
async fn r23_state_is_told_only_to_those_who_have_the_secret() {
    let world = World::new().await;
    world
        .keyring
        .pause(CONNECTION, bascule_gateway::PausedBy::User)
        .unwrap();
    let reply = refused(&world, &world.ask("GET", "/photos/a"), 403, "AccessDenied").await;
    assert!(
        reply
            .header("x-amz-request-id")
            .unwrap()
            .starts_with("KEY-PAUSED-")
    );
    assert_eq!(
        reply.header("x-amz-id-2"),
        Some("run: bascule findings show F1")
    );

    let mut wire = world.ask("GET", "/photos/a").head(&world);
    let at = wire.windows(10).position(|w| w == b"Signature=").unwrap() + 10;
    wire[at] = if wire[at] == b'0' { b'1' } else { b'0' };
    let mut client = world.dial().await;
    client.write(&wire).await;
    assert_eq!(
        client.reply(false).await.unwrap().code(),
        "SignatureDoesNotMatch"
    );

    world.keyring.resume(CONNECTION).unwrap();
    assert_eq!(world.send(&world.ask("GET", "/photos/a")).await.status, 200);
}

#[tokio::test]
async fn a4_unsigned_amz_headers_are_refused() {
    let world = World::new().await;
    for name in [
        "x-amz-copy-source",
        "x-amz-acl",
        "x-amz-tagging",
        "x-amz-object-lock-mode",
        "x-amz-meta-a",
    ] {
        let ask = world
            .ask("PUT", "/photos/a")
            .announce(0)
            .unsigned(name, "/photos/b");
        refused(&world, &ask, 403, "AccessDenied").await;
    }
}

#[tokio::test]
async fn a19_anonymous_requests_and_other_schemes_are_refused() {
    let world = World::new().await;
    let host = world.address;
    for (request, status) in [
        (
            format!("GET /photos/a HTTP/1.1\r\nhost: {host}\r\n\r\n"),
            403,
        ),
        (
            format!("GET /photos/a HTTP/1.1\r\nhost: {host}\r\nauthorization: AWS id:sig\r\n\r\n"),
            400,
        ),
        (
            format!(
                "GET /photos/a?AWSAccessKeyId=a&Signature=b&Expires=1 HTTP/1.1\r\nhost: {host}\r\n\r\n"
            ),
            400,
        ),
    ] {
        let mut client = world.dial().await;
        client.write(request.as_bytes()).await;
        let reply = client.reply(false).await.unwrap();
        assert_eq!(reply.status, status, "{request}{}", reply.text());
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn a21_post_forms_and_preflights_are_refused_before_the_body_is_read() {
    let world = World::new().await;
    let host = world.address;
    let mut client = world.dial().await;
    let head = format!(
        "POST /photos HTTP/1.1\r\nhost: {host}\r\ncontent-type: multipart/form-data; boundary=x\r\ncontent-length: 1000\r\n\r\n"
    );
    client.write(head.as_bytes()).await;
    assert_eq!(client.reply(false).await.unwrap().status, 501);

    let mut client = world.dial().await;
    let head = format!(
        "OPTIONS /photos/a HTTP/1.1\r\nhost: {host}\r\norigin: https://evil.test\r\naccess-control-request-method: PUT\r\n\r\n"
    );
    client.write(head.as_bytes()).await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!(reply.status, 403);
    assert!(
        reply
            .headers
            .iter()
            .all(|(name, _)| !name.starts_with("access-control"))
    );
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn a14_an_absolute_target_is_refused() {
    let world = World::new().await;
    let host = world.address;
    let mut client = world.dial().await;
    client
        .write(
            format!("GET http://other.test/photos/a HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes(),
        )
        .await;
    assert_eq!(client.reply(false).await.unwrap().status, 400);
}

#[tokio::test]
async fn b5_bucket_changes_and_unknown_subresources_are_denied() {
    let world = World::new().await;
    let ask = |method: &str, path: &str| world.ask(method, path);
    for ask in [
        ask("DELETE", "/photos"),
        ask("PUT", "/photos").query("policy", ""),
        ask("PUT", "/photos").query("acl", ""),
        ask("PUT", "/photos").query("lifecycle", ""),
        ask("POST", "/photos"),
        ask("POST", "/"),
        ask("POST", "/WriteGetObjectResponse"),
        ask("GET", "/photos").query("session", ""),
        ask("GET", "/photos").query("surprise", ""),
        ask("GET", "/photos/a").query("surprise", ""),
        ask("GET", "/photos/a")
            .query("tagging", "")
            .query("acl", ""),
        ask("POST", "/photos")
            .query("uploads", "")
            .query("delete", ""),
        ask("GET", "/photos/a")
            .query("versionId", "1")
            .query("versionId", "2"),
        ask("PUT", "/photos/a").query("partNumber", "1"),
        ask("PUT", "/photos/a").query("uploadId", "1"),
        ask("PUT", "/photos/a").query("acl", ""),
        ask("PUT", "/photos/a").query("retention", ""),
        ask("PUT", "/photos/a").query("legal-hold", ""),
        ask("PATCH", "/photos/a"),
        ask("GET", "/photos/a").header("x-amz-copy-source", "/photos/b"),
        ask("DELETE", "/photos/a").header("x-amz-copy-source", "/photos/b"),
        ask("PUT", "/photos/a").header("x-amz-acl", "public-read"),
        ask("PUT", "/photos/a").header("x-amz-grant-read", "id=1"),
        ask("DELETE", "/photos/a").header("x-amz-bypass-governance-retention", "true"),
        ask("GET", "/minio/admin/v3/info"),
        ask("GET", "/secrets/a"),
        ask("HEAD", "/secrets"),
        ask("PUT", "/secrets"),
    ] {
        let reply = refused(&world, &ask, 403, "AccessDenied").await;
        assert!(
            reply
                .header("x-amz-request-id")
                .unwrap()
                .starts_with("NOT-PERMITTED-")
        );
    }
}

#[tokio::test]
async fn headers_that_change_what_a_request_does_are_refused_by_name() {
    let world = World::new().await;
    for name in [
        "x-amz-write-offset-bytes",
        "x-minio-force-delete",
        "x-minio-source-mtime",
        "x-amz-mfa",
    ] {
        let ask = world.ask("DELETE", "/photos/a").header(name, "1");
        let reply = refused(&world, &ask, 501, "NotImplemented").await;
        assert!(reply.text().contains(name));
    }
}

#[tokio::test]
async fn what_providers_would_sign_otherwise_is_refused_before_it_seems_to_be_about_credentials() {
    let world = World::new().await;
    for name in ["x-amz-meta-note", "content-type"] {
        let ask = world.ask("PUT", "/photos/a").header(name, "a\tb").body("x");
        let reply = refused(&world, &ask, 400, "InvalidArgument").await;
        assert!(reply.text().contains("tab"), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_key_that_is_too_long_is_said_to_be() {
    let world = World::new().await;
    let ask = world.ask("GET", &format!("/photos/{}", "k".repeat(1025)));
    refused(&world, &ask, 400, "KeyTooLongError").await;
}

#[tokio::test]
async fn b1_a_copy_from_a_foreign_bucket_is_denied() {
    let world = World::new().await;
    for source in [
        "/secrets/a",
        "secrets/a",
        "/%73ecrets/a",
        "/secrets/a?versionId=1",
    ] {
        let ask = world
            .ask("PUT", "/photos/b")
            .header("x-amz-copy-source", source);
        refused(&world, &ask, 403, "AccessDenied").await;
    }
    for source in ["", "/photos", "/photos/", "/photos/a?x=1", "arn"] {
        let ask = world
            .ask("PUT", "/photos/b")
            .header("x-amz-copy-source", source);
        refused(&world, &ask, 400, "InvalidArgument").await;
    }
}

#[tokio::test]
async fn a_read_key_cannot_write_and_creating_ones_own_bucket_says_it_exists() {
    let world = World::with(key(1, Permission::Read), Settings::default()).await;
    let put = world.ask("PUT", "/photos/a").body("x");
    let reply = refused(&world, &put, 403, "AccessDenied").await;
    assert!(reply.text().contains("laptop"));
    refused(
        &world,
        &world.ask("DELETE", "/photos/a"),
        403,
        "AccessDenied",
    )
    .await;
    refused(
        &world,
        &world.ask("PUT", "/photos"),
        409,
        "BucketAlreadyOwnedByYou",
    )
    .await;
}

#[tokio::test]
async fn expired_and_foreign_addresses_are_told_apart() {
    let mut expired = key(1, Permission::ReadWrite);
    expired.expires_at = Some("2026-11-23T11:00:00Z".parse().unwrap());
    let world = World::with(expired, Settings::default()).await;
    let reply = refused(&world, &world.ask("GET", "/photos/a"), 403, "AccessDenied").await;
    assert!(
        reply
            .header("x-amz-request-id")
            .unwrap()
            .starts_with("KEY-EXPIRED-")
    );

    let mut elsewhere = key(1, Permission::ReadWrite);
    elsewhere.scope.addresses = vec![bascule_domain::key::IpRule("192.0.2.0/24".parse().unwrap())];
    let world = World::with(elsewhere, Settings::default()).await;
    // b8: a forwarding header counts for nothing.
    let ask = world
        .ask("GET", "/photos/a")
        .unsigned("x-forwarded-for", "192.0.2.1");
    let reply = refused(&world, &ask, 403, "AccessDenied").await;
    assert!(
        reply
            .header("x-amz-request-id")
            .unwrap()
            .starts_with("ADDRESS-NOT-ALLOWED-")
    );
}

#[tokio::test]
async fn a_prefix_key_cannot_climb_out_of_its_prefix() {
    let mut limited = key(1, Permission::ReadWrite);
    limited.scope.prefixes = vec!["in/".parse().unwrap()];
    let world = World::with(limited, Settings::default()).await;
    for path in ["/photos/out/a", "/photos/in/../out/a", "/photos/in/./a"] {
        refused(&world, &world.ask("GET", path), 403, "AccessDenied").await;
    }
    let body = "<Delete><Object><Key>in/a</Key></Object><Object><Key>out/a</Key></Object></Delete>";
    let bulk = world.ask("POST", "/photos").query("delete", "").body(body);
    refused(&world, &bulk, 403, "AccessDenied").await;
    assert_eq!(
        world.send(&world.ask("GET", "/photos/in/a")).await.status,
        200
    );
}

#[tokio::test]
async fn b3_bulk_deletes_that_are_not_plain_are_refused() {
    let world = World::new().await;
    let many = format!(
        "<Delete>{}</Delete>",
        "<Object><Key>a</Key></Object>".repeat(1001)
    );
    for body in [
        "",
        "<Delete></Delete>",
        "<Delete><Object><Key><![CDATA[a]]></Key></Object></Delete>",
        "<Delete><!-- x --><Object><Key>a</Key></Object></Delete>",
        "<!DOCTYPE d [<!ENTITY e \"a\">]><Delete><Object><Key>&e;</Key></Object></Delete>",
        "<Delete><Object><Key>&unknown;</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object></Delete><Delete/>",
        "<Delete><Object><Key>a</Key></Object>",
        "<Delete xmlns:x=\"y\"><x:Object><Key>a</Key></x:Object></Delete>",
        "<Delete><Object><Key></Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object></Delete>x",
        &many,
    ] {
        let ask = world.ask("POST", "/photos").query("delete", "").body(body);
        refused(&world, &ask, 400, "MalformedXML").await;
    }
    let huge = "x".repeat(2 * 1024 * 1024 + 1);
    let ask = world.ask("POST", "/photos").query("delete", "").body(huge);
    refused(&world, &ask, 400, "MaxMessageLengthExceeded").await;
}

#[tokio::test]
async fn a17_ambiguous_framing_is_refused() {
    let world = World::new().await;
    for framing in [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: +5\r\n",
        "content-length: 5\r\nx: a\r\n folded\r\n",
    ] {
        let mut wire = world
            .ask("PUT", "/photos/a")
            .payload(Payload::Unsigned)
            .head(&world);
        wire.truncate(wire.len() - 2);
        wire.extend_from_slice(framing.as_bytes());
        wire.extend_from_slice(b"\r\nhelloGET /photos/b HTTP/1.1\r\n\r\n");
        let mut client = world.dial().await;
        client.write(&wire).await;
        if let Some(reply) = client.reply(false).await {
            // CL with TE is one body by RFC 9112, and the connection ends after it.
            assert!(
                reply.status == 400 || framing.contains("chunked"),
                "{framing}: {}",
                reply.status
            );
        }
        assert!(client.ends().await);
    }
    assert!(
        world
            .provider
            .seen()
            .iter()
            .all(|seen| !seen.uri.contains("/photos/b"))
    );
}

#[tokio::test]
async fn a17_nothing_is_read_after_a_body_that_others_might_delimit_otherwise() {
    let world = World::new().await;
    let mut wire = world
        .ask("PUT", "/photos/a")
        .payload(Payload::Unsigned)
        .unsigned("content-length", "5")
        .unsigned("transfer-encoding", "chunked")
        .head(&world);
    wire.extend_from_slice(b"0\r\n\r\n");
    wire.extend(world.ask("GET", "/photos/smuggled").wire(&world));
    let mut client = world.dial().await;
    client.write(&wire).await;
    let reply = client.reply(false).await.unwrap();
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(client.ends().await);
    let seen = world.provider.seen();
    assert!(seen.iter().all(|seen| !seen.uri.contains("smuggled")));
}
