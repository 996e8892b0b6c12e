//! The table of gateway.md §3 as data. What is missing here is denied; nothing here decides.

use bascule_domain::operation::Action;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Service,
    Bucket,
    Object,
}

/// A query name that selects a row.
#[derive(Clone, Copy)]
pub(super) enum Name {
    /// Present, with no value.
    Flag(&'static str),
    /// Present, with this value.
    Is(&'static str, &'static str),
    /// Present, with some value.
    Set(&'static str),
}

impl Name {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Flag(name) | Self::Is(name, _) | Self::Set(name) => name,
        }
    }

    pub(super) fn fits(self, value: &str) -> bool {
        match self {
            Self::Flag(_) => value.is_empty(),
            Self::Is(_, wanted) => value == wanted,
            Self::Set(_) => !value.is_empty(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A source header denies the request.
    None,
    /// The row needs `x-amz-copy-source`.
    Copy,
    /// The row needs `x-amz-rename-source`.
    Rename,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Run(Action),
    /// Changes the bucket: denied, with a message of its own.
    Admin,
}

pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) level: Level,
    /// Names that select the row; all must be there.
    pub(super) by: &'static [Name],
    /// Other names that may be there.
    pub(super) may: &'static [&'static str],
    pub(super) source: Source,
    pub(super) class: Class,
}

const fn row(
    method: &'static str,
    level: Level,
    by: &'static [Name],
    may: &'static [&'static str],
    action: Action,
) -> Row {
    Row {
        method,
        level,
        by,
        may,
        source: Source::None,
        class: Class::Run(action),
    }
}

const fn from(source: Source, mut row: Row) -> Row {
    row.source = source;
    row
}

const fn admin(method: &'static str, level: Level, by: &'static [Name]) -> Row {
    Row {
        method,
        level,
        by,
        may: &[],
        source: Source::None,
        class: Class::Admin,
    }
}

const VERSION: &[&str] = &["versionId"];
const READ: &[&str] = &[
    "versionId",
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];
/// RGW's, for the bucket's size.
const HEAD_BUCKET: &[&str] = &["read-stats"];
/// Parameters of one listing may stand with another, where they mean nothing. `metadata` is
/// MinIO's, `allow-unordered` RGW's.
const LIST: &[&str] = &[
    "prefix",
    "delimiter",
    "marker",
    "max-keys",
    "encoding-type",
    "continuation-token",
    "start-after",
    "fetch-owner",
    "key-marker",
    "version-id-marker",
    "allow-unordered",
    "metadata",
];
const UPLOADS: &[&str] = &[
    "prefix",
    "delimiter",
    "encoding-type",
    "key-marker",
    "upload-id-marker",
    "max-uploads",
];
const PARTS: &[&str] = &["max-parts", "part-number-marker", "encoding-type"];
const SERVICE: &[&str] = &[
    "prefix",
    "max-buckets",
    "continuation-token",
    "bucket-region",
];
const CONFIGS: &[&str] = &["id", "continuation-token"];

use Action as A;
use Level::{Bucket as B, Object as K};
use Name::{Flag, Is, Set};

/// First matching row wins.
pub(super) const ROWS: &[Row] = &[
    row("GET", Level::Service, &[], SERVICE, A::ListBuckets),
    admin("POST", Level::Service, &[]),
    row("HEAD", B, &[], HEAD_BUCKET, A::HeadBucket),
    row("GET", B, &[Flag("location")], &[], A::GetBucketLocation),
    row("GET", B, &[Flag("versioning")], &[], A::GetBucketVersioning),
    row(
        "GET",
        B,
        &[Flag("object-lock")],
        &[],
        A::GetObjectLockConfiguration,
    ),
    row("GET", B, &[Flag("encryption")], &[], A::GetBucketEncryption),
    row("GET", B, &[Flag("acl")], &[], A::GetBucketAcl),
    row("GET", B, &[Flag("policy")], &[], A::GetBucketPolicy),
    row(
        "GET",
        B,
        &[Flag("policyStatus")],
        &[],
        A::GetBucketPolicyStatus,
    ),
    row("GET", B, &[Flag("cors")], &[], A::GetBucketCors),
    row("GET", B, &[Flag("lifecycle")], &[], A::GetBucketLifecycle),
    row("GET", B, &[Flag("tagging")], &[], A::GetBucketTagging),
    row(
        "GET",
        B,
        &[Flag("ownershipControls")],
        &[],
        A::GetBucketOwnershipControls,
    ),
    row(
        "GET",
        B,
        &[Flag("publicAccessBlock")],
        &[],
        A::GetPublicAccessBlock,
    ),
    row("GET", B, &[Flag("website")], &[], A::GetBucketWebsite),
    row("GET", B, &[Flag("logging")], &[], A::GetBucketLogging),
    row(
        "GET",
        B,
        &[Flag("notification")],
        &[],
        A::GetBucketNotification,
    ),
    row(
        "GET",
        B,
        &[Flag("replication")],
        &[],
        A::GetBucketReplication,
    ),
    row(
        "GET",
        B,
        &[Flag("requestPayment")],
        &[],
        A::GetBucketRequestPayment,
    ),
    row("GET", B, &[Flag("accelerate")], &[], A::GetBucketAccelerate),
    row(
        "GET",
        B,
        &[Flag("analytics")],
        CONFIGS,
        A::GetBucketAnalytics,
    ),
    row(
        "GET",
        B,
        &[Flag("inventory")],
        CONFIGS,
        A::GetBucketInventory,
    ),
    row("GET", B, &[Flag("metrics")], CONFIGS, A::GetBucketMetrics),
    row(
        "GET",
        B,
        &[Flag("intelligent-tiering")],
        CONFIGS,
        A::GetBucketIntelligentTiering,
    ),
    row(
        "GET",
        B,
        &[Flag("metadataConfiguration")],
        &[],
        A::GetBucketMetadataConfiguration,
    ),
    admin("GET", B, &[Flag("session")]),
    row(
        "GET",
        B,
        &[Flag("uploads")],
        UPLOADS,
        A::ListMultipartUploads,
    ),
    row("POST", B, &[Flag("delete")], &[], A::DeleteObjects),
    row("GET", K, &[Flag("tagging")], VERSION, A::GetObjectTagging),
    row(
        "GET",
        K,
        &[Flag("attributes")],
        VERSION,
        A::GetObjectAttributes,
    ),
    row(
        "GET",
        K,
        &[Flag("retention")],
        VERSION,
        A::GetObjectRetention,
    ),
    row(
        "GET",
        K,
        &[Flag("legal-hold")],
        VERSION,
        A::GetObjectLegalHold,
    ),
    row("GET", K, &[Flag("acl")], VERSION, A::GetObjectAcl),
    row("GET", K, &[Flag("torrent")], VERSION, A::GetObjectTorrent),
    row(
        "POST",
        K,
        &[Flag("select"), Is("select-type", "2")],
        &[],
        A::SelectObjectContent,
    ),
    row("GET", K, &[Set("uploadId")], PARTS, A::ListParts),
    row("POST", K, &[Flag("uploads")], &[], A::CreateMultipartUpload),
    from(
        Source::Copy,
        row(
            "PUT",
            K,
            &[Set("partNumber"), Set("uploadId")],
            &[],
            A::UploadPartCopy,
        ),
    ),
    row(
        "PUT",
        K,
        &[Set("partNumber"), Set("uploadId")],
        &[],
        A::UploadPart,
    ),
    row(
        "POST",
        K,
        &[Set("uploadId")],
        &[],
        A::CompleteMultipartUpload,
    ),
    row(
        "DELETE",
        K,
        &[Set("uploadId")],
        &[],
        A::AbortMultipartUpload,
    ),
    row("PUT", K, &[Flag("tagging")], VERSION, A::PutObjectTagging),
    row(
        "DELETE",
        K,
        &[Flag("tagging")],
        VERSION,
        A::DeleteObjectTagging,
    ),
    row("POST", K, &[Flag("restore")], VERSION, A::RestoreObject),
    from(
        Source::Rename,
        row("PUT", K, &[Flag("renameObject")], &[], A::RenameObject),
    ),
    admin("PUT", K, &[Flag("retention")]),
    admin("PUT", K, &[Flag("legal-hold")]),
    admin("PUT", K, &[Flag("acl")]),
    admin("PUT", K, &[Flag("encryption")]),
    from(Source::Copy, row("PUT", K, &[], &[], A::CopyObject)),
    row("PUT", K, &[], &[], A::PutObject),
    row("GET", K, &[], READ, A::GetObject),
    row("HEAD", K, &[], READ, A::HeadObject),
    row("DELETE", K, &[], VERSION, A::DeleteObject),
    row("GET", B, &[Is("list-type", "2")], LIST, A::ListObjectsV2),
    row("GET", B, &[Flag("versions")], LIST, A::ListObjectVersions),
    row("GET", B, &[], LIST, A::ListObjects),
];
