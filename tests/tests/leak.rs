//! `bascule leak`: an issued key dies at once; a provider's key is led through pausing, replacing,
//! resuming and the proof that it is dead, on a real MinIO.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::thread;

use bascule_tests::{
    Issued, Recorder, Terminal, Treat, World,
    cli::{REFUSED, STEPS_REMAIN},
    wait,
};
use http::Method;
use serde_json::Value;

fn steps(answer: &Value) -> Vec<&str> {
    answer["remaining"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect()
}

/// The paused connections, each with what paused it.
fn paused(world: &World) -> Vec<(String, String)> {
    let status = world.cli().run(&["status"]).ok();
    let told = |paused: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert!(paused["since"].is_string(), "{paused}");
        (text(&paused["name"]), text(&paused["by"]))
    };
    status["paused"]
        .as_array()
        .unwrap()
        .iter()
        .map(told)
        .collect()
}

#[test]
fn an_issued_key_that_leaked_is_dead_and_its_successor_works() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "object", "x").unwrap();
    world.connect("photos", &[&bucket]);
    let old = world.issue("photos", "laptop");
    world.rclone_config(&old.rclone_section("laptop"));
    // A label may mean the successor: nothing dies by it.
    let labelled = world.cli().run(&["leak", "photos/laptop"]);
    assert_eq!(labelled.error()["kind"], "INVALID");
    assert_eq!(old.s3().get(&bucket, "object").unwrap().status, 200);
    let masked = format!("BSC…{}", &old.id[old.id.len() - 4..]);
    let answer = world.cli().run(&["leak", &masked]).ok();
    let held = answer["holders"]["found"].to_string();
    assert!(held.contains("rclone.conf"), "{answer}");
    let new = Issued::of(&answer["issued"]);
    let refused = old.s3().call(Method::GET, &format!("/{bucket}/object"), "");
    assert_eq!(refused.unwrap().code(), "InvalidAccessKeyId");
    assert_eq!(new.s3().get(&bucket, "object").unwrap().body, "x");
    // Reported again, it is dead already, and since when.
    let again = world.cli().run(&["leak", &old.id]).ok();
    assert_eq!(again["outcome"], "dead");
    assert!(again["seen_dead_at"].is_string(), "{again}");
    assert!(again["key"]["cause"].as_str().unwrap().contains("rotated"));
    let again = world.cli().run(&["leak", &masked]).ok();
    assert_eq!(again["outcome"], "dead", "by its mask too: {again}");
    let vague = world.cli().run(&["leak", "BSC…"]);
    assert_eq!(vague.error()["kind"], "INVALID");

    let unknown = world.cli().run(&["leak", "AKIANOBODYKNOWSTHIS"]);
    let error = unknown.error();
    assert_eq!(error["kind"], "NOT_FOUND");
    assert!(
        error["message"].as_str().unwrap().contains("IAM"),
        "{error}"
    );
}

#[test]
fn a_providers_key_that_leaked_is_led_to_its_proven_death() {
    let Some(mut world) = World::new() else {
        return;
    };
    let Some((id, secret)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "object", "x").unwrap();
    world.connect_at(
        "photos",
        &[&bucket],
        &world.minio.endpoint(),
        (&id, &secret),
    );
    let key = world.issue("photos", "laptop");
    world.rclone_config(&format!(
        "[direct]\ntype = s3\naccess_key_id = {id}\nsecret_access_key = {secret}\n"
    ));
    let leak = |world: &World| world.cli().run(&["leak", &id]);
    let served = |world: &World| {
        let path = format!("/{bucket}/object");
        let _ = &world.daemon;
        key.s3().call(Method::GET, &path, "").unwrap().status == 200
    };

    let first = leak(&world).exits(STEPS_REMAIN).json;
    assert_eq!(steps(&first), ["replace", "resume", "prove"]);
    let how = first["remaining"][0]["commands"].to_string();
    assert!(how.contains("mc admin") && how.contains(&id), "{how}");
    let held = first["holders"]["found"].to_string();
    assert!(held.contains("rclone.conf:3"), "{held}");
    assert!(
        !first["holders"]["not_checked"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(!served(&world), "paused");
    // All of it outlasts a kill.
    world.daemon.kill();
    world.daemon.restart(&world.home);
    assert!(!served(&world), "paused");
    assert_eq!(steps(&leak(&world).exits(STEPS_REMAIN).json), steps(&first));
    let troubles = world.cli().run(&["status"]).ok()["troubles"].to_string();
    assert!(troubles.contains("bascule leak"), "{troubles}");
    assert_eq!(paused(&world), [("photos".into(), "leak".into())]);

    // The leaked pair once more is no replacement.
    let credentials = ["credentials", "photos", "--credentials-stdin"];
    let pair = format!("{id}\n{secret}\n");
    let refused = world.cli().run_with(&credentials, &pair);
    assert_eq!(refused.error()["kind"], "REFUSED");
    let (new_id, new_secret) = world.minio.user().unwrap();
    let pair = format!("{new_id}\n{new_secret}\n");
    world.cli().run_with(&credentials, &pair).ok();
    assert!(!served(&world), "paused until the leak is gone on with");

    // Not revoked at the provider yet: the probe says so.
    let second = leak(&world).exits(STEPS_REMAIN).json;
    assert_eq!(second["proof"]["result"], "alive", "{second}");
    assert_eq!(steps(&second), ["prove"]);
    assert!(served(&world), "resumed with the new pair");

    world.minio.disable(&id);
    let last = leak(&world).ok();
    assert_eq!(last["proof"]["result"], "dead", "{last}");
    assert!(last["seen_dead_at"].is_string());
    assert!(steps(&last).is_empty());
    // From here on its secret is kept nowhere, and the answer stays.
    world.daemon.kill();
    world.daemon.restart(&world.home);
    let known = leak(&world).ok();
    assert_eq!(known["seen_dead_at"], last["seen_dead_at"]);
    assert!(served(&world));
    assert_eq!(paused(&world), []);
    // A pause of another day is nobody's but the user's.
    world.cli().run(&["pause", "photos"]).ok();
    assert_eq!(paused(&world), [("photos".into(), "user".into())]);
    let status = world.cli().run(&["status"]).ok();
    assert_eq!(status["troubles"], serde_json::json!([]), "{status}");
    assert!(steps(&leak(&world).ok()).is_empty());
    let said = world.cli().say(&["status"]).exits(0).stdout;
    assert!(said.contains("bascule resume photos"), "{said}");
}

#[test]
fn a_person_without_a_terminal_reads_the_steps_and_is_asked_nothing() {
    let Some(world) = World::new() else { return };
    let Some((id, secret)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect_at(
        "photos",
        &[&bucket],
        &world.minio.endpoint(),
        (&id, &secret),
    );
    let answer = world.cli().say(&["leak", &id]).exits(STEPS_REMAIN);
    for expected in [
        "1. make a new key",
        "bascule credentials photos",
        "not checked:",
    ] {
        assert!(answer.stdout.contains(expected), "{answer}");
    }
}

#[test]
fn a_leaked_key_of_two_connections_stops_both_and_comes_back_to_neither() {
    let Some(world) = World::new() else { return };
    let Some((id, secret)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "object", "x").unwrap();
    let keys = ["one", "two"].map(|name| {
        let endpoint = world.minio.endpoint();
        world.connect_at(name, &[&bucket], &endpoint, (&id, &secret));
        world.issue(name, "laptop")
    });
    let masked = format!("{}…{}", &id[..4], &id[id.len() - 4..]);
    let leak = || world.cli().run(&["leak", &masked]).exits(STEPS_REMAIN).json;
    let statuses = || {
        let path = format!("/{bucket}/object");
        keys.each_ref()
            .map(|key| key.s3().call(Method::GET, &path, "").unwrap().status)
    };
    assert_eq!(statuses(), [200, 200]);
    leak();
    assert_ne!(statuses()[0], 200);
    assert_ne!(statuses()[1], 200);
    let (new_id, new_secret) = world.minio.user().unwrap();
    let hand = |name, id: &str, secret: &str| {
        let args = ["credentials", name, "--credentials-stdin"];
        world.cli().run_with(&args, &format!("{id}\n{secret}\n"))
    };
    hand("one", &new_id, &new_secret).ok();
    let refused = hand("one", &id, &secret);
    assert_eq!(refused.error()["kind"], "REFUSED", "not a way back");
    assert_eq!(steps(&leak()), ["replace", "resume", "prove"]);
    hand("two", &new_id, &new_secret).ok();
    world.minio.disable(&id);
    let last = world.cli().run(&["leak", &masked]).ok();
    assert!(steps(&last).is_empty(), "{last}");
    assert_eq!(statuses(), [200, 200]);
}

#[test]
fn keys_of_different_servers_with_the_same_id_are_not_the_same_key() {
    let Some(world) = World::new() else { return };
    let Some((id, secret)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "object", "x").unwrap();
    // Another server, as far as addresses tell.
    let recorder = Recorder::start(&world.minio.address());
    let places = [
        ("here", world.minio.endpoint()),
        ("there", recorder.endpoint()),
    ];
    let keys = places.each_ref().map(|(name, endpoint)| {
        world.connect_at(name, &[&bucket], endpoint, (&id, &secret));
        world.issue(name, "laptop")
    });
    let statuses = || {
        let path = format!("/{bucket}/object");
        keys.each_ref()
            .map(|key| key.s3().call(Method::GET, &path, "").unwrap().status)
    };
    let error = world.cli().run(&["leak", &id]).error();
    assert_eq!(error["kind"], "INVALID");
    for said in ["here", "there", &recorder.endpoint()] {
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
    assert_eq!(statuses(), [200, 200], "nothing is paused by a guess");
    let nobody = world.cli().run(&["leak", &id, "--connection", "nobody"]);
    assert_eq!(nobody.error()["kind"], "NOT_FOUND");

    let chosen = world.cli().run(&["leak", &id, "--connection", "there"]);
    let answer = chosen.exits(STEPS_REMAIN).json;
    assert_eq!(answer["connection"]["name"], "there");
    assert_eq!(answer["same_id_elsewhere"], serde_json::json!(["here"]));
    assert_eq!(answer["also_used_by"], serde_json::json!([]));
    assert_eq!(statuses(), [200, 403]);
    // A leak that is being dealt with is gone on with.
    let again = world.cli().run(&["leak", &id]).exits(STEPS_REMAIN).json;
    assert_eq!(again["connection"]["name"], "there");
    assert_eq!(statuses(), [200, 403]);
}

#[test]
fn a_leaked_pair_connects_nothing_unless_that_is_meant() {
    let Some(world) = World::new() else { return };
    let Some((id, secret)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    let endpoint = world.minio.endpoint();
    world.connect_at("photos", &[&bucket], &endpoint, (&id, &secret));
    world.cli().run(&["leak", &id]).exits(STEPS_REMAIN);
    let pair = format!("{id}\n{secret}\n");
    let connect = |more: &[&str]| {
        let args = ["connect", "again", "--provider", "minio", "--endpoint"];
        let rest = ["--bucket", &bucket, "--allow-http", "--credentials-stdin"];
        let args = [&args[..], &[&endpoint], &rest, more].concat();
        world.cli().run_with(&args, &pair)
    };
    let error = connect(&[]).exits(REFUSED).error();
    assert!(
        error["message"].as_str().unwrap().contains("leaked"),
        "{error}"
    );
    assert!(
        error["next"].as_str().unwrap().contains("--allow-leaked"),
        "{error}"
    );
    connect(&["--allow-leaked"]).ok();
    let credentials = ["credentials", "photos", "--credentials-stdin"];
    world.cli().run_with(&credentials, &pair).exits(REFUSED);
    let meant = [&credentials[..], &["--allow-leaked"]].concat();
    world.cli().run_with(&meant, &pair).ok();
}

#[test]
fn what_leaks_while_its_connection_is_deleted_dies_or_is_named_and_the_deletion_goes_on() {
    let Some(world) = World::new() else { return };
    let Some((id, secret)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    let recorder = Recorder::start(&world.minio.address());
    world.connect_at("photos", &[&bucket], &recorder.endpoint(), (&id, &secret));
    let key = world.issue("photos", "laptop");
    recorder.rule(|seen| match seen.lists_objects() {
        true => Treat::Wait,
        false => Treat::Pass,
    });
    thread::scope(|scope| {
        let cli = world.cli();
        let deleting = scope.spawn(move || cli.delete("photos", &["--ack", "survey-complete"]));
        wait::until("the deletion to be under way", || {
            let drained = world.deletions().iter().any(|d| d["phase"] == "drained");
            drained.then_some(())
        });
        let refused = world.cli().run(&["leak", &id]).exits(REFUSED).error();
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("being deleted"), "{refused}");
        assert!(message.contains("stays valid at the provider"), "{refused}");
        let dead = world.cli().run(&["leak", &key.id]).ok();
        assert_eq!(dead["outcome"], "dead");
        let why = dead["no_successor"].as_str().unwrap();
        assert!(why.contains("photos is being deleted"), "{dead}");
        recorder.pass();
        deleting.join().unwrap().verdict("intact");
    });
}

#[test]
fn a_person_on_a_terminal_is_walked_through_it() {
    let Some(world) = World::new() else { return };
    let Some((id, secret)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "object", "x").unwrap();
    let endpoint = world.minio.endpoint();
    world.connect_at("photos", &[&bucket], &endpoint, (&id, &secret));
    let key = world.issue("photos", "laptop");
    let status = || {
        let path = format!("/{bucket}/object");
        key.s3().call(Method::GET, &path, "").unwrap().status
    };
    let mut command = world.cli().command();
    command.args(["leak", &id, "--reason", "it is in a chat"]);
    let Some(mut terminal) = Terminal::run(&command) else {
        return;
    };
    terminal.shows("is the provider's key of the connection photos");
    terminal.shows("paused.");
    assert_eq!(status(), 403, "before anything is asked");
    terminal.shows("mc admin accesskey create");
    terminal.shows("Press Enter when you have the new pair");
    let (new_id, new_secret) = world.minio.user().unwrap();
    world.minio.disable(&id);
    terminal.types("");
    terminal.shows("Access key id: ");
    terminal.types(&new_id);
    terminal.shows("not shown): ");
    terminal.types(&new_secret);
    terminal.shows("replaced.");
    terminal.shows("resumed.");
    terminal.shows("the old pair: dead.");
    terminal.shows("dead at the provider");
    assert!(terminal.ends().success(), "{}", terminal.screen());
    assert!(!terminal.screen().contains(&new_secret), "it is not echoed");
    assert_eq!(status(), 200);
    // Each step tells the audit why.
    let audit = world.cli().run(&["audit", "photos"]).ok();
    let entries = audit["entries"].as_array().unwrap();
    for change in [
        "leak-reported",
        "credentials-replaced",
        "resumed",
        "leak-closed",
    ] {
        let entry = entries.iter().find(|entry| entry["change"] == change);
        assert_eq!(entry.unwrap()["reason"], "it is in a chat", "{audit}");
    }
}
