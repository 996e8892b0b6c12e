//! The rows of the classification table that deny, and what no row lists: nothing of it reaches
//! the provider.

use bascule_domain::key::Permission;
use bascule_gateway::Settings;

use crate::{
    hand::Hand,
    harness::{Ask, World, key, refused},
};

/// A signed request without body; `query` is as it stands in a URL.
fn ask(world: &World, method: &str, target: &str) -> Ask {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut ask = world.ask(method, path);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        ask = ask.query(name, value);
    }
    ask
}

async fn denied(world: &World, requests: &[(&str, &str)]) {
    for (method, target) in requests {
        let reply = refused(world, &ask(world, method, target), 403, "AccessDenied").await;
        let id = reply.header("x-amz-request-id").unwrap();
        assert!(id.starts_with("NOT-PERMITTED-"), "{method} {target}: {id}");
    }
}

#[tokio::test]
async fn classification_row_a_copy_source_is_denied_where_nothing_is_copied() {
    let world = World::new().await;
    for name in ["x-amz-copy-source", "x-amz-rename-source"] {
        for (method, target) in [
            ("GET", "/photos/a"),
            ("HEAD", "/photos/a"),
            ("DELETE", "/photos/a"),
            ("DELETE", "/photos/a?uploadId=u"),
            ("POST", "/photos/a?uploads"),
            ("POST", "/photos/a?uploadId=u"),
            ("POST", "/photos?delete"),
            ("GET", "/photos?list-type=2"),
            ("GET", "/photos?location"),
            ("HEAD", "/photos"),
            ("GET", "/photos/a?tagging"),
            ("PUT", "/photos/a?tagging"),
        ] {
            let ask = ask(&world, method, target).header(name, "/photos/b");
            refused(&world, &ask, 403, "AccessDenied").await;
        }
    }
    for (header, target) in [
        ("x-amz-copy-source", "/photos/a?renameObject"),
        ("x-amz-rename-source", "/photos/a"),
        ("x-amz-rename-source", "/photos/a?partNumber=1&uploadId=u"),
    ] {
        let ask = ask(&world, "PUT", target).header(header, "/photos/b");
        refused(&world, &ask, 403, "AccessDenied").await;
    }
    denied(&world, &[("PUT", "/photos/a?renameObject")]).await;
}

#[tokio::test]
async fn classification_row_half_a_part_is_denied() {
    let world = World::new().await;
    denied(
        &world,
        &[
            ("PUT", "/photos/a?partNumber=1"),
            ("PUT", "/photos/a?uploadId=u"),
            ("PUT", "/photos/a?partNumber=&uploadId=u"),
            ("PUT", "/photos/a?partNumber=1&uploadId="),
            ("GET", "/photos/a?uploadId="),
            ("POST", "/photos/a?uploadId="),
            ("DELETE", "/photos/a?uploadId="),
            ("POST", "/photos/a?partNumber=1&uploadId=u"),
        ],
    )
    .await;
    for target in ["/photos/a?partNumber=1", "/photos/a?uploadId=u"] {
        let ask = ask(&world, "PUT", target).header("x-amz-copy-source", "/photos/b");
        refused(&world, &ask, 403, "AccessDenied").await;
    }
}

#[tokio::test]
async fn classification_row_governance_grants_and_wide_acls_are_denied_everywhere() {
    let world = World::new().await;
    for (name, value) in [
        ("x-amz-bypass-governance-retention", "true"),
        ("x-amz-bypass-governance-retention", "false"),
        ("x-amz-grant-read", "id=1"),
        ("x-amz-grant-full-control", "id=1"),
        ("x-amz-grant-anything", ""),
        ("x-amz-acl", "public-read"),
        ("x-amz-acl", "authenticated-read"),
        ("x-amz-acl", "Private"),
        ("x-amz-acl", ""),
    ] {
        for (method, target) in [
            ("PUT", "/photos/a"),
            ("GET", "/photos/a"),
            ("DELETE", "/photos/a?versionId=v"),
            ("POST", "/photos?delete"),
            ("POST", "/photos/a?uploads"),
            ("PUT", "/photos"),
            ("GET", "/"),
        ] {
            let ask = ask(&world, method, target).header(name, value);
            refused(&world, &ask, 403, "AccessDenied").await;
        }
    }
}

#[tokio::test]
async fn classification_row_bucket_administration_is_denied_to_every_key() {
    let world = World::new().await;
    denied(
        &world,
        &[
            ("POST", "/"),
            ("POST", "/?Action=AssumeRole"),
            ("POST", "/WriteGetObjectResponse"),
            ("GET", "/photos?session"),
            ("DELETE", "/photos"),
            ("DELETE", "/photos?force=true"),
            ("POST", "/photos"),
            ("POST", "/photos?select"),
            ("POST", "/photos?delete=1"),
        ],
    )
    .await;
    for name in [
        "acl",
        "policy",
        "cors",
        "lifecycle",
        "tagging",
        "versioning",
        "object-lock",
        "encryption",
        "ownershipControls",
        "publicAccessBlock",
        "website",
        "logging",
        "notification",
        "replication",
        "requestPayment",
        "accelerate",
        "analytics",
        "inventory",
        "metrics",
        "intelligent-tiering",
        "metadataConfiguration",
        "surprise",
    ] {
        for method in ["PUT", "DELETE", "POST"] {
            let target = format!("/photos?{name}");
            denied(&world, &[(method, &target)]).await;
        }
    }
    for name in ["retention", "legal-hold", "acl", "encryption"] {
        let target = format!("/photos/a?{name}");
        let of_version = format!("{target}&versionId=v");
        denied(&world, &[("PUT", &target), ("PUT", &of_version)]).await;
    }
}

#[tokio::test]
async fn classification_row_preflights_are_refused_without_a_signature() {
    let world = World::new().await;
    for path in ["/", "/photos", "/photos/a"] {
        let mut hand = Hand::new(&world, "GET", path).without("x-amz-date");
        hand.method = "OPTIONS";
        let reply = hand
            .unsigned("origin", "https://evil.test")
            .unsigned("access-control-request-method", "PUT")
            .follow(&world)
            .await;
        assert_eq!(reply.status, 403, "{path}");
        let cors = |(name, _): &(String, String)| name.starts_with("access-control");
        assert!(!reply.headers.iter().any(cors));
    }
    assert_eq!(world.provider.requests(), 0);
}

#[tokio::test]
async fn classification_deny_names_that_no_row_lists() {
    let world = World::new().await;
    denied(
        &world,
        &[
            ("GET", "/photos?surprise"),
            ("GET", "/photos/a?surprise"),
            ("HEAD", "/photos?list-type=2"),
            ("HEAD", "/photos?versioning"),
            ("HEAD", "/photos/a?tagging"),
            ("HEAD", "/photos/a?acl"),
            ("GET", "/photos/a?list-type=2"),
            ("GET", "/photos/a?prefix=b"),
            ("PUT", "/photos/a?versionId=v"),
            ("PUT", "/photos/a?append&position=0"),
            ("DELETE", "/photos/a?surprise"),
            ("DELETE", "/photos/a?forceDelete=true"),
            ("POST", "/photos/a"),
            ("POST", "/photos/a?surprise"),
            ("POST", "/photos/a?select"),
            ("POST", "/photos/a?select&select-type=1"),
            ("GET", "/photos?list-type=3"),
            ("GET", "/photos?events=s3%3AObjectCreated"),
            ("GET", "/?policy"),
            ("HEAD", "/"),
            ("PUT", "/"),
            ("DELETE", "/"),
            ("PATCH", "/photos/a"),
            ("TRACE", "/photos/a"),
            ("COPY", "/photos/a"),
        ],
    )
    .await;
}

#[tokio::test]
async fn classification_deny_subresources_with_a_value_of_another_kind() {
    let world = World::new().await;
    for value in ["1", "true", "a%2Fb"] {
        for (method, path, names) in [
            (
                "GET",
                "/photos",
                &[
                    "uploads",
                    "versions",
                    "location",
                    "acl",
                    "policy",
                    "versioning",
                ][..],
            ),
            (
                "GET",
                "/photos/a",
                &["tagging", "acl", "attributes", "torrent"],
            ),
            ("POST", "/photos/a", &["uploads", "restore"]),
            ("PUT", "/photos/a", &["tagging", "acl", "retention"]),
            ("DELETE", "/photos/a", &["tagging"]),
        ] {
            for name in names {
                denied(&world, &[(method, &format!("{path}?{name}={value}"))]).await;
            }
        }
    }
    // With or without `=`, an empty value is the same.
    for (sent, signed) in [("uploads", "uploads="), ("uploads=", "uploads=")] {
        let hand = Hand::new(&world, "GET", "/photos").query(sent, signed);
        assert_eq!(hand.send(&world).await.status, 200, "{sent}");
    }
}

#[tokio::test]
async fn classification_deny_repeated_and_mixed_subresources() {
    let world = World::new().await;
    denied(
        &world,
        &[
            ("GET", "/photos?uploads&uploads"),
            ("GET", "/photos?prefix=a&prefix=b"),
            ("GET", "/photos?list-type=2&list-type=2"),
            ("GET", "/photos/a?versionId=1&versionId=2"),
            ("GET", "/photos?uploads&versions"),
            ("GET", "/photos?acl&policy"),
            ("GET", "/photos?location&list-type=2"),
            ("GET", "/photos/a?tagging&acl"),
            ("GET", "/photos/a?uploadId=u&tagging"),
            ("GET", "/photos/a?uploadId=u&versionId=v"),
            ("POST", "/photos?delete&uploads"),
            ("POST", "/photos/a?uploads&uploadId=u"),
            ("PUT", "/photos/a?tagging&acl"),
            ("PUT", "/photos/a?partNumber=1&uploadId=u&tagging"),
            ("DELETE", "/photos/a?uploadId=u&versionId=v"),
            ("DELETE", "/photos/a?tagging&uploadId=u"),
        ],
    )
    .await;
}

#[tokio::test]
async fn classification_deny_buckets_outside_the_map() {
    let mut narrow = key(1, Permission::ReadWrite);
    narrow.scope.buckets = ["music".parse().unwrap()].into();
    let narrow = World::with(narrow, Settings::default()).await;
    denied(
        &narrow,
        &[
            ("GET", "/photos/a"),
            ("PUT", "/photos"),
            ("HEAD", "/photos"),
        ],
    )
    .await;
    let world = World::new().await;
    for bucket in [
        "secrets",
        "minio",
        "Photos",
        "photos.",
        "a",
        "..",
        ".",
        "photos%20",
        "%00",
        "api",
        "probe",
    ] {
        for (method, rest) in [
            ("GET", "/a"),
            ("HEAD", ""),
            ("GET", "?list-type=2"),
            ("PUT", "/a"),
            ("PUT", ""),
            ("DELETE", "/a"),
            ("POST", "?delete"),
            ("GET", "/admin/v3/info"),
            ("GET", "/health/live"),
        ] {
            let target = format!("/{bucket}{rest}");
            denied(&world, &[(method, &target)]).await;
        }
    }
}

#[tokio::test]
async fn classification_rights_follow_the_class_of_the_row() {
    let reader = World::with(key(1, Permission::Read), Settings::default()).await;
    denied(
        &reader,
        &[
            ("PUT", "/photos/a"),
            ("DELETE", "/photos/a"),
            ("POST", "/photos?delete"),
            ("POST", "/photos/a?uploads"),
            ("PUT", "/photos/a?partNumber=1&uploadId=u"),
            ("POST", "/photos/a?uploadId=u"),
            ("DELETE", "/photos/a?uploadId=u"),
            ("PUT", "/photos/a?tagging"),
            ("DELETE", "/photos/a?tagging"),
            ("POST", "/photos/a?restore"),
        ],
    )
    .await;
    let keeper = World::with(key(1, Permission::ReadWriteNoDelete), Settings::default()).await;
    denied(
        &keeper,
        &[
            ("DELETE", "/photos/a"),
            ("DELETE", "/photos/a?versionId=v"),
            ("POST", "/photos?delete"),
        ],
    )
    .await;
    let rename =
        ask(&keeper, "PUT", "/photos/b?renameObject").header("x-amz-rename-source", "/photos/a");
    refused(&keeper, &rename, 403, "AccessDenied").await;
}
