//! Why a signature is refused. The texts may reach the client: they name the cause and never
//! hold a secret, a computed signature or the text that was refused.

use http::HeaderName;

/// Why a request is not authenticated. The S3 code that fits is named at each variant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No signature at all (403 `AccessDenied`).
    #[error("the request is not signed")]
    Missing,
    /// A part of the authorization cannot be read (400 `AuthorizationHeaderMalformed` or
    /// `AuthorizationQueryParametersError`).
    #[error("the authorization is malformed: {0}")]
    Malformed(&'static str),
    /// Something that must be said once was said twice, in headers, in the query or in both
    /// (400 `InvalidRequest`; threats.md A5).
    #[error("the authorization is ambiguous: {0}")]
    Conflict(&'static str),
    /// A kind of authentication that is refused on purpose.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The path or query cannot be decoded, or holds control characters (400 `InvalidURI`).
    #[error("the request target is not a valid path and query")]
    InvalidTarget,
    /// An `x-amz-*` header was sent but not signed (403 `AccessDenied`; gateway.md 10).
    #[error("the header {0} was sent but not signed; sign every x-amz-* header")]
    UnsignedHeader(HeaderName),
    /// `host` is not among the signed headers (403 `AccessDenied`; gateway.md 10).
    #[error("the host header must be signed")]
    HostNotSigned,
    /// The scope's date is not the request's (400 `AuthorizationHeaderMalformed`; gateway.md 16).
    #[error("the date in the credential scope is not the date of the request")]
    ScopeDate,
    /// More than 15 minutes from the gateway's time (403 `RequestTimeTooSkewed`).
    #[error(
        "the request's time differs from the gateway's by more than 15 minutes; check the clock"
    )]
    Skewed,
    /// A presigned URL's time is over (403 `AccessDenied`).
    #[error("the presigned URL has expired")]
    Expired,
    /// `X-Amz-Expires` is not 1 to 604800 (403 `AccessDenied`; gateway.md 15).
    #[error("X-Amz-Expires must be a number of seconds from 1 to 604800")]
    InvalidExpires,
    /// A header-signed request without `x-amz-content-sha256` (400 `InvalidRequest`).
    #[error("the header x-amz-content-sha256 is missing")]
    MissingPayloadHash,
    /// `x-amz-content-sha256` is neither a SHA-256 in lower-case hex nor a known form
    /// (400 `InvalidArgument`).
    #[error("x-amz-content-sha256 is neither a SHA-256 nor a known payload form")]
    InvalidPayloadHash,
    /// The signature is not the one that the secret gives (403 `SignatureDoesNotMatch`).
    #[error(
        "the signature does not match; check the secret access key and how the request is signed"
    )]
    Mismatch,
}

/// Authentication that is refused in any form (gateway.md 20, 21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// Signature Version 2, header or query (400 `InvalidRequest`). botocore still presigns with
    /// it for a few old regions.
    #[error(
        "Signature Version 2 is not supported: set the region to \"auto\" so that the client signs with Version 4"
    )]
    SigV2,
    /// Signature Version 4A (501 `NotImplemented`).
    #[error("Signature Version 4A is not supported: use AWS4-HMAC-SHA256")]
    SigV4A,
    /// Any other scheme (400 `InvalidRequest`).
    #[error("this authorization scheme is not supported: use AWS4-HMAC-SHA256")]
    Scheme,
    /// A session token: issued keys have none (400 `InvalidToken`).
    #[error("session tokens are not supported: use the key as it was issued")]
    SessionToken,
    /// A scope for `sts`, whose actions no issued key has (501 `NotImplemented`).
    #[error("STS is not supported")]
    Sts,
    /// A scope for a service other than `s3` (400 `AuthorizationHeaderMalformed`).
    #[error("the credential scope must name the service s3")]
    Service,
    /// A chunked body on a presigned URL, which has no seed that covers it (400 `InvalidRequest`).
    #[error("a presigned URL cannot carry an aws-chunked body")]
    PresignedChunks,
}
