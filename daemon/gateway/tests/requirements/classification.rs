//! The rows of the classification table that let a request through: each goes through the socket,
//! and what reaches the provider is its method, path, query and headers, and nothing else.

use bascule_domain::key::Permission;
use bascule_gateway::Settings;

use crate::{
    hand::{assert_signed_as_sent, target},
    harness::{Ask, World, key},
};

/// A request, and what must come of it.
struct Case {
    action: &'static str,
    method: &'static str,
    /// Path and query, canonical, as they are sent and as they arrive.
    target: &'static str,
    /// Signed headers that arrive as they are.
    headers: &'static [(&'static str, &'static str)],
    body: Option<&'static str>,
}

const fn case(action: &'static str, method: &'static str, target: &'static str) -> Case {
    Case {
        action,
        method,
        target,
        headers: &[],
        body: None,
    }
}

impl Case {
    const fn headers(mut self, headers: &'static [(&'static str, &'static str)]) -> Self {
        self.headers = headers;
        self
    }

    const fn body(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    fn ask(&self, world: &World) -> Ask {
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let mut ask = world.ask(self.method, path);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            let value = percent_encoding::percent_decode_str(value)
                .decode_utf8()
                .unwrap();
            ask = ask.query(name, &value);
        }
        for (name, value) in self.headers {
            ask = ask.header(name, value);
        }
        match self.body {
            Some(body) => ask.body(body),
            None => ask,
        }
    }
}

/// Headers that the gateway makes itself.
const OWN: [&str; 7] = [
    "host",
    "authorization",
    "x-amz-date",
    "x-amz-content-sha256",
    "content-length",
    "accept-encoding",
    "content-encoding",
];

async fn pass(world: &World, cases: &[Case]) {
    for case in cases {
        let before = world.provider.requests();
        let reply = world.send(&case.ask(world)).await;
        let name = format!("{} {} {}", case.action, case.method, case.target);
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(world.provider.requests(), before + 1, "{name}");
        let seen = world.provider.seen().pop().unwrap();
        assert_eq!(
            (seen.method.as_str(), target(&seen)),
            (case.method, case.target),
            "{name}"
        );
        assert_signed_as_sent(world, &seen);
        for (header, value) in case.headers {
            assert_eq!(seen.header(header), Some(*value), "{name}: {header}");
        }
        for header in seen.headers.keys() {
            let own = OWN.contains(&header.as_str());
            let sent = case.headers.iter().any(|(name, _)| name == header);
            assert!(own || sent, "{name}: {header} was not asked for");
        }
        assert_eq!(
            seen.body,
            case.body.unwrap_or_default().as_bytes(),
            "{name}"
        );
        assert_eq!(counted(world).await, case.action, "{name}");
    }
}

/// As what the last request was classified.
async fn counted(world: &World) -> &'static str {
    world.idle().await;
    world.meter.exchanges.lock().unwrap().last().unwrap().0
}

const ON_READS: &[(&str, &str)] = &[
    ("x-amz-request-payer", "requester"),
    ("x-amz-expected-bucket-owner", "111122223333"),
    ("x-amz-server-side-encryption", "AES256"),
];

#[tokio::test]
async fn classification_row_head_bucket_and_its_plain_facts() {
    let world = World::new().await;
    pass(
        &world,
        &[
            case("HeadBucket", "HEAD", "/photos"),
            case("HeadBucket", "HEAD", "/photos")
                .headers(&[("x-amz-expected-bucket-owner", "111122223333")]),
            case("HeadBucket", "HEAD", "/photos?read-stats=true"),
            case("GetBucketLocation", "GET", "/photos?location="),
            case("GetBucketVersioning", "GET", "/photos?versioning="),
            case("GetObjectLockConfiguration", "GET", "/photos?object-lock="),
            case("GetBucketEncryption", "GET", "/photos?encryption="),
        ],
    )
    .await;
}

const CONFIGURATION: [(&str, &str); 19] = [
    ("acl", "GetBucketAcl"),
    ("policy", "GetBucketPolicy"),
    ("policyStatus", "GetBucketPolicyStatus"),
    ("cors", "GetBucketCors"),
    ("lifecycle", "GetBucketLifecycle"),
    ("tagging", "GetBucketTagging"),
    ("ownershipControls", "GetBucketOwnershipControls"),
    ("publicAccessBlock", "GetPublicAccessBlock"),
    ("website", "GetBucketWebsite"),
    ("logging", "GetBucketLogging"),
    ("notification", "GetBucketNotification"),
    ("replication", "GetBucketReplication"),
    ("requestPayment", "GetBucketRequestPayment"),
    ("accelerate", "GetBucketAccelerate"),
    ("analytics", "GetBucketAnalytics"),
    ("inventory", "GetBucketInventory"),
    ("metrics", "GetBucketMetrics"),
    ("intelligent-tiering", "GetBucketIntelligentTiering"),
    ("metadataConfiguration", "GetBucketMetadataConfiguration"),
];

#[tokio::test]
async fn classification_row_bucket_configuration_is_read_by_keys_without_prefix() {
    let mut limited = key(1, Permission::ReadWrite);
    limited.scope.prefixes = vec!["in/".parse().unwrap()];
    let limited = World::with(limited, Settings::default()).await;
    let reader = World::with(key(1, Permission::Read), Settings::default()).await;
    for (name, action) in CONFIGURATION {
        let ask = reader.ask("GET", "/photos").query(name, "");
        assert_eq!(reader.send(&ask).await.status, 200, "{name}");
        let seen = reader.provider.seen().pop().unwrap();
        assert_eq!(target(&seen), format!("/photos?{name}="));
        assert_eq!(counted(&reader).await, action);
        let ask = limited.ask("GET", "/photos").query(name, "");
        let reply = limited.send(&ask).await;
        assert_eq!((reply.status, reply.code().as_str()), (403, "AccessDenied"));
    }
    assert_eq!(limited.provider.requests(), 0);
    for name in ["analytics", "inventory", "metrics", "intelligent-tiering"] {
        let ask = reader
            .ask("GET", "/photos")
            .query(name, "")
            .query("id", "daily");
        assert_eq!(reader.send(&ask).await.status, 200, "{name}");
        let ask = reader
            .ask("GET", "/photos")
            .query(name, "")
            .query("continuation-token", "t");
        assert_eq!(reader.send(&ask).await.status, 200, "{name}");
    }
    // The facts that every key may know, a prefix key included.
    for name in ["location", "versioning", "object-lock", "encryption"] {
        let ask = limited.ask("GET", "/photos").query(name, "");
        assert_eq!(limited.send(&ask).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn classification_row_listings_with_every_parameter_of_theirs() {
    let world = World::new().await;
    pass(
        &world,
        &[
            case("ListObjects", "GET", "/photos"),
            case("ListObjects", "GET", "/photos?delimiter="),
            case(
                "ListObjects",
                "GET",
                "/photos?delimiter=%2F&encoding-type=url&marker=a%20b&max-keys=0&prefix=%0A",
            ),
            case("ListObjects", "GET", "/photos?allow-unordered=true&max-keys=3"),
            case("ListObjects", "GET", "/photos?metadata=true"),
            case("ListObjects", "GET", "/photos?max-keys=blah"),
            case("ListObjectsV2", "GET", "/photos?list-type=2"),
            case(
                "ListObjectsV2",
                "GET",
                "/photos?continuation-token=t%3D%3D&delimiter=%2F&encoding-type=url&fetch-owner=true&list-type=2&max-keys=0&prefix=a%2Bb&start-after=%C3%A9",
            ),
            case("ListObjectsV2", "GET", "/photos?allow-unordered=true&list-type=2"),
            case("ListObjectsV2", "GET", "/photos?list-type=2&metadata=true"),
            case("ListObjectsV2", "GET", "/photos?delimiter=&list-type=2&prefix="),
            case("ListObjectsV2", "GET", "/photos?list-type=2")
                .headers(&[("x-amz-optional-object-attributes", "RestoreStatus")]),
            case("ListObjectVersions", "GET", "/photos?versions="),
            case(
                "ListObjectVersions",
                "GET",
                "/photos?delimiter=%2F&encoding-type=url&key-marker=a&max-keys=2&metadata=true&prefix=p&version-id-marker=null&versions=",
            ),
            case("ListMultipartUploads", "GET", "/photos?uploads="),
            case(
                "ListMultipartUploads",
                "GET",
                "/photos?delimiter=%2F&encoding-type=url&key-marker=a&max-uploads=10&prefix=p&upload-id-marker=u&uploads=",
            ),
            case("ListParts", "GET", "/photos/a?uploadId=u"),
            case(
                "ListParts",
                "GET",
                "/photos/a?encoding-type=url&max-parts=10000&part-number-marker=9999&uploadId=u%2F%2B%3D",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn classification_row_listings_of_a_prefix_key_stay_below_it() {
    let mut limited = key(1, Permission::ReadWrite);
    limited.scope.prefixes = vec!["in/".parse().unwrap()];
    let world = World::with(limited, Settings::default()).await;
    for row in [
        ("list-type", "2"),
        ("versions", ""),
        ("uploads", ""),
        ("max-keys", "1"),
    ] {
        for (prefix, status) in [
            (Some("in/"), 200),
            (Some("in/deep"), 200),
            (Some("in"), 403),
            (Some("out/"), 403),
            (Some(""), 403),
            (None, 403),
        ] {
            let mut ask = world.ask("GET", "/photos").query(row.0, row.1);
            if let Some(prefix) = prefix {
                ask = ask.query("prefix", prefix);
            }
            let before = world.provider.requests();
            let reply = world.send(&ask).await;
            assert_eq!(reply.status, status, "{row:?} {prefix:?}");
            let reached = usize::from(status == 200);
            assert_eq!(world.provider.requests(), before + reached);
        }
    }
}

#[tokio::test]
async fn classification_row_get_and_head_object() {
    let world = World::new().await;
    let read: &[(&str, &str)] = &[
        ("range", "bytes=0-1,5-6"),
        ("if-match", "\"a\""),
        ("if-none-match", "\"b\""),
        ("if-modified-since", "Mon, 23 Nov 2026 12:00:00 GMT"),
        ("if-unmodified-since", "Mon, 23 Nov 2026 12:00:00 GMT"),
        ("if-range", "\"a\""),
        ("x-amz-checksum-mode", "ENABLED"),
    ];
    let responses = "/photos/a?partNumber=1&response-cache-control=no-cache&response-content-disposition=a&response-content-encoding=b&response-content-language=c&response-content-type=d&response-expires=e&versionId=null";
    pass(
        &world,
        &[
            case("GetObject", "GET", "/photos/a"),
            case("GetObject", "GET", "/photos/a").headers(read),
            case("GetObject", "GET", "/photos/a").headers(ON_READS),
            case("GetObject", "GET", responses),
            case("GetObject", "GET", "/photos/a?partNumber=10000"),
            case("HeadObject", "HEAD", "/photos/a"),
            case("HeadObject", "HEAD", "/photos/a").headers(read),
            case("HeadObject", "HEAD", "/photos/a?partNumber=1"),
            case("HeadObject", "HEAD", "/photos/a?versionId=v%2F1"),
            case("HeadObject", "HEAD", responses),
        ],
    )
    .await;
}

#[tokio::test]
async fn classification_row_reads_of_an_objects_facts() {
    let world = World::with(key(1, Permission::Read), Settings::default()).await;
    for (name, action) in [
        ("tagging", "GetObjectTagging"),
        ("attributes", "GetObjectAttributes"),
        ("retention", "GetObjectRetention"),
        ("legal-hold", "GetObjectLegalHold"),
        ("acl", "GetObjectAcl"),
        ("torrent", "GetObjectTorrent"),
    ] {
        for version in ["", "null", "3/L4kqtJl"] {
            let mut ask = world.ask("GET", "/photos/a").query(name, "");
            let mut expected = format!("/photos/a?{name}=");
            if !version.is_empty() {
                ask = ask.query("versionId", version);
                expected.push_str(&format!("&versionId={}", version.replace('/', "%2F")));
            }
            if name == "attributes" {
                ask = ask
                    .header("x-amz-object-attributes", "ETag")
                    .header("x-amz-object-attributes", "ObjectParts")
                    .header("x-amz-max-parts", "5")
                    .header("x-amz-part-number-marker", "2");
            }
            let reply = world.send(&ask).await;
            assert_eq!(reply.status, 200, "{expected}: {}", reply.text());
            let seen = world.provider.seen().pop().unwrap();
            assert_eq!(target(&seen), expected);
            assert_eq!(counted(&world).await, action);
            if name == "attributes" {
                let lines = seen.headers.get_all("x-amz-object-attributes").iter();
                assert_eq!(lines.collect::<Vec<_>>(), ["ETag", "ObjectParts"]);
            }
        }
    }
    pass(
        &world,
        &[case(
            "SelectObjectContent",
            "POST",
            "/photos/a?select=&select-type=2",
        )
        .headers(&[("content-type", "application/xml")])
        .body("<SelectObjectContentRequest/>")],
    )
    .await;
}

const NEW_OBJECT: &[(&str, &str)] = &[
    ("content-type", "text/plain; charset=utf-8"),
    ("content-encoding", "gzip"),
    ("content-language", "de"),
    ("content-disposition", "attachment"),
    ("cache-control", "max-age=1"),
    ("expires", "Mon, 23 Nov 2026 12:00:00 GMT"),
    ("x-amz-acl", "private"),
    ("x-amz-storage-class", "STANDARD"),
    ("x-amz-tagging", "a=b&c=d"),
    ("x-amz-website-redirect-location", "/other"),
    ("x-amz-object-lock-mode", "GOVERNANCE"),
    (
        "x-amz-object-lock-retain-until-date",
        "2027-01-01T00:00:00Z",
    ),
    ("x-amz-object-lock-legal-hold", "ON"),
    ("x-amz-server-side-encryption", "aws:kms"),
    ("x-amz-server-side-encryption-aws-kms-key-id", "k"),
    ("x-amz-server-side-encryption-context", "e30="),
    ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
    ("x-amz-meta-mixed", "1"),
    ("x-amz-checksum-algorithm", "SHA256"),
];

#[tokio::test]
async fn classification_row_put_object_with_what_may_go_along() {
    let world = World::new().await;
    pass(
        &world,
        &[
            case("PutObject", "PUT", "/photos/a").body("x"),
            case("PutObject", "PUT", "/photos/a")
                .headers(NEW_OBJECT)
                .body("x"),
            case("PutObject", "PUT", "/photos/a")
                .headers(&[
                    ("if-none-match", "*"),
                    ("content-md5", "nV0iMQTsW0dmgpZ6ZVcKrQ=="),
                    ("x-amz-checksum-crc32", "NhCmhg=="),
                    ("x-amz-sdk-checksum-algorithm", "CRC32"),
                    ("x-amz-acl", "bucket-owner-full-control"),
                ])
                .body("x"),
            case("PutObject", "PUT", "/photos/a")
                .headers(&[("if-match", "\"e\"")])
                .body("x"),
        ],
    )
    .await;
}

#[tokio::test]
async fn classification_row_multipart_uploads() {
    let world = World::new().await;
    pass(
        &world,
        &[
            case("CreateMultipartUpload", "POST", "/photos/a?uploads="),
            case("CreateMultipartUpload", "POST", "/photos/a?uploads=").headers(NEW_OBJECT),
            case("CreateMultipartUpload", "POST", "/photos/a?uploads=").headers(&[
                ("content-type", "multipart/form-data; boundary=x"),
                ("x-amz-checksum-type", "FULL_OBJECT"),
            ]),
            case("UploadPart", "PUT", "/photos/a?partNumber=10000&uploadId=u")
                .headers(&[
                    ("content-md5", "nV0iMQTsW0dmgpZ6ZVcKrQ=="),
                    (
                        "x-amz-checksum-sha256",
                        "LnEbpwD3WQxuUyxNUGfMXwcLb3hvZqRxDVcdGZ6ZVyE=",
                    ),
                    ("x-amz-sdk-checksum-algorithm", "SHA256"),
                    ("x-amz-server-side-encryption", "aws:kms"),
                ])
                .body("x"),
            case("CompleteMultipartUpload", "POST", "/photos/a?uploadId=u")
                .headers(&[
                    ("content-type", "application/xml"),
                    ("if-none-match", "*"),
                    ("x-amz-mp-object-size", "1"),
                    ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
                    ("x-amz-checksum-type", "FULL_OBJECT"),
                ])
                .body("<CompleteMultipartUpload/>"),
            case("AbortMultipartUpload", "DELETE", "/photos/a?uploadId=u"),
            case("AbortMultipartUpload", "DELETE", "/photos/a?uploadId=u").headers(&[(
                "x-amz-if-match-initiated-time",
                "Mon, 23 Nov 2026 12:00:00 GMT",
            )]),
        ],
    )
    .await;
    // A part of no bytes is a part.
    let empty = world
        .ask("PUT", "/photos/a")
        .query("partNumber", "1")
        .query("uploadId", "u")
        .announce(0);
    assert_eq!(world.send(&empty).await.status, 200);
    let seen = world.provider.seen().pop().unwrap();
    assert_eq!(seen.header("content-length"), Some("0"));
}

#[tokio::test]
async fn classification_row_tags_restores_and_deletes() {
    let world = World::new().await;
    pass(
        &world,
        &[
            case(
                "PutObjectTagging",
                "PUT",
                "/photos/a?tagging=&versionId=null",
            )
            .headers(&[("content-md5", "nV0iMQTsW0dmgpZ6ZVcKrQ==")])
            .body("<Tagging/>"),
            case("DeleteObjectTagging", "DELETE", "/photos/a?tagging="),
            case(
                "DeleteObjectTagging",
                "DELETE",
                "/photos/a?tagging=&versionId=v",
            ),
            case("RestoreObject", "POST", "/photos/a?restore=&versionId=v")
                .body("<RestoreRequest/>"),
            case("DeleteObject", "DELETE", "/photos/a"),
            case("DeleteObject", "DELETE", "/photos/a?versionId=null"),
            case("DeleteObject", "DELETE", "/photos/a").headers(&[
                ("if-match", "\"e\""),
                ("if-none-match", "\"f\""),
                ("if-unmodified-since", "Mon, 23 Nov 2026 12:00:00 GMT"),
                (
                    "x-amz-if-match-last-modified-time",
                    "Mon, 23 Nov 2026 12:00:00 GMT",
                ),
                ("x-amz-if-match-size", "5"),
            ]),
            case("DeleteObjects", "POST", "/photos?delete=")
                .headers(&[("content-md5", "nV0iMQTsW0dmgpZ6ZVcKrQ==")])
                .body("<Delete><Object><Key>a</Key><VersionId>null</VersionId></Object></Delete>"),
        ],
    )
    .await;
}

#[tokio::test]
async fn classification_row_copies_and_renames_name_a_source_of_ones_own() {
    let world = World::new().await;
    let copy: &[(&str, &str)] = &[
        ("x-amz-copy-source", "/music/a%20b"),
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-tagging-directive", "COPY"),
        ("x-amz-copy-source-if-match", "\"e\""),
        ("x-amz-copy-source-if-none-match", "\"f\""),
        (
            "x-amz-copy-source-if-modified-since",
            "Mon, 23 Nov 2026 12:00:00 GMT",
        ),
        (
            "x-amz-copy-source-if-unmodified-since",
            "Mon, 23 Nov 2026 12:00:00 GMT",
        ),
        ("x-amz-source-expected-bucket-owner", "111122223333"),
        ("x-amz-meta-a", "1"),
        ("content-type", "text/plain"),
    ];
    pass(
        &world,
        &[
            case("CopyObject", "PUT", "/photos/a").headers(copy),
            case("CopyObject", "PUT", "/photos/a")
                .headers(&[("x-amz-copy-source", "/photos/a?versionId=null")]),
            case("UploadPartCopy", "PUT", "/photos/a?partNumber=1&uploadId=u").headers(&[
                ("x-amz-copy-source", "/music/b"),
                ("x-amz-copy-source-range", "bytes=0-5"),
                ("x-amz-copy-source-if-match", "\"e\""),
                ("x-amz-source-expected-bucket-owner", "111122223333"),
            ]),
            case("RenameObject", "PUT", "/photos/b?renameObject=").headers(&[
                ("x-amz-rename-source", "/photos/a"),
                ("x-amz-rename-source-if-match", "\"e\""),
                ("if-none-match", "*"),
                ("x-amz-client-token", "t"),
            ]),
        ],
    )
    .await;
}

#[tokio::test]
async fn classification_row_list_buckets_is_answered_here() {
    let mut narrow = key(1, Permission::Read);
    narrow.scope.buckets = ["music".parse().unwrap()].into();
    let narrow = World::with(narrow, Settings::default()).await;
    let text = narrow.send(&narrow.ask("GET", "/")).await.text();
    assert!(
        text.contains("<Name>music</Name>") && !text.contains("photos"),
        "{text}"
    );
    let world = World::new().await;
    for (name, value, has, lacks) in [
        ("prefix", "mu", "music", "photos"),
        (
            "max-buckets",
            "1",
            "<ContinuationToken>music</ContinuationToken>",
            "photos",
        ),
        ("continuation-token", "music", "photos", "music"),
        ("x-id", "ListBuckets", "music", "nothing"),
    ] {
        let ask = world.ask("GET", "/").query(name, value);
        let reply = world.send(&ask).await;
        let text = reply.text();
        assert_eq!(reply.status, 200, "{text}");
        assert!(
            text.contains(has) && !text.contains(lacks),
            "{name}: {text}"
        );
    }
    for most in ["0", "10001", "-1", "x", ""] {
        let ask = world.ask("GET", "/").query("max-buckets", most);
        assert_eq!(world.send(&ask).await.code(), "InvalidArgument", "{most}");
    }
    assert_eq!(world.provider.requests() + narrow.provider.requests(), 0);
}

#[tokio::test]
async fn classification_names_of_operations_are_left_behind() {
    let world = World::new().await;
    for (method, path, name) in [
        ("GET", "/photos/a", "GetObject"),
        ("HEAD", "/photos", "HeadBucket"),
        ("DELETE", "/photos/a", "DeleteObject"),
        ("POST", "/photos/a", "CreateMultipartUpload"),
    ] {
        let mut ask = world.ask(method, path).query("x-id", name);
        if method == "POST" {
            ask = ask.query("uploads", "");
        }
        assert_eq!(world.send(&ask).await.status, 200, "{name}");
        let seen = world.provider.seen().pop().unwrap();
        assert!(!seen.uri.contains("x-id"), "{}", seen.uri);
    }
}

#[tokio::test]
async fn classification_a_bucket_may_be_written_with_a_slash() {
    let world = World::new().await;
    let ask = world.ask("GET", "/photos/").query("list-type", "2");
    assert_eq!(world.send(&ask).await.status, 200);
    let seen = world.provider.only();
    assert_eq!(target(&seen), "/photos?list-type=2");
}
