//! Signatures in headers: nothing that was not signed with the secret is ever accepted.
#![no_main]

use bascule_domain::{Timestamp, ids::KeyId, secret::SecretKey};
use bascule_fuzz::SECRET;
use bascule_sigv4::{Head, Presented};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The target, then a header in each line.
    let mut lines = data.split(|byte| *byte == b'\n');
    let Some(Ok(target)) = lines.next().map(std::str::from_utf8) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let head = Head {
        method: &Method::PUT,
        target,
        headers: &headers,
    };
    let Ok(secret) = SecretKey::parse(SECRET) else {
        return;
    };
    if let Ok(presented) = Presented::parse(&head) {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
        let proof = presented.verify(&head, KeyId::from_random([7; 10]), &secret, now);
        assert!(proof.is_err(), "nobody knows the secret");
    }
});
