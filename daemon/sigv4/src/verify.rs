//! Verifies a request's signature. Nothing but [`Presented::verify`] may attest that a request
//! was signed, and it must never change what it verifies: headers are taken as they arrived.

use aws_lc_rs::constant_time;
use bascule_domain::{
    Timestamp, access::Verified, access_key::AccessKeyId, ids::KeyId, secret::SecretKey,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::SignedDuration;

use crate::{
    authorization::{self, Authorization, authenticates, is_amz},
    canonical::{CanonicalTarget, encode_query, request_hash},
    chunks::ChunkSeed,
    error::{SignatureError, Unsupported},
    key::{SigningKey, SigningKeys, scope, sign_request},
    payload::Payload,
    time::RequestTime,
};

/// How far the two clocks may differ, in both directions (gateway.md 16).
const SKEW: SignedDuration = SignedDuration::from_mins(15);
const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// The head of a request, as it arrived: no header added, removed or changed (gateway.md 8).
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The raw `path?query` from the wire.
    pub target: &'a str,
    /// The headers, `host` among them.
    pub headers: &'a HeaderMap,
}

/// A request that was read but not verified: it says whose key is needed.
#[derive(Debug)]
pub struct Presented {
    authorization: Authorization,
    target: CanonicalTarget,
    /// The canonical query that was signed, `X-Amz-Signature` left out.
    signed_query: String,
    hoisted: Vec<(HeaderName, HeaderValue)>,
    payload: Payload,
    /// The last line of the canonical request.
    signed_payload: String,
}

/// A verified request: the only form of it that may be acted on.
#[derive(Debug)]
pub struct Proof {
    /// States whose signature it is.
    pub verified: Verified,
    /// How the body is covered. For a presigned URL it is [`Payload::Unsigned`] unless
    /// `x-amz-content-sha256` was signed (gateway.md 13).
    pub payload: Payload,
    /// The target that was signed.
    pub target: CanonicalTarget,
    /// Whether the signature stood in the query.
    pub presigned: bool,
    /// Signed `x-amz-*` query parameters of a presigned URL, which become headers upstream
    /// (gateway.md 12).
    pub hoisted: Vec<(HeaderName, HeaderValue)>,
    /// What the chunk signatures start from, for the signed aws-chunked forms.
    pub chunks: Option<ChunkSeed>,
}

impl Presented {
    /// Reads the target and the authorization of a request. Every rule that needs neither the
    /// key nor the time is checked here.
    pub fn parse(head: &Head<'_>) -> Result<Self, SignatureError> {
        let mut target = CanonicalTarget::parse(head.target)?;
        let authorization = authorization::find(&target, head.headers)?;
        for name in head.headers.keys() {
            let amz = name.as_str().starts_with("x-amz-");
            if amz && name.as_str() != CONTENT_SHA256 && !authorization.signed.contains(name) {
                return Err(SignatureError::UnsignedHeader(name.clone()));
            }
        }
        if !head.headers.contains_key(http::header::HOST) {
            return Err(SignatureError::Malformed("the host header is missing"));
        }
        if authorization.expires.is_none() {
            let (payload, signed_payload) = header_payload(head.headers)?;
            let signed_query = target.encoded_query();
            return Ok(Self {
                authorization,
                target,
                signed_query,
                hoisted: Vec::new(),
                payload,
                signed_payload,
            });
        }
        target.extract(|name| name.eq_ignore_ascii_case("x-amz-signature"));
        let signed_query = encode_query(target.query());
        target.extract(authenticates);
        let pairs = target.extract(is_amz);
        let (payload, signed_payload) = presigned_payload(head.headers, &authorization, &pairs)?;
        let hoisted = hoist(pairs, head.headers)?;
        Ok(Self {
            authorization,
            target,
            signed_query,
            hoisted,
            payload,
            signed_payload,
        })
    }

    /// The key that the request says it is signed with.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.authorization.access_key_id
    }

    /// Verifies the signature with a key's secret. `head` is the one that was parsed; `now` is
    /// the time by the one clock.
    pub fn verify(
        &self,
        head: &Head<'_>,
        key: KeyId,
        secret: &SecretKey,
        now: Timestamp,
    ) -> Result<Proof, SignatureError> {
        self.verify_with(&SigningKeys::default(), head, key, secret, now)
    }

    /// The same with what is kept beside the secret. What it keeps depends on requests with a
    /// right signature only.
    pub fn verify_with(
        &self,
        keys: &SigningKeys,
        head: &Head<'_>,
        key: KeyId,
        secret: &SecretKey,
        now: Timestamp,
    ) -> Result<Proof, SignatureError> {
        let Authorization {
            time,
            region,
            signed,
            signature,
            expires,
            ..
        } = &self.authorization;
        in_time(time, expires.as_ref(), now)?;
        let scope = scope(time, region, "s3");
        let kept = keys.find(&scope);
        let known = kept.is_some();
        let signing_key =
            kept.unwrap_or_else(|| SigningKey::derive(secret, time.date(), region, "s3"));
        let right = |path: &str| {
            let hash = request_hash(
                head.method,
                path,
                &self.signed_query,
                signed,
                head.headers,
                &self.signed_payload,
            );
            let computed = sign_request(&signing_key, time, &scope, &hash);
            let presented = signature.unwrap_or_default();
            let equal = constant_time::verify_slices_are_equal(&computed, &presented).is_ok();
            signature.is_some() && equal
        };
        // Some clients sign what they send instead of its canonical form (gateway.md 2).
        let raw = head
            .target
            .split_once('?')
            .map_or(head.target, |(path, _)| path);
        if !right(self.target.path()) && (raw == self.target.path() || !right(raw)) {
            return Err(SignatureError::Mismatch);
        }
        if !known {
            keys.keep(&scope, &signing_key);
        }
        let chunks = matches!(
            self.payload,
            Payload::SignedChunks | Payload::SignedChunksTrailer
        )
        .then(|| ChunkSeed::new(signing_key, *time, scope, signature.unwrap_or_default()));
        Ok(Proof {
            verified: Verified::attest(key),
            payload: self.payload,
            target: self.target.clone(),
            presigned: expires.is_some(),
            hoisted: self.hoisted.clone(),
            chunks,
        })
    }
}

fn in_time(
    time: &RequestTime,
    expires: Option<&Result<u32, SignatureError>>,
    now: Timestamp,
) -> Result<(), SignatureError> {
    let age = now.duration_since(time.at());
    if age < -SKEW {
        return Err(SignatureError::Skewed);
    }
    match expires {
        None if age > SKEW => Err(SignatureError::Skewed),
        None => Ok(()),
        Some(Err(error)) => Err(error.clone()),
        Some(Ok(seconds)) if age > SignedDuration::from_secs(i64::from(*seconds)) => {
            Err(SignatureError::Expired)
        }
        Some(Ok(_)) => Ok(()),
    }
}

fn header_payload(headers: &HeaderMap) -> Result<(Payload, String), SignatureError> {
    let value = headers
        .get(CONTENT_SHA256)
        .ok_or(SignatureError::MissingPayloadHash)?;
    let text = value
        .to_str()
        .map_err(|_| SignatureError::InvalidPayloadHash)?;
    Ok((Payload::parse(text)?, text.to_owned()))
}

/// The payload of a presigned request. An unsigned header cannot choose it, and an aws-chunked
/// form that nothing covers is refused rather than stored with its framing (threats.md A3).
fn presigned_payload(
    headers: &HeaderMap,
    authorization: &Authorization,
    hoisted: &[(String, String)],
) -> Result<(Payload, String), SignatureError> {
    let header = match headers.get(CONTENT_SHA256) {
        Some(value) => Some(
            value
                .to_str()
                .map_err(|_| SignatureError::InvalidPayloadHash)?,
        ),
        None => None,
    };
    let parameter = hoisted
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_SHA256))
        .map(|(_, value)| value.as_str());
    if let (Some(header), Some(parameter)) = (header, parameter)
        && header != parameter
    {
        return Err(SignatureError::Conflict(
            "x-amz-content-sha256 differs between header and query",
        ));
    }
    let said = header.or(parameter).map(Payload::parse).transpose()?;
    if said.is_some_and(|payload| payload.is_chunked()) {
        return Err(Unsupported::PresignedChunks.into());
    }
    let header_signed = authorization
        .signed
        .iter()
        .any(|name| name.as_str() == CONTENT_SHA256);
    let signed = parameter.is_some() || header_signed;
    let payload = said.filter(|_| signed).unwrap_or(Payload::Unsigned);
    Ok((payload, payload.header_value().into_owned()))
}

/// Turns signed `x-amz-*` query parameters into headers.
fn hoist(
    pairs: Vec<(String, String)>,
    headers: &HeaderMap,
) -> Result<Vec<(HeaderName, HeaderValue)>, SignatureError> {
    let mut hoisted = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            SignatureError::Malformed("an X-Amz-* query parameter is not a header name")
        })?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            SignatureError::Malformed("an X-Amz-* query parameter is not a header value")
        })?;
        if headers.get(&name).is_some_and(|sent| *sent != value) {
            return Err(SignatureError::Conflict(
                "an x-amz-* value differs between header and query",
            ));
        }
        if name.as_str() != CONTENT_SHA256 {
            hoisted.push((name, value));
        }
    }
    Ok(hoisted)
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    /// A request that is dated by `Date`, signed by hand: our own signer sends `x-amz-date`.
    fn dated(date: &'static str) -> Result<Proof, SignatureError> {
        let secret = SecretKey::parse("secret").unwrap();
        let time = RequestTime::parse_iso("20261123T120000Z").unwrap();
        let scope = scope(&time, "auto", "s3");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("h"));
        headers.insert(header::DATE, HeaderValue::from_static(date));
        headers.insert(CONTENT_SHA256, HeaderValue::from_static("UNSIGNED-PAYLOAD"));
        // Listed in an order of its own and with a header that was not sent.
        let signed = [header::HOST, header::DATE, header::RANGE];
        let hash = request_hash(
            &Method::GET,
            "/b",
            "",
            &signed,
            &headers,
            "UNSIGNED-PAYLOAD",
        );
        let key = SigningKey::derive(&secret, "20261123", "auto", "s3");
        let signature = crate::canonical::hex(&sign_request(&key, &time, &scope, &hash));
        let value = format!(
            "AWS4-HMAC-SHA256 Credential=AKID/{scope},SignedHeaders=Host;date;range,Signature={signature}"
        );
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let head = Head {
            method: &Method::GET,
            target: "/b",
            headers: &headers,
        };
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        Presented::parse(&head)?.verify(&head, KeyId::from_random([1; 10]), &secret, now)
    }

    #[test]
    fn the_date_header_serves_in_both_forms_when_there_is_no_amz_date() {
        dated("Mon, 23 Nov 2026 12:00:00 GMT").unwrap();
        dated("20261123T120000Z").unwrap();
        assert_eq!(
            dated("Tue, 24 Nov 2026 12:00:00 GMT").unwrap_err(),
            SignatureError::ScopeDate
        );
    }
}
