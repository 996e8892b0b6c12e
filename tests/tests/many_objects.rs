//! Many objects of every kind go in through the gateway with rclone, and what arrives is what was
//! sent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{fs, path::Path};

use bascule_tests::{Object, World, scale};
use http::Method;

/// Parts of names that tools and servers have stumbled over.
const AWKWARD: [&str; 16] = [
    "plain",
    "two words",
    " leading and trailing ",
    "a+b",
    "100%",
    "a%2Fb",
    "%41",
    "ü-日本-🦀",
    "e\u{301} decomposed",
    "it's",
    "(x)*!'~",
    "q?a=1&b=2",
    "#hash",
    "semi;colon,comma=equals",
    "<tag>\"&amp;",
    ".hidden...",
];

const MIB: usize = 1 << 20;

fn fill(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Writes the files, and returns what a listing should show.
fn plant(folder: &Path, count: usize) -> Vec<(String, u64)> {
    let mut planted = Vec::new();
    let mut write = |name: String, length: usize| {
        let path = folder.join(&name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, fill(planted.len() as u64, length)).unwrap();
        planted.push((name, length as u64));
    };
    write("large/64 MiB + some %".to_owned(), 64 * MIB + 3);
    write("large/17 MiB".to_owned(), 17 * MIB);
    write("large/1 MiB".to_owned(), MIB);
    for number in 3..count {
        let (outer, inner) = (AWKWARD[number % 16], AWKWARD[(number / 16) % 16]);
        let length = match number % 10 {
            0 => 0,
            1 => 1,
            _ => number * 37 % 9_000,
        };
        write(format!("{outer}/{inner}/{number}{outer}"), length);
    }
    planted.sort();
    planted
}

#[test]
fn two_thousand_awkward_objects_arrive_as_they_were_sent() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let section = world
        .cli()
        .say(&[
            "key", "issue", "photos", "--label", "rclone", "--format", "rclone",
        ])
        .exits(0)
        .stdout;
    let remote = section
        .lines()
        .find_map(|l| l.strip_prefix('[')?.strip_suffix(']'))
        .unwrap();
    world.rclone_config(&section);

    let folder = world.home.path("work/source");
    let planted = plant(&folder, 2_000 * scale());
    let (source, target) = (folder.to_str().unwrap(), format!("{remote}:{bucket}"));
    let parallel = ["--transfers", "8", "--checkers", "8"];
    // Parts, so that uploads of many parts are among them.
    let parts = ["--s3-upload-cutoff", "16M", "--s3-chunk-size", "8M"];
    world
        .rclone(&[&["copy", source, &target][..], &parallel, &parts].concat())
        .exits(0);
    world
        .rclone(&[&["check", "--download", source, &target][..], &parallel].concat())
        .exits(0);

    let direct = world.minio.s3().list(&bucket).unwrap();
    let seen: Vec<_> = direct.iter().map(|o| (o.key.clone(), o.size)).collect();
    assert_eq!(seen, planted, "what lies at the provider is what was sent");

    let key = world.issue("photos", "reader");
    assert_eq!(
        key.s3().list(&bucket).unwrap(),
        direct,
        "both ways list the same"
    );
}

#[test]
fn the_answer_to_a_name_is_the_providers_own() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let (direct, through) = (world.minio.s3(), world.issue("photos", "names").s3());
    let mut stored = Vec::new();
    for name in [
        "a//b",
        "/leading",
        "trailing/",
        "./dot",
        "a/../b",
        "..",
        "a/./b",
        "...",
        "a b/+",
    ] {
        let path = format!("/{bucket}/{name}");
        let reply = through.call(Method::PUT, &path, "through").unwrap();
        let seen = (reply.status, reply.code());
        let expected = direct.call(Method::PUT, &path, "direct").unwrap();
        assert_eq!(seen, (expected.status, expected.code()), "PUT {name:?}");
        if reply.status == 200 {
            assert_eq!(
                through.get(&bucket, name).unwrap().body,
                "direct",
                "GET {name:?}"
            );
            through.put(&bucket, name, "again").unwrap();
            assert_eq!(
                direct.get(&bucket, name).unwrap().body,
                "again",
                "{name:?} is one object"
            );
            stored.push(name);
        }
    }
    assert!(stored.len() >= 3, "MinIO takes some of them: {stored:?}");
    let keys = |objects: Vec<Object>| objects.into_iter().map(|o| o.key).collect::<Vec<_>>();
    assert_eq!(
        keys(through.list(&bucket).unwrap()),
        keys(direct.list(&bucket).unwrap())
    );
}
