//! The load that works as fast as it can: all kinds of requests with one key, and connections and keys
//! that come and go. Every answer is checked; a wrong one ends the soak.

use std::sync::atomic::Ordering::SeqCst;

use bascule_tests::{Issued, S3, World, s3::element};
use http::Method;

use crate::course::{Course, EndsWith};

pub(crate) const MIB: usize = 1 << 20;
/// An object of 4 MiB that readers leave half way.
pub(crate) const LARGE: &str = "large";
/// Rounds in a turn: after a turn of everybody's comes a rest.
const ROUNDS: usize = 4;
/// Small requests in a round, half of them refused: what is kept of each must be seen in the end.
const BURST: usize = 100;

pub(crate) fn body(seed: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(31) ^ seed.wrapping_mul(17) ^ (at >> 8)) as u8)
        .collect()
}

/// Uses one key for all kinds of requests until the course is over.
pub(crate) fn work(course: &Course, key: &Issued, bucket: &str, worker: usize) {
    let _end = EndsWith(course);
    let mut round = 0;
    while let Some(_turn) = course.turn() {
        // Connections of a client's own for each turn, closed at its end.
        let s3 = key.s3();
        for _ in 0..ROUNDS {
            round += 1;
            one_round(&s3, key, bucket, worker, round);
            burst(&s3, key, bucket);
            course.count(3 + BURST as u64);
        }
    }
}

/// Many requests one after the other, quicker than one call at a time.
fn burst(s3: &S3, key: &Issued, bucket: &str) {
    let stranger = S3::new(&key.endpoint, &key.id, "a-secret-that-is-not-its-own");
    let path = format!("/{bucket}/small");
    bascule_tests::runtime().block_on(async {
        for _ in 0..BURST / 2 {
            let served = s3.send(Method::HEAD, &path, &[], "").await.unwrap();
            assert_eq!(served.status, 200);
            let refused = stranger.send(Method::GET, &path, &[], "").await.unwrap();
            assert_eq!(refused.status, 403);
        }
    });
}

fn one_round(s3: &S3, key: &Issued, bucket: &str, worker: usize, round: usize) {
    let name = format!("worker {worker}/object {}", round % 40);
    let path = format!("/{bucket}/{name}");
    let sent = body(round, [0, 1, 4_096, 100_000, MIB][round % 5]);
    s3.put(bucket, &name, sent.clone()).unwrap();
    assert_eq!(s3.get(bucket, &name).unwrap().body, sent, "{name}");
    match round % 9 {
        0 => {
            let listed = s3.list(bucket).unwrap();
            assert!(listed.iter().any(|object| object.key == name), "{name}");
        }
        1 => {
            s3.delete(bucket, &name).unwrap();
            let gone = s3.call(Method::GET, &path, "").unwrap();
            assert_eq!((gone.status, &*gone.code()), (404, "NoSuchKey"));
        }
        2 => {
            let stranger = S3::new(&key.endpoint, &key.id, "a-secret-that-is-not-its-own");
            let refused = stranger.call(Method::GET, &path, "").unwrap();
            assert_eq!(refused.code(), "SignatureDoesNotMatch");
            let elsewhere = s3.call(Method::GET, "/somebody-elses-bucket/x", "");
            assert_eq!(elsewhere.unwrap().status, 403);
        }
        3 => {
            // Left half way.
            let mut download = s3.open(bucket, LARGE).unwrap();
            assert!(download.take().unwrap());
        }
        4 => {
            let link = s3.presigned(bucket, &name);
            assert_eq!(s3.follow(&link).unwrap().body, sent, "{name}");
        }
        5 => {
            let upload = s3.upload(bucket, &name, 2 * MIB as u64).unwrap();
            for _ in 0..2 {
                upload.push(vec![7; MIB]).unwrap();
            }
            assert_eq!(upload.finish().unwrap().status, 200);
        }
        6 => multipart(s3, &path, round),
        _ => assert_eq!(s3.call(Method::HEAD, &path, "").unwrap().status, 200),
    }
}

/// Begins an upload in parts, and completes or aborts it in turn.
fn multipart(s3: &S3, path: &str, round: usize) {
    let send = |method, query: &[(&str, &str)], body: Vec<u8>| {
        let reply = bascule_tests::runtime().block_on(s3.send(method, path, query, body));
        reply.unwrap()
    };
    let begun = send(Method::POST, &[("uploads", "")], vec![]);
    assert_eq!(begun.status, 200, "{}", begun.text());
    let text = begun.text();
    let id = element(&text, "UploadId").unwrap();
    let part = body(round, 200_000);
    let query = [("partNumber", "1"), ("uploadId", id)];
    let stored = send(Method::PUT, &query, part.clone());
    assert_eq!(stored.status, 200, "{}", stored.text());
    let query = [("uploadId", id)];
    if round.is_multiple_of(2) {
        assert_eq!(send(Method::DELETE, &query, vec![]).status, 204);
        return;
    }
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part></CompleteMultipartUpload>",
        stored.header("etag")
    );
    let whole = send(Method::POST, &query, parts.into_bytes());
    assert_eq!(whole.status, 200, "{}", whole.text());
    assert_eq!(send(Method::GET, &[], vec![]).body, part);
}

/// Makes a connection with keys for each turn; uses, pauses, rotates and revokes them; and deletes it.
pub(crate) fn come_and_go(course: &Course, world: &World) {
    let _end = EndsWith(course);
    let direct = world.minio.s3();
    let mut round = 0;
    while let Some(_turn) = course.turn() {
        round += 1;
        let connection = format!("short-{round}");
        let bucket = world.minio.bucket();
        world.connect(&connection, &[&bucket]);
        let run = |args: &[&str]| world.cli().run(args).ok();
        let (first, second) = (
            world.issue(&connection, "first"),
            world.issue(&connection, "second"),
        );
        for number in 0..5 {
            let name = format!("object {number}");
            first.s3().put(&bucket, &name, name.clone()).unwrap();
        }
        let path = format!("/{bucket}/object 4");
        let works = |keys: &[&Issued]| -> Vec<bool> {
            let status = |key: &&Issued| key.s3().call(Method::GET, &path, "").unwrap().status;
            let statuses = keys.iter().map(status);
            statuses
                .inspect(|status| assert!([200, 403].contains(status), "{status}"))
                .map(|status| status == 200)
                .collect()
        };
        run(&["key", "pause", &first.id]);
        assert_eq!(works(&[&first, &second]), [false, true], "{connection}");
        run(&["key", "resume", &first.id]);
        let rotated = run(&["key", "rotate", &second.id, "--grace", "1h"]);
        let third = Issued::of(&rotated["issued"]);
        let all = [&first, &second, &third];
        assert_eq!(works(&all), [true; 3], "{connection}");
        run(&["key", "revoke", &first.id]);
        assert_eq!(works(&all), [false, true, true], "{connection}");
        world.delete(&connection, &[]).verdict("intact");
        assert_eq!(works(&all), [false; 3], "{connection}");
        // The bucket was kept, so the disk is this run's own business.
        let kept = direct.list(&bucket).unwrap();
        assert_eq!(kept.len(), 5, "{connection}");
        for object in kept {
            direct.delete(&bucket, &object.key).unwrap();
        }
        let removed = direct.call(Method::DELETE, &format!("/{bucket}"), "");
        assert_eq!(removed.unwrap().status, 204);
        course.count(16);
        course.connections.fetch_add(1, SeqCst);
    }
}
