//! No secret, and nothing that reveals a connection, is where it does not belong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, and why it is skipped on its standard error"
)]

use bascule_tests::{World, home::holds, memory, random_hex, runtime, tools, wait};
use http::Method;

#[test]
fn d1_d8_no_log_or_state_file_holds_a_secret_a_bucket_or_an_endpoint() {
    let settings = "[log]\nlevel = \"trace\"\nformat = \"json\"\n";
    let Some(mut world) = World::configured(settings) else {
        return;
    };
    let Some((user, password)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    let object = format!("object-{}", random_hex(8));
    world.connect_at(
        "photos",
        &[&bucket],
        &world.minio.endpoint(),
        (&user, &password),
    );
    let key = world.issue("photos", "laptop");
    let s3 = key.s3();
    s3.put(&bucket, &object, "x").unwrap();
    s3.list(&bucket).unwrap();
    s3.follow(&s3.presigned(&bucket, &object)).unwrap();
    let wrong = bascule_tests::S3::new(&key.endpoint, &key.id, &"y".repeat(40));
    assert_eq!(
        wrong
            .call(Method::GET, &format!("/{bucket}/{object}"), "")
            .unwrap()
            .status,
        403
    );

    let markers = [
        &key.secret,
        &password,
        &user,
        &bucket,
        &object,
        &world.minio.address(),
    ];
    let check = |world: &World, when: &str| {
        let mut looked_at = 0;
        for (path, bytes) in world
            .home
            .files("state")
            .into_iter()
            .chain(world.home.files("run"))
        {
            looked_at += 1;
            for marker in markers {
                assert!(
                    !holds(&bytes, marker),
                    "{when}: {marker} is in {}",
                    path.display()
                );
            }
            assert!(
                !holds(&bytes, &key.id),
                "{when}: the key's id is in {}",
                path.display()
            );
        }
        assert!(looked_at >= 3, "root key, store and key file are there");
        let log = world.daemon.log();
        assert!(log.contains("ready"), "{log}");
        for marker in markers {
            assert!(
                !log.contains(marker.as_str()),
                "{when}: {marker} is in the log"
            );
        }
    };
    check(&world, "in use");
    world.delete("photos", &[]).verdict("intact");
    assert_eq!(
        s3.call(Method::GET, &format!("/{bucket}/{object}"), "")
            .unwrap()
            .status,
        403
    );
    check(&world, "after the deletion");
    assert!(
        world.home.files("state/keys").is_empty(),
        "the connection's key file is destroyed"
    );
    assert!(
        world.home.files("state/manifests").is_empty(),
        "manifests are gone"
    );
    world.daemon.stop();
    check(&world, "stopped");
}

#[test]
fn a_receipt_holds_no_secret() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let done = world.delete("photos", &[]).verdict("intact");
    let receipt = world.receipt(done["id"].as_str().unwrap()).to_string();
    let (id, secret) = world.minio.credentials();
    for marker in [&*key.secret, &key.id, id, secret] {
        assert!(!receipt.contains(marker), "{receipt}");
    }
    assert!(
        receipt.contains(&key.id[key.id.len() - 4..]),
        "its last characters tell which it was"
    );
}

#[test]
fn a_process_table_shows_no_secret() {
    // The forms of the command line take none: an attempt is refused.
    let Some(world) = World::new() else { return };
    for option in [
        "--secret",
        "--secret-access-key",
        "--access-key",
        "--password",
    ] {
        let args = [
            "connect",
            "photos",
            "--provider",
            "minio",
            "--bucket",
            "b",
            option,
            "marker-0123456789",
        ];
        let answer = world.cli().run(&args);
        assert_eq!(answer.code, Some(bascule_tests::cli::USAGE), "{answer}");
    }
}

/// Everything that only an erased connection knew is gone from the daemon's memory, too: what
/// libraries copied, what was buffered for a request, and what told who had asked.
#[test]
fn d1_d11_nothing_of_an_erased_connection_is_left_in_memory() {
    let Some(world) = World::new() else { return };
    let Some((user, password)) = world.minio.user() else {
        return;
    };
    // Only this connection knows the endpoint.
    let recorder = bascule_tests::Recorder::start(&world.minio.address());
    let endpoint = recorder.endpoint();
    let bucket = world.minio.bucket();
    let planted = |what: &str| format!("{what}-{}", random_hex(8));
    let (prefix, agent, argument, reason) = (
        planted("prefix"),
        planted("agent"),
        planted("argument"),
        planted("reason"),
    );
    world.connect_at("photos", &[&bucket], &endpoint, (&user, &password));
    let issue = [
        "key", "issue", "photos", "--label", "laptop", "--prefix", &prefix,
    ];
    let issued = world
        .cli()
        .run(&[&issue[..], &["--reason", &reason]].concat());
    let key = bascule_tests::Issued::of(&issued.ok());
    let limit = ["limit", "photos", "--requests", "50", "--reason", &reason];
    world.cli().run(&limit).ok();
    let file = world.home.write(&argument, "content");
    let object = format!("gate:{bucket}/{prefix}/object");
    for _ in 0..3 {
        // Not from a file: what a file tells of a key is the user's, and it is watched.
        let mut rclone = world.home.command(&tools::get("rclone"));
        for (name, value) in [
            ("TYPE", "s3"),
            ("PROVIDER", "Other"),
            ("ACCESS_KEY_ID", &key.id),
            ("SECRET_ACCESS_KEY", &key.secret),
            ("ENDPOINT", &key.endpoint),
        ] {
            rclone.env(format!("RCLONE_CONFIG_GATE_{name}"), value);
        }
        rclone.args([
            "copyto",
            file.to_str().unwrap(),
            &object,
            "--user-agent",
            &agent,
        ]);
        rclone.args(["--ignore-times", "--s3-no-check-bucket", "--config", ""]);
        let output = rclone.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    // A client that keeps its connection open, past the end.
    let s3 = key.s3();
    let path = format!("/{bucket}/{prefix}/object");
    let get = |agent: &str| {
        let headers = [("user-agent", agent)];
        let asked = s3.send_with(Method::GET, &path, &[], &headers, "");
        runtime().block_on(asked).unwrap().status
    };
    assert_eq!(get(&agent), 200);
    s3.follow(&s3.presigned(&bucket, &format!("{prefix}/object")))
        .unwrap();
    world.cli().run(&["usage", "photos", "--by", "tool"]).ok();
    world.cli().run(&["show", "photos"]).ok();

    let address = endpoint.trim_start_matches("http://");
    let markers = [
        &*user,
        &password,
        &bucket,
        address,
        &prefix,
        &agent,
        &argument,
        &reason,
        &key.id,
        &key.secret,
    ];
    let Some(before) = memory::find(world.daemon.pid(), &markers) else {
        eprintln!("skipped: only root can read the memory of a hardened process");
        return;
    };
    for needed in [&*user, &password, &bucket, &key.id, &key.secret] {
        assert!(
            before.iter().any(|place| place.text == needed),
            "{needed} is in use, so the search has to find it"
        );
    }
    world
        .delete("photos", &["--ack", "survey-complete"])
        .verdict("intact");
    // A refusal is new, and who is refused is told.
    assert_eq!(get("later"), 403);
    drop(s3);
    // The README says that stacks are not wiped.
    let left = || {
        let mut places = memory::find(world.daemon.pid(), &markers).expect("it was read before");
        places.retain(|place| !place.is_left_on_a_stack);
        places
    };
    // What a closed connection holds ends with its task. What stays is shown below.
    let limit = std::time::Duration::from_secs(30);
    let places = wait::gone_within(limit, left);
    for place in &places {
        eprintln!("{} in {}: {}", place.text, place.mapping, place.around);
    }
    assert!(
        places.is_empty(),
        "{} of {} places are left",
        places.len(),
        before.len()
    );
    for (path, bytes) in ["state", "run", "tmp"]
        .iter()
        .flat_map(|part| world.home.files(part))
    {
        for marker in markers {
            assert!(!holds(&bytes, marker), "{marker} is in {}", path.display());
        }
    }
    let log = world.daemon.log();
    for marker in markers {
        assert!(!log.contains(marker), "{marker} is in the log");
    }
}

/// What a refusal tells its client, and what is kept of it, holds no signature: neither the one that
/// was sent nor the one that would have been right.
#[test]
fn d9_no_answer_log_or_record_of_a_refusal_holds_a_signature() {
    let Some(world) = World::configured("[log]\nlevel = \"trace\"\n") else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let s3 = key.s3();
    s3.put(&bucket, "object", "x").unwrap();
    let link = s3.presigned(&bucket, "object");
    let (_, right) = link.split_once("X-Amz-Signature=").expect("a signature");
    let right = right.split('&').next().unwrap().to_owned();
    let sent: String = right.chars().rev().collect();
    let wrong = link.replace(&right, &sent);
    let mut told = Vec::new();
    let mut refused = |link: &str| {
        let reply = s3.follow(link).unwrap();
        assert_eq!(reply.status, 403);
        told.push(format!("{:?} {}", reply.headers, reply.text()));
    };
    refused(&wrong);
    world.cli().run(&["key", "revoke", &key.id]).ok();
    refused(&link);
    let path = format!("/{bucket}/object");
    let headers = [
        ("user-agent", "planted-agent/1"),
        ("cookie", "planted-cookie"),
    ];
    let asked = runtime().block_on(s3.send_with(Method::GET, &path, &[], &headers, ""));
    let reply = asked.unwrap();
    assert_eq!(reply.status, 403);
    told.push(format!("{:?} {}", reply.headers, reply.text()));
    for args in [
        &["audit"][..],
        &["findings"],
        &["usage", "photos", "--by", "tool"],
        &["status"],
        &["metrics"],
    ] {
        told.push(world.cli().say(args).to_string());
    }
    told.push(world.daemon.log());
    for text in &told {
        for secret in [
            &*right,
            &sent,
            "planted-cookie",
            "planted-token",
            &key.secret,
        ] {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
    }
    // What is no secret is kept: it is how a tool is found.
    let kept = told.iter().any(|text| text.contains("planted-agent"));
    assert!(kept, "{told:#?}");
}

/// Sensitive headers of a request, and secrets of a change, are nowhere in the audit and the records;
/// what tells who it was and what was done is.
#[test]
fn d10_audit_and_records_leave_out_what_is_sensitive_and_keep_the_rest() {
    let Some(world) = World::configured("[log]\nlevel = \"trace\"\n") else {
        return;
    };
    let Some((user, password)) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    let pair = format!("{user}\n{password}\n");
    let cli = world.cli();
    cli.run_with(&["credentials", "photos", "--credentials-stdin"], &pair)
        .ok();
    let revoke = ["key", "revoke", &key.id, "--reason", "the laptop is gone"];
    cli.run(&revoke).ok();
    let s3 = key.s3();
    let path = format!("/{bucket}/object");
    let agent = ("user-agent", "planted-agent/1");
    let customer_key = "x-amz-server-side-encryption-customer-key";
    for (sensitive, status) in [
        (
            [
                ("cookie", "planted-cookie"),
                ("proxy-authorization", "planted-proxy"),
            ],
            403,
        ),
        (
            [
                ("x-amz-security-token", "planted-token"),
                (customer_key, "planted-customer-key"),
            ],
            400,
        ),
    ] {
        let headers = [&[agent], &sensitive[..]].concat();
        let asked = runtime().block_on(s3.send_with(Method::GET, &path, &[], &headers, ""));
        assert_eq!(asked.unwrap().status, status);
    }

    let audit = cli.run(&["audit"]).ok();
    let findings = cli.run(&["findings"]).text();
    let told = format!("{audit} {findings} {}", world.daemon.log());
    for sensitive in [
        &*user,
        &password,
        world.minio.credentials().1,
        &key.secret,
        "planted-cookie",
        "planted-token",
        "planted-customer-key",
        "planted-proxy",
        "AWS4-HMAC-SHA256",
    ] {
        assert!(!told.contains(sensitive), "{sensitive} is in {told}");
    }
    let entry = |change: &str| {
        let mut entries = audit["entries"].as_array().unwrap().iter();
        entries.find(|entry| entry["change"] == change).unwrap()
    };
    // Which key it was is told by its last characters.
    let replaced = &entry("credentials-replaced")["differences"][0];
    assert_eq!(replaced["part"], "provider-key");
    let masked = format!("…{}", &user[user.len() - 4..]);
    assert_eq!(replaced["to"][0], masked.as_str());
    let revoked = entry("key-revoked");
    assert_eq!(revoked["reason"], "the laptop is gone");
    assert_eq!(revoked["label"], "laptop");
    assert_eq!(revoked["connection"], "photos");
    assert!(findings.contains("planted-agent"), "{findings}");
}
