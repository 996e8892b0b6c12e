//! No secret, and nothing that reveals a connection, is where it does not belong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{World, home::holds, random_hex};
use http::Method;

#[test]
fn no_log_or_state_file_holds_a_secret_a_bucket_or_an_endpoint() {
    let settings = "[log]\nlevel = \"trace\"\nformat = \"json\"\n";
    let Some(mut world) = World::configured(settings) else {
        return;
    };
    let Some((user, password)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    let object = format!("object-{}", random_hex(8));
    world.connect_at(
        "photos",
        &[&bucket],
        &world.minio.endpoint(),
        (&user, &password),
    );
    let key = world.issue("photos", "laptop");
    let s3 = key.s3();
    s3.put(&bucket, &object, "x").unwrap();
    s3.list(&bucket).unwrap();
    s3.follow(&s3.presigned(&bucket, &object)).unwrap();
    let wrong = bascule_tests::S3::new(&key.endpoint, &key.id, &"y".repeat(40));
    assert_eq!(
        wrong
            .call(Method::GET, &format!("/{bucket}/{object}"), "")
            .unwrap()
            .status,
        403
    );

    let markers = [
        &key.secret,
        &password,
        &user,
        &bucket,
        &object,
        &world.minio.address(),
    ];
    let check = |world: &World, when: &str| {
        let mut looked_at = 0;
        for (path, bytes) in world
            .home
            .files("state")
            .into_iter()
            .chain(world.home.files("run"))
        {
            looked_at += 1;
            for marker in markers {
                assert!(
                    !holds(&bytes, marker),
                    "{when}: {marker} is in {}",
                    path.display()
                );
            }
            assert!(
                !holds(&bytes, &key.id),
                "{when}: the key's id is in {}",
                path.display()
            );
        }
        assert!(looked_at >= 3, "root key, store and key file are there");
        let log = world.daemon.log();
        assert!(log.contains("ready"), "{log}");
        for marker in markers {
            assert!(
                !log.contains(marker.as_str()),
                "{when}: {marker} is in the log"
            );
        }
    };
    check(&world, "in use");
    world.delete("photos", &[]).verdict("intact");
    assert_eq!(
        s3.call(Method::GET, &format!("/{bucket}/{object}"), "")
            .unwrap()
            .status,
        403
    );
    check(&world, "after the deletion");
    assert!(
        world.home.files("state/keys").is_empty(),
        "the connection's key file is destroyed"
    );
    assert!(
        world.home.files("state/manifests").is_empty(),
        "manifests are gone"
    );
    world.daemon.stop();
    check(&world, "stopped");
}

#[test]
fn a_receipt_holds_no_secret() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let done = world.delete("photos", &[]).verdict("intact");
    let receipt = world.receipt(done["id"].as_str().unwrap()).to_string();
    let (id, secret) = world.minio.credentials();
    for marker in [&*key.secret, &key.id, id, secret] {
        assert!(!receipt.contains(marker), "{receipt}");
    }
    assert!(
        receipt.contains(&key.id[key.id.len() - 4..]),
        "its last characters tell which it was"
    );
}

#[test]
fn a_process_table_shows_no_secret() {
    // The forms of the command line take none: an attempt is refused.
    let Some(world) = World::new() else { return };
    for option in [
        "--secret",
        "--secret-access-key",
        "--access-key",
        "--password",
    ] {
        let args = [
            "connect",
            "photos",
            "--provider",
            "minio",
            "--bucket",
            "b",
            option,
            "marker-0123456789",
        ];
        let answer = world.cli().run(&args);
        assert_eq!(answer.code, Some(bascule_tests::cli::USAGE), "{answer}");
    }
}
