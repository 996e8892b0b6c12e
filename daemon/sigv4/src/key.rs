//! The credential scope, the signing key derived for it, and what is signed with it. Signing
//! keys are derived for one request and never kept beyond it.

use aws_lc_rs::{digest, hmac};
use bascule_domain::secret::SecretKey;
use zeroize::Zeroizing;

use crate::time::RequestTime;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const TERMINATOR: &str = "aws4_request";

/// A key for one date, region and service.
#[derive(Clone)]
pub(crate) struct SigningKey(hmac::Key);

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
        Self(key)
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
