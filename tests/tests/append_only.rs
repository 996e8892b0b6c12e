//! Keys that may add but not overwrite, with the tools that people would give them: what still
//! works, what is refused and how it is said, and that nothing is harmed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::fs;

use bascule_tests::{Issued, Recorded, S3, World, wait};
use http::Method;

fn issue(world: &World, permission: &str) -> Issued {
    let args = [
        "key",
        "issue",
        "photos",
        "--label",
        permission,
        "--permission",
        permission,
    ];
    Issued::of(&world.cli().run(&args).ok())
}

fn known(world: &World, key: &Issued) -> String {
    let shown = world.cli().run(&["key", "show", &key.id]).ok();
    shown["key"]["conditional_writes"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Every object with its content, as the provider has it.
fn contents(s3: &S3, bucket: &str) -> Vec<(String, Vec<u8>)> {
    let objects = s3.list(bucket).unwrap();
    let mut contents: Vec<_> = objects
        .into_iter()
        .map(|object| {
            let body = s3.get(bucket, &object.key).unwrap().body.to_vec();
            (object.key, body)
        })
        .collect();
    contents.sort();
    contents
}

#[test]
fn restic_backs_up_and_restores_with_an_append_key_and_prunes_nothing() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = issue(&world, "append");
    assert_eq!(known(&world, &key), "not-known");
    let from = world.home.path("from");
    fs::create_dir_all(&from).unwrap();
    fs::write(from.join("letter.txt"), "dear reader").unwrap();
    fs::write(from.join("noise.bin"), vec![7; 3 << 20]).unwrap();
    let from = from.to_str().unwrap();
    let restic = |args: &[&str]| world.restic(&key, &bucket, args);
    let Some(init) = restic(&["init"]) else {
        return;
    };
    init.exits(0);
    restic(&["backup", from]).unwrap().exits(0);
    // MinIO proved it at the first addition.
    wait::until("the proof", || {
        (known(&world, &key) == "proven").then_some(())
    });
    fs::write(world.home.path("from/letter.txt"), "dear reader, again").unwrap();
    restic(&["backup", from]).unwrap().exits(0);
    restic(&["check", "--read-data"]).unwrap().exits(0);
    let direct = world.minio.s3();
    assert!(
        direct
            .list(&bucket)
            .unwrap()
            .iter()
            .all(|object| !object.key.contains("/locks/")),
        "restic removed its locks"
    );

    let before = contents(&direct, &bucket);
    let pruned = restic(&["forget", "--keep-last", "1", "--prune"]).unwrap();
    assert_ne!(pruned.code, Some(0), "{pruned}");
    assert!(pruned.text().contains("lacks the right"), "{pruned}");
    for object in before.iter().take(2).map(|(name, _)| name) {
        let at = format!("s3://{bucket}/{object}");
        let removed = world.aws(&key, &["s3", "rm", &at]);
        assert_ne!(removed.code, Some(0), "{removed}");
        assert!(removed.text().contains("AccessDenied"), "{removed}");
        let written = world.aws(&key, &["s3", "cp", "--no-progress", "/etc/hostname", &at]);
        assert_ne!(written.code, Some(0), "{written}");
        assert!(
            written.text().contains("may add but not overwrite"),
            "{written}"
        );
    }
    let all = format!("s3://{bucket}");
    let emptied = world.aws(&key, &["s3", "rm", "--recursive", &all]);
    assert_ne!(emptied.code, Some(0), "{emptied}");
    // A pruning adds before it deletes: what was there must be there, as it was.
    let after = contents(&direct, &bucket);
    let missing = before.iter().find(|object| !after.contains(object));
    assert_eq!(missing.map(|(name, _)| name), None, "it was changed");

    restic(&["unlock", "--remove-all"]).unwrap().exits(0);
    let back = world.home.path("back");
    restic(&["restore", "latest", "--target", back.to_str().unwrap()])
        .unwrap()
        .exits(0);
    let restored = back.join(from.trim_start_matches('/'));
    assert_eq!(
        fs::read_to_string(restored.join("letter.txt")).unwrap(),
        "dear reader, again"
    );
    assert_eq!(fs::read(restored.join("noise.bin")).unwrap().len(), 3 << 20);
    let found = world.cli().run(&["findings"]).ok();
    assert!(found.to_string().contains("NOT-PERMITTED"), "{found}");
}

#[test]
fn tools_with_a_write_key_add_and_can_do_nothing_else() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = issue(&world, "write");
    world.rclone_config(&key.rclone_section("gate"));
    let from = world.home.path("from");
    fs::create_dir_all(from.join("deep")).unwrap();
    fs::write(from.join("small.txt"), "small").unwrap();
    fs::write(from.join("deep/large.bin"), vec![3; 6 << 20]).unwrap();
    let from = from.to_str().unwrap();
    let to = format!("gate:{bucket}/up");
    let direct = world.minio.s3();
    // It may not look at what is there, so it must not want to: nor after it wrote.
    let add = [
        "copy",
        from,
        &to,
        "--no-check-dest",
        "--s3-no-head",
        "--s3-no-head-object",
        "--s3-upload-cutoff",
        "5M",
        "--s3-chunk-size",
        "5M",
    ];
    world.rclone(&add).exits(0);
    let before = contents(&direct, &bucket);
    let names: Vec<_> = before.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["up/deep/large.bin", "up/small.txt"]);
    assert_eq!(before[0].1.len(), 6 << 20);

    fs::write(world.home.path("from/small.txt"), "another").unwrap();
    let again = world.rclone(&add);
    assert_ne!(again.code, Some(0), "{again}");
    for args in [
        &["lsf", &to][..],
        &["cat", &format!("{to}/small.txt")],
        &["copy", &to, world.home.path("back").to_str().unwrap()],
        &["deletefile", &format!("{to}/small.txt")],
        &["purge", &to],
    ] {
        let answer = world.rclone(args);
        assert_ne!(answer.code, Some(0), "{answer}");
        assert!(!answer.stdout.contains("small"), "{answer}");
    }
    assert!(contents(&direct, &bucket) == before, "nothing was harmed");

    let at = |name: &str| format!("s3://{bucket}/{name}");
    world
        .aws(
            &key,
            &["s3", "cp", "--no-progress", "/etc/hostname", &at("host")],
        )
        .exits(0);
    for args in [
        &["s3", "cp", "--no-progress", "/etc/passwd", &at("host")][..],
        &["s3", "cp", "--no-progress", &at("host"), "-"],
        &["s3", "ls", &at("")],
        &["s3", "rm", &at("host")],
    ] {
        let answer = world.aws(&key, args);
        assert_ne!(answer.code, Some(0), "{answer}");
    }
    let host = direct.get(&bucket, "host").unwrap().body;
    assert_eq!(host.to_vec(), fs::read("/etc/hostname").unwrap());
}

#[test]
fn rclone_with_an_append_key_copies_what_is_new_skips_what_is_the_same_and_fails_on_what_changed() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = issue(&world, "append");
    world.rclone_config(&key.rclone_section("gate"));
    let from = world.home.path("from");
    fs::create_dir_all(&from).unwrap();
    fs::write(from.join("one"), "one").unwrap();
    let to = format!("gate:{bucket}/up");
    let copy = || world.rclone(&["copy", "--checksum", from.to_str().unwrap(), &to]);
    copy().exits(0);
    copy().exits(0);
    fs::write(from.join("two"), "two").unwrap();
    copy().exits(0);
    fs::write(from.join("one"), "changed").unwrap();
    let changed = copy();
    assert_ne!(changed.code, Some(0), "{changed}");
    assert!(changed.text().contains("NOT-PERMITTED"), "{changed}");
    let direct = world.minio.s3();
    let bodies: Vec<_> = contents(&direct, &bucket)
        .into_iter()
        .map(|(_, body)| body)
        .collect();
    assert_eq!(bodies, [b"one", b"two"]);
}

#[test]
fn minio_proves_itself_before_a_body_and_keeps_what_it_has() {
    let Some(scene) = Recorded::new() else {
        return;
    };
    let Recorded {
        world,
        recorder,
        bucket,
    } = scene;
    let key = issue(&world, "append");
    key.s3().put(&bucket, "a", "first").unwrap();
    wait::until("the proof", || {
        (known(&world, &key) == "proven").then_some(())
    });
    let direct = world.minio.s3();
    assert_eq!(&direct.get(&bucket, "a").unwrap().body[..], b"first");
    // From now on one request is enough, whoever else wrote meanwhile.
    direct.put(&bucket, "b", "by another").unwrap();
    recorder.forget();
    let reply = key
        .s3()
        .call(Method::PUT, &format!("/{bucket}/b"), "worse")
        .unwrap();
    assert_eq!((reply.status, reply.code().as_str()), (403, "AccessDenied"));
    assert_eq!(recorder.seen().len(), 1);
    assert_eq!(&direct.get(&bucket, "b").unwrap().body[..], b"by another");
}

#[test]
fn the_embedded_provider_refuses_to_overwrite_from_the_start() {
    let Some(world) = World::new() else { return };
    let folder = world.home.path("folder");
    fs::create_dir_all(folder.join("bucket")).unwrap();
    let args = [
        "connect",
        "photos",
        "--provider",
        "local",
        "--path",
        folder.to_str().unwrap(),
        "--bucket",
        "bucket",
    ];
    world.cli().run(&args).ok();
    for permission in ["append", "write"] {
        let key = issue(&world, permission);
        assert_eq!(known(&world, &key), "proven");
        let put = |body: &'static str| {
            let path = format!("/bucket/{permission}");
            key.s3().call(Method::PUT, &path, body).unwrap().status
        };
        assert_eq!(put("first"), 200);
        assert_eq!(put("worse"), 403);
        let kept = fs::read(folder.join("bucket").join(permission)).unwrap();
        assert_eq!(kept, b"first");
    }
}
