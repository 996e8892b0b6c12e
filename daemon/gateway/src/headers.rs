//! Which headers of a request go upstream: an allow-list by action (gateway.md, opening). It must
//! never forward a header because it was there: one that would change what a request does and is
//! not on the list is refused, and any other is left behind.

use bascule_domain::operation::Action;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::respond::Refusal;

/// Any request may carry these. A condition is the provider's to judge: left behind, it would turn
/// a request that must not happen into one that does.
const ANY: &[&str] = &[
    "x-amz-expected-bucket-owner",
    "x-amz-request-payer",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-unmodified-since",
];
const DELETE: &[&str] = &["x-amz-if-match-last-modified-time", "x-amz-if-match-size"];
const READ: &[&str] = &["range", "if-range", "x-amz-checksum-mode"];
const LISTING: &[&str] = &["x-amz-optional-object-attributes"];
const ATTRIBUTES: &[&str] = &[
    "x-amz-object-attributes",
    "x-amz-max-parts",
    "x-amz-part-number-marker",
];
const BODY: &[&str] = &[
    "content-type",
    "content-md5",
    "x-amz-sdk-checksum-algorithm",
];
const NEW_OBJECT: &[&str] = &[
    "content-type",
    "content-encoding",
    "content-language",
    "content-disposition",
    "cache-control",
    "expires",
    "x-amz-acl",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-website-redirect-location",
    "x-amz-object-lock-mode",
    "x-amz-object-lock-retain-until-date",
    "x-amz-object-lock-legal-hold",
];
const COPY: &[&str] = &[
    "x-amz-metadata-directive",
    "x-amz-tagging-directive",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-copy-source-range",
    "x-amz-source-expected-bucket-owner",
];
const RENAME: &[&str] = &[
    "x-amz-rename-source-if-match",
    "x-amz-rename-source-if-none-match",
    "x-amz-rename-source-if-modified-since",
    "x-amz-rename-source-if-unmodified-since",
    "x-amz-client-token",
];
const META: &str = "x-amz-meta-";
/// MinIO would unpack the object into many that nobody asked a permit for.
const SNOWBALL: &str = "x-amz-meta-snowball-";
const CHECKSUM: &str = "x-amz-checksum-";
const SSE: &str = "x-amz-server-side-encryption";
const SSE_CUSTOMER: &str = "x-amz-server-side-encryption-customer-";
const COPY_SSE: &str = "x-amz-copy-source-server-side-encryption-customer-";

/// Headers that the gateway itself reads, makes anew, or that change nothing.
const LEFT_BEHIND: &[&str] = &[
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
    "x-amz-copy-source",
    "x-amz-rename-source",
    "x-amz-user-agent",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-te",
    // Means something for new objects only, and was found harmless there.
    "x-amz-acl",
];

/// What goes upstream of the client's headers, before the gateway's own are added. A tab in one is
/// refused: some servers sign it as a blank and some as it is, and a provider of the other kind
/// would seem to refuse the connection's credentials.
pub(crate) fn rebuild(action: Action, client: &HeaderMap) -> Result<HeaderMap, Refusal> {
    let mut rebuilt = HeaderMap::with_capacity(client.len() + 6);
    let names_some = client.contains_key(header::CONNECTION);
    for (name, value) in client {
        if names_some && hop_by_hop(client, name) {
            if forwards(action, name.as_str()) || !harmless(name.as_str()) {
                return Err(Refusal::InvalidRequest(
                    "the connection header names a header that is part of the request",
                ));
            }
            continue;
        }
        if name == "x-amz-trailer" && !announces_checksums(value)
            || name.as_str().starts_with(SNOWBALL)
        {
            return Err(Refusal::HeaderNotSupported(name.clone()));
        }
        if forwards(action, name.as_str()) {
            if value.as_bytes().contains(&b'\t') {
                return Err(Refusal::InvalidArgument(
                    "a header of this request holds a tab, of which signatures are made in two ways",
                ));
            }
            rebuilt.append(name, value.clone());
        } else if !harmless(name.as_str()) {
            return Err(Refusal::HeaderNotSupported(name.clone()));
        }
    }
    encoding(action, client, &mut rebuilt);
    Ok(rebuilt)
}

/// Whether the header states an object's checksum, of whatever algorithm (gateway.md 29).
pub(crate) fn is_checksum(name: &str) -> bool {
    name.starts_with(CHECKSUM)
}

/// Trailers are read after the permit was given, so they may hold nothing that needs one.
fn announces_checksums(names: &HeaderValue) -> bool {
    names.as_bytes().split(|&b| b == b',').all(|name| {
        std::str::from_utf8(name.trim_ascii())
            .is_ok_and(|name| is_checksum(&name.to_ascii_lowercase()))
    })
}

/// Whether the request carries a customer's encryption key (gateway.md 50).
pub(crate) fn has_customer_key(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .any(|name| name.as_str().starts_with(SSE_CUSTOMER) || name.as_str().starts_with(COPY_SSE))
}

/// Named by `Connection`: meant for this hop only (threats.md A16). What belongs to the request can't
/// be: `Connection` is not signed, and would take away what was, such as a condition or a checksum.
fn hop_by_hop(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        value.as_bytes().split(|&b| b == b',').any(|token| {
            token
                .trim_ascii()
                .eq_ignore_ascii_case(name.as_str().as_bytes())
        })
    })
}

fn forwards(action: Action, name: &str) -> bool {
    let (lists, prefixes) = lists(action);
    ANY.contains(&name)
        || lists.iter().any(|list| list.contains(&name))
        || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

type Lists = (&'static [&'static [&'static str]], &'static [&'static str]);

const fn lists(action: Action) -> Lists {
    match action {
        Action::GetObject | Action::HeadObject => (&[READ], &[SSE]),
        Action::GetObjectAttributes => (&[ATTRIBUTES], &[SSE]),
        Action::ListObjects | Action::ListObjectsV2 | Action::ListObjectVersions => {
            (&[LISTING], &[])
        }
        Action::ListParts => (&[], &[SSE]),
        Action::SelectObjectContent => (&[BODY], &[SSE]),
        Action::PutObject => (&[NEW_OBJECT, BODY], &[META, CHECKSUM, SSE]),
        Action::CopyObject => (&[NEW_OBJECT, COPY], &[META, CHECKSUM, SSE, COPY_SSE]),
        Action::CreateMultipartUpload => (&[NEW_OBJECT], &[META, CHECKSUM, SSE]),
        Action::UploadPart => (&[BODY], &[CHECKSUM, SSE]),
        Action::UploadPartCopy => (&[COPY], &[SSE, COPY_SSE]),
        Action::CompleteMultipartUpload => (&[BODY, &["x-amz-mp-object-size"]], &[CHECKSUM, SSE]),
        Action::AbortMultipartUpload => (&[&["x-amz-if-match-initiated-time"]], &[]),
        Action::PutObjectTagging | Action::RestoreObject | Action::DeleteObjects => {
            (&[BODY], &[CHECKSUM])
        }
        Action::DeleteObject => (&[DELETE], &[]),
        Action::RenameObject => (&[RENAME], &[]),
        _ => (&[], &[]),
    }
}

/// Whether a header that is not forwarded may be left behind in silence. A vendor's header may
/// change what the request does (`x-amz-write-offset-bytes`, `x-minio-force-delete`): never.
fn harmless(name: &str) -> bool {
    let vendor = [
        "x-amz-", "x-minio-", "x-rgw-", "x-goog-", "x-oss-", "x-cos-", "cf-",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix));
    !vendor || name.starts_with(META) || LEFT_BEHIND.contains(&name)
}

/// HEAD asks for the plain form, or some providers leave its length out; GET asks for what the
/// client asked for, or some providers unpack what is stored packed (gateway.md 42).
fn encoding(action: Action, client: &HeaderMap, rebuilt: &mut HeaderMap) {
    match action {
        Action::HeadObject | Action::HeadBucket => {
            rebuilt.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            );
        }
        Action::GetObject => {
            for value in client.get_all(header::ACCEPT_ENCODING) {
                rebuilt.append(header::ACCEPT_ENCODING, value.clone());
            }
        }
        _ => {}
    }
}
