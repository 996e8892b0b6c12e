//! Listings by many cursors, from a server that is made up.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use bascule_domain::manifest::gaps;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::*;
use crate::{
    canned::{self, Reply, bucket, error, listing},
    transport::TransportErrorKind,
};

fn witness(replies: impl IntoIterator<Item = Reply>) -> (Witness, Arc<canned::Canned>) {
    let (exchange, canned) = canned::exchange(replies);
    (Witness::new(exchange, canned::credentials()), canned)
}

async fn all(witness: &Witness, contents: Contents) -> Result<Vec<Stretch>, WitnessError> {
    let mut listing = witness.stretches(&bucket(), contents, vec![Gap::default()]);
    let mut found = Vec::new();
    while let Some(stretch) = listing.next().await? {
        found.push(stretch);
    }
    found.sort_by(|a, b| a.gap.after.cmp(&b.gap.after));
    assert_eq!(gaps(found.iter().map(|stretch| stretch.gap.clone())), []);
    Ok(found)
}

async fn keys(witness: &Witness) -> Result<Vec<String>, WitnessError> {
    let found = all(witness, Contents::Objects).await?;
    let entries = found.into_iter().flat_map(|stretch| stretch.entries);
    Ok(entries.map(|entry| entry.key.to_string()).collect())
}

fn parameter(asked: &str, name: &str) -> Option<String> {
    let (_, query) = asked.split_once('?')?;
    query.split('&').find_map(|pair| {
        let (found, value) = pair.split_once('=')?;
        let value = percent_decode_str(value).decode_utf8().unwrap();
        (found == name).then(|| value.into_owned())
    })
}

/// What a server with these keys says, with pages of this size.
fn serve(keys: &BTreeSet<String>, asked: &str, page: usize) -> Reply {
    let code = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let after = parameter(asked, "continuation-token").or(parameter(asked, "start-after"));
    let prefix = parameter(asked, "prefix").unwrap_or_default();
    let behind = keys
        .iter()
        .filter(|key| after.as_ref().is_none_or(|after| *key > after) && key.starts_with(&prefix));
    if parameter(asked, "delimiter").is_some() {
        let part = |key: &String| {
            let end = key[prefix.len()..].find('/')?;
            Some(key[..=prefix.len() + end].to_owned())
        };
        let mut body = String::from("<ListBucketResult><EncodingType>url</EncodingType>");
        for prefix in behind.filter_map(part).collect::<BTreeSet<_>>() {
            let prefix = code(&prefix);
            body += &format!("<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
        }
        return Reply::Says(
            200,
            body + "<IsTruncated>false</IsTruncated></ListBucketResult>",
        );
    }
    let found: Vec<_> = behind.take(page + 1).collect();
    let more = found.len() > page;
    let found = &found[..found.len().min(page)];
    let coded: Vec<_> = found.iter().map(|key| code(key)).collect();
    let coded: Vec<_> = coded.iter().map(String::as_str).collect();
    let next = found.last().filter(|_| more).map(|key| key.as_str());
    listing(&coded, next)
}

#[tokio::test(start_paused = true)]
async fn pages_are_asked_for_until_the_last_and_failures_are_repeated() {
    let (witness, canned) = witness([
        listing(&["a+b", "a%2Bb"], Some("t/1=")),
        error(503, "SlowDown", ""),
        Reply::Fails(TransportErrorKind::Broken),
        // It begins anew, so the second page is asked for by the token.
        listing(&["a+b", "a%2Bb"], Some("t/1=")),
        listing(&["b"], None),
    ]);
    assert_eq!(keys(&witness).await.unwrap(), ["a b", "a+b", "b"]);
    let asked = canned.asked.lock().unwrap();
    assert_eq!(asked.len(), 5);
    assert!(asked[1].contains("start-after=a%2Bb"), "{}", asked[1]);
    assert!(
        asked[4].contains("continuation-token=t%2F1%3D"),
        "{}",
        asked[4]
    );
    assert!(asked.iter().all(|asked| asked.starts_with("GET ")));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_stays_away_is_given_up_in_the_end() {
    let (witness, canned) = witness((0..20).map(|_| error(500, "InternalError", "")));
    assert!(matches!(keys(&witness).await, Err(WitnessError::Away(_))));
    assert_eq!(
        canned.asked.lock().unwrap().len(),
        super::super::ATTEMPTS as usize
    );
}

#[tokio::test]
async fn keys_out_of_order_are_noticed_within_and_across_pages() {
    for replies in [
        vec![listing(&["b", "a"], None)],
        vec![listing(&["a", "a"], None)],
        vec![listing(&["b"], Some("t")), listing(&["c", "b"], None)],
    ] {
        let (witness, _) = witness(replies);
        assert_eq!(
            keys(&witness).await,
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
        let failed = keys(&witness).await;
        assert!(matches!(failed, Err(WitnessError::Malformed(_))), "{body}");
    }
}

#[tokio::test]
async fn plain_keys_are_taken_as_they_are_and_a_missing_etag_stays_empty() {
    let body = "<ListBucketResult><IsTruncated>false</IsTruncated>\
        <Contents><Key>a+b%20c</Key><Size>7</Size></Contents></ListBucketResult>";
    let (witness, _) = witness([Reply::Says(200, body.into())]);
    let found = all(&witness, Contents::Objects).await.unwrap();
    let entry = &found[0].entries[0];
    assert_eq!((entry.key.as_str(), &*entry.etag), ("a+b%20c", ""));
    assert_eq!((found[0].objects, found[0].bytes), (1, 7));
}

#[tokio::test(start_paused = true)]
async fn a_large_bucket_is_listed_by_sixteen_cursors_at_once_and_never_by_more() {
    let sets: [BTreeSet<String>; 2] = [
        (0..30_000)
            .map(|n| format!("photos//{:03}/a \u{1}{n:06}", n / 300))
            .collect(),
        (0..30_000).map(|n| format!("ü{n:09}")).collect(),
    ];
    for keys_there in sets {
        let served = keys_there.clone();
        let (exchange, open) = canned::acting(move |asked| serve(&served, asked, 100));
        let witness = Witness::new(exchange, canned::credentials());
        let started = tokio::time::Instant::now();
        let found = keys(&witness).await.unwrap();
        assert!(found.iter().eq(&keys_there));
        assert_eq!(open.most.load(Ordering::SeqCst), AT_ONCE);
        // 300 pages one after the other would take 15 seconds of this paused clock.
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_patience_is_asked_less_at_once() {
    let there: BTreeSet<String> = (0..20_000)
        .map(|n| format!("{:02}/{n:06}", n % 40))
        .collect();
    let served = there.clone();
    let open_now = Arc::new(Mutex::new(0_u32));
    let turn = open_now.clone();
    let (exchange, _) = canned::acting(move |asked| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        match *turn % 7 {
            0 => error(503, "SlowDown", ""),
            _ => serve(&served, asked, 100),
        }
    });
    let witness = Witness::new(exchange, canned::credentials());
    let mut listing = witness.stretches(&bucket(), Contents::Objects, vec![Gap::default()]);
    let (mut found, mut least) = (0, AT_ONCE);
    while let Some(stretch) = listing.next().await.unwrap() {
        found += stretch.entries.len();
        least = least.min(listing.allowed);
    }
    assert_eq!(found, there.len());
    assert!(least <= 2, "{least} at once");
}

#[tokio::test(start_paused = true)]
async fn versions_and_markers_are_listed_and_only_current_objects_counted() {
    let page = |next: Option<(&str, &str)>, items: &[(&str, &str, &str, bool)]| {
        let mut body = String::from("<ListVersionsResult><EncodingType>url</EncodingType>");
        for (element, key, id, latest) in items {
            let size = if *element == "Version" {
                "<Size>5</Size><ETag>e</ETag>"
            } else {
                ""
            };
            body += &format!(
                "<{element}><Key>{key}</Key><VersionId>{id}</VersionId>\
                 <IsLatest>{latest}</IsLatest>{size}</{element}>"
            );
        }
        body += &format!("<IsTruncated>{}</IsTruncated>", next.is_some());
        if let Some((key, id)) = next {
            body += &format!(
                "<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>{id}</NextVersionIdMarker>"
            );
        }
        Reply::Says(200, body + "</ListVersionsResult>")
    };
    let (witness, canned) = witness([
        page(
            Some(("b%20b", "9")),
            &[("Version", "a", "3", true), ("Version", "b%20b", "9", true)],
        ),
        // From behind `a`, since `b b` may have more.
        page(
            Some(("b%20b", "1")),
            &[
                ("Version", "b%20b", "9", true),
                ("Version", "b%20b", "1", false),
            ],
        ),
        // Where all keys part.
        listing(&[], None),
        page(
            None,
            &[
                ("Version", "b%20b", "5", false),
                ("DeleteMarker", "c", "2", true),
                ("Version", "c", "7", false),
            ],
        ),
    ]);
    let found = all(&witness, Contents::Versions).await.unwrap();
    let entries: Vec<_> = found.iter().flat_map(|stretch| &stretch.entries).collect();
    let names: Vec<_> = entries
        .iter()
        .map(|entry| (entry.key.as_str(), entry.item.id().unwrap()))
        .collect();
    let expected = [
        ("a", "3"),
        ("b b", "1"),
        ("b b", "5"),
        ("b b", "9"),
        ("c", "7"),
        ("c", "2"),
    ];
    assert_eq!(names, expected);
    assert_eq!(found.iter().map(|stretch| stretch.objects).sum::<u64>(), 2);
    assert_eq!(found.iter().map(|stretch| stretch.bytes).sum::<u64>(), 10);
    let asked = canned.asked.lock().unwrap();
    assert!(asked[1].contains("key-marker=a") && !asked[1].contains("version-id-marker"));
    assert!(asked[2].contains("delimiter="), "{}", asked[2]);
    let marked = ["key-marker=b%20b", "version-id-marker=1"];
    assert!(
        marked.iter().all(|marker| asked[3].contains(marker)),
        "{}",
        asked[3]
    );
}
