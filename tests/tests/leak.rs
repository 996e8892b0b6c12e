//! `bascule leak`: an issued key dies at once; a provider's key is led through pausing, replacing,
//! resuming and the proof that it is dead, on a real MinIO.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Issued, World, cli::STEPS_REMAIN};
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
