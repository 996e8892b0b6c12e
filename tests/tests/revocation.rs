//! Revocations and deletions through the real daemon and the real command line: nothing is
//! accepted after the reply, streams end at the reply and not at their next byte, and no crash,
//! full disk or namesake brings a key back (threats.md C1 to C9).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, and why it is skipped on its standard error"
)]

use std::{
    path::{Path, PathBuf},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use bascule_tests::{
    Cli, Clock, Conduct, Daemon, Home, Issued, Minio, Recorder, Relay, S3, SmallDisk, Treat, World,
    cli::STEPS_REMAIN, measure, scale, wait,
};
use bytes::Bytes;
use http::Method;

const MIB: usize = 1 << 20;

/// How a key loses its rights.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Withdrawal {
    Revocation,
    Deletion,
}

impl Withdrawal {
    const ALL: [Self; 2] = [Self::Revocation, Self::Deletion];

    fn apply(self, cli: &Cli, connection: &str, key: &Issued) {
        match self {
            Self::Revocation => {
                cli.run(&["key", "revoke", &key.id]).ok();
            }
            Self::Deletion => {
                let acks = ["--ack", "no-open-transfers", "--ack", "survey-complete"];
                let told = cli.delete(connection, &acks);
                assert!(matches!(told.code, Some(0 | 7)), "{told}");
            }
        }
    }
}

/// A connection through a relay, and an object of each conduct to read.
struct Scene {
    world: World,
    relay: Relay,
    bucket: String,
    key: Issued,
}

impl Scene {
    fn new() -> Option<Self> {
        let world = World::new()?;
        let bucket = world.minio.bucket();
        let relay = Relay::start(&world.minio.address());
        world.connect_at(
            "photos",
            &[&bucket],
            &relay.endpoint(),
            world.minio.credentials(),
        );
        let key = world.issue("photos", "laptop");
        Some(Self {
            world,
            relay,
            bucket,
            key,
        })
    }

    fn store(&self, conduct: Conduct, bytes: usize) -> String {
        let name = format!("{}read", conduct.prefix());
        let s3 = self.world.minio.s3();
        s3.put(&self.bucket, &name, vec![7; bytes]).unwrap();
        name
    }

    fn exists(&self, name: &str) -> bool {
        let path = format!("/{}/{name}", self.bucket);
        let reply = self.world.minio.s3().call(Method::HEAD, &path, "").unwrap();
        assert!(matches!(reply.status, 200 | 404), "{}", reply.status);
        reply.status == 200
    }

    /// Nothing of the exchange is left at the provider, whoever moves or not.
    fn wait_until_let_go(&self) {
        wait::until("the gateway to let go of the provider", || {
            (self.relay.open() == 0).then_some(())
        });
    }
}

/// Waits until a number that grew has stopped.
fn stalled(what: &str, number: impl Fn() -> usize) {
    let (mut last, mut same) = (0, 0);
    wait::until(what, || {
        let now = number();
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        (same >= 10).then_some(())
    });
}

#[test]
fn c3_a_download_is_cut_whichever_side_has_stalled() {
    for withdrawal in Withdrawal::ALL {
        for conduct in [Conduct::Drip, Conduct::Trickle] {
            let Some(scene) = Scene::new() else { return };
            let name = scene.store(conduct, 64 * MIB);
            let mut download = scene.key.s3().open(&scene.bucket, &name).unwrap();
            assert!(download.take().unwrap());
            wait::until("the answer to be on its way", || {
                (scene.relay.passed() > 0).then_some(())
            });
            withdrawal.apply(&scene.world.cli(), "photos", &scene.key);
            scene.wait_until_let_go();
            let end = download.finish();
            assert!(end.is_err(), "{withdrawal:?} {conduct:?}: {end:?}");
        }
    }
}

#[test]
fn c3_a_download_that_nobody_reads_is_cut() {
    for withdrawal in Withdrawal::ALL {
        let Some(scene) = Scene::new() else { return };
        // Neither a name that slows it nor one that stops it: only the client does.
        let s3 = scene.world.minio.s3();
        s3.put(&scene.bucket, "large", vec![7; 64 * MIB]).unwrap();
        let mut download = scene.key.s3().open(&scene.bucket, "large").unwrap();
        assert!(download.take().unwrap());
        withdrawal.apply(&scene.world.cli(), "photos", &scene.key);
        let end = download.finish();
        assert!(end.is_err(), "{withdrawal:?}: {end:?}");
    }
}

#[test]
fn c3_an_upload_without_its_last_byte_is_cut_and_leaves_no_object() {
    for withdrawal in Withdrawal::ALL {
        for conduct in [Conduct::Trickle, Conduct::Deaf] {
            let Some(scene) = Scene::new() else { return };
            let name = format!("{}written", conduct.prefix());
            let length = 3 * MIB;
            let upload = scene
                .key
                .s3()
                .upload(&scene.bucket, &name, length as u64)
                .unwrap();
            // All but the last byte. A deaf provider takes less, and then nobody takes more.
            let pushing = thread::spawn(move || {
                let whole = Bytes::from(vec![7; length - 1]);
                for from in (0..whole.len()).step_by(64 * 1024) {
                    let to = whole.len().min(from + 64 * 1024);
                    if upload.push(whole.slice(from..to)).is_err() {
                        break;
                    }
                }
                upload
            });
            stalled("the upload to stall", || scene.relay.passed());
            withdrawal.apply(&scene.world.cli(), "photos", &scene.key);
            scene.wait_until_let_go();
            let upload = pushing.join().unwrap();
            let _ = upload.push(vec![7; 1]);
            assert!(
                upload.finish().is_ok_and(|reply| reply.status == 403) || !scene.exists(&name),
                "{withdrawal:?} {conduct:?}"
            );
            assert!(!scene.exists(&name), "{withdrawal:?} {conduct:?}");
        }
    }
}

#[test]
fn r53_an_upload_that_the_provider_has_whole_is_in_doubt_by_bucket_and_key() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let recorder = Recorder::start(&world.minio.address());
    let root = world.minio.credentials();
    world.connect_at("photos", &[&bucket], &recorder.endpoint(), root);
    let key = world.issue("photos", "laptop");
    recorder.rule(|seen| {
        if seen.method == Method::PUT {
            Treat::KeepAnswer
        } else {
            Treat::Pass
        }
    });
    let upload = key.s3().upload(&bucket, "whole", 5).unwrap();
    upload.push("whole").unwrap();
    recorder.wait_until_held(1);
    let told = world.cli().run(&["key", "revoke", &key.id]).ok();
    let expected = serde_json::json!([
        { "operation": "PutObject", "bucket": bucket, "key": "whole" }
    ]);
    assert_eq!(told["in_doubt"], expected, "{told}");
    assert!(upload.finish().is_err(), "the client is cut at once");
    recorder.pass();
    assert!(world.minio.s3().get(&bucket, "whole").is_ok());
}

#[test]
fn c3_an_upload_to_a_folder_is_cut_and_leaves_nothing() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let folder = home.path("work/bucket-root");
    std::fs::create_dir_all(folder.join("pics")).unwrap();
    let path = folder.to_str().unwrap();
    let connect = [
        "connect",
        "photos",
        "--provider",
        "local",
        "--path",
        path,
        "--bucket",
        "pics",
    ];
    cli.run(&connect).ok();
    let bucket = "pics";
    let issued = cli.run(&["key", "issue", "photos", "--label", "x"]).ok();
    let key = Issued::of(&issued);
    let before = files(&folder);
    let upload = key.s3().upload(bucket, "new", 2 * MIB as u64).unwrap();
    upload.push(vec![7; MIB]).unwrap();
    wait::until("the upload to arrive", || {
        (files(&folder) != before).then_some(())
    });
    cli.run(&["key", "revoke", &key.id]).ok();
    wait::until("what was written to be gone", || {
        (files(&folder) == before).then_some(())
    });
    assert!(upload.finish().is_err());
    drop(daemon);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

const CLIENTS: usize = 64;
/// `BASCULE_TEST_SCALE` multiplies it.
const ROUNDS: usize = 20;

/// 64 clients, each with connections of its own, use one key until it was withdrawn, and once
/// more after that. Late requests name another object.
fn race(world: &World, recorder: &Recorder, bucket: &str, withdrawal: Withdrawal, round: usize) {
    let connection = format!("photos{round}");
    let root = world.minio.credentials();
    world.connect_at(&connection, &[bucket], &recorder.endpoint(), root);
    let key = world.issue(&connection, "laptop");
    let (withdrawn, accepted) = (AtomicBool::new(false), AtomicUsize::new(0));
    let start = Barrier::new(CLIENTS + 1);
    recorder.forget();
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (key, start, withdrawn, accepted) = (&key, &start, &withdrawn, &accepted);
            scope.spawn(move || {
                let s3 = key.s3();
                let ask = |name: &str| {
                    let path = format!("/{bucket}/{name}");
                    if number % 2 == 0 {
                        s3.call(Method::GET, &path, "")
                    } else {
                        s3.call(Method::PUT, &path, "a few bytes")
                    }
                };
                start.wait();
                while !withdrawn.load(SeqCst) {
                    // Being cut is no failure; being refused is none either.
                    if ask("early").is_ok_and(|reply| reply.status == 200) {
                        accepted.fetch_add(1, SeqCst);
                    }
                }
                let reply = ask("late");
                assert!(
                    reply.as_ref().is_ok_and(|reply| reply.status == 403),
                    "{reply:?}"
                );
            });
        }
        start.wait();
        let enough = 1 + round * 11 % (2 * CLIENTS);
        wait::until("requests to be accepted", || {
            (accepted.load(SeqCst) >= enough).then_some(())
        });
        withdrawal.apply(&world.cli(), &connection, &key);
        withdrawn.store(true, SeqCst);
    });
    let late = |seen: &bascule_tests::Seen| seen.target.contains("late");
    assert!(!recorder.seen().iter().any(late), "{withdrawal:?}");
    if withdrawal == Withdrawal::Revocation {
        world.delete(&connection, &["--ack", "survey-complete"]);
    }
}

#[test]
fn c1_nothing_is_accepted_after_the_reply_of_the_real_daemon() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let s3 = world.minio.s3();
    s3.put(&bucket, "early", "x").unwrap();
    let recorder = Recorder::start(&world.minio.address());
    let descriptors = || measure::held(world.daemon.pid()).and_then(|held| held.descriptors);
    // Connections to the provider that are kept, and nothing that grows with the rounds.
    race(&world, &recorder, &bucket, Withdrawal::Revocation, 0);
    let after_one = descriptors();
    for round in 1..ROUNDS * scale() {
        let withdrawal = Withdrawal::ALL[round % 2];
        race(&world, &recorder, &bucket, withdrawal, round);
    }
    if let Some(after_one) = after_one {
        wait::until("the descriptors to be given back", || {
            (descriptors()? <= after_one + CLIENTS).then_some(())
        });
    }
}

#[test]
fn c4_a_live_presigned_link_is_refused_after_a_deletion() {
    let Some(scene) = Scene::new() else { return };
    scene.world.minio.s3().put(&scene.bucket, "a", "x").unwrap();
    let s3 = scene.key.s3();
    let link = s3.presigned(&scene.bucket, "a");
    assert_eq!(s3.follow(&link).unwrap().status, 200);
    Withdrawal::Deletion.apply(&scene.world.cli(), "photos", &scene.key);
    assert_eq!(s3.follow(&link).unwrap().status, 403);
}

#[test]
fn c6_a_kill_right_after_the_reply_brings_no_key_back() {
    for withdrawal in Withdrawal::ALL {
        let Some(mut scene) = Scene::new() else {
            return;
        };
        scene.world.minio.s3().put(&scene.bucket, "a", "x").unwrap();
        let path = format!("/{}/a", scene.bucket);
        let s3 = scene.key.s3();
        assert_eq!(s3.call(Method::GET, &path, "").unwrap().status, 200);
        withdrawal.apply(&scene.world.cli(), "photos", &scene.key);
        scene.world.daemon.kill();
        scene.world.daemon.restart(&scene.world.home);
        let reply = s3.call(Method::GET, &path, "").unwrap();
        assert_eq!((reply.status, &*reply.code()), (403, "InvalidAccessKeyId"));
    }
}

#[test]
fn c6_a_kill_while_a_deletion_has_paused_its_keys_does_not_resume_them() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "a", "x").unwrap();
    let recorder = Recorder::start(&world.minio.address());
    let root = world.minio.credentials();
    world.connect_at("photos", &[&bucket], &recorder.endpoint(), root);
    let key = world.issue("photos", "laptop");
    let path = format!("/{bucket}/a");
    let status = |s3: &S3| s3.call(Method::GET, &path, "").unwrap().status;
    assert_eq!(status(&key.s3()), 200);
    // Held in its first survey.
    recorder.rule(|seen| {
        if seen.lists_objects() {
            Treat::Wait
        } else {
            Treat::Pass
        }
    });
    let cli = world.cli();
    let deleting = thread::spawn(move || {
        let acks = ["--ack", "survey-complete"];
        cli.delete("photos", &acks)
    });
    wait::until("the deletion to have paused the keys", || {
        let paused = world.deletions().iter().any(|d| d["phase"] == "drained");
        paused.then_some(())
    });
    assert_eq!(status(&key.s3()), 403);
    world.daemon.kill();
    deleting.join().unwrap();
    world.daemon.restart(&world.home);
    assert_eq!(status(&key.s3()), 403);
    recorder.pass();
    let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
    world.wait_for_phase(&id, "finished");
    assert_eq!(status(&key.s3()), 403);
}

#[test]
fn c7_a_namesake_has_nothing_of_the_deleted_connection() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let world = &mut scene.world;
    world.minio.s3().put(&scene.bucket, "a", "x").unwrap();
    let identity = |world: &World| {
        let shown = world.cli().run(&["show", "photos"]).ok();
        shown["connection"]["id"].as_str().map(str::to_owned)
    };
    let old = identity(world);
    world.delete("photos", &[]).verdict("intact");
    world.connect("photos", &[&scene.bucket]);
    let new = world.issue("photos", "laptop");
    assert!(old.is_some() && old != identity(world));
    assert_ne!((&scene.key.id, &scene.key.secret), (&new.id, &new.secret));
    for restarted in [false, true] {
        if restarted {
            world.daemon.kill();
            world.daemon.restart(&world.home);
        }
        assert!(new.s3().get(&scene.bucket, "a").is_ok());
        // Neither as it was, nor its secret under the new id.
        let mixed = S3::new(&new.endpoint, &new.id, &scene.key.secret);
        for dead in [scene.key.s3(), mixed] {
            let path = format!("/{}/a", scene.bucket);
            assert_eq!(dead.call(Method::GET, &path, "").unwrap().status, 403);
        }
    }
}

#[test]
fn c8_a_revocation_on_a_full_disk_holds_and_says_that_it_is_not_durable() {
    let Some(minio) = bascule_tests::Minio::shared() else {
        return;
    };
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(home.state()) else {
        return;
    };
    let mut daemon = Daemon::start(&home);
    let world_bucket = minio.bucket();
    minio.s3().put(&world_bucket, "a", "x").unwrap();
    let cli = Cli::new(&home);
    let (id, secret) = minio.credentials();
    let endpoint = minio.endpoint();
    let connect = |name: &str| {
        let args = [
            "connect",
            name,
            "--provider",
            "minio",
            "--endpoint",
            &endpoint,
            "--bucket",
            &world_bucket,
            "--allow-http",
            "--credentials-stdin",
        ];
        cli.run_with(&args, &format!("{id}\n{secret}\n")).ok();
    };
    connect("photos");
    let keys: Vec<_> = (0..30)
        .map(|number| {
            let label = format!("number {number}");
            Issued::of(&cli.run(&["key", "issue", "photos", "--label", &label]).ok())
        })
        .collect();
    let status = |key: &Issued| {
        let path = format!("/{world_bucket}/a");
        key.s3().call(Method::GET, &path, "").unwrap().status
    };
    disk.fill();
    // Room that the store has already may do for some.
    let mut durable = Vec::new();
    let mut rest = keys.iter();
    let failed = rest.by_ref().find(|key| {
        let told = cli.run(&["key", "revoke", &key.id]);
        assert_eq!(
            status(key),
            403,
            "dead whatever became of the commit: {told}"
        );
        if told.code == Some(0) {
            durable.push(*key);
            return false;
        }
        let error = told.error();
        let message = error["message"].as_str().unwrap_or_default();
        assert!(message.contains("could not be made durable"), "{told}");
        true
    });
    let failed = failed.expect("the disk is full");
    // G5: it says that it is not well, and by what it gets well again.
    let told = cli.run(&["status"]).text();
    assert!(told.contains("the disk failed the store"), "{told}");
    assert!(told.contains("restart the daemon"), "{told}");
    let alive: Vec<_> = rest.collect();
    assert!(
        alive.iter().all(|key| status(key) == 200),
        "the others go on"
    );

    // With room again, the same command makes it durable, after a restart at the latest.
    disk.empty();
    let told = cli.run(&["key", "revoke", &failed.id]);
    if told.code != Some(0) {
        assert!(told.text().contains("restart"), "says what helps: {told}");
        assert_eq!(status(failed), 403);
        daemon.kill();
        daemon.restart(&home);
        cli.run(&["key", "revoke", &failed.id]).ok();
    }
    daemon.kill();
    daemon.restart(&home);
    for key in durable.iter().chain([&failed]) {
        assert_eq!(status(key), 403);
    }
    assert!(alive.iter().all(|key| status(key) == 200));
}

#[test]
fn c8_a_pause_on_a_full_disk_holds_and_says_that_it_is_not_durable() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(home.state()) else {
        return;
    };
    let mut daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let folder = home.path("work/folder");
    std::fs::create_dir_all(folder.join("pics")).unwrap();
    let path = folder.to_str().unwrap();
    let connect = ["connect", "photos", "--provider", "local", "--path", path];
    cli.run(&[&connect[..], &["--bucket", "pics"]].concat())
        .ok();
    let issue = |label: &str, more: &[String]| {
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        let args = [&["key", "issue", "photos", "--label", label], &more[..]].concat();
        cli.run(&args)
    };
    let key = Issued::of(&issue("paused", &[]).ok());
    key.s3().put("pics", "a", "x").unwrap();
    let status = |key: &Issued| key.s3().call(Method::GET, "/pics/a", "").unwrap().status;
    disk.fill();
    // Large ones, until there is no room for another.
    let large: Vec<_> = (0..100)
        .map(|number| format!("--prefix={number:01000}/"))
        .collect();
    let full = (0..100).find(|number| issue(&format!("{number}"), &large).code != Some(0));
    assert!(full.is_some(), "the disk is full");
    assert_eq!(status(&key), 200);
    let told = cli.run(&["key", "pause", &key.id]);
    assert_eq!(status(&key), 403, "whatever became of the commit: {told}");
    assert_ne!(told.code, Some(0), "{told}");
    assert!(told.text().contains("could not be made durable"), "{told}");
    // Nothing else brings it back either, and asking again does not say that it is done.
    let told = cli.run(&["key", "resume", &key.id]);
    assert_ne!(told.code, Some(0), "{told}");
    assert_eq!(status(&key), 403);
    // The whole connection likewise.
    let told = cli.run(&["pause", "photos"]);
    assert!(told.text().contains("could not be made durable"), "{told}");
    for again in ["pause", "resume"] {
        let told = cli.run(&[again, "photos"]);
        assert_ne!(told.code, Some(0), "{told}");
    }
    assert_eq!(status(&key), 403);
    disk.empty();
    let told = cli.run(&["key", "pause", &key.id]);
    assert!(
        told.code == Some(0) || told.text().contains("restart"),
        "{told}"
    );
    assert_eq!(status(&key), 403);
    daemon.kill();
    daemon.restart(&home);
    cli.run(&["key", "pause", &key.id]).ok();
    assert_eq!(status(&key), 403);
}

#[test]
fn c8_a_leak_on_a_full_disk_stops_the_key_and_says_that_it_is_not_durable() {
    let Some(minio) = bascule_tests::Minio::shared() else {
        return;
    };
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(home.state()) else {
        return;
    };
    let mut daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let Some((id, secret)) = minio.user() else {
        return;
    };
    let bucket = minio.bucket();
    minio.s3().put(&bucket, "a", "x").unwrap();
    let endpoint = minio.endpoint();
    let connect = ["connect", "photos", "--provider", "minio", "--endpoint"];
    let rest = ["--bucket", &bucket, "--allow-http", "--credentials-stdin"];
    cli.run_with(
        &[&connect[..], &[&endpoint], &rest].concat(),
        &format!("{id}\n{secret}\n"),
    )
    .ok();
    let issue = |label: &str, more: &[String]| {
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        let args = [&["key", "issue", "photos", "--label", label], &more[..]].concat();
        cli.run(&args)
    };
    let leaked = Issued::of(&issue("leaked", &[]).ok());
    let other = Issued::of(&issue("other", &[]).ok());
    let status = |key: &Issued| {
        let path = format!("/{bucket}/a");
        key.s3().call(Method::GET, &path, "").unwrap().status
    };
    disk.fill();
    let large: Vec<_> = (0..100)
        .map(|number| format!("--prefix={number:01000}/"))
        .collect();
    let full = (0..100).find(|number| issue(&format!("{number}"), &large).code != Some(0));
    assert!(full.is_some(), "the disk is full");
    assert_eq!([status(&leaked), status(&other)], [200, 200]);
    // An issued key is dead, and nobody gets a successor that a restart would forget.
    let told = cli.run(&["leak", &leaked.id]);
    assert!(
        told.error()["message"]
            .as_str()
            .unwrap()
            .contains("could not be made durable")
    );
    assert_eq!([status(&leaked), status(&other)], [403, 200], "{told}");
    // The provider's key is stopped likewise, with all that goes through it.
    let told = cli.run(&["leak", &id]);
    assert!(
        told.error()["message"]
            .as_str()
            .unwrap()
            .contains("could not be made durable")
    );
    assert_eq!(status(&other), 403, "{told}");
    disk.empty();
    daemon.kill();
    daemon.restart(&home);
    cli.run(&["leak", &leaked.id]).ok();
    cli.run(&["leak", &id]).exits(STEPS_REMAIN);
    assert_eq!([status(&leaked), status(&other)], [403, 403]);
}

#[test]
fn c9_keys_that_are_issued_while_their_connection_is_deleted_die_with_it() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "a", "x").unwrap();
    for round in 0..3 {
        let name = format!("photos{round}");
        world.connect(&name, &[&bucket]);
        let first = world.issue(&name, "first");
        let cli = world.cli();
        let (issued, names) = thread::scope(|scope| {
            let deleting = {
                let (cli, name) = (&cli, &name);
                scope.spawn(move || cli.delete(name, &[]))
            };
            let issuing: Vec<_> = (0..3)
                .map(|who| {
                    let (cli, name) = (&cli, &name);
                    scope.spawn(move || {
                        let mut issued = Vec::new();
                        for number in 0..15 {
                            let label = format!("{who} {number}");
                            let args = ["key", "issue", name, "--label", &label];
                            let answer = cli.run(&args);
                            if answer.code != Some(0) {
                                break;
                            }
                            issued.push(Issued::of(&answer.json));
                        }
                        issued
                    })
                })
                .collect();
            let renaming = {
                let (cli, name) = (&cli, &name);
                scope.spawn(move || cli.run(&["rename", name, &format!("{name}-new")]).code)
            };
            let revoking = scope.spawn(|| cli.run(&["key", "revoke", &first.id]).code);
            let renamed = renaming.join().unwrap() == Some(0);
            let told = deleting.join().unwrap();
            assert_eq!(revoking.join().unwrap(), Some(0));
            let mut issued = vec![first.clone()];
            for thread in issuing {
                issued.extend(thread.join().unwrap());
            }
            // The rename may have come first: then there was nothing of that name to delete.
            let deleted = matches!(told.code, Some(0 | 7));
            assert!(deleted || renamed, "{told}");
            (issued, (!deleted).then(|| format!("{name}-new")))
        });
        if let Some(renamed) = names {
            let told = world.delete(&renamed, &[]);
            assert!(matches!(told.code, Some(0 | 7)), "{told}");
        }
        for key in &issued {
            let path = format!("/{bucket}/a");
            assert_eq!(key.s3().call(Method::GET, &path, "").unwrap().status, 403);
        }
    }
}

/// Neither a clock that is set nor a start with a wrong one brings a dead key back; what a living one
/// is refused for then is told apart.
#[test]
fn g11_a_dead_key_stays_dead_whatever_the_clock_says() {
    const DAY: i64 = 86_400;
    let Some(minio) = Minio::shared() else { return };
    let home = Home::new();
    let clock = Clock::new(&home);
    let mut world = World {
        daemon: clock.start().run(&home),
        home,
        minio,
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let (dead, living) = (world.issue("photos", "a"), world.issue("photos", "b"));
    living.s3().put(&bucket, "object", "x").unwrap();
    world.cli().run(&["key", "revoke", &dead.id]).ok();
    let path = format!("/{bucket}/object");
    let ask = |key: &Issued| key.s3().call(Method::GET, &path, "").unwrap();
    let told = ask(&dead).code();
    for (wall, boot, number) in [
        (DAY, 0, 0),
        (-DAY, 0, 0),
        (DAY, DAY, 0),
        (-DAY, 0, 1),
        (0, 0, 2),
    ] {
        for restarted in [false, true] {
            if restarted {
                world.daemon.kill();
                world.daemon.restart_as(&world.home, &clock.start());
            }
            clock.set(wall, boot, number);
            let refused = ask(&dead);
            assert_eq!(
                (refused.status, refused.code()),
                (403, told.clone()),
                "{wall}"
            );
            let asked = ask(&living);
            if wall == 0 {
                assert_eq!(asked.status, 200, "{}", asked.text());
            } else {
                assert_eq!(
                    (asked.status, &*asked.code()),
                    (403, "RequestTimeTooSkewed")
                );
            }
        }
    }
}
