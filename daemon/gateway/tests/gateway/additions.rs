//! Writes of keys that may add but not overwrite: what is asked of the provider, what is learned
//! from it, and what holds where it does not help.

use std::sync::Arc;

use bascule_domain::key::Permission;
use bascule_gateway::{ConditionalWrites, Reason, Settings, UpstreamAccess};

use crate::harness::{Ask, CONNECTION, Reply, Script, Seen, World, access, key, wait};

const ADDING: [Permission; 2] = [Permission::Append, Permission::Write];
const NAME: &str = "/photos/a";

async fn world(permission: Permission, honours: bool, names: &[&str]) -> World {
    let world = World::with(key(1, permission), Settings::default()).await;
    world.provider.stock(honours, names);
    world
}

fn known(world: &World) -> ConditionalWrites {
    world.keyring.conditional_writes(CONNECTION).unwrap()
}

fn put(world: &World, body: &str) -> Ask {
    world.ask("PUT", NAME).body(body)
}

fn looks(seen: &[Seen]) -> usize {
    seen.iter().filter(|seen| seen.method == "HEAD").count()
}

fn proofs(seen: &[Seen]) -> Vec<&Seen> {
    let proofs = seen.iter().filter(|seen| seen.header("expect").is_some());
    proofs.collect()
}

fn assert_refused(reply: &Reply) {
    assert_eq!((reply.status, reply.code().as_str()), (403, "AccessDenied"));
    assert!(
        reply.text().contains("may add but not overwrite"),
        "{}",
        reply.text()
    );
    let id = reply.header("x-amz-request-id").unwrap();
    assert!(id.starts_with("NOT-PERMITTED-"), "{id}");
}

#[tokio::test]
async fn a_provider_proves_itself_after_the_first_addition_by_a_body_that_is_never_sent() {
    for permission in ADDING {
        let world = world(permission, true, &[]).await;
        assert_eq!(known(&world), ConditionalWrites::NotKnown);
        assert_eq!(world.send(&put(&world, "first")).await.status, 200);
        wait(|| known(&world) == ConditionalWrites::Honoured).await;
        let seen = world.provider.take();
        assert_eq!(looks(&seen), 1, "nothing was known yet");
        let proofs = proofs(&seen);
        let [proof] = proofs[..] else {
            panic!("{seen:?}")
        };
        assert_eq!(proof.method, "PUT");
        assert_eq!(proof.header("if-none-match"), Some("*"));
        assert_eq!(proof.header("content-length"), Some("1"));
        assert_eq!(proof.header("expect"), Some("100-continue"));
        assert!(!proof.complete && proof.body.is_empty());
        assert_eq!(world.provider.stored(NAME).unwrap(), b"first");

        // From now on the provider alone is asked.
        let other = world.ask("PUT", "/photos/b").body("second");
        assert_eq!(world.send(&other).await.status, 200);
        assert_refused(&world.send(&put(&world, "worse")).await);
        world.idle().await;
        let seen = world.provider.take();
        assert_eq!((seen.len(), looks(&seen)), (2, 0), "{seen:?}");
        assert_eq!(world.provider.stored(NAME).unwrap(), b"first");
    }
}

#[tokio::test]
async fn an_attempt_to_overwrite_is_refused_becomes_a_finding_and_harms_nothing() {
    for honours in [true, false] {
        for permission in ADDING {
            let world = world(permission, honours, &[NAME]).await;
            assert_refused(&world.send(&put(&world, "worse")).await);
            world.idle().await;
            assert_eq!(world.provider.stored(NAME).unwrap(), b"as it was");
            let knocks = world.knocks.0.lock().unwrap();
            assert_eq!(knocks.len(), 1);
            assert_eq!(knocks[0].0, Reason::NotPermitted);
        }
    }
}

#[tokio::test]
async fn a_client_that_asked_not_to_overwrite_is_answered_as_s3_answers() {
    for honours in [true, false] {
        let world = world(Permission::Append, honours, &[NAME]).await;
        // The first time it is looked for here; then the provider, if it has proven itself.
        for _ in 0..2 {
            let reply = world
                .send(&put(&world, "worse").header("if-none-match", "*"))
                .await;
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (412, "PreconditionFailed")
            );
            world.idle().await;
        }
        assert_eq!(world.provider.stored(NAME).unwrap(), b"as it was");
        assert_eq!(world.knocks.0.lock().unwrap().len(), 0);
        let expected = if honours {
            ConditionalWrites::Honoured
        } else {
            ConditionalWrites::NotHonoured
        };
        assert_eq!(known(&world), expected);
    }
}

#[tokio::test]
async fn any_other_condition_of_the_client_becomes_the_strictest() {
    let world = world(Permission::Append, true, &[NAME]).await;
    world.provider.stock(true, &[NAME]);
    for condition in ["\"other\"", "*, \"other\""] {
        assert_refused(
            &world
                .send(&put(&world, "worse").header("if-none-match", condition))
                .await,
        );
    }
    for (name, value) in [
        ("if-match", "*"),
        ("if-match", "\"e\""),
        ("x-amz-write-offset-bytes", "9"),
    ] {
        let reply = world.send(&put(&world, "worse").header(name, value)).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (403, "AccessDenied"),
            "{name}"
        );
    }
    assert_eq!(world.provider.stored(NAME).unwrap(), b"as it was");
}

#[tokio::test]
async fn of_many_writers_of_one_object_one_wins_where_the_provider_does_not_help() {
    for permission in ADDING {
        let world = Arc::new(world(permission, false, &[]).await);
        for object in 0..20 {
            let name = format!("/photos/{object}");
            let writers = (0..8).map(|writer| {
                let (world, name) = (Arc::clone(&world), name.clone());
                tokio::spawn(async move {
                    let ask = world.ask("PUT", &name).body(format!("from {writer}"));
                    loop {
                        match world.send(&ask).await.status {
                            // While another one writes.
                            503 => tokio::task::yield_now().await,
                            status => return (writer, status),
                        }
                    }
                })
            });
            let mut winners = vec![];
            for writer in writers.collect::<Vec<_>>() {
                match writer.await.unwrap() {
                    (writer, 200) => winners.push(writer),
                    (_, status) => assert_eq!(status, 403),
                }
            }
            let [winner] = winners[..] else {
                panic!("{winners:?}")
            };
            let stored = world.provider.stored(&name).unwrap();
            assert_eq!(stored, format!("from {winner}").into_bytes());
        }
    }
}

#[tokio::test]
async fn a_copy_and_a_put_of_one_object_exclude_each_other() {
    let world = world(Permission::Append, true, &["/photos/source"]).await;
    // Proven: only copies are looked for.
    let first = world.ask("PUT", "/photos/first").body("x");
    assert_eq!(world.send(&first).await.status, 200);
    wait(|| known(&world) == ConditionalWrites::Honoured).await;
    let mut half = world.dial().await;
    let ask = put(&world, "slow writer");
    half.write(&ask.head(&world)).await;
    half.write(b"slow").await;
    wait(|| world.keyring.open_requests() == 1).await;
    let copy = world
        .ask("PUT", NAME)
        .header("x-amz-copy-source", "/photos/source");
    let reply = world.send(&copy).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "SlowDown"));
    assert!(
        reply
            .header("x-amz-request-id")
            .unwrap()
            .starts_with("OBJECT-BUSY-")
    );
    // The writer goes away: its place is free again.
    drop(half);
    world.idle().await;
    assert_eq!(world.send(&copy).await.status, 200);
    assert_eq!(world.send(&put(&world, "late")).await.status, 403);
}

#[tokio::test]
async fn a_revocation_frees_the_writers_place() {
    let world = world(Permission::Append, false, &[]).await;
    let another = key(2, Permission::Append);
    let mut half = world.dial().await;
    let ask = put(&world, "slow writer");
    half.write(&ask.head(&world)).await;
    half.write(b"slow").await;
    wait(|| world.keyring.open_requests() == 1).await;
    let secret = bascule_domain::secret::SecretKey::parse(crate::harness::SECRET).unwrap();
    world.keyring.add_key(another.clone(), secret).unwrap();
    world.revoke();
    assert!(half.ends().await);
    world.idle().await;
    let mut world = world;
    world.credentials.access_key_id = another.access_key_id;
    assert_eq!(world.send(&put(&world, "second")).await.status, 200);
    assert_eq!(world.provider.stored(NAME).unwrap(), b"second");
}

#[tokio::test]
async fn other_rights_are_neither_looked_for_nor_kept_waiting() {
    for permission in [Permission::ReadWrite, Permission::ReadWriteNoDelete] {
        let world = world(permission, false, &[NAME]).await;
        let mut half = world.dial().await;
        let ask = put(&world, "slow writer");
        half.write(&ask.head(&world)).await;
        half.write(b"slow").await;
        wait(|| world.keyring.open_requests() == 1).await;
        assert_eq!(world.send(&put(&world, "quick")).await.status, 200);
        half.write(b" writer").await;
        assert_eq!(half.reply(false).await.unwrap().status, 200);
        let seen = world.provider.take();
        assert_eq!((seen.len(), looks(&seen)), (2, 0), "{seen:?}");
        assert!(
            seen.iter()
                .all(|seen| seen.header("if-none-match").is_none())
        );
        assert_eq!(known(&world), ConditionalWrites::NotKnown);
    }
}

#[tokio::test]
async fn a_provider_that_is_known_beforehand_is_never_looked_at() {
    let world = world(Permission::Append, true, &["/photos/source"]).await;
    let declared = UpstreamAccess {
        honours_conditions: true,
        ..access("PROVIDERKEY", 2)
    };
    world
        .keyring
        .swap_credentials(CONNECTION, declared)
        .unwrap();
    assert_eq!(known(&world), ConditionalWrites::Honoured);
    assert_eq!(world.send(&put(&world, "first")).await.status, 200);
    let copy = world
        .ask("PUT", "/photos/b")
        .header("x-amz-copy-source", "/photos/source");
    assert_eq!(world.send(&copy).await.status, 200);
    world.idle().await;
    let seen = world.provider.take();
    assert_eq!((seen.len(), looks(&seen)), (2, 0), "{seen:?}");
    assert!(
        seen.iter()
            .all(|seen| seen.header("if-none-match") == Some("*"))
    );
}

const UNIMPLEMENTED: &str = "<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented: If-None-Match</Message></Error>";

#[tokio::test]
async fn a_provider_that_refuses_the_condition_is_asked_without_and_checked_here() {
    let world = World::with(key(1, Permission::Append), Settings::default()).await;
    let refuses = || {
        world.provider.script(Script::new(404, ""));
        world.provider.script(Script::new(501, UNIMPLEMENTED));
    };
    refuses();
    let reply = world.send(&put(&world, "first")).await;
    assert_eq!(reply.status, 503);
    let id = reply.header("x-amz-request-id").unwrap();
    assert!(id.starts_with("PROVIDER-CONDITIONS-"), "{id}");
    assert_eq!(known(&world), ConditionalWrites::NotHonoured);
    world.provider.take();
    world.provider.script(Script::new(404, ""));
    assert_eq!(world.send(&put(&world, "first")).await.status, 200);
    let seen = world.provider.take();
    assert_eq!(seen.len(), 2, "no proof is asked for: {seen:?}");
    assert_eq!(seen[1].header("if-none-match"), None);
    // A copy has no body, and is sent a second time at once.
    refuses();
    let copy = world
        .ask("PUT", "/photos/b")
        .header("x-amz-copy-source", NAME);
    assert_eq!(world.send(&copy).await.status, 200);
    let seen = world.provider.take();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(seen[1].header("if-none-match"), Some("*"));
    assert_eq!(seen[2].header("if-none-match"), None);
    // What exists is still refused.
    world.provider.script(Script::new(200, ""));
    assert_refused(&world.send(&put(&world, "worse")).await);
    assert_eq!(world.provider.take().len(), 1);
}

#[tokio::test]
async fn what_the_provider_does_not_tell_is_no_permission() {
    for status in [403, 400, 405, 429, 500, 503] {
        let world = World::with(key(1, Permission::Write), Settings::default()).await;
        world.provider.script(Script::new(status, ""));
        let reply = world.send(&put(&world, "x")).await;
        assert_eq!(reply.status, 503, "{status}");
        let seen = world.provider.take();
        assert_eq!((seen.len(), looks(&seen)), (1, 1), "{status}: {seen:?}");
    }
}

#[tokio::test]
async fn r47_the_look_learns_the_buckets_region_as_any_request() {
    let world = World::with(key(1, Permission::Append), Settings::default()).await;
    world
        .provider
        .script(Script::new(301, "").header("x-amz-bucket-region", "eu-west-1"));
    world.provider.script(Script::new(404, ""));
    assert_eq!(world.send(&put(&world, "x")).await.status, 200);
    let seen = world.provider.take();
    for seen in &seen[1..3] {
        let authorization = seen.header("authorization").unwrap();
        assert!(authorization.contains("/eu-west-1/s3/"), "{authorization}");
    }
}

#[tokio::test]
async fn an_upload_is_only_its_beginners_and_completes_only_what_is_new() {
    for permission in ADDING {
        let world = world(permission, true, &[]).await;
        let begin = world.ask("POST", NAME).query("uploads", "");
        assert_eq!(world.send(&begin).await.status, 200);
        let upload = |id: &str| {
            [
                world
                    .ask("PUT", NAME)
                    .query("partNumber", "1")
                    .query("uploadId", id)
                    .body("part"),
                world
                    .ask("POST", NAME)
                    .query("uploadId", id)
                    .body("<CompleteMultipartUpload/>"),
                world.ask("DELETE", NAME).query("uploadId", id),
            ]
        };
        // As if it were begun elsewhere, or before a restart.
        for ask in upload("unknown") {
            let reply = world.send(&ask).await;
            assert_eq!((reply.status, reply.code().as_str()), (404, "NoSuchUpload"));
        }
        let [part, complete, _] = upload("u1");
        assert_eq!(world.send(&part).await.status, 200);
        assert_eq!(world.send(&complete).await.status, 200);
        let seen = world.provider.take();
        let complete = seen
            .iter()
            .rev()
            .find(|seen| seen.method == "POST")
            .unwrap();
        assert_eq!(complete.header("if-none-match"), Some("*"));

        assert_eq!(world.send(&begin).await.status, 200);
        let [part, complete, abort] = upload("u2");
        assert_eq!(world.send(&part).await.status, 200);
        assert_refused(&world.send(&complete).await);
        assert_eq!(world.send(&abort).await.status, 200);
    }
}

#[tokio::test]
async fn locks_are_replaced_and_deleted_one_by_one_and_in_bulk() {
    let id: String = "0123456789abcdef".repeat(4);
    let restic = format!("/photos/host/locks/{id}");
    let world = world(
        Permission::Append,
        true,
        &["/photos/locks/a", &restic, NAME],
    )
    .await;
    for name in ["/photos/locks/a", &restic] {
        assert_eq!(
            world.send(&world.ask("PUT", name).body("new")).await.status,
            200
        );
        assert_eq!(world.provider.stored(name).unwrap(), b"new");
        assert_eq!(world.send(&world.ask("DELETE", name)).await.status, 200);
        assert_eq!(world.provider.stored(name), None);
    }
    let bulk = |names: &[&str]| {
        let objects: String = names
            .iter()
            .map(|name| format!("<Object><Key>{name}</Key></Object>"))
            .collect();
        let ask = world.ask("POST", "/photos").query("delete", "");
        ask.body(format!("<Delete>{objects}</Delete>"))
    };
    world.provider.take();
    let reply = world.send(&bulk(&["locks/a", "a"])).await;
    assert_eq!(reply.status, 403);
    assert!(reply.text().contains("lacks the right"), "{}", reply.text());
    assert_eq!(world.provider.take().len(), 0);
    assert_eq!(world.send(&bulk(&["locks/a", "locks/b"])).await.status, 200);
}
