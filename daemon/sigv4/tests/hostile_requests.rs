//! Whatever arrives, reading it never panics, and nothing unsigned is ever accepted.

#![allow(clippy::unwrap_used, reason = "a broken premise fails the test")]

mod common;

use bascule_sigv4::{Payload, Presented, Service, Signer, encode_path, encode_query};
use common::{Request, credentials, key, noon, secret};
use http::{HeaderName, HeaderValue, Method};
use proptest::prelude::*;

const NAMES: [&str; 9] = [
    "authorization",
    "host",
    "date",
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-security-token",
    "x-amz-meta-a",
    "x-amz-acl",
    "content-type",
];

/// Text that is near to what the parsers look for.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("AWS4-HMAC-SHA256 ".to_owned()),
        Just("Credential=AKIAIOSFODNN7EXAMPLE/20261123/auto/s3/aws4_request".to_owned()),
        Just("SignedHeaders=host;x-amz-date".to_owned()),
        Just(format!("Signature={}", "0".repeat(64))),
        Just("20261123T120000Z".to_owned()),
        Just("UNSIGNED-PAYLOAD".to_owned()),
        Just(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20261123T120000Z&X-Amz-Expires=60"
                .to_owned()
        ),
        Just(
            "X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261123%2Fauto%2Fs3%2Faws4_request"
                .to_owned()
        ),
        Just("X-Amz-SignedHeaders=host".to_owned()),
        Just(format!("X-Amz-Signature={}", "0".repeat(64))),
        "[,;/=&%+ ]{1,3}",
        "\\PC{0,12}",
        "[a-zA-Z0-9%/._-]{0,12}",
    ]
}

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(fragment(), 0..8).prop_map(|parts| parts.concat())
}

fn headers() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let value = prop_oneof![
        text().prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40)
    ];
    proptest::collection::vec((0..NAMES.len(), value), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn no_generated_request_is_accepted(
        target in prop_oneof![text(), text().prop_map(|t| format!("/{t}")), text().prop_map(|t| format!("/b/k?{t}"))],
        headers in headers(),
    ) {
        let mut request = Request { method: Method::PUT, target, headers: http::HeaderMap::new() };
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers.append(HeaderName::from_static(NAMES[name]), value);
            }
        }
        let head = request.head();
        if let Ok(presented) = Presented::parse(&head) {
            prop_assert!(presented.verify(&head, key(), &secret(), noon()).is_err());
        }
    }

    #[test]
    fn one_changed_character_of_a_signed_request_is_refused_or_means_the_same(
        at in any::<prop::sample::Index>(),
        to in 0x20_u8..0x7f,
        part in 0_usize..4,
    ) {
        let mut request = Request::new("PUT", "/b/a%20key?partNumber=1&uploadId=x+y", &[("host", "h:1")]);
        let (credentials, region) = (credentials(), "auto".parse().unwrap());
        let signer = Signer { credentials: &credentials, region: &region, service: Service::S3 };
        let query = "partNumber=1&uploadId=x%20y";
        signer.sign(&Method::PUT, "/b/a%20key", query, &mut request.headers, &Payload::EMPTY, noon());
        let right = request.verify().unwrap();

        let name = ["authorization", "x-amz-date", "host"].get(part);
        let mut text = match name {
            Some(&name) => request.headers[name].as_bytes().to_vec(),
            None => request.target.clone().into_bytes(),
        };
        let at = at.index(text.len());
        text[at] = to;
        match name {
            Some(&name) => drop(request.headers.insert(name, HeaderValue::from_bytes(&text).unwrap())),
            None => request.target = String::from_utf8(text).unwrap(),
        }
        if let Ok(proof) = request.verify() {
            prop_assert_eq!(proof.target, right.target);
        }
    }

    #[test]
    fn encoding_is_reversible_and_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let path = encode_path(&bytes);
        prop_assert!(path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%".contains(&b)));
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(&path).collect();
        prop_assert_eq!(&decoded, &bytes);
        prop_assert_eq!(encode_path(&decoded), path);
    }

    #[test]
    fn the_order_of_pairs_never_changes_a_canonical_query(
        mut pairs in proptest::collection::vec(("\\PC{0,5}", "\\PC{0,5}"), 0..6),
    ) {
        let query = encode_query(&pairs);
        pairs.reverse();
        prop_assert_eq!(encode_query(&pairs), query);
    }

    #[test]
    fn payload_forms_are_read_without_panicking(text in "\\PC{0,80}") {
        let _ = Payload::parse(&text);
    }
}
