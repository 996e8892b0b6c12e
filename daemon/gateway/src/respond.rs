//! Every refusal and its answer, in one place: S3 status, code, message, and the headers that
//! reach a human through tools that hide bodies (gateway.md 54). It must never answer a dead key
//! with 404 or an empty listing, name an endpoint or a provider's key, or send CORS headers.

use std::sync::Arc;

use bascule_domain::{
    access::Denial,
    names::{ConnectionName, Label},
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_sigv4::{ChunkError, SignatureError, Unsupported};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use jiff::SignedDuration;
use quick_xml::escape::escape;

use crate::{
    admission::PausedBy, checksum::ChecksumError, exchange::Fault, framing::Violation,
    reason::Reason, reply::ReplyBody, upstream::UpstreamErrorKind,
};

/// Whose key it is, for messages.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) connection: Arc<ConnectionName>,
    pub(crate) label: Label,
}

/// Why a request is not carried out.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Not signed as it must be.
    Signature(SignatureError),
    /// No key, living or dead, has this id.
    UnknownKey,
    /// The key is dead.
    Revoked(Option<Box<Tombstone>>),
    /// The whole connection is paused.
    ConnectionPaused(Arc<ConnectionName>, PausedBy),
    /// The connection has as many requests open as it may.
    ConnectionBusy {
        /// Which.
        connection: Arc<ConnectionName>,
        /// So many.
        limit: usize,
    },
    /// `domain::access` said no, or would have.
    Denied {
        denial: Denial,
        holder: Option<Holder>,
    },
    /// Not in the table of what is allowed.
    NotAllowed(&'static str),
    /// The permit was withdrawn between the decision and the signature.
    Withdrawn,
    /// `CreateBucket` for a bucket that the key may use (gateway.md 55).
    BucketIsYours,
    /// Where the request ends can be understood in several ways (threats.md A17).
    Framing(Violation),
    /// The host header names somebody else (threats.md E4).
    ForeignHost(Box<str>),
    /// A browser's preflight.
    Preflight,
    /// A browser's upload form (gateway.md 36).
    PostForm,
    /// A header that would change what the request does.
    HeaderNotSupported(HeaderName),
    /// The target is not in a form on which everybody agrees.
    InvalidUri(&'static str),
    /// No provider keeps an object of this name.
    KeyTooLong,
    /// The request contradicts itself.
    InvalidRequest(&'static str),
    /// A parameter cannot be read.
    InvalidArgument(&'static str),
    /// A body that must be XML of a known form is not.
    MalformedXml(&'static str),
    /// A body that is read whole is longer than so many bytes.
    TooLarge(usize),
    /// An aws-chunked body is wrong.
    Chunks(ChunkError),
    /// A body was signed, but its length was not stated.
    LengthMissing,
    /// The body has not the SHA-256 that was signed.
    ContentMismatch,
    /// A checksum trailer of the body is wrong.
    Checksum(ChecksumError),
    /// The body ended early.
    IncompleteBody,
    /// The client sent nothing of its body for too long.
    Stalled,
    /// The upload belongs to another object or connection (threats.md B2).
    NoSuchUpload,
    /// The provider's answer did not arrive.
    Upstream(UpstreamErrorKind),
    /// The provider refused the connection's own credentials (gateway.md 46).
    CredentialsRefused(Arc<ConnectionName>),
    /// The bucket's region was learned from the provider's answer (gateway.md 47).
    RegionLearned(Arc<ConnectionName>),
    /// The provider does not take trailers, which was learned just now (gateway.md 26).
    TrailersRefused(Arc<ConnectionName>),
    /// The provider does not take conditions on writes, which was learned just now.
    ConditionsRefused(Arc<ConnectionName>),
    /// The client asked not to overwrite, and the object exists.
    ObjectExists,
    /// The object is being written, and this key may not overwrite.
    ObjectBusy,
    /// Whether the object exists could not be found out, and this key may not overwrite.
    ExistenceUnknown(Arc<ConnectionName>),
    /// The provider's clock and ours differ (threats.md I8); by how much, if it told.
    ClockSkewed {
        connection: Arc<ConnectionName>,
        ahead: Option<SignedDuration>,
    },
    /// The provider sends elsewhere: a wrong region or address, or a bucket made just now.
    Redirected(Arc<ConnectionName>),
}

impl From<Fault> for Refusal {
    /// For a body that is read whole: nothing can cut it but its own faults.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Mismatch => Self::ContentMismatch,
            Fault::Chunks(error) => Self::Chunks(error),
            Fault::Checksum(error) => Self::Checksum(error),
            Fault::Incomplete => Self::IncompleteBody,
            Fault::Stalled => Self::Stalled,
            Fault::Cut => Self::Withdrawn,
        }
    }
}

struct Answer {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// What the request id starts with.
    reason: Reason,
    /// A command for the human.
    next: Option<String>,
}

impl Refusal {
    /// A denial whose holder is filled in later by [`held_by`](Self::held_by).
    pub(crate) const fn denied(denial: Denial) -> Self {
        Self::Denied {
            denial,
            holder: None,
        }
    }

    /// Adds whose key it is, where the message tells it.
    pub(crate) fn held_by(self, holder: impl FnOnce() -> Holder) -> Self {
        match self {
            Self::Denied {
                denial,
                holder: None,
            } => Self::Denied {
                denial,
                holder: Some(holder()),
            },
            other => other,
        }
    }

    fn answer(&self) -> Answer {
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::Signature(error) => {
                let (status, code) = signature(error);
                Answer::new(status, code, format!("Bascule: {error}."), Reason::NotAuthenticated)
            }
            Self::UnknownKey => Answer::new(
                FORBIDDEN,
                "InvalidAccessKeyId",
                "Bascule: no key with this access key id exists or has existed here.".into(),
                Reason::KeyUnknown,
            )
            .next("bascule key list"),
            Self::Revoked(tombstone) => revoked(tombstone.as_deref()),
            Self::ConnectionPaused(name, by) => paused(name, *by),
            Self::ConnectionBusy { connection, limit } => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "SlowDown",
                format!("Bascule: connection \"{connection}\" has as many requests open as its limit allows, {limit}; send this one again later."),
                Reason::ConnectionBusy,
            )
            .next(format!("bascule limit {connection}")),
            Self::Denied { denial, holder } => denied(*denial, holder.as_ref()),
            Self::NotAllowed(what) => Answer::new(
                FORBIDDEN,
                "AccessDenied",
                format!("Bascule: {what} is not among the operations that keys may run."),
                Reason::NotPermitted,
            )
            .next("bascule key list"),
            Self::Withdrawn => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "SlowDown",
                "Bascule: this key was changed while the request was being admitted; send it again.".into(),
                Reason::KeyChanged,
            ),
            Self::BucketIsYours => Answer::new(
                StatusCode::CONFLICT,
                "BucketAlreadyOwnedByYou",
                "Bascule: this bucket exists, and this key may use it.".into(),
                Reason::BucketExists,
            ),
            Self::Framing(violation) => {
                let (status, code) = match violation {
                    Violation::TargetTooLong => (StatusCode::URI_TOO_LONG, "RequestHeaderSectionTooLarge"),
                    Violation::HeadTooLong => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "RequestHeaderSectionTooLarge"),
                    _ => (BAD, "InvalidRequest"),
                };
                Answer::new(status, code, format!("Bascule: {violation}."), Reason::NotValid)
            }
            Self::ForeignHost(host) => Answer::new(
                FORBIDDEN,
                "AccessDenied",
                format!("Bascule: the host \"{host}\" is not this gateway. If it is meant to be, add the name to hosts under [gateway] in the daemon's configuration."),
                Reason::HostNotAllowed,
            ),
            Self::Preflight => Answer::new(
                FORBIDDEN,
                "AccessForbidden",
                "Bascule: this endpoint does not serve browsers.".into(),
                Reason::NotPermitted,
            ),
            Self::PostForm => Answer::new(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                "Bascule: uploads by POST form are not supported; use PUT or a presigned PUT.".into(),
                Reason::NotSupported,
            ),
            Self::HeaderNotSupported(name) => Answer::new(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                format!("Bascule: the header {name} is not supported on this request."),
                Reason::NotSupported,
            ),
            Self::InvalidUri(why) => Answer::bad("InvalidURI", why),
            Self::KeyTooLong => Answer::bad("KeyTooLongError", "the object key is longer than 1024 bytes"),
            Self::InvalidRequest(why) => Answer::bad("InvalidRequest", why),
            Self::InvalidArgument(why) => Answer::bad("InvalidArgument", why),
            Self::MalformedXml(why) => Answer::bad("MalformedXML", why),
            Self::TooLarge(limit) => Answer::bad(
                "MaxMessageLengthExceeded",
                &format!("the body of this request is longer than {limit} bytes"),
            ),
            Self::Chunks(error) => {
                let (status, code) = chunks(*error);
                Answer::new(status, code, format!("Bascule: {error}."), Reason::BodyRefused)
            }
            Self::LengthMissing => Answer::new(
                StatusCode::LENGTH_REQUIRED,
                "MissingContentLength",
                "Bascule: the header Content-Length is missing.".into(),
                Reason::NotValid,
            ),
            Self::ContentMismatch => Answer::new(
                BAD,
                "XAmzContentSHA256Mismatch",
                "Bascule: the body has not the SHA-256 that x-amz-content-sha256 states; nothing was stored.".into(),
                Reason::BodyRefused,
            ),
            Self::IncompleteBody => Answer::new(
                BAD,
                "IncompleteBody",
                "Bascule: the body ended before its announced length; nothing was stored.".into(),
                Reason::BodyRefused,
            ),
            Self::Checksum(error) => {
                let code = match error {
                    ChecksumError::Other => "MalformedTrailerError",
                    ChecksumError::Malformed | ChecksumError::Unknown => "InvalidRequest",
                    ChecksumError::Mismatch => "BadDigest",
                };
                Answer::new(BAD, code, format!("Bascule: {error}; nothing was stored."), Reason::BodyRefused)
            }
            Self::Stalled => Answer::new(
                BAD,
                "RequestTimeout",
                "Bascule: nothing of the body came for too long; nothing was stored.".into(),
                Reason::BodyRefused,
            ),
            Self::NoSuchUpload => Answer::new(
                StatusCode::NOT_FOUND,
                "NoSuchUpload",
                "Bascule: this upload was begun for another object or through another connection.".into(),
                Reason::NotPermitted,
            ),
            Self::Upstream(kind) => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("Bascule: {kind}. The key is valid; try again later."),
                Reason::ProviderUnavailable,
            )
            .next("bascule status"),
            Self::Redirected(name) => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("Bascule: the provider redirects requests of connection \"{name}\": its region or address may be wrong. This key is valid."),
                Reason::ProviderRedirects,
            )
            .next(format!("bascule show {name}")),
            Self::RegionLearned(name) => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("Bascule: the provider of connection \"{name}\" named the bucket's region just now; send the request again."),
                Reason::ProviderRegion,
            )
            .next(format!("bascule show {name}")),
            Self::TrailersRefused(name) => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("Bascule: the provider of connection \"{name}\" takes no trailers; send the request again, and its checksum is compared here."),
                Reason::ProviderTrailers,
            ),
            Self::ConditionsRefused(name) => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("Bascule: the provider of connection \"{name}\" takes no conditions on writes; send the request again, and whether the object exists is checked here."),
                Reason::ProviderConditions,
            ),
            Self::ObjectExists => Answer::new(
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailed",
                "Bascule: the object exists, and the request asked not to overwrite it.".into(),
                Reason::ObjectExists,
            ),
            Self::ObjectBusy => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "SlowDown",
                "Bascule: another request is adding this object, and this key may not overwrite; send it again later.".into(),
                Reason::ObjectBusy,
            ),
            Self::ExistenceUnknown(name) => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("Bascule: this key may add but not overwrite, and the provider of connection \"{name}\" does not tell whether the object exists; its credentials may lack the right to list."),
                Reason::ProviderUnavailable,
            )
            .next(format!("bascule show {name}")),
            Self::ClockSkewed { connection, ahead } => {
                let apart = match ahead {
                    Some(ahead) if ahead.is_negative() => {
                        format!("{} s behind this machine's", ahead.as_secs().unsigned_abs())
                    }
                    Some(ahead) => format!("{} s ahead of this machine's", ahead.as_secs()),
                    None => "too far from this machine's".to_owned(),
                };
                Answer::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "ServiceUnavailable",
                    format!("Bascule: the clock of the provider of connection \"{connection}\" is {apart}. Set the clock that is wrong; this key is valid."),
                    Reason::ProviderClock,
                )
                .next("date -u")
            }
            Self::CredentialsRefused(name) => Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailable",
                format!("Bascule: the provider refuses the credentials of connection \"{name}\". This key is valid."),
                Reason::ProviderCredentials,
            )
            .next(format!("bascule show {name}")),
        }
    }

    /// In one word.
    pub(crate) fn reason(&self) -> Reason {
        self.answer().reason
    }

    /// In a sentence.
    pub(crate) fn message(&self) -> String {
        self.answer().message
    }

    /// The answer. `close` ends the connection after it, for requests whose body was not read;
    /// `tail` makes the request id unique; `finding` is where more stands about the refusal.
    pub(crate) fn respond(
        &self,
        asked: AskedBy,
        close: bool,
        tail: &str,
        finding: Option<&str>,
    ) -> Response<ReplyBody> {
        let mut answer = self.answer();
        if let Some(finding) = finding {
            let command = format!("bascule findings show {finding}");
            // Tools that hide the host id show the message.
            answer.message = format!("{} Run: {command}", answer.message);
            answer.next = Some(command);
        }
        if answer.status == StatusCode::FORBIDDEN && asked != AskedBy::Other {
            answer.code = "AccessDenied";
        }
        let request_id = format!("{}-{tail}", answer.reason);
        let host_id = answer
            .next
            .as_ref()
            .map_or_else(|| "bascule".to_owned(), |next| format!("run: {next}"));
        let mut response = Response::new(ReplyBody::empty());
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert("x-amz-request-id", text(&request_id));
        headers.insert("x-amz-id-2", text(&host_id));
        if close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if asked == AskedBy::Head {
            headers.insert("x-minio-error-code", HeaderValue::from_static(answer.code));
            headers.insert("x-minio-error-desc", text(&answer.message));
        } else {
            let body = document(&answer, &request_id, &host_id);
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/xml"),
            );
            *response.body_mut() = ReplyBody::whole(body);
        }
        response
    }
}

/// What kind of request is refused, as far as the form of the answer depends on it. minio-go, and
/// so restic and mc, takes `AccessDenied` as final and repeats for minutes on
/// `InvalidAccessKeyId`; the two requests that it begins with get the former (gateway.md 54).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedBy {
    /// HEAD: the answer has no body (gateway.md 41).
    Head,
    /// `GetBucketLocation`.
    Location,
    /// All others.
    Other,
}

impl AskedBy {
    pub(crate) fn of(method: &Method, query: Option<&str>) -> Self {
        let location = |query: &str| {
            query
                .split('&')
                .any(|pair| matches!(pair, "location" | "location="))
        };
        match *method {
            Method::HEAD => Self::Head,
            Method::GET if query.is_some_and(location) => Self::Location,
            _ => Self::Other,
        }
    }
}

impl Answer {
    const fn new(status: StatusCode, code: &'static str, message: String, reason: Reason) -> Self {
        Self {
            status,
            code,
            message,
            reason,
            next: None,
        }
    }

    fn bad(code: &'static str, why: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            code,
            format!("Bascule: {why}."),
            Reason::NotValid,
        )
    }

    fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }
}

fn paused(connection: &ConnectionName, by: PausedBy) -> Answer {
    let (because, next) = match by {
        PausedBy::User => ("", format!("bascule resume {connection}")),
        PausedBy::Leak => (
            ", because its key at the provider has leaked",
            "bascule status".to_owned(),
        ),
        PausedBy::ScreamTest => (
            ", to see who still uses it; this has been told",
            "bascule deletion list".to_owned(),
        ),
        PausedBy::Deletion => (
            ", because it is being deleted",
            "bascule deletion list".to_owned(),
        ),
        PausedBy::Restore => (
            ", because its state comes from a backup",
            "bascule activate".to_owned(),
        ),
    };
    Answer::new(
        StatusCode::FORBIDDEN,
        "AccessDenied",
        format!("Bascule: connection \"{connection}\" is paused{because}."),
        Reason::KeyPaused,
    )
    .next(next)
}

fn revoked(tombstone: Option<&Tombstone>) -> Answer {
    let message = match tombstone {
        Some(dead) => {
            let why = match dead.cause {
                CauseOfDeath::Revoked => "was revoked",
                CauseOfDeath::Rotated { .. } => "was replaced by a new key",
                CauseOfDeath::CalledOff { .. } => "was given up when its rotation was called off",
                CauseOfDeath::ConnectionDeleted { .. } => {
                    "was revoked when its connection was deleted"
                }
            };
            format!(
                "Bascule: key \"{}\" ({}) of connection \"{}\" {why} at {:.0}. The bucket and its objects are not affected.",
                dead.label, dead.masked, dead.connection_name, dead.died_at
            )
        }
        None => {
            "Bascule: this key was revoked. The bucket and its objects are not affected.".into()
        }
    };
    Answer::new(
        StatusCode::FORBIDDEN,
        "InvalidAccessKeyId",
        message,
        Reason::KeyRevoked,
    )
    .next("bascule key list")
}

fn denied(denial: Denial, holder: Option<&Holder>) -> Answer {
    let key = holder.map_or_else(
        || "this key".to_owned(),
        |holder| {
            format!(
                "key \"{}\" of connection \"{}\"",
                holder.label, holder.connection
            )
        },
    );
    let (reason, why) = match denial {
        Denial::Paused => (Reason::KeyPaused, format!("{key} is paused")),
        Denial::Expired => (Reason::KeyExpired, format!("{key} has expired")),
        Denial::Address => (
            Reason::AddressNotAllowed,
            format!("{key} may not be used from this address"),
        ),
        Denial::Permission => (
            Reason::NotPermitted,
            format!("{key} lacks the right to do this"),
        ),
        Denial::Overwrite => (
            Reason::NotPermitted,
            format!("{key} may add but not overwrite, and this object exists; it was not changed"),
        ),
        Denial::Bucket => (
            Reason::NotPermitted,
            format!("{key} may not use this bucket"),
        ),
        Denial::Prefix => (
            Reason::NotPermitted,
            format!("{key} may not use objects outside its prefixes"),
        ),
        Denial::BucketAdmin => (
            Reason::NotPermitted,
            "changing a bucket, its rules or its owners is denied to every key".to_owned(),
        ),
    };
    Answer::new(
        StatusCode::FORBIDDEN,
        "AccessDenied",
        format!("Bascule: {why}."),
        reason,
    )
    .next("bascule key list")
}

fn signature(error: &SignatureError) -> (StatusCode, &'static str) {
    const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match error {
        SignatureError::Missing
        | SignatureError::UnsignedHeader(_)
        | SignatureError::HostNotSigned
        | SignatureError::Expired
        | SignatureError::InvalidExpires => (FORBIDDEN, "AccessDenied"),
        SignatureError::Malformed(_) | SignatureError::ScopeDate => {
            (BAD, "AuthorizationHeaderMalformed")
        }
        SignatureError::Conflict(_) | SignatureError::MissingPayloadHash => (BAD, "InvalidRequest"),
        SignatureError::InvalidTarget => (BAD, "InvalidURI"),
        SignatureError::Skewed => (FORBIDDEN, "RequestTimeTooSkewed"),
        SignatureError::InvalidPayloadHash => (BAD, "InvalidArgument"),
        SignatureError::Unsupported(kind) => match kind {
            Unsupported::SigV4A | Unsupported::Sts => {
                (StatusCode::NOT_IMPLEMENTED, "NotImplemented")
            }
            Unsupported::SessionToken => (BAD, "InvalidToken"),
            Unsupported::Service => (BAD, "AuthorizationHeaderMalformed"),
            Unsupported::SigV2 | Unsupported::Scheme | Unsupported::PresignedChunks => {
                (BAD, "InvalidRequest")
            }
        },
        // The mismatch itself, and any cause added later: never authenticated.
        _ => (FORBIDDEN, "SignatureDoesNotMatch"),
    }
}

fn chunks(error: ChunkError) -> (StatusCode, &'static str) {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match error {
        ChunkError::LengthMissing => (StatusCode::LENGTH_REQUIRED, "MissingContentLength"),
        ChunkError::Header => (BAD, "InvalidArgument"),
        ChunkError::Signature => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
        ChunkError::Length | ChunkError::Incomplete => (BAD, "IncompleteBody"),
        ChunkError::Trailer => (BAD, "MalformedTrailerError"),
        _ => (BAD, "InvalidRequest"),
    }
}

fn document(answer: &Answer, request_id: &str, host_id: &str) -> Bytes {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message><RequestId>{}</RequestId><HostId>{}</HostId></Error>",
        answer.code,
        escape(answer.message.as_str()),
        escape(request_id),
        escape(host_id),
    )
    .into()
}

/// A header value; characters that a header cannot hold become `?`, a masked id's dots stay dots.
fn text(value: &str) -> HeaderValue {
    let ascii: String = value
        .replace('…', "...")
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect();
    HeaderValue::from_str(&ascii).unwrap_or_else(|_| HeaderValue::from_static("bascule"))
}
