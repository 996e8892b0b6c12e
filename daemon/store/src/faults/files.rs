//! The files beside the database on a disk that is full or broken (threats.md D3): whichever call fails,
//! and however often, a manifest is whole or there is none, and what is to be erased is erased in the end.

use bascule_domain::{
    connection::Connection,
    deletion::{Deletion, Phase},
    ids::DeletionId,
    manifest::{Entry, Gap, Stretch},
    survey::Round,
};
use rustix::io::Errno;

use super::Files;
use crate::{
    Manifest, Wholeness,
    error::ManifestError,
    fixture::{Folder, advance, deletion, filled, folder, reached, receipt},
    seam::fail_at,
    store::Store,
};

const ERRORS: [Errno; 2] = [Errno::NOSPC, Errno::IO];

struct Scene {
    folder: Folder,
    store: Store,
    connection: Connection,
    id: DeletionId,
}

impl Scene {
    fn new(phase: Phase) -> Self {
        let folder = folder();
        let (store, connection, key) = filled(&folder, 1);
        advance(&store, &connection, &[&key], phase);
        let id = deletion(&connection, phase).id;
        Self {
            folder,
            store,
            connection,
            id,
        }
    }

    /// Surveys the bucket, going on with what an earlier try has left.
    fn survey(&self) -> Result<Manifest, ManifestError> {
        let bucket = self.connection.buckets.first();
        let (connection, id) = (self.connection.id, self.id);
        let mut writer = (self.store).manifest_writer(connection, id, bucket, Round::Before)?;
        if writer.beginning().is_none() {
            writer.begin(b"a note")?;
        }
        // Stretches "a" to "c"; those that are there already are not listed again.
        for gap in writer.gaps() {
            let key = |letter: u8| char::from(letter).to_string();
            let after = gap
                .after
                .as_ref()
                .map_or(b'a', |key| key.as_str().as_bytes()[0] + 1);
            let until = gap
                .until
                .as_ref()
                .map_or(b'c', |key| key.as_str().as_bytes()[0]);
            for letter in after..=until {
                writer.push(&Stretch {
                    gap: Gap {
                        after: (letter > b'a').then(|| key(letter - 1).parse().unwrap()),
                        until: (letter < b'c').then(|| key(letter).parse().unwrap()),
                    },
                    objects: 1,
                    bytes: 7,
                    entries: vec![Entry::object(key(letter).parse().unwrap(), 7, "e".into())],
                })?;
            }
        }
        writer.finish(Vec::new(), Wholeness::Whole)
    }

    /// Every entry, or why not every one.
    fn read(&self) -> Result<Vec<Entry>, ManifestError> {
        let bucket = self.connection.buckets.first();
        let (connection, id) = (self.connection.id, self.id);
        (self.store)
            .manifest_reader(connection, id, bucket, Round::Before)?
            .collect()
    }

    fn left_of(&self, what: &str) -> usize {
        Files::of(&self.folder.path.join(what)).0.len()
    }

    fn reached(&self, phase: Phase) -> Deletion {
        deletion(&self.connection, phase)
    }
}

/// Lets each call fail, one after the other, until all go well. Returns how many there are.
fn every_call(mut act: impl FnMut(u32, i32) -> bool) -> u32 {
    let mut calls = 0;
    for errno in ERRORS {
        for call in 0.. {
            if act(call, errno.raw_os_error()) {
                calls += call;
                break;
            }
        }
    }
    calls
}

#[test]
fn d3_a_manifest_is_whole_or_absent_whichever_call_of_its_writing_fails() {
    let whole = Scene::new(Phase::Drained);
    let expected = whole.survey().unwrap();
    let entries = whole.read().unwrap();
    assert_eq!(entries.len(), 3);
    let calls = every_call(|call, errno| {
        let scene = Scene::new(Phase::Drained);
        // Twice: the second try goes on with what the first one has left, and fails too.
        for again in [false, true] {
            if let Ok(manifest) = fail_at(call, errno, || scene.survey()) {
                assert_eq!(manifest.digest, expected.digest);
                // A second try has less to do.
                if !again {
                    return true;
                }
            }
            match scene.read() {
                // It had its name already, and was only not durable.
                Ok(found) => assert_eq!(found, entries, "call {call}"),
                Err(error) => {
                    assert!(
                        matches!(error, ManifestError::Absent),
                        "call {call}: {error}"
                    );
                }
            }
        }
        for _ in 0..2 {
            let manifest = scene.survey().unwrap();
            assert_eq!(manifest, expected, "call {call}");
            assert_eq!(scene.read().unwrap(), entries);
        }
        false
    });
    println!("{calls} failures");
    assert!(calls > 20, "{calls}");
}

#[test]
fn d3_a_manifest_that_can_not_be_read_is_never_taken_for_a_shorter_one() {
    let scene = Scene::new(Phase::Drained);
    scene.survey().unwrap();
    let entries = scene.read().unwrap();
    let calls = every_call(|call, errno| {
        for _ in 0..2 {
            if let Ok(found) = fail_at(call, errno, || scene.read()) {
                assert_eq!(found, entries, "call {call}");
                return true;
            }
        }
        assert_eq!(scene.read().unwrap(), entries, "call {call}");
        false
    });
    assert!(calls > 10, "{calls}");
}

#[test]
fn d3_whichever_call_of_an_erasure_fails_it_is_done_again_and_nothing_is_left() {
    let calls = every_call(|call, errno| {
        let scene = Scene::new(Phase::Judged);
        scene.survey().unwrap();
        let connection = scene.connection.id;
        let erase = |store: &Store| store.erase_connection(connection);
        let finished = scene.reached(Phase::Finished);
        let finish = |store: &Store| {
            store.finish_deletion(&finished, &receipt(&finished), &reached(&finished))
        };
        for again in [false, true] {
            // A second try has less to do.
            if fail_at(call, errno, || erase(&scene.store)).is_ok() && !again {
                return true;
            }
            let image = scene.store.load().unwrap();
            assert_eq!(image.deletions[0].0.phase, Phase::Judged, "call {call}");
        }
        // Half of them go on by themselves, half after a restart.
        let Scene { folder, store, .. } = scene;
        let path = folder.path.clone();
        let store = match call % 2 {
            0 => store,
            _ => {
                drop(store);
                Store::open_or_create(&path).unwrap()
            }
        };
        for _ in 0..2 {
            erase(&store).unwrap();
            finish(&store).unwrap();
        }
        for what in ["keys", "manifests"] {
            assert!(
                Files::of(&path.join(what)).0.is_empty(),
                "call {call}: {what}"
            );
        }
        let image = store.load().unwrap();
        assert_eq!(image.deletions[0].0.phase, Phase::Finished);
        assert!(image.connections.is_empty());
        false
    });
    // The key file and the manifest, before and after each.
    assert_eq!(calls, 8);
}

#[test]
fn d3_a_deletion_is_called_off_although_its_manifest_can_not_be_removed() {
    for errno in ERRORS {
        for call in 0..2 {
            let scene = Scene::new(Phase::Drained);
            scene.survey().unwrap();
            let cancelled = scene.reached(Phase::Cancelled);
            let cancel = || (scene.store).cancel_deletion(&cancelled, &reached(&cancelled));
            fail_at(call, errno.raw_os_error(), cancel).unwrap();
            let image = scene.store.load().unwrap();
            assert_eq!(image.deletions[0].0.phase, Phase::Cancelled);
            assert_eq!(image.connections.len(), 1);
            assert_eq!(scene.left_of("manifests"), usize::from(call == 0));
            let Scene { folder, store, .. } = scene;
            drop(store);
            let path = folder.path.clone();
            drop(Store::open_or_create(&path).unwrap());
            assert!(Files::of(&path.join("manifests")).0.is_empty());
        }
    }
}
