//! Classification: from a verified head to one operation, by the closed table of gateway.md §3.
//! It must never let a name through that its row does not list: what is not classified is denied.

use bascule_domain::{
    access::Denial,
    names::{BucketName, ObjectKey},
    operation::{Action, CopySource, Operation, Target},
};
use http::{HeaderMap, HeaderValue, Method};
use percent_encoding::percent_decode;

use crate::respond::Refusal;

/// What a request is about, before it is known what it does.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) place: Place,
    /// Decoded pairs, in the order of the wire.
    pub(crate) query: &'a [(String, String)],
    /// The client's headers, with those hoisted from a presigned URL.
    pub(crate) headers: &'a HeaderMap,
}

/// The bucket and object that host and path name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Service,
    Bucket(BucketName),
    Object(BucketName, ObjectKey),
}

/// An operation, and the query it is sent upstream with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Classified {
    pub(crate) operation: Operation,
    pub(crate) query: Vec<(String, String)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    Service,
    Bucket,
    Object,
}

/// A query name that selects a row.
#[derive(Clone, Copy)]
enum Name {
    /// Present, with no value.
    Flag(&'static str),
    /// Present, with this value.
    Is(&'static str, &'static str),
    /// Present, with some value.
    Set(&'static str),
}

impl Name {
    const fn name(self) -> &'static str {
        match self {
            Self::Flag(name) | Self::Is(name, _) | Self::Set(name) => name,
        }
    }

    fn fits(self, value: &str) -> bool {
        match self {
            Self::Flag(_) => value.is_empty(),
            Self::Is(_, wanted) => value == wanted,
            Self::Set(_) => !value.is_empty(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A source header denies the request.
    None,
    /// The row needs `x-amz-copy-source`.
    Copy,
    /// The row needs `x-amz-rename-source`.
    Rename,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Run(Action),
    /// Changes the bucket: denied, with a message of its own.
    Admin,
}

struct Row {
    method: &'static str,
    level: Level,
    /// Names that select the row; all must be there.
    by: &'static [Name],
    /// Other names that may be there.
    may: &'static [&'static str],
    source: Source,
    class: Class,
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
/// `metadata` is MinIO's, `allow-unordered` RGW's.
const LIST: &[&str] = &[
    "prefix",
    "delimiter",
    "marker",
    "max-keys",
    "encoding-type",
    "allow-unordered",
    "metadata",
];
const LIST_V2: &[&str] = &[
    "prefix",
    "delimiter",
    "max-keys",
    "encoding-type",
    "continuation-token",
    "start-after",
    "fetch-owner",
    "allow-unordered",
    "metadata",
];
const VERSIONS: &[&str] = &[
    "prefix",
    "delimiter",
    "max-keys",
    "encoding-type",
    "key-marker",
    "version-id-marker",
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
const SERVICE: &[&str] = &["prefix", "max-buckets", "continuation-token"];
const CONFIGS: &[&str] = &["id", "continuation-token"];

use Action as A;
use Level::{Bucket as B, Object as K};
use Name::{Flag, Is, Set};

/// First matching row wins.
const ROWS: &[Row] = &[
    row("GET", Level::Service, &[], SERVICE, A::ListBuckets),
    admin("POST", Level::Service, &[]),
    row("HEAD", B, &[], &[], A::HeadBucket),
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
    row("GET", B, &[Is("list-type", "2")], LIST_V2, A::ListObjectsV2),
    row(
        "GET",
        B,
        &[Flag("versions")],
        VERSIONS,
        A::ListObjectVersions,
    ),
    row("GET", B, &[], LIST, A::ListObjects),
];

const COPY_SOURCE: &str = "x-amz-copy-source";
const RENAME_SOURCE: &str = "x-amz-rename-source";
/// SDKs name the operation in it; no server reads it.
const OPERATION_NAME: &str = "x-id";

/// Classifies a request.
pub(crate) fn classify(asked: &Asked<'_>) -> Result<Classified, Refusal> {
    refuse_ownership_headers(asked.headers)?;
    let level = match &asked.place {
        Place::Service => Level::Service,
        Place::Bucket(_) => Level::Bucket,
        Place::Object(..) => Level::Object,
    };
    let query: Vec<&(String, String)> = asked
        .query
        .iter()
        .filter(|(name, _)| name != OPERATION_NAME)
        .collect();
    refuse_repeated(&query)?;
    if level == Level::Bucket && changes_bucket(asked.method, &query) {
        return Err(Refusal::denied(Denial::BucketAdmin));
    }
    if level == Level::Bucket && asked.method == Method::PUT {
        return Ok(plain(A::CreateBucket, &asked.place, &query));
    }
    let source = match (
        asked.headers.contains_key(COPY_SOURCE),
        asked.headers.contains_key(RENAME_SOURCE),
    ) {
        (false, false) => Source::None,
        (true, false) => Source::Copy,
        (false, true) => Source::Rename,
        (true, true) => return Err(Refusal::NotAllowed("two sources in one request")),
    };
    let row = ROWS
        .iter()
        .find(|row| selects(row, asked.method, level, source, &query))
        .ok_or(Refusal::NotAllowed("this kind of request"))?;
    let action = match row.class {
        Class::Run(action) => action,
        Class::Admin => return Err(Refusal::denied(Denial::BucketAdmin)),
    };
    let listed = |name: &str| row.may.contains(&name) || row.by.iter().any(|by| by.name() == name);
    if !query.iter().all(|(name, _)| listed(name)) {
        return Err(Refusal::NotAllowed("a query parameter of this request"));
    }
    if row.source != source {
        return Err(Refusal::NotAllowed("a copy source on this request"));
    }
    let mut classified = plain(action, &asked.place, &query);
    classified.operation.source = match source {
        Source::None => None,
        Source::Copy => Some(copy_source(asked.headers, COPY_SOURCE)?),
        Source::Rename => Some(copy_source(asked.headers, RENAME_SOURCE)?),
    };
    Ok(classified)
}

fn selects(
    row: &Row,
    method: &Method,
    level: Level,
    source: Source,
    query: &[&(String, String)],
) -> bool {
    let has = |by: &Name| {
        query
            .iter()
            .any(|(name, value)| name == by.name() && by.fits(value))
    };
    let source_fits = row.source == source || row.source == Source::None;
    row.method == method.as_str() && row.level == level && source_fits && row.by.iter().all(has)
}

/// `PUT b` with a query, `DELETE b`, and every `POST b` but `?delete`.
fn changes_bucket(method: &Method, query: &[&(String, String)]) -> bool {
    match *method {
        Method::DELETE => true,
        Method::PUT => !query.is_empty(),
        Method::POST => !query.iter().any(|(name, _)| name == "delete"),
        _ => false,
    }
}

fn plain(action: Action, place: &Place, query: &[&(String, String)]) -> Classified {
    let target = match place {
        Place::Service => Target::Service,
        Place::Bucket(bucket) => Target::Bucket {
            bucket: bucket.clone(),
            prefix: query
                .iter()
                .find(|(name, _)| name == "prefix")
                .map(|(_, value)| value.clone())
                .unwrap_or_default(),
        },
        Place::Object(bucket, key) => Target::Object {
            bucket: bucket.clone(),
            key: key.clone(),
        },
    };
    Classified {
        operation: Operation {
            action,
            target,
            source: None,
        },
        query: query.iter().map(|&pair| pair.clone()).collect(),
    }
}

fn refuse_repeated(query: &[&(String, String)]) -> Result<(), Refusal> {
    for (at, (name, _)) in query.iter().enumerate() {
        if query[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(Refusal::NotAllowed("a repeated query parameter"));
        }
    }
    Ok(())
}

/// Rights over objects are not the key's to give away, and governance is not its to break
/// (threats.md B6). The two ACL values say what holds anyway.
fn refuse_ownership_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let grants = headers.keys().any(|name| {
        name.as_str().starts_with("x-amz-grant-") || name == "x-amz-bypass-governance-retention"
    });
    let harmless = |value: &HeaderValue| value == "private" || value == "bucket-owner-full-control";
    if grants || !headers.get_all("x-amz-acl").iter().all(harmless) {
        return Err(Refusal::denied(Denial::BucketAdmin));
    }
    Ok(())
}

/// Decodes a source once (gateway.md 49): `[/]bucket/key[?versionId=v]`, percent-encoded.
fn copy_source(headers: &HeaderMap, name: &'static str) -> Result<CopySource, Refusal> {
    let invalid = || Refusal::InvalidArgument("the copy source is not /bucket/key");
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(invalid)?;
    if values.next().is_some() {
        return Err(invalid());
    }
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid())?;
    let (path, version) = match text.split_once("?versionId=") {
        Some((path, version)) => (path, Some(version)),
        None => (text, None),
    };
    if path.contains('?') {
        return Err(invalid());
    }
    let decode = |text: &str| {
        percent_decode(text.as_bytes())
            .decode_utf8()
            .map(|decoded| decoded.into_owned())
            .map_err(|_| invalid())
    };
    let path = decode(path)?;
    let (bucket, key) = path
        .strip_prefix('/')
        .unwrap_or(&path)
        .split_once('/')
        .ok_or_else(invalid)?;
    let bucket = bucket
        .parse()
        .map_err(|_| Refusal::denied(Denial::Bucket))?;
    let key = key.parse().map_err(|_| invalid())?;
    let version = version.map(decode).transpose()?;
    Ok(CopySource {
        bucket,
        key,
        version,
    })
}
