//! The AWS SDK's own signer as the oracle: what it signs is verified, and both signers agree.

#![allow(clippy::unwrap_used, reason = "a broken premise fails the test")]

mod common;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with tests that use another part"
)]
#[path = "common/dice.rs"]
mod dice;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with tests that use another part"
)]
#[path = "common/sdk.rs"]
mod sdk;

use std::{
    borrow::Cow,
    time::{Duration, UNIX_EPOCH},
};

use aws_sigv4::http_request::{SignableBody, SignatureLocation, SigningInstructions};
use bascule_sigv4::{Payload, Service, Signer, encode_path};
use common::{Request, credentials, noon};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use sdk::Sdk;

const AUTHORITY: &str = "gateway.example:8642";

fn sdk(
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: SignableBody<'_>,
    region: &str,
    location: SignatureLocation,
) -> SigningInstructions {
    let credentials = credentials();
    let sdk = Sdk {
        id: credentials.access_key_id.as_str(),
        secret: credentials.secret.expose(),
        authority: AUTHORITY,
        time: UNIX_EPOCH + Duration::from_secs(noon().as_second().unsigned_abs()),
    };
    sdk.sign(method, target, headers, body, region, location)
}

/// Pieces that trip canonicalisers.
fn awkward() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            4 => "[a-zA-Z0-9]{1,4}",
            1 => prop::sample::select(vec![
                " ", "+", "%", "/", "//", ".", "..", "~", "@", "(", ")", "*", "'", "!", "=", "&", "?", "#", ":",
                ";", ",", "\\", "\"", "<", "|", "^", "`", "{", "%2F", "é", "e\u{301}", "😀", "\u{0}", "\n", "\t",
                "$", "[", "-", "_",
            ]).prop_map(str::to_owned),
        ],
        0..8,
    )
    .prop_map(|parts| parts.concat())
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    // A name that starts with x-amz- would belong to the authorization.
    let name = awkward().prop_filter("x-amz- is reserved", |name| {
        !name.to_lowercase().starts_with("x-")
    });
    proptest::collection::vec((name, awkward()), 0..5)
}

fn metadata() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::btree_map("x-amz-meta-[a-z0-9-]{1,6}", "[ -~]{0,12}", 0..4)
        .prop_map(|map| map.into_iter().collect())
}

/// A wire spelling of a query: blanks as `+`, names without `=`, some characters left raw.
fn spell(pairs: &[(String, String)], plus: bool) -> String {
    let encode = |text: &str| {
        let encoded = encode_path(text.as_bytes());
        if plus {
            encoded.replace("%20", "+")
        } else {
            encoded
        }
    };
    let spelled = pairs.iter().map(|(name, value)| match value.as_str() {
        "" if plus => encode(name),
        _ => format!("{}={}", encode(name), encode(value)),
    });
    spelled.collect::<Vec<_>>().join("&")
}

fn payload() -> impl Strategy<Value = Payload> {
    prop::sample::select(vec![
        Payload::EMPTY,
        Payload::Literal([0xab; 32]),
        Payload::Unsigned,
        Payload::UnsignedTrailer,
        Payload::SignedChunks,
        Payload::SignedChunksTrailer,
    ])
}

fn signable(payload: Payload) -> SignableBody<'static> {
    match payload {
        Payload::Unsigned => SignableBody::UnsignedPayload,
        Payload::UnsignedTrailer => SignableBody::StreamingUnsignedPayloadTrailer,
        other => SignableBody::Precomputed(other.header_value().into_owned()),
    }
}

fn target(path: &str, pairs: &[(String, String)], plus: bool) -> String {
    let path = encode_path(format!("/{path}").as_bytes());
    let query = spell(pairs, plus);
    if query.is_empty() {
        path
    } else {
        format!("{path}?{query}")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn header_signatures_of_the_sdk_are_verified_and_equal_ours(
        method in prop::sample::select(vec!["GET", "PUT", "HEAD", "POST", "DELETE"]),
        path in awkward(),
        pairs in pairs(),
        plus in any::<bool>(),
        mut headers in metadata(),
        payload in payload(),
        region in prop::sample::select(vec!["auto", "us-east-1", "eu-west-1"]),
    ) {
        let target = target(&path, &pairs, plus);
        headers.push(("host".into(), AUTHORITY.into()));
        headers.push(("content-type".into(), "text/plain; charset=utf-8".into()));
        let instructions = sdk(method, &target, &headers, signable(payload), region, SignatureLocation::Headers);
        let given: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut request = Request::new(method, &target, &given);
        let unsigned = request.headers.clone();
        for (name, value) in instructions.headers() {
            request.headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let proof = request.verify().map_err(|error| TestCaseError::fail(format!("{error}: {request:?}")))?;
        prop_assert_eq!(proof.payload, payload);
        let decoded = format!("/{path}");
        prop_assert_eq!(proof.target.decoded_path(), decoded.as_bytes());
        let expected: Vec<_> = pairs.iter().filter(|(name, value)| !(plus && name.is_empty() && value.is_empty())).cloned().collect();
        prop_assert_eq!(proof.target.query(), expected.as_slice());

        let ours = ours(method, &proof, unsigned, &payload, region);
        let parts = |value: &HeaderValue| value.to_str().unwrap().replace(", ", ",");
        prop_assert_eq!(parts(&ours["authorization"]), parts(&request.headers["authorization"]));
    }

    #[test]
    fn presigned_urls_of_the_sdk_are_verified(
        method in prop::sample::select(vec!["GET", "PUT", "HEAD", "DELETE"]),
        path in awkward(),
        pairs in pairs(),
        plus in any::<bool>(),
        headers in metadata(),
    ) {
        let target = target(&path, &pairs, plus);
        let headers = [headers, vec![("host".to_owned(), AUTHORITY.to_owned())]].concat();
        let instructions =
            sdk(method, &target, &headers, SignableBody::UnsignedPayload, "auto", SignatureLocation::QueryParams);
        let added: Vec<(String, String)> =
            instructions.params().iter().map(|(name, value): &(&str, Cow<'_, str>)| ((*name).to_owned(), value.to_string())).collect();
        let join = if target.contains('?') { '&' } else { '?' };
        let wire = format!("{target}{join}{}", bascule_sigv4::encode_query(&added));
        let given: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = Request::new(method, &wire, &given);
        let proof = request.verify().map_err(|error| TestCaseError::fail(format!("{error}: {request:?}")))?;
        prop_assert!(proof.presigned);
        let decoded = format!("/{path}");
        prop_assert_eq!(proof.target.decoded_path(), decoded.as_bytes());
    }
}

fn ours(
    method: &str,
    proof: &bascule_sigv4::Proof,
    mut headers: HeaderMap,
    payload: &Payload,
    region: &str,
) -> HeaderMap {
    let credentials = credentials();
    let region = region.parse().unwrap();
    let signer = Signer {
        credentials: &credentials,
        region: &region,
        service: Service::S3,
    };
    let method: Method = method.parse().unwrap();
    let query = proof.target.encoded_query();
    signer.sign(
        &method,
        proof.target.path(),
        &query,
        &mut headers,
        payload,
        noon(),
    );
    headers
}
