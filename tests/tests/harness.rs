//! The harness itself: what the other tests rest on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use bascule_tests::{Minio, Recorder, S3, Treat};

#[test]
fn a_listing_taken_directly_shows_awkward_names_as_they_are() {
    let Some(minio) = Minio::shared() else { return };
    let (bucket, s3) = (minio.bucket(), minio.s3());
    let names = [
        "a b",
        "a+b",
        "100%",
        "a%2Fb",
        "ü/ÿ 日本",
        "q?x=1&y",
        "<&\">'",
        "tab\there",
        "semi;colon",
    ];
    for name in names {
        s3.put(&bucket, name, name.to_owned()).unwrap();
    }
    let mut expected: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    let listed: Vec<_> = s3
        .list(&bucket)
        .unwrap()
        .into_iter()
        .map(|object| object.key)
        .collect();
    assert_eq!(listed, expected);
    assert_eq!(s3.get(&bucket, "a%2Fb").unwrap().body, "a%2Fb");
}

#[test]
fn a_long_listing_is_taken_to_its_end() {
    let Some(minio) = Minio::shared() else { return };
    let (bucket, s3) = (minio.bucket(), minio.s3());
    for number in 0..1_100 {
        s3.put(&bucket, &format!("o/{number:05}"), "x").unwrap();
    }
    assert_eq!(s3.list(&bucket).unwrap().len(), 1_100);
}

#[test]
fn the_recorder_passes_records_keeps_answers_and_drops() {
    let Some(minio) = Minio::shared() else { return };
    let bucket = minio.bucket();
    let recorder = Recorder::start(&minio.address());
    let (id, secret) = minio.credentials();
    let s3 = S3::new(&recorder.endpoint(), id, secret);
    s3.put(&bucket, "a b", "1").unwrap();
    assert_eq!(s3.get(&bucket, "a b").unwrap().body, "1");
    let seen = recorder.seen();
    assert_eq!(seen[0].target, format!("/{bucket}/a%20b"));
    assert!(seen[0].may_mutate() && !seen[1].may_mutate() && seen[1].signed_by(id));

    recorder.rule(|seen| {
        if seen.may_mutate() {
            Treat::KeepAnswer
        } else {
            Treat::Pass
        }
    });
    std::thread::scope(|scope| {
        let put = scope.spawn(|| s3.put(&bucket, "kept", "2"));
        recorder.wait_until_held(1);
        // The provider has it, and the client does not know.
        assert_eq!(minio.s3().get(&bucket, "kept").unwrap().body, "2");
        assert!(!put.is_finished());
        recorder.pass();
        put.join().unwrap().unwrap();
    });

    recorder.rule(|_| Treat::Drop);
    assert!(s3.get(&bucket, "kept").is_err());
    recorder.pass();
    assert_eq!(s3.get(&bucket, "kept").unwrap().body, "2");
}

#[test]
fn a_cut_upload_leaves_no_object_and_a_link_works() {
    let Some(minio) = Minio::shared() else { return };
    let (bucket, s3) = (minio.bucket(), minio.s3());
    let upload = s3.upload(&bucket, "cut", 3 << 20).unwrap();
    upload.push(vec![0; 1 << 20]).unwrap();
    assert!(upload.finish().is_err());
    let upload = s3.upload(&bucket, "whole", 2 << 20).unwrap();
    upload.push(vec![1; 1 << 20]).unwrap();
    upload.push(vec![2; 1 << 20]).unwrap();
    assert_eq!(upload.finish().unwrap().status, 200);
    let listed: Vec<_> = s3
        .list(&bucket)
        .unwrap()
        .into_iter()
        .map(|o| (o.key, o.size))
        .collect();
    assert_eq!(listed, [("whole".to_owned(), 2 << 20)]);
    assert_eq!(
        s3.open(&bucket, "whole").unwrap().finish().unwrap(),
        2 << 20
    );
    assert_eq!(
        s3.follow(&s3.presigned(&bucket, "whole"))
            .unwrap()
            .body
            .len(),
        2 << 20
    );
}

#[test]
fn a_stopped_server_comes_back_with_its_data_on_its_port() {
    let Some(minio) = Minio::start() else {
        return;
    };
    let (bucket, endpoint) = (minio.bucket(), minio.endpoint());
    minio.s3().put(&bucket, "kept", "x").unwrap();
    let Some((id, secret)) = minio.user() else {
        return;
    };
    let user = S3::new(&endpoint, &id, &secret);
    assert_eq!(user.get(&bucket, "kept").unwrap().body, "x");
    minio.stop();
    assert!(user.get(&bucket, "kept").is_err());
    minio.start_again();
    assert_eq!(
        (
            minio.endpoint(),
            user.get(&bucket, "kept").unwrap().body.len()
        ),
        (endpoint, 1)
    );
    minio.disable(&id);
    assert!(user.get(&bucket, "kept").is_err());
}
