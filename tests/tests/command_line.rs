//! The command line as scripts rely on it: documents, errors, exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{
    Cli, Daemon, Home, Issued, Port, World,
    cli::{NO_DAEMON, NOT_FOUND, REFUSED, USAGE},
    tools,
};
use serde_json::json;

#[test]
fn without_a_daemon_the_command_that_starts_it_is_named() {
    let home = Home::new();
    let cli = Cli::new(&home);
    let answer = cli.run(&["list"]).exits(NO_DAEMON);
    assert_eq!(answer.error()["kind"], "NO_DAEMON");
    assert!(
        answer.error()["next"]
            .as_str()
            .unwrap()
            .contains("basculed"),
        "{answer}"
    );
    let said = cli.say(&["status"]).exits(NO_DAEMON);
    assert!(
        said.stderr.contains("basculed") && said.stdout.is_empty(),
        "{said}"
    );
}

#[test]
fn every_exit_code_is_documented() {
    let home = Home::new();
    let help = Cli::new(&home).say(&["--help"]).exits(0).stdout;
    for code in [0, 1, USAGE, NOT_FOUND, REFUSED, NO_DAEMON, 6, 7] {
        assert!(
            help.lines()
                .any(|line| line.trim_start().starts_with(&format!("{code} "))),
            "{code}\n{help}"
        );
    }
    assert!(help.contains("revoked, verdict pending"));
}

#[test]
fn mistakes_are_told_apart_by_kind_and_exit_code() {
    let home = Home::new();
    let _daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let folder = home.path("work/folder");
    std::fs::create_dir_all(folder.join("pictures")).unwrap();
    let path = folder.to_str().unwrap();
    let connect = |name| {
        cli.run(&[
            "connect",
            name,
            "--provider",
            "local",
            "--path",
            path,
            "--bucket",
            "pictures",
        ])
    };
    connect("photos").ok();
    for (args, code, kind) in [
        (&["show", "nothing"][..], NOT_FOUND, "NOT_FOUND"),
        (
            &["key", "issue", "nothing", "--label", "x"],
            NOT_FOUND,
            "NOT_FOUND",
        ),
        (&["deletion", "show", "nothing"], USAGE, "INVALID"),
        (
            &["delete", "photos", "--yes", "--ack", "everything"],
            USAGE,
            "INVALID",
        ),
        (
            &[
                "connect",
                "Bad Name!",
                "--provider",
                "local",
                "--path",
                "/",
                "--bucket",
                "b",
            ],
            USAGE,
            "INVALID",
        ),
        (&["frobnicate"], USAGE, "INVALID"),
    ] {
        let answer = cli.run(args).exits(code);
        assert_eq!(answer.error()["kind"], kind, "{answer}");
        assert!(!answer.error()["message"].as_str().unwrap().is_empty());
        assert!(
            answer.stdout.is_empty(),
            "a failed command prints no document: {answer}"
        );
    }
    let taken = connect("photos").exits(REFUSED);
    assert_eq!(taken.error()["kind"], "ALREADY_EXISTS", "{taken}");
}

#[test]
fn yes_stands_for_the_name_and_a_script_without_it_is_refused() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let refused = world.cli().run(&["delete", "photos"]);
    assert_ne!(
        refused.code,
        Some(0),
        "no terminal, nobody to ask: {refused}"
    );
    assert!(world.deletions().is_empty());
    world.delete("photos", &[]).verdict("intact");
}

#[test]
fn documents_have_the_fields_scripts_rely_on() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "folder/object", "x").unwrap();
    let connected = world.connect("photos", &[&bucket]);
    assert_eq!(connected["connection"]["name"], "photos");
    let listed = world.cli().run(&["list"]).ok();
    let one = &listed["connections"][0];
    assert_eq!(
        (&one["provider"], &one["buckets"]),
        (&json!("minio"), &json!([bucket]))
    );
    assert_eq!(one["endpoint"], world.minio.endpoint());
    let issued = world
        .cli()
        .run(&["key", "issue", "photos", "--label", "laptop"])
        .ok();
    let key = Issued::of(&issued);
    assert_eq!((key.id.len(), key.secret.len()), (20, 40));
    assert!(key.id.starts_with("BSC"));
    assert_eq!(key.endpoint, world.daemon.gateway);
    let keys = world.cli().run(&["key", "list", "photos"]).ok();
    assert_eq!(keys["keys"][0]["label"], "laptop");
    assert_eq!(keys["keys"][0]["state"], "active");
    assert!(
        !keys.to_string().contains(&key.secret),
        "a secret is shown once"
    );
    let status = world.cli().run(&["status"]).ok();
    assert_eq!(
        (&status["connections"], &status["living_keys"]),
        (&json!(1), &json!(1))
    );
    let entries = world
        .cli()
        .run(&["ls", &format!("photos/{bucket}/folder/")])
        .ok();
    assert!(entries.to_string().contains("folder/object"), "{entries}");
}

#[test]
fn every_format_of_a_key_names_id_secret_and_endpoint() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    for format in ["rclone", "aws", "env", "json"] {
        let answer = world.cli().say(&[
            "key", "issue", "photos", "--label", format, "--format", format,
        ]);
        let text = answer.exits(0).stdout;
        assert!(text.contains("BSC"), "{text}");
        assert!(text.contains(world.daemon.gateway_address()), "{text}");
        if format == "rclone" {
            for line in [
                "provider = Other",
                "region = auto",
                "no_check_bucket = true",
            ] {
                assert!(text.contains(line), "{text}");
            }
        }
    }
}

#[test]
fn failures_of_a_probe_have_messages_of_their_own() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    let (id, secret) = world.minio.credentials();
    let endpoint = world.minio.endpoint();
    let connect = |endpoint: &str, bucket: &str, secret: &str| {
        let args = [
            "connect",
            "photos",
            "--provider",
            "minio",
            "--endpoint",
            endpoint,
            "--bucket",
            bucket,
            "--allow-http",
            "--credentials-stdin",
        ];
        let answer = world.cli().run_with(&args, &format!("{id}\n{secret}\n"));
        assert!(
            !answer.text().contains(secret),
            "no secret in an error: {answer}"
        );
        answer.error()["message"].as_str().unwrap().to_owned()
    };
    let unused = Port::new();
    let nobody = format!("http://{}", unused.address());
    let messages = [
        connect(&nobody, &bucket, secret),
        connect(&endpoint, "no-such-bucket", secret),
        connect(&endpoint, &bucket, "wrong-secret-0123456789"),
        connect(&endpoint.replace("http", "https"), &bucket, secret),
    ];
    for (n, message) in messages.iter().enumerate() {
        assert!(
            messages[n + 1..].iter().all(|other| other != message),
            "{messages:?}"
        );
    }
    assert!(messages[1].contains("no-such-bucket"), "{messages:?}");
    assert_eq!(
        world.cli().run(&["list"]).ok()["connections"],
        json!([]),
        "nothing is kept"
    );
}

#[test]
fn http_and_metadata_addresses_need_to_be_allowed() {
    let home = Home::new();
    let _daemon = Daemon::start(&home);
    let connect = |more: &[&str]| {
        let mut args = vec![
            "connect",
            "photos",
            "--provider",
            "minio",
            "--bucket",
            "pictures",
        ];
        args.extend(more);
        args.push("--credentials-stdin");
        Cli::new(&home).run_with(&args, "some-id\nsome-secret-0123456789\n")
    };
    let plain = connect(&["--endpoint", "http://192.0.2.1:9000"]);
    assert!(plain.error().to_string().contains("allow-http"), "{plain}");
    let metadata = connect(&["--endpoint", "http://169.254.169.254", "--allow-http"]);
    assert!(
        metadata.error().to_string().contains("allow-link-local"),
        "{metadata}"
    );
}

#[test]
fn the_control_socket_speaks_grpc_to_any_client() {
    let Some(grpcurl) = tools::find("grpcurl") else {
        return;
    };
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let call = |args: &[&str]| {
        let mut command = home.command(&grpcurl);
        command.args(["-unix", "-plaintext"]).args(&args[1..]);
        command.arg(Cli::new(&home).socket()).args(&args[..1]);
        bascule_tests::cli::finish(command, "", args.join(" "))
            .exits(0)
            .stdout
    };
    let services = call(&["list"]);
    for service in ["Connections", "Keys", "Deletions", "Findings", "System"] {
        assert!(
            services.contains(&format!("bascule.v1.{service}")),
            "{services}"
        );
    }
    assert!(call(&["grpc.health.v1.Health/Check"]).contains("SERVING"));
    assert!(call(&["bascule.v1.System/Status"]).contains(&daemon.gateway));
}

#[test]
fn the_demo_tells_the_whole_story_and_leaves_nothing_behind() {
    let home = Home::new();
    let mut command = home.command(&tools::program("bascule"));
    command.arg("demo");
    let answer = bascule_tests::cli::finish(command, "", "demo".to_owned()).exits(0);
    for word in ["InvalidAccessKeyId", "intact"] {
        assert!(answer.text().contains(word), "{answer}");
    }
    let left: Vec<_> = ["tmp", "home", "work"]
        .iter()
        .flat_map(|part| home.files(part))
        .collect();
    assert!(
        left.is_empty(),
        "{:?}",
        left.iter().map(|(path, _)| path).collect::<Vec<_>>()
    );
}
