//! The scream test: keys are paused, reversibly; a knock names its job and stops the countdown; only
//! silence that was listened to deletes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{
    Cli, Clock, Home, Issued, Minio, SmallDisk, World,
    cli::{IN_USE, REFUSED},
    wait,
};
use serde_json::Value;

const DAY: i64 = 86_400;

/// A connection with a key, and a daemon whose clock can be set.
fn scene() -> Option<(World, Clock, String, Issued)> {
    let minio = Minio::shared()?;
    let home = Home::new();
    let clock = Clock::new(&home);
    let bucket = minio.bucket();
    let world = World {
        daemon: clock.start().run(&home),
        home,
        minio,
    };
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    Some((world, clock, bucket, key))
}

/// Begins one, and waits until silence is counted; the id.
fn begin(world: &World) -> String {
    let answer = world.delete("photos", &["--scream", "14d"]).ok();
    assert_eq!(answer["outcome"], "listening", "{answer}");
    assert_eq!(answer["deletion"]["phase"], "listening", "{answer}");
    let id = answer["deletion"]["id"].as_str().unwrap().to_owned();
    wait::until("silence to be counted", || {
        let shown = shown(world, &id);
        shown["scream"]["counting_since"].is_string().then_some(())
    });
    id
}

fn shown(world: &World, id: &str) -> Value {
    world.cli().run(&["deletion", "show", id]).ok()["deletion"].clone()
}

#[test]
fn a_knock_names_its_job_and_stops_the_countdown_until_somebody_decides() {
    let Some((world, clock, bucket, key)) = scene() else {
        return;
    };
    key.s3().put(&bucket, "a", "a").unwrap();
    let id = begin(&world);
    let refused = key.s3().list(&bucket).unwrap_err().to_string();
    assert!(refused.contains("still uses it"), "{refused}");
    let stopped = wait::until("the countdown to stop", || {
        let shown = shown(&world, &id);
        shown["scream"]["knocked_at"].is_string().then_some(shown)
    });
    assert_eq!(stopped["scream"]["label"], "laptop", "{stopped}");
    let finding = stopped["scream"]["finding"].as_str().unwrap();
    let named = world.cli().run(&["findings", "show", finding]).ok();
    assert_eq!(named["finding"]["reason"], "KEY-PAUSED", "{named}");
    let said = world.cli().say(&["deletion", "show", &id]).exits(0);
    assert!(said.stdout.contains("stands still"), "{said}");

    // However long nobody decides, nothing dies.
    clock.pass(60 * DAY);
    assert_eq!(shown(&world, &id)["phase"], "listening");
    clock.set(0, 0, 0);

    let go_on = ["deletion", "go-on", &id, "--reason", "that job is gone"];
    let going = world.cli().run(&go_on).ok();
    assert!(
        going["deletion"]["scream"]["knocked_at"].is_null(),
        "{going}"
    );
    world.cli().run(&["deletion", "go-on", &id]).exits(REFUSED);
    // A knock after that stops it again.
    key.s3().list(&bucket).unwrap_err();
    wait::until("the countdown to stop again", || {
        (shown(&world, &id)["scream"]["knocks"] == 2).then_some(())
    });
    // One that was refused is none.
    let audit = world.cli().run(&["audit", "photos"]).ok();
    let entries = audit["entries"].as_array().unwrap().iter();
    let words: Vec<_> = entries
        .filter(|entry| entry["change"] == "deletion-went-on")
        .collect();
    let [word] = words[..] else { panic!("{audit}") };
    assert_eq!(word["deletion_id"], id.as_str(), "{word}");
    assert_eq!(word["reason"], "that job is gone", "{word}");
    assert_eq!(word["phase"], Value::Null, "{word}");
    assert!(word["by"]["pid"].is_number() && word["at"].is_string());
    world.cli().run(&["deletion", "cancel", &id]).ok();
    key.s3().list(&bucket).unwrap();
    assert_eq!(shown(&world, &id)["phase"], "cancelled");
}

#[test]
fn silence_completes_it_and_a_wall_clock_that_is_set_does_not() {
    let home = Home::new();
    let clock = Clock::new(&home);
    let _daemon = clock.start().run(&home);
    let cli = Cli::new(&home);
    let folder = home.path("files");
    std::fs::create_dir_all(folder.join("pictures")).unwrap();
    std::fs::write(folder.join("pictures/a"), "a").unwrap();
    let path = folder.to_str().unwrap();
    let connect = [
        "connect",
        "photos",
        "--provider",
        "local",
        "--bucket",
        "pictures",
    ];
    cli.run(&[&connect[..], &["--path", path]].concat()).ok();
    cli.run(&["key", "issue", "photos", "--label", "laptop"])
        .ok();
    let begun = cli.delete("photos", &["--scream", "14d"]).ok();
    let id = begun["deletion"]["id"].as_str().unwrap();
    let phase = || cli.run(&["deletion", "show", id]).ok()["deletion"]["phase"].clone();

    // Somebody sets the wall clock a month ahead: that is no silence.
    let counting = || {
        let shown = cli.run(&["deletion", "show", id]).ok();
        shown["deletion"]["scream"]["counting_since"].clone()
    };
    let before = wait::until("silence to be counted", || {
        Some(counting()).filter(Value::is_string)
    });
    clock.jump(30 * DAY);
    wait::until("the jump to be seen", || {
        (counting() != before).then_some(())
    });
    assert_eq!(phase(), "listening");
    // And back: seen before time goes on, or it would be counted from then.
    let ahead = wait::until("silence to be counted anew", || {
        Some(counting()).filter(Value::is_string)
    });
    clock.set(0, 0, 0);
    wait::until("the jump back to be seen", || {
        (counting() != ahead).then_some(())
    });
    clock.pass(13 * DAY);
    assert_eq!(phase(), "listening");
    clock.pass(14 * DAY + 60);
    wait::until("the silence to be long enough", || {
        (phase() == "finished").then_some(())
    });
    let receipt = cli.run(&["receipt", "show", id]).ok();
    assert_eq!(receipt["verdict"], "intact", "{receipt}");
    assert_eq!(receipt["scream"]["knocks"], 0, "{receipt}");
}

#[test]
fn silence_counts_over_restarts_and_only_while_the_daemon_listens() {
    let Some((mut world, clock, _bucket, key)) = scene() else {
        return;
    };
    let id = begin(&world);
    clock.pass(5 * DAY);
    assert!(world.daemon.stop().success());
    // Five days were listened to; the twenty in which it does not run are none.
    clock.pass(25 * DAY);
    world.daemon.restart_as(&world.home, &clock.start());
    let after = shown(&world, &id);
    assert_eq!(after["phase"], "listening", "{after}");
    let silent = after["scream"]["silent_seconds"].as_i64().unwrap();
    assert!((5 * DAY - 60..6 * DAY).contains(&silent), "{after}");
    assert_eq!(
        world.cli().run(&["key", "show", &key.id]).ok()["key"]["label"],
        "laptop"
    );
    world.cli().run(&["deletion", "cancel", &id]).ok();
}

#[test]
fn it_begins_without_the_boxes_that_silence_answers() {
    let Some((world, _clock, bucket, key)) = scene() else {
        return;
    };
    key.s3().put(&bucket, "a", "a").unwrap();
    let scream = ["delete", "photos", "--yes", "--scream", "14d"];
    let refused = world.cli().run(&scream).exits(REFUSED);
    let told = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(told.contains("provider-login"), "{told}");
    for answered in IN_USE
        .iter()
        .filter(|name| !["provider-login", "no-bypass"].contains(name))
    {
        assert!(!told.contains(answered), "{answered} in {told}");
    }
    world
        .cli()
        .run(&[&scream[..], &["--emergency"]].concat())
        .exits(bascule_tests::cli::USAGE);
    let id = world
        .cli()
        .run(&[&scream[..], &["--ack", "provider-login"]].concat())
        .ok();
    let id = id["deletion"]["id"].as_str().unwrap().to_owned();
    let twice = world.delete("photos", &[]).exits(REFUSED);
    assert!(
        twice.error()["message"]
            .as_str()
            .unwrap()
            .contains("already being deleted"),
        "{twice}"
    );
    world.cli().run(&["deletion", "cancel", &id]).ok();
    key.s3().get(&bucket, "a").unwrap();
}

#[test]
fn a_go_on_that_meets_a_full_disk_is_answered_as_the_disks_error() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mount(home.state()) else {
        return;
    };
    let mut daemon = bascule_tests::Daemon::start(&home);
    let cli = Cli::new(&home);
    let folder = home.path("files");
    std::fs::create_dir_all(folder.join("pictures")).unwrap();
    let path = folder.to_str().unwrap();
    for name in ["photos", "other"] {
        let connect = ["connect", name, "--provider", "local", "--path", path];
        cli.run(&[&connect[..], &["--bucket", "pictures"]].concat())
            .ok();
    }
    let issue = |label: &str, more: &[&str]| {
        let args = ["key", "issue", "other", "--label", label];
        cli.run(&[&args[..], more].concat())
    };
    let key = Issued::of(
        &cli.run(&["key", "issue", "photos", "--label", "laptop"])
            .ok(),
    );
    let begun = cli.delete("photos", &["--scream", "14d"]).ok();
    let id = begun["deletion"]["id"].as_str().unwrap();
    key.s3().list("pictures").unwrap_err();
    wait::until("the countdown to stop", || {
        let shown = cli.run(&["deletion", "show", id]).ok();
        shown["deletion"]["scream"]["knocked_at"]
            .is_string()
            .then_some(())
    });
    disk.fill();
    // Large ones, until there is no room for another.
    let large: Vec<_> = (0..100)
        .map(|number| format!("--prefix={number:01000}/"))
        .collect();
    let large: Vec<_> = large.iter().map(String::as_str).collect();
    let full = (0..100).find(|number| issue(&format!("{number}"), &large).code != Some(0));
    assert!(full.is_some(), "the disk is full");
    for _ in 0..2 {
        let told = cli.run(&["deletion", "go-on", id]);
        assert_ne!(told.code, Some(0), "{told}");
        assert_eq!(told.error()["kind"], "STORAGE", "{told}");
        assert!(told.text().contains("the store"), "{told}");
    }
    // With room again, it stands still as before, and the same word is taken.
    disk.empty();
    daemon.kill();
    daemon.restart(&home);
    let shown = cli.run(&["deletion", "show", id]).ok();
    assert!(shown["deletion"]["scream"]["knocked_at"].is_string());
    let words = || {
        let audit = cli.run(&["audit", "photos"]).ok();
        let entries = audit["entries"].as_array().unwrap().iter();
        entries
            .filter(|entry| entry["change"] == "deletion-went-on")
            .count()
    };
    assert_eq!(words(), 0);
    cli.run(&["deletion", "go-on", id]).ok();
    assert_eq!(words(), 1);
}
