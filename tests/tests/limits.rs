//! Limits of a connection: at once, for what runs too, and after a restart.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{
    World,
    cli::{NOT_FOUND, USAGE},
};
use http::Method;
use serde_json::json;

#[test]
fn limits_are_shown_kept_over_a_restart_and_taken_away() {
    let Some(mut world) = World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let none = json!({"requests": null, "bandwidth": null});
    let limit = |world: &World, args: &[&str]| {
        let args = [&["limit", "photos"], args].concat();
        world.cli().run(&args).ok()["connection"]["limits"].clone()
    };
    assert_eq!(limit(&world, &[]), none);
    let both = json!({"requests": 8, "bandwidth": 10 << 20});
    let args = ["--requests", "8", "--bandwidth", "10MiB"];
    assert_eq!(limit(&world, &args), both);
    assert!(world.daemon.stop().success());
    world.daemon.restart(&world.home);
    assert_eq!(limit(&world, &[]), both);
    let shown = world.cli().run(&["show", "photos"]).ok();
    assert_eq!(shown["connection"]["limits"], both);
    let said = world.cli().say(&["show", "photos"]).exits(0).stdout;
    assert!(
        said.contains("8 requests at once, 10MiB/s each way"),
        "{said}"
    );
    // One alone leaves the other as it is.
    let one = json!({"requests": 8, "bandwidth": null});
    assert_eq!(limit(&world, &["--bandwidth", "none"]), one);
    assert_eq!(limit(&world, &["--requests", "none"]), none);
    let said = world.cli().say(&["limit", "photos"]).exits(0).stdout;
    assert!(said.contains("no limits"), "{said}");
    world
        .cli()
        .run(&["limit", "nobody", "--requests", "1"])
        .exits(NOT_FOUND);
    for wrong in [
        ["--requests", "0"],
        ["--requests", "many"],
        ["--bandwidth", "10"],
        ["--bandwidth", "fast"],
    ] {
        let args = ["limit", "photos", wrong[0], wrong[1]];
        let refused = world.cli().run(&args).exits(USAGE);
        assert_eq!(refused.error()["kind"], "INVALID", "{refused}");
    }
}

#[test]
fn a_request_over_the_limit_is_slowed_down_while_the_others_go_on() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let (first, second) = (
        world.issue("photos", "a").s3(),
        world.issue("photos", "b").s3(),
    );
    world
        .cli()
        .run(&["limit", "photos", "--requests", "1"])
        .ok();
    let upload = first.upload(&bucket, "large", 2 << 20).unwrap();
    upload.push(vec![1; 1 << 20]).unwrap();
    bascule_tests::wait::until("the upload to be open", || {
        (world.cli().run(&["status"]).ok()["open_requests"] == 1).then_some(())
    });
    let path = format!("/{bucket}/large");
    let reply = second.call(Method::GET, &path, "").unwrap();
    assert_eq!(
        (reply.status, &*reply.code()),
        (503, "SlowDown"),
        "{}",
        reply.text()
    );
    assert!(
        reply
            .header("x-amz-request-id")
            .starts_with("CONNECTION-BUSY-")
    );
    assert!(reply.text().contains("photos"), "{}", reply.text());
    upload.push(vec![1; 1 << 20]).unwrap();
    assert_eq!(upload.finish().unwrap().status, 200);
    bascule_tests::wait::until("the upload to be over", || {
        (world.cli().run(&["status"]).ok()["open_requests"] == 0).then_some(())
    });
    assert_eq!(second.get(&bucket, "large").unwrap().body.len(), 2 << 20);
}

#[test]
fn a_download_under_a_limit_is_whole_is_freed_by_lifting_it_and_cut_by_a_revocation() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let body: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
    world
        .minio
        .s3()
        .put(&bucket, "large", body.clone())
        .unwrap();
    let limit = |rate: &str| {
        let args = ["limit", "photos", "--bandwidth", rate];
        world.cli().run(&args).ok();
    };
    let key = world.issue("photos", "laptop");
    limit("1KiB");
    // More than an hour is ahead of it; lifting the limit frees it.
    let mut download = key.s3().open(&bucket, "large").unwrap();
    assert!(download.take().unwrap());
    assert!(download.taken < 1_000_000, "{}", download.taken);
    limit("none");
    assert_eq!(download.finish().unwrap(), body.len() as u64);
    limit("100MiB");
    assert!(key.s3().get(&bucket, "large").unwrap().body == body);
    limit("1KiB");
    let mut download = key.s3().open(&bucket, "large").unwrap();
    assert!(download.take().unwrap());
    world.cli().run(&["key", "revoke", &key.id]).ok();
    assert!(download.finish().is_err(), "a cut is an error");
}
