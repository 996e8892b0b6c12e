//! People hear of findings without asking: each news once, also over a restart, through every channel, and
//! never with a secret.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{fmt::Write, os::unix::fs::PermissionsExt, path::Path};

use aws_lc_rs::hmac;
use bascule_tests::{
    Home, Issued, Minio, World,
    daemon::Start,
    desktop::Desktop,
    receiver::{Posted, Receiver},
    wait,
};
use serde_json::{Value, json};

const SECRET: &str = "a secret of the user's";

/// A world whose daemon has settings that may name files of its home.
struct Told {
    world: World,
    start: Start,
}

impl Told {
    /// `None` when the test is to be skipped.
    fn new(settings: impl FnOnce(&Home) -> String, start: Start) -> Option<Self> {
        let minio = Minio::shared()?;
        let home = Home::new();
        let file = home.write("config.toml", &settings(&home));
        let start = start.arg("--config").arg(file);
        let daemon = start.run(&home);
        let world = World {
            daemon,
            home,
            minio,
        };
        Some(Self { world, start })
    }

    /// One rclone remote with a key of its own, looked at once.
    fn remote(&self) -> Issued {
        let bucket = self.world.minio.bucket();
        self.world.connect("photos", &[&bucket]);
        let key = self.world.issue("photos", "laptop");
        self.world.rclone_config(&key.rclone_section("gate"));
        self.world.cli().run(&["findings", "--look"]).ok();
        key
    }

    fn run(&self, args: &[&str]) -> Value {
        self.world.cli().run(args).ok()
    }

    fn findings(&self) -> Vec<Value> {
        self.run(&["findings"])["findings"]
            .as_array()
            .unwrap()
            .clone()
    }

    fn channel(&self, name: &str) -> Value {
        let all = self.run(&["alerts"]);
        let all = all["channels"].as_array().unwrap();
        all.iter()
            .find(|one| one["channel"] == name)
            .unwrap()
            .clone()
    }
}

fn signed(home: &Home, receiver: &Receiver) -> String {
    let secret = home.write("secret", &format!("{SECRET}\n"));
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let url = receiver.url("/hook?from=attic");
    format!("[alerts.webhook]\nurl = {url:?}\nsecret_file = {secret:?}\n")
}

/// Checks the signature as a receiver would, without any code of ours.
fn verify(posted: &Posted) {
    let stamp = posted.header("x-bascule-timestamp");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{stamp}.{}", posted.body).as_bytes());
    let mut expected = "sha256=".to_owned();
    for byte in tag.as_ref() {
        write!(expected, "{byte:02x}").unwrap();
    }
    assert_eq!(posted.header("x-bascule-signature"), expected);
}

fn delivered(receiver: &Receiver) -> Vec<Value> {
    let posted = receiver.posted().into_iter();
    let taken = posted.filter(|one| one.status.is_success());
    taken.map(|one| one.json()["event"].clone()).collect()
}

#[test]
fn a_webhook_hears_each_news_once_signed_and_without_secrets_also_over_restarts() {
    let receiver = Receiver::start();
    let Some(mut told) = Told::new(|home| signed(home, &receiver), Start::new()) else {
        return;
    };
    let key = told.remote();
    receiver.answer_next(500);
    told.run(&["key", "pause", &key.id]);
    let posted = receiver.wait_for(2);
    let (failed, taken) = (posted[0].json(), posted[1].json());
    assert_eq!(failed["id"], taken["id"], "the same alert, tried again");
    assert_eq!(taken["event"], "opened");
    assert_eq!(taken["open"], 1);
    assert_eq!(taken["finding"]["reason"], "KEY-PAUSED");
    assert_eq!(posted[1].target, "/hook?from=attic");
    let mut shown = told.findings()[0].clone();
    shown["news"] = json!("opened");
    assert_eq!(taken["finding"], shown, "the document of bascule findings");

    // The next daemon knows what was told.
    told.world.daemon.kill();
    told.world.daemon.restart_as(&told.world.home, &told.start);
    wait::until("the finding to be seen again", || {
        (told.findings().len() == 1).then_some(())
    });
    told.run(&["key", "revoke", &key.id]);
    let posted = receiver.wait_for(3);
    assert_eq!(posted[2].json()["event"], "changed");
    assert_eq!(posted[2].json()["finding"]["reason"], "KEY-REVOKED");
    assert_eq!(posted[2].json()["finding"]["id"], taken["finding"]["id"]);

    // Mended while nobody looked.
    assert!(told.world.daemon.stop().success());
    told.world.rclone_config("");
    told.world.daemon.restart_as(&told.world.home, &told.start);
    let posted = receiver.wait_for(4);
    assert_eq!(posted[3].json()["event"], "resolved");
    assert_eq!(posted[3].json()["finding"]["id"], taken["finding"]["id"]);
    assert_eq!(posted[3].json()["open"], 0);

    // Anything that was told twice would have come before this.
    told.run(&["alerts", "test"]);
    assert_eq!(
        delivered(&receiver),
        ["opened", "changed", "resolved", "test"]
    );
    let log = told.world.daemon.log();
    for posted in receiver.posted() {
        verify(&posted);
        let heads = format!("{:?}", posted.headers);
        for secret in [&*key.id, &*key.secret, SECRET] {
            assert!(!posted.body.contains(secret), "{posted:?}");
            assert!(!heads.contains(secret), "{posted:?}");
            assert!(!log.contains(secret));
        }
    }
    let line = log
        .lines()
        .find(|line| line.contains("\"news\":\"opened\""))
        .unwrap();
    for part in [
        "KEY-PAUSED",
        "gate: (s3) → ",
        "rclone.conf:4",
        "\"key\":\"…",
    ] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_file_that_can_not_be_read_after_a_restart_resolves_nothing() {
    let receiver = Receiver::start();
    let Some(mut told) = Told::new(|home| signed(home, &receiver), Start::new()) else {
        return;
    };
    let key = told.remote();
    told.run(&["key", "revoke", &key.id]);
    let opened = receiver.wait_for(1)[0].json();
    assert!(told.world.daemon.stop().success());
    // Encrypted: what is in it can't be told.
    let file = told.world.rclone_config("RCLONE_ENCRYPT_V0:\nabc\n");
    told.world.daemon.restart_as(&told.world.home, &told.start);
    told.run(&["findings", "--look"]);
    assert_eq!(told.findings(), Vec::<Value>::new());
    let resolved = || told.world.daemon.log().contains("mended or gone");
    assert!(!resolved(), "what can't be read is not gone");
    std::fs::remove_file(file).unwrap();
    let resolved = receiver.wait_for(2)[1].json();
    assert_eq!(resolved["event"], "resolved");
    assert_eq!(resolved["finding"]["id"], opened["finding"]["id"]);
}

#[test]
fn a_command_gets_each_document_and_nothing_of_what_is_acknowledged() {
    let settings = |home: &Home| {
        let heard = home.path("work/heard");
        let script = "cat >> \"$0\"; echo heard it";
        format!("[alerts]\ncommand = [\"/bin/sh\", \"-c\", {script:?}, {heard:?}]\n")
    };
    let Some(told) = Told::new(settings, Start::new().env("HUNTER", "hunter2")) else {
        return;
    };
    let heard = told.world.home.path("work/heard");
    let key = told.remote();
    told.run(&["key", "pause", &key.id]);
    let first = lines(&heard, 1);
    assert_eq!(first[0]["event"], "opened");
    let id = first[0]["finding"]["id"].as_str().unwrap();
    told.run(&["findings", "ack", id, "--why", "holiday"]);
    // Its end is no news either.
    told.run(&["key", "resume", &key.id]);
    wait::until("the finding to be gone", || {
        told.findings().is_empty().then_some(())
    });
    told.run(&["key", "revoke", &key.id]);
    let both = lines(&heard, 2);
    assert_eq!(both[1]["event"], "opened");
    assert_eq!(both[1]["finding"]["reason"], "KEY-REVOKED");
    told.run(&["alerts", "test"]);
    let events: Vec<_> = lines(&heard, 3)
        .iter()
        .map(|one| one["event"].clone())
        .collect();
    assert_eq!(events, ["opened", "opened", "test"]);
    assert!(told.world.daemon.log().contains("heard it"));
    let text = std::fs::read_to_string(&heard).unwrap();
    for secret in [&key.id, &key.secret] {
        assert!(!text.contains(secret.as_str()), "{text}");
    }
}

/// Waits for so many documents in a file.
fn lines(file: &Path, number: usize) -> Vec<Value> {
    wait::until(&format!("{number} documents"), || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let found: Vec<_> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        (found.len() >= number).then_some(found)
    })
}

#[test]
fn many_at_once_are_one_summary_and_ntfy_reads_it_as_a_person_does() {
    let receiver = Receiver::start();
    let url = receiver.url("/topic");
    let settings = format!("[alerts.webhook]\nurl = {url:?}\npreset = \"ntfy\"\n");
    let Some(told) = Told::new(|_| settings, Start::new()) else {
        return;
    };
    let key = told.remote();
    let remotes = (0..8).map(|n| key.rclone_section(&format!("gate{n}")));
    told.world.rclone_config(&remotes.collect::<String>());
    told.run(&["findings", "--look"]);
    told.run(&["key", "revoke", &key.id]);
    let posted = receiver.wait_for(1);
    let title = posted[0].header("title");
    assert!(
        title.ends_with(": 8 uses of keys that do not work"),
        "{title}"
    );
    assert_eq!(posted[0].header("priority"), "default");
    assert!(
        posted[0].body.starts_with("Open now: 8."),
        "{}",
        posted[0].body
    );
    assert_eq!(posted[0].body.matches("KEY-REVOKED").count(), 8);

    // A few are told one by one.
    told.world.rclone_config(&key.rclone_section("gate0"));
    let posted = receiver.wait_for(2);
    assert!(
        posted[1]
            .header("title")
            .contains("7 findings are resolved"),
        "{posted:?}"
    );
    told.world.rclone_config("");
    let posted = receiver.wait_for(3);
    assert!(
        posted[2].header("title").contains("Resolved: "),
        "{posted:?}"
    );
    assert_eq!(posted[2].header("priority"), "low");
    assert!(posted[2].header("tags").contains("check_mark"));
}

#[test]
fn healthchecks_is_down_while_something_is_open_and_nobody_knows_of_it() {
    let receiver = Receiver::start();
    let url = receiver.url("/uuid");
    let settings = format!("[alerts.webhook]\nurl = {url:?}\npreset = \"healthchecks\"\n");
    let Some(told) = Told::new(|_| settings, Start::new()) else {
        return;
    };
    let key = told.remote();
    told.run(&["key", "pause", &key.id]);
    let failed = receiver.wait_for(1);
    assert_eq!(failed[0].target, "/uuid/fail");
    assert!(failed[0].body.contains("KEY-PAUSED"), "{failed:?}");
    let id = told.findings()[0]["id"].as_str().unwrap().to_owned();
    told.run(&["findings", "ack", &id, "--why", "holiday"]);
    assert_eq!(receiver.wait_for(2)[1].target, "/uuid");
    // What a tool is refused has no end, so it is only noted.
    let bucket = told.run(&["show", "photos"])["connection"]["buckets"][0].clone();
    let path = format!("/{}/x", bucket.as_str().unwrap());
    let reply = key.s3().call(http::Method::GET, &path, "").unwrap();
    assert_eq!(reply.status, 403);
    assert_eq!(receiver.wait_for(3)[2].target, "/uuid/log");
}

#[test]
fn a_test_tells_of_every_channel_whether_it_arrived_or_why_not_and_what_to_do() {
    let receiver = Receiver::start();
    let settings = |home: &Home| {
        let command = "[alerts]\ndesktop = true\ncommand = [\"/bin/sh\", \"-c\", \"echo no phone >&2; exit 3\"]\n";
        format!("{command}{}", signed(home, &receiver))
    };
    let Some(told) = Told::new(settings, Start::new()) else {
        return;
    };
    receiver.answer(403);
    let answer = told.world.cli().run(&["alerts", "test"]).exits(1);
    let tests = answer.json["tests"].as_array().unwrap();
    let of = |name: &str| tests.iter().find(|one| one["channel"] == name).unwrap();
    assert_eq!(of("journal")["delivered"], true);
    for (channel, why) in [
        ("desktop", "no session bus"),
        ("webhook", "403"),
        ("command", "no phone"),
    ] {
        let failure = &of(channel)["failure"];
        assert!(failure["why"].as_str().unwrap().contains(why), "{failure}");
        assert!(
            failure["next"].as_str().unwrap().contains("alerts"),
            "{failure}"
        );
        let listed = told.channel(channel);
        assert_eq!(listed["last_failure"]["why"], failure["why"]);
        assert_eq!(listed["last_success_at"], Value::Null);
    }
    assert_eq!(receiver.posted().len(), 1, "a test is sent once");
    let said = told.world.cli().say(&["alerts", "test"]).exits(1);
    assert!(
        said.stdout.contains("next:") && said.stdout.contains("delivered"),
        "{said}"
    );
    // The address may hold a secret.
    assert!(!answer.text().contains("from=attic"), "{answer}");

    receiver.answer(204);
    told.world.cli().run(&["alerts", "test"]).exits(1);
    assert!(told.channel("webhook")["last_success_at"].is_string());
    told.world.cli().say(&["alerts"]).exits(0);
}

#[test]
fn an_alert_that_is_given_up_is_said_until_one_arrives() {
    let receiver = Receiver::start();
    let Some(told) = Told::new(|home| signed(home, &receiver), Start::new()) else {
        return;
    };
    assert_eq!(told.run(&["status"])["troubles"], json!([]));
    assert!(told.channel("desktop")["off"].is_string());
    assert!(told.channel("command")["off"].is_string());
    let key = told.remote();
    receiver.answer(404);
    told.run(&["key", "pause", &key.id]);
    wait::until("the trouble to be said", || {
        let troubles = told.run(&["status"])["troubles"].to_string();
        (troubles.contains("alerts by webhook") && troubles.contains("404")).then_some(())
    });
    assert_eq!(told.channel("webhook")["lost"], 1);
    assert_eq!(receiver.posted().len(), 1, "404 stays 404");
    receiver.answer(200);
    told.run(&["key", "revoke", &key.id]);
    wait::until("the trouble to be over", || {
        (told.run(&["status"])["troubles"] == json!([])).then_some(())
    });
}

#[test]
fn a_desktop_shows_a_finding_and_replaces_it_by_what_becomes_of_it() {
    let Some(desktop) = Desktop::start() else {
        return;
    };
    let start = Start::new().env("DBUS_SESSION_BUS_ADDRESS", &desktop.address);
    let Some(told) = Told::new(|_| "[alerts]\ndesktop = true\n".into(), start) else {
        return;
    };
    told.run(&["alerts", "test"]);
    assert!(desktop.wait_for(1)[0].title.contains("test"));
    let key = told.remote();
    told.run(&["key", "pause", &key.id]);
    let opened = desktop.wait_for(2)[1].clone();
    assert_eq!((opened.replaces, opened.urgency), (0, 1));
    assert!(opened.text.contains("KEY-PAUSED: key …"), "{opened:?}");
    assert!(!opened.text.contains(&key.id), "{opened:?}");
    told.run(&["key", "revoke", &key.id]);
    let changed = desktop.wait_for(3)[2].clone();
    assert_eq!(changed.replaces, opened.number, "{changed:?}");
    assert!(changed.title.starts_with("Changed: "), "{changed:?}");
    told.world.rclone_config("");
    let resolved = desktop.wait_for(4)[3].clone();
    assert_eq!((resolved.replaces, resolved.urgency), (opened.number, 0));
}

#[test]
fn settings_that_can_not_work_are_named_before_anything_is_opened() {
    let home = Home::new();
    let file = home.write(
        "config.toml",
        "[alerts]\n[alerts.webhook]\nurl = \"http://10.0.0.1/x\"\n",
    );
    let mut daemon = Start::new().arg("--config").arg(file).spawn(&home);
    let status = daemon.wait("the daemon to refuse its settings");
    assert_eq!(status.code(), Some(bascule_tests::cli::CONFIGURATION));
    assert!(
        daemon.output().contains("config.toml:3: "),
        "{}",
        daemon.output()
    );
    assert!(
        daemon.output().contains("allow_http"),
        "{}",
        daemon.output()
    );
    assert!(!home.state().exists());
}
