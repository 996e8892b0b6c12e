//! What a request asks for, once classified. The classification itself (from method, path, query
//! and headers) is the gateway's; what each action *is* stands here, so that access is decided
//! from a closed set.

use crate::names::{BucketName, ObjectKey};

/// The right an action needs. The table is `gateway.md` §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Answered by the gateway itself, or about no bucket.
    Service,
    /// Harmless facts about the bucket; every key may.
    BucketReadConfig,
    /// Facts about the bucket as a whole; not for keys limited to a prefix.
    BucketReadConfigWhole,
    /// Listing objects.
    List,
    /// Reading an object or facts about it.
    Read,
    /// Adding or replacing an object.
    Write,
    /// Deleting objects.
    Delete,
    /// Handling parts of an upload that is not complete.
    Multipart,
    /// Changing the bucket, its rules or its owners: denied to every key, always.
    BucketAdmin,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident => $class:ident, $mutates:literal;)*) => {
        /// An S3 action by its name in the S3 API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* #[doc = concat!("`", stringify!($name), "`")] $name,)*
        }

        impl Action {
            /// Every action there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The right it needs.
            #[must_use]
            pub const fn class(self) -> Class {
                match self {
                    $(Self::$name => Class::$class,)*
                }
            }

            /// Whether it can change what a bucket holds.
            #[must_use]
            pub const fn mutates(self) -> bool {
                match self {
                    $(Self::$name => $mutates,)*
                }
            }

            /// Its name in the S3 API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

actions! {
    ListBuckets => Service, false;
    Preflight => Service, false;
    CreateBucket => Service, false;
    HeadBucket => BucketReadConfig, false;
    GetBucketLocation => BucketReadConfig, false;
    GetBucketVersioning => BucketReadConfig, false;
    GetObjectLockConfiguration => BucketReadConfig, false;
    GetBucketEncryption => BucketReadConfig, false;
    GetBucketAcl => BucketReadConfigWhole, false;
    GetBucketPolicy => BucketReadConfigWhole, false;
    GetBucketPolicyStatus => BucketReadConfigWhole, false;
    GetBucketCors => BucketReadConfigWhole, false;
    GetBucketLifecycle => BucketReadConfigWhole, false;
    GetBucketTagging => BucketReadConfigWhole, false;
    GetBucketOwnershipControls => BucketReadConfigWhole, false;
    GetPublicAccessBlock => BucketReadConfigWhole, false;
    GetBucketWebsite => BucketReadConfigWhole, false;
    GetBucketLogging => BucketReadConfigWhole, false;
    GetBucketNotification => BucketReadConfigWhole, false;
    GetBucketReplication => BucketReadConfigWhole, false;
    GetBucketRequestPayment => BucketReadConfigWhole, false;
    GetBucketAccelerate => BucketReadConfigWhole, false;
    GetBucketAnalytics => BucketReadConfigWhole, false;
    GetBucketInventory => BucketReadConfigWhole, false;
    GetBucketMetrics => BucketReadConfigWhole, false;
    GetBucketIntelligentTiering => BucketReadConfigWhole, false;
    GetBucketMetadataConfiguration => BucketReadConfigWhole, false;
    ListObjects => List, false;
    ListObjectsV2 => List, false;
    ListObjectVersions => List, false;
    ListMultipartUploads => Multipart, false;
    ListParts => Multipart, false;
    GetObject => Read, false;
    HeadObject => Read, false;
    GetObjectTagging => Read, false;
    GetObjectAttributes => Read, false;
    GetObjectRetention => Read, false;
    GetObjectLegalHold => Read, false;
    GetObjectAcl => Read, false;
    GetObjectTorrent => Read, false;
    SelectObjectContent => Read, false;
    PutObject => Write, true;
    CopyObject => Write, true;
    RenameObject => Write, true;
    CreateMultipartUpload => Write, true;
    UploadPart => Write, true;
    UploadPartCopy => Write, true;
    CompleteMultipartUpload => Write, true;
    AbortMultipartUpload => Multipart, true;
    PutObjectTagging => Write, true;
    DeleteObjectTagging => Write, true;
    RestoreObject => Write, true;
    DeleteObject => Delete, true;
    DeleteObjects => Delete, true;
}

/// What an operation is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// No bucket.
    Service,
    /// A bucket as a whole. For listings, `prefix` is what the request narrows itself to.
    Bucket {
        /// Which.
        bucket: BucketName,
        /// The `prefix` parameter, decoded; empty when absent.
        prefix: String,
    },
    /// One object.
    Object {
        /// In which bucket.
        bucket: BucketName,
        /// Which.
        key: ObjectKey,
    },
}

impl Target {
    /// The bucket, if it is about one.
    #[must_use]
    pub const fn bucket(&self) -> Option<&BucketName> {
        match self {
            Self::Service => None,
            Self::Bucket { bucket, .. } | Self::Object { bucket, .. } => Some(bucket),
        }
    }
}

/// Where a copy, or a rename, takes its bytes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// In which bucket.
    pub bucket: BucketName,
    /// Which object.
    pub key: ObjectKey,
    /// Which object it is for a server that takes a plus sign in the source for a blank, as AWS does
    /// and MinIO does not. `None` where that makes no difference.
    pub with_blanks: Option<ObjectKey>,
    /// Which version.
    pub version: Option<String>,
}

/// A classified request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// From where, for copies and renames.
    pub source: Option<CopySource>,
}
