//! Probes against prepared answers.

use super::*;
use crate::canned::{self, Reply, error};
use crate::{guard::Refusal, transport::TransportErrorKind};

async fn refused(reply: Reply) -> ProbeFailure {
    let (exchange, _) = canned::exchange([reply]);
    run(&exchange, &canned::credentials(), &canned::buckets())
        .await
        .unwrap_err()
}

/// provider-keys.md §5, column by column.
#[tokio::test]
async fn refusals_are_told_apart_for_every_provider() {
    for (reply, expected) in [
        (
            error(403, "InvalidAccessKeyId", ""),
            "does not know this access key id",
        ),
        (
            error(401, "Unauthorized", "Unauthorized"),
            "does not know this access key id",
        ),
        (
            error(
                400,
                "InvalidArgument",
                "Credential access key has length 3, should be 32",
            ),
            "does not know this access key id",
        ),
        (
            error(403, "AccessDenied", "Forbidden: No such key: GK1"),
            "does not know this access key id",
        ),
        (
            error(403, "SignatureDoesNotMatch", ""),
            "secret access key does not belong",
        ),
        (
            error(403, "AccessDenied", "Forbidden: Invalid signature"),
            "secret access key does not belong",
        ),
        (
            error(403, "AccessDenied", "Access Denied."),
            "may not list objects in bucket photos",
        ),
        (error(403, "RequestTimeTooSkewed", ""), "clock"),
        (error(404, "NoSuchBucket", ""), "there is no bucket photos"),
        (
            error(400, "AuthorizationHeaderMalformed", ""),
            "region is wrong",
        ),
        (error(301, "PermanentRedirect", ""), "region is wrong"),
        (error(503, "SlowDown", ""), "answers 503 (SlowDown)"),
        (Reply::Says(500, "oops".into()), "answers 500"),
        (
            Reply::Says(403, "<html>blocked</html>".into()),
            "no S3 server",
        ),
        (Reply::Says(302, String::new()), "no S3 server"),
        (Reply::Says(200, "{}".into()), "no S3 server"),
        (
            Reply::Says(
                400,
                "Client sent an HTTP request to an HTTPS server.".into(),
            ),
            "use https://",
        ),
        (
            Reply::Fails(TransportErrorKind::Dns),
            "can't be reached: its name has no address",
        ),
        (
            Reply::Fails(TransportErrorKind::Tls),
            "no trusted TLS connection",
        ),
        (
            Reply::Fails(TransportErrorKind::NotTls),
            "does not speak TLS",
        ),
        (
            Reply::Fails(TransportErrorKind::Refused(Refusal::Metadata)),
            "metadata address",
        ),
    ] {
        let failure = refused(reply).await;
        assert!(
            failure.to_string().contains(expected),
            "{failure} for {expected}"
        );
        assert!(!failure.next_step().is_empty());
        assert!(!format!("{failure:?}").contains("marker-of-a-secret"));
    }
}

#[tokio::test]
async fn the_right_region_is_passed_on() {
    let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
    match refused(Reply::Says(400, body.into())).await {
        failure @ ProbeFailure::WrongRegion { .. } => {
            assert_eq!(failure.next_step(), "use --region eu-west-3");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn rights_that_are_not_needed_may_lack() {
    let (exchange, canned) = canned::exchange([
        canned::listing(&["a"], None),
        error(403, "AccessDenied", ""),
        error(403, "AccessDenied", ""),
        error(501, "NotImplemented", ""),
        error(403, "AccessDenied", ""),
    ]);
    let found = run(&exchange, &canned::credentials(), &canned::buckets())
        .await
        .unwrap();
    let bucket = &found.buckets[0];
    assert_eq!(bucket.rights, [Right::List]);
    assert_eq!(
        bucket.lacking,
        [Right::Read, Right::Location, Right::ListBuckets]
    );
    assert_eq!(
        (bucket.versioning, &bucket.identity),
        (Versioning::NotTold, &BucketIdentity::NotTold)
    );
    assert!(
        canned
            .asked
            .lock()
            .unwrap()
            .iter()
            .all(|asked| asked.starts_with("GET "))
    );
}
