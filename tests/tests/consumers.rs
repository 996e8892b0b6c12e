//! Who uses a key that does not work: found the moment the key dies, whoever made it, told until it is
//! mended, and never by looking again and again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Cli, Clock, Home, Issued, Minio, World, cli::NOT_FOUND, wait};
use serde_json::{Value, json};

/// As `bascule_client::exit::Exit`.
const FINDINGS: i32 = 9;
const INCOMPLETE: i32 = 10;

/// Writes a file, its folders included.
fn write(home: &Home, name: &str, text: &str) -> std::path::PathBuf {
    let path = home.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

fn findings(world: &World, of: &[&str]) -> Vec<Value> {
    let args: Vec<_> = ["findings"].iter().chain(of).copied().collect();
    let answer = world.cli().run(&args).ok();
    let all = answer["findings"].as_array().unwrap().iter();
    all.filter(|finding| finding["sense"] == "consumer")
        .cloned()
        .collect()
}

/// Waits until there are so many findings of consumers.
fn wait_for(world: &World, number: usize) -> Vec<Value> {
    wait::until(&format!("{number} findings of consumers"), || {
        let found = findings(world, &[]);
        (found.len() == number).then_some(found)
    })
}

fn chain(finding: &Value) -> String {
    let steps = finding["chain"].as_array().unwrap().iter();
    let names: Vec<_> = steps.map(|step| step["name"].as_str().unwrap()).collect();
    names.join(" > ")
}

#[test]
fn a_revoked_key_names_its_consumers_at_once_and_a_mended_file_resolves_them() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let (old, other) = (
        world.issue("photos", "laptop"),
        world.issue("photos", "nas"),
    );
    let crypt = format!("[vault]\ntype = crypt\nremote = gate:{bucket}/x\n");
    let conf = format!(
        "{}{crypt}{}",
        old.rclone_section("gate"),
        other.rclone_section("nas")
    );
    world.rclone_config(&conf);
    assert_eq!(findings(&world, &["--look"]), Vec::<Value>::new());

    world.cli().run(&["key", "pause", &old.id]).ok();
    let paused = wait_for(&world, 2);
    assert!(
        paused
            .iter()
            .all(|finding| finding["reason"] == "KEY-PAUSED"),
        "{paused:?}"
    );
    world.cli().run(&["key", "revoke", &old.id]).ok();
    let dead = wait::until("the findings to change", || {
        let found = findings(&world, &["photos/laptop"]);
        let all = found
            .iter()
            .all(|finding| finding["reason"] == "KEY-REVOKED");
        (found.len() == 2 && all).then_some(found)
    });
    let id_of = |found: &[Value]| found.iter().map(|f| f["id"].clone()).collect::<Vec<_>>();
    assert_eq!(id_of(&dead), id_of(&paused), "the same findings, changed");
    let chains: Vec<_> = dead.iter().map(chain).collect();
    let direct = chains
        .iter()
        .find(|chain| chain.starts_with("gate: (s3)"))
        .unwrap();
    assert!(direct.ends_with("rclone.conf:4"), "{direct}");
    assert!(
        chains
            .iter()
            .any(|chain| chain.starts_with("vault: (crypt) > gate: (s3)")),
        "{chains:?}"
    );
    assert_eq!(findings(&world, &["photos/nas"]), Vec::<Value>::new());
    assert_eq!(world.cli().run(&["status"]).ok()["findings"], 2);

    // Told whole, without the id or the secret.
    let id = dead[0]["id"].as_str().unwrap();
    let said = world.cli().say(&["findings", "show", &id[..6]]).exits(0);
    assert!(said.stdout.contains("bascule key issue photos"), "{said}");
    for secret in [&old.id, &old.secret] {
        assert!(!said.text().contains(secret.as_str()), "{said}");
        assert!(!world.daemon.log().contains(secret.as_str()));
    }
    let scan = world
        .cli()
        .run(&["scan", "--skip", "processes", "--skip", "jobs"])
        .exits(FINDINGS)
        .json;
    assert_eq!(scan["keys"][0]["state"]["state"], "dead", "{scan}");
    let who = world
        .cli()
        .run(&["who", "rclone:vault"])
        .exits(FINDINGS)
        .json;
    assert_eq!(who["keys"][0]["uses"].as_array().unwrap().len(), 2, "{who}");

    // Mended by hand, as an editor saves it.
    let fresh = world.issue("photos", "laptop-2");
    let mended = conf
        .replace(&old.id, &fresh.id)
        .replace(&old.secret, &fresh.secret);
    let file = world.home.path("home/.config/rclone/rclone.conf");
    std::fs::write(file.with_extension("new"), mended).unwrap();
    std::fs::rename(file.with_extension("new"), &file).unwrap();
    wait_for(&world, 0);
    world
        .cli()
        .run(&["scan", "--skip", "processes", "--skip", "jobs"])
        .exits(0);
}

#[test]
fn a_key_that_expires_names_its_consumers_by_itself_and_again_no_more_when_it_goes_on() {
    let Some(minio) = Minio::shared() else { return };
    let home = Home::new();
    let clock = Clock::new(&home);
    let daemon = clock.start().run(&home);
    let world = World {
        daemon,
        home,
        minio,
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let issue = [
        "key",
        "issue",
        "photos",
        "--label",
        "guest",
        "--expires",
        "1d",
    ];
    let key = Issued::of(&world.cli().run(&issue).ok());
    world.rclone_config(&key.rclone_section("gate"));
    assert_eq!(findings(&world, &["--look"]), Vec::<Value>::new());
    clock.pass(2 * 86_400);
    let expired = wait_for(&world, 1);
    assert_eq!(expired[0]["reason"], "KEY-EXPIRED");
    let again = ["key", "restrict", &key.id, "--expires", "30d"];
    world.cli().run(&again).ok();
    wait_for(&world, 0);
}

#[test]
fn an_acknowledged_finding_is_quiet_also_after_a_restart_until_it_changes() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    world.rclone_config(&key.rclone_section("gate"));
    world.cli().run(&["findings", "--look"]).ok();
    world.cli().run(&["key", "pause", &key.id]).ok();
    let found = wait_for(&world, 1);
    let id = found[0]["id"].as_str().unwrap().to_owned();
    let refused = world.cli().run(&["findings", "ack", &id, "--why", " "]);
    assert_eq!(refused.error()["kind"], "INVALID");
    let known = world
        .cli()
        .run(&["findings", "ack", &id, "--why", "holiday"])
        .ok();
    assert_eq!(known["finding"]["state"], "acknowledged");
    assert_eq!(world.cli().run(&["status"]).ok()["findings"], 0);

    world.daemon.kill();
    world.daemon.restart(&world.home);
    let again = wait_for(&world, 1);
    assert_eq!(again[0]["id"], json!(id));
    assert_eq!(again[0]["acknowledged_why"], "holiday");
    let told = world.daemon.log().matches("\"news\":\"opened\"").count();
    assert_eq!(told, 1, "{}", world.daemon.log());

    world.cli().run(&["key", "revoke", &key.id]).ok();
    let changed = wait::until("the finding to open again", || {
        findings(&world, &[])
            .into_iter()
            .find(|finding| finding["state"] == "open")
    });
    assert_eq!(changed["reason"], "KEY-REVOKED");
    let gone = world.cli().run(&["findings", "show", "W0000000000000000"]);
    gone.exits(NOT_FOUND);
}

#[test]
fn a_key_that_bascule_never_issued_is_watched_once_it_is_marked_as_dead() {
    let Some(world) = World::new() else { return };
    let credentials =
        "[work]\naws_access_key_id = AKIAFOUND00000000001\naws_secret_access_key = hunter2\n";
    let file = write(&world.home, "home/.aws/credentials", credentials);
    let mark = [
        "key",
        "mark-dead",
        "AKIAFOUND00000000001",
        "--reason",
        "left the firm",
    ];
    world.cli().run(&["findings", "--look"]).ok();
    let marked = world.cli().run(&mark).ok();
    assert_eq!(marked["findings"].as_array().unwrap().len(), 1, "{marked}");
    let found = wait_for(&world, 1);
    assert_eq!(found[0]["reason"], "KEY-DEAD-ELSEWHERE");
    assert_eq!(found[0]["kind"], "aws");
    let scan = world
        .cli()
        .run(&["scan", "--skip", "processes", "--skip", "jobs"])
        .exits(FINDINGS)
        .json;
    assert_eq!(scan["keys"][0]["state"]["state"], "marked-dead");
    assert_eq!(scan["keys"][0]["state"]["why"], "left the firm");

    // A copy of it under another tool is found when it comes.
    world.rclone_config(
        "[w]\ntype = s3\naccess_key_id = AKIAFOUND00000000001\nsecret_access_key = x\n",
    );
    wait_for(&world, 2);
    std::fs::remove_file(&file).unwrap();
    wait_for(&world, 1);
    world
        .cli()
        .run(&["key", "mark-dead", "AKIAFOUND00000000001", "--undo"])
        .ok();
    assert_eq!(findings(&world, &[]), Vec::<Value>::new());
    let again = world
        .cli()
        .run(&["key", "mark-dead", "AKIAFOUND00000000001", "--undo"]);
    again.exits(NOT_FOUND);
}

#[test]
fn a_living_key_of_ours_is_not_marked_but_revoked() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let refused = world.cli().run(&["key", "mark-dead", &key.id]);
    assert_eq!(refused.error()["kind"], "REFUSED");
    assert!(
        refused.error()["next"]
            .as_str()
            .unwrap()
            .contains("key revoke")
    );
    let (id, _) = world.minio.credentials();
    let brought = world.cli().run(&["key", "mark-dead", id]);
    assert!(
        brought.error()["next"]
            .as_str()
            .unwrap()
            .contains("credentials photos")
    );
}

#[test]
fn a_look_without_a_daemon_tells_keys_chains_and_what_was_not_checked() {
    let home = Home::new();
    let cli = Cli::new(&home);
    let empty = cli
        .run(&["scan", "--skip", "processes", "--skip", "jobs"])
        .exits(0)
        .json;
    assert_eq!(empty["keys"], json!([]));
    assert_eq!(empty["summary"]["daemon_asked"], false);
    write(
        &home,
        "home/.config/rclone/rclone.conf",
        "[r2]\ntype = s3\naccess_key_id = AKIAFOUND00000007F3Q\nsecret_access_key = hunter2\n",
    );
    let scan = cli
        .run(&["scan", "--skip", "processes", "--skip", "jobs"])
        .exits(0);
    assert_eq!(scan.json["keys"][0]["key"], "…7F3Q", "{scan}");
    assert_eq!(scan.json["keys"][0]["state"], Value::Null);
    assert!(
        !scan.text().contains("hunter2") && !scan.text().contains("AKIAFOUND"),
        "{scan}"
    );
    // What else runs on this machine may have gaps.
    let who = cli.run(&["who", "7F3Q"]).json;
    assert_eq!(who["keys"][0]["uses"][0]["place"]["line"], 3, "{who}");
    cli.run(&["who", "rclone:nothing"]).exits(NOT_FOUND);
    cli.run(&["who", "aws:"]).exits(2);
    write(
        &home,
        "home/.config/rclone/rclone.conf",
        "RCLONE_ENCRYPT_V0:\nabc\n",
    );
    let encrypted = cli
        .run(&["scan", "--skip", "processes", "--skip", "jobs"])
        .exits(INCOMPLETE)
        .json;
    let gap = &encrypted["not_checked"][0];
    assert!(gap["why"].as_str().unwrap().contains("encrypted"), "{gap}");
    assert!(!gap["remedy"].as_str().unwrap().is_empty(), "{gap}");
    // What may stand in the part that was not looked at is not said to be nowhere.
    let lost = cli.run(&["who", "7F3Q"]).exits(NOT_FOUND);
    let message = lost.error()["message"].to_string();
    assert!(message.contains("could not be looked at"), "{lost}");
}

#[test]
fn an_encrypted_configuration_is_opened_only_with_consent() {
    let home = Home::new();
    let cli = Cli::new(&home);
    let sealed = include_str!("../../daemon/watch/tests/fixtures/rclone-encrypted.conf");
    write(&home, "home/.config/rclone/rclone.conf", sealed);
    let ran = home.path("home/ran");
    let ask = write(
        &home,
        "home/ask",
        &format!("#!/bin/sh\ntouch {}\necho 'pässwörd½'\n", ran.display()),
    );
    std::fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let scan = |arguments: &[&str]| {
        let mut command = cli.command();
        command.env("RCLONE_PASSWORD_COMMAND", &ask).args(arguments);
        bascule_tests::cli::finish(command, "", arguments.join(" "))
    };
    let locked = scan(&["--json", "scan", "--skip", "processes", "--skip", "jobs"]);
    assert_eq!(locked.code, Some(INCOMPLETE), "{locked}");
    assert!(!ran.exists(), "nothing is run without consent");
    let opened = scan(&[
        "--json",
        "scan",
        "--unlock",
        "--skip",
        "processes",
        "--skip",
        "jobs",
    ]);
    assert_eq!(opened.code, Some(0), "{opened}");
    assert!(opened.stdout.contains("…0001"), "{opened}");
    assert!(!opened.text().contains("pässwörd"), "{opened}");
}
