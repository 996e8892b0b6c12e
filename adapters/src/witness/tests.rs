//! Listings, identity and existence from prepared answers.

use super::*;
use crate::canned::{self, Reply, bucket, error, listing};

fn witness(replies: impl IntoIterator<Item = Reply>) -> (Witness, Arc<canned::Canned>) {
    let (exchange, canned) = canned::exchange(replies);
    (Witness::new(exchange, canned::credentials()), canned)
}

async fn all(mut lister: Lister) -> Result<Vec<String>, WitnessError> {
    let mut keys = Vec::new();
    while let Some(page) = lister.next_page().await? {
        keys.extend(page.into_iter().map(|entry| entry.key.to_string()));
    }
    Ok(keys)
}

#[tokio::test(start_paused = true)]
async fn pages_are_asked_for_until_the_last_and_failures_are_repeated() {
    let (witness, canned) = witness([
        listing(&["a+b", "a%2Bb"], Some("t/1=")),
        error(503, "SlowDown", ""),
        Reply::Fails(TransportErrorKind::Broken),
        listing(&["b"], None),
    ]);
    assert_eq!(
        all(witness.list(&bucket())).await.unwrap(),
        ["a b", "a+b", "b"]
    );
    let asked = canned.asked.lock().unwrap();
    assert_eq!(asked.len(), 4);
    assert!(
        asked[3].contains("continuation-token=t%2F1%3D"),
        "{}",
        asked[3]
    );
    assert!(asked.iter().all(|asked| asked.starts_with("GET ")));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_stays_away_is_given_up_in_the_end() {
    let (witness, canned) = witness((0..20).map(|_| error(500, "InternalError", "")));
    assert!(matches!(
        all(witness.list(&bucket())).await,
        Err(WitnessError::Away(_))
    ));
    assert_eq!(canned.asked.lock().unwrap().len(), ATTEMPTS as usize);
}

#[tokio::test]
async fn keys_out_of_order_are_noticed_within_and_across_pages() {
    for replies in [
        vec![listing(&["b", "a"], None)],
        vec![listing(&["a", "a"], None)],
        vec![listing(&["b"], Some("t")), listing(&["a"], None)],
    ] {
        let (witness, _) = witness(replies);
        assert_eq!(
            all(witness.list(&bucket())).await,
            Err(WitnessError::NotOrdered(bucket()))
        );
    }
}

#[tokio::test]
async fn a_listing_that_can_not_be_trusted_is_an_error() {
    let cut = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key>";
    let no_size = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>";
    let no_token = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    let silent = "<ListBucketResult></ListBucketResult>";
    for body in [
        cut,
        no_size,
        no_token,
        silent,
        "",
        "<Error/>",
        "<html></html>",
    ] {
        let (witness, _) = witness([Reply::Says(200, body.into())]);
        assert!(
            matches!(
                all(witness.list(&bucket())).await,
                Err(WitnessError::Malformed(_))
            ),
            "{body}"
        );
    }
    let (witness, _) = witness([listing(&["a"], Some("t")), listing(&["b"], Some("t"))]);
    assert!(matches!(
        all(witness.list(&bucket())).await,
        Err(WitnessError::Malformed(_))
    ));
}

#[tokio::test]
async fn only_an_explicit_answer_means_that_a_bucket_is_gone() {
    let (gone, _) = witness([error(404, "NoSuchBucket", "")]);
    assert_eq!(gone.exists(&bucket()).await, Ok(false));
    for (reply, expected) in [
        (error(403, "AccessDenied", ""), "refuses"),
        (error(403, "InvalidAccessKeyId", ""), "refuses"),
        (error(404, "NoSuchKey", ""), "refuses"),
        (Reply::Says(404, "<html/>".into()), "can't be used"),
    ] {
        let (witness, _) = witness([reply]);
        let error = witness.exists(&bucket()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_missing_etag_is_counted_and_plain_keys_are_taken_as_they_are() {
    let body = "<ListBucketResult><IsTruncated>false</IsTruncated>\
        <Contents><Key>a+b%20c</Key><Size>7</Size></Contents></ListBucketResult>";
    let (witness, _) = witness([Reply::Says(200, body.into())]);
    let mut lister = witness.list(&bucket());
    let page = lister.next_page().await.unwrap().unwrap();
    assert_eq!(page[0].key.as_str(), "a+b%20c");
    assert_eq!((page[0].etag.as_str(), lister.without_etag()), ("", 1));
}

#[tokio::test]
async fn identities_are_creation_dates_where_they_are_told() {
    let body = "<ListAllMyBucketsResult><Buckets><Bucket><Name>photos</Name>\
        <CreationDate>2026-01-02T03:04:05Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>";
    let (told, _) = witness([Reply::Says(200, body.into())]);
    let expected = BucketIdentity::CreationDate("2026-01-02T03:04:05Z".into());
    assert_eq!(told.identity(&bucket()).await, Ok(expected));
    let (denied, _) = witness([error(403, "AccessDenied", "")]);
    assert_eq!(
        denied.identity(&bucket()).await,
        Ok(BucketIdentity::NotTold)
    );
}
