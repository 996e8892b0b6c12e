//! Who used which key, as the command line tells it: with real tools, after restarts and kills,
//! with the ledger's file gone, and as it happens.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::fs;

use bascule_tests::{
    Issued, Minio, World,
    cli::{self, NOT_FOUND, REFUSED},
    home::holds,
    machine::Boot,
    process::Process,
    runtime, wait,
};
use http::Method;
use serde_json::Value;

fn usage(world: &World, args: &[&str]) -> Value {
    let mut all = vec!["usage"];
    all.extend(args);
    world.cli().run(&all).ok()
}

/// The row that has this in a field.
fn row<'a>(report: &'a Value, field: &str, value: &str) -> &'a Value {
    let rows = report["rows"].as_array().expect("rows");
    rows.iter()
        .find(|row| row[field] == value)
        .unwrap_or_else(|| panic!("no row with {field} {value}: {report:#}"))
}

/// What a row counts of an operation: requests, bytes in and out.
fn did(row: &Value, operation: &str) -> (u64, u64, u64) {
    let all = row["operations"].as_array().expect("operations");
    all.iter()
        .find(|sums| sums["operation"] == operation)
        .map_or((0, 0, 0), |sums| {
            let figure = |name: &str| sums[name].as_u64().expect("a figure");
            (figure("requests"), figure("bytes_in"), figure("bytes_out"))
        })
}

fn causes(report: &Value) -> Vec<&str> {
    let gaps = report["gaps"].as_array().expect("gaps");
    gaps.iter()
        .filter_map(|gap| gap["cause"].as_str())
        .collect()
}

/// As a point in time: texts of RFC 3339 do not sort as times do ("…47.4Z", "…47.408Z").
fn time(row: &Value, field: &str) -> jiff::Timestamp {
    row[field].as_str().unwrap().parse().unwrap()
}

fn put(key: &Issued, bucket: &str, agent: &str, object: &str) {
    let path = format!("/{bucket}/{object}");
    let headers = [("user-agent", agent)];
    let s3 = key.s3();
    let sent = runtime().block_on(s3.send_with(Method::PUT, &path, &[], &headers, "12345"));
    assert_eq!(sent.unwrap().status, 200);
}

#[test]
fn real_tools_show_up_with_their_counts_and_the_last_use_survives_a_restart() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let shared = world.issue("photos", "shared");
    let spare = world.issue("photos", "spare");
    let file = world.home.write("five", &"x".repeat(5_000));
    world.rclone_config(&shared.rclone_section("gate"));
    let from = file.to_str().unwrap();
    world
        .rclone(&["copyto", from, &format!("gate:{bucket}/five")])
        .exits(0);
    for _ in 0..2 {
        let args = [
            "s3api",
            "get-object",
            "--bucket",
            &bucket,
            "--key",
            "five",
            "out",
        ];
        world.aws(&shared, &args).exits(0);
    }
    let missing = [
        "s3api",
        "put-bucket-policy",
        "--bucket",
        &bucket,
        "--policy",
        "{}",
    ];
    assert_ne!(world.aws(&shared, &missing).code, Some(0));

    let report = usage(&world, &["photos", "--by", "tool"]);
    let rclone = row(&report, "who", "rclone");
    let (requests, received, _) = did(rclone, "PutObject");
    assert_eq!((requests, received), (1, 5_000), "{rclone:#}");
    let aws = row(&report, "who", "aws-cli");
    assert_eq!(did(aws, "GetObject"), (2, 0, 10_000), "{aws:#}");
    assert_eq!(aws["refusals"], 1, "{aws:#}");
    assert_eq!(aws["refused"][0]["reason"], "NOT-PERMITTED", "{aws:#}");
    for row in [rclone, aws] {
        assert_eq!(
            (&row["key"], &row["label"]),
            (&Value::from(&*shared.id), &"shared".into())
        );
        assert!(time(row, "first_at") <= time(row, "last_at"), "{row:#}");
    }
    let by_key = usage(&world, &["photos"]);
    let both = row(&by_key, "label", "shared");
    assert_eq!(both["tools"], serde_json::json!(["aws-cli", "rclone"]));
    assert!(
        both["longest_interval_seconds"].as_f64().unwrap() > 0.0,
        "{both:#}"
    );
    assert_eq!(row(&by_key, "label", "spare")["last_at"], Value::Null);
    let by_address = usage(&world, &[&shared.id, "--by", "address"]);
    assert_eq!(row(&by_address, "who", "127.0.0.1")["key"], *shared.id);
    let by_label = usage(&world, &["photos/shared"]);
    assert_eq!(row(&by_label, "label", "shared")["key"], *shared.id);
    assert_eq!(by_label["rows"].as_array().unwrap().len(), 1);
    assert_eq!(world.cli().run(&["usage", "nobody"]).code, Some(NOT_FOUND));

    let last_use = |world: &World| {
        let listed = world.cli().run(&["key", "list", "photos"]).ok();
        let keys = listed["keys"].as_array().unwrap().clone();
        let of = |id: &str| {
            let key = keys.iter().find(|key| key["access_key_id"] == *id).unwrap();
            key["last_used_at"].clone()
        };
        (of(&shared.id), of(&spare.id))
    };
    let before = last_use(&world);
    assert!(before.0.is_string() && before.1.is_null(), "{before:?}");
    assert!(world.daemon.stop().success());
    world.daemon.restart(&world.home);
    assert_eq!(last_use(&world), before);
    let report = usage(&world, &["photos"]);
    assert_eq!(causes(&report), ["not-begun"], "a stop is no gap");
    assert_eq!(did(row(&report, "label", "shared"), "GetObject").0, 2);

    let text = world.cli().say(&["usage", "photos"]).exits(0).stdout;
    for said in [
        "ACTIVITY",
        "shared",
        "not used",
        "aws-cli, rclone",
        "unknown: before",
        "?",
    ] {
        assert!(text.contains(said), "{said}:\n{text}");
    }
}

#[test]
fn the_real_process_is_named_or_unknown_and_never_another() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "cron");
    let file = world.home.write("five", "12345");
    world.rclone_config(&key.rclone_section("gate"));
    // A run may be over before its process was seen.
    let seen = wait::until("rclone to be seen", || {
        let to = format!("gate:{bucket}/five");
        world
            .rclone(&["copyto", file.to_str().unwrap(), &to])
            .exits(0);
        let report = usage(&world, &["photos", "--by", "process"]);
        let rows = report["rows"].as_array().unwrap().clone();
        for row in &rows {
            let exe = row["process"]["exe"].as_str().unwrap_or_default();
            assert!(
                row["who"] == "unknown" || exe.ends_with("rclone"),
                "{row:#}"
            );
        }
        rows.into_iter().find(|row| row["process"].is_object())
    });
    let command = seen["process"]["command"].as_str().unwrap();
    assert!(command.contains("copyto"), "{seen:#}");
    assert!(seen["process"]["pid"].is_u64(), "{seen:#}");
    let text = world
        .cli()
        .say(&["usage", "--by", "process"])
        .exits(0)
        .stdout;
    assert!(
        text.contains("rclone") && text.contains("PROCESS"),
        "{text}"
    );
}

#[test]
fn under_systemd_the_unit_of_the_real_rclone_is_named() {
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
    let mut connect = vec![
        "connect",
        "photos",
        "--provider=minio",
        "--endpoint",
        &endpoint,
    ];
    connect.extend(["--bucket", &bucket, "--allow-http", "--credentials-stdin"]);
    bascule(&connect, &format!("{id}\n{secret}\n")).ok();
    let key = Issued::of(&bascule(&["key", "issue", "photos", "--label", "nightly"], "").ok());
    machine.install(
        "backup.service",
        &format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\n\
             ExecStart=/usr/local/bin/rclone copyto /etc/hostname \
             :s3:{bucket}/name --s3-provider=Other --s3-no-check-bucket --s3-force-path-style \
             --s3-endpoint={} --s3-access-key-id={} --s3-secret-access-key={}\n",
            key.endpoint, key.id, key.secret
        ),
    );
    // A run may be over before its process was seen.
    let seen = wait::until("the unit to be seen", || {
        machine.run(&["systemctl", "start", "backup"]).exits(0);
        let answer = bascule(&["usage", "photos", "--by", "process"], "").exits(0);
        assert!(!answer.text().contains(&key.secret), "{answer}");
        let rows = answer.json["rows"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["process"].is_object())
    });
    let process = &seen["process"];
    assert_eq!(process["unit"], "backup.service", "{seen:#}");
    assert_eq!(process["exe"], "/usr/local/bin/rclone", "{seen:#}");
    assert_eq!(process["container"], Value::Null, "{seen:#}");
    let command = process["command"].as_str().unwrap();
    assert!(command.contains("--s3-secret-access-key=***"), "{seen:#}");
}

#[test]
fn a_killed_daemon_has_counted_its_requests_or_says_that_it_does_not_know() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "busy");
    // Everything is written: a kill now loses nothing.
    put(&key, &bucket, "busy/1", "a");
    usage(&world, &["photos"]);
    world.daemon.kill();
    world.daemon.restart(&world.home);
    let report = usage(&world, &["photos"]);
    assert_eq!(causes(&report), ["not-begun"]);
    assert_eq!(did(row(&report, "label", "busy"), "PutObject").0, 1);
    let mut sent = 1;
    for round in 0..3 {
        for number in 0..=round {
            put(&key, &bucket, "busy/1", &format!("{round}-{number}"));
            sent += 1;
        }
        world.daemon.kill();
        world.daemon.restart(&world.home);
        let report = usage(&world, &["photos"]);
        let counted = did(row(&report, "label", "busy"), "PutObject").0;
        assert!(
            counted == sent || causes(&report).contains(&"killed"),
            "{counted} of {sent}, and nothing is said: {report:#}"
        );
        sent = counted;
    }
}

#[test]
fn requests_do_not_notice_that_the_ledger_is_lost() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "calm");
    let file = world.home.state().join("ledger.sqlite");
    put(&key, &bucket, "calm/1", "a");
    usage(&world, &["photos"]);

    for part in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{part}", file.display())).unwrap();
    }
    put(&key, &bucket, "calm/1", "b");
    let report = usage(&world, &["photos"]);
    assert_eq!(causes(&report), ["missing"]);
    assert_eq!(did(row(&report, "label", "calm"), "PutObject").0, 1);

    fs::remove_file(&file).unwrap();
    fs::write(&file, vec![7; 100_000]).unwrap();
    put(&key, &bucket, "calm/1", "c");
    let report = usage(&world, &["photos"]);
    assert_eq!(causes(&report), ["foreign"]);
    assert_eq!(did(row(&report, "label", "calm"), "PutObject").0, 1);
    let aside = world.home.state().join("ledger.sqlite.aside-1");
    assert_eq!(fs::read(aside).unwrap(), vec![7; 100_000]);
    let text = world.cli().say(&["usage", "photos"]).exits(0).stdout;
    assert!(
        text.contains("another file stood in the ledger's place"),
        "{text}"
    );
}

#[test]
fn d1_nothing_of_a_client_is_left_once_its_connection_is_deleted() {
    const AGENT: &str = "planted-agent-7c1e/1";
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let connection = world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "cron");
    put(&key, &bucket, AGENT, "a");
    let report = usage(&world, &["photos", "--by", "tool"]);
    row(&report, "who", "planted-agent-7c1e");
    let scan = |when: &str| {
        for (path, bytes) in world.home.files("state") {
            for text in ["planted-agent", &*bucket, "127.0.0.1"] {
                assert!(!holds(&bytes, text), "{when}: {text} in {}", path.display());
            }
        }
    };
    scan("while it lives");
    world
        .delete("photos", &["--ack", "survey-complete"])
        .exits(0);
    scan("after its end");
    let report = usage(&world, &[]);
    assert_eq!(report["rows"], serde_json::json!([]), "{connection:#}");
    // Its dead key still knocks: that is counted, and no client is named any more.
    let s3 = key.s3();
    let path = format!("/{bucket}/a");
    let headers = [("user-agent", AGENT)];
    let asked = runtime().block_on(s3.send_with(Method::GET, &path, &[], &headers, ""));
    assert_eq!(asked.unwrap().status, 403);
    let report = usage(&world, &["photos", "--by", "tool"]);
    let dead = row(&report, "who", "unknown");
    assert_eq!(
        (&dead["dead"], &dead["refusals"]),
        (&true.into(), &1.into())
    );
    scan("after a knock");
}

#[test]
fn without_a_ledger_it_is_said_how_to_switch_it_on() {
    let Some(world) = World::configured("[usage]\nenabled = false\n") else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    put(&world.issue("photos", "x"), &bucket, "x/1", "a");
    let answer = world.cli().run(&["usage"]).exits(REFUSED);
    let next = answer.error()["next"].to_string();
    assert!(next.contains("enabled = true under [usage]"), "{next}");
    let left = world.home.files("state");
    assert!(
        left.iter()
            .all(|(path, _)| !path.to_string_lossy().contains("ledger"))
    );
}

/// `bascule watch --json` with what it has printed.
struct Watch(Process);

impl Watch {
    fn start(world: &World, args: &[&str]) -> Self {
        let mut command = world.cli().command();
        command.arg("--json").arg("watch").args(args);
        let log = world
            .home
            .path(&format!("watch-{}", args.join("-").replace('/', "-")));
        let watch = Self(Process::start(command, &log));
        watch.wait_for("it to begin", |event| event["event"] == "watching");
        watch
    }

    fn events(&self) -> Vec<Value> {
        let text = self.0.output();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("a document a line"))
            .collect()
    }

    fn wait_for(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, || {
            self.events().into_iter().find(|event| wanted(event))
        })
    }

    fn end(mut self) {
        self.0.interrupt();
        assert_eq!(self.0.wait("it to end").code(), Some(130));
    }
}

#[test]
fn what_happens_can_be_watched_until_ctrl_c() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    world.connect("other", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let stranger = world.issue("other", "stranger");
    assert_eq!(world.cli().run(&["watch", "nobody"]).code, Some(NOT_FOUND));
    let (all, of_key) = (
        Watch::start(&world, &[]),
        Watch::start(&world, &["photos/laptop"]),
    );
    let of_connection = Watch::start(&world, &["photos"]);

    put(&stranger, &bucket, "stranger/1", "b");
    put(&key, &bucket, "rclone/1.0", "a");
    let event = of_key.wait_for("the request", |event| event["event"] == "requests");
    assert_eq!(event["requests"]["tool"], "rclone", "{event:#}");
    assert_eq!(
        (&event["key"], &event["label"], &event["connection"]),
        (&Value::from(&*key.id), &"laptop".into(), &"photos".into())
    );
    assert_eq!(did(&event["requests"], "PutObject"), (1, 5, 0), "{event:#}");
    all.wait_for("the stranger's request", |event| {
        event["label"] == "stranger"
    });

    let revoked = world.cli().run(&["key", "revoke", &key.id]).ok();
    let masked = revoked["key"]["access_key_id"].clone();
    let change = of_key.wait_for("the revocation", |event| event["event"] == "change");
    assert_eq!(change["change"]["what"], "key-revoked", "{change:#}");
    assert!(change["change"]["pid"].is_u64(), "{change:#}");
    let refused = key
        .s3()
        .call(Method::GET, &format!("/{bucket}/a"), "")
        .unwrap();
    assert_eq!(refused.status, 403);
    let finding = of_key.wait_for("the finding", |event| event["event"] == "finding");
    assert_eq!(finding["finding"]["reason"], "KEY-REVOKED", "{finding:#}");
    assert_eq!(finding["key"], masked, "{finding:#}");
    of_connection.wait_for("the finding", |event| event["event"] == "finding");
    of_key.wait_for("the refusal to be counted", |event| {
        event["requests"]["refused"][0]["reason"] == "KEY-REVOKED"
    });
    let foreign = |event: &Value| event["label"] == "stranger";
    assert!(
        !of_key.events().iter().any(foreign),
        "only what was asked for"
    );
    let dead = usage(&world, &["photos/laptop"]);
    assert_eq!(row(&dead, "label", "laptop")["key"], masked, "{dead:#}");
    for watch in [of_key, of_connection, all] {
        watch.end();
    }
}

#[test]
fn a_label_stands_for_both_keys_while_it_is_rotated() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let old = world.issue("photos", "laptop");
    let rotated = world.cli().run(&["key", "rotate", "photos/laptop"]).ok();
    let new = Issued::of(&rotated["issued"]);
    let watch = Watch::start(&world, &["photos/laptop"]);
    for key in [&old, &new] {
        put(key, &bucket, "rclone/1.0", "a");
        let whose = format!("the use of {}", key.id);
        watch.wait_for(&whose, |event| event["key"] == *key.id);
    }
    watch.end();
    let report = usage(&world, &["photos/laptop"]);
    for key in [&old, &new] {
        row(&report, "key", &key.id);
    }
    let audit = world.cli().run(&["audit", "photos/laptop"]).ok();
    let changes: Vec<_> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["change"])
        .collect();
    assert_eq!(changes, ["key-issued", "rotation-begun"]);
}

#[test]
fn a_slow_watcher_is_told_how_much_it_missed_and_holds_nothing_up() {
    const AGENTS: usize = 6_000;
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "busy");
    let watch = Watch::start(&world, &[]);
    watch.0.suspend();
    runtime().block_on(async {
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..8 {
            let s3 = key.s3();
            workers.spawn(async move {
                for number in 0..AGENTS / 8 {
                    let agent = format!("agent-{worker}-{number}/1");
                    let headers = [("user-agent", &*agent)];
                    let reply = s3.send_with(Method::GET, "/", &[], &headers, "").await;
                    assert_eq!(reply.unwrap().status, 200);
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.unwrap();
        }
    });
    let report = usage(&world, &["photos"]);
    let counted = did(row(&report, "label", "busy"), "ListBuckets").0;
    assert_eq!(
        counted, AGENTS as u64,
        "the ledger has them all: {report:#}"
    );
    watch.0.resume();
    let missed = watch.wait_for("it to say what it missed", |event| {
        event["event"] == "missed"
    });
    assert!(missed["missed"].as_u64().unwrap() > 0, "{missed}");
    watch.end();
}
