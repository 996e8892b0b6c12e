//! Connecting again after a deletion: new keys work, and no old key lives again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{S3, World};
use http::Method;

fn check_dead(s3: &S3, bucket: &str) {
    let reply = s3
        .call(Method::GET, &format!("/{bucket}/kept"), "")
        .unwrap();
    assert_eq!(
        (reply.status, &*reply.code()),
        (403, "InvalidAccessKeyId"),
        "{}",
        reply.text()
    );
}

#[test]
fn an_old_key_stays_dead_after_connecting_again_and_after_restarts() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    world.connect("photos", &[&bucket]);
    let old = world.issue("photos", "laptop").s3();
    world.delete("photos", &[]).verdict("intact");

    world.connect("photos", &[&bucket]);
    let new = world.issue("photos", "laptop");
    assert_ne!(new.id, old.access_key_id());
    let works = |world: &World| {
        assert_eq!(new.s3().get(&bucket, "kept").unwrap().body, "x");
        check_dead(&old, &bucket);
        assert_eq!(
            world.cli().run(&["list"]).ok()["connections"][0]["living_keys"],
            1
        );
    };
    works(&world);

    assert!(world.daemon.stop().success());
    world.daemon.restart(&world.home);
    works(&world);

    world.daemon.kill();
    world.daemon.restart(&world.home);
    works(&world);
}

#[test]
fn a_revoked_key_stays_dead_while_its_sisters_work() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    world.connect("photos", &[&bucket]);
    let (lost, kept) = (world.issue("photos", "lost"), world.issue("photos", "kept"));
    world.cli().run(&["key", "revoke", &lost.id]).ok();
    check_dead(&lost.s3(), &bucket);
    world.daemon.kill();
    world.daemon.restart(&world.home);
    check_dead(&lost.s3(), &bucket);
    assert_eq!(kept.s3().get(&bucket, "kept").unwrap().body, "x");
}

#[test]
fn a_reconnect_card_is_enough_and_holds_no_secret() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    world.connect("photos", &[&bucket]);
    let card = world
        .cli()
        .say(&["reconnect-card", "photos"])
        .exits(0)
        .stdout;
    let (id, secret) = world.minio.credentials();
    assert!(!card.contains(id) && !card.contains(secret), "{card}");
    let file = world.home.write("card.json", &card);
    world.delete("photos", &[]).verdict("intact");
    let args = [
        "connect",
        "again",
        "--card",
        file.to_str().unwrap(),
        "--credentials-stdin",
    ];
    world
        .cli()
        .run_with(&args, &format!("{id}\n{secret}\n"))
        .ok();
    assert_eq!(
        world
            .issue("again", "laptop")
            .s3()
            .get(&bucket, "kept")
            .unwrap()
            .body,
        "x"
    );
}
