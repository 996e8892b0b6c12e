//! 100,000 requests that the AWS SDK's signer signed: none is refused (threats.md c).

#![allow(clippy::unwrap_used, reason = "a broken premise fails the test")]

mod common;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with tests that use another part"
)]
#[path = "common/dice.rs"]
mod dice;
#[allow(unreachable_pub, reason = "shared between test files")]
#[path = "common/sdk.rs"]
mod sdk;

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{SignableBody, SignatureLocation};
use bascule_sigv4::{Payload, encode_path, encode_query};
use common::{Request, credentials, noon};
use dice::{Dice, scale};
use http::HeaderName;
use sdk::{Sdk, awkward, metadata};

const REQUESTS: usize = 100_000;
const SEED: u64 = 0x0ba5_c01e;
const AUTHORITY: &str = "gateway.example:8642";
const FORMS: [Payload; 6] = [
    Payload::EMPTY,
    Payload::Literal([0xab; 32]),
    Payload::Unsigned,
    Payload::UnsignedTrailer,
    Payload::SignedChunks,
    Payload::SignedChunksTrailer,
];

fn signable(payload: Payload) -> SignableBody<'static> {
    match payload {
        Payload::Unsigned => SignableBody::UnsignedPayload,
        Payload::UnsignedTrailer => SignableBody::StreamingUnsignedPayloadTrailer,
        other => SignableBody::Precomputed(other.header_value().into_owned()),
    }
}

/// A wire spelling of a query: blanks as `+`, or names without `=`.
fn spell(pairs: &[(String, String)], dice: &mut Dice) -> String {
    let plus = dice.chance(50);
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

/// One drawn request, signed by the SDK, and what must be found in it.
fn drawn(dice: &mut Dice) -> (Request, String, Payload, bool) {
    let presigned = dice.chance(30);
    let method = dice.pick(&["GET", "PUT", "HEAD", "POST", "DELETE"]);
    let decoded = format!("/{}", awkward(dice, 7));
    let pairs: Vec<(String, String)> = (0..dice.below(4))
        .map(|number| (format!("{number}{}", awkward(dice, 3)), awkward(dice, 4)))
        .collect();
    let query = spell(&pairs, dice);
    let mark = if query.is_empty() { "" } else { "?" };
    let mut target = format!("{}{mark}{query}", encode_path(decoded.as_bytes()));
    let mut headers = metadata(dice);
    headers.push(("host".into(), AUTHORITY.into()));
    if dice.chance(50) {
        headers.push(("content-type".into(), "text/plain; charset=utf-8".into()));
    }
    let payload = if presigned {
        Payload::Unsigned
    } else {
        dice.pick(&FORMS)
    };
    let credentials = credentials();
    let sdk = Sdk {
        id: credentials.access_key_id.as_str(),
        secret: credentials.secret.expose(),
        authority: AUTHORITY,
        time: UNIX_EPOCH + Duration::from_secs(noon().as_second().unsigned_abs()),
    };
    let location = if presigned {
        SignatureLocation::QueryParams
    } else {
        SignatureLocation::Headers
    };
    let region = dice.pick(&["auto", "us-east-1", "eu-west-1", "my-region_1"]);
    let signed = sdk.sign(
        method,
        &target,
        &headers,
        signable(payload),
        region,
        location,
    );
    if presigned {
        let added: Vec<(String, String)> = signed
            .params()
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_string()))
            .collect();
        let join = if mark.is_empty() { '?' } else { '&' };
        target = format!("{target}{join}{}", encode_query(&added));
    }
    let given: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let mut request = Request::new(method, &target, &given);
    for (name, value) in signed.headers() {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers.insert(name, value.parse().unwrap());
    }
    (request, decoded, payload, presigned)
}

#[test]
fn a_hundred_thousand_requests_of_the_sdk_are_all_verified() {
    let threads = 2;
    let each = REQUESTS * scale() / threads;
    let counted = std::thread::scope(|scope| {
        let run = |thread: usize| {
            let mut dice = Dice::new(SEED + thread as u64);
            let (mut headers, mut links) = (0, 0);
            for number in 0..each {
                let (request, decoded, payload, presigned) = drawn(&mut dice);
                let at = format!("seed {SEED:#x}, thread {thread}, request {number}: {request:?}");
                let proof = match request.verify() {
                    Ok(proof) => proof,
                    Err(error) => panic!("{error}: {at}"),
                };
                assert_eq!(proof.target.decoded_path(), decoded.as_bytes(), "{at}");
                assert_eq!(
                    (proof.payload, proof.presigned),
                    (payload, presigned),
                    "{at}"
                );
                *(if presigned { &mut links } else { &mut headers }) += 1;
            }
            (headers, links)
        };
        let handles: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || run(thread)))
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    assert_eq!(counted.0 + counted.1, REQUESTS * scale());
    assert!(
        counted.0 > REQUESTS / 2 && counted.1 > REQUESTS / 5,
        "{counted:?}"
    );
}
