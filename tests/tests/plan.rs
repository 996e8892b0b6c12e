//! What a deletion would do, and what stands in its way: seen in the record of uses and on this machine,
//! enforced by the daemon, vouched for by a person.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::fs;

use bascule_tests::{
    Clock, Home, Minio, Recorder, Terminal, Treat, World,
    cli::{IN_USE, REFUSED},
    wait,
};
use serde_json::Value;

fn plan(world: &World) -> Value {
    world.cli().run(&["delete", "photos", "--plan"]).ok()
}

/// The state of a box, and what was seen of it.
fn the_box(plan: &Value, name: &str) -> (String, String) {
    let boxes = plan["boxes"].as_array().unwrap().iter();
    let found = boxes.into_iter().find(|one| one["name"] == name).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("state"), text("evidence"))
}

fn state(plan: &Value, name: &str) -> String {
    the_box(plan, name).0
}

fn chains(plan: &Value, of: &str) -> Vec<String> {
    let held = plan[of].as_array().unwrap().iter();
    held.map(|one| {
        let steps = one["chain"].as_array().unwrap().iter();
        let steps: Vec<_> = steps.map(|step| step.as_str().unwrap()).collect();
        steps.join(" → ")
    })
    .collect()
}

#[test]
fn what_nobody_used_asks_for_its_name_only() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let seen = plan(&world);
    let (quiet, horizon) = the_box(&seen, "quiet");
    assert_eq!(quiet, "met", "{seen}");
    assert!(horizon.contains("a daily job would not show"), "{horizon}");
    for calm in IN_USE {
        assert!(
            ["met", "not-applicable"].contains(&&*state(&seen, calm)),
            "{calm}: {seen}"
        );
    }
    let deleted = world.cli().run(&["delete", "photos", "--yes"]);
    // The card is handed out by the deletion, and is enough to connect again.
    let card = &deleted.json["reconnect_card"];
    assert_eq!(card["buckets"][0], bucket.as_str(), "{deleted}");
    assert!(!card.to_string().contains(&key.secret));
    deleted.verdict("intact");
}

#[test]
fn what_is_in_use_is_refused_by_name_until_somebody_vouches() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    world.rclone_config(&key.rclone_section("gate"));
    fs::write(world.home.path("a"), "a").unwrap();
    let from = world.home.path("a");
    world
        .rclone(&["copy", from.to_str().unwrap(), &format!("gate:{bucket}/x")])
        .exits(0);
    let seen = plan(&world);
    let (quiet, evidence) = the_box(&seen, "quiet");
    assert_eq!(quiet, "open", "{seen}");
    assert!(
        evidence.contains("laptop") && evidence.contains("rclone"),
        "{evidence}"
    );
    assert_eq!(state(&seen, "jobs-moved"), "open", "{seen}");
    assert!(
        chains(&seen, "consumers")[0].contains("rclone.conf"),
        "{seen}"
    );
    // The tool that was seen is the one that is set up here, so it is known.
    assert_eq!(state(&seen, "consumers-known"), "met", "{seen}");
    assert_eq!(state(&seen, "people-told"), "not-applicable", "{seen}");
    assert_eq!(state(&seen, "backup-elsewhere"), "open", "{seen}");
    assert_eq!(seen["clients"][0]["tool"], "rclone", "{seen}");
    assert_eq!(seen["clients"][0]["writes"], true, "{seen}");

    let refused = world
        .cli()
        .run(&["delete", "photos", "--yes"])
        .exits(REFUSED);
    let told = refused.error()["message"].as_str().unwrap().to_owned();
    for name in [
        "quiet",
        "jobs-moved",
        "backup-elsewhere",
        "alternatives-rejected",
    ] {
        assert!(told.contains(name), "{name} in {told}");
    }
    assert!(world.deletions().is_empty());
    let some = ["delete", "photos", "--yes", "--ack", "quiet"];
    let refused = world.cli().run(&some).exits(REFUSED);
    assert!(
        !refused.error()["message"]
            .as_str()
            .unwrap()
            .contains("quiet:"),
        "{refused}"
    );
    key.s3().list(&bucket).unwrap();

    world.delete("photos", &[]).verdict("intact");
}

#[test]
fn whoever_goes_around_the_gateway_is_named_as_not_stopped() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let (id, secret) = world.minio.credentials();
    let direct = format!(
        "[direct]\ntype = s3\nprovider = Minio\naccess_key_id = {}\nsecret_access_key = {}\nendpoint = {}\n\
         [deep]\ntype = alias\nremote = direct:{bucket}/deep\n",
        id,
        secret,
        world.minio.endpoint()
    );
    let conf = world.rclone_config(&direct);
    let seen = plan(&world);
    assert_eq!(state(&seen, "no-bypass"), "open", "{seen}");
    let (_, evidence) = the_box(&seen, "no-bypass");
    assert!(evidence.contains("will not stop"), "{evidence}");
    assert!(!seen.to_string().contains(secret));
    let said = world.cli().say(&["delete", "photos", "--plan"]).exits(0);
    assert!(said.stdout.contains("will NOT stop"), "{said}");
    world
        .cli()
        .run(&["delete", "photos", "--yes"])
        .exits(REFUSED);

    fs::remove_file(conf).unwrap();
    let seen = wait::until("the bypass to be gone", || {
        let seen = plan(&world);
        (state(&seen, "no-bypass") == "met").then_some(seen)
    });
    assert!(chains(&seen, "bypasses").is_empty(), "{seen}");
}

#[test]
fn a_plan_that_does_not_hold_any_more_is_refused_with_the_difference() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let _key = world.issue("photos", "laptop");
    let agreed = plan(&world)["plan_id"].as_str().unwrap().to_owned();
    assert_eq!(
        plan(&world)["plan_id"],
        agreed.as_str(),
        "the same facts, the same plan"
    );
    let other = world.issue("photos", "nas");
    let by_plan = |id: &str| world.delete("photos", &["--plan-id", id]);
    let refused = by_plan(&agreed).exits(REFUSED);
    let told = refused.error()["message"].as_str().unwrap().to_owned();
    assert!(told.contains("+ key nas"), "{told}");
    assert!(!told.contains("- key laptop"), "{told}");
    assert!(!told.contains(&other.id), "{told}");
    assert!(world.deletions().is_empty());
    // What the user does to satisfy a box changes no plan.
    let agreed = plan(&world)["plan_id"].as_str().unwrap().to_owned();
    world.cli().run(&["reconnect-card", "photos"]).ok();
    by_plan(&agreed).verdict("intact");
}

#[test]
fn quiet_is_unknown_over_a_gap_in_the_record() {
    let Some(minio) = Minio::shared() else { return };
    let home = Home::new();
    let clock = Clock::new(&home);
    let bucket = minio.bucket();
    let mut world = World {
        daemon: clock.start().run(&home),
        home,
        minio,
    };
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    // Killed before what passed is written down.
    key.s3().list(&bucket).unwrap();
    world.daemon.kill();
    clock.pass(2 * 3600);
    world.daemon.restart_as(&world.home, &clock.start());
    let seen = plan(&world);
    assert_eq!(state(&seen, "quiet"), "unknown", "{seen}");
    assert_eq!(state(&seen, "consumers-known"), "unknown", "{seen}");
    world
        .cli()
        .run(&["delete", "photos", "--yes"])
        .exits(REFUSED);
    clock.pass(60 * 3600);
    assert_eq!(state(&plan(&world), "quiet"), "met");
}

#[test]
fn the_wizard_asks_for_each_box_and_takes_nothing_for_a_yes_but_a_yes() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    key.s3().put(&bucket, "a", "a").unwrap();
    let mut command = world.cli().command();
    command.args(["delete", "photos"]);
    let Some(mut terminal) = Terminal::run(&command) else {
        return;
    };
    terminal.shows("Vouch for it all the same? [y/N]");
    terminal.types("");
    terminal.shows("nothing was deleted");
    assert!(!terminal.ends().success());
    assert!(world.deletions().is_empty());

    let Some(mut terminal) = Terminal::run(&command) else {
        return;
    };
    let seen = plan(&world);
    let to_vouch = IN_USE
        .iter()
        .filter(|name| ["open", "unknown"].contains(&&*state(&seen, name)));
    for name in to_vouch {
        terminal.shows(name);
        terminal.shows("Vouch for it all the same? [y/N]");
        terminal.types("y");
    }
    terminal.shows("Type the connection's name");
    terminal.types("photos");
    terminal.shows("verdict: intact");
    terminal.shows("To connect again");
    assert!(terminal.ends().success());
}

#[test]
fn unfinished_uploads_are_told_with_their_age_and_what_ends_them() {
    // One of its own: unfinished uploads are forgotten by one that serves others too.
    let Some(minio) = Minio::start() else { return };
    let world = World::on(std::sync::Arc::new(minio));
    let bucket = world.minio.bucket();
    let recorder = Recorder::start(&world.minio.address());
    world.connect_at(
        "photos",
        &[&bucket],
        &recorder.endpoint(),
        world.minio.credentials(),
    );
    let key = world.issue("photos", "laptop");
    let none = plan(&world);
    assert_eq!(none["uploads"][0]["count"], 0, "{none}");
    assert_eq!(none["uploads_through_keys"], Value::Array(vec![]));
    let begin = |s3: &bascule_tests::S3, name: &str| {
        let path = format!("/{bucket}/{name}");
        let sent = s3.send(http::Method::POST, &path, &[("uploads", "")], "");
        let reply = bascule_tests::runtime().block_on(sent).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    begin(&world.minio.s3(), "film");
    let before = plan(&world);
    begin(&world.minio.s3(), "another film");
    begin(&key.s3(), "through the gateway");

    let seen = plan(&world);
    let through = &seen["uploads_through_keys"];
    assert_eq!(through[0]["label"], "laptop", "{seen}");
    assert_eq!(through[0]["uploads"], 1, "{seen}");
    let of = &seen["uploads"][0];
    assert_eq!(
        (&of["bucket"], &of["count"]),
        (&bucket.clone().into(), &3.into())
    );
    assert_eq!(
        (&of["more"], &of["not_looked"]),
        (&false.into(), &Value::Null)
    );
    assert!(of["oldest_at"].is_string(), "{of}");
    assert_eq!(of["some"].as_array().unwrap().len(), 3, "{of}");
    let commands = of["commands"].to_string();
    assert!(commands.contains("abort-multipart-upload"), "{commands}");
    let said = world.cli().say(&["delete", "photos", "--plan"]).exits(0);
    for expected in ["3 uploads", "cost storage", "1 upload begun with the key"] {
        assert!(said.stdout.contains(expected), "{expected} in\n{said}");
    }
    // What other tools begin at the provider makes no plan stale.
    let again = plan(&world);
    assert_eq!(again["plan_id"], seen["plan_id"]);
    assert_eq!(before["uploads"][0]["count"], 1, "{before}");

    // A provider that hangs up is told, and hides nothing else.
    recorder.rule(|seen| match seen.target.contains("uploads=") {
        true => Treat::Drop,
        false => Treat::Pass,
    });
    let away = plan(&world);
    assert_eq!(away["uploads"][0]["count"], Value::Null, "{away}");
    assert!(away["uploads"][0]["not_looked"].is_string(), "{away}");
    assert_eq!(away["uploads_through_keys"][0]["uploads"], 1, "{away}");
    let emergency = ["delete", "photos", "--plan", "--emergency"];
    let emergency = world.cli().run(&emergency).ok();
    let why = emergency["uploads"][0]["not_looked"].as_str().unwrap();
    assert!(why.contains("does not wait"), "{why}");
    assert!(
        recorder
            .seen()
            .iter()
            .all(|seen| !seen.may_mutate() || seen.target.contains("through"))
    );
}
