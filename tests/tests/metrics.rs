//! What the daemon counts, as a monitoring system reads it, and the access log.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::collections::BTreeMap;

use bascule_tests::{World, wait};
use http::Method;

/// Reads the text format strictly: every sample follows the head of its family.
fn parsed(text: &str) -> BTreeMap<String, u64> {
    let mut samples = BTreeMap::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split_once(' ').expect("a help text").0;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, family, "{line}");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let name = series.split('{').next().unwrap();
            assert_eq!(name, family, "{line}");
            let seen = samples.insert(series.to_owned(), value.parse().expect(line));
            assert_eq!(seen, None, "{series} stands there twice");
        }
    }
    assert!(text.ends_with('\n'));
    samples
}

fn metrics(world: &World) -> BTreeMap<String, u64> {
    parsed(&world.cli().say(&["metrics"]).exits(0).stdout)
}

#[test]
fn a_day_of_a_connection_can_be_read_from_the_metrics_and_no_secret_can() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let (key, cut) = (
        world.issue("photos", "laptop"),
        world.issue("photos", "cut"),
    );
    let s3 = key.s3();
    s3.put(&bucket, "secret-name", "12345").unwrap();
    s3.get(&bucket, "secret-name").unwrap();
    let upload = cut.s3().upload(&bucket, "half", 2 << 20).unwrap();
    upload.push(vec![1; 1 << 20]).unwrap();
    let stream = "bascule_open_streams{connection=\"photos\"}";
    wait::until("the stream to be open", || {
        (metrics(&world)[stream] == 1).then_some(())
    });
    world.cli().run(&["key", "revoke", &cut.id]).ok();
    drop(upload);
    wait::until("the stream to be cut", || {
        (metrics(&world)[stream] == 0).then_some(())
    });
    let path = format!("/{bucket}/secret-name");
    assert_eq!(cut.s3().call(Method::GET, &path, "").unwrap().status, 403);

    let seen = metrics(&world);
    for (series, value) in [
        (
            "bascule_requests_total{connection=\"photos\",operation=\"PutObject\",status=\"2xx\"}",
            1,
        ),
        (
            "bascule_requests_total{connection=\"photos\",operation=\"GetObject\",status=\"2xx\"}",
            1,
        ),
        ("bascule_sent_bytes_total{connection=\"photos\"}", 5),
        ("bascule_cut_streams_total{connection=\"photos\"}", 1),
        (
            "bascule_refusals_total{connection=\"photos\",reason=\"KEY-REVOKED\"}",
            1,
        ),
        ("bascule_in_doubt_changes_total{connection=\"photos\"}", 0),
        ("bascule_connections", 1),
        ("bascule_keys{state=\"living\"}", 1),
        ("bascule_keys{state=\"dead\"}", 1),
        ("bascule_findings", 1),
    ] {
        assert_eq!(seen.get(series), Some(&value), "{series} in {seen:#?}");
    }
    assert!(seen["bascule_received_bytes_total{connection=\"photos\"}"] >= 5);
    let text = world.cli().say(&["metrics"]).exits(0).text();
    let json = world.cli().run(&["metrics"]).ok();
    let (root, password) = world.minio.credentials();
    for secret in [
        &key.id,
        &key.secret,
        &cut.id,
        &bucket,
        root,
        password,
        "secret-name",
    ] {
        assert!(!text.contains(secret), "{secret} in {text}");
        assert!(!json.to_string().contains(secret), "{secret} in {json}");
    }
    let families = json["metrics"].as_array().unwrap();
    let requests = families
        .iter()
        .find(|family| family["name"] == "bascule_requests_total")
        .unwrap();
    assert_eq!(requests["kind"], "counter");
    assert!(requests["samples"][0]["labels"]["operation"].is_string());

    // A connection of the same name goes on in the same series.
    world.delete("photos", &[]).verdict("intact");
    world.connect("photos", &[&bucket]);
    world
        .issue("photos", "new")
        .s3()
        .get(&bucket, "secret-name")
        .unwrap();
    let series =
        "bascule_requests_total{connection=\"photos\",operation=\"GetObject\",status=\"2xx\"}";
    // Counted when the exchange has ended, which is after its answer.
    wait::until("the second request to be counted", || {
        (metrics(&world).get(series) == Some(&2)).then_some(())
    });
}

#[test]
fn the_access_log_names_requests_without_their_query_and_is_off_unless_asked_for() {
    for access in [false, true] {
        let settings = format!("[log]\naccess = {access}\n");
        let Some(world) = World::configured(&settings) else {
            return;
        };
        let bucket = world.minio.bucket();
        world.connect("photos", &[&bucket]);
        let key = world.issue("photos", "laptop");
        let s3 = key.s3();
        s3.put(&bucket, "kept", "12345").unwrap();
        let link = s3.presigned(&bucket, "kept");
        assert_eq!(s3.follow(&link).unwrap().status, 200);
        assert!(link.contains("X-Amz-Signature"));
        if access {
            wait::until("the log to be written", || {
                world.daemon.log().contains("GetObject").then_some(())
            });
        }
        let log = world.daemon.log();
        assert_eq!(log.contains(&format!("/{bucket}/kept")), access, "{log}");
        assert_eq!(log.contains("PutObject"), access, "{log}");
        for secret in ["X-Amz-", "Signature", &*key.id, &*key.secret] {
            assert!(!log.contains(secret), "{secret} in {log}");
        }
    }
}
