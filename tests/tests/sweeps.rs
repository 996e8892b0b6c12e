//! What no rule about a tool leads to is found by the daemon itself: whole folders are searched after a
//! key died, over kills and restarts, and what is found is a finding until it is mended.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{fs, path::PathBuf};

use bascule_tests::{Clock, World, daemon::Start, home::holds, wait};
use data_encoding::BASE64;
use serde_json::Value;

const ELSEWHERE: &str = "AKIAZQ7R2M4N6P3B5C2D";

fn write(world: &World, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = world.home.path("home").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// Those that a sweep led to, by the ends of their chains.
fn swept(answer: &Value) -> Vec<Value> {
    let all = answer["findings"].as_array().unwrap().iter();
    let mut found: Vec<_> = all
        .filter(|finding| finding["kind"] == "unknown")
        .cloned()
        .collect();
    found.sort_by_key(place);
    found
}

fn place(finding: &Value) -> String {
    let place = finding["chain"].as_array().unwrap().last().unwrap()["name"].to_string();
    let name = place.trim_matches('"').rsplit('/').next().unwrap();
    name.to_owned()
}

fn places(world: &World) -> Vec<String> {
    let answer = world.cli().run(&["findings"]).ok();
    swept(&answer).iter().map(place).collect()
}

fn wait_for(world: &World, expected: &[&str]) {
    let mut last = Vec::new();
    wait::until(&format!("the findings {expected:?}"), || {
        last = places(world);
        (last == expected).then_some(())
    });
}

fn status(world: &World) -> Value {
    world.cli().run(&["status"]).ok()["sweep"].clone()
}

/// Waits until a sweep has ended that is not this one.
fn wait_for_end(world: &World, but: &Value) -> Value {
    wait::until("a sweep to end", || {
        let sweep = status(world);
        let ended = &sweep["last"]["began_at"];
        (!ended.is_null() && ended != &but["last"]["began_at"] && sweep["running"].is_null())
            .then_some(sweep)
    })
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_dead_key_is_found_where_no_rule_leads_and_resolved_by_hand() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let (key, other) = (
        world.issue("photos", "laptop"),
        world.issue("photos", "nas"),
    );
    assert_eq!(status(&world)["due_at"], Value::Null, "nothing is dead");
    let notes = write(
        &world,
        "papers/2024/notes",
        format!(
            "# keys\nold: {}\nnas: {}\nagain {}\n",
            key.id, other.id, key.id
        ),
    );
    let data = BASE64.encode(format!("[s3]\naccess_key_id = {}\n", key.id).as_bytes());
    let manifest = format!("kind: Secret\ndata:\n  rclone.conf: {data}\n");
    let manifest = write(&world, "cluster/app.yaml", manifest);
    let registry = write(
        &world,
        "export.reg",
        utf16(&format!("x\r\nkey={}\r\n", key.id)),
    );
    let database = write(&world, "app.db", [b"\0\0\0", key.id.as_bytes()].concat());
    let large = write(&world, "image", "");
    fs::File::options()
        .write(true)
        .open(large)
        .unwrap()
        .set_len(10 << 30)
        .unwrap();

    world.cli().run(&["key", "revoke", &key.id]).ok();
    wait_for(&world, &["app.db", "app.yaml:3", "export.reg:2", "notes:2"]);
    let first = wait_for_end(&world, &Value::Null);
    assert_eq!(first["schedule"], "daily");
    assert!(first["last"]["files"].as_u64().unwrap() >= 4, "{first}");
    assert!(first["due_at"].is_string(), "{first}");
    let answer = world.cli().run(&["findings"]).ok();
    let found = swept(&answer);
    for finding in &found {
        assert_eq!(finding["rank"], "leftover");
        assert_eq!(finding["reason"], "KEY-REVOKED");
        assert_eq!(finding["label"], "laptop");
        assert!(!finding.to_string().contains(&key.id), "{finding}");
    }
    let why = found[0]["chain"].to_string();
    assert!(why.contains("holds an id at byte 3"), "{why}");
    let gaps = answer["not_checked"].to_string();
    assert!(gaps.contains("larger than the limit"), "{gaps}");
    // They are hygiene: nobody is woken by them.
    assert_eq!(world.cli().run(&["status"]).ok()["findings"], 0);
    let said = world.cli().say(&["findings"]).exits(0);
    assert!(said.text().contains("full sweep: last ended"), "{said}");

    // Told once, also by a second sweep, which waits until it is done.
    let again = world.cli().run(&["findings", "--sweep"]).ok();
    let facts = |found: &[Value]| {
        let facts = found
            .iter()
            .map(|f| (f["id"].clone(), f["found_at"].clone()));
        facts.collect::<Vec<_>>()
    };
    assert_eq!(facts(&swept(&again)), facts(&found));
    assert_ne!(
        again["sweep"]["last"]["began_at"],
        first["last"]["began_at"]
    );

    // Mended by hand, each in another way.
    fs::write(&notes, "# no keys\n").unwrap();
    wait_for(&world, &["app.db", "app.yaml:3", "export.reg:2"]);
    fs::remove_file(&manifest).unwrap();
    fs::write(registry.with_extension("new"), utf16("x\r\n")).unwrap();
    fs::rename(registry.with_extension("new"), &registry).unwrap();
    wait_for(&world, &["app.db"]);
    fs::rename(&database, database.with_extension("old")).unwrap();
    wait_for(&world, &[]);

    // Nothing of it stands in the state folder.
    for (path, bytes) in world.home.files("state") {
        for text in ["papers/2024", "export.reg", &key.id] {
            assert!(!holds(&bytes, text), "{text} in {}", path.display());
        }
    }
}

#[test]
fn a_sweep_that_is_killed_again_and_again_goes_on_and_tells_everything_once() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let mut expected = Vec::new();
    for folder in 0..60 {
        for file in 0..8 {
            let holds_it = file == 3 && folder % 20 == 0;
            let text = if holds_it { &*key.id } else { "nothing" };
            write(&world, &format!("many/{folder:02}/{file}-{folder}"), text);
            if holds_it {
                expected.push(format!("{file}-{folder}:1"));
            }
        }
    }
    expected.sort();
    world.daemon.stop();
    let crashing = Start::new().crash("after:sweep");
    world.daemon.restart_as(&world.home, &crashing);
    // The daemon may be dead before it replies.
    let _ = world.cli().run(&["key", "revoke", &key.id]);
    world.daemon.wait_for_crash();
    for _ in 0..2 {
        let mut process = crashing.clone().spawn(&world.home);
        let status = process.wait("the daemon to kill itself in the sweep");
        assert!(bascule_tests::process::was_killed(status));
    }
    let before = world.daemon.log().matches("a full sweep begins").count();
    assert_eq!(before, 1, "{}", world.daemon.log());
    world.daemon.restart(&world.home);
    let sweep = wait_for_end(&world, &Value::Null);
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    wait_for(&world, &expected);
    let log = world.daemon.log();
    assert_eq!(log.matches("a full sweep begins").count(), 1);
    assert_eq!(log.matches("the full sweep goes on").count(), 3);
    let files = sweep["last"]["files"].as_u64().unwrap();
    assert!((480..960).contains(&files), "{files} files");

    // What was found is known to the next daemon without another sweep.
    world.daemon.kill();
    world.daemon.restart(&world.home);
    wait_for(&world, &expected);
    assert_eq!(status(&world)["last"], sweep["last"]);
}

#[test]
fn a_key_that_was_rotated_away_is_found_as_one_that_retires_and_as_one_that_is_dead() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    write(&world, "notes", &key.id);
    let reason = |expected: &str| {
        wait::until(&format!("the finding to say {expected}"), || {
            let answer = world.cli().run(&["findings"]).ok();
            let found = swept(&answer);
            (found.len() == 1 && found[0]["reason"] == expected).then_some(())
        });
    };
    world
        .cli()
        .run(&["key", "rotate", &key.id, "--grace", "12h"])
        .ok();
    reason("KEY-RETIRING");
    world.cli().run(&["key", "rotate", &key.id, "--now"]).ok();
    reason("KEY-REVOKED");
}

#[test]
fn a_providers_key_that_was_marked_as_dead_is_found_by_its_bytes() {
    let Some(world) = World::new() else { return };
    write(&world, "deep/er/notes", format!("\n\n see {ELSEWHERE}."));
    write(&world, "other", format!("{ELSEWHERE}A"));
    world.cli().run(&["key", "mark-dead", ELSEWHERE]).ok();
    wait_for(&world, &["notes:3"]);
    let answer = world.cli().run(&["findings"]).ok();
    assert_eq!(swept(&answer)[0]["reason"], "KEY-DEAD-ELSEWHERE");
    world
        .cli()
        .run(&["key", "mark-dead", ELSEWHERE, "--undo"])
        .ok();
    wait_for(&world, &[]);
    assert_eq!(status(&world)["due_at"], Value::Null);
}

#[test]
fn sweeps_come_once_a_day_also_to_what_no_event_tells() {
    let Some(mut world) = World::new() else {
        return;
    };
    let clock = Clock::new(&world.home);
    world.daemon.stop();
    world.daemon.restart_as(&world.home, &clock.start());
    world.cli().run(&["key", "mark-dead", ELSEWHERE]).ok();
    let first = wait_for_end(&world, &Value::Null);
    write(&world, "new/notes", ELSEWHERE);
    clock.pass(23 * 3600);
    assert_eq!(status(&world)["last"], first["last"]);
    clock.pass(24 * 3600 + 60);
    wait_for_end(&world, &first);
    wait_for(&world, &["notes:1"]);
}

#[test]
fn sweeps_can_be_switched_off_and_asked_for() {
    let Some(world) = World::configured("[watch]\nsweep = \"off\"\n") else {
        return;
    };
    write(&world, "notes", ELSEWHERE);
    world.cli().run(&["key", "mark-dead", ELSEWHERE]).ok();
    let answer = world.cli().run(&["findings", "--look"]).ok();
    assert_eq!(swept(&answer), Vec::<Value>::new());
    assert!(answer["sweep"]["last"].is_null(), "{answer}");
    let gaps = answer["not_checked"].to_string();
    assert!(gaps.contains("bascule findings --sweep"), "{gaps}");
    let answer = world.cli().run(&["findings", "--sweep"]).ok();
    assert_eq!(swept(&answer).len(), 1, "{answer}");
    assert_eq!(answer["sweep"]["schedule"], "off");
    let gaps = answer["not_checked"].to_string();
    assert!(!gaps.contains("--sweep"), "{gaps}");
}
