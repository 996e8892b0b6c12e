//! Deleting a connection: every key dies at once, every tool is told, and the data stays.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use bascule_tests::{Issued, World, cli::REFUSED};
use http::Method;
use serde_json::Value;

/// A bucket with a few objects, a connection and a key, which works.
fn connected() -> Option<(World, String, Issued)> {
    let world = World::new()?;
    let bucket = world.minio.bucket();
    let s3 = world.minio.s3();
    for number in 0..30 {
        s3.put(
            &bucket,
            &format!("folder {}/object {number}", number % 3),
            format!("{number}"),
        )
        .unwrap();
    }
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    assert_eq!(key.s3().list(&bucket).unwrap().len(), 30);
    Some((world, bucket, key))
}

#[test]
fn every_tool_is_refused_with_the_cause_it_can_show() {
    let Some((world, bucket, key)) = connected() else {
        return;
    };
    assert_eq!(
        world
            .restic(&key, &bucket, &["init"])
            .unwrap()
            .exits(0)
            .code,
        Some(0)
    );
    world.rclone_config(&key.rclone_section("gate"));
    world.rclone(&["lsf", &format!("gate:{bucket}")]).exits(0);
    world
        .aws(&key, &["s3api", "list-objects-v2", "--bucket", &bucket])
        .exits(0);
    world
        .boto3(&key, &format!("s3.list_objects_v2(Bucket='{bucket}')"))
        .exits(0);
    world
        .mc(&key, &["ls", &format!("gate/{bucket}")])
        .unwrap()
        .exits(0);

    world.delete("photos", &[]).verdict("intact");

    let s3 = key.s3();
    let reply = s3
        .call(Method::GET, &format!("/{bucket}/folder 0/object 0"), "")
        .unwrap();
    assert_eq!(
        (reply.status, &*reply.code()),
        (403, "InvalidAccessKeyId"),
        "{}",
        reply.text()
    );
    assert!(reply.text().contains("revoked"), "{}", reply.text());
    assert!(
        reply.header("x-amz-request-id").starts_with("KEY-REVOKED"),
        "{:?}",
        reply.headers
    );
    assert!(!reply.header("x-amz-id-2").is_empty());
    let head = s3
        .call(Method::HEAD, &format!("/{bucket}/folder 0/object 0"), "")
        .unwrap();
    assert_eq!((head.status, head.body.len()), (403, 0));
    assert_eq!(head.header("x-minio-error-code"), "AccessDenied");
    assert!(!head.header("x-minio-error-desc").is_empty());
    for (method, path) in [
        (Method::PUT, "/new"),
        (Method::DELETE, "/folder 0/object 0"),
    ] {
        let reply = s3.call(method, &format!("/{bucket}{path}"), "").unwrap();
        assert_eq!((reply.status, &*reply.code()), (403, "InvalidAccessKeyId"));
    }

    // rclone shows the request id, the aws tools the code, the others the message.
    let check = |answer: bascule_tests::Answer, shows: &[&str]| {
        assert_ne!(answer.code, Some(0), "{answer}");
        assert!(
            shows.iter().any(|text| answer.text().contains(text)),
            "{answer}"
        );
    };
    check(
        world.rclone(&["lsf", &format!("gate:{bucket}")]),
        &["KEY-REVOKED"],
    );
    check(
        world.rclone(&["copy", &format!("gate:{bucket}"), "copy"]),
        &["KEY-REVOKED"],
    );
    check(
        world.aws(&key, &["s3api", "list-objects-v2", "--bucket", &bucket]),
        &["InvalidAccessKeyId"],
    );
    check(
        world.aws(
            &key,
            &["s3", "cp", &format!("s3://{bucket}/folder 0/object 0"), "-"],
        ),
        &["InvalidAccessKeyId", "403"],
    );
    check(
        world.boto3(
            &key,
            &format!(
                "try:\n    s3.get_object(Bucket='{bucket}', Key='folder 0/object 0')\n\
                 except botocore.exceptions.ClientError as e:\n    sys.exit(e.response['Error']['Code'] + e.response['Error']['Message'])"
            ),
        ),
        &["InvalidAccessKeyId"],
    );
    check(
        world.mc(&key, &["ls", &format!("gate/{bucket}")]).unwrap(),
        &["revoked", "Access Key"],
    );
    check(
        world
            .restic(&key, &bucket, &["snapshots", "--no-lock"])
            .unwrap(),
        &["revoked", "Access Key", "Access Denied"],
    );
}

#[test]
fn links_made_before_are_dead() {
    let Some((world, bucket, key)) = connected() else {
        return;
    };
    let s3 = key.s3();
    let link = s3.presigned(&bucket, "folder 0/object 0");
    assert_eq!(s3.follow(&link).unwrap().body, "0");
    world.delete("photos", &[]).verdict("intact");
    let reply = s3.follow(&link).unwrap();
    assert_eq!(
        (reply.status, &*reply.code()),
        (403, "InvalidAccessKeyId"),
        "{}",
        reply.text()
    );
}

#[test]
fn a_download_in_flight_ends_with_an_error() {
    const GIB: u64 = 1 << 30;
    let Some((world, bucket, key)) = connected() else {
        return;
    };
    let upload = world.minio.s3().upload(&bucket, "large", GIB).unwrap();
    let piece = bytes::Bytes::from(vec![7; 4 << 20]);
    for _ in 0..256 {
        upload.push(piece.clone()).unwrap();
    }
    assert_eq!(upload.finish().unwrap().status, 200);

    let mut download = key.s3().open(&bucket, "large").unwrap();
    assert!(download.take().unwrap());
    // Somebody who only said yes is told what else stands in the way.
    let refused = world.delete("photos", &[]).exits(REFUSED);
    assert!(refused.text().contains("no-open-transfers"), "{refused}");

    world
        .delete("photos", &["--ack", "no-open-transfers"])
        .verdict("intact");
    download
        .finish()
        .expect_err("a cut download must not look complete");
    assert!(download.taken < GIB);
}

#[test]
fn d4_the_data_is_proven_untouched_and_the_receipt_says_so() {
    let Some((world, bucket, key)) = connected() else {
        return;
    };
    let second = world.issue("photos", "second");
    let before = world.minio.s3().list(&bucket).unwrap();
    let file = world.home.path("work/receipt.json");

    let done = world
        .delete("photos", &["--receipt", file.to_str().unwrap()])
        .verdict("intact");
    assert_eq!(
        (&done["verdict"], &done["phase"]),
        (&"intact".into(), &"finished".into()),
        "{done}"
    );
    assert_eq!(
        world.minio.s3().list(&bucket).unwrap(),
        before,
        "same objects, same ETags"
    );

    let receipt: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(receipt["bascule_receipt"], 1);
    assert_eq!(receipt["id"], done["id"]);
    assert_eq!(receipt["verdict"], "intact");
    assert_eq!(receipt["connection"]["name"], "photos");
    assert_eq!(receipt["differences_total"], 0);
    for stamp in ["requested_at", "revoked_at", "judged_at", "erased_at"] {
        assert!(receipt[stamp].is_string(), "{stamp}: {receipt}");
    }
    let keys = receipt["keys"].as_array().unwrap();
    let labels: Vec<_> = keys
        .iter()
        .map(|key| key["label"].as_str().unwrap())
        .collect();
    assert!(labels.contains(&"laptop") && labels.contains(&"second") && labels.len() == 2);
    for (severed, issued) in [(0, &key), (1, &second)] {
        let text = keys[severed].to_string();
        assert!(
            !text.contains(&issued.secret) && keys[severed]["checked"] != "",
            "{text}"
        );
    }
    let (first, again) = (
        &receipt["surveys"]["before"][0],
        &receipt["surveys"]["after"][0],
    );
    for survey in [first, again] {
        assert_eq!(
            (&survey["objects"], &survey["bucket"]),
            (&30.into(), &bucket.clone().into())
        );
    }
    assert_eq!(first["digest"], again["digest"]);
    assert!(
        !receipt["stays_valid"].as_array().unwrap().is_empty(),
        "brought credentials stay"
    );

    // The daemon keeps it, and nothing of the connection.
    assert_eq!(
        world.receipt(done["id"].as_str().unwrap())["verdict"],
        "intact"
    );
    assert_eq!(
        world.cli().run(&["list"]).ok()["connections"],
        Value::Array(vec![])
    );
    assert_ne!(world.cli().run(&["show", "photos"]).code, Some(0));
    let keys = world.cli().run(&["key", "list"]).ok();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2, "{keys}");
    assert!(
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key["state"] == "dead"),
        "{keys}"
    );
}

#[test]
fn a_sync_from_the_dead_remote_deletes_nothing() {
    let Some((world, bucket, key)) = connected() else {
        return;
    };
    world.rclone_config(&key.rclone_section("gate"));
    let remote = format!("gate:{bucket}");
    world.rclone(&["sync", &remote, "mirror"]).exits(0);
    let mirrored = world.home.files("work/mirror");
    assert_eq!(mirrored.len(), 30);
    world.delete("photos", &[]).verdict("intact");
    assert_ne!(world.rclone(&["sync", &remote, "mirror"]).code, Some(0));
    assert_ne!(
        world
            .rclone(&["sync", &format!("{remote}/folder 1"), "mirror/folder 1"])
            .code,
        Some(0)
    );
    assert_eq!(world.home.files("work/mirror"), mirrored);
}

#[test]
fn requests_under_way_never_succeed_after_the_reply() {
    let Some((world, bucket, key)) = connected() else {
        return;
    };
    let s3 = key.s3();
    let replied = &AtomicBool::new(false);
    thread::scope(|scope| {
        for worker in 0..4 {
            let (s3, bucket) = (s3.clone(), bucket.clone());
            scope.spawn(move || {
                let mut refusals = 0;
                while refusals < 50 {
                    let late = replied.load(SeqCst);
                    let path = format!("/{bucket}/folder {}/object {worker}", worker % 3);
                    if let Ok(reply) = s3.call(Method::GET, &path, "") {
                        assert!(!(late && reply.status == 200), "served after the reply");
                        refusals += usize::from(reply.status == 403);
                    }
                }
            });
        }
        world
            .delete("photos", &["--ack", "no-open-transfers"])
            .verdict("intact");
        replied.store(true, SeqCst);
    });
}

#[test]
fn a_plan_changes_nothing_and_names_what_dies() {
    let Some((world, bucket, key)) = connected() else {
        return;
    };
    let plan = world.cli().run(&["delete", "photos", "--plan"]).ok();
    assert_eq!(plan["connection"]["name"], "photos", "{plan}");
    assert_eq!(plan["keys"].as_array().unwrap().len(), 1);
    let open: Vec<_> = plan["boxes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["state"] == "open")
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(
        open.contains(&"quiet") && open.contains(&"name-typed"),
        "{plan}"
    );
    assert_eq!(key.s3().list(&bucket).unwrap().len(), 30);
    assert!(world.deletions().is_empty());
}
