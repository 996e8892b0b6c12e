//! What can go wrong with a folder, and the one place that turns it into an S3 error.

use std::io;

use s3s::{S3Error, S3ErrorCode};

/// Why an operation on a folder failed.
#[derive(Debug)]
pub(crate) enum Fault {
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    /// The key's path leads through a file, or ends at a folder.
    InTheWay,
    /// The key's path leads through a symbolic link.
    Link,
    KeyTooLong,
    KeyWithNul,
    Precondition,
    /// The body's length or digest is not what was announced.
    BadDigest(&'static str),
    Incomplete,
    InvalidDigest,
    InvalidPart,
    InvalidPartOrder,
    PartTooSmall,
    InvalidRange,
    InvalidArgument(&'static str),
    /// A feature of S3 that a folder does not have.
    NotImplemented(&'static str),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Fault> for S3Error {
    fn from(fault: Fault) -> Self {
        let (code, message) = match fault {
            Fault::NoSuchBucket => (
                S3ErrorCode::NoSuchBucket,
                "The bucket's folder does not exist.",
            ),
            Fault::NoSuchKey => (S3ErrorCode::NoSuchKey, "The object does not exist."),
            Fault::NoSuchUpload => (
                S3ErrorCode::NoSuchUpload,
                "The upload does not exist in this bucket under this key.",
            ),
            Fault::InTheWay => (
                S3ErrorCode::OperationAborted,
                "In a folder, an object and keys below it can't exist together; another object is in the way.",
            ),
            Fault::Link => (
                S3ErrorCode::AccessDenied,
                "A symbolic link is in the way; links are not followed.",
            ),
            Fault::KeyTooLong => (
                S3ErrorCode::KeyTooLongError,
                "A folder can't hold this key: 255 bytes between slashes, 1024 in all.",
            ),
            Fault::KeyWithNul => (
                S3ErrorCode::InvalidArgument,
                "A folder can't hold a key with a NUL character.",
            ),
            Fault::Precondition => (
                S3ErrorCode::PreconditionFailed,
                "A condition of the request does not hold.",
            ),
            Fault::BadDigest(which) => (S3ErrorCode::BadDigest, which),
            Fault::Incomplete => (
                S3ErrorCode::IncompleteBody,
                "The body ended before its announced length.",
            ),
            Fault::InvalidDigest => (S3ErrorCode::InvalidDigest, "The digest is not in base64."),
            Fault::InvalidPart => (
                S3ErrorCode::InvalidPart,
                "A part is missing or has another ETag.",
            ),
            Fault::InvalidPartOrder => (
                S3ErrorCode::InvalidPartOrder,
                "Parts must be named in ascending order.",
            ),
            Fault::PartTooSmall => (
                S3ErrorCode::EntityTooSmall,
                "Every part but the last has at least 5 MiB.",
            ),
            Fault::InvalidRange => (
                S3ErrorCode::InvalidRange,
                "The range lies outside the object.",
            ),
            Fault::InvalidArgument(what) => (S3ErrorCode::InvalidArgument, what),
            Fault::NotImplemented(what) => (S3ErrorCode::NotImplemented, what),
            Fault::Io(error) => return io_error(error),
        };
        Self::with_message(code, message)
    }
}

fn io_error(error: io::Error) -> S3Error {
    use io::ErrorKind;
    let (code, message) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            (S3ErrorCode::InternalError, "The disk is full.")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            S3ErrorCode::AccessDenied,
            "The daemon's user may not do this in the folder.",
        ),
        ErrorKind::InvalidFilename => (
            S3ErrorCode::KeyTooLongError,
            "The file system can't hold this key.",
        ),
        _ => (S3ErrorCode::InternalError, "The file system failed."),
    };
    let mut answer = S3Error::with_message(code, message);
    answer.set_source(Box::new(error));
    answer
}
