//! Where a connection's credentials may come from, and what a connection can be asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::fs;

use bascule_tests::{World, random_hex};

fn aws_file(world: &World, name: &str, text: &str) {
    let folder = world.home.path("home/.aws");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

#[test]
fn an_aws_profile_with_static_keys_is_taken() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    let (id, secret) = world.minio.credentials();
    let text = format!("[me]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    aws_file(&world, "credentials", &text);
    let endpoint = world.minio.endpoint();
    let args = [
        "connect",
        "photos",
        "--provider",
        "minio",
        "--endpoint",
        &endpoint,
        "--allow-http",
        "--bucket",
        &bucket,
        "--aws-profile",
        "me",
    ];
    world.cli().run(&args).ok();
    assert_eq!(
        world
            .issue("photos", "laptop")
            .s3()
            .get(&bucket, "kept")
            .unwrap()
            .body,
        "x"
    );
    world
        .cli()
        .run(&["credentials", "photos", "--aws-profile", "me"])
        .ok();
}

#[test]
fn an_aws_profile_without_static_keys_is_refused_with_the_reason() {
    let Some(world) = World::new() else { return };
    let config = "[profile work]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n\
                  [profile vault]\ncredential_process = /usr/bin/vault print\n";
    aws_file(&world, "config", config);
    for (profile, reason) in [
        ("work", "sso"),
        ("vault", "credential_process"),
        ("absent", "absent"),
    ] {
        let args = [
            "connect",
            "photos",
            "--provider",
            "s3",
            "--region",
            "eu-central-1",
            "--bucket",
            "b-of-mine",
            "--aws-profile",
            profile,
        ];
        let answer = world.cli().run(&args);
        let message = answer.error()["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains(reason), "{profile}: {answer}");
    }
}

#[test]
fn an_rclone_remote_is_taken_with_its_endpoint() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "kept", "x").unwrap();
    let (id, secret) = world.minio.credentials();
    world.rclone_config(&format!(
        "[store]\ntype = s3\nprovider = Minio\naccess_key_id = {id}\nsecret_access_key = {secret}\n\
         endpoint = {}\n",
        world.minio.endpoint()
    ));
    let args = [
        "connect",
        "photos",
        "--bucket",
        &bucket,
        "--rclone-remote",
        "store",
        "--allow-http",
    ];
    let connected = world.cli().run(&args).ok();
    assert_eq!(connected["connection"]["provider"], "minio", "{connected}");
    assert_eq!(connected["connection"]["endpoint"], world.minio.endpoint());
    assert_eq!(
        world
            .issue("photos", "laptop")
            .s3()
            .get(&bucket, "kept")
            .unwrap()
            .body,
        "x"
    );
}

#[test]
fn a_key_limited_to_a_bucket_does_not_see_the_other() {
    let Some(world) = World::new() else { return };
    let (one, two) = (world.minio.bucket(), world.minio.bucket());
    for bucket in [&one, &two] {
        world.minio.s3().put(bucket, "kept", "x").unwrap();
    }
    world.connect("both", &[&one, &two]);
    let args = ["key", "issue", "both", "--label", "one", "--bucket", &one];
    let key = bascule_tests::Issued::of(&world.cli().run(&args).ok()).s3();
    assert_eq!(key.get(&one, "kept").unwrap().body, "x");
    let reply = key
        .call(http::Method::GET, &format!("/{two}/kept"), "")
        .unwrap();
    assert_eq!(reply.status, 403, "{}", reply.text());
}

#[test]
fn a_folder_is_a_provider_like_any_other() {
    let home = bascule_tests::Home::new();
    let mut daemon = bascule_tests::Daemon::start(&home);
    let cli = bascule_tests::Cli::new(&home);
    let folder = home.path("work/folder");
    fs::create_dir_all(folder.join("pictures/2026")).unwrap();
    fs::write(folder.join("pictures/2026/one.txt"), "one").unwrap();
    let path = folder.to_str().unwrap();
    cli.run(&[
        "connect",
        "here",
        "--provider",
        "local",
        "--path",
        path,
        "--bucket",
        "pictures",
    ])
    .ok();
    let issued = cli.run(&["key", "issue", "here", "--label", "laptop"]).ok();
    let s3 = bascule_tests::Issued::of(&issued).s3();
    assert_eq!(s3.get("pictures", "2026/one.txt").unwrap().body, "one");
    let body = random_hex(70_000);
    s3.put("pictures", "2026/a b+c.txt", body.clone()).unwrap();
    assert_eq!(
        fs::read_to_string(folder.join("pictures/2026/a b+c.txt")).unwrap(),
        body
    );
    daemon.kill();
    daemon.restart(&home);
    assert_eq!(s3.list("pictures").unwrap().len(), 2);
    let before = home.files("work/folder");
    cli.delete("here", &[]).verdict("intact");
    assert!(s3.get("pictures", "2026/one.txt").is_err());
    assert_eq!(home.files("work/folder"), before, "byte for byte");
}
