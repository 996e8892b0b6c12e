//! Hours of use in one run: a mixed load through the gateway while connections and keys come and
//! go, and what the daemon holds meanwhile. Every answer is checked; a wrong one ends the run.
//! Memory and descriptors are printed, with their drift since the load was warm, and judged by
//! the reader: how much is too much depends on the length of the run.
//!
//! `BASCULE_SOAK_SECONDS` sets its length (default 600).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a soak reports on its standard output and gives up by panicking"
)]

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use bascule_tests::{
    Issued, S3, World,
    measure::{Held, held, on_disk},
};
use http::Method;

const MIB: usize = 1 << 20;
const LARGE: &str = "large";
const WORKERS: usize = 4;
const NEWCOMERS: usize = 2;
const SAMPLES: u32 = 20;

/// What the threads share.
#[derive(Debug, Default)]
struct Course {
    over: AtomicBool,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl Course {
    fn goes_on(&self) -> bool {
        !self.over.load(SeqCst)
    }

    fn count(&self, requests: u64) {
        self.requests.fetch_add(requests, SeqCst);
    }
}

/// Ends the course when a thread ends, however it does.
struct EndsWith<'a>(&'a Course);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
    }
}

fn body(seed: usize, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(31) ^ seed.wrapping_mul(17) ^ (at >> 8)) as u8)
        .collect()
}

/// Uses one key for all kinds of requests until the course is over.
fn work(course: &Course, key: &Issued, bucket: &str, worker: usize) {
    let _end = EndsWith(course);
    let s3 = key.s3();
    let stranger = S3::new(
        &key.endpoint,
        &key.id,
        "a-secret-that-is-not-the-keys-own-one",
    );
    let mut round = 0;
    while course.goes_on() {
        round += 1;
        let name = format!("worker {worker}/object {}", round % 40);
        let path = format!("/{bucket}/{name}");
        let sent = body(round, [0, 1, 4_096, 100_000, MIB][round % 5]);
        s3.put(bucket, &name, sent.clone()).unwrap();
        assert_eq!(s3.get(bucket, &name).unwrap().body, sent, "{name}");
        course.count(2);
        match round % 8 {
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
                let refused = stranger.call(Method::GET, &path, "").unwrap();
                assert_eq!(
                    refused.code(),
                    "SignatureDoesNotMatch",
                    "{}",
                    refused.text()
                );
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
                    upload.push(piece()).unwrap();
                }
                assert_eq!(upload.finish().unwrap().status, 200);
            }
            _ => assert_eq!(s3.call(Method::HEAD, &path, "").unwrap().status, 200),
        }
        course.count(1);
    }
}

fn piece() -> Vec<u8> {
    vec![7; MIB]
}

/// Makes connections with keys, uses them, and deletes them, until the course is over.
fn come_and_go(course: &Course, world: &World, newcomer: usize) {
    let _end = EndsWith(course);
    let direct = world.minio.s3();
    let mut round = 0;
    while course.goes_on() {
        round += 1;
        let connection = format!("short-{newcomer}-{round}");
        let bucket = world.minio.bucket();
        world.connect(&connection, &[&bucket]);
        let (first, second) = (
            world.issue(&connection, "first"),
            world.issue(&connection, "second"),
        );
        for number in 0..5 {
            let name = format!("object {number}");
            first.s3().put(&bucket, &name, name.clone()).unwrap();
        }
        world.cli().run(&["key", "revoke", &first.id]).ok();
        let path = format!("/{bucket}/object 4");
        let status = |key: &Issued| key.s3().call(Method::GET, &path, "").unwrap().status;
        assert_eq!(
            (status(&first), status(&second)),
            (403, 200),
            "{connection}"
        );
        world.delete(&connection, &[]).verdict("intact");
        assert_eq!(
            (status(&first), status(&second)),
            (403, 403),
            "{connection}"
        );
        // The bucket was kept, so the disk is this run's own business.
        let kept = direct.list(&bucket).unwrap();
        assert_eq!(kept.len(), 5, "{connection}");
        for object in kept {
            direct.delete(&bucket, &object.key).unwrap();
        }
        let removed = direct.call(Method::DELETE, &format!("/{bucket}"), "");
        assert_eq!(removed.unwrap().status, 204);
        course.count(9);
        course.connections.fetch_add(1, SeqCst);
    }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

fn print(elapsed: Duration, course: &Course, held: &Held, state: u64) {
    println!(
        "{:>8.0} {:>10} {:>12} {:>13.1} {:>9.1} {:>12} {:>8} {:>10.1}",
        elapsed.as_secs_f64(),
        course.requests.load(SeqCst),
        course.connections.load(SeqCst),
        mebibytes(held.resident),
        mebibytes(held.peak),
        held.descriptors
            .map_or_else(|| "-".to_owned(), |count| count.to_string()),
        held.threads,
        mebibytes(state),
    );
}

/// Prints what the daemon holds until the time is over or a thread has ended, and returns it.
fn watch(course: &Course, world: &World, length: Duration) -> Vec<Held> {
    println!(
        "{:>8} {:>10} {:>12} {:>13} {:>9} {:>12} {:>8} {:>10}",
        "seconds",
        "requests",
        "connections",
        "resident MiB",
        "peak MiB",
        "descriptors",
        "threads",
        "state MiB"
    );
    let start = Instant::now();
    let mut seen = Vec::new();
    for sample in 1..=SAMPLES {
        let until = length * sample / SAMPLES;
        while start.elapsed() < until && course.goes_on() {
            thread::sleep(Duration::from_millis(100));
        }
        if !course.goes_on() {
            break;
        }
        if let Some(held) = held(world.daemon.pid()) {
            print(start.elapsed(), course, &held, on_disk(&world.home.state()));
            seen.push(held);
        }
    }
    seen
}

fn main() {
    let seconds = std::env::var("BASCULE_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(600);
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("steady", &[&bucket]);
    let key = world.issue("steady", "soak");
    world
        .minio
        .s3()
        .put(&bucket, LARGE, body(0, 16 * MIB))
        .unwrap();
    let course = Course::default();
    let seen = thread::scope(|scope| {
        let (course, world, key, bucket) = (&course, &world, &key, &bucket);
        for worker in 0..WORKERS {
            scope.spawn(move || work(course, key, bucket, worker));
        }
        for newcomer in 0..NEWCOMERS {
            scope.spawn(move || come_and_go(course, world, newcomer));
        }
        let _end = EndsWith(course);
        watch(course, world, Duration::from_secs(seconds))
    });
    // The first quarter of the run is for warming up.
    let Some((warm, last)) = seen.get(seen.len() / 4).zip(seen.last()) else {
        println!("no drift: no /proc tells what a process holds here");
        return;
    };
    println!(
        "drift since the load was warm: {:+.1} MiB resident, {} descriptors, {:+} threads",
        mebibytes(last.resident) - mebibytes(warm.resident),
        last.descriptors.zip(warm.descriptors).map_or_else(
            || "unknown".to_owned(),
            |(l, w)| format!("{:+}", l as i64 - w as i64)
        ),
        last.threads as i64 - warm.threads as i64,
    );
}
