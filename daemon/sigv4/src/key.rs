//! The credential scope, the signing key derived for it, and what is signed with it. A signing key
//! is derived for one request, unless whoever holds the secret keeps [`SigningKeys`] beside it: it
//! must never outlive the secret.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use aws_lc_rs::{digest, hmac};
use bascule_domain::secret::SecretKey;
use zeroize::Zeroizing;

use crate::time::RequestTime;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const TERMINATOR: &str = "aws4_request";

/// A key for one date, region and service.
#[derive(Clone)]
pub(crate) struct SigningKey(Arc<hmac::Key>);

impl SigningKey {
    pub(crate) fn derive(secret: &SecretKey, date: &str, region: &str, service: &str) -> Self {
        let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.expose().len()));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.expose().as_bytes());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &first);
        for part in [date, region, service, TERMINATOR] {
            key = hmac::Key::new(
                hmac::HMAC_SHA256,
                hmac::sign(&key, part.as_bytes()).as_ref(),
            );
        }
        Self(Arc::new(key))
    }

    /// Signs lines joined by `\n`.
    pub(crate) fn sign(&self, lines: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                context.update(b"\n");
            }
            context.update(line);
        }
        array(context.sign().as_ref())
    }
}

/// What one secret last signed with: deriving it takes four of the five HMACs of a signature, and
/// it stays the same for a day and a region. Kept by whoever holds the secret; it is no state of
/// the key and tells nothing about whether the key still works.
#[derive(Default)]
pub struct SigningKeys(ArcSwapOption<Derived>);

struct Derived {
    scope: String,
    key: SigningKey,
}

impl SigningKeys {
    /// The key for a scope, the last one if it was for that.
    pub(crate) fn find(&self, scope: &str) -> Option<SigningKey> {
        let kept = self.0.load();
        let kept = kept.as_ref().filter(|kept| kept.scope == scope)?;
        Some(kept.key.clone())
    }

    /// Keeps a key that was derived for a scope.
    pub(crate) fn keep(&self, scope: &str, key: &SigningKey) {
        let (scope, key) = (scope.to_owned(), key.clone());
        self.0.store(Some(Arc::new(Derived { scope, key })));
    }

    /// Forgets it, because the secret ends.
    pub fn forget(&self) {
        self.0.store(None);
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKeys(redacted)")
    }
}

/// `date/region/service/aws4_request`.
pub(crate) fn scope(time: &RequestTime, region: &str, service: &str) -> String {
    format!("{}/{region}/{service}/{TERMINATOR}", time.date())
}

/// The string to sign of a request, signed.
pub(crate) fn sign_request(
    key: &SigningKey,
    time: &RequestTime,
    scope: &str,
    request_hash: &[u8; 32],
) -> [u8; 32] {
    let hash = data_encoding::HEXLOWER.encode(request_hash);
    key.sign(&[
        ALGORITHM.as_bytes(),
        time.as_str().as_bytes(),
        scope.as_bytes(),
        hash.as_bytes(),
    ])
}

/// A SHA-256 that is fed piece by piece.
pub(crate) struct Sha256(digest::Context);

impl Sha256 {
    pub(crate) fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        array(self.0.finish().as_ref())
    }
}

fn array(bytes: &[u8]) -> [u8; 32] {
    // SHA-256 and its HMAC are 32 bytes long.
    let mut array = [0; 32];
    array.copy_from_slice(bytes);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_key_serves_its_own_scope_only_and_none_once_forgotten() {
        let secret = SecretKey::parse("secret").unwrap();
        let today = SigningKey::derive(&secret, "20261123", "auto", "s3");
        let keys = SigningKeys::default();
        let scope = "20261123/auto/s3/aws4_request";
        assert!(keys.find(scope).is_none());
        keys.keep(scope, &today);
        let found = keys.find(scope).unwrap();
        assert_eq!(found.sign(&[b"text"]), today.sign(&[b"text"]));
        for other in [
            "20261124/auto/s3/aws4_request",
            "20261123/eu-west-1/s3/aws4_request",
        ] {
            assert!(keys.find(other).is_none(), "{other}");
        }
        keys.forget();
        assert!(keys.find(scope).is_none());
    }
}
