//! What a failing disk and a power cut leave behind (threats.md D3, G2 to G5), on a model of a disk.
//! What is stored meanwhile are whole lives of connections, deletions included.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failure here is a failure of the test"
)]

mod disk;
mod files;
mod images;
mod sequences;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::disk::Handle;
use crate::{
    database::Rows,
    error::StoreError,
    fixture::{
        self,
        lives::{self, DELETION, Facts, STEPS},
    },
    keyring::Keyring,
    layout::Layout,
    root_key::RootKey,
    store::Store,
};

/// A state folder whose database is on the model of a disk; key files and manifests are real.
struct Place {
    _temp: tempfile::TempDir,
    folder: PathBuf,
    /// The database before the first step.
    start: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let temp = fixture::in_memory();
        let folder = temp.path().join("state");
        drop(Store::open_or_create(&folder).unwrap());
        let start = fs::read(folder.join("store.redb")).unwrap();
        Self {
            _temp: temp,
            folder,
            start,
        }
    }

    /// The store on a disk. Fails, or panics, as the database does.
    fn on(&self, disk: &Handle) -> Result<Store, Box<dyn std::error::Error>> {
        self.with(Rows::on(disk.clone())?)
    }

    fn with(&self, rows: Rows) -> Result<Store, Box<dyn std::error::Error>> {
        let layout = Layout::new(&self.folder);
        let root = RootKey::parse(&fs::read(layout.root_key())?)
            .map_err(|refused| format!("{refused:?}"))?;
        let mut keyring = None;
        rows.read(|view| {
            keyring = Some(Keyring::read(view, &root, &layout));
            Ok(())
        })?;
        Ok(Store {
            layout,
            root,
            rows,
            keyring: keyring.ok_or("nothing was read")??,
            anchor: std::sync::Mutex::default(),
            observer: std::sync::OnceLock::new(),
            scratch: crate::scratch::Scratch::default(),
            moving: std::sync::Mutex::default(),
        })
    }

    /// Starts from what a disk holds, the way the daemon does.
    fn restart(&self, content: &[u8]) -> Store {
        // Overwrites in place, so that the mode stays.
        fs::write(self.folder.join("store.redb"), content).unwrap();
        Store::open_or_create(&self.folder).unwrap()
    }

    fn key_files(&self) -> Files {
        Files::of(&self.folder.join("keys"))
    }

    /// These key files and no others.
    fn set_key_files(&self, files: &Files) {
        for (path, _) in self.key_files().0 {
            fs::remove_file(path).unwrap();
        }
        files.put_back();
    }
}

/// The files of a folder, to be put back.
struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    fn of(folder: &Path) -> Self {
        let entries = fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        Self(
            paths
                .map(|path| (path.clone(), fs::read(path).unwrap()))
                .collect(),
        )
    }

    fn put_back(&self) {
        for (path, content) in &self.0 {
            bascule_os::write_private(path, content).unwrap();
        }
    }
}

/// Lets the disk fail at every call that one step makes, one after the other, from the state that
/// the steps before it leave. Returns the state behind it.
fn at_every_call(
    place: &Place,
    content: &[u8],
    done: u32,
    mut check: impl FnMut(u32, Option<StoreError>, Vec<u8>),
) -> Vec<u8> {
    let keys = place.key_files();
    for healthy in 0.. {
        place.set_key_files(&keys);
        let disk = Handle::new(content.to_vec());
        let store = place.on(&disk).unwrap();
        disk.get().healthy = Some(healthy);
        let error = lives::step(&store, done).err();
        disk.get().healthy = None;
        if error.is_some() {
            // Space is back, and yet nothing is taken before the file was read anew.
            assert!(matches!(
                lives::step(&store, done),
                Err(StoreError::Unusable)
            ));
            assert!(matches!(store.load(), Err(StoreError::Unusable)));
        }
        let succeeded = error.is_none();
        // Before the store is dropped: a process that ends does not tidy up.
        let left = disk.get().content.clone();
        drop(store);
        let keys = place.key_files();
        check(healthy, error, left.clone());
        if succeeded {
            place.set_key_files(&keys);
            return left;
        }
    }
    unreachable!("a step makes so many calls only")
}

#[test]
fn g4_whichever_call_of_the_disk_fails_the_answer_is_true_and_nothing_more_is_taken() {
    let place = Place::new();
    let mut content = place.start.clone();
    let (mut unknown, mut refused) = (0, 0);
    for done in 0..STEPS {
        content = at_every_call(&place, &content, done, |healthy, error, left| {
            let store = place.restart(&left);
            let found = lives::done(&store);
            let when = format!("step {done}, call {healthy}");
            match error {
                None => assert_eq!(found, done + 1, "{when}"),
                Some(StoreError::CommitUnknown(_)) => {
                    unknown += 1;
                    assert!(found == done || found == done + 1, "{when}: {found}");
                }
                Some(StoreError::Failed(_)) => {
                    refused += 1;
                    assert_eq!(found, done, "{when}: a refused change was stored");
                }
                Some(error) => panic!("{when}: {error}"),
            }
            // With space again, and opened anew, the same change is taken.
            if found == done {
                lives::step(&store, done).unwrap();
                assert_eq!(lives::done(&store), done + 1, "{when}");
            }
        });
    }
    println!("{refused} refusals, {unknown} commits of unknown outcome");
    assert!(unknown > 0, "no failure hit a commit");
    assert!(refused + unknown > 40, "{refused} {unknown}");
}

#[test]
fn g5_after_an_fsync_that_failed_nothing_is_acknowledged_until_the_store_is_opened_anew() {
    let place = Place::new();
    let keys = place.key_files();
    let mut failures = 0;
    for healthy in 0.. {
        place.set_key_files(&keys);
        let disk = Handle::new(place.start.clone());
        let store = place.on(&disk).unwrap();
        assert!(!store.has_failed());
        disk.get().syncs = Some(healthy);
        let mut done = 0;
        let error = loop {
            match lives::step(&store, done) {
                Ok(()) if done + 1 == STEPS => break None,
                Ok(()) => done += 1,
                Err(error) => break Some(error),
            }
        };
        let Some(error) = error else { break };
        failures += 1;
        let refused = match error {
            StoreError::Failed(_) => true,
            StoreError::CommitUnknown(_) => false,
            error => panic!("step {done}, fsync {healthy}: {error}"),
        };
        // The disk is well again. What it dropped at the failed fsync it never tells a second time, so
        // a commit that succeeded now would prove nothing.
        disk.get().syncs = None;
        assert!(store.has_failed());
        for _ in 0..2 {
            assert!(matches!(
                lives::step(&store, done),
                Err(StoreError::Unusable)
            ));
            assert!(matches!(store.load(), Err(StoreError::Unusable)));
        }
        let left = disk.get().content.clone();
        drop(store);
        let store = place.restart(&left);
        assert!(!store.has_failed());
        let found = lives::done(&store);
        let when = format!("step {done}, fsync {healthy}");
        let kept = found == done || (found == done + 1 && !refused);
        assert!(kept, "{when}: {found}");
        if found == done {
            lives::step(&store, done).unwrap();
        }
        assert_eq!(lives::done(&store), done + 1, "{when}");
    }
    assert!(failures >= STEPS, "each step has an fsync: {failures}");
}

#[test]
fn d3_every_effect_of_a_deletion_fails_at_any_call_and_is_the_same_when_done_twice() {
    let place = Place::new();
    let mut content = place.start.clone();
    let mut failures = 0;
    for done in 0..STEPS {
        content = at_every_call(&place, &content, done, |healthy, error, left| {
            failures += u32::from(error.is_some());
            if done < DELETION {
                return;
            }
            let store = place.on(&Handle::new(left)).unwrap();
            let life = lives::Life::new(0);
            for step in done..STEPS {
                for _ in 0..2 {
                    life.step(&store, step).unwrap();
                    let when = format!("step {step}, after call {healthy} of step {done} failed");
                    assert_eq!(Facts::of(&store), Facts::after(step + 1), "{when}");
                }
            }
            assert!(place.key_files().0.is_empty(), "the key file is destroyed");
            assert!(Files::of(&place.folder.join("manifests")).0.is_empty());
        });
    }
    println!("{failures} failures");
    assert!(failures > 40, "{failures}");
}
