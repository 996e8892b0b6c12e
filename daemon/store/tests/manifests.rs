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
    manifest::{Entry, Gap, Stretch},
    names::{BucketName, ObjectKey},
    survey::{Digest, Round},
};
use bascule_store::{Manifest, ManifestError, ManifestReader, ManifestWriter, Store, Wholeness};
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
            .manifest_writer(
                self.connection.id,
                self.deletion,
                &self.bucket,
                Round::Before,
            )
            .unwrap()
    }

    fn reader(&self) -> Result<ManifestReader, ManifestError> {
        self.store.manifest_reader(
            self.connection.id,
            self.deletion,
            &self.bucket,
            Round::Before,
        )
    }

    fn write(&self, count: u64) -> Manifest {
        keep_manifest(self.writer(), groups(count))
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

fn entries(count: u64) -> Vec<Entry> {
    let entry = |n: u64| Entry::object(key(n), n, format!("{n:032x}"));
    (0..count).map(entry).collect()
}

fn key(n: u64) -> ObjectKey {
    format!("folder//{n:08}").parse().unwrap()
}

fn groups(count: u64) -> Vec<Vec<Entry>> {
    entries(count).chunks(1000).map(<[Entry]>::to_vec).collect()
}

fn stretch(from: Option<u64>, until: Option<u64>) -> Stretch {
    let range = from.map_or(0, |n| n + 1)..until.map_or(5000, |n| n + 1);
    let range = range.start as usize..range.end as usize;
    let entries = entries(5000)[range].to_vec();
    Stretch {
        gap: Gap {
            after: from.map(key),
            until: until.map(key),
        },
        objects: entries.len() as u64,
        bytes: 0,
        entries,
    }
}

#[test]
fn a_manifest_reads_back_with_its_figures_and_digest() {
    let place = Place::new();
    for count in [0, 1, 5000] {
        let manifest = place.write(count);
        assert_eq!(place.read().unwrap(), entries(count));
        let mut encoded = Vec::new();
        entries(count)
            .iter()
            .for_each(|entry| entry.encode(&mut encoded));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &encoded);
        let expected = Manifest {
            digest: Digest(digest.as_ref().try_into().unwrap()),
            objects: count,
            bytes: (0..count).sum(),
            versions: 0,
            markers: 0,
            uploads: 0,
            without_etag: 0,
        };
        assert_eq!(manifest, expected);
        assert_eq!(place.reader().unwrap().manifest(), expected);
        let file = fs::read(place.file()).unwrap();
        assert!(!holds(&file, "folder//") && !holds(&file, "a note"));
        assert_eq!(place.reader().unwrap().beginning(), b"a note");
    }
}

#[test]
fn stretches_come_in_any_order_and_the_digest_does_not_depend_on_it() {
    let place = Place::new();
    let mut digests = Vec::new();
    let cuts = [
        vec![(None, Some(10)), (Some(10), Some(20)), (Some(20), None)],
        vec![(Some(17), None), (None, Some(3)), (Some(3), Some(17))],
        vec![(None, None)],
    ];
    for cut in cuts {
        let mut writer = place.writer();
        writer.begin(b"").unwrap();
        for (from, until) in cut {
            writer.push(&stretch(from, until)).unwrap();
        }
        digests.push(writer.finish(Vec::new(), Wholeness::Whole).unwrap().digest);
        assert_eq!(place.read().unwrap(), entries(5000));
    }
    assert!(digests.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_listing_out_of_order_with_a_repetition_or_a_gap_is_refused() {
    let place = Place::new();
    let entry = |key: &str| Entry::object(key.parse().unwrap(), 0, String::new());
    for (first, second) in [("b", "a"), ("a", "a"), ("ü", "z")] {
        let mut writer = place.writer();
        writer.begin(b"").unwrap();
        let entries = vec![entry(first), entry(second)];
        writer
            .push(&Stretch {
                entries,
                ..Stretch::default()
            })
            .unwrap();
        let finished = writer.finish(Vec::new(), Wholeness::Whole);
        assert!(matches!(finished, Err(ManifestError::NotInOrder)));
    }
    for cut in [
        vec![(None, Some(10)), (Some(20), None)],
        vec![(None, Some(10)), (Some(5), None)],
        vec![(None, Some(10))],
        vec![],
    ] {
        let mut writer = place.writer();
        writer.begin(b"").unwrap();
        for (from, until) in cut {
            writer.push(&stretch(from, until)).unwrap();
        }
        let finished = writer.finish(Vec::new(), Wholeness::Whole);
        assert!(matches!(finished, Err(ManifestError::NotInOrder)));
    }
    assert!(matches!(place.read(), Err(ManifestError::Absent)));
    let all = ["/", "Z", "a", "a/", "a//b", "z", "ü"].map(entry);
    keep_manifest(place.writer(), [all.to_vec()]);
}

#[test]
fn an_unfinished_manifest_never_stands_for_the_one_before() {
    let place = Place::new();
    place.write(3);
    let mut writer = place.writer();
    assert_eq!(writer.beginning(), None);
    writer.begin(b"").unwrap();
    writer.push(&stretch(None, Some(4000))).unwrap();
    assert_eq!(place.read().unwrap().len(), 3);
    drop(writer);
    assert_eq!(place.read().unwrap().len(), 3);
    place.writer().discard().unwrap();
    assert_eq!(list(&place.folder.file("manifests")).len(), 1);
    place.write(2);
    assert_eq!(place.read().unwrap().len(), 2);
}

#[test]
fn an_unfinished_manifest_goes_on_after_a_crash_wherever_that_cut_it() {
    let place = Place::new();
    let mut writer = place.writer();
    writer.begin(b"noted").unwrap();
    writer.push(&stretch(Some(10), Some(20))).unwrap();
    writer.push(&stretch(None, Some(10))).unwrap();
    drop(writer);
    let path = place.file();
    let whole = fs::read(&path).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    // Some places in each frame, and all near the end.
    for cut in (0..=whole.len()).filter(|cut| cut % 7 == 0 || whole.len() - cut < 9) {
        let torn = &b"what a torn write leaves"[..cut % 9];
        bascule_os::write_private(&path, &[&whole[..cut], torn].concat()).unwrap();
        let mut writer = place.writer();
        let gaps = writer.gaps();
        seen.insert(gaps.len());
        if cut == whole.len() {
            assert_eq!(writer.listed().0, 21);
            assert_eq!(
                gaps,
                [Gap {
                    after: Some(key(20)),
                    until: None
                }]
            );
        }
        if writer.beginning().is_none() {
            writer.begin(b"noted").unwrap();
        }
        assert_eq!(writer.beginning(), Some(&b"noted"[..]));
        for gap in gaps {
            let at = |key: Option<ObjectKey>| key.map(|key| key.as_str()[8..].parse().unwrap());
            writer.push(&stretch(at(gap.after), at(gap.until))).unwrap();
        }
        writer.finish(Vec::new(), Wholeness::Whole).unwrap();
        assert_eq!(place.read().unwrap().len(), 5000, "cut at {cut}");
        fs::remove_file(place.file()).unwrap();
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn d5_a_manifest_that_is_cut_longer_or_altered_is_never_read_to_its_end() {
    let place = Place::new();
    place.write(3000);
    let path = place.file();
    let whole = fs::read(&path).unwrap();
    let bounds = frames(&whole);
    assert_eq!(bounds.len(), 7, "beginning, four stretches, uploads, end");
    for len in bounds
        .iter()
        .flat_map(|at| [*at, at + 3, at + 9])
        .chain([0, 8, whole.len() - 1])
    {
        fs::write(&path, &whole[..len.min(whole.len() - 1)]).unwrap();
        assert!(
            matches!(place.read(), Err(ManifestError::Damaged)),
            "cut at {len}"
        );
    }
    let within = bounds
        .iter()
        .flat_map(|at| [*at, at + 2, at + 4, at + 5, at + 20, at + 40]);
    for at in within.chain([
        0,
        10,
        23,
        whole.len() - 16,
        whole.len() - 9,
        whole.len() - 1,
    ]) {
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
    let second = [&whole[..bounds[1]], &whole[bounds[2]..]].concat();
    fs::write(&path, second).unwrap();
    assert!(
        matches!(place.read(), Err(ManifestError::Damaged)),
        "a frame dropped"
    );
    let mut swapped = whole.clone();
    let (one, two) = (bounds[1]..bounds[2], bounds[2]..bounds[3]);
    if one.len() == two.len() {
        let first = whole[one.clone()].to_vec();
        swapped[one].copy_from_slice(&whole[two.clone()]);
        swapped[two].copy_from_slice(&first);
        fs::write(&path, swapped).unwrap();
        assert!(
            matches!(place.read(), Err(ManifestError::Damaged)),
            "frames exchanged"
        );
    }
}

/// Where each frame of a finished manifest begins.
fn frames(file: &[u8]) -> Vec<usize> {
    let (mut at, mut found) = (24, Vec::new());
    while at + 16 < file.len() {
        found.push(at);
        at += 5 + u32::from_be_bytes(file[at + 1..at + 5].try_into().unwrap()) as usize;
    }
    found
}

#[test]
fn d5_frames_of_another_manifest_are_rejected() {
    let place = Place::new();
    place.write(3000);
    let before = fs::read(place.file()).unwrap();
    place.write(3000);
    let path = place.file();
    let after = fs::read(&path).unwrap();
    // The same listing of the same bucket, written twice, with one frame exchanged.
    let (from, to) = (frames(&after)[1], frames(&after)[2]);
    assert_eq!((frames(&before)[1], frames(&before)[2]), (from, to));
    let mixed = [&after[..from], &before[from..to], &after[to..]].concat();
    fs::write(&path, mixed).unwrap();
    assert!(matches!(place.read(), Err(ManifestError::Damaged)));
    fs::write(&path, after).unwrap();
    assert_eq!(place.read().unwrap().len(), 3000);

    // The whole manifest of one bucket, or of one round, in the place of another's.
    let other: BucketName = "another-bucket".parse().unwrap();
    for (bucket, round) in [(&other, Round::Before), (&place.bucket, Round::After)] {
        let (connection, deletion) = (place.connection.id, place.deletion);
        let open = || {
            place
                .store
                .manifest_writer(connection, deletion, bucket, round)
                .unwrap()
        };
        keep_manifest(open(), []);
        let known = list(&place.folder.file("manifests"));
        let second = known.into_iter().find(|p| *p != path).unwrap();
        fs::copy(&path, &second).unwrap();
        let read = place
            .store
            .manifest_reader(connection, deletion, bucket, round);
        assert!(matches!(read, Err(ManifestError::Damaged)));
        fs::remove_file(second).unwrap();
    }
}

#[test]
fn a_reader_ends_after_its_first_error() {
    let place = Place::new();
    place.write(3000);
    let path = place.file();
    let mut whole = fs::read(&path).unwrap();
    let third = frames(&whole)[3];
    whole[third + 30] ^= 1;
    fs::write(&path, &whole).unwrap();
    let results: Vec<_> = place.reader().unwrap().collect();
    assert!(results.last().unwrap().is_err());
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
    assert!(results.len() > 1000);
}

#[test]
fn what_a_restart_needs_is_kept_and_all_else_is_removed() {
    let folder = folder();
    let (store, connection, _) = filled(&folder, 1);
    advance(&store, &connection, &[], Phase::Drained);
    let bucket = connection.buckets.first().clone();
    let id = deletion(&connection, Phase::Drained).id;
    let open = |store: &Store| {
        store
            .manifest_writer(connection.id, id, &bucket, Round::Before)
            .unwrap()
    };
    let mut writer = open(&store);
    writer.begin(b"noted").unwrap();
    writer.push(&stretch(None, Some(7))).unwrap();
    drop((writer, store));
    let store = folder.open();
    let writer = open(&store);
    assert_eq!(
        (writer.beginning(), writer.listed().0),
        (Some(&b"noted"[..]), 8)
    );
    drop(writer);
    let cancelled = deletion(&connection, Phase::Cancelled);
    store
        .cancel_deletion(&cancelled, &reached(&cancelled))
        .unwrap();
    assert!(list(&folder.file("manifests")).is_empty());
}

#[test]
fn a_scratch_manifest_leaves_nothing_behind_it() {
    let place = Place::new();
    let id = place.store.begin_scratch().unwrap();
    let open = || {
        place
            .store
            .manifest_writer(id, place.deletion, &place.bucket, Round::After)
    };
    keep_manifest(open().unwrap(), groups(10));
    open().unwrap().begin(b"and another").unwrap();
    assert_eq!(list(&place.folder.file("manifests")).len(), 2);
    place.store.end_scratch(id).unwrap();
    assert!(list(&place.folder.file("manifests")).is_empty());
    assert!(matches!(open(), Err(ManifestError::UnknownConnection(_))));

    // What a crash left is removed at the next start, and nothing opens it any more.
    let id = place.store.begin_scratch().unwrap();
    let writer = place
        .store
        .manifest_writer(id, place.deletion, &place.bucket, Round::After);
    keep_manifest(writer.unwrap(), groups(10));
    let Place { folder, store, .. } = place;
    drop(store);
    drop(folder.open());
    assert!(list(&folder.file("manifests")).is_empty());
}
