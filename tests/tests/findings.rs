//! What reaches a human when a tool is refused: the tool prints a command, and the command tells
//! which key it was and what to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Answer, Issued, Minio, Recorder, Treat, World, cli::NOT_FOUND};
use http::Method;
use serde_json::json;

/// The finding that a tool names in what it prints.
#[track_caller]
fn printed(answer: &Answer) -> String {
    let text = answer.text();
    let (_, rest) = text
        .split_once("bascule findings show F")
        .unwrap_or_else(|| panic!("no command in: {answer}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    assert!(!digits.is_empty(), "{answer}");
    format!("F{digits}")
}

fn finding(world: &World, id: &str) -> serde_json::Value {
    world.cli().run(&["findings", "show", id]).ok()["finding"].clone()
}

#[test]
fn r54_rclone_and_restic_print_the_command_that_explains() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let Some(init) = world.restic(&key, &bucket, &["init"]) else {
        return;
    };
    init.exits(0);
    world.rclone_config(&key.rclone_section("gate"));
    let list = ["lsf", &format!("gate:{bucket}")];
    world.rclone(&list).exits(0);
    assert_eq!(world.cli().run(&["findings"]).ok()["findings"], json!([]));

    world.cli().run(&["key", "revoke", &key.id]).ok();
    let id = printed(&world.rclone(&list));
    let found = finding(&world, &id);
    assert_eq!(
        (&found["id"], &found["reason"], &found["label"]),
        (&json!(id), &json!("KEY-REVOKED"), &json!("laptop"))
    );
    assert_eq!(
        (&found["connection"], &found["address"]),
        (&json!("photos"), &json!("127.0.0.1"))
    );
    let agent = found["user_agent"].as_str().unwrap();
    assert!(agent.contains("rclone"), "{found}");
    let times = found["count"].as_u64().unwrap();
    assert!(times > 0 && !found["next"].as_array().unwrap().is_empty());

    let snapshots = world
        .restic(&key, &bucket, &["snapshots", "--no-lock"])
        .unwrap();
    assert_eq!(printed(&snapshots), id, "one key and reason, one finding");
    assert!(finding(&world, &id)["count"].as_u64().unwrap() > times);

    let listed = world.cli().run(&["findings"]).ok();
    let all = listed["findings"].as_array().unwrap().iter();
    let knocks = all.filter(|finding| finding["sense"] == "knock");
    assert_eq!(knocks.count(), 1, "{listed}");
    assert!(!listed["not_checked"].as_array().unwrap().is_empty());
    let said = world.cli().say(&["findings", "show", &id]).exits(0);
    assert!(said.stdout.contains("bascule key issue photos"), "{said}");
    for secret in [&key.id, &key.secret] {
        assert!(!said.text().contains(secret), "{said}");
        assert!(!listed.to_string().contains(secret), "{listed}");
    }
    // Tools that hold the dead key are findings of their own.
    let status = world.cli().run(&["status"]).ok();
    assert!(status["findings"].as_u64() >= Some(1), "{status}");

    // Forgotten by a restart, and back under the same id with the next refusal.
    assert!(world.daemon.stop().success());
    world.daemon.restart(&world.home);
    let gone = world.cli().run(&["findings", "show", &id]).exits(NOT_FOUND);
    assert!(gone.error()["next"].is_string(), "{gone}");
    assert_eq!(printed(&world.rclone(&list)), id);
    assert_eq!(finding(&world, &id)["label"], "laptop");
}

#[test]
fn r54_a_key_without_the_right_is_told_so_and_what_it_wanted_is_kept() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let args = [
        "key",
        "issue",
        "photos",
        "--label",
        "viewer",
        "--permission",
        "read",
    ];
    let s3 = Issued::of(&world.cli().run(&args).ok()).s3();
    let path = format!("/{bucket}/new");
    let reply = s3.call(Method::PUT, &path, "x").unwrap();
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(
        reply
            .header("x-amz-request-id")
            .starts_with("NOT-PERMITTED-")
    );
    let command = reply.header("x-amz-id-2");
    let id = command
        .strip_prefix("run: bascule findings show ")
        .unwrap_or_else(|| panic!("{command}"));
    let found = finding(&world, id);
    assert_eq!(
        (&found["reason"], &found["operation"]),
        (&json!("NOT-PERMITTED"), &json!("PutObject"))
    );
    assert!(!found.to_string().contains(&bucket), "{found}");
    assert!(world.minio.s3().list(&bucket).unwrap().is_empty());
    // By name, of another connection, and of one that is not there.
    assert_eq!(
        world.cli().run(&["findings", "list", "photos"]).ok()["findings"][0]["id"],
        *id
    );
    world
        .cli()
        .run(&["findings", "list", "nobody"])
        .exits(NOT_FOUND);
}

#[test]
fn r46_credentials_that_the_provider_refuses_are_named_until_they_are_replaced() {
    let Some(minio) = Minio::start() else { return };
    let world = World::on(minio.into());
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    let Some((user, password)) = world.minio.user() else {
        return;
    };
    world.connect_at(
        "photos",
        &[&bucket],
        &world.minio.endpoint(),
        (&user, &password),
    );
    let s3 = world.issue("photos", "laptop").s3();
    assert_eq!(s3.get(&bucket, "kept").unwrap().body, "x");
    assert_eq!(world.cli().run(&["status"]).ok()["troubles"], json!([]));

    world.minio.mc(&["admin", "user", "remove", "here", &user]);
    let path = format!("/{bucket}/kept");
    let reply = s3.call(Method::GET, &path, "").unwrap();
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(
        reply
            .header("x-amz-request-id")
            .starts_with("PROVIDER-CREDENTIALS-")
    );
    for leaked in [&*user, "InvalidAccessKeyId", "MinIO"] {
        assert!(!reply.text().contains(leaked), "{}", reply.text());
        assert!(!format!("{:?}", reply.headers).contains(leaked));
    }
    let troubles = world.cli().run(&["status"]).ok()["troubles"].to_string();
    let shown = world.cli().run(&["show", "photos"]).ok()["connection"]["trouble"].to_string();
    for trouble in [troubles, shown] {
        assert!(
            trouble.contains("refuses") && trouble.contains("bascule credentials photos"),
            "{trouble}"
        );
    }
    let said = world.cli().say(&["status"]).exits(0);
    assert!(said.stdout.contains("bascule credentials photos"), "{said}");
    let flagged = world.cli().say(&["metrics"]).exits(0).stdout;
    assert!(
        flagged.contains("bascule_credentials_refused{connection=\"photos\"} 1"),
        "{flagged}"
    );

    let (user, password) = world.minio.user().unwrap();
    let replace = ["credentials", "photos", "--credentials-stdin"];
    let given = format!("{user}\n{password}\n");
    world.cli().run_with(&replace, &given).ok();
    assert_eq!(s3.get(&bucket, "kept").unwrap().body, "x");
    assert_eq!(world.cli().run(&["status"]).ok()["troubles"], json!([]));
    let shown = world.cli().run(&["show", "photos"]).ok();
    assert_eq!(shown["connection"]["trouble"], json!(null));
}

#[test]
fn r53_a_revocation_names_the_upload_whose_outcome_is_not_known() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let recorder = Recorder::start(&world.minio.address());
    let root = world.minio.credentials();
    world.connect_at("photos", &[&bucket], &recorder.endpoint(), root);
    let (slow, idle) = (world.issue("photos", "slow"), world.issue("photos", "idle"));
    recorder.rule(|seen| {
        if seen.may_mutate() {
            Treat::KeepAnswer
        } else {
            Treat::Pass
        }
    });
    let s3 = slow.s3();
    std::thread::scope(|scope| {
        let put = scope.spawn(|| s3.put(&bucket, "perhaps", "x").map(drop));
        recorder.wait_until_held(1);
        let revoked = world.cli().run(&["key", "revoke", &idle.id]).ok();
        assert_eq!(revoked["in_doubt"], json!([]), "{revoked}");
        let revoked = world.cli().run(&["key", "revoke", &slow.id]).ok();
        assert_eq!(
            revoked["in_doubt"],
            json!([{"operation": "PutObject", "bucket": bucket, "key": "perhaps"}]),
            "{revoked}"
        );
        recorder.pass();
        assert!(put.join().unwrap().is_err(), "its client was cut");
    });
}
