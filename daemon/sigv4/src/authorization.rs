//! Reads the authorization of a request, from its header or from its query, without checking it.
//! It must never prefer one of two authorizations: a second one is a conflict (threats.md A5).

use std::collections::HashSet;

use bascule_domain::access_key::AccessKeyId;
use http::{HeaderMap, HeaderName, header};

use crate::{
    canonical::CanonicalTarget,
    error::{SignatureError, Unsupported},
    key::{ALGORITHM, TERMINATOR},
    payload::hash_from_hex,
    time::RequestTime,
};

/// The query parameters of a presigned URL, in lower case.
const QUERY_PARAMETERS: [&str; 7] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-security-token",
];
/// Enough for every client; it bounds the work that one request can cause.
const MOST_SIGNED_HEADERS: usize = 128;

/// `x-amz-*` headers that may be sent in several lines, since their value is a list or free text.
const LISTS: [&str; 2] = ["x-amz-object-attributes", "x-amz-trailer"];

/// An authorization as it was presented.
#[derive(Debug)]
pub(crate) struct Authorization {
    pub(crate) access_key_id: AccessKeyId,
    pub(crate) time: RequestTime,
    /// The region of the scope; any is accepted (gateway.md 19).
    pub(crate) region: String,
    pub(crate) signed: Vec<HeaderName>,
    /// `None` when the text is not 64 hex digits; such a signature matches nothing.
    pub(crate) signature: Option<[u8; 32]>,
    /// Seconds that a presigned URL lives; `None` for a header.
    pub(crate) expires: Option<Result<u32, SignatureError>>,
}

/// Whether a query parameter belongs to the authorization of a presigned URL.
pub(crate) fn authenticates(name: &str) -> bool {
    QUERY_PARAMETERS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Finds the one authorization of a request.
pub(crate) fn find(
    target: &CanonicalTarget,
    headers: &HeaderMap,
) -> Result<Authorization, SignatureError> {
    refuse_repetition(target, headers)?;
    let query = target.query();
    let presigned = query.iter().any(|(name, _)| authenticates(name));
    let presigned_v2 = query.iter().any(|(name, _)| name == "AWSAccessKeyId")
        && query.iter().any(|(name, _)| name == "Signature");
    // An empty header authorizes as little as none.
    let header = headers
        .get(header::AUTHORIZATION)
        .filter(|value| !value.is_empty());
    if header.is_some() && (presigned || presigned_v2) || presigned && presigned_v2 {
        return Err(SignatureError::Conflict(
            "use either the Authorization header or a presigned URL",
        ));
    }
    if headers.contains_key("x-amz-security-token")
        || headers.contains_key("x-amz-s3session-token")
        || parameter(query, "x-amz-security-token").is_some()
    {
        return Err(Unsupported::SessionToken.into());
    }
    match header {
        Some(value) => {
            let value = value
                .to_str()
                .map_err(|_| SignatureError::Malformed("the header is not ASCII"))?;
            from_header(value, headers)
        }
        None if presigned => from_query(query),
        None if presigned_v2 => Err(Unsupported::SigV2.into()),
        None => Err(SignatureError::Missing),
    }
}

/// Headers of which a second one may only repeat the first: servers differ in which they take.
const SINGLE: [&str; 6] = [
    "content-md5",
    "content-type",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "range",
];

/// What must be said once: the authorization, the host, and every `x-amz-*` name; and what must
/// not be said in two ways (gateway.md 11).
fn refuse_repetition(target: &CanonicalTarget, headers: &HeaderMap) -> Result<(), SignatureError> {
    // Most requests repeat none.
    let repeated = headers.keys_len() < headers.len();
    for name in headers.keys().filter(|_| repeated) {
        let text = name.as_str();
        let once = name == header::AUTHORIZATION
            || name == header::HOST
            || text.starts_with("x-amz-")
                && !text.starts_with("x-amz-meta-")
                && !LISTS.contains(&text);
        let single = SINGLE.contains(&text);
        let first = headers.get(name);
        let mut others = headers.get_all(name).iter().skip(1);
        if others.any(|value| once || single && Some(value) != first) {
            return Err(SignatureError::Conflict(
                "a header that must stand alone was sent twice",
            ));
        }
    }
    let mut seen = HashSet::new();
    for (name, _) in target.query() {
        if is_amz(name) && !seen.insert(name.to_ascii_lowercase()) {
            return Err(SignatureError::Conflict(
                "an X-Amz-* query parameter was sent twice",
            ));
        }
    }
    Ok(())
}

/// Whether a query parameter's name starts with `x-amz-`, in any case.
pub(crate) fn is_amz(name: &str) -> bool {
    name.as_bytes()
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"x-amz-"))
}

fn parameter<'a>(query: &'a [(String, String)], lower_case: &str) -> Option<&'a str> {
    query
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(lower_case))
        .map(|(_, value)| value.as_str())
}

fn from_header(value: &str, headers: &HeaderMap) -> Result<Authorization, SignatureError> {
    let (scheme, rest) = value
        .trim()
        .split_once([' ', '\t'])
        .unwrap_or((value.trim(), ""));
    known_scheme(scheme)?;
    let (mut credential, mut signed, mut signature) = (None, None, None);
    // Commas with or without blanks (gateway.md 18).
    for part in rest
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (name, value) = part
            .split_once('=')
            .ok_or(SignatureError::Malformed("a component has no value"))?;
        let slot = match name.trim_end() {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed,
            "Signature" => &mut signature,
            _ => return Err(SignatureError::Malformed("an unknown component")),
        };
        if slot.replace(value.trim_start()).is_some() {
            return Err(SignatureError::Conflict("a component was sent twice"));
        }
    }
    let (access_key_id, date, region) =
        parse_credential(credential.ok_or(SignatureError::Malformed("Credential is missing"))?)?;
    let signed =
        parse_signed(signed.ok_or(SignatureError::Malformed("SignedHeaders is missing"))?)?;
    let signature = signature.ok_or(SignatureError::Malformed("Signature is missing"))?;
    let time = header_time(headers)?;
    if date != time.date() {
        return Err(SignatureError::ScopeDate);
    }
    Ok(Authorization {
        access_key_id,
        time,
        region: region.to_owned(),
        signed,
        signature: hash_from_hex(signature.as_bytes()),
        expires: None,
    })
}

fn from_query(query: &[(String, String)]) -> Result<Authorization, SignatureError> {
    let required = |name, missing| parameter(query, name).ok_or(SignatureError::Malformed(missing));
    known_scheme(required("x-amz-algorithm", "X-Amz-Algorithm is missing")?)?;
    let (access_key_id, date, region) =
        parse_credential(required("x-amz-credential", "X-Amz-Credential is missing")?)?;
    let time = RequestTime::parse_iso(required("x-amz-date", "X-Amz-Date is missing")?).ok_or(
        SignatureError::Malformed("X-Amz-Date is not a time such as 20130524T000000Z"),
    )?;
    if date != time.date() {
        return Err(SignatureError::ScopeDate);
    }
    let signed = parse_signed(required(
        "x-amz-signedheaders",
        "X-Amz-SignedHeaders is missing",
    )?)?;
    let signature = required("x-amz-signature", "X-Amz-Signature is missing")?;
    let expires = required("x-amz-expires", "X-Amz-Expires is missing")?;
    Ok(Authorization {
        access_key_id,
        time,
        region: region.to_owned(),
        signed,
        signature: hash_from_hex(signature.as_bytes()),
        expires: Some(parse_expires(expires)),
    })
}

fn known_scheme(scheme: &str) -> Result<(), SignatureError> {
    match scheme {
        ALGORITHM => Ok(()),
        "AWS" => Err(Unsupported::SigV2.into()),
        _ if scheme.starts_with("AWS4-ECDSA-P256-SHA256") => Err(Unsupported::SigV4A.into()),
        _ => Err(Unsupported::Scheme.into()),
    }
}

/// `ID/DATE/REGION/s3/aws4_request`.
fn parse_credential(text: &str) -> Result<(AccessKeyId, &str, &str), SignatureError> {
    let mut parts = text.split('/');
    let (Some(id), Some(date), Some(region), Some(service), Some(terminator), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(SignatureError::Malformed(
            "the credential is not ID/DATE/REGION/SERVICE/aws4_request",
        ));
    };
    let id = id
        .parse()
        .map_err(|_| SignatureError::Malformed("the access key id has an impossible form"))?;
    if terminator != TERMINATOR {
        return Err(SignatureError::Malformed(
            "the credential does not end in aws4_request",
        ));
    }
    if region.len() > 128 || !region.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(SignatureError::Malformed(
            "the region of the credential has an impossible form",
        ));
    }
    match service {
        "s3" => Ok((id, date, region)),
        "sts" => Err(Unsupported::Sts.into()),
        _ => Err(Unsupported::Service.into()),
    }
}

/// The list is kept in the order in which it was signed.
fn parse_signed(text: &str) -> Result<Vec<HeaderName>, SignatureError> {
    let mut signed: Vec<HeaderName> = Vec::new();
    for name in text.split(';') {
        // A name is a token: anything else could forge lines of the canonical request.
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            SignatureError::Malformed("a signed header's name is not a header name")
        })?;
        if signed.len() == MOST_SIGNED_HEADERS {
            return Err(SignatureError::Malformed("too many signed headers"));
        }
        if signed.contains(&name) {
            return Err(SignatureError::Conflict("a signed header is listed twice"));
        }
        signed.push(name);
    }
    if !signed.contains(&header::HOST) {
        return Err(SignatureError::HostNotSigned);
    }
    Ok(signed)
}

fn header_time(headers: &HeaderMap) -> Result<RequestTime, SignatureError> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if headers.contains_key("x-amz-date") {
        return text(&HeaderName::from_static("x-amz-date"))
            .and_then(RequestTime::parse_iso)
            .ok_or(SignatureError::Malformed(
                "x-amz-date is not a time such as 20130524T000000Z",
            ));
    }
    if headers.get_all(header::DATE).iter().nth(1).is_some() {
        return Err(SignatureError::Conflict(
            "a header that must stand alone was sent twice",
        ));
    }
    text(&header::DATE)
        .and_then(RequestTime::parse_date_header)
        .ok_or(SignatureError::Malformed(
            "neither x-amz-date nor Date holds a time",
        ))
}

fn parse_expires(text: &str) -> Result<u32, SignatureError> {
    let digits = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = if digits { text.parse().unwrap_or(0) } else { 0 };
    if (1..=604_800).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(SignatureError::InvalidExpires)
    }
}
