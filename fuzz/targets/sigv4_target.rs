//! The canonical form of paths and queries: encoding what was read gives the same again.
#![no_main]

use bascule_domain::{Timestamp, ids::KeyId, secret::Credentials, secret::SecretKey};
use bascule_fuzz::SECRET;
use bascule_sigv4::{Head, Payload, Presented, Service, Signer, encode_path, encode_query};
use http::{HeaderMap, HeaderValue, Method, header::HOST};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == b'?');
    let path = parts.next().unwrap_or_default();
    let query = parts.next().unwrap_or_default();
    let Ok(query) = std::str::from_utf8(query) else {
        return;
    };
    let pairs: Vec<(String, String)> = query
        .split('&')
        .take(32)
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| !name.to_ascii_lowercase().starts_with("x-amz-"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let (path, query) = (format!("/{}", encode_path(path)), encode_query(&pairs));
    // What we sign ourselves is accepted, and means what was signed.
    let now: Timestamp = "2026-11-23T12:00:00Z".parse().expect("a time");
    let (Ok(id), Ok(secret), Ok(region)) = (
        "AKIAIOSFODNN7EXAMPLE".parse(),
        SecretKey::parse(SECRET),
        "auto".parse(),
    ) else {
        return;
    };
    let credentials = Credentials {
        access_key_id: id,
        secret,
    };
    let signer = Signer {
        credentials: &credentials,
        region: &region,
        service: Service::S3,
    };
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("localhost:9000"));
    signer.sign(
        &Method::GET,
        &path,
        &query,
        &mut headers,
        &Payload::EMPTY,
        now,
    );
    let target = format!("{path}?{query}");
    let head = Head {
        method: &Method::GET,
        target: &target,
        headers: &headers,
    };
    let presented = match Presented::parse(&head) {
        Ok(presented) => presented,
        Err(error) => panic!("{target}: {error}"),
    };
    let proof = presented
        .verify(&head, KeyId::from_random([7; 10]), &credentials.secret, now)
        .expect("what was signed here");
    assert_eq!(proof.target.path(), path);
    assert_eq!(proof.target.encoded_query(), query);
});
