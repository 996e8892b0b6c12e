//! What a survey covers, at a real MinIO: versions, delete markers, unfinished uploads, settings.
//! Nothing differs, and the verdict is intact; one thing differs, and the receipt names it. A
//! recording proxy sees that nothing which could change a bucket leaves the daemon.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{sync::Arc, thread};

use bascule_tests::{
    Minio, Recorded, Recorder, S3, Treat, World,
    cli::{NO_DAEMON, VERDICT_PENDING},
    generated::{self, Generated},
    s3::element,
    wait,
    world::deletions,
};
use http::Method;
use serde_json::{Value, json};

/// A MinIO of its own, since unfinished uploads are forgotten by one that serves others too, and
/// a bucket with everything that a bucket can hold.
struct Scene {
    world: World,
    recorder: Recorder,
    bucket: String,
    s3: S3,
    upload: String,
}

impl Scene {
    fn new() -> Option<Self> {
        let world = World::on(Arc::new(Minio::start()?));
        let s3 = world.minio.s3();
        let bucket = "everything".to_owned();
        world.minio.mc(&["mb", "--with-lock", "here/everything"])?;
        for number in 0..30 {
            s3.put(&bucket, &format!("a/ü {number:02}"), "first")
                .unwrap();
        }
        for number in 0..10 {
            s3.put(&bucket, &format!("a/ü {number:02}"), "second")
                .unwrap();
        }
        s3.delete(&bucket, "a/ü 20").unwrap();
        let rule = [
            "ilm",
            "rule",
            "add",
            "--prefix",
            "tmp/",
            "--expire-days",
            "90",
        ];
        world
            .minio
            .mc(&[&rule[..], &["here/everything"]].concat())?;
        let upload = begin_upload(&s3, &bucket, "half a film");
        let Recorded {
            world, recorder, ..
        } = Recorded::of(world, &bucket).forgetting();
        Some(Self {
            world,
            recorder,
            bucket,
            s3,
            upload,
        })
    }

    fn older_version(&self, key: &str) -> String {
        let query = [("versions", ""), ("prefix", key)];
        let listed = self.call(Method::GET, "", &query, "");
        let older = listed.split("<Version>").nth(2).unwrap();
        element(older, "VersionId").unwrap().to_owned()
    }

    fn call(&self, method: Method, path: &str, query: &[(&str, &str)], body: &str) -> String {
        let path = format!("/{}{path}", self.bucket);
        let sent = self.s3.send(method, &path, query, body.to_owned());
        let reply = bascule_tests::runtime().block_on(sent).unwrap();
        assert!(reply.status < 300, "{}: {}", reply.status, reply.text());
        reply.text()
    }

    /// Deletes the connection, does something between the surveys, and returns the receipt.
    fn delete_while(&self, args: &[&str], meanwhile: impl FnOnce(&Self)) -> Value {
        let cli = self.world.cli();
        self.recorder.rule(move |_| {
            let revoked = |found: &[Value]| found.iter().any(|d| d["phase"] == "revoked");
            if revoked(&deletions(&cli)) {
                Treat::Wait
            } else {
                Treat::Pass
            }
        });
        thread::scope(|scope| {
            let deleting = scope.spawn(|| self.world.delete("photos", args));
            self.recorder.wait_until_held(1);
            meanwhile(self);
            self.recorder.pass();
            deleting.join().unwrap();
        });
        let id = self.world.deletions()[0]["id"].as_str().unwrap().to_owned();
        let mutating = self.recorder.mutating();
        assert!(
            mutating.is_empty(),
            "the daemon changed something: {mutating:?}"
        );
        self.world.receipt(&id)
    }
}

/// A connection to a made-up provider, behind a recorder that has seen nothing yet.
fn behind_a_recorder(world: World, provider: &Generated) -> Recorded {
    let endpoint = provider.endpoint();
    let address = endpoint.trim_start_matches("http://");
    Recorded::before(world, address, generated::BUCKET, provider.credentials()).forgetting()
}

fn begin_upload(s3: &S3, bucket: &str, key: &str) -> String {
    let path = format!("/{bucket}/{key}");
    let sent = s3.send(Method::POST, &path, &[("uploads", "")], "");
    let reply = bascule_tests::runtime().block_on(sent).unwrap();
    element(&reply.text(), "UploadId").unwrap().to_owned()
}

#[test]
fn a_bucket_with_versions_locks_and_open_uploads_is_intact_when_nothing_differs() {
    let Some(scene) = Scene::new() else { return };
    let receipt = scene.delete_while(&[], |_| {});
    assert_eq!(receipt["verdict"], "intact", "{receipt}");
    let [first, second] = ["before", "after"].map(|when| &receipt["surveys"][when][0]);
    assert_eq!(first["digest"], second["digest"]);
    let figures = ["contents", "objects", "versions", "markers", "uploads"];
    let expected = [json!("versions"), json!(29), json!(40), json!(1), json!(1)];
    assert_eq!(figures.map(|name| first[name].clone()), expected, "{first}");
    assert_eq!(
        figures.map(|name| second[name].clone()),
        expected,
        "{second}"
    );
    for set in ["versioning", "object-lock", "lifecycle"] {
        assert_eq!(first["settings"][set]["answer"], "set", "{first}");
    }
    assert_eq!(first["settings"]["policy"]["answer"], "unset", "{first}");
    let asked = scene.recorder.seen();
    assert!(asked.iter().any(|seen| seen.target.contains("versions=")));
    assert!(asked.iter().any(|seen| seen.target.contains("uploads=")));
}

#[test]
fn each_kind_of_change_is_named() {
    type Change = fn(&Scene);
    let changes: [(&str, &str, &str, Change); 7] = [
        ("version", "added", "a/ü 05", |scene| {
            scene.s3.put(&scene.bucket, "a/ü 05", "third").unwrap();
        }),
        ("version", "removed", "a/ü 06", |scene| {
            let older = scene.older_version("a/ü 06");
            let query = [("versionId", older.as_str())];
            scene.call(Method::DELETE, "/a/ü 06", &query, "");
        }),
        ("marker", "added", "a/ü 07", |scene| {
            scene.s3.delete(&scene.bucket, "a/ü 07").unwrap();
        }),
        ("upload", "removed", "half a film", |scene| {
            let query = [("uploadId", scene.upload.as_str())];
            scene.call(Method::DELETE, "/half a film", &query, "");
        }),
        ("upload", "added", "another film", |scene| {
            begin_upload(&scene.s3, &scene.bucket, "another film");
        }),
        ("setting", "replaced", "lifecycle", |scene| {
            let rule = ["ilm", "rule", "add", "--prefix", "x/", "--expire-days", "7"];
            scene
                .world
                .minio
                .mc(&[&rule[..], &["here/everything"]].concat());
        }),
        ("setting", "added", "policy", |scene| {
            scene
                .world
                .minio
                .mc(&["anonymous", "set", "download", "here/everything"]);
        }),
    ];
    for (of, kind, name, change) in changes {
        let Some(scene) = Scene::new() else { return };
        let receipt = scene.delete_while(&[], change);
        assert_eq!(receipt["verdict"], "changed-by-others", "{receipt}");
        let found = receipt["differences"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{of} {kind}: {found:?}");
        let named = found[0].get("key").or(found[0].get("setting")).unwrap();
        assert_eq!(
            (&found[0]["of"], &found[0]["kind"], named),
            (&json!(of), &json!(kind), &json!(name))
        );
    }
}

#[test]
fn what_may_not_be_read_is_told_and_never_called_fine() {
    let Some(minio) = Minio::shared() else { return };
    let world = World::on(minio);
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "a", "x").unwrap();
    let Some((id, secret)) = world.minio.user() else {
        return;
    };
    // MinIO's readwrite allows everything on buckets, so a narrower rule comes first.
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject", "s3:ListAllMyBuckets"], "Resource": ["arn:aws:s3:::*"]},
    ]});
    let file = world.home.write("narrow.json", &policy.to_string());
    let name = format!("narrow-{id}");
    world.minio.mc(&[
        "admin",
        "policy",
        "create",
        "here",
        &name,
        file.to_str().unwrap(),
    ]);
    world.minio.mc(&[
        "admin",
        "policy",
        "detach",
        "here",
        "readwrite",
        "--user",
        &id,
    ]);
    world
        .minio
        .mc(&["admin", "policy", "attach", "here", &name, "--user", &id]);
    world.connect_at(
        "photos",
        &[&bucket],
        &world.minio.endpoint(),
        (&id, &secret),
    );
    let done = world.delete("photos", &[]).verdict("intact");
    let receipt = world.receipt(done["id"].as_str().unwrap());
    let told = receipt["not_checked"].to_string();
    for what in ["lifecycle", "policy", "unfinished multipart uploads"] {
        let line = format!("not compared: {what}");
        assert!(told.contains(&line), "{what}: {told}");
    }
    assert!(told.contains("AccessDenied"), "{told}");
}

#[test]
fn a_sample_and_a_look_at_the_identity_say_what_they_are() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    for number in 0..5 {
        world
            .minio
            .s3()
            .put(&bucket, &format!("{number}"), "x")
            .unwrap();
    }
    // So few objects are all drawn, and then it is no sample.
    world.connect("photos", &[&bucket]);
    world
        .delete("photos", &["--survey", "sample"])
        .verdict("intact");

    world.connect("photos", &[&bucket]);
    let done = world
        .delete("photos", &["--survey", "identity"])
        .verdict("unverifiable");
    let receipt = world.receipt(done["id"].as_str().unwrap());
    assert!(
        receipt["reason"]
            .as_str()
            .unwrap()
            .contains("contents were not compared")
    );
    assert_eq!(receipt["surveys"]["extent"], "identity");
    let told = receipt["not_checked"].to_string();
    assert!(told.contains("the contents of"), "{told}");
}

#[test]
fn a_first_survey_goes_on_after_a_kill_where_it_was() {
    let Some(minio) = Minio::shared() else { return };
    let world = World::on(minio);
    let provider = Generated::start(40_000);
    let Recorded {
        mut world,
        recorder,
        ..
    } = behind_a_recorder(world, &provider);
    // Twenty pages pass; the others wait.
    let passed = std::sync::atomic::AtomicUsize::new(0);
    recorder.rule(move |seen| {
        let first = || passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 20;
        if !seen.lists_objects() || first() {
            Treat::Pass
        } else {
            Treat::Wait
        }
    });
    let cli = world.cli();
    let id = thread::scope(|scope| {
        let deleting = scope.spawn(|| cli.run(&["delete", "photos", "--yes"]).exits(NO_DAEMON));
        recorder.wait_until_held(1);
        // What was listed stands in the manifest; one stretch at least is on its way to it.
        let manifests = world.home.path("state/manifests");
        wait::until("the manifest to grow", || {
            let files = std::fs::read_dir(&manifests).ok()?;
            let size: u64 = files
                .flatten()
                .filter_map(|file| Some(file.metadata().ok()?.len()))
                .sum();
            (size > 50_000).then_some(())
        });
        let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
        world.daemon.kill();
        recorder.pass();
        deleting.join().unwrap();
        id
    });
    world.daemon.restart(&world.home);
    let finished = world.wait_for_phase(&id, "finished");
    assert_eq!(finished["verdict"], "intact", "{finished}");
    let receipt = world.receipt(&id);
    assert_eq!(receipt["surveys"]["before"][0]["objects"], 40_000);
    assert!(receipt["journal_gap"].is_string(), "{receipt}");
    assert_eq!(beginnings(&recorder), 2, "one for each survey");
}

/// How often a listing was begun at its beginning.
fn beginnings(recorder: &Recorder) -> usize {
    let goes_on = [
        "start-after",
        "continuation-token",
        "delimiter",
        "max-keys=1&",
    ];
    let seen = recorder.seen();
    let first = |seen: &&bascule_tests::Seen| {
        let whole_page = seen.target.contains("max-keys=1000");
        seen.lists_objects() && whole_page && !goes_on.iter().any(|word| seen.target.contains(word))
    };
    seen.iter().filter(first).count()
}

#[test]
fn a_second_survey_goes_on_after_the_provider_was_away() {
    let Some(minio) = Minio::shared() else { return };
    let world = World::on(minio);
    let provider = Generated::start(30_000);
    let Recorded {
        world, recorder, ..
    } = behind_a_recorder(world, &provider);
    let cli = world.cli();
    let passed = std::sync::atomic::AtomicUsize::new(0);
    recorder.rule(move |seen| {
        let revoked = || deletions(&cli).iter().any(|d| d["phase"] == "revoked");
        let first = || passed.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 10;
        if !seen.lists_objects() || !revoked() || first() {
            Treat::Pass
        } else {
            Treat::Drop
        }
    });
    world.delete("photos", &[]).exits(VERDICT_PENDING);
    recorder.pass();
    let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.wait_for_phase(&id, "finished")["verdict"], "intact");
    assert_eq!(beginnings(&recorder), 2, "one for each survey");
}

#[test]
fn a_sample_of_many_objects_says_how_many() {
    let Some(minio) = Minio::shared() else { return };
    let world = World::on(minio);
    let provider = Generated::start(200_000);
    world.connect_at(
        "photos",
        &[bascule_tests::generated::BUCKET],
        &provider.endpoint(),
        provider.credentials(),
    );
    let before = provider.listed();
    let done = world
        .delete("photos", &["--survey", "sample"])
        .verdict("intact-as-sampled");
    let receipt = world.receipt(done["id"].as_str().unwrap());
    assert_eq!(receipt["of"], 200_000, "{receipt}");
    let compared = receipt["compared"].as_u64().unwrap();
    assert!((10_000..100_000).contains(&compared), "{compared}");
    assert_eq!(receipt["surveys"]["after"][0]["sampled"], compared);
    // One whole listing and the sample, not two.
    let listed = provider.listed() - before;
    assert!(listed < 2 * 200_000, "{listed}");
}
