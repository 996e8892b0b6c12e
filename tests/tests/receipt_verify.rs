//! Manifests that are kept for the user, and receipts that are verified with them or without.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use bascule_tests::{Answer, Recorded, Recorder, World, cli::NOT_INTACT};
use serde_json::{Value, json};

/// A deleted connection, its receipt and its manifests.
struct Scene {
    world: World,
    bucket: String,
    receipt: PathBuf,
    kept: PathBuf,
    done: Value,
    recorder: Recorder,
}

impl Scene {
    fn new(more: &[&str]) -> Option<Self> {
        let Recorded {
            world,
            recorder,
            bucket,
        } = Recorded::new()?.with_objects(20, "a/ü ").forgetting();
        let (receipt, kept) = (world.home.path("receipt.json"), world.home.path("kept"));
        let args = [
            "--receipt",
            receipt.to_str().unwrap(),
            "--keep-manifests",
            kept.to_str().unwrap(),
        ];
        let done = world.delete("photos", &[&args[..], more].concat()).json["deletion"].clone();
        Some(Self {
            world,
            bucket,
            receipt,
            kept,
            done,
            recorder,
        })
    }

    fn verify(&self, more: &[&str]) -> Answer {
        let args = [
            "receipt",
            "verify",
            self.receipt.to_str().unwrap(),
            "--credentials-stdin",
        ];
        let (id, secret) = self.world.minio.credentials();
        let answer = self
            .world
            .cli()
            .run_with(&[&args[..], more].concat(), &format!("{id}\n{secret}\n"));
        let mutating = self.recorder.mutating();
        assert!(
            mutating.is_empty(),
            "the daemon changed something: {mutating:?}"
        );
        answer
    }

    fn manifests(&self) -> Vec<&str> {
        vec!["--manifests", self.kept.to_str().unwrap()]
    }
}

#[test]
fn kept_manifests_are_private_whole_and_hold_a_line_for_each_object() {
    let Some(scene) = Scene::new(&[]) else { return };
    let id = scene.done["id"].as_str().unwrap();
    for round in ["before", "after"] {
        let path = scene
            .kept
            .join(format!("{id}.{}.{round}.jsonl", scene.bucket));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 20);
        let etag = "9dd4e461268c8034f5c8564e155c67a6";
        let third = json!({"of": "object", "key": "a/ü 03", "size": 1, "etag": etag});
        assert_eq!(lines[3], third);
    }
    // Nothing is left in the daemon.
    assert_eq!(
        fs::read_dir(scene.world.home.state().join("manifests"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_receipt_verifies_as_long_as_nothing_has_changed() {
    let Some(scene) = Scene::new(&[]) else { return };
    for more in [vec![], scene.manifests()] {
        let found = scene.verify(&more).ok();
        assert_eq!(found["result"], "unchanged", "{found}");
        assert_eq!(found["buckets"][0]["identity"], "unchanged");
        assert_eq!(found["buckets"][0]["contents"], "unchanged");
    }
    assert_eq!(
        fs::read_dir(scene.world.home.state().join("manifests"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn what_has_changed_since_is_told_by_digest_and_named_by_kept_manifests() {
    let Some(scene) = Scene::new(&[]) else { return };
    let s3 = scene.world.minio.s3();
    s3.delete(&scene.bucket, "a/ü 03").unwrap();
    s3.put(&scene.bucket, "a/ü 05", "another").unwrap();
    s3.put(&scene.bucket, "zzz", "new").unwrap();
    let rule = ["ilm", "rule", "add", "--prefix", "x/", "--expire-days", "7"];
    let there = format!("here/{}", scene.bucket);
    scene.world.minio.mc(&[&rule[..], &[&there]].concat());

    let found = scene.verify(&[]).exits(NOT_INTACT).json;
    assert_eq!(found["result"], "changed", "{found}");
    let bucket = &found["buckets"][0];
    assert_eq!(
        (&bucket["contents"], &bucket["identity"]),
        (&json!("changed"), &json!("unchanged"))
    );
    assert_eq!(
        bucket["settings"],
        json!([{"setting": "lifecycle", "kind": "added"}])
    );
    assert_eq!(bucket["differences"], Value::Null);

    let found = scene.verify(&scene.manifests()).exits(NOT_INTACT).json;
    let named: Vec<_> = (found["buckets"][0]["differences"]["named"]
        .as_array()
        .unwrap()
        .iter())
    .map(|one| (one["key"].as_str().unwrap(), one["kind"].as_str().unwrap()))
    .collect();
    assert_eq!(
        named,
        [
            ("a/ü 03", "removed"),
            ("a/ü 05", "replaced"),
            ("zzz", "added")
        ]
    );
}

#[test]
fn another_bucket_of_the_same_name_does_not_verify() {
    let Some(scene) = Scene::new(&[]) else { return };
    let there = format!("here/{}", scene.bucket);
    scene.world.minio.mc(&["rb", "--force", &there]);
    let gone = scene.verify(&[]).exits(NOT_INTACT).json;
    assert_eq!(gone["result"], "changed", "{gone}");
    assert_eq!(gone["buckets"][0]["now"]["result"], "gone");
    let s3 = scene.world.minio.s3();
    s3.make_bucket(&scene.bucket).unwrap();
    for number in 0..20 {
        s3.put(&scene.bucket, &format!("a/ü {number:02}"), "x")
            .unwrap();
    }
    let anew = scene.verify(&[]).exits(NOT_INTACT).json;
    assert_eq!(anew["buckets"][0]["identity"], "changed", "{anew}");
    assert_eq!(anew["buckets"][0]["contents"], "unchanged", "{anew}");
}

#[test]
fn a_receipt_without_contents_can_not_be_compared_and_says_so() {
    let Some(scene) = Scene::new(&["--survey", "identity"]) else {
        return;
    };
    let found = scene.verify(&[]).exits(NOT_INTACT).json;
    assert_eq!(found["result"], "cannot-tell", "{found}");
    assert_eq!(found["buckets"][0]["identity"], "unchanged");
}
