//! Signatures in queries.
#![no_main]

use bascule_domain::{Timestamp, ids::KeyId, secret::SecretKey};
use bascule_fuzz::SECRET;
use bascule_sigv4::{Head, Presented};
use http::{HeaderMap, HeaderValue, Method, header::HOST};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|target: &str| {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("localhost:9000"));
    let head = Head {
        method: &Method::GET,
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
