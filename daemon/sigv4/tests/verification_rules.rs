//! What the verifier refuses and what it lets pass (gateway.md 1-22, threats.md A1-A20).

#![allow(clippy::unwrap_used, reason = "a broken premise fails the test")]

mod common;

use bascule_domain::{Timestamp, secret::SecretKey};
use bascule_sigv4::{
    Head, Payload, Presented, Proof, Service, SignatureError, Signer, Unsupported,
};
use common::{Request, at, credentials, key, noon, secret};
use http::{HeaderName, HeaderValue, Method};

const HOST: (&str, &str) = ("host", "127.0.0.1:8642");

fn signed(method: &str, target: &str, headers: &[(&str, &str)], payload: Payload) -> Request {
    signed_at(method, target, headers, payload, noon())
}

fn signed_at(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    payload: Payload,
    now: Timestamp,
) -> Request {
    let credentials = credentials();
    let region = "auto".parse().unwrap();
    let signer = Signer {
        credentials: &credentials,
        region: &region,
        service: Service::S3,
    };
    let mut request = Request::new(method, target, &[&[HOST], headers].concat());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let method = request.method.clone();
    signer.sign(&method, path, query, &mut request.headers, &payload, now);
    request
}

fn presigned(query: &[(&str, &str)], expires: u32) -> Request {
    let credentials = credentials();
    let region = "auto".parse().unwrap();
    let signer = Signer {
        credentials: &credentials,
        region: &region,
        service: Service::S3,
    };
    let query: Vec<_> = query
        .iter()
        .map(|&(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    let url = signer.presign(
        &Method::PUT,
        "http://127.0.0.1:8642",
        "/b/k",
        &query,
        expires,
        noon(),
    );
    let target = url.strip_prefix("http://127.0.0.1:8642").unwrap();
    Request::new("PUT", target, &[HOST])
}

fn replace(request: &Request, header: &'static str, from: &str, to: &str) -> Request {
    let mut request = request.clone();
    let value = request.headers[header].to_str().unwrap();
    assert!(value.contains(from), "{value}");
    let value = HeaderValue::from_str(&value.replace(from, to)).unwrap();
    request.headers.insert(header, value);
    request
}

fn refusal(request: &Request) -> SignatureError {
    request.verify().unwrap_err()
}

#[test]
fn an_anonymous_request_is_told_apart_from_a_broken_one() {
    assert_eq!(
        refusal(&Request::new("GET", "/b/k", &[HOST])),
        SignatureError::Missing
    );
    let empty = Request::new("GET", "/b/k", &[HOST, ("authorization", "")]);
    assert_eq!(refusal(&empty), SignatureError::Missing);
}

#[test]
fn any_change_after_signing_is_a_mismatch() {
    let request = signed(
        "PUT",
        "/b/k?a=1&b=2",
        &[("content-type", "text/plain")],
        Payload::EMPTY,
    );
    request.verify().unwrap();
    let mut method = request.clone();
    method.method = Method::GET;
    assert_eq!(refusal(&method), SignatureError::Mismatch);
    for target in [
        "/b/K?a=1&b=2",
        "/b/k?a=1",
        "/b/k?a=1&b=2&c",
        "/b/k?a=1&a=1&b=2",
        "/b//k?a=1&b=2",
        "/b/k?a=2&b=2",
        "/b/k?a=1%26b=2",
    ] {
        let request = Request {
            target: target.into(),
            ..request.clone()
        };
        assert_eq!(refusal(&request), SignatureError::Mismatch, "{target}");
    }
    for (header, value) in [
        ("host", "127.0.0.1:8643"),
        ("content-type", "text/html"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ] {
        let mut request = request.clone();
        request.headers.insert(
            HeaderName::from_static(header),
            HeaderValue::from_static(value),
        );
        assert_eq!(refusal(&request), SignatureError::Mismatch, "{header}");
    }
    let other = SecretKey::parse("another").unwrap();
    let head = request.head();
    let refused = Presented::parse(&head)
        .unwrap()
        .verify(&head, key(), &other, noon());
    assert_eq!(refused.unwrap_err(), SignatureError::Mismatch);
}

#[test]
fn signatures_of_another_shape_are_mismatches_not_other_errors() {
    let request = signed("GET", "/b/k", &[], Payload::EMPTY);
    let text = request.headers["authorization"]
        .to_str()
        .unwrap()
        .to_owned();
    let (start, signature) = text.split_once("Signature=").unwrap();
    let upper = signature.to_uppercase();
    for forged in [
        "",
        "0",
        &"0".repeat(64),
        &signature[..63],
        &format!("{signature}0"),
        &upper,
    ] {
        let mut request = request.clone();
        request.headers.insert(
            "authorization",
            format!("{start}Signature={forged}").parse().unwrap(),
        );
        assert_eq!(refusal(&request), SignatureError::Mismatch, "{forged}");
    }
}

#[test]
fn the_clock_may_be_wrong_by_fifteen_minutes_both_ways_and_no_more() {
    for (now, expected) in [
        ("2026-11-23T12:14:59Z", None),
        ("2026-11-23T12:15:00Z", None),
        ("2026-11-23T12:15:01Z", Some(SignatureError::Skewed)),
        ("2026-11-23T11:45:01Z", None),
        ("2026-11-23T11:44:59Z", Some(SignatureError::Skewed)),
        ("2025-11-23T12:00:00Z", Some(SignatureError::Skewed)),
    ] {
        let request = signed("GET", "/b/k", &[], Payload::EMPTY);
        assert_eq!(request.verify_at(at(now)).err(), expected, "{now}");
    }
}

#[test]
fn a_presigned_url_lives_from_its_date_to_its_expiry() {
    for (now, expected) in [
        ("2026-11-23T11:45:01Z", None),
        ("2026-11-23T11:44:59Z", Some(SignatureError::Skewed)),
        ("2026-11-23T12:59:59Z", None),
        ("2026-11-23T13:00:01Z", Some(SignatureError::Expired)),
    ] {
        assert_eq!(
            presigned(&[], 3600).verify_at(at(now)).err(),
            expected,
            "{now}"
        );
    }
    presigned(&[], 1).verify().unwrap();
    presigned(&[], 604_800)
        .verify_at(at("2026-11-30T11:59:59Z"))
        .unwrap();
    for expires in [
        "0",
        "604801",
        "-1",
        "+1",
        "1.5",
        "",
        "abc",
        "99999999999999999999",
    ] {
        let mut request = presigned(&[], 7777);
        request.target = request.target.replace("7777", expires);
        assert_eq!(
            refusal(&request),
            SignatureError::InvalidExpires,
            "{expires}"
        );
    }
    assert_eq!(refusal(&presigned(&[], 0)), SignatureError::InvalidExpires);
    assert_eq!(
        refusal(&presigned(&[], 604_801)),
        SignatureError::InvalidExpires
    );
}

#[test]
fn a_request_without_a_time_is_malformed() {
    let mut request = signed("GET", "/b/k", &[], Payload::EMPTY);
    request.headers.remove("x-amz-date");
    assert!(matches!(refusal(&request), SignatureError::Malformed(_)));
    for date in ["", "yesterday", "2026-11-23"] {
        request.headers.insert("date", date.parse().unwrap());
        assert!(
            matches!(refusal(&request), SignatureError::Malformed(_)),
            "{date}"
        );
    }
}

#[test]
fn the_scope_names_the_requests_date_s3_and_the_terminator() {
    let request = signed("GET", "/b/k", &[], Payload::EMPTY);
    let changed = |from, to| refusal(&replace(&request, "authorization", from, to));
    assert_eq!(
        changed("/20261123/", "/20261122/"),
        SignatureError::ScopeDate
    );
    assert_eq!(changed("/20261123/", "//"), SignatureError::ScopeDate);
    assert_eq!(changed("/s3/", "/ec2/"), Unsupported::Service.into());
    assert_eq!(changed("/s3/", "/sts/"), Unsupported::Sts.into());
    assert!(matches!(
        changed("aws4_request", "aws5_request"),
        SignatureError::Malformed(_)
    ));
    assert!(matches!(
        changed("/auto/", "/a/b/"),
        SignatureError::Malformed(_)
    ));
    // Any region is accepted, and is part of the key.
    assert_eq!(changed("/auto/", "/eu-west-1/"), SignatureError::Mismatch);
}

#[test]
fn every_region_is_accepted() {
    let credentials = credentials();
    for name in ["auto", "us-east-1", "eu-west-1", "my_own-Region"] {
        let region = name.parse().unwrap();
        let signer = Signer {
            credentials: &credentials,
            region: &region,
            service: Service::S3,
        };
        let mut request = Request::new("GET", "/b/k", &[HOST]);
        signer.sign(
            &Method::GET,
            "/b/k",
            "",
            &mut request.headers,
            &Payload::EMPTY,
            noon(),
        );
        request.verify().unwrap();
    }
}

#[test]
fn commas_may_stand_without_blanks_and_components_in_any_order() {
    let request = signed("GET", "/b/k", &[], Payload::EMPTY);
    replace(&request, "authorization", ", ", ",")
        .verify()
        .unwrap();
    replace(&request, "authorization", ", ", " ,\t ")
        .verify()
        .unwrap();
    let text = request.headers["authorization"].to_str().unwrap();
    let parts: Vec<_> = text
        .strip_prefix("AWS4-HMAC-SHA256 ")
        .unwrap()
        .split(", ")
        .collect();
    let turned = format!("AWS4-HMAC-SHA256   {},{},{}", parts[2], parts[0], parts[1]);
    let mut request = request.clone();
    request
        .headers
        .insert("authorization", turned.parse().unwrap());
    request.verify().unwrap();
}

#[test]
fn two_authorizations_are_a_conflict_even_when_one_is_right() {
    let right = signed("PUT", "/b/k", &[], Payload::Unsigned);
    let mut both = right.clone();
    both.target = presigned(&[], 60).target;
    assert!(matches!(refusal(&both), SignatureError::Conflict(_)));
    let mut twice = right.clone();
    let value = twice.headers["authorization"].clone();
    twice.headers.append("authorization", value);
    assert!(matches!(refusal(&twice), SignatureError::Conflict(_)));
    let component = replace(
        &right,
        "authorization",
        "Credential=",
        "Credential=x, Credential=",
    );
    assert!(matches!(refusal(&component), SignatureError::Conflict(_)));
    for extra in [
        "&X-Amz-Expires=60",
        "&x-amz-signature=0",
        "&X-Amz-SignedHeaders=host",
        "&X-Amz-Date=20261123T120000Z",
        "&AWSAccessKeyId=a&Signature=b",
    ] {
        let mut repeated = presigned(&[], 60);
        repeated.target.push_str(extra);
        assert!(
            matches!(refusal(&repeated), SignatureError::Conflict(_)),
            "{extra}"
        );
    }
    for header in ["x-amz-date", "x-amz-content-sha256", "host"] {
        let mut repeated = right.clone();
        let value = repeated.headers[header].clone();
        repeated
            .headers
            .append(HeaderName::from_static(header), value);
        assert!(
            matches!(refusal(&repeated), SignatureError::Conflict(_)),
            "{header}"
        );
    }
}

#[test]
fn other_schemes_are_refused_by_name() {
    let with = |value: &str| {
        refusal(&Request::new(
            "GET",
            "/b/k",
            &[HOST, ("authorization", value)],
        ))
    };
    assert_eq!(
        with("AWS AKIAIOSFODNN7EXAMPLE:c2ln"),
        Unsupported::SigV2.into()
    );
    assert_eq!(
        with("AWS4-ECDSA-P256-SHA256 Credential=a"),
        Unsupported::SigV4A.into()
    );
    assert_eq!(with("Basic dTpw"), Unsupported::Scheme.into());
    assert_eq!(
        with("AWS4-HMAC-SHA256"),
        SignatureError::Malformed("Credential is missing")
    );
    let v2 = Request::new(
        "GET",
        "/b/k?AWSAccessKeyId=A&Expires=1&Signature=s",
        &[HOST],
    );
    assert_eq!(refusal(&v2), Unsupported::SigV2.into());
    assert!(
        refusal(&v2).to_string().contains("region"),
        "the cure is named"
    );
    let token = signed(
        "GET",
        "/b/k",
        &[("x-amz-security-token", "t")],
        Payload::EMPTY,
    );
    assert_eq!(refusal(&token), Unsupported::SessionToken.into());
    assert_eq!(
        refusal(&presigned(&[("X-Amz-Security-Token", "t")], 60)),
        Unsupported::SessionToken.into()
    );
}

#[test]
fn an_amz_header_outside_the_signature_is_refused() {
    for name in [
        "x-amz-copy-source",
        "x-amz-acl",
        "x-amz-tagging",
        "x-amz-meta-a",
        "x-amz-object-lock-mode",
    ] {
        let header = HeaderName::from_static(name);
        for mut request in [
            signed("PUT", "/b/k", &[], Payload::Unsigned),
            presigned(&[], 60),
        ] {
            request
                .headers
                .insert(header.clone(), HeaderValue::from_static("/b/secret"));
            assert_eq!(
                refusal(&request),
                SignatureError::UnsignedHeader(header.clone())
            );
        }
    }
    let request = signed("PUT", "/b/k", &[], Payload::EMPTY);
    // Its value is part of what is signed, whether the header is listed or not.
    let unlisted = replace(&request, "authorization", "x-amz-content-sha256;", "");
    assert_eq!(refusal(&unlisted), SignatureError::Mismatch);
    let hostless = replace(&request, "authorization", "host;", "");
    assert_eq!(refusal(&hostless), SignatureError::HostNotSigned);
}

#[test]
fn unsigned_ordinary_headers_are_free() {
    let mut request = signed("GET", "/b/k", &[], Payload::EMPTY);
    for (name, value) in [
        ("range", "bytes=0-1"),
        ("user-agent", "x"),
        ("content-type", "a/b"),
        ("x-amzn-trace-id", "1"),
    ] {
        request.headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    request.verify().unwrap();
}

#[test]
fn metadata_in_several_lines_is_joined_and_blanks_collapse() {
    let lines = [("x-amz-meta-a", "one  two"), ("x-amz-meta-a", "three")];
    let request = signed("PUT", "/b/k", &lines, Payload::EMPTY);
    let mut joined = request.clone();
    joined
        .headers
        .insert("x-amz-meta-a", HeaderValue::from_static(" one two,three "));
    request.verify().unwrap();
    joined.verify().unwrap();
}

#[test]
fn the_payload_form_is_the_one_that_was_signed() {
    let form = |request: &Request| request.verify().map(|proof| proof.payload);
    for payload in [
        Payload::EMPTY,
        Payload::Unsigned,
        Payload::UnsignedTrailer,
        Payload::SignedChunks,
        Payload::SignedChunksTrailer,
    ] {
        let proof = signed("PUT", "/b/k", &[], payload).verify().unwrap();
        assert_eq!(proof.payload, payload);
        let seeded = matches!(
            payload,
            Payload::SignedChunks | Payload::SignedChunksTrailer
        );
        assert_eq!(proof.chunks.is_some(), seeded);
    }
    let mut none = signed("PUT", "/b/k", &[], Payload::EMPTY);
    none.headers.remove("x-amz-content-sha256");
    assert_eq!(form(&none), Err(SignatureError::MissingPayloadHash));
    let mut unknown = signed("PUT", "/b/k", &[], Payload::EMPTY);
    unknown.headers.insert(
        "x-amz-content-sha256",
        HeaderValue::from_static("STREAMING-NEW"),
    );
    assert_eq!(form(&unknown), Err(SignatureError::InvalidPayloadHash));
}

#[test]
fn an_unsigned_header_cannot_choose_the_payload_of_a_presigned_url() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let with = |request: &Request, value: &str| {
        let mut request = request.clone();
        request
            .headers
            .insert("x-amz-content-sha256", value.parse().unwrap());
        request.verify().map(|proof| proof.payload)
    };
    let plain = presigned(&[], 60);
    assert_eq!(plain.verify().unwrap().payload, Payload::Unsigned);
    assert_eq!(with(&plain, hash), Ok(Payload::Unsigned));
    for framed in [
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    ] {
        assert_eq!(
            with(&plain, framed),
            Err(Unsupported::PresignedChunks.into())
        );
        let hoisted = presigned(&[("X-Amz-Content-Sha256", framed)], 60);
        assert_eq!(refusal(&hoisted), Unsupported::PresignedChunks.into());
    }
    assert_eq!(
        with(&plain, "nonsense"),
        Err(SignatureError::InvalidPayloadHash)
    );
    // A hash in the query is signed; this signer signs UNSIGNED-PAYLOAD, so it cannot match.
    let hoisted = presigned(&[("X-Amz-Content-Sha256", hash)], 60);
    assert_eq!(refusal(&hoisted), SignatureError::Mismatch);
    assert!(matches!(
        with(&hoisted, "UNSIGNED-PAYLOAD"),
        Err(SignatureError::Conflict(_))
    ));
}

#[test]
fn signed_query_parameters_become_headers_and_leave_the_query() {
    let query = [
        ("x-amz-acl", "private"),
        ("X-Amz-Meta-Name", "é"),
        ("x-id", "PutObject"),
        ("versionId", "1"),
    ];
    let request = presigned(&query, 60);
    let proof = request.verify().unwrap();
    let mut hoisted: Vec<_> = proof
        .hoisted
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    hoisted.sort_unstable();
    assert_eq!(
        hoisted,
        [
            ("x-amz-acl", &b"private"[..]),
            ("x-amz-meta-name", "é".as_bytes())
        ]
    );
    assert_eq!(proof.target.encoded_query(), "versionId=1&x-id=PutObject");
    assert!(proof.presigned);
    let broken = presigned(&[("x-amz-meta-a", "a\r\nx-amz-acl: public-read")], 60);
    assert!(matches!(refusal(&broken), SignatureError::Malformed(_)));
    // In a request that is signed by its header they stay in the query, for policy to refuse.
    let header = signed("PUT", "/b/k?x-amz-acl=private", &[], Payload::EMPTY)
        .verify()
        .unwrap();
    assert_eq!(header.target.encoded_query(), "x-amz-acl=private");
    assert!(header.hoisted.is_empty());
}

#[test]
fn a_forged_list_of_signed_headers_cannot_add_lines() {
    for names in [
        "host%0Ax-amz-acl",
        "host;",
        ";host",
        "host;host",
        "host;a%20b",
        "",
    ] {
        let mut request = presigned(&[], 60);
        request.target = request
            .target
            .replace("SignedHeaders=host", &format!("SignedHeaders={names}"));
        let error = refusal(&request);
        assert!(
            matches!(
                error,
                SignatureError::Malformed(_) | SignatureError::Conflict(_)
            ),
            "{names}: {error:?}"
        );
    }
}

fn target_of(wire: &str, signed_path: &str) -> Proof {
    let mut request = signed("GET", signed_path, &[], Payload::EMPTY);
    request.target = wire.into();
    request
        .verify()
        .unwrap_or_else(|error| panic!("{wire} signed as {signed_path}: {error}"))
}

#[test]
fn two_spellings_of_a_key_leave_as_one_and_different_keys_stay_different() {
    for (wire, canonical) in [
        ("/b/%61", "/b/a"),
        ("/b/a%20b", "/b/a%20b"),
        ("/b/a+b", "/b/a%2Bb"),
        ("/b/a%2bb", "/b/a%2Bb"),
        ("/b/a%2Fb", "/b/a/b"),
        ("/b/a%252Fb", "/b/a%252Fb"),
        ("/b/@()*'!=", "/b/%40%28%29%2A%27%21%3D"),
        ("/b/😀", "/b/%F0%9F%98%80"),
        ("/b//a//", "/b//a//"),
        ("//b/a", "//b/a"),
        ("/b/../x/./%2e%2e", "/b/../x/./.."),
        ("/b/%00%0A\\", "/b/%00%0A%5C"),
        ("/b/%FF%FE", "/b/%FF%FE"),
        ("/b/e%CC%81", "/b/e%CC%81"),
        ("/b/%C3%A9", "/b/%C3%A9"),
        ("/", "/"),
    ] {
        // Clients sign the canonical form, or exactly what they send.
        for signed_path in [canonical, wire] {
            let proof = target_of(wire, signed_path);
            assert_eq!(proof.target.path(), canonical, "{wire}");
        }
    }
    let mut request = signed("GET", "/b/a/b", &[], Payload::EMPTY);
    request.target = "/b/a%252Fb".into();
    assert_eq!(refusal(&request), SignatureError::Mismatch);
}

#[test]
fn queries_are_sorted_after_encoding_and_plus_is_a_blank() {
    let verified = |wire: &str, canonical: &str| {
        let mut request = signed("GET", &format!("/b?{canonical}"), &[], Payload::EMPTY);
        request.target = format!("/b?{wire}");
        let proof = request
            .verify()
            .unwrap_or_else(|error| panic!("{wire}: {error}"));
        assert_eq!(proof.target.encoded_query(), canonical);
    };
    verified("prefix=a+b&delimiter=/", "delimiter=%2F&prefix=a%20b");
    verified("uploads", "uploads=");
    verified("b=2&a=2&a=1&a=1", "a=1&a=1&a=2&b=2");
    verified("a-=1&a=2&A=3&%C3%A9=4", "%C3%A9=4&A=3&a=2&a-=1");
    verified("x=!'()*~", "x=%21%27%28%29%2A~");
    verified("a==b&&c=", "a=%3Db&c=");
}

#[test]
fn targets_that_have_no_one_meaning_are_refused() {
    for target in [
        "",
        "b",
        "*",
        "http://h/b",
        "/b/%",
        "/b/%4",
        "/b/%zz",
        "/b/%+1",
        "/b?a=%",
        "/b?a=%FF",
        "/b c",
        "/b\n",
        "/b?a\tb",
    ] {
        let method = Method::GET;
        let request = signed("GET", "/b", &[], Payload::EMPTY);
        let head = Head {
            method: &method,
            target,
            headers: &request.headers,
        };
        assert_eq!(
            Presented::parse(&head).unwrap_err(),
            SignatureError::InvalidTarget,
            "{target:?}"
        );
    }
}

#[test]
fn no_error_and_no_debug_text_holds_a_secret_or_a_signature() {
    let request = signed("PUT", "/b/k", &[], Payload::SignedChunks);
    let signature = request.headers["authorization"]
        .to_str()
        .unwrap()
        .rsplit('=')
        .next()
        .unwrap()
        .to_owned();
    let proof = request.verify().unwrap();
    assert!(!format!("{proof:?}").contains(&signature));
    assert!(!format!("{proof:?}").contains(secret().expose()));
    let other = Request {
        target: "/b/x".into(),
        ..request
    };
    let error = refusal(&other);
    assert!(!format!("{error} {error:?}").contains(&signature));
}
