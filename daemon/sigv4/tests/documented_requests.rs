//! The worked examples of the AWS documentation for S3.

#![allow(clippy::unwrap_used, reason = "a broken premise fails the test")]

mod common;

use bascule_sigv4::{Payload, Service, SignatureError, Signer};
use common::{Request, at, credentials};
use http::{HeaderMap, HeaderValue, Method};

const HOST: (&str, &str) = ("host", "examplebucket.s3.amazonaws.com");
const DATE: (&str, &str) = ("x-amz-date", "20130524T000000Z");
const EMPTY: (&str, &str) = (
    "x-amz-content-sha256",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
);

fn authorization(signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
         SignedHeaders={signed},Signature={signature}"
    )
}

fn check(method: &str, target: &str, headers: &[(&str, &str)], signed: &str, signature: &str) {
    let authorization = authorization(signed, signature);
    let headers = [headers, &[("authorization", &authorization)]].concat();
    let proof = Request::new(method, target, &headers)
        .verify_at(at("2013-05-24T00:05:00Z"))
        .unwrap();
    assert!(!proof.presigned);
    let wrong = authorization.replace("Signature=", "Signature=0");
    let wrong = &wrong[..wrong.len() - 1];
    let headers = [&headers[..headers.len() - 1], &[("authorization", wrong)]].concat();
    let refused = Request::new(method, target, &headers).verify_at(at("2013-05-24T00:05:00Z"));
    assert_eq!(refused.unwrap_err(), SignatureError::Mismatch);
}

#[test]
fn get_object() {
    check(
        "GET",
        "/test.txt",
        &[HOST, ("range", "bytes=0-9"), EMPTY, DATE],
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
}

#[test]
fn put_object() {
    check(
        "PUT",
        "/test$file.text",
        &[
            HOST,
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            DATE,
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            (
                "x-amz-content-sha256",
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
        ],
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    );
}

#[test]
fn get_bucket_lifecycle_and_list_objects() {
    for (target, signature) in [
        (
            "/?lifecycle",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/?max-keys=2&prefix=J",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ] {
        check(
            "GET",
            target,
            &[HOST, EMPTY, DATE],
            "host;x-amz-content-sha256;x-amz-date",
            signature,
        );
    }
}

#[test]
fn chunked_upload_seed() {
    let authorization = authorization(
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    );
    let request = Request::new(
        "PUT",
        "/examplebucket/chunkObject.txt",
        &[
            ("host", "s3.amazonaws.com"),
            DATE,
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
            ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            ("content-encoding", "aws-chunked"),
            ("x-amz-decoded-content-length", "66560"),
            ("content-length", "66824"),
            ("authorization", &authorization),
        ],
    );
    let proof = request.verify_at(at("2013-05-24T00:00:00Z")).unwrap();
    assert_eq!(proof.payload, Payload::SignedChunks);
    assert!(proof.chunks.is_some());
}

#[test]
fn presigned_url() {
    let url = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    let proof = Request::new("GET", url, &[HOST])
        .verify_at(at("2013-05-24T23:00:00Z"))
        .unwrap();
    assert!(proof.presigned);
    assert_eq!(proof.payload, Payload::Unsigned);
    assert_eq!(
        (proof.target.path(), proof.target.encoded_query().as_str()),
        ("/test.txt", "")
    );

    let credentials = credentials();
    let region = "us-east-1".parse().unwrap();
    let signer = Signer {
        credentials: &credentials,
        region: &region,
        service: Service::S3,
    };
    let made = signer.presign(
        &Method::GET,
        "https://examplebucket.s3.amazonaws.com",
        "/test.txt",
        &[],
        86_400,
        at("2013-05-24T00:00:00Z"),
    );
    assert_eq!(made, format!("https://examplebucket.s3.amazonaws.com{url}"));
}

#[test]
fn the_signer_leaves_range_unsigned_and_is_verified() {
    let credentials = credentials();
    let region = "us-east-1".parse().unwrap();
    let signer = Signer {
        credentials: &credentials,
        region: &region,
        service: Service::S3,
    };
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static(HOST.1));
    headers.insert("range", HeaderValue::from_static("bytes=0-9"));
    headers.insert("accept-encoding", HeaderValue::from_static("identity"));
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    signer.sign(
        &Method::GET,
        "/a%20b",
        "x=",
        &mut headers,
        &Payload::EMPTY,
        at("2013-05-24T00:00:00Z"),
    );
    let text = headers["authorization"].to_str().unwrap();
    assert!(
        text.contains("SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date,"),
        "{text}"
    );
    assert!(
        !format!("{headers:?}").contains("Signature="),
        "the authorization is marked sensitive"
    );
    let request = Request {
        method: Method::GET,
        target: "/a%20b?x".into(),
        headers,
    };
    request.verify_at(at("2013-05-24T00:00:00Z")).unwrap();
}
