//! Who knocks with a dead key: the process is named, in what people ask for and in what they are told, and
//! so is that it does not give up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{os::unix::fs::PermissionsExt, path::Path};

use bascule_tests::{
    Cli, Clock, Home, Issued, Minio, World, cli, machine::Boot, process::Process,
    receiver::Receiver, tools, wait,
};
use serde_json::Value;

/// The findings of refusals.
fn knocks(cli: &Cli) -> Vec<Value> {
    let answer = cli.run(&["findings"]).ok();
    let all = answer["findings"].as_array().unwrap().iter();
    let refused = all.filter(|finding| finding["sense"] == "knock");
    refused.cloned().collect()
}

/// The process that a finding names, with how often it came.
fn named(finding: &Value) -> Option<&Value> {
    let callers = finding["callers"].as_array()?.iter();
    callers
        .into_iter()
        .find(|caller| caller["process"].is_object())
}

/// Keeps on trying for minutes.
fn stubborn(world: &World, key: &Issued, bucket: &str) -> Process {
    world.rclone_config(&key.rclone_section("gate"));
    let mut rclone = world.home.command(&tools::get("rclone"));
    rclone
        .args(["copy", &format!("gate:{bucket}"), "copied"])
        .args(["--retries", "10000", "--retries-sleep", "100ms"])
        .env("RCLONE_S3_SESSION_TOKEN", "");
    Process::start(rclone, &world.home.path("rclone.log"))
}

#[test]
fn h7_the_rclone_behind_a_dead_key_is_named_and_told_once_more_when_it_keeps_trying() {
    let Some(minio) = Minio::shared() else { return };
    let (home, receiver) = (Home::new(), Receiver::start());
    let secret = home.write("secret", "a secret of some length\n");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let url = receiver.url("/hook");
    let settings = format!("[alerts.webhook]\nurl = {url:?}\nsecret_file = {secret:?}\n");
    let settings = home.write("config.toml", &settings);
    let clock = Clock::new(&home);
    let daemon = clock.start().arg("--config").arg(settings).run(&home);
    let world = World {
        daemon,
        home,
        minio,
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "nightly");
    world.cli().run(&["key", "revoke", &key.id]).ok();
    let rclone = stubborn(&world, &key, &bucket);
    let found = wait::until("the process to be named", || {
        knocks(&world.cli())
            .into_iter()
            .find(|finding| named(finding).is_some())
    });
    let process = &named(&found).unwrap()["process"];
    assert_eq!(process["pid"], rclone.pid(), "{found:#}");
    assert!(process["exe"].as_str().unwrap().ends_with("/rclone"));
    let command = process["command"].as_str().unwrap();
    assert!(command.contains("copy gate:"), "{command}");
    assert_eq!(process["uid"], rustix::process::geteuid().as_raw());
    assert_eq!(named(&found).unwrap()["keeps_trying"], false, "{found:#}");

    let told = wait::until("the alert", || {
        let posted = receiver.posted().into_iter().map(|one| one.json());
        let knocks = posted.filter(|alert| alert["finding"]["sense"] == "knock");
        // A process that was not found at once is told as a change.
        let mut named = knocks.filter(|alert| named(&alert["finding"]).is_some());
        named.next()
    });
    let alerted = &named(&told["finding"]).unwrap()["process"];
    assert_eq!(alerted["pid"], rclone.pid(), "{told:#}");

    clock.pass(120);
    let kept = wait::until("it to be said that it keeps trying", || {
        let mut found = knocks(&world.cli()).into_iter();
        found.find(|finding| named(finding).is_some_and(|who| who["keeps_trying"] == true))
    });
    let times = named(&kept).unwrap()["count"].as_u64().unwrap();
    assert!(times >= 3, "{kept:#}");
    wait::until("the second alert", || {
        let posted = receiver.posted().into_iter().map(|one| one.json());
        let mut changed = posted.filter(|alert| {
            alert["event"] == "changed"
                && named(&alert["finding"]).is_some_and(|who| who["keeps_trying"] == true)
        });
        changed.next()
    });
    let id = kept["id"].as_str().unwrap();
    let said = world.cli().say(&["findings", "show", id]).exits(0);
    let who = format!("rclone (pid {})", rclone.pid());
    for expected in [&*who, "has tried", "it keeps trying", "copy gate:"] {
        assert!(said.stdout.contains(expected), "{expected} in {said}");
    }
    let listed = world.cli().say(&["findings"]).exits(0);
    assert!(listed.stdout.contains(&who), "{listed}");
    for text in [said.text(), world.daemon.log()] {
        assert!(!text.contains(&key.id) && !text.contains(&key.secret));
    }
}

#[test]
fn under_systemd_the_unit_behind_a_dead_key_is_named() {
    let Some(minio) = Minio::shared() else { return };
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    machine.install(
        "bascule.service",
        "[Service]\nRuntimeDirectory=bascule\nRuntimeDirectoryMode=0700\nStateDirectory=bascule\n\
         StateDirectoryMode=0700\nExecStart=/usr/local/bin/basculed --gateway=127.0.0.1:0 \
         --state-dir=/var/lib/bascule --runtime-dir=/run/bascule\n",
    );
    machine.run(&["systemctl", "start", "bascule"]).exits(0);
    let bascule = |args: &[&str], input: &str| {
        let all = ["bascule", "--json", "--socket=/run/bascule/bascule.sock"];
        let command = machine.command(&[&all[..], args].concat());
        cli::finish(command, input, args.join(" "))
    };
    wait::until("the daemon to answer", || {
        (bascule(&["status"], "").code == Some(0)).then_some(())
    });
    let (bucket, endpoint) = (minio.bucket(), minio.endpoint());
    let (id, secret) = minio.credentials();
    let mut connect = vec!["connect", "photos", "--provider=minio", "--endpoint"];
    connect.extend([&*endpoint, "--bucket", &bucket, "--allow-http"]);
    connect.push("--credentials-stdin");
    bascule(&connect, &format!("{id}\n{secret}\n")).ok();
    let key = Issued::of(&bascule(&["key", "issue", "photos", "--label", "nightly"], "").ok());
    bascule(&["key", "revoke", &key.id], "").ok();
    machine.install(
        "backup.service",
        &format!(
            "[Service]\nExecStart=/usr/local/bin/rclone copy :s3:{bucket} /tmp/copied \
             --retries=10000 --retries-sleep=100ms --s3-provider=Other --s3-no-check-bucket \
             --s3-force-path-style --s3-endpoint={} --s3-access-key-id={} \
             --s3-secret-access-key={}\n",
            key.endpoint, key.id, key.secret
        ),
    );
    machine.run(&["systemctl", "start", "backup"]).exits(0);
    let seen = wait::until("the unit to be seen", || {
        let answer = bascule(&["findings"], "").exits(0);
        assert!(!answer.text().contains(&key.secret), "{answer}");
        let all = answer.json["findings"].as_array().unwrap().clone();
        let mut refused = all.into_iter().filter(|one| one["sense"] == "knock");
        refused.find(|finding| named(finding).is_some())
    });
    assert!(!seen.to_string().contains(&key.id), "{seen:#}");
    let process = &named(&seen).unwrap()["process"];
    assert_eq!(process["unit"], "backup.service", "{seen:#}");
    assert_eq!(process["exe"], "/usr/local/bin/rclone", "{seen:#}");
    let command = Path::new(process["command"].as_str().unwrap());
    assert!(
        command
            .to_str()
            .unwrap()
            .contains("--s3-secret-access-key=***")
    );
}
