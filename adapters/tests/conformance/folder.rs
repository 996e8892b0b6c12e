//! What only a folder has to prove: multipart uploads, framings, pages, and that nothing is ever
//! half there.

use std::{fs, path::Path};

use bascule_adapters::{BrowseItem, RequestBody, WitnessError};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::{subject::Subject, suite::survey};

fn new(root: &Path, bucket: &str) -> Subject {
    fs::create_dir(root.join(bucket)).unwrap();
    Subject::local(root)
}

async fn keys(subject: &Subject, bucket: &str) -> Vec<String> {
    let listed = survey(subject, bucket).await;
    listed
        .into_iter()
        .map(|entry| entry.key.to_string())
        .collect()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let start = text
        .find(before)
        .unwrap_or_else(|| panic!("{before} in {text}"))
        + before.len();
    &text[start..start + text[start..].find(after).unwrap()]
}

#[tokio::test]
async fn a_multipart_upload_becomes_one_object_or_none() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "parts");
    let meta = [("x-amz-meta-k", "v")];
    let (_, body) = subject
        .send(Method::POST, "parts", Some("big"), "uploads=", &meta, b"")
        .await;
    let id = between(
        std::str::from_utf8(&body).unwrap(),
        "<UploadId>",
        "</UploadId>",
    )
    .to_owned();
    let first = vec![1_u8; 5 * 1024 * 1024];
    let mut tags = Vec::new();
    for (number, part) in [(1, &first[..]), (2, b"wrong"), (2, b"end")] {
        let query = format!("partNumber={number}&uploadId={id}");
        let (head, _) = subject
            .send(Method::PUT, "parts", Some("big"), &query, &[], part)
            .await;
        assert_eq!(head.status(), 200);
        tags.push(head.headers()["etag"].to_str().unwrap().to_owned());
    }
    assert_eq!(
        keys(&subject, "parts").await,
        [""; 0],
        "unfinished uploads are no objects"
    );
    let query = format!("uploadId={id}");

    // Another key, another bucket: not the same upload.
    let (head, _) = subject
        .send(Method::GET, "parts", Some("other"), &query, &[], b"")
        .await;
    assert_eq!(head.status(), 404);
    let (_, listed) = subject
        .send(Method::GET, "parts", Some("big"), &query, &[], b"")
        .await;
    assert_eq!(
        String::from_utf8_lossy(&listed).matches("<Part>").count(),
        2
    );
    let (_, pending) = subject
        .send(Method::GET, "parts", None, "uploads=", &[], b"")
        .await;
    assert!(String::from_utf8_lossy(&pending).contains(&id));

    let complete = |etag: &str| {
        format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{}</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>",
            tags[0]
        )
    };
    let stale = complete(&tags[1]);
    let (head, _) = subject
        .send(
            Method::POST,
            "parts",
            Some("big"),
            &query,
            &[],
            stale.as_bytes(),
        )
        .await;
    assert_eq!(
        head.status(),
        400,
        "a part that was replaced is not what the client means"
    );
    let right = complete(&tags[2]);
    let (head, body) = subject
        .send(
            Method::POST,
            "parts",
            Some("big"),
            &query,
            &[],
            right.as_bytes(),
        )
        .await;
    assert_eq!(head.status(), 200, "{body:?}");
    let (head, read) = subject
        .send(Method::GET, "parts", Some("big"), "", &[], b"")
        .await;
    assert_eq!(read, [&first[..], b"end"].concat());
    assert_eq!(head.headers()["x-amz-meta-k"], "v");
    assert!(head.headers()["etag"].to_str().unwrap().ends_with("-2\""));
    assert_eq!(
        fs::read_dir(root.path().join(".bascule/uploads"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "parts");
    let (_, body) = subject
        .send(Method::POST, "parts", Some("big"), "uploads=", &[], b"")
        .await;
    let id = between(
        std::str::from_utf8(&body).unwrap(),
        "<UploadId>",
        "</UploadId>",
    )
    .to_owned();
    let query = format!("partNumber=1&uploadId={id}");
    subject
        .send(Method::PUT, "parts", Some("big"), &query, &[], b"x")
        .await;
    let query = format!("uploadId={id}");
    assert_eq!(
        subject
            .send(Method::DELETE, "parts", Some("big"), &query, &[], b"")
            .await
            .0
            .status(),
        204
    );
    assert_eq!(
        subject
            .send(Method::DELETE, "parts", Some("big"), &query, &[], b"")
            .await
            .0
            .status(),
        404
    );
    let climbing = "uploadId=..%2F..%2Fparts";
    assert_eq!(
        subject
            .send(Method::DELETE, "parts", Some("big"), climbing, &[], b"")
            .await
            .0
            .status(),
        404
    );
    assert_eq!(
        fs::read_dir(root.path().join(".bascule/uploads"))
            .unwrap()
            .count(),
        0
    );
}

async fn put_streamed(
    subject: &Subject,
    headers: &[(&str, &str)],
    frames: Vec<Result<Bytes, &'static str>>,
) -> u16 {
    let frames = frames
        .into_iter()
        .map(|frame| frame.map(Frame::data).map_err(Into::into));
    let body: RequestBody = StreamBody::new(stream::iter(frames)).boxed_unsync();
    let mut request = Request::put("http://localhost/framed/object").header("host", "localhost");
    for &(name, value) in headers {
        request = request.header(name, value);
    }
    let transport = subject.storage.transport();
    transport
        .send(request.body(body).unwrap())
        .await
        .unwrap()
        .status()
        .as_u16()
}

#[tokio::test]
async fn framings_come_off_and_bad_bodies_replace_nothing() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "framed");
    let object = root.path().join("framed/object");
    let staging = root.path().join(".bascule/staging");
    fs::write(&object, b"before").unwrap();
    let chunked = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "11"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
        ("content-encoding", "aws-chunked"),
    ];
    let bytes = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));

    let bad_sum = "5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
    assert_eq!(
        put_streamed(&subject, &chunked, vec![bytes(bad_sum)]).await,
        400
    );
    let cut = vec![bytes("5\r\nhello\r\n"), Err("cut")];
    assert_eq!(put_streamed(&subject, &chunked, cut).await, 400);
    let short = vec![bytes("5\r\nhello\r\n0\r\n\r\n")];
    assert_eq!(put_streamed(&subject, &chunked, short).await, 400);
    let wrong_hash = [(
        "x-amz-content-sha256",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    )];
    assert_eq!(
        put_streamed(&subject, &wrong_hash, vec![bytes("not empty")]).await,
        400
    );
    let announced = [("content-length", "10")];
    assert_eq!(
        put_streamed(&subject, &announced, vec![bytes("short")]).await,
        400
    );
    assert_eq!(fs::read(&object).unwrap(), b"before");
    assert_eq!(
        fs::read_dir(&staging).unwrap().count(),
        0,
        "what was not finished is gone"
    );

    let good = "5\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:DUoRhQ==\r\n\r\n";
    let frames = good
        .as_bytes()
        .chunks(3)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    assert_eq!(put_streamed(&subject, &chunked, frames).await, 200);
    assert_eq!(fs::read(&object).unwrap(), b"hello world");
    let (head, _) = subject
        .send(Method::HEAD, "framed", Some("object"), "", &[], b"")
        .await;
    assert!(
        !head.headers().contains_key("content-encoding"),
        "the framing is no encoding of the object"
    );
}

#[tokio::test]
async fn an_upload_that_is_dropped_halfway_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "framed");
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let mut taken = Some(sender);
    let frames = stream::unfold(0, move |count| {
        let taken = taken.take();
        async move {
            match count {
                0 => Some((Ok(Frame::data(Bytes::from_static(b"some"))), 1)),
                _ => {
                    drop(taken);
                    std::future::pending().await
                }
            }
        }
    });
    let body: RequestBody = StreamBody::new(frames).boxed_unsync();
    let request = Request::put("http://localhost/framed/object")
        .header("host", "localhost")
        .body(body)
        .unwrap();
    let transport = subject.storage.transport();
    tokio::select! {
        _ = transport.send(request) => panic!("the body never ends"),
        _ = receiver => {}
    }
    assert_eq!(
        fs::read_dir(root.path().join(".bascule/staging"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(keys(&subject, "framed").await, [""; 0]);
}

#[tokio::test]
async fn a_file_changed_by_others_shows_in_its_etag() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "etags");
    assert_eq!(subject.put("etags", "a", b"one").await, 200);
    let tag = async |subject: &Subject| survey(subject, "etags").await[0].etag.clone();
    let first = tag(&subject).await;
    assert_eq!(
        first, "f97c5d29941bfb1b2fdab0874906ab82",
        "MD5, as S3 has it"
    );
    assert_eq!(tag(&subject).await, first);
    fs::write(root.path().join("etags/b"), b"two").unwrap();
    fs::rename(root.path().join("etags/b"), root.path().join("etags/a")).unwrap();
    let second = tag(&subject).await;
    assert_ne!(second, first);
    assert_eq!(tag(&subject).await, second, "stable while the file is");
}

#[tokio::test]
async fn pages_and_levels_lose_and_repeat_nothing() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "tree");
    let mut expected = Vec::new();
    for key in [
        "a", "a-b", "a.txt", "b/1", "b/2", "b/c/3", "b-", "b0", "c//d", "c/d", "z/", "z/y", "é",
    ] {
        assert_eq!(subject.put("tree", key, b"x").await, 200, "{key}");
        expected.push(key.to_owned());
    }
    expected.sort();
    assert_eq!(keys(&subject, "tree").await, expected);

    for (delimiter, prefix, names) in [
        ("", "", expected.clone()),
        (
            "/",
            "",
            ["a", "a-b", "a.txt", "b-", "b/", "b0", "c/", "z/", "é"]
                .map(str::to_owned)
                .to_vec(),
        ),
        (
            "/",
            "b/",
            ["b/1", "b/2", "b/c/"].map(str::to_owned).to_vec(),
        ),
        ("/", "c/", ["c//", "c/d"].map(str::to_owned).to_vec()),
        (
            "-",
            "",
            [
                "a", "a-", "a.txt", "b-", "b/1", "b/2", "b/c/3", "b0", "c//d", "c/d", "z/", "z/y",
                "é",
            ]
            .map(str::to_owned)
            .to_vec(),
        ),
        (
            "",
            "b",
            ["b-", "b/1", "b/2", "b/c/3", "b0"]
                .map(str::to_owned)
                .to_vec(),
        ),
        ("/", "none", vec![]),
    ] {
        for size in [1, 2, 1000] {
            let mut found = Vec::new();
            let mut token = String::new();
            for _ in 0..30 {
                let mut query = vec![
                    ("list-type".to_owned(), "2".to_owned()),
                    ("max-keys".into(), size.to_string()),
                ];
                query.extend([
                    ("delimiter".to_owned(), delimiter.to_owned()),
                    ("prefix".into(), prefix.to_owned()),
                ]);
                if !token.is_empty() {
                    query.push(("continuation-token".into(), token.clone()));
                }
                let query = bascule_sigv4::encode_query(&query);
                let (head, body) = subject
                    .send(Method::GET, "tree", None, &query, &[], b"")
                    .await;
                assert_eq!(head.status(), 200);
                let text = String::from_utf8(body.to_vec()).unwrap();
                for piece in text.split("<Contents>").skip(1) {
                    found.push(between(piece, "<Key>", "</Key>").to_owned());
                }
                for piece in text.split("<CommonPrefixes>").skip(1) {
                    found.push(between(piece, "<Prefix>", "</Prefix>").to_owned());
                }
                if text.contains("<IsTruncated>false") {
                    token.clear();
                    break;
                }
                token = between(&text, "<NextContinuationToken>", "</NextContinuationToken>")
                    .to_owned();
            }
            assert!(token.is_empty(), "the listing ends");
            found.sort();
            assert_eq!(
                found, names,
                "delimiter {delimiter:?}, prefix {prefix:?}, pages of {size}"
            );
        }
    }
}

#[tokio::test]
async fn removing_objects_leaves_other_objects_and_the_bucket() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "gone");
    for key in ["deep/er/a", "deep/b"] {
        subject.put("gone", key, b"x").await;
    }
    assert_eq!(subject.delete("gone", "deep").await, 204, "no such object");
    assert_eq!(subject.delete("gone", "deep/").await, 204);
    assert_eq!(keys(&subject, "gone").await, ["deep/b", "deep/er/a"]);
    assert_eq!(subject.delete("gone", "deep/er/a").await, 204);
    let body =
        b"<Delete><Object><Key>deep/b</Key></Object><Object><Key>none</Key></Object></Delete>";
    let (head, answer) = subject
        .send(Method::POST, "gone", None, "delete=", &[], body)
        .await;
    assert_eq!(head.status(), 200);
    assert_eq!(
        String::from_utf8_lossy(&answer)
            .matches("<Deleted>")
            .count(),
        2
    );
    assert_eq!(
        fs::read_dir(root.path().join("gone")).unwrap().count(),
        0,
        "empty folders go, the bucket stays"
    );
    assert_eq!(subject.put("gone", "deep", b"now a file").await, 200);
}

#[tokio::test]
async fn copies_are_whole_and_keep_or_replace_their_metadata() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "copy");
    subject
        .send(
            Method::PUT,
            "copy",
            Some("a b"),
            "",
            &[("x-amz-meta-k", "v")],
            b"body",
        )
        .await;
    let from = [("x-amz-copy-source", "/copy/a%20b")];
    assert_eq!(
        subject
            .send(Method::PUT, "copy", Some("c"), "", &from, b"")
            .await
            .0
            .status(),
        200
    );
    let (head, body) = subject
        .send(Method::GET, "copy", Some("c"), "", &[], b"")
        .await;
    assert_eq!(
        (&body[..], head.headers()["x-amz-meta-k"].to_str().unwrap()),
        (&b"body"[..], "v")
    );

    let onto_itself = subject
        .send(Method::PUT, "copy", Some("a b"), "", &from, b"")
        .await;
    assert_eq!(onto_itself.0.status(), 400);
    let replace = [
        from[0],
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-k", "w"),
    ];
    assert_eq!(
        subject
            .send(Method::PUT, "copy", Some("a b"), "", &replace, b"")
            .await
            .0
            .status(),
        200
    );
    let (head, body) = subject
        .send(Method::GET, "copy", Some("a b"), "", &[], b"")
        .await;
    assert_eq!(
        (&body[..], head.headers()["x-amz-meta-k"].to_str().unwrap()),
        (&b"body"[..], "w")
    );
    let absent = [("x-amz-copy-source", "/copy/none")];
    assert_eq!(
        subject
            .send(Method::PUT, "copy", Some("d"), "", &absent, b"")
            .await
            .0
            .status(),
        404
    );
}

#[tokio::test]
async fn conditions_and_ranges_answer_as_http_says() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "cond");
    let (head, _) = subject
        .send(Method::PUT, "cond", Some("a"), "", &[], b"0123456789")
        .await;
    let etag = head.headers()["etag"].to_str().unwrap().to_owned();
    for (name, value, status) in [
        ("if-match", etag.as_str(), 200),
        ("if-match", "\"other\"", 412),
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", "Wed, 21 Oct 2015 07:28:00 GMT", 200),
        ("if-unmodified-since", "Wed, 21 Oct 2015 07:28:00 GMT", 412),
        ("range", "bytes=0-3", 206),
        ("range", "bytes=-3", 206),
        ("range", "bytes=8-100", 206),
        ("range", "bytes=10-", 416),
    ] {
        let (head, body) = subject
            .send(Method::GET, "cond", Some("a"), "", &[(name, value)], b"")
            .await;
        assert_eq!(head.status(), status, "{name}: {value}: {body:?}");
    }
    let (_, tail) = subject
        .send(
            Method::GET,
            "cond",
            Some("a"),
            "",
            &[("range", "bytes=-3")],
            b"",
        )
        .await;
    assert_eq!(tail, "789");
}

#[tokio::test]
async fn two_connections_to_one_folder_do_not_disturb_each_other() {
    let root = tempfile::tempdir().unwrap();
    let first = new(root.path(), "both");
    let second = Subject::local(root.path());
    let puts = (0..40).map(|number| {
        let subject = if number % 2 == 0 { &first } else { &second };
        async move {
            subject
                .put(
                    "both",
                    &format!("k{}", number % 8),
                    format!("{number}").as_bytes(),
                )
                .await
        }
    });
    for status in futures_util::future::join_all(puts).await {
        assert_eq!(status, 200);
    }
    for number in 0..8 {
        let (head, body) = first
            .send(
                Method::GET,
                "both",
                Some(&format!("k{number}")),
                "",
                &[],
                b"",
            )
            .await;
        let value: usize = std::str::from_utf8(&body).unwrap().parse().unwrap();
        assert_eq!(value % 8, number);
        assert_eq!(
            head.headers()["etag"].len(),
            34,
            "the record belongs to the object that won"
        );
    }
    let items = first
        .storage
        .witness(first.credentials.clone())
        .browse(&"both".parse().unwrap(), "");
    let mut items = items;
    let page = items.next_page().await.unwrap().unwrap();
    assert!(
        page.iter()
            .all(|item| matches!(item, BrowseItem::Object { .. }))
    );
    assert_eq!(page.len(), 8);
}

#[tokio::test]
async fn of_many_that_ask_not_to_overwrite_one_wins() {
    let root = tempfile::tempdir().unwrap();
    let first = new(root.path(), "race");
    let second = Subject::local(root.path());
    let puts = (0..40).map(|number| {
        let subject = if number % 2 == 0 { &first } else { &second };
        async move {
            let (key, body) = (format!("k{}", number / 10), format!("{number}"));
            let only_new = [("if-none-match", "*")];
            let (head, _) = subject
                .send(
                    Method::PUT,
                    "race",
                    Some(&key),
                    "",
                    &only_new,
                    body.as_bytes(),
                )
                .await;
            (number, head.status().as_u16())
        }
    });
    let mut winners = vec![];
    for (number, status) in futures_util::future::join_all(puts).await {
        match status {
            200 => winners.push(number),
            412 => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 4);
    for winner in winners {
        let (_, body) = first.get("race", &format!("k{}", winner / 10)).await;
        assert_eq!(body, winner.to_string());
    }
}

#[tokio::test]
async fn a_folder_that_is_away_says_nothing_about_its_buckets() {
    let outside = tempfile::tempdir().unwrap();
    let root = outside.path().join("disk");
    fs::create_dir(&root).unwrap();
    let subject = new(&root, "photos");
    let bucket = "photos".parse().unwrap();
    let witness = subject.storage.witness(subject.credentials.clone());
    fs::rename(&root, outside.path().join("elsewhere")).unwrap();
    tokio::time::pause();
    assert!(matches!(
        witness.exists(&bucket).await,
        Err(WitnessError::Away(_))
    ));
    assert!(matches!(
        witness.identity(&bucket).await,
        Err(WitnessError::Away(_))
    ));
    fs::rename(outside.path().join("elsewhere"), &root).unwrap();
    assert_eq!(witness.exists(&bucket).await, Ok(true));
    fs::remove_dir(root.join("photos")).unwrap();
    assert_eq!(witness.exists(&bucket).await, Ok(false));
    assert_eq!(
        witness.identity(&bucket).await,
        Err(WitnessError::Gone(bucket))
    );
}

#[tokio::test]
async fn answers_to_head_have_no_body() {
    let root = tempfile::tempdir().unwrap();
    let subject = new(root.path(), "heads");
    subject.put("heads", "a", b"body").await;
    for key in ["a", "none"] {
        let (_, body) = subject
            .send(Method::HEAD, "heads", Some(key), "", &[], b"")
            .await;
        assert!(body.is_empty(), "{key}: {body:?}");
    }
}
