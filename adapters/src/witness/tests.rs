//! Identity, existence, settings and uploads from prepared answers.

use super::*;
use crate::canned::{self, Reply, bucket, error};

fn witness(replies: impl IntoIterator<Item = Reply>) -> (Witness, Arc<canned::Canned>) {
    let (exchange, canned) = canned::exchange(replies);
    (Witness::new(exchange, canned::credentials()), canned)
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
async fn identities_are_creation_dates_where_they_are_told() {
    let body = "<ListAllMyBucketsResult><Buckets><Bucket><Name>photos</Name>\
        <CreationDate>2026-01-02T03:04:05Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>";
    let (told, _) = witness([Reply::Says(200, body.into())]);
    let expected = BucketIdentity::CreationDate("2026-01-02T03:04:05Z".into());
    assert_eq!(told.identity(&bucket()).await, Ok(expected));
    for zero in ["0001-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z"] {
        let body = body.replace("2026-01-02T03:04:05Z", zero);
        let (vague, _) = witness([Reply::Says(200, body)]);
        assert_eq!(vague.identity(&bucket()).await, Ok(BucketIdentity::NotTold));
    }
    let (denied, _) = witness([error(403, "AccessDenied", "")]);
    assert_eq!(
        denied.identity(&bucket()).await,
        Ok(BucketIdentity::NotTold)
    );
}

#[tokio::test(start_paused = true)]
async fn uploads_are_read_page_by_page_and_brought_in_order() {
    let page = |uploads: &[(&str, &str)], next: Option<(&str, &str)>| {
        let mut body = String::from("<ListMultipartUploadsResult><EncodingType>url</EncodingType>");
        for (key, id) in uploads {
            body += &format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId></Upload>");
        }
        body += &format!("<IsTruncated>{}</IsTruncated>", next.is_some());
        if let Some((key, id)) = next {
            body += &format!(
                "<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>"
            );
        }
        Reply::Says(200, body + "</ListMultipartUploadsResult>")
    };
    let (told, canned) = witness([
        page(&[("b%20c", "2"), ("b%20c", "1")], Some(("b%20c", "1"))),
        page(&[("a", "3")], None),
    ]);
    let found = told.uploads(&bucket()).await.unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|entry| (entry.key.as_str(), entry.item.id().unwrap()))
        .collect();
    assert_eq!(names, [("a", "3"), ("b c", "1"), ("b c", "2")]);
    let asked = canned.asked.lock().unwrap().join("\n");
    assert!(asked.contains("key-marker=b%20c"), "{asked}");

    let again = page(&[("a", "1")], Some(("a", "1")));
    let Reply::Says(_, body) = &again else {
        unreachable!()
    };
    let (round, _) = witness([
        Reply::Says(200, body.clone()),
        Reply::Says(200, body.clone()),
    ]);
    assert!(matches!(
        round.uploads(&bucket()).await,
        Err(WitnessError::Malformed(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_look_at_open_uploads_ends_after_so_many_pages_and_names_the_oldest() {
    let page = |uploads: &[(&str, &str)], next: &str| {
        let mut body = String::from("<ListMultipartUploadsResult>");
        for (id, begun) in uploads {
            body += &format!(
                "<Upload><Key>k</Key><UploadId>{id}</UploadId><Initiated>{begun}</Initiated></Upload>"
            );
        }
        body += &format!(
            "<IsTruncated>{}</IsTruncated><NextKeyMarker>{next}</NextKeyMarker>",
            !next.is_empty()
        );
        Reply::Says(200, body + "</ListMultipartUploadsResult>")
    };
    let day = |day: u8| format!("2026-01-{day:02}T00:00:00.000Z");
    let first = page(&[("1", &day(5)), ("2", "soon")], "k");
    let (told, canned) = witness([first, page(&[("3", &day(2))], "l"), page(&[], "")]);
    let seen = told.open_uploads(&bucket(), 2, 2).await.unwrap();
    let named: Vec<_> = seen.some.iter().map(|upload| &*upload.id).collect();
    assert_eq!((seen.count, seen.more), (3, true));
    assert_eq!(named, ["3", "1"]);
    assert_eq!(seen.oldest, Some(day(2).parse().unwrap()));
    assert_eq!(canned.asked.lock().unwrap().len(), 2);

    let (whole, _) = witness([page(&[("2", "soon")], "")]);
    let seen = whole.open_uploads(&bucket(), 2, 0).await.unwrap();
    assert_eq!((seen.count, seen.more, seen.oldest), (1, false, None));
    assert!(seen.some.is_empty());
}

#[tokio::test(start_paused = true)]
async fn versions_are_listed_where_they_may_exist_and_refusals_are_told() {
    let server = |versioning: &'static str, versions: u16| {
        let (exchange, _) = canned::acting(move |asked| {
            if asked.contains("?versioning") {
                let body =
                    format!("<VersioningConfiguration>{versioning}</VersioningConfiguration>");
                Reply::Says(200, body)
            } else if asked.contains("versions=") && versions == 200 {
                let body =
                    "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";
                Reply::Says(200, body.into())
            } else {
                error(
                    if asked.contains("versions=") {
                        versions
                    } else {
                        403
                    },
                    "AccessDenied",
                    "",
                )
            }
        });
        Witness::new(exchange, canned::credentials())
    };
    let on = "<Status>Enabled</Status>";
    let kept = server(on, 200).about(&bucket()).await.unwrap();
    assert_eq!(kept.contents, Contents::Versions);
    let parts: Vec<_> = kept.unlisted.keys().collect();
    assert_eq!(parts, [&Part::Uploads], "refused, and told");
    let set = &kept.settings[&Aspect::Versioning];
    assert!(matches!(set, Setting::Set { .. }), "{set:?}");
    let policy = &kept.settings[&Aspect::Policy];
    assert!(matches!(policy, Setting::NotTold { reason } if reason.contains("AccessDenied")));

    let off = server("", 403).about(&bucket()).await.unwrap();
    assert_eq!(off.contents, Contents::Objects);
    assert!(!off.unlisted.contains_key(&Part::Versions));
    let refused = server(on, 403).about(&bucket()).await.unwrap();
    assert_eq!(refused.contents, Contents::Objects);
    assert!(refused.unlisted[&Part::Versions].contains("AccessDenied"));
}
