//! What answers come to, against prepared ones, and who may be asked at all.

use super::*;
use crate::canned::{self, Reply, error};

/// A checker whose requests to `https://s3.example.com` get prepared answers.
fn checker(replies: impl IntoIterator<Item = Reply>) -> (Checker, Arc<canned::Canned>) {
    let (_, canned) = canned::exchange(replies);
    let checker = Checker::new(Arc::new(|| jiff::Timestamp::UNIX_EPOCH));
    for endpoint in [
        "https://s3.example.com",
        "https://s3.us-east-1.amazonaws.com",
        "https://s3.eu-west-3.amazonaws.com",
        "https://s3.eu-west-1.amazonaws.com",
    ] {
        checker
            .transports
            .lock()
            .unwrap()
            .insert(endpoint.parse().unwrap(), canned.clone());
    }
    (checker, canned)
}

fn server(endpoint: &str) -> Server {
    let endpoint = endpoint.parse().unwrap();
    Server::of(Some(&endpoint), None, &canned::credentials().access_key_id).unwrap()
}

async fn asked(reply: Reply) -> Health {
    let (checker, _) = checker([reply]);
    let bucket = canned::bucket();
    checker
        .check(
            &server("https://s3.example.com"),
            &canned::credentials(),
            Some(&bucket),
        )
        .await
}

/// provider-keys.md §5: what each server says of unknown, disabled, mismatched and limited keys.
#[tokio::test]
async fn answers_become_healths_and_a_denial_never_means_dead() {
    let alive = Health::Alive { lacks: None };
    let unknown_region = Health::Unknown("the region is wrong".into());
    for (reply, expected) in [
        (canned::listing(&["a"], None), alive),
        (
            error(404, "NoSuchBucket", ""),
            Health::Alive {
                lacks: Some(canned::bucket()),
            },
        ),
        (error(403, "InvalidAccessKeyId", ""), Health::Dead),
        (
            error(403, "InvalidAccessKeyId", "Your account is disabled"),
            Health::Dead,
        ),
        (error(401, "Unauthorized", ""), Health::Dead),
        (
            error(
                400,
                "InvalidArgument",
                "Credential access key has length 5, should be 32",
            ),
            Health::Dead,
        ),
        (
            error(403, "AccessDenied", "Forbidden: No such key: GK1"),
            Health::Dead,
        ),
        (error(403, "SignatureDoesNotMatch", ""), Health::WrongSecret),
        (
            error(403, "AccessDenied", "Forbidden: Invalid signature"),
            Health::WrongSecret,
        ),
        (error(403, "AccessDenied", "Access Denied."), Health::Denied),
        (
            error(403, "AccessDenied", "access key has expired"),
            Health::Denied,
        ),
        (error(403, "AllAccessDisabled", ""), Health::Denied),
        (
            Reply::Fails(TransportErrorKind::Dns),
            Health::Unreachable(Obstacle::Dns),
        ),
        (
            Reply::Fails(TransportErrorKind::Unreachable),
            Health::Unreachable(Obstacle::Connect),
        ),
        (
            Reply::Fails(TransportErrorKind::Timeout),
            Health::Unreachable(Obstacle::Timeout),
        ),
        (
            Reply::Fails(TransportErrorKind::Tls),
            Health::Unreachable(Obstacle::Tls),
        ),
        (error(301, "PermanentRedirect", ""), unknown_region),
    ] {
        assert_eq!(asked(reply).await, expected);
    }
}

#[tokio::test]
async fn what_is_not_understood_is_unknown_with_code_and_status() {
    for (reply, said) in [
        (error(403, "UserSuspended", ""), "403 (UserSuspended)"),
        (error(503, "SlowDown", ""), "503 (SlowDown)"),
        (Reply::Says(500, "oops".into()), "500"),
        (
            Reply::Says(403, "<html>blocked</html>".into()),
            "403 with a web page",
        ),
        (Reply::Says(200, "{}".into()), "no S3 server"),
        (error(403, "RequestTimeTooSkewed", ""), "clock"),
        (
            Reply::Fails(TransportErrorKind::Refused(crate::guard::Refusal::Metadata)),
            "not dialled",
        ),
    ] {
        match asked(reply).await {
            Health::Unknown(why) => assert!(why.contains(said), "{why} for {said}"),
            other => panic!("{other:?} for {said}"),
        }
    }
}

#[tokio::test]
async fn a_named_server_is_asked_again_for_the_region_that_it_tells_and_never_elsewhere() {
    let told = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>garage</Region></Error>";
    let replies = [
        Reply::Says(400, told.into()),
        canned::listing(&[], None),
        Reply::Says(400, told.into()),
        Reply::Says(400, told.into()),
    ];
    let (checker, canned) = checker(replies);
    let (server, credentials) = (server("https://s3.example.com"), canned::credentials());
    let bucket = canned::bucket();
    let first = checker.check(&server, &credentials, Some(&bucket)).await;
    assert_eq!(first, Health::Alive { lacks: None });
    let second = checker.check(&server, &credentials, Some(&bucket)).await;
    assert!(matches!(second, Health::Unknown(_)), "{second:?}");
    let asked = canned.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 4, "a region is learned once: {asked:?}");
    for question in asked {
        assert!(
            question.starts_with("GET https://s3.example.com/photos?"),
            "{question}"
        );
        assert!(question.contains("max-keys=1"), "{question}");
    }
}

#[tokio::test]
async fn amazons_own_server_follows_the_region_where_no_endpoint_is_set() {
    let redirect = "<Error><Code>PermanentRedirect</Code><Region>eu-west-3</Region></Error>";
    let id = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
    let credentials = canned::credentials();
    let bucket = canned::bucket();

    let (checker_of_none, canned) = checker([
        Reply::Says(301, redirect.into()),
        canned::listing(&[], None),
    ]);
    let server = Server::of(None, None, &id).unwrap();
    let health = checker_of_none
        .check(&server, &credentials, Some(&bucket))
        .await;
    assert_eq!(health, Health::Alive { lacks: None });
    let asked = canned.asked.lock().unwrap().clone();
    assert!(asked[0].contains("//photos.s3.us-east-1.amazonaws.com/"));
    assert!(asked[1].contains("//photos.s3.eu-west-3.amazonaws.com/"));

    // One that the configuration names is the only one, whatever it says.
    let (checker_of_one, canned) = checker([
        Reply::Says(301, redirect.into()),
        Reply::Says(301, redirect.into()),
    ]);
    let named = "https://s3.eu-west-1.amazonaws.com".parse().unwrap();
    let region = "eu-west-1".parse().unwrap();
    let server = Server::of(Some(&named), Some(&region), &id).unwrap();
    let health = checker_of_one
        .check(&server, &credentials, Some(&bucket))
        .await;
    assert!(matches!(health, Health::Unknown(_)), "{health:?}");
    for question in canned.asked.lock().unwrap().iter() {
        assert!(
            question.contains("//photos.s3.eu-west-1.amazonaws.com/"),
            "{question}"
        );
    }
}

#[tokio::test]
async fn without_a_bucket_a_name_is_asked_for_that_nobody_has() {
    let (checker, canned) = checker([
        error(404, "NoSuchBucket", ""),
        error(404, "NoSuchBucket", ""),
    ]);
    let server = server("https://s3.example.com");
    for _ in 0..2 {
        let health = checker.check(&server, &canned::credentials(), None).await;
        assert_eq!(health, Health::Alive { lacks: None });
    }
    let asked = canned.asked.lock().unwrap().clone();
    assert!(
        asked[0].contains("/bascule-check-"),
        "the name says whose it is: {asked:?}"
    );
    assert_ne!(asked[0], asked[1]);
}

#[test]
fn only_amazons_ids_are_sent_to_amazon_when_no_endpoint_is_set() {
    let amazons = "AKIAIOSFODNN7EXAMPLE".parse().unwrap();
    let server = Server::of(None, None, &amazons).unwrap();
    assert_eq!(
        server.endpoint().to_string(),
        "https://s3.us-east-1.amazonaws.com"
    );
    for id in [
        "minioadmin",
        "GK31c2f218a2e44f485b94239e",
        "BSCAAAAAAAAAAAAAAAAA",
        "akiaiosfodnn7example",
        "AKIASHORT",
    ] {
        assert_eq!(Server::of(None, None, &id.parse().unwrap()), None, "{id}");
    }
}

#[test]
fn the_endpoint_of_a_configuration_is_taken_as_it_is() {
    let id = "minioadmin".parse().unwrap();
    for endpoint in [
        "http://127.0.0.1:9000",
        "http://minio.lan:9000",
        "https://s3.example.com",
        "https://s3.eu-west-1.amazonaws.com",
    ] {
        let server = Server::of(Some(&endpoint.parse().unwrap()), None, &id).unwrap();
        assert_eq!(server.endpoint().to_string(), endpoint);
    }
}
