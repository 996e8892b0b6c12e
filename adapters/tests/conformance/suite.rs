//! The contract.

use std::io::{Read, Write};

use bascule_adapters::{BrowseItem, ProbeFailure, Right, Versioning, Wish, WitnessError};
use bascule_domain::{
    connection::{BucketIdentity, SameBucket},
    manifest::{Entry, Gap, gaps},
    provider::ProviderKind,
    survey::Contents,
};
use http::Method;
use jiff::SignedDuration;

use crate::{
    server::{MinioServer, REGION, ROOT_SECRET, ROOT_USER, number, unused_port},
    subject::{Subject, buckets, credentials},
};

/// Keys that break naive clients. Leading slashes and `.` segments are added where the server
/// allows them.
const AWKWARD: [&str; 14] = [
    "plain",
    "with space",
    " leading",
    "trailing ",
    "plus+plus",
    "percent%20percent",
    "100%",
    "a&b=c?d#e",
    "quote\"'<>&amp;",
    "ünï/çødé/日本語/🦀",
    "e\u{301}",
    "dir/a",
    "dir/b",
    "dir-1/a",
];

pub(crate) async fn survey(subject: &Subject, bucket: &str) -> Vec<Entry> {
    let witness = subject.storage.witness(subject.credentials.clone());
    let whole = vec![Gap::default()];
    let mut listing = witness.stretches(&bucket.parse().unwrap(), Contents::Objects, whole);
    let mut found = Vec::new();
    while let Some(stretch) = listing.next().await.unwrap() {
        found.push(stretch);
    }
    found.sort_by(|a, b| a.gap.after.cmp(&b.gap.after));
    assert_eq!(gaps(found.iter().map(|stretch| stretch.gap.clone())), []);
    let all: Vec<_> = found
        .into_iter()
        .flat_map(|stretch| stretch.entries)
        .collect();
    assert!(all.iter().all(|entry| !entry.etag.is_empty()));
    all
}

/// What every adapter keeps.
pub(crate) async fn conforms(subject: &Subject) {
    probe_tells_rights_and_identity(subject).await;
    survey_is_whole_ordered_and_exact(subject).await;
    survey_crosses_pages(subject).await;
    identity_changes_when_a_bucket_is_made_again(subject).await;
    browsing_shows_levels(subject).await;
    objects_come_back_as_they_went_in(subject).await;
}

async fn probe_tells_rights_and_identity(subject: &Subject) {
    subject.make_bucket("probe-a").await;
    subject.make_bucket("probe-b").await;
    assert_eq!(subject.put("probe-a", "x", b"x").await, 200);
    let found = subject
        .storage
        .probe(&subject.credentials, &buckets(&["probe-a", "probe-b"]))
        .await
        .unwrap();
    assert_eq!(found.clock_ahead, None);
    let [a, b] = &found.buckets[..] else {
        panic!("{found:?}")
    };
    assert!(
        a.rights.contains(&Right::List) && a.rights.contains(&Right::Read),
        "{a:?}"
    );
    assert!(
        !b.rights.contains(&Right::Read),
        "an empty bucket shows no right to read"
    );
    assert_eq!(a.versioning, Versioning::Off);
    assert_ne!(a.identity, BucketIdentity::NotTold);
    assert!(
        a.not_checked
            .iter()
            .any(|line| line.contains("never changes a bucket"))
    );
    assert_eq!(
        survey(subject, "probe-b").await,
        [],
        "a probe leaves nothing behind"
    );

    let missing = subject
        .storage
        .probe(&subject.credentials, &buckets(&["probe-a", "not-there"]))
        .await;
    match missing.unwrap_err() {
        ProbeFailure::NoSuchBucket { bucket, make } => {
            assert_eq!(bucket.as_str(), "not-there");
            assert_eq!(make.is_some(), subject.root.is_some());
        }
        other => panic!("{other:?}"),
    }
}

async fn survey_is_whole_ordered_and_exact(subject: &Subject) {
    subject.make_bucket("awkward").await;
    let mut expected = Vec::new();
    for key in AWKWARD {
        assert_eq!(
            subject.put("awkward", key, key.as_bytes()).await,
            200,
            "{key}"
        );
        expected.push(key.to_owned());
    }
    for key in ["a//b", "/leading", "./dot", "up/../up", "folder/"] {
        if subject.put("awkward", key, key.as_bytes()).await == 200 {
            expected.push(key.to_owned());
        } else {
            println!("{} does not take the key {key:?}", subject.storage.kind());
        }
    }
    let found = survey(subject, "awkward").await;
    // Some servers fold keys that they take; what counts is that the survey shows what they hold.
    let names: Vec<&str> = found.iter().map(|entry| entry.key.as_str()).collect();
    assert!(
        names.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()),
        "{names:?}"
    );
    for key in AWKWARD {
        let entry = found
            .iter()
            .find(|entry| entry.key.as_str() == key)
            .unwrap_or_else(|| panic!("{key:?} is missing"));
        assert_eq!(entry.size, key.len() as u64);
        let (_, body) = subject.get("awkward", key).await;
        assert_eq!(body, key.as_bytes(), "{key}");
    }
    if subject.root.is_some() {
        expected.sort();
        assert_eq!(
            names, expected,
            "a folder takes and tells all of them apart"
        );
    }
}

async fn survey_crosses_pages(subject: &Subject) {
    subject.make_bucket("many").await;
    subject.fill("many", 2500).await;
    let found = survey(subject, "many").await;
    assert_eq!(found.len(), 2500);
    assert_eq!(found.last().unwrap().key.as_str(), "n02499");
}

async fn identity_changes_when_a_bucket_is_made_again(subject: &Subject) {
    let bucket = "again".parse().unwrap();
    let witness = subject.storage.witness(subject.credentials.clone());
    assert_eq!(witness.exists(&bucket).await, Ok(false));
    subject.make_bucket("again").await;
    assert_eq!(witness.exists(&bucket).await, Ok(true));
    let first = witness.identity(&bucket).await.unwrap();
    assert_eq!(
        first.same_as(&witness.identity(&bucket).await.unwrap()),
        SameBucket::Yes
    );
    subject.remove_empty_bucket("again").await;
    assert_eq!(witness.exists(&bucket).await, Ok(false));
    assert!(matches!(
        witness
            .stretches(&bucket, Contents::Objects, vec![Gap::default()])
            .next()
            .await,
        Err(WitnessError::Gone(_))
    ));
    subject.make_bucket("again").await;
    let second = witness.identity(&bucket).await.unwrap();
    assert_eq!(
        first.same_as(&second),
        SameBucket::No,
        "{first:?} {second:?}"
    );
}

async fn browsing_shows_levels(subject: &Subject) {
    let bucket = "awkward".parse().unwrap();
    let witness = subject.storage.witness(subject.credentials.clone());
    let mut browser = witness.browse(&bucket, "dir/");
    let mut shown = Vec::new();
    while let Some(page) = browser.next_page().await.unwrap() {
        shown.extend(page);
    }
    let names: Vec<String> = shown
        .iter()
        .map(|item| match item {
            BrowseItem::Prefix(prefix) => prefix.clone(),
            BrowseItem::Object {
                entry,
                last_modified,
            } => {
                assert!(last_modified.is_some());
                entry.key.to_string()
            }
        })
        .collect();
    assert_eq!(names, ["dir/a", "dir/b"]);
    let top = witness
        .browse(&bucket, "")
        .next_page()
        .await
        .unwrap()
        .unwrap();
    assert!(top.contains(&BrowseItem::Prefix("dir/".into())), "{top:?}");
    assert!(top.contains(&BrowseItem::Prefix("ünï/".into())), "{top:?}");
    assert!(!top.contains(&BrowseItem::Prefix("dir/a".into())));
}

async fn objects_come_back_as_they_went_in(subject: &Subject) {
    subject.make_bucket("objects").await;
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let headers = [
        ("content-type", "text/x-test"),
        ("x-amz-meta-colour", "blue"),
    ];
    let (head, _) = subject
        .send(Method::PUT, "objects", Some("a/b"), "", &headers, &body)
        .await;
    assert_eq!(head.status(), 200);
    let etag = head.headers()["etag"].clone();
    let (head, read) = subject
        .send(Method::GET, "objects", Some("a/b"), "", &[], b"")
        .await;
    assert_eq!(read, body);
    assert_eq!(head.headers()["etag"], etag);
    assert_eq!(head.headers()["content-type"], "text/x-test");
    assert_eq!(head.headers()["x-amz-meta-colour"], "blue");
    let range = [("range", "bytes=1000-1999")];
    let (head, part) = subject
        .send(Method::GET, "objects", Some("a/b"), "", &range, b"")
        .await;
    assert_eq!(
        (head.status().as_u16(), &part[..]),
        (206, &body[1000..2000])
    );
    let (head, empty) = subject
        .send(Method::HEAD, "objects", Some("a/b"), "", &[], b"")
        .await;
    assert_eq!((head.status().as_u16(), empty.len()), (200, 0));
    assert_eq!(head.headers()["content-length"], body.len().to_string());
    assert_eq!(
        subject
            .send(Method::HEAD, "objects", Some("none"), "", &[], b"")
            .await
            .0
            .status(),
        404
    );
    let listed = survey(subject, "objects").await;
    assert_eq!(format!("\"{}\"", listed[0].etag), etag.to_str().unwrap());
    assert_eq!(subject.delete("objects", "a/b").await, 204);
    assert_eq!(subject.get("objects", "a/b").await.0, 404);
    assert_eq!(survey(subject, "objects").await, []);
}

/// Each way in which a connection can be wrong has its own failure.
pub(crate) async fn failures_are_told_apart(subject: &Subject, server: &MinioServer) {
    let wish = Wish {
        endpoint: Some(server.endpoint.clone()),
        ..Wish::default()
    };
    let kind = ProviderKind::Minio;
    let one = buckets(&["probe-a"]);

    let wrong_secret = credentials(ROOT_USER, "not-the-secret-at-all");
    let found = subject
        .storage
        .probe(&wrong_secret, &one)
        .await
        .unwrap_err();
    assert!(matches!(found, ProbeFailure::WrongSecret), "{found:?}");

    let unknown = credentials("nobody-knows-me", ROOT_SECRET);
    let found = subject.storage.probe(&unknown, &one).await.unwrap_err();
    assert!(matches!(found, ProbeFailure::UnknownKey), "{found:?}");

    let skewed = Subject::open_at(
        kind,
        &wish,
        server.credentials(),
        SignedDuration::from_hours(1),
    );
    match skewed
        .storage
        .probe(&skewed.credentials, &one)
        .await
        .unwrap_err()
    {
        ProbeFailure::ClockSkew { by: Some(by) } => {
            assert!(by > SignedDuration::from_mins(50), "{by}");
        }
        other => panic!("{other:?}"),
    }

    let unused = unused_port();
    let nobody = format!("http://127.0.0.1:{}", number(&unused));
    assert!(matches!(
        failure(&nobody).await,
        ProbeFailure::Unreachable(_)
    ));
    assert!(matches!(
        failure("http://localhost:1").await,
        ProbeFailure::Unreachable(_)
    ));

    match failure(&server.console.to_string()).await {
        ProbeFailure::WrongEndpoint { seen } => assert!(seen.contains("web console"), "{seen}"),
        other => panic!("{other:?}"),
    }
    match failure(&format!("https://{}", server.endpoint.authority())).await {
        ProbeFailure::WrongEndpoint { seen } => {
            assert!(seen.contains("does not speak TLS"), "{seen}");
        }
        other => panic!("{other:?}"),
    }
    for (answer, expected) in [
        ("220 mail.example.com ESMTP\r\n", "HTTP"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>",
            "web page",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}",
            "404",
        ),
    ] {
        match failure(&always_answers(answer)).await {
            ProbeFailure::WrongEndpoint { seen } => assert!(seen.contains(expected), "{seen}"),
            other => panic!("{other:?}"),
        }
    }

    let metadata = Wish {
        allow_http: true,
        ..endpoint("http://169.254.169.254")
    };
    let found = probe(&metadata).await.unwrap_err();
    assert!(
        matches!(found, ProbeFailure::AddressRefused(_)),
        "{found:?}"
    );
    for failure in [found, ProbeFailure::UnknownKey, ProbeFailure::WrongSecret] {
        assert!(!failure.next_step().is_empty());
    }
}

/// Certificates and regions.
pub(crate) async fn tls_and_region_failures_are_told_apart(server: &MinioServer) {
    let untrusted = probe(&endpoint(&server.endpoint.to_string()))
        .await
        .unwrap_err();
    assert!(matches!(untrusted, ProbeFailure::Tls(_)), "{untrusted:?}");

    let trusted = Wish {
        extra_ca: Some(server.ca_file()),
        ..endpoint(&server.endpoint.to_string())
    };
    match probe(&trusted).await.unwrap_err() {
        ProbeFailure::WrongRegion { right } => assert_eq!(right, Some(REGION.parse().unwrap())),
        other => panic!("{other:?}"),
    }

    let right = Wish {
        region: Some(REGION.parse().unwrap()),
        ..trusted
    };
    let subject = Subject::open(ProviderKind::Minio, &right, server.credentials());
    subject.make_bucket("probe-a").await;
    subject
        .storage
        .probe(&subject.credentials, &buckets(&["probe-a"]))
        .await
        .unwrap();

    let other_name = format!("https://localhost:{}", server.endpoint.port());
    let other_name = Wish {
        endpoint: Some(other_name.parse().unwrap()),
        ..right
    };
    let misnamed = probe(&other_name).await.unwrap_err();
    assert!(
        matches!(misnamed, ProbeFailure::Tls(_)),
        "a named certificate counts for its names: {misnamed:?}"
    );

    match failure(&format!("http://{}", server.endpoint.authority())).await {
        ProbeFailure::WrongEndpoint { seen } => assert!(seen.contains("speaks TLS"), "{seen}"),
        other => panic!("{other:?}"),
    }
}

fn endpoint(text: &str) -> Wish {
    Wish {
        endpoint: Some(text.parse().unwrap()),
        ..Wish::default()
    }
}

async fn failure(text: &str) -> ProbeFailure {
    probe(&endpoint(text)).await.unwrap_err()
}

async fn probe(wish: &Wish) -> Result<bascule_adapters::Probe, ProbeFailure> {
    let subject = Subject::open(
        ProviderKind::Minio,
        wish,
        credentials(ROOT_USER, ROOT_SECRET),
    );
    subject
        .storage
        .probe(&subject.credentials, &buckets(&["probe-a"]))
        .await
}

/// A server that is none of ours: it reads a request and says the same to everybody.
fn always_answers(answer: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

/// A folder's own limits are clear answers, and never cost an object.
pub(crate) async fn local_refuses_what_a_folder_can_not_hold(subject: &Subject) {
    let root = subject.root.clone().unwrap();
    subject.make_bucket("limits").await;
    assert_eq!(subject.put("limits", "a", b"first").await, 200);
    assert_eq!(subject.put("limits", "a/b", b"below").await, 409);
    assert_eq!(subject.get("limits", "a").await.1, "first");
    assert_eq!(subject.put("limits", &"x".repeat(300), b"x").await, 400);
    assert_eq!(subject.put("absent", "a", b"x").await, 404);
    assert!(!root.join("absent").exists(), "an upload makes no bucket");

    let wrong = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    let (head, _) = subject
        .send(Method::PUT, "limits", Some("a"), "", &wrong, b"second")
        .await;
    assert_eq!(head.status(), 400);
    assert_eq!(
        subject.get("limits", "a").await.1,
        "first",
        "a broken upload replaces nothing"
    );

    let only_new = [("if-none-match", "*")];
    let (head, _) = subject
        .send(Method::PUT, "limits", Some("a"), "", &only_new, b"second")
        .await;
    assert_eq!(head.status(), 412);
    let copy = [("if-none-match", "*"), ("x-amz-copy-source", "/limits/a")];
    for status in [200, 412] {
        let (head, _) = subject
            .send(Method::PUT, "limits", Some("copied"), "", &copy, b"")
            .await;
        assert_eq!(head.status(), status);
    }
    assert_eq!(subject.get("limits", "a").await.1, "first");

    for (method, query) in [
        (Method::DELETE, ""),
        (Method::PUT, ""),
        (Method::PUT, "policy"),
        (Method::PUT, "versioning"),
        (Method::PUT, "lifecycle"),
        (Method::DELETE, "lifecycle"),
    ] {
        let (head, _) = subject
            .send(method.clone(), "limits", None, query, &[], b"")
            .await;
        assert!(
            head.status().as_u16() >= 400,
            "{method} {query}: {}",
            head.status()
        );
    }
    assert_eq!(
        subject.get("limits", "a").await.1,
        "first",
        "bucket writes are out of reach"
    );

    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), b"secret").unwrap();
    std::os::unix::fs::symlink(outside.path(), root.join("limits/link")).unwrap();
    assert_eq!(subject.get("limits", "link/secret").await.0, 403);
    assert_eq!(subject.put("limits", "link/new", b"x").await, 403);
    assert!(!outside.path().join("new").exists());
    assert_eq!(subject.put("limits", "../../climb", b"x").await, 200);
    assert!(!root.join("../climb").exists() && !root.join("climb").exists());
    assert_eq!(subject.get("limits", "../../climb").await.1, "x");
    let names: Vec<String> = survey(subject, "limits")
        .await
        .iter()
        .map(|entry| entry.key.to_string())
        .collect();
    assert_eq!(
        names,
        ["../../climb", "a", "copied"],
        "links are no objects"
    );
}
