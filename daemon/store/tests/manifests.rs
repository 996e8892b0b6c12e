//! Manifests: ordered, sealed, whole.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use std::fs;

use bascule_domain::{
    connection::Connection,
    deletion::Phase,
    ids::DeletionId,
    names::BucketName,
    survey::{Digest, Entry},
};
use bascule_store::{Manifest, ManifestError, ManifestReader, ManifestWriter, Store};
use fixture::*;

struct Place {
    folder: Folder,
    store: Store,
    connection: Connection,
    deletion: DeletionId,
    bucket: BucketName,
}

impl Place {
    fn new() -> Self {
        let folder = folder();
        let (store, connection, _) = filled(&folder, 1);
        let bucket = connection.buckets.first().clone();
        let deletion = deletion(&connection, Phase::Requested).id;
        Self {
            folder,
            store,
            connection,
            deletion,
            bucket,
        }
    }

    fn writer(&self) -> ManifestWriter {
        self.store
            .manifest_writer(self.connection.id, self.deletion, &self.bucket)
            .unwrap()
    }

    fn reader(&self) -> Result<ManifestReader, ManifestError> {
        self.store
            .manifest_reader(self.connection.id, self.deletion, &self.bucket)
    }

    fn write(&self, entries: impl IntoIterator<Item = Entry>) -> Manifest {
        let mut writer = self.writer();
        for entry in entries {
            writer.push(&entry).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(&self) -> Result<Vec<Entry>, ManifestError> {
        self.reader()?.collect()
    }

    fn file(&self) -> std::path::PathBuf {
        let mut files = list(&self.folder.file("manifests"));
        assert_eq!(files.len(), 1);
        files.remove(0)
    }
}

fn entries(count: u64) -> impl Iterator<Item = Entry> {
    (0..count).map(|n| Entry {
        key: format!("folder//{n:08}").parse().unwrap(),
        size: n,
        etag: format!("{n:032x}"),
    })
}

#[test]
fn a_manifest_reads_back_with_its_figures_and_digest() {
    let place = Place::new();
    for count in [0, 1, 5000] {
        let manifest = place.write(entries(count));
        assert_eq!(place.read().unwrap(), entries(count).collect::<Vec<_>>());
        let mut encoded = Vec::new();
        entries(count).for_each(|entry| entry.encode(&mut encoded));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &encoded);
        let expected = Manifest {
            digest: Digest(digest.as_ref().try_into().unwrap()),
            objects: count,
            bytes: (0..count).sum(),
        };
        assert_eq!(manifest, expected);
        assert!(!holds(&fs::read(place.file()).unwrap(), "folder//"));
    }
}

#[test]
fn a_listing_out_of_order_or_with_a_repetition_is_refused() {
    let place = Place::new();
    let entry = |key: &str| Entry {
        key: key.parse().unwrap(),
        size: 0,
        etag: String::new(),
    };
    for (first, second) in [("b", "a"), ("a", "a"), ("ü", "z")] {
        let mut writer = place.writer();
        writer.push(&entry(first)).unwrap();
        assert!(matches!(
            writer.push(&entry(second)),
            Err(ManifestError::NotInOrder)
        ));
    }
    assert!(matches!(place.read(), Err(ManifestError::Absent)));
    place.write(["/", "Z", "a", "a/", "a//b", "z", "ü"].map(entry));
}

#[test]
fn an_unfinished_manifest_never_stands_for_the_one_before() {
    let place = Place::new();
    place.write(entries(3));
    let mut writer = place.writer();
    for entry in entries(4000) {
        writer.push(&entry).unwrap();
    }
    assert_eq!(place.read().unwrap().len(), 3);
    drop(writer);
    assert_eq!(place.read().unwrap().len(), 3);
    assert_eq!(list(&place.folder.file("manifests")).len(), 1);
    place.write(entries(2));
    assert_eq!(place.read().unwrap().len(), 2);
}

#[test]
fn d5_a_manifest_that_is_cut_longer_or_altered_is_never_read_to_its_end() {
    let place = Place::new();
    place.write(entries(3000));
    let path = place.file();
    let whole = fs::read(&path).unwrap();
    let frame = 24 + 5 + u32::from_be_bytes(whole[25..29].try_into().unwrap()) as usize;
    assert!(frame < whole.len(), "several frames");
    for len in [0, 8, 24, 28, 30, frame, frame + 5, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(
            matches!(place.read(), Err(ManifestError::Damaged)),
            "cut at {len}"
        );
    }
    for at in [
        0,
        10,
        24,
        25,
        28,
        29,
        40,
        frame,
        frame + 3,
        frame + 50,
        whole.len() - 1,
    ] {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&path, &altered).unwrap();
        assert!(
            matches!(place.read(), Err(ManifestError::Damaged)),
            "byte {at}"
        );
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(
        matches!(place.read(), Err(ManifestError::Damaged)),
        "longer"
    );
    let without_first = [&whole[..24], &whole[frame..]].concat();
    fs::write(&path, without_first).unwrap();
    assert!(
        matches!(place.read(), Err(ManifestError::Damaged)),
        "first frame dropped"
    );
    let twice = [&whole[..frame], &whole[24..]].concat();
    fs::write(&path, twice).unwrap();
    assert!(
        matches!(place.read(), Err(ManifestError::Damaged)),
        "first frame twice"
    );
}

#[test]
fn d5_frames_of_another_manifest_are_rejected() {
    let place = Place::new();
    place.write(entries(3000));
    let before = fs::read(place.file()).unwrap();
    place.write(entries(3000));
    let path = place.file();
    let after = fs::read(&path).unwrap();
    // The same listing of the same bucket, written twice, with one frame exchanged.
    let frame = 24 + 5 + u32::from_be_bytes(after[25..29].try_into().unwrap()) as usize;
    fs::write(
        &path,
        [&after[..24], &before[24..frame], &after[frame..]].concat(),
    )
    .unwrap();
    assert!(matches!(place.read(), Err(ManifestError::Damaged)));
    fs::write(&path, after).unwrap();
    assert_eq!(place.read().unwrap().len(), 3000);

    // The whole manifest of one bucket in the place of another's.
    let other: BucketName = "another-bucket".parse().unwrap();
    let writer = place
        .store
        .manifest_writer(place.connection.id, place.deletion, &other)
        .unwrap();
    writer.finish().unwrap();
    let paths = list(&place.folder.file("manifests"));
    let second = paths.into_iter().find(|p| *p != path).unwrap();
    fs::copy(&path, second).unwrap();
    let read = place
        .store
        .manifest_reader(place.connection.id, place.deletion, &other);
    assert!(matches!(
        read.unwrap().next(),
        Some(Err(ManifestError::Damaged))
    ));
}

#[test]
fn a_reader_ends_after_its_first_error() {
    let place = Place::new();
    place.write(entries(3000));
    let path = place.file();
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let results: Vec<_> = place.reader().unwrap().collect();
    assert!(results.last().unwrap().is_err());
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
}
