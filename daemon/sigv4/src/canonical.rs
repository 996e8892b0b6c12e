//! The one canonical form of a request's path, query and signed headers (gateway.md 1-8).
//!
//! A path is decoded once and encoded once. It must never be normalised, and never encoded twice:
//! policy, the upstream signature and the wire all get the form made here.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::{error::SignatureError, key::Sha256};

/// All but the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// What was signed, in the one form that goes to policy, signature and wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalTarget {
    path: String,
    decoded_path: Vec<u8>,
    query: Vec<(String, String)>,
}

impl CanonicalTarget {
    /// The canonical encoded path. It starts with `/` and keeps `//`, `.` and `..`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path, percent-decoded once. It need not be UTF-8.
    #[must_use]
    pub fn decoded_path(&self) -> &[u8] {
        &self.decoded_path
    }

    /// The decoded name and value pairs in the order of the wire, without what authenticates
    /// (the seven `X-Amz-*` parameters) and without what becomes a header (gateway.md 12).
    /// A name without `=` has an empty value.
    #[must_use]
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The pairs of [`query`](Self::query), canonical: encoded, sorted by name and then value.
    #[must_use]
    pub fn encoded_query(&self) -> String {
        encode_query(&self.query)
    }

    /// Reads `path?query` from the wire. Bad escapes, control characters, and a query that is not
    /// UTF-8 are refused: they have no form on which everybody agrees.
    pub(crate) fn parse(target: &str) -> Result<Self, SignatureError> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !path.starts_with('/') || target.bytes().any(|b| b.is_ascii_control() || b == b' ') {
            return Err(SignatureError::InvalidTarget);
        }
        let decoded_path = decode(path.as_bytes())?.into_owned();
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(pair)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            path: encode_path(&decoded_path),
            decoded_path,
            query,
        })
    }

    /// Takes the pairs for which `take` says so out of the query.
    pub(crate) fn extract(&mut self, mut take: impl FnMut(&str) -> bool) -> Vec<(String, String)> {
        self.query.extract_if(.., |(name, _)| take(name)).collect()
    }
}

fn pair(text: &str) -> Result<(String, String), SignatureError> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    Ok((decode_query(name)?, decode_query(value)?))
}

/// In a query `+` means a blank (gateway.md 5).
fn decode_query(text: &str) -> Result<String, SignatureError> {
    let blanks = if text.contains('+') {
        Cow::Owned(text.replace('+', " "))
    } else {
        Cow::Borrowed(text)
    };
    let bytes = decode(blanks.as_bytes())?.into_owned();
    String::from_utf8(bytes).map_err(|_| SignatureError::InvalidTarget)
}

fn decode(text: &[u8]) -> Result<Cow<'_, [u8]>, SignatureError> {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&b| b == b'%') {
        let escape = rest
            .get(at + 1..at + 3)
            .ok_or(SignatureError::InvalidTarget)?;
        if !escape.iter().all(u8::is_ascii_hexdigit) {
            return Err(SignatureError::InvalidTarget);
        }
        rest = &rest[at + 3..];
    }
    Ok(percent_decode(text).into())
}

/// Encodes a decoded path: unreserved characters and `/` stay, hex digits are upper case.
#[must_use]
pub fn encode_path(decoded: &[u8]) -> String {
    percent_encode(decoded, PATH).to_string()
}

/// Encodes decoded pairs into a canonical query: sorted by encoded name, then encoded value;
/// duplicates stay, and a name without value is written `name=`.
#[must_use]
pub fn encode_query(pairs: &[(String, String)]) -> String {
    let mut encoded: Vec<(Cow<'_, str>, Cow<'_, str>)> = pairs
        .iter()
        .map(|(name, value)| {
            (
                percent_encode(name.as_bytes(), QUERY).into(),
                percent_encode(value.as_bytes(), QUERY).into(),
            )
        })
        .collect();
    encoded.sort_unstable();
    let mut query = String::new();
    for (name, value) in encoded {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(&name);
        query.push('=');
        query.push_str(&value);
    }
    query
}

/// The SHA-256 of a canonical request. Headers are signed in the order of `signed`; one that is
/// listed but absent counts as empty (gateway.md 7).
pub(crate) fn request_hash(
    method: &Method,
    path: &str,
    query: &str,
    signed: &[HeaderName],
    headers: &HeaderMap,
    payload: &str,
) -> [u8; 32] {
    let mut hash = Sha256::new();
    for line in [method.as_str(), path, query] {
        hash.update(line.as_bytes());
        hash.update(b"\n");
    }
    for name in signed {
        hash.update(name.as_str().as_bytes());
        hash.update(b":");
        for (at, value) in headers.get_all(name).iter().enumerate() {
            if at > 0 {
                hash.update(b",");
            }
            hash_collapsed(&mut hash, value.as_bytes());
        }
        hash.update(b"\n");
    }
    hash.update(b"\n");
    hash.update(signed_list(signed).as_bytes());
    hash.update(b"\n");
    hash.update(payload.as_bytes());
    hash.finish()
}

/// `a;b;c`.
pub(crate) fn signed_list(signed: &[HeaderName]) -> String {
    signed
        .iter()
        .map(HeaderName::as_str)
        .collect::<Vec<_>>()
        .join(";")
}

/// Blanks around a value go, runs of blanks inside become one. S3 means U+0020 only: a tab stays.
fn hash_collapsed(hash: &mut Sha256, value: &[u8]) {
    let words = value.split(|&b| b == b' ').filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            hash.update(b" ");
        }
        hash.update(word);
    }
}

/// 64 hex digits.
pub(crate) fn hex(bytes: &[u8; 32]) -> String {
    HEXLOWER.encode(bytes)
}
