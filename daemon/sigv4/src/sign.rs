//! Signs requests that Bascule sends: to providers, and from the command line to the gateway.
//! It signs the path and query it is given and must never rewrite them.

use bascule_domain::{Timestamp, endpoint::Region, secret::Credentials};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::{
    canonical::{encode_query, hex, request_hash, signed_list},
    key::{ALGORITHM, SigningKey, SigningKeys, scope, sign_request},
    payload::Payload,
    time::RequestTime,
};

/// The service in the credential scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Object storage.
    S3,
    /// A provider's key administration.
    Iam,
    /// A provider's security tokens.
    Sts,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }
}

/// Signs with one set of credentials.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// Whose signature it will be.
    pub credentials: &'a Credentials,
    /// The region of the scope.
    pub region: &'a Region,
    /// The service of the scope.
    pub service: Service,
}

impl Signer<'_> {
    /// Signs a request: adds `x-amz-date`, `x-amz-content-sha256` and `authorization`, replacing
    /// any that are there. `host` must be in `headers`; `path` and `query` are canonical
    /// (`query` without `?`). Only host, `x-amz-*`, content-type and content-md5 are signed: other
    /// headers may be rewritten on the way (gateway.md 9).
    pub fn sign(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        headers: &mut HeaderMap,
        payload: &Payload,
        now: Timestamp,
    ) {
        let keys = SigningKeys::default();
        self.sign_with(&keys, method, path, query, headers, payload, now);
    }

    /// The same with what is kept beside the credentials.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of a request, as they are signed"
    )]
    pub fn sign_with(
        &self,
        keys: &SigningKeys,
        method: &Method,
        path: &str,
        query: &str,
        headers: &mut HeaderMap,
        payload: &Payload,
        now: Timestamp,
    ) {
        let time = RequestTime::of(now);
        let payload = payload.header_value();
        headers.insert("x-amz-date", value(time.as_str()));
        headers.insert("x-amz-content-sha256", value(&payload));
        debug_assert!(
            headers.contains_key(header::HOST),
            "the signature must cover the host"
        );
        let mut signed: Vec<HeaderName> = headers
            .keys()
            .filter(|name| is_signed(name))
            .cloned()
            .collect();
        signed.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        let hash = request_hash(method, path, query, &signed, headers, &payload);
        let scope = self.scope(&time);
        let key = keys.find(&scope).unwrap_or_else(|| {
            let key = self.key(&time);
            keys.keep(&scope, &key);
            key
        });
        let signature = hex(&sign_request(&key, &time, &scope, &hash));
        let id = self.credentials.access_key_id.as_str();
        let list = signed_list(&signed);
        let mut authorization = value(&format!(
            "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={list}, Signature={signature}"
        ));
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
    }

    /// Makes a URL that works without headers for `expires_in_seconds` (1 to 604800). `path` is
    /// canonical, `query` is decoded, `scheme_and_authority` is such as `https://host:8642`.
    #[must_use]
    pub fn presign(
        &self,
        method: &Method,
        scheme_and_authority: &str,
        path: &str,
        query: &[(String, String)],
        expires_in_seconds: u32,
        now: Timestamp,
    ) -> String {
        let time = RequestTime::of(now);
        let scope = self.scope(&time);
        let authority = scheme_and_authority
            .split_once("://")
            .map_or(scheme_and_authority, |(_, rest)| rest);
        let mut pairs = query.to_vec();
        for (name, text) in [
            ("X-Amz-Algorithm", ALGORITHM.to_owned()),
            (
                "X-Amz-Credential",
                format!("{}/{scope}", self.credentials.access_key_id),
            ),
            ("X-Amz-Date", time.as_str().to_owned()),
            ("X-Amz-Expires", expires_in_seconds.to_string()),
            ("X-Amz-SignedHeaders", "host".to_owned()),
        ] {
            pairs.push((name.to_owned(), text));
        }
        let query = encode_query(&pairs);
        // An authority with a line break would make a URL that nobody can send; it signs nothing.
        let host = HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static(""));
        let headers = HeaderMap::from_iter([(header::HOST, host)]);
        let payload = Payload::Unsigned.header_value();
        let hash = request_hash(method, path, &query, &[header::HOST], &headers, &payload);
        let signature = hex(&sign_request(&self.key(&time), &time, &scope, &hash));
        format!("{scheme_and_authority}{path}?{query}&X-Amz-Signature={signature}")
    }

    fn scope(&self, time: &RequestTime) -> String {
        scope(time, self.region.as_str(), self.service.name())
    }

    fn key(&self, time: &RequestTime) -> SigningKey {
        SigningKey::derive(
            &self.credentials.secret,
            time.date(),
            self.region.as_str(),
            self.service.name(),
        )
    }
}

fn is_signed(name: &HeaderName) -> bool {
    name == header::HOST
        || name == header::CONTENT_TYPE
        || name == "content-md5"
        || name.as_str().starts_with("x-amz-")
}

#[expect(
    clippy::expect_used,
    reason = "ids, regions and header names are visible ASCII by construction"
)]
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("visible ASCII")
}
