//! How long a refusal takes says nothing about the signature that would have been right
//! (threats.md A18).

#![allow(clippy::unwrap_used, reason = "a broken premise fails the test")]

mod common;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with tests that use another part"
)]
#[path = "common/dice.rs"]
mod dice;

use std::{fs, path::Path, time::Instant};

use bascule_sigv4::{Payload, Presented, Service, SignatureError, Signer};
use common::{Request, credentials, key, noon, secret};
use dice::Dice;
use http::Method;

const SAMPLES: usize = 100_000;

/// A right request with one digit of its signature changed.
fn wrong_at(digit: usize) -> Request {
    let mut request = Request::new("GET", "/b/k", &[("host", "127.0.0.1:8642")]);
    let credentials = credentials();
    let region = "auto".parse().unwrap();
    let signer = Signer {
        credentials: &credentials,
        region: &region,
        service: Service::S3,
    };
    let payload = Payload::EMPTY;
    signer.sign(
        &Method::GET,
        "/b/k",
        "",
        &mut request.headers,
        &payload,
        noon(),
    );
    let mut text = request.headers["authorization"]
        .to_str()
        .unwrap()
        .to_owned();
    let at = text.rfind('=').unwrap() + 1 + digit;
    let other = if &text[at..=at] == "7" { "8" } else { "7" };
    text.replace_range(at..=at, other);
    request
        .headers
        .insert("authorization", text.parse().unwrap());
    request
}

/// Both kinds are measured in turns, in an order that is drawn, so that whatever else the machine
/// does falls on both alike. What is compared is how often the one kind is below the median of
/// both: half of the time, if nothing tells them apart. No time is compared with a fixed one.
#[test]
fn a18_a_wrong_beginning_and_a_wrong_end_of_a_signature_take_the_same_time() {
    // What other programs do to the clock of one measurement they don't do to three; a difference
    // that is in the code shows in each.
    let mut seen = Vec::new();
    while seen.len() < 3 {
        match measured() {
            Ok(()) => return,
            Err(difference) => seen.push(difference),
        }
    }
    panic!("{seen:?}");
}

/// Whether requests with a signature that is wrong at its beginning are refused as fast as those
/// with one that is wrong at its end.
fn measured() -> Result<(), String> {
    let (head, tail) = (wrong_at(0), wrong_at(63));
    let (head, tail) = (head.head(), tail.head());
    let kinds = [&head, &tail].map(|head| (head, Presented::parse(head).unwrap()));
    let secret = secret();
    let mut dice = Dice::new(0xa18);
    let mut times = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES / 2 {
        let first = dice.below(2);
        for kind in [first, 1 - first] {
            let (head, presented) = &kinds[kind];
            let began = Instant::now();
            let refused = presented.verify(head, key(), &secret, noon());
            times.push((began.elapsed(), kind));
            assert_eq!(refused.unwrap_err(), SignatureError::Mismatch);
        }
    }
    times.sort_unstable();
    let below = |part: usize| {
        let below = times[..SAMPLES / part]
            .iter()
            .filter(|(_, kind)| *kind == 0);
        f64::from(u32::try_from(below.count() * part).unwrap())
            / f64::from(u32::try_from(SAMPLES).unwrap())
    };
    for (part, bounds) in [(2, 0.47..0.53), (4, 0.44..0.56)] {
        let share = below(part);
        if !bounds.contains(&share) {
            return Err(format!(
                "share of one kind in the fastest 1/{part}: {share}"
            ));
        }
    }
    Ok(())
}

/// The measurement above cannot see a few nanoseconds; that both comparisons are made by a
/// function that takes the same time for all values can be seen.
#[test]
fn a18_signatures_are_compared_in_constant_time_and_in_no_other_way() {
    let source = |file: &str| {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file)).unwrap()
    };
    for file in ["verify.rs", "chunks/seed.rs"] {
        let text = source(file);
        let compared = text
            .matches("constant_time::verify_slices_are_equal(&computed,")
            .count();
        assert_eq!(compared, 1, "{file}");
        for other in [
            "computed ==",
            "== computed",
            "presented ==",
            "== presented",
            "== *presented",
            "computed !=",
            "!= computed",
            ".starts_with(&computed",
        ] {
            assert!(!text.contains(other), "{file} compares with `{other}`");
        }
    }
}
