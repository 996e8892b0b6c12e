//! A deletion never changes a bucket: a recording proxy before the provider sees what the daemon
//! asks for. That this holds through every crash is in `crashes`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Recorded, Recorder, World};
use http::Method;

fn check_only_reads(recorder: &Recorder) {
    let seen = recorder.seen();
    assert!(
        seen.iter().any(bascule_tests::Seen::lists_objects),
        "the surveys come this way"
    );
    let mutating = recorder.mutating();
    assert!(
        mutating.is_empty(),
        "the daemon changed something: {mutating:?}"
    );
}

#[test]
fn the_daemon_sends_nothing_that_changes_a_bucket_during_a_deletion() {
    let Some(scene) = Recorded::new() else {
        return;
    };
    let Recorded {
        world,
        recorder,
        bucket,
    } = scene;
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    check_only_reads_of_a_probe(&recorder);
    let key = world.issue("photos", "laptop").s3();
    key.put(&bucket, "through", "x").unwrap();
    assert!(
        recorder.seen().iter().any(|seen| seen.may_mutate()),
        "requests do come this way"
    );

    recorder.forget();
    world.delete("photos", &[]).verdict("intact");
    // What a dead key asks for never gets this far.
    for method in [Method::PUT, Method::DELETE, Method::GET, Method::POST] {
        let reply = key.call(method, &format!("/{bucket}/kept"), "").unwrap();
        assert_eq!(reply.code(), "InvalidAccessKeyId");
    }
    check_only_reads(&recorder);
    assert!(
        recorder
            .seen()
            .iter()
            .all(|seen| !seen.target.contains("kept"))
    );
}

fn check_only_reads_of_a_probe(recorder: &Recorder) {
    let mutating = recorder.mutating();
    assert!(
        mutating.is_empty(),
        "connecting changed something: {mutating:?}"
    );
}

#[test]
fn no_key_can_change_or_remove_a_bucket() {
    let Some(scene) = Recorded::new() else {
        return;
    };
    let Recorded {
        world,
        recorder,
        bucket,
    } = scene;
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    let key = world.issue("photos", "laptop").s3();
    recorder.forget();
    let send = |method: Method, path: &str, query: &[(&str, &str)]| {
        bascule_tests::runtime()
            .block_on(key.send(method, path, query, ""))
            .unwrap()
    };
    let path = format!("/{bucket}");
    for query in [
        "policy",
        "lifecycle",
        "versioning",
        "acl",
        "tagging",
        "cors",
        "encryption",
    ] {
        assert_eq!(
            send(Method::PUT, &path, &[(query, "")]).status,
            403,
            "PUT ?{query}"
        );
        assert_eq!(
            send(Method::DELETE, &path, &[(query, "")]).status,
            403,
            "DELETE ?{query}"
        );
    }
    assert_eq!(send(Method::DELETE, &path, &[]).status, 403);
    assert_eq!(send(Method::DELETE, &format!("{path}/"), &[]).status, 403);
    assert_eq!(send(Method::PUT, "/another-bucket", &[]).status, 403);
    let own = send(Method::PUT, &path, &[]);
    assert_eq!((own.status, &*own.code()), (409, "BucketAlreadyOwnedByYou"));
    assert_eq!(send(Method::GET, "/minio", &[]).status, 403);
    assert_eq!(send(Method::GET, "/minio/admin/v3/info", &[]).status, 403);
    assert_eq!(
        recorder.seen().len(),
        0,
        "none of them was forwarded: {:?}",
        recorder.seen()
    );
}

#[test]
fn a_key_that_may_read_can_not_write() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    world.connect("photos", &[&bucket]);
    let args = [
        "key",
        "issue",
        "photos",
        "--label",
        "viewer",
        "--permission",
        "read",
    ];
    let key = bascule_tests::Issued::of(&world.cli().run(&args).ok()).s3();
    assert_eq!(key.get(&bucket, "kept").unwrap().body, "x");
    for (method, name) in [
        (Method::PUT, "new"),
        (Method::PUT, "kept"),
        (Method::DELETE, "kept"),
    ] {
        let reply = key.call(method, &format!("/{bucket}/{name}"), "y").unwrap();
        assert_eq!((reply.status, &*reply.code()), (403, "AccessDenied"));
        assert!(
            reply
                .header("x-amz-request-id")
                .starts_with("NOT-PERMITTED")
        );
    }
    assert_eq!(world.minio.s3().list(&bucket).unwrap().len(), 1);
}
