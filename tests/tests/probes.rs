//! The daily question whether keys still work, for those who have switched it on: what the provider does
//! not know is a finding until it does again, and nobody is asked twice on one day.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Clock, Home, Minio, Recorder, World, wait};
use serde_json::Value;

const DAY: i64 = 86_400;

fn findings(world: &World) -> Vec<Value> {
    let answer = world.cli().run(&["findings"]).ok();
    answer["findings"].as_array().unwrap().clone()
}

#[test]
fn a_key_that_its_provider_disables_is_found_within_a_day_and_resolved_when_it_works_again() {
    let Some(minio) = Minio::start() else { return };
    let recorder = Recorder::start(&minio.address());
    let Some((id, secret)) = minio.user() else {
        return;
    };
    let home = Home::new();
    let settings = home.write("config.toml", "[watch]\nprobe = \"daily\"\n");
    let clock = Clock::new(&home);
    let section = format!(
        "[work]\ntype = s3\nprovider = Minio\naccess_key_id = {id}\nsecret_access_key = {secret}\n\
         endpoint = {}\n",
        recorder.endpoint()
    );
    // One of Amazon's, which may be bait: nobody has agreed to ask about it.
    let bait = "[bait]\naws_access_key_id = AKIAQ7ZK4M2WX5VT7F3Q\naws_secret_access_key = hunter2hunter2\n";
    std::fs::create_dir_all(home.path("home/.aws")).unwrap();
    std::fs::write(home.path("home/.aws/credentials"), bait).unwrap();
    std::fs::create_dir_all(home.path("home/.config/rclone")).unwrap();
    std::fs::write(home.path("home/.config/rclone/rclone.conf"), section).unwrap();
    let start = clock.start().arg("--config").arg(settings);
    let daemon = start.run(&home);
    let mut world = World {
        daemon,
        home,
        minio: minio.into(),
    };
    let asked = || recorder.seen().len();
    let runs = |world: &World| {
        let log = world.daemon.log();
        log.matches("servers were asked whether").count()
    };
    wait::until("the first run", || (runs(&world) == 1).then_some(()));
    assert_eq!(asked(), 1);
    assert_eq!(findings(&world), Vec::<Value>::new());
    let answer = world.cli().run(&["findings"]).ok();
    let not_checked = answer["not_checked"].to_string();
    assert!(not_checked.contains("a key of Amazon"), "{not_checked}");

    // Not again on the same day, also by another daemon.
    world.minio.disable(&id);
    world.daemon.kill();
    world.daemon.restart_as(&world.home, &start);
    wait::until("the second run", || (runs(&world) == 2).then_some(()));
    assert_eq!(asked(), 1);

    clock.pass(DAY);
    let found = wait::until("the finding", || findings(&world).into_iter().next());
    assert_eq!(asked(), 2);
    assert_eq!(found["reason"], "KEY-DEAD-ELSEWHERE");
    let because = found["message"].as_str().unwrap();
    assert!(
        because.contains(&recorder.endpoint()) && because.contains("unknown"),
        "{because}"
    );
    let audit = world.cli().run(&["audit"]).ok();
    let marked = audit["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&marked["change"], &marked["by"]),
        (&"marked-dead".into(), &Value::Null)
    );

    // Refused, and not dead: that it is known again is not enough.
    let mc = ["admin", "user", "enable", "here", &id];
    world.minio.mc(&mc);
    let detach = [
        "admin",
        "policy",
        "detach",
        "here",
        "readwrite",
        "--user",
        &id,
    ];
    world.minio.mc(&detach);
    clock.pass(2 * DAY);
    wait::until("the denied run", || (runs(&world) == 4).then_some(()));
    assert_eq!((asked(), findings(&world).len()), (3, 1));

    let attach = [
        "admin",
        "policy",
        "attach",
        "here",
        "readwrite",
        "--user",
        &id,
    ];
    world.minio.mc(&attach);
    clock.pass(3 * DAY);
    wait::until("the finding to be resolved", || {
        findings(&world).is_empty().then_some(())
    });
    assert_eq!(asked(), 4);
    for hidden in [&*secret, &*id, "hunter2"] {
        assert!(!world.daemon.log().contains(hidden));
    }
}

#[test]
fn a_denied_key_is_never_dead_and_nobody_is_asked_unless_it_is_switched_on() {
    let Some(minio) = Minio::start() else { return };
    let recorder = Recorder::start(&minio.address());
    let Some((id, secret)) = minio.user() else {
        return;
    };
    let detach = [
        "admin",
        "policy",
        "detach",
        "here",
        "readwrite",
        "--user",
        &id,
    ];
    minio.mc(&detach);
    let home = Home::new();
    let clock = Clock::new(&home);
    let section = format!(
        "[work]\ntype = s3\nprovider = Minio\naccess_key_id = {id}\nsecret_access_key = {secret}\n\
         endpoint = {}\n",
        recorder.endpoint()
    );
    std::fs::create_dir_all(home.path("home/.config/rclone")).unwrap();
    std::fs::write(home.path("home/.config/rclone/rclone.conf"), section).unwrap();
    let daemon = clock.start().run(&home);
    let mut world = World {
        daemon,
        home,
        minio: minio.into(),
    };
    clock.pass(2 * DAY);
    world.cli().run(&["findings", "--look"]).ok();
    assert_eq!(recorder.seen().len(), 0);

    let settings = world
        .home
        .write("config.toml", "[watch]\nprobe = \"daily\"\n");
    world.daemon.kill();
    let start = clock.start().arg("--config").arg(settings);
    world.daemon.restart_as(&world.home, &start);
    wait::until("a run", || {
        world
            .daemon
            .log()
            .contains("servers were asked whether")
            .then_some(())
    });
    assert_eq!((recorder.seen().len(), findings(&world).len()), (1, 0));
}
