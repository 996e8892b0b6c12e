//! Every kind of request there is, each once: the classification table of gateway.md §3, written
//! down independently of the gateway's own.

use bascule_domain::operation::Action;

/// What the rules say about a route, when everything about its signature is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It is put to the provider.
    Runs(Action),
    /// The gateway answers it alone, with this status.
    Answers(Action, u16),
    /// No key may.
    Denied,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) query: &'static [&'static str],
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: &'static str,
    pub(crate) rule: Rule,
}

const OBJECT: &str = "/photos/a/b%20c";
const BUCKET: &str = "/photos";
const COPY: &[(&str, &str)] = &[("x-amz-copy-source", "/photos/d")];
const RENAME: &[(&str, &str)] = &[("x-amz-rename-source", "/photos/d")];
const PART: &[&str] = &["partNumber=1", "uploadId=u1"];
const DELETE: &str = "<Delete><Object><Key>a</Key></Object></Delete>";
const XML: &str = "<Anything>that the provider is to judge</Anything>";

const fn runs(
    method: &'static str,
    path: &'static str,
    query: &'static [&'static str],
    action: Action,
) -> Route {
    Route {
        method,
        path,
        query,
        headers: &[],
        body: "",
        rule: Rule::Runs(action),
    }
}

const fn with(mut route: Route, body: &'static str) -> Route {
    route.body = body;
    route
}

const fn from(mut route: Route, headers: &'static [(&'static str, &'static str)]) -> Route {
    route.headers = headers;
    route
}

const fn denied(method: &'static str, path: &'static str, query: &'static [&'static str]) -> Route {
    let mut route = runs(method, path, query, Action::Preflight);
    route.rule = Rule::Denied;
    route
}

const fn answers(method: &'static str, path: &'static str, action: Action, status: u16) -> Route {
    let mut route = runs(method, path, &[], action);
    route.rule = Rule::Answers(action, status);
    route
}

use Action as A;

pub(crate) const ROUTES: &[Route] = &[
    answers("GET", "/", A::ListBuckets, 200),
    answers("PUT", BUCKET, A::CreateBucket, 409),
    answers("OPTIONS", OBJECT, A::Preflight, 403),
    runs("HEAD", BUCKET, &[], A::HeadBucket),
    runs("GET", BUCKET, &["location"], A::GetBucketLocation),
    runs("GET", BUCKET, &["versioning"], A::GetBucketVersioning),
    runs(
        "GET",
        BUCKET,
        &["object-lock"],
        A::GetObjectLockConfiguration,
    ),
    runs("GET", BUCKET, &["encryption"], A::GetBucketEncryption),
    runs("GET", BUCKET, &["acl"], A::GetBucketAcl),
    runs("GET", BUCKET, &["policy"], A::GetBucketPolicy),
    runs("GET", BUCKET, &["policyStatus"], A::GetBucketPolicyStatus),
    runs("GET", BUCKET, &["cors"], A::GetBucketCors),
    runs("GET", BUCKET, &["lifecycle"], A::GetBucketLifecycle),
    runs("GET", BUCKET, &["tagging"], A::GetBucketTagging),
    runs(
        "GET",
        BUCKET,
        &["ownershipControls"],
        A::GetBucketOwnershipControls,
    ),
    runs(
        "GET",
        BUCKET,
        &["publicAccessBlock"],
        A::GetPublicAccessBlock,
    ),
    runs("GET", BUCKET, &["website"], A::GetBucketWebsite),
    runs("GET", BUCKET, &["logging"], A::GetBucketLogging),
    runs("GET", BUCKET, &["notification"], A::GetBucketNotification),
    runs("GET", BUCKET, &["replication"], A::GetBucketReplication),
    runs(
        "GET",
        BUCKET,
        &["requestPayment"],
        A::GetBucketRequestPayment,
    ),
    runs("GET", BUCKET, &["accelerate"], A::GetBucketAccelerate),
    runs("GET", BUCKET, &["analytics", "id=1"], A::GetBucketAnalytics),
    runs("GET", BUCKET, &["inventory"], A::GetBucketInventory),
    runs("GET", BUCKET, &["metrics"], A::GetBucketMetrics),
    runs(
        "GET",
        BUCKET,
        &["intelligent-tiering"],
        A::GetBucketIntelligentTiering,
    ),
    runs(
        "GET",
        BUCKET,
        &["metadataConfiguration"],
        A::GetBucketMetadataConfiguration,
    ),
    runs("GET", BUCKET, &["prefix=a", "marker=b"], A::ListObjects),
    runs(
        "GET",
        BUCKET,
        &["list-type=2", "prefix=a", "start-after=b"],
        A::ListObjectsV2,
    ),
    runs(
        "GET",
        BUCKET,
        &["versions", "key-marker=b"],
        A::ListObjectVersions,
    ),
    runs(
        "GET",
        BUCKET,
        &["uploads", "prefix=a"],
        A::ListMultipartUploads,
    ),
    runs("GET", OBJECT, &["uploadId=u1"], A::ListParts),
    runs(
        "GET",
        OBJECT,
        &["versionId=1", "response-expires=x"],
        A::GetObject,
    ),
    runs("HEAD", OBJECT, &["partNumber=1"], A::HeadObject),
    runs("GET", OBJECT, &["tagging"], A::GetObjectTagging),
    runs("GET", OBJECT, &["attributes"], A::GetObjectAttributes),
    runs("GET", OBJECT, &["retention"], A::GetObjectRetention),
    runs("GET", OBJECT, &["legal-hold"], A::GetObjectLegalHold),
    runs("GET", OBJECT, &["acl"], A::GetObjectAcl),
    runs("GET", OBJECT, &["torrent"], A::GetObjectTorrent),
    with(
        runs(
            "POST",
            OBJECT,
            &["select", "select-type=2"],
            A::SelectObjectContent,
        ),
        XML,
    ),
    with(runs("PUT", OBJECT, &[], A::PutObject), "the object"),
    from(runs("PUT", OBJECT, &[], A::CopyObject), COPY),
    from(
        runs("PUT", OBJECT, &["renameObject"], A::RenameObject),
        RENAME,
    ),
    runs("POST", OBJECT, &["uploads"], A::CreateMultipartUpload),
    with(runs("PUT", OBJECT, PART, A::UploadPart), "the part"),
    from(runs("PUT", OBJECT, PART, A::UploadPartCopy), COPY),
    with(
        runs("POST", OBJECT, &["uploadId=u1"], A::CompleteMultipartUpload),
        XML,
    ),
    runs("DELETE", OBJECT, &["uploadId=u1"], A::AbortMultipartUpload),
    with(runs("PUT", OBJECT, &["tagging"], A::PutObjectTagging), XML),
    runs("DELETE", OBJECT, &["tagging"], A::DeleteObjectTagging),
    with(runs("POST", OBJECT, &["restore"], A::RestoreObject), XML),
    runs("DELETE", OBJECT, &["versionId=1"], A::DeleteObject),
    with(runs("POST", BUCKET, &["delete"], A::DeleteObjects), DELETE),
    with(denied("POST", "/", &[]), "Action=CreateAccessKey"),
    denied("POST", "/WriteGetObjectResponse", &[]),
    denied("GET", BUCKET, &["session"]),
    denied("GET", BUCKET, &["surprise"]),
    denied("GET", BUCKET, &["acl", "policy"]),
    denied("PUT", BUCKET, &["policy"]),
    denied("PUT", BUCKET, &["acl"]),
    denied("PUT", BUCKET, &["lifecycle"]),
    denied("PUT", BUCKET, &["versioning"]),
    denied("DELETE", BUCKET, &[]),
    denied("DELETE", BUCKET, &["policy"]),
    denied("POST", BUCKET, &[]),
    with(denied("POST", BUCKET, &["uploads", "delete"]), DELETE),
    denied("PATCH", BUCKET, &[]),
    denied("PUT", OBJECT, &["acl"]),
    denied("PUT", OBJECT, &["retention"]),
    denied("PUT", OBJECT, &["legal-hold"]),
    denied("PUT", OBJECT, &["encryption"]),
    denied("PUT", OBJECT, &["versionId=1"]),
    denied("PUT", OBJECT, &["uploadId=u1"]),
    denied("PUT", OBJECT, &["partNumber=1"]),
    denied("PUT", OBJECT, &["surprise"]),
    denied("POST", OBJECT, &[]),
    denied("POST", OBJECT, &["select", "select-type=1"]),
    denied("PATCH", OBJECT, &[]),
    denied("GET", OBJECT, &["tagging", "acl"]),
    from(denied("GET", OBJECT, &[]), COPY),
    from(denied("DELETE", OBJECT, &[]), COPY),
    from(denied("POST", OBJECT, &["uploads"]), COPY),
    denied("GET", "/private/a", &[]),
    denied("PUT", "/private", &[]),
    denied("GET", "/minio/admin/v3/info", &[]),
];

#[test]
fn the_routes_are_complete() {
    for action in Action::ALL {
        let known = ROUTES.iter().any(|route| {
            matches!(route.rule, Rule::Runs(known) | Rule::Answers(known, _) if known == *action)
        });
        assert!(known, "{} has no route here", action.name());
    }
    let denied = ROUTES.iter().filter(|route| route.rule == Rule::Denied);
    assert!(denied.count() >= 32);
}
