//! Rights on living keys through the real programs: what `key issue` gives, what `key restrict`,
//! `pause` and `resume` change, and that a change is in force for the very next request.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use bascule_tests::{
    Clock, Home, Issued, Minio, Recorder, S3, World,
    cli::{NOT_FOUND, REFUSED, USAGE},
    scale, wait,
};
use http::Method;
use serde_json::{Value, json};

/// A connection with one bucket, which holds `a/1` and `b/1`.
fn photos() -> Option<(World, String)> {
    let world = World::new()?;
    let bucket = world.minio.bucket();
    for name in ["a/1", "b/1"] {
        world.minio.s3().put(&bucket, name, "x").unwrap();
    }
    world.connect("photos", &[&bucket]);
    Some((world, bucket))
}

fn issue(world: &World, label: &str, more: &[&str]) -> Issued {
    let args = [&["key", "issue", "photos", "--label", label], more].concat();
    Issued::of(&world.cli().run(&args).ok())
}

fn change(world: &World, verb: &str, key: &str, more: &[&str]) -> Value {
    let args = [&["key", verb, key], more].concat();
    world.cli().run(&args).ok()["key"].clone()
}

fn show(world: &World, key: &str) -> Value {
    world.cli().run(&["key", "show", key]).ok()["key"].clone()
}

/// The status of a request, and how the refusal's request id begins.
fn ask(s3: &S3, method: Method, path: &str) -> (u16, String) {
    let reply = s3.call(method, path, "x").unwrap();
    let id = reply.header("x-amz-request-id");
    let reason = id.rsplit_once('-').map_or("", |(reason, _)| reason);
    let reason = if reply.status == 403 { reason } else { "" };
    (reply.status, reason.to_owned())
}

fn refused(reason: &str) -> (u16, String) {
    (403, reason.to_owned())
}

fn granted() -> (u16, String) {
    (200, String::new())
}

#[test]
fn a_key_has_the_rights_it_was_issued_with_and_shows_them_also_after_a_restart() {
    let Some((mut world, bucket)) = photos() else {
        return;
    };
    let more = [
        "--permission",
        "read-write-no-delete",
        "--bucket",
        &bucket,
        "--prefix",
        "a/",
        "--prefix",
        "c/",
        "--allow-ip",
        "127.0.0.1",
        "--allow-ip",
        "192.0.2.9/24",
        "--expires",
        "2100-01-01T00:00:00Z",
    ];
    let key = issue(&world, "limited", &more);
    for restarted in [false, true] {
        if restarted {
            assert!(world.daemon.stop().success());
            world.daemon.restart(&world.home);
        }
        let shown = show(&world, &key.id);
        for (field, value) in [
            ("permission", json!("read-write-no-delete")),
            ("buckets", json!([bucket])),
            ("prefixes", json!(["a/", "c/"])),
            ("addresses", json!(["127.0.0.1/32", "192.0.2.0/24"])),
            ("expires_at", json!("2100-01-01T00:00:00Z")),
            ("state", json!("active")),
            ("generation", json!(1)),
            ("label", json!("limited")),
            ("connection", json!("photos")),
            ("conditional_writes", json!(null)),
        ] {
            assert_eq!(shown[field], value, "{field}");
        }
        assert_eq!(show(&world, "photos/limited"), shown);
        assert_eq!(show(&world, shown["id"].as_str().unwrap()), shown);
        let s3 = key.s3();
        let at = |name: &str| format!("/{bucket}/{name}");
        assert_eq!(ask(&s3, Method::GET, &at("a/1")), granted());
        assert_eq!(ask(&s3, Method::PUT, &at("c/new")), granted());
        let not_permitted = refused("NOT-PERMITTED");
        assert_eq!(ask(&s3, Method::GET, &at("b/1")), not_permitted);
        assert_eq!(ask(&s3, Method::DELETE, &at("a/1")), not_permitted);
    }
    let said = world.cli().say(&["key", "show", "photos/limited"]).exits(0);
    for words in ["delete none", "a/, c/", "192.0.2.0/24", "2100-01-01"] {
        assert!(said.stdout.contains(words), "{words} in {said}");
    }
    let listed = world.cli().say(&["key", "list", "photos"]).exits(0).stdout;
    assert!(listed.contains("below a/, c/"), "{listed}");
}

#[test]
fn each_part_of_a_living_keys_rights_is_changed_and_cleared_for_the_very_next_request() {
    let Some((mut world, bucket)) = photos() else {
        return;
    };
    let key = issue(&world, "tool", &[]);
    let s3 = key.s3();
    let (a, b) = (format!("/{bucket}/a/1"), format!("/{bucket}/b/1"));
    let restrict = |world: &World, more: &[&str]| change(world, "restrict", &key.id, more);
    assert_eq!(ask(&s3, Method::PUT, &a), granted());

    restrict(&world, &["--permission", "read"]);
    assert_eq!(ask(&s3, Method::PUT, &a), refused("NOT-PERMITTED"));
    assert_eq!(ask(&s3, Method::GET, &b), granted());
    restrict(&world, &["--prefix", "a/"]);
    assert_eq!(ask(&s3, Method::GET, &b), refused("NOT-PERMITTED"));
    assert_eq!(ask(&s3, Method::GET, &a), granted());
    restrict(&world, &["--prefix", "b/"]);
    assert_eq!(ask(&s3, Method::GET, &a), refused("NOT-PERMITTED"));
    assert_eq!(ask(&s3, Method::GET, &b), granted());
    restrict(&world, &["--allow-ip", "192.0.2.0/24"]);
    assert_eq!(ask(&s3, Method::GET, &b), refused("ADDRESS-NOT-ALLOWED"));
    restrict(&world, &["--bucket", &bucket, "--label", "other"]);

    // A kill right after the reply loses none of it.
    world.daemon.kill();
    world.daemon.restart(&world.home);
    let shown = show(&world, "photos/other");
    assert_eq!(
        json!([
            shown["permission"],
            shown["prefixes"],
            shown["addresses"],
            shown["buckets"]
        ]),
        json!(["read", ["b/"], ["192.0.2.0/24"], [bucket]])
    );
    assert_eq!(ask(&s3, Method::GET, &b), refused("ADDRESS-NOT-ALLOWED"));

    restrict(&world, &["--loopback-only"]);
    assert_eq!(ask(&s3, Method::GET, &b), granted());
    restrict(&world, &["--any-prefix", "--any-bucket"]);
    assert_eq!(ask(&s3, Method::GET, &a), granted());
    restrict(&world, &["--expires", "30d"]);
    assert!(show(&world, &key.id)["expires_at"].is_string());
    let cleared = restrict(&world, &["--never-expires", "--permission", "read-write"]);
    assert_eq!(ask(&s3, Method::PUT, &a), granted());
    for field in ["expires_at", "conditional_writes"] {
        assert_eq!(cleared[field], json!(null));
    }
    for field in ["prefixes", "addresses", "buckets"] {
        assert_eq!(cleared[field], json!([]));
    }
}

#[test]
fn what_a_key_has_open_ends_when_the_clock_goes_past_its_end_in_one_step() {
    let Some(minio) = Minio::shared() else {
        return;
    };
    let home = Home::new();
    let clock = Clock::new(&home);
    let world = World {
        daemon: clock.start().run(&home),
        home,
        minio,
    };
    let bucket = world.minio.bucket();
    let large = vec![0; 64 << 20];
    world.minio.s3().put(&bucket, "large", large).unwrap();
    world.connect("photos", &[&bucket]);
    let ending = issue(&world, "ending", &["--expires", "1h"]);
    let lasting = issue(&world, "lasting", &["--expires", "30d"]);
    let open = |key: &Issued| {
        let mut download = key.s3().open(&bucket, "large").unwrap();
        assert!(download.take().unwrap());
        download
    };
    let (mut ended, mut goes_on) = (open(&ending), open(&lasting));
    // As a machine that slept does, or a time server.
    clock.jump(2 * 3600);
    wait::until("what the ended key has open to be cut", || {
        let status = world.cli().run(&["status"]).ok();
        (status["open_requests"] == 1).then_some(())
    });
    assert!(ended.finish().is_err(), "short of its length");
    assert_eq!(goes_on.finish().unwrap(), 64 << 20);
}

#[test]
fn an_expired_key_is_refused_said_to_be_and_admitted_by_a_later_expiry() {
    let Some((world, bucket)) = photos() else {
        return;
    };
    let key = issue(&world, "short", &["--expires", "2s"]);
    let a = format!("/{bucket}/a/1");
    wait::until("the key to expire", || {
        // What is open when it expires is cut, and has no answer.
        let reply = key.s3().call(Method::GET, &a, "").ok()?;
        let id = reply.header("x-amz-request-id");
        id.starts_with("KEY-EXPIRED").then_some(())
    });
    assert_eq!(show(&world, &key.id)["state"], "expired");
    let listed = world.cli().say(&["key", "list", "photos"]).exits(0).stdout;
    assert!(listed.contains("expired"), "{listed}");
    let link = key.s3().presigned(&bucket, "a/1");
    assert_eq!(key.s3().follow(&link).unwrap().status, 403);
    change(&world, "restrict", &key.id, &["--expires", "1h"]);
    assert_eq!(ask(&key.s3(), Method::GET, &a), granted());
    assert_eq!(key.s3().follow(&link).unwrap().status, 200);
}

#[test]
fn a_pause_holds_over_a_stop_and_a_kill_until_the_key_is_resumed() {
    let Some((mut world, bucket)) = photos() else {
        return;
    };
    let (key, other) = (issue(&world, "tool", &[]), issue(&world, "other", &[]));
    let a = format!("/{bucket}/a/1");
    let paused = refused("KEY-PAUSED");
    change(&world, "pause", "photos/tool", &[]);
    world.daemon.kill();
    world.daemon.restart(&world.home);
    assert_eq!(ask(&key.s3(), Method::GET, &a), paused);
    assert!(world.daemon.stop().success());
    world.daemon.restart(&world.home);
    assert_eq!(ask(&key.s3(), Method::GET, &a), paused);
    assert_eq!(ask(&other.s3(), Method::GET, &a), granted());
    assert_eq!(show(&world, &key.id)["state"], "paused");
    // What a script does twice is done.
    assert_eq!(change(&world, "pause", &key.id, &[])["state"], "paused");
    // Rights of a paused key can be changed, and do not resume it.
    change(&world, "restrict", &key.id, &["--prefix", "b/"]);
    assert_eq!(ask(&key.s3(), Method::GET, &a), paused);
    change(&world, "restrict", &key.id, &["--any-prefix"]);
    assert_eq!(ask(&key.s3(), Method::GET, &a), paused);
    assert_eq!(change(&world, "resume", &key.id, &[])["state"], "active");
    assert_eq!(ask(&key.s3(), Method::GET, &a), granted());
    change(&world, "resume", &key.id, &[]);
    world.daemon.kill();
    world.daemon.restart(&world.home);
    assert_eq!(ask(&key.s3(), Method::GET, &a), granted());
}

#[test]
fn losing_rights_cuts_a_running_upload_and_winning_some_does_not() {
    let Some((world, bucket)) = photos() else {
        return;
    };
    let key = issue(&world, "tool", &["--prefix", "a/", "--expires", "1h"]);
    let begin = |name: &str| {
        let upload = key.s3().upload(&bucket, name, 2 << 20).unwrap();
        upload.push(vec![1; 1 << 20]).unwrap();
        wait::until("the upload to be open", || {
            (world.cli().run(&["status"]).ok()["open_requests"] == 1).then_some(())
        });
        upload
    };
    let upload = begin("a/kept");
    let wider = ["--any-prefix", "--never-expires", "--label", "renamed"];
    let changed = change(&world, "restrict", &key.id, &wider);
    assert_eq!(changed["generation"], 1);
    upload.push(vec![1; 1 << 20]).unwrap();
    assert_eq!(upload.finish().unwrap().status, 200);
    for args in [
        &["restrict", &key.id, "--permission", "read"][..],
        &["pause", &key.id],
    ] {
        let upload = begin("a/cut");
        world.cli().run(&[&["key"], args].concat()).ok();
        wait::until("the upload to be over", || {
            (world.cli().run(&["status"]).ok()["open_requests"] == 0).then_some(())
        });
        let reply = upload.finish();
        assert!(reply.is_err() || reply.unwrap().status == 403);
        change(&world, "resume", &key.id, &[]);
        let again = ["--permission", "read-write"];
        change(&world, "restrict", &key.id, &again);
    }
    let stored = world.minio.s3().list(&bucket).unwrap();
    let stored: Vec<_> = stored.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(stored, ["a/1", "a/kept", "b/1"]);
}

#[test]
fn what_can_not_be_granted_is_refused_and_changes_nothing() {
    let Some((world, _)) = photos() else { return };
    let key = issue(&world, "tool", &[]);
    let _ = issue(&world, "taken", &[]);
    let before = show(&world, &key.id);
    let restrict = |more: &[&str]| {
        let args = [&["key", "restrict", &key.id], more].concat();
        world.cli().run(&args)
    };
    for (more, code, kind) in [
        (&[][..], USAGE, "INVALID"),
        (&["--bucket", "elsewhere"], USAGE, "INVALID"),
        (&["--prefix", "a/../b"], USAGE, "INVALID"),
        (&["--allow-ip", "localhost"], USAGE, "INVALID"),
        (&["--expires", "2020-01-01"], USAGE, "INVALID"),
        (&["--expires", "-1d"], USAGE, "INVALID"),
        (&["--label", "taken"], REFUSED, "ALREADY_EXISTS"),
        (&["--label", " x"], USAGE, "INVALID"),
    ] {
        let answer = restrict(more).exits(code);
        assert_eq!(answer.error()["kind"], kind, "{answer}");
    }
    let many: Vec<_> = (0..101).map(|n| format!("--prefix=p{n}/")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    restrict(&many).exits(USAGE);
    assert_eq!(show(&world, &key.id), before);
    for verb in ["show", "restrict", "pause", "resume", "revoke"] {
        let label: &[&str] = &["--label", "x"];
        let more = if verb == "restrict" { label } else { &[] };
        for nobody in ["BSCAAAAAAAAAAAAAAAAA", "photos/nobody", "nobody/tool", ""] {
            let args = [&["key", verb, nobody], more].concat();
            world.cli().run(&args).exits(NOT_FOUND);
        }
    }
    // A dead key is shown, and stays as dead as it is.
    change(&world, "revoke", "photos/tool", &[]);
    assert_eq!(show(&world, "photos/tool")["state"], "dead");
    assert_eq!(show(&world, &key.id)["id"], before["id"]);
    for (verb, code) in [("pause", REFUSED), ("resume", REFUSED), ("revoke", 0)] {
        world.cli().run(&["key", verb, &key.id]).exits(code);
    }
    assert_eq!(show(&world, &key.id)["state"], "dead");
    for past in ["2020-01-01", "2020-01-01T00:00:00Z"] {
        let args = ["key", "issue", "photos", "--label", "x", "--expires", past];
        world.cli().run(&args).exits(USAGE);
    }
}

const CLIENTS: usize = 32;
/// `BASCULE_TEST_SCALE` multiplies it.
const ROUNDS: usize = 12;

/// Clients with open connections of their own use one key until its rights were changed, and once
/// more after that, for what they had and have no more.
#[test]
fn nothing_under_the_old_rights_is_accepted_after_the_reply() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let s3 = world.minio.s3();
    s3.put(&bucket, "early", "x").unwrap();
    let recorder = Recorder::start(&world.minio.address());
    let root = world.minio.credentials();
    world.connect_at("photos", &[&bucket], &recorder.endpoint(), root);
    let key = issue(&world, "tool", &[]);
    let narrow: [&[&str]; 3] = [
        &["pause"],
        &["restrict", "--prefix", "elsewhere/"],
        &["restrict", "--allow-ip", "192.0.2.1"],
    ];
    for round in 0..ROUNDS * scale() {
        recorder.forget();
        let (changed, accepted) = (AtomicBool::new(false), AtomicUsize::new(0));
        let start = Barrier::new(CLIENTS + 1);
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let (key, start, bucket) = (&key, &start, &bucket);
                let (changed, accepted) = (&changed, &accepted);
                scope.spawn(move || {
                    let s3 = key.s3();
                    let method = [Method::GET, Method::PUT][number % 2].clone();
                    let ask =
                        |name: &str| s3.call(method.clone(), &format!("/{bucket}/{name}"), "x");
                    start.wait();
                    while !changed.load(SeqCst) {
                        // Being cut is no failure; being refused is none either.
                        if ask("early").is_ok_and(|reply| reply.status == 200) {
                            accepted.fetch_add(1, SeqCst);
                        }
                    }
                    let reply = ask("late");
                    assert!(reply.as_ref().is_ok_and(|r| r.status == 403), "{reply:?}");
                });
            }
            start.wait();
            wait::until("requests to be accepted", || {
                (accepted.load(SeqCst) > round * 7 % CLIENTS).then_some(())
            });
            let (verb, more) = narrow[round % narrow.len()].split_first().unwrap();
            change(&world, verb, &key.id, more);
            changed.store(true, SeqCst);
        });
        let late = recorder
            .seen()
            .iter()
            .any(|seen| seen.target.contains("late"));
        assert!(!late, "round {round}");
        let wide = ["--any-prefix", "--loopback-only"];
        change(&world, "restrict", &key.id, &wide);
        change(&world, "resume", &key.id, &[]);
    }
}
