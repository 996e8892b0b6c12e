//! The audit through the real programs: who changed what, when and why, and what an erasure leaves
//! of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::thread;

use bascule_tests::{
    Recorder, Treat, World,
    cli::{NOT_FOUND, USAGE},
    wait,
};
use serde_json::{Value, json};

fn audit(world: &World, more: &[&str]) -> Vec<Value> {
    let document = world.cli().run(&[&["audit"], more].concat()).ok();
    document["entries"].as_array().unwrap().clone()
}

fn changes(entries: &[Value]) -> Vec<&str> {
    let change = |entry: &'_ Value| match entry["phase"].as_str() {
        Some(_) => "phase",
        None => "change",
    };
    entries
        .iter()
        .map(|entry| entry[change(entry)].as_str().unwrap())
        .collect()
}

#[test]
fn what_is_said_of_keys_that_are_nobodys_here_and_of_findings_is_kept_too() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "tool");
    world.rclone_config(&key.rclone_section("gate"));
    let run = |world: &World, args: &[&str]| world.cli().run(args).ok();
    run(&world, &["findings", "--look"]);
    run(&world, &["key", "pause", &key.id]);
    let found = wait::until("the finding", || {
        let answer = run(&world, &["findings"]);
        answer["findings"].as_array().unwrap().first().cloned()
    });
    let finding = found["id"].as_str().unwrap();
    run(&world, &["findings", "ack", finding, "--why", "on holiday"]);
    let foreign = "AKIAFOUND00000000001";
    let why = ["--reason", "left the firm"];
    run(&world, &[&["key", "mark-dead", foreign][..], &why].concat());
    run(&world, &["key", "mark-dead", foreign, "--undo"]);
    world.daemon.kill();
    world.daemon.restart(&world.home);

    let all = audit(&world, &[]);
    let [acknowledged, marked, unmarked] = &all[all.len() - 3..] else {
        panic!("{all:?}")
    };
    assert_eq!(acknowledged["change"], "finding-acknowledged");
    assert_eq!(acknowledged["finding_id"], finding);
    assert_eq!(
        (&acknowledged["label"], &acknowledged["reason"]),
        (&json!("tool"), &json!("on holiday"))
    );
    assert_eq!(
        (&marked["change"], &unmarked["change"]),
        (&json!("marked-dead"), &json!("unmarked-dead"))
    );
    assert_eq!(marked["reason"], "left the firm");
    assert_eq!(marked["connection_id"], Value::Null);
    assert_eq!(marked["foreign_key"], "…0001");
    assert_eq!(marked["by"]["uid"], rustix::process::geteuid().as_raw());
    assert!(!format!("{all:?}").contains(foreign), "{all:?}");
    let said = world.cli().say(&["audit"]).exits(0).stdout;
    assert!(
        said.contains("key …0001, which Bascule did not issue"),
        "{said}"
    );
    // Of a connection's own changes it is none.
    let of_photos = audit(&world, &["photos"]);
    assert!(changes(&of_photos).contains(&"finding-acknowledged"));
    assert!(!changes(&of_photos).contains(&"marked-dead"));
}

#[test]
fn every_change_is_kept_with_who_what_and_why_over_a_kill() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let cli = world.cli();
    let run = |args: &[&str]| cli.run(args).ok();
    let key = world.issue("photos", "tool");
    run(&["rename", "photos", "pictures"]);
    run(&["limit", "pictures", "--requests", "8"]);
    let (id, secret) = world.minio.credentials();
    let pair = format!("{id}\n{secret}\n");
    cli.run_with(&["credentials", "pictures", "--credentials-stdin"], &pair)
        .ok();
    let why = ["--reason", "the intern left"];
    let restrict = [
        "key", "restrict", &key.id, "--prefix", "a/", "--prefix", "b/",
    ];
    run(&[&restrict[..], &["--permission", "read"], &why].concat());
    run(&[&["key", "pause", "pictures/tool"][..], &why].concat());
    run(&["key", "resume", &key.id]);
    run(&[&["key", "revoke", &key.id][..], &why].concat());
    world.connect("other", &[&bucket]);

    world.daemon.kill();
    world.daemon.restart(&world.home);
    let all = audit(&world, &[]);
    let expected = [
        "connected",
        "key-issued",
        "renamed",
        "limited",
        "credentials-replaced",
        "key-restricted",
        "key-paused",
        "key-resumed",
        "key-revoked",
        "connected",
    ];
    assert_eq!(changes(&all), expected);
    for entry in &all {
        assert!(entry["at"].is_string(), "{entry}");
        assert_eq!(entry["by"]["uid"], rustix::process::geteuid().as_raw());
        assert!(entry["by"]["pid"].as_u64().unwrap() > 1, "{entry}");
        if cfg!(target_os = "linux") {
            assert_eq!(entry["by"]["program"], "bascule");
            assert!(entry["by"]["parent"].is_string(), "{entry}");
        }
        assert_eq!(entry["erased"], false);
    }
    let differences = |number: usize| all[number]["differences"].clone();
    let name = json!([{"part": "name", "from": ["photos"], "to": ["pictures"]}]);
    assert_eq!(differences(2), name);
    let limit = json!([{"part": "requests", "from": [], "to": ["8"]}]);
    assert_eq!(differences(3), limit);
    let rights = json!([
        {"part": "permission", "from": ["read-write"], "to": ["read"]},
        {"part": "prefixes", "from": [], "to": ["a/", "b/"]},
    ]);
    assert_eq!(differences(5), rights);
    for number in [5, 6, 8] {
        assert_eq!(all[number]["reason"], "the intern left");
    }
    assert_eq!(all[7]["reason"], json!(null));
    assert_eq!(all[6]["connection"], "pictures");
    assert_eq!(all[6]["label"], "tool");
    // No secret, nor a whole id of the provider's key, is in it.
    let said = cli.say(&["audit"]).exits(0).stdout;
    assert!(
        !said.contains(secret) && !said.contains(&key.secret),
        "{said}"
    );
    assert!(said.contains("prefixes: all → a/, b/"), "{said}");
    assert!(said.contains("reason: the intern left"), "{said}");

    assert_eq!(audit(&world, &["pictures"]), all[..9]);
    assert_eq!(audit(&world, &["other"]), all[9..]);
    let of_key = [&all[1..2], &all[5..9]].concat();
    let record = all[1]["key_id"].as_str().unwrap();
    for name in [&key.id, record, "pictures/tool"] {
        assert_eq!(audit(&world, &[name]), of_key, "{name}");
    }
    assert_eq!(audit(&world, &["--since", "1d"]), all);
    let since = all[4]["at"].as_str().unwrap();
    assert_eq!(audit(&world, &["--since", since]), all[4..]);
    assert_eq!(audit(&world, &["--since", "2100-01-01"]), [json!(null); 0]);
    cli.run(&["audit", "nobody"]).exits(NOT_FOUND);
    cli.run(&["audit", "--since", "soon"]).exits(USAGE);
    // Nothing is done for a reason that is none.
    cli.run(&["key", "pause", "nobody/x", "--reason", "a\nb"])
        .exits(USAGE);
}

#[test]
fn every_verb_that_changes_something_takes_a_reason() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let (id, secret) = world.minio.credentials();
    let pair = format!("{id}\n{secret}\n");
    let cli = world.cli();
    let because = |args: &[&str], input: &str| {
        let why = ["--reason", args[0]];
        cli.run_with(&[args, &why].concat(), input).ok()
    };
    let endpoint = world.minio.endpoint();
    let connect = ["connect", "photos", "--provider", "minio", "--endpoint"];
    let rest = ["--bucket", &bucket, "--allow-http", "--credentials-stdin"];
    because(&[&connect[..], &[&endpoint], &rest].concat(), &pair);
    because(&["credentials", "photos", "--credentials-stdin"], &pair);
    because(&["rename", "photos", "pictures"], "");
    because(&["limit", "pictures", "--requests", "8"], "");
    because(&["pause", "pictures"], "");
    because(&["resume", "pictures"], "");
    let issued = because(&["key", "issue", "pictures", "--label", "tool"], "");
    let key = issued["key"]["access_key_id"].as_str().unwrap();
    because(&["leak", key], "");
    let all = audit(&world, &[]);
    let reasons: Vec<_> = all.iter().map(|entry| entry["reason"].as_str()).collect();
    let verbs = [
        "connect",
        "credentials",
        "rename",
        "limit",
        "pause",
        "resume",
        "key",
        "leak",
    ];
    assert_eq!(reasons, verbs.map(Some), "{:?}", changes(&all));
    // To look is no change.
    cli.run(&["limit", "pictures", "--reason", "x"])
        .exits(USAGE);
}

#[test]
fn an_erasure_leaves_ids_and_times_of_the_connection_and_all_of_the_others() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (bucket, other) = (world.minio.bucket(), world.minio.bucket());
    world.connect("MarkerName", &[&bucket]);
    world.connect("sibling", &[&other]);
    let key = world.issue("MarkerName", "MarkerLabel");
    let restrict = ["key", "restrict", &key.id, "--prefix", "MarkerPrefix/"];
    let why = ["--reason", "MarkerReason"];
    world.cli().run(&[&restrict[..], &why].concat()).ok();
    let _ = world.issue("sibling", "tool");
    let before = audit(&world, &[]);
    let markers = [
        "MarkerName",
        "MarkerLabel",
        "MarkerPrefix",
        "MarkerReason",
        &bucket,
    ];
    let said = world.cli().say(&["audit"]).exits(0).stdout;
    for marker in markers {
        assert!(said.contains(marker), "{marker} before: {said}");
    }
    world.delete("MarkerName", &why).verdict("intact");
    for restarted in [false, true] {
        if restarted {
            assert!(world.daemon.stop().success());
            world.daemon.restart(&world.home);
        }
        let after = audit(&world, &[]);
        assert_eq!(
            changes(&after[before.len()..]),
            [
                "card-exported",
                "requested",
                "drained",
                "surveyed",
                "revoked",
                "judged",
                "finished"
            ]
        );
        let connection = &before[0]["connection_id"];
        for (number, entry) in after.iter().enumerate() {
            let erased = entry["connection_id"] == *connection;
            assert_eq!(entry["erased"], erased, "{entry}");
            let Some(before) = before.get(number) else {
                assert!(erased);
                continue;
            };
            if erased {
                for field in ["at", "by", "change", "connection_id", "key_id"] {
                    assert_eq!(entry[field], before[field], "{field}");
                }
            } else {
                assert_eq!(entry, before);
            }
        }
        let requested = &after[before.len() + 1];
        assert!(requested["by"]["pid"].is_number() && requested["deletion_id"].is_string());
        assert_eq!(after.last().unwrap()["by"], json!(null));
        let said = world.cli().say(&["audit"]).exits(0).stdout;
        for marker in markers {
            assert!(!said.contains(marker), "{marker} after: {said}");
        }
        assert!(said.contains("(erased)"), "{said}");
        assert!(said.contains("sibling/tool"), "{said}");
        // By the name that the receipt still has, and by its ids.
        let deletion = requested["deletion_id"].as_str().unwrap();
        for subject in ["MarkerName", connection.as_str().unwrap(), deletion] {
            let of_it = audit(&world, &[subject]);
            assert_eq!(of_it.len(), after.len() - 2, "{subject}");
        }
        let of_key = audit(&world, &[&key.id]);
        assert_eq!(
            changes(&of_key),
            ["key-issued", "key-restricted", "revoked"]
        );
    }
}

#[test]
fn a_deletion_that_is_called_off_tells_by_whom_and_why() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let recorder = Recorder::start(&world.minio.address());
    let root = world.minio.credentials();
    world.connect_at("photos", &[&bucket], &recorder.endpoint(), root);
    recorder.rule(|seen| {
        if seen.lists_objects() {
            Treat::Wait
        } else {
            Treat::Pass
        }
    });
    thread::scope(|scope| {
        let cli = world.cli();
        let deleting = scope.spawn(move || {
            let acks = ["--ack", "survey-complete", "--reason", "tidying up"];
            cli.delete("photos", &acks)
        });
        wait::until("the deletion to be under way", || {
            let drained = world.deletions().iter().any(|d| d["phase"] == "drained");
            drained.then_some(())
        });
        let id = world.deletions()[0]["id"].as_str().unwrap().to_owned();
        let why = ["--reason", "still needed"];
        let cancel = [&["deletion", "cancel", &id][..], &why].concat();
        world.cli().run(&cancel).ok();
        recorder.pass();
        deleting.join().unwrap();
    });
    let all = audit(&world, &["photos"]);
    assert_eq!(
        changes(&all),
        [
            "connected",
            "card-exported",
            "requested",
            "drained",
            "cancelled"
        ]
    );
    let vouched = json!(["survey-complete", "name-typed"]);
    let told = &all[2]["differences"][0];
    assert_eq!(told["part"], "acknowledged");
    let told = told["to"].as_array().unwrap();
    assert!(
        vouched
            .as_array()
            .unwrap()
            .iter()
            .all(|name| told.contains(name))
    );
    assert_eq!(all[2]["reason"], "tidying up");
    assert_eq!(all[3]["by"], json!(null));
    assert_eq!(all[4]["reason"], "still needed");
    assert!(all[4]["by"]["pid"].is_number());
}

#[test]
fn an_audit_of_many_pages_is_told_whole_and_in_order() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "tool");
    for number in 0..300 {
        let (verb, reason) = (["pause", "resume"][number % 2], format!("number {number}"));
        let args = ["key", verb, &key.id, "--reason", &reason];
        world.cli().run(&args).ok();
    }
    let all = audit(&world, &["photos/tool"]);
    assert_eq!(all.len(), 301);
    for (number, entry) in all[1..].iter().enumerate() {
        assert_eq!(entry["reason"], format!("number {number}"));
    }
}
