//! Where the root key is kept: in its file in the state folder, or elsewhere, which a small file beside it
//! says then. It is moved only between its file and one other place, and what stands in the folder tells at
//! each moment how far that is:
//!
//! ```text
//! root.key  root.key.place
//!   yes       -                in its file
//!   yes       arriving         in its file; on its way to the other place
//!   -         arriving         in the other place
//!   -         leaving          in the other place; on its way to its file
//!   yes       leaving          in its file; the other place is still to be emptied
//! ```
//!
//! Nothing is destroyed before the store was opened with what the new place gives back, and no file is
//! overwritten by the name that it is read by: `root.key.pending` is what is left to be destroyed of it, as
//! long as the marker is there. The store never
//! writes to a service manager's credentials, nor removes one: it only waits for one to be lent.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use aws_lc_rs::constant_time;
use bascule_domain::{audit::Entry, root_key::KeptIn};
use bascule_os::{PathError, destroy_file, read_private, remove_file, replace_file, write_private};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    database::{Read, SETTINGS},
    error::{OpenError, StoreError},
    layout::{Layout, exists},
    open::{credential_file, opens, own_root_key_file},
    record,
    root_key::RootKey,
    seam,
    store::Store,
};

const LIMIT: u64 = 1024;
const VERSION: u32 = 1;
/// Row of [`SETTINGS`] with the place that may still have a root key which left it.
const LEFT_IN: &[u8] = b"root-key-left-in";

/// A keychain of the user's, with one entry for each store. Calls block, and end in bounded time.
pub trait Keychain: fmt::Debug + Send + Sync {
    /// Whether an entry could be made now. Unlocks it, which may ask the user.
    fn ready(&self) -> Result<(), KeychainError>;

    /// What the entry of a store holds; `None` if there is no such entry.
    fn read(&self, store: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeychainError>;

    /// Makes or replaces the entry.
    fn write(&self, store: &str, content: &[u8]) -> Result<(), KeychainError>;

    /// Removes the entry; one that is not there is removed already.
    fn remove(&self, store: &str) -> Result<(), KeychainError>;
}

/// Why a keychain does not answer as it should. The text never holds what is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeychainError {
    /// There is none here.
    #[error("no keychain can be reached: {0}")]
    Unreachable(String),
    /// It is locked, and was not unlocked.
    #[error("the keychain is locked: {0}")]
    Locked(String),
    /// It refused or broke off.
    #[error("the keychain failed: {0}")]
    Failed(String),
}

/// What besides the state folder may hold the root key.
#[derive(Debug, Clone, Default)]
pub struct RootKeyPlaces {
    /// The file that a service manager lends; never written or destroyed here.
    pub credential: Option<PathBuf>,
    /// The keychain; none where there can't be one.
    pub keychain: Option<Arc<dyn Keychain>>,
}

impl RootKeyPlaces {
    pub(crate) fn keychain(&self) -> Result<&dyn Keychain, KeychainError> {
        self.keychain
            .as_deref()
            .ok_or_else(|| KeychainError::Unreachable("this system has none".to_owned()))
    }
}

/// Why the root key was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The keychain does not do its part.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
    /// What the new place gives back is not the root key.
    #[error("what {place} gives back is not the store's root key; the key stays where it is")]
    Differs {
        /// Which place.
        place: String,
    },
    /// It can't be read from where it is.
    #[error("the root key can't be read from where it is")]
    Unreadable(#[source] Box<OpenError>),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A file failed.
    #[error("a file can't be used")]
    Path(#[from] PathError),
}

impl From<OpenError> for MoveError {
    fn from(error: OpenError) -> Self {
        Self::Unreadable(Box::new(error))
    }
}

/// Where the root key is, and what is left to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// Where it is read from.
    pub kept_in: KeptIn,
    /// The place that it is on its way to, or that is still to be emptied of it.
    pub unfinished: Option<Unfinished>,
    /// A service manager lends one as well, or its file is there as well.
    pub copy: Option<KeptIn>,
    /// A place that could not be asked when the key had left it, and so may still have it.
    pub left_in: Option<KeptIn>,
    /// The file that it is read from, or would be.
    pub file: PathBuf,
    /// Which store it belongs to, as the keychain's entry names it.
    pub store: String,
}

/// A move that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// On its way there.
    To(KeptIn),
    /// It is to be gone from there.
    From(KeptIn),
}

/// What the file beside the root key's says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    bascule_root_key_place: u32,
    pub(crate) kept_in: KeptIn,
    /// Which store, in hex: the name of the keychain's entry.
    pub(crate) store: String,
    pub(crate) leaving: bool,
}

impl Marker {
    /// `Ok(None)` if there is none.
    pub(crate) fn read(layout: &Layout) -> Result<Option<Self>, OpenError> {
        let path = layout.root_key_place();
        let bytes = match read_private(&path, LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let marker: Option<Self> = serde_json::from_slice(&bytes).ok();
        marker
            .filter(|marker| {
                marker.bascule_root_key_place == VERSION && marker.kept_in != KeptIn::File
            })
            .map(Some)
            .ok_or(OpenError::PlaceDamaged { path })
    }

    fn write(&self, layout: &Layout) -> Result<(), MoveError> {
        let path = layout.root_key_place();
        let json = serde_json::to_vec(self)
            .map_err(|error| StoreError::Failed(Box::new(error)))
            .map_err(MoveError::Store)?;
        Ok(seam::change(&path, || write_private(&path, &json))?)
    }

    fn remove(layout: &Layout) -> Result<(), PathError> {
        let path = layout.root_key_place();
        seam::change(&path, || remove_file(&path))
    }
}

/// Where the root key is read from.
pub(crate) enum Located {
    /// Its own file, which may be absent.
    File(PathBuf),
    Credential(PathBuf),
    Keychain(String),
}

impl Located {
    /// As a message names it.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File(path) | Self::Credential(path) => path.clone(),
            Self::Keychain(store) => format!("of store {store} in the keychain").into(),
        }
    }

    const fn kept_in(&self) -> KeptIn {
        match self {
            Self::File(_) => KeptIn::File,
            Self::Credential(_) => KeptIn::Credential,
            Self::Keychain(_) => KeptIn::Keychain,
        }
    }
}

/// Decides where the root key is read from. Its own file comes first as long as a move is not over.
pub(crate) fn locate(layout: &Layout) -> Result<Located, OpenError> {
    let own = layout.root_key();
    let lent = layout.places().credential.clone();
    let Some(marker) = Marker::read(layout)? else {
        return Ok(lent.map_or(Located::File(own), Located::Credential));
    };
    if exists(&own)? {
        return Ok(Located::File(own));
    }
    match (marker.kept_in, lent) {
        (KeptIn::Keychain, _) => Ok(Located::Keychain(marker.store)),
        (_, Some(lent)) => Ok(Located::Credential(lent)),
        (_, None) => Err(OpenError::CredentialMissing),
    }
}

/// The root key's content, from where it is.
pub(crate) fn read(layout: &Layout, from: &Located) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    match from {
        Located::File(path) => own_root_key_file(path),
        Located::Credential(path) => credential_file(path),
        Located::Keychain(store) => layout
            .places()
            .keychain()
            .and_then(|keychain| keychain.read(store))
            .map_err(OpenError::Keychain)?
            .ok_or_else(|| OpenError::NotInKeychain {
                store: store.clone(),
            }),
    }
}

/// Removes the keychain's entry where the folder says that the root key is or was on its way there.
/// Says where the key was kept besides its file.
pub(crate) fn empty_keychain(layout: &Layout) -> Result<Option<KeptIn>, OpenError> {
    let Some(marker) = Marker::read(layout)? else {
        return Ok(None);
    };
    if marker.kept_in == KeptIn::Keychain {
        layout
            .places()
            .keychain()
            .and_then(|keychain| keychain.remove(&marker.store))
            .map_err(OpenError::Keychain)?;
    }
    Ok(Some(marker.kept_in))
}

fn same(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
}

impl Store {
    /// Where the root key is.
    pub fn root_key_whereabouts(&self) -> Result<Whereabouts, OpenError> {
        let marker = Marker::read(&self.layout)?;
        let located = locate(&self.layout)?;
        let has_file = exists(&self.layout.root_key())?;
        let unfinished = marker
            .as_ref()
            .and_then(|marker| match (marker.leaving, has_file) {
                (true, _) => Some(Unfinished::From(marker.kept_in)),
                (false, true) => Some(Unfinished::To(marker.kept_in)),
                (false, false) => None,
            });
        let kept_in = located.kept_in();
        let lent = self.layout.places().credential.is_some();
        let copy = match kept_in {
            KeptIn::Credential if has_file => Some(KeptIn::File),
            KeptIn::File | KeptIn::Keychain if lent => Some(KeptIn::Credential),
            _ => None,
        };
        let left_in = self.left_in()?.filter(|place| *place != kept_in);
        Ok(Whereabouts {
            kept_in,
            unfinished,
            copy,
            left_in,
            file: self.layout.root_key(),
            store: HEXLOWER.encode(&self.root.store_id),
        })
    }

    /// Moves the root key. To a credential it only says where it is to go: it is there once a service
    /// manager lends it and [`Self::settle_root_key`] was called. `entry` records each arrival.
    ///
    /// If it fails, the key is where it was; what is left to be done is tried again by the next call
    /// and by [`Self::settle_root_key`].
    pub fn move_root_key(
        &self,
        to: KeptIn,
        entry: &dyn Fn(KeptIn) -> Entry,
    ) -> Result<Whereabouts, MoveError> {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let marker = Marker::read(&self.layout)?;
        let in_keychain = |marker: &Marker| marker.kept_in == KeptIn::Keychain;
        if to == KeptIn::File && !marker.as_ref().is_some_and(in_keychain) {
            self.empty_what_was_left()?;
        }
        let now = locate(&self.layout)?.kept_in();
        let elsewhere = match (&marker, now) {
            (Some(marker), _) => marker.kept_in,
            (None, now) => now,
        };
        let own = self.layout.root_key();
        if now != KeptIn::File && exists(&own)? {
            // It would be taken from there as soon as a move has begun.
            self.must_open(&own_root_key_file(&own)?, &own.display().to_string())?;
        }
        if to == KeptIn::Keychain && (elsewhere != to || exists(&own)?) {
            // Before anything says that it is to go there.
            self.layout.places().keychain()?.ready()?;
        }
        // By way of its file, where it does not go there.
        if elsewhere != to && elsewhere != KeptIn::File {
            self.marker(elsewhere, true).write(&self.layout)?;
            self.settle(entry)?;
        }
        if to != KeptIn::File && (elsewhere != to || marker.is_some()) {
            let was_begun = marker.is_some_and(|marker| marker.kept_in == to);
            self.marker(to, false).write(&self.layout)?;
            if let Err(error) = self.settle(entry) {
                self.give_up_going_to(to, was_begun || !was_never_written(&error), entry);
                return Err(error);
            }
        }
        Ok(self.root_key_whereabouts()?)
    }

    /// Finishes a move that was cut off, or that waited for a credential to be lent. Says whether
    /// one was finished. One to a keychain that is not there any more is given up.
    pub fn settle_root_key(&self, entry: &dyn Fn(KeptIn) -> Entry) -> Result<bool, MoveError> {
        let _moving = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = self.settle(entry);
        if let Err(MoveError::Keychain(KeychainError::Unreachable(_))) = settled {
            self.give_up_going_to(KeptIn::Keychain, true, entry);
        }
        settled
    }

    /// A place that may still have a root key which left it.
    fn left_in(&self) -> Result<Option<KeptIn>, StoreError> {
        self.rows.read(|view| {
            let value = view.get(SETTINGS, LEFT_IN)?;
            value
                .map(|value| record::open(&self.root.seal, SETTINGS, LEFT_IN, &value))
                .transpose()
        })
    }

    fn note_left_in(&self, place: KeptIn) -> Result<(), StoreError> {
        self.rows
            .write(|batch| record::put(batch, &self.root.seal, SETTINGS, LEFT_IN, &place))
    }

    fn forget_left_in(&self) -> Result<(), StoreError> {
        match self.left_in()? {
            None => Ok(()),
            Some(_) => self
                .rows
                .write(|batch| batch.remove(SETTINGS, LEFT_IN).map(drop)),
        }
    }

    /// Removes an entry that a keychain may have kept, if it can be asked now.
    fn empty_what_was_left(&self) -> Result<(), MoveError> {
        if self.left_in()? != Some(KeptIn::Keychain) {
            return Ok(());
        }
        let store = HEXLOWER.encode(&self.root.store_id);
        let keychain = self.layout.places().keychain();
        match keychain.and_then(|keychain| keychain.remove(&store)) {
            Ok(()) => Ok(self.forget_left_in()?),
            Err(error @ KeychainError::Locked(_)) => Err(error.into()),
            // It is told as long as that is so.
            Err(KeychainError::Unreachable(_) | KeychainError::Failed(_)) => Ok(()),
        }
    }

    /// Says beside a store that a lent key has opened, and that has none in its folder, where that is: whoever
    /// opens it without being lent one is to hear of it.
    pub(crate) fn note_lent(&self) -> Result<(), OpenError> {
        let is_lent = self.layout.places().credential.is_some();
        if !is_lent || exists(&self.layout.root_key())? || Marker::read(&self.layout)?.is_some() {
            return Ok(());
        }
        let marker = self.marker(KeptIn::Credential, false);
        marker.write(&self.layout).map_err(|error| match error {
            MoveError::Path(error) => error.into(),
            error => OpenError::Store(StoreError::Failed(Box::new(error))),
        })
    }

    fn marker(&self, kept_in: KeptIn, leaving: bool) -> Marker {
        Marker {
            bascule_root_key_place: VERSION,
            kept_in,
            store: HEXLOWER.encode(&self.root.store_id),
            leaving,
        }
    }

    fn settle(&self, entry: &dyn Fn(KeptIn) -> Entry) -> Result<bool, MoveError> {
        let Some(marker) = Marker::read(&self.layout)? else {
            return Ok(false);
        };
        let has_file = exists(&self.layout.root_key())?;
        match (marker.leaving, has_file) {
            (false, false) => {
                // What a crash may have left of its file.
                destroy_file(&self.layout.pending_root_key())?;
                Ok(false)
            }
            (false, true) => self.arrive(&marker, entry),
            (true, _) => self.leave(&marker, entry).map(|()| true),
        }
    }

    /// From its file to the place that the marker names.
    fn arrive(&self, marker: &Marker, entry: &dyn Fn(KeptIn) -> Entry) -> Result<bool, MoveError> {
        let own = self.layout.root_key();
        let key = own_root_key_file(&own)?;
        // What the place has may be right, and is replaced by nothing that is not.
        self.must_open(&key, &own.display().to_string())?;
        let place = match (marker.kept_in, &self.layout.places().credential) {
            (KeptIn::Keychain, _) => {
                let keychain = self.layout.places().keychain()?;
                step(&own)?;
                keychain.write(&marker.store, &key)?;
                step(&own)?;
                Located::Keychain(marker.store.clone())
            }
            (_, Some(lent)) => Located::Credential(lent.clone()),
            (_, None) => return Ok(false),
        };
        let back = read(&self.layout, &place)?;
        if !same(&back, &key) || !self.is_opened_by(&back) {
            return Err(MoveError::Differs {
                place: match marker.kept_in {
                    KeptIn::Keychain => "the keychain".to_owned(),
                    _ => "the service manager's credential".to_owned(),
                },
            });
        }
        self.note_move(&entry(marker.kept_in))?;
        let old = self.layout.pending_root_key();
        seam::change(&own, || replace_file(&own, &old))?;
        seam::change(&old, || destroy_file(&old))?;
        Ok(true)
    }

    /// To its file, from the place that the marker names.
    fn leave(&self, marker: &Marker, entry: &dyn Fn(KeptIn) -> Entry) -> Result<(), MoveError> {
        let own = self.layout.root_key();
        destroy_file(&self.layout.pending_root_key())?;
        if !exists(&own)? {
            let key = read(&self.layout, &locate(&self.layout)?)?;
            self.must_open(&key, "the place")?;
            // Here, since emptying the other place may take several tries.
            self.note_move(&entry(KeptIn::File))?;
            seam::change(&own, || write_private(&own, &key))?;
        }
        self.must_open(&own_root_key_file(&own)?, &own.display().to_string())?;
        if marker.kept_in == KeptIn::Keychain {
            step(&own)?;
            let keychain = self.layout.places().keychain();
            match keychain.and_then(|keychain| keychain.remove(&marker.store)) {
                // Who waits for it may wait for good, and the key is where it is to be.
                Err(error @ (KeychainError::Unreachable(_) | KeychainError::Failed(_))) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        store = marker.store,
                        "the root key is in its file; an entry of this store may be left in the keychain; see: bascule root-key show"
                    );
                    self.note_left_in(KeptIn::Keychain)?;
                }
                removed => {
                    removed?;
                    self.forget_left_in()?;
                }
            }
        }
        Marker::remove(&self.layout)?;
        Ok(())
    }

    /// After a failure: the place is emptied where it may have the key, if that is in its file. As long as
    /// the place is locked, the marker says that it is still to be emptied, never that the key is to go there.
    fn give_up_going_to(&self, to: KeptIn, has_entry: bool, entry: &dyn Fn(KeptIn) -> Entry) {
        let own = own_root_key_file(&self.layout.root_key());
        if !own.is_ok_and(|key| self.is_opened_by(&key)) {
            return;
        }
        let given_up = match to {
            KeptIn::Keychain if has_entry => {
                let leaving = self.marker(to, true);
                let written = leaving.write(&self.layout);
                written.and_then(|()| self.leave(&leaving, entry))
            }
            // Whoever put it there takes it away.
            _ => Marker::remove(&self.layout).map_err(MoveError::Path),
        };
        if let Err(error) = given_up {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what is left of the root key's move is seen to at the next start"
            );
        }
    }

    fn must_open(&self, key: &[u8], place: &str) -> Result<(), MoveError> {
        match self.is_opened_by(key) {
            true => Ok(()),
            false => Err(MoveError::Differs {
                place: place.to_owned(),
            }),
        }
    }

    /// Whether this is the root key of this store.
    fn is_opened_by(&self, key: &[u8]) -> bool {
        RootKey::parse(key)
            .is_ok_and(|root| self.rows.read(|view| opens(view, &root)).unwrap_or(false))
    }

    fn note_move(&self, entry: &Entry) -> Result<(), StoreError> {
        self.rows.write(|batch| self.record_audit(batch, entry))
    }
}

/// Whether a move to the keychain failed before that had anything: what it says to reading back has
/// another kind.
const fn was_never_written(error: &MoveError) -> bool {
    matches!(
        error,
        MoveError::Keychain(KeychainError::Unreachable(_) | KeychainError::Locked(_))
    )
}

/// A moment at which tests cut a move off.
fn step(path: &Path) -> Result<(), PathError> {
    seam::call(|| Ok(())).map_err(|source| PathError::Io {
        action: "move",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use bascule_domain::{Timestamp, audit::Change};

    use super::*;
    use crate::seam::fail_at;

    const EIO: i32 = 5;

    /// A keychain in memory, for what must hold between any two steps; the real ones are asked in the
    /// daemon's tests.
    #[derive(Debug, Default)]
    struct Fake {
        entries: Mutex<BTreeMap<String, Vec<u8>>>,
        locked: Mutex<bool>,
        lies: Mutex<bool>,
    }

    impl Fake {
        fn open(&self) -> Result<(), KeychainError> {
            match *self.locked.lock().unwrap() {
                true => Err(KeychainError::Locked("by the test".into())),
                false => Ok(()),
            }
        }

        fn len(&self) -> usize {
            self.entries.lock().unwrap().len()
        }
    }

    impl Keychain for Fake {
        fn ready(&self) -> Result<(), KeychainError> {
            self.open()
        }

        fn read(&self, store: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeychainError> {
            self.open()?;
            let entry = self.entries.lock().unwrap().get(store).cloned();
            Ok(entry.map(|mut entry| {
                if *self.lies.lock().unwrap() {
                    entry[40] ^= 1;
                }
                Zeroizing::new(entry)
            }))
        }

        fn write(&self, store: &str, content: &[u8]) -> Result<(), KeychainError> {
            self.open()?;
            let mut entries = self.entries.lock().unwrap();
            entries.insert(store.to_owned(), content.to_vec());
            Ok(())
        }

        fn remove(&self, store: &str) -> Result<(), KeychainError> {
            self.open()?;
            self.entries.lock().unwrap().remove(store);
            Ok(())
        }
    }

    struct Scene {
        _temp: tempfile::TempDir,
        folder: PathBuf,
        keychain: Arc<Fake>,
        places: RootKeyPlaces,
    }

    impl Scene {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let folder = temp.path().join("state");
            let keychain = Arc::new(Fake::default());
            let places = RootKeyPlaces {
                credential: None,
                keychain: Some(keychain.clone()),
            };
            let scene = Self {
                _temp: temp,
                folder,
                keychain,
                places,
            };
            drop(Store::open_or_create(&scene.folder).unwrap());
            scene
        }

        fn open(&self) -> Store {
            Store::open_or_create_with(&self.folder, &self.places).unwrap()
        }

        fn has_file(&self) -> bool {
            self.folder.join("root.key").exists()
        }

        fn has_marker(&self) -> bool {
            self.folder.join("root.key.place").exists()
        }

        /// Lends what is in the key's file.
        fn lend(&mut self) {
            let credential = self.folder.with_file_name("credential");
            let key = std::fs::read(self.folder.join("root.key")).unwrap();
            write_private(&credential, &key).unwrap();
            self.places.credential = Some(credential);
        }
    }

    /// How often the audit says that it was moved.
    fn moves(store: &Store) -> usize {
        let entries = store.audit(0, 100).unwrap();
        let moved = |entry: &Entry| matches!(entry.change, Change::RootKeyMoved { .. });
        entries.iter().filter(|(_, entry)| moved(entry)).count()
    }

    fn entry(to: KeptIn) -> Entry {
        Entry {
            at: Timestamp::UNIX_EPOCH,
            by: None,
            change: Change::RootKeyMoved { to },
            details: None,
        }
    }

    #[test]
    fn the_key_goes_to_the_keychain_and_back_and_is_in_one_place_only() {
        let scene = Scene::new();
        let store = scene.open();
        let there = store.move_root_key(KeptIn::Keychain, &entry).unwrap();
        assert_eq!((there.kept_in, there.unfinished), (KeptIn::Keychain, None));
        assert!(!scene.has_file() && scene.keychain.len() == 1);
        drop(store);
        assert!(matches!(
            Store::open_or_create(&scene.folder),
            Err(OpenError::Keychain(KeychainError::Unreachable(_)))
        ));
        let store = scene.open();
        let here = store.move_root_key(KeptIn::File, &entry).unwrap();
        assert_eq!((here.kept_in, here.unfinished), (KeptIn::File, None));
        assert!(scene.has_file() && !scene.has_marker() && scene.keychain.len() == 0);
        drop(store);
        drop(Store::open_or_create(&scene.folder).unwrap());
    }

    #[test]
    fn a_move_that_is_cut_off_anywhere_loses_nothing_and_is_finished_at_the_next_start() {
        for (from, to) in [
            (KeptIn::File, KeptIn::Keychain),
            (KeptIn::Keychain, KeptIn::File),
        ] {
            let mut cut = 0;
            for call in 0.. {
                let scene = Scene::new();
                let store = scene.open();
                store.move_root_key(from, &entry).unwrap();
                // A process that is killed tidies nothing up, so what follows a failure is left out.
                let marker = store.marker(KeptIn::Keychain, to == KeptIn::File);
                let done = fail_at(call, EIO, || {
                    marker.write(&store.layout)?;
                    store.settle(&entry).map(|_| ())
                });
                drop(store);
                let store = scene.open();
                store.settle_root_key(&entry).unwrap();
                let at = store.root_key_whereabouts().unwrap();
                assert_eq!(at.unfinished, None, "{call}");
                let in_file = usize::from(scene.has_file());
                assert_eq!(in_file + scene.keychain.len(), 1, "{call}: one place");
                drop(store);
                drop(scene.open());
                match done {
                    Ok(()) => {
                        assert_eq!(at.kept_in, to);
                        break;
                    }
                    Err(_) => cut += 1,
                }
            }
            assert!(cut >= 5, "only {cut} places to be cut off at, to {to}");
        }
    }

    #[test]
    fn a_move_that_fails_anywhere_and_is_given_up_loses_nothing() {
        for to in [KeptIn::Keychain, KeptIn::File] {
            for call in 0.. {
                let scene = Scene::new();
                let store = scene.open();
                if to == KeptIn::File {
                    store.move_root_key(KeptIn::Keychain, &entry).unwrap();
                }
                let done = fail_at(call, EIO, || store.move_root_key(to, &entry).map(drop));
                drop(store);
                let store = scene.open();
                let at = store.move_root_key(to, &entry).unwrap();
                assert_eq!((at.kept_in, at.unfinished), (to, None), "{call}");
                let in_file = usize::from(scene.has_file());
                assert_eq!(in_file + scene.keychain.len(), 1, "{call}: one place");
                assert!(!store.layout.pending_root_key().exists(), "{call}");
                if done.is_ok() {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_off_while_it_is_overwritten_is_not_what_the_store_is_opened_with() {
        let scene = Scene::new();
        let store = scene.open();
        store.move_root_key(KeptIn::Keychain, &entry).unwrap();
        let old = store.layout.pending_root_key();
        drop(store);
        write_private(&old, &[0; 64]).unwrap();
        let store = scene.open();
        assert!(!store.settle_root_key(&entry).unwrap());
        assert!(!old.exists());
        let at = store.root_key_whereabouts().unwrap();
        assert_eq!((at.kept_in, at.unfinished), (KeptIn::Keychain, None));
    }

    #[test]
    fn a_file_of_another_store_never_replaces_what_the_keychain_keeps() {
        let scene = Scene::new();
        let store = scene.open();
        store.move_root_key(KeptIn::Keychain, &entry).unwrap();
        let own = scene.folder.join("root.key");
        write_private(&own, &RootKey::generate().unwrap()).unwrap();
        for to in [KeptIn::Keychain, KeptIn::File] {
            let refused = store.move_root_key(to, &entry).unwrap_err();
            assert!(matches!(refused, MoveError::Differs { .. }), "{refused}");
        }
        assert_eq!(scene.keychain.len(), 1);
        std::fs::remove_file(own).unwrap();
        store.move_root_key(KeptIn::Keychain, &entry).unwrap();
        drop(store);
        drop(scene.open());
    }

    #[test]
    fn a_keychain_that_is_locked_or_gives_back_something_else_gets_no_key() {
        let scene = Scene::new();
        let store = scene.open();
        *scene.keychain.lies.lock().unwrap() = true;
        let refused = store.move_root_key(KeptIn::Keychain, &entry).unwrap_err();
        assert!(matches!(refused, MoveError::Differs { .. }), "{refused}");
        assert!(scene.has_file() && !scene.has_marker() && scene.keychain.len() == 0);

        *scene.keychain.lies.lock().unwrap() = false;
        *scene.keychain.locked.lock().unwrap() = true;
        let refused = store.move_root_key(KeptIn::Keychain, &entry).unwrap_err();
        assert!(matches!(
            refused,
            MoveError::Keychain(KeychainError::Locked(_))
        ));
        assert!(scene.has_file() && !scene.has_marker());
        // What a move that was cut off may have left there is not known as long as it is locked.
        store
            .marker(KeptIn::Keychain, false)
            .write(&store.layout)
            .unwrap();
        store.move_root_key(KeptIn::File, &entry).unwrap_err();
        let at = store.root_key_whereabouts().unwrap();
        let leaving = Some(Unfinished::From(KeptIn::Keychain));
        assert_eq!((at.kept_in, at.unfinished), (KeptIn::File, leaving));
        *scene.keychain.locked.lock().unwrap() = false;
        store.move_root_key(KeptIn::File, &entry).unwrap();
        assert!(scene.has_file() && !scene.has_marker() && scene.keychain.len() == 0);
        assert_eq!(moves(&store), 0, "the key was in its file all the time");
    }

    #[test]
    fn a_move_to_a_keychain_that_is_not_there_is_refused_and_leaves_no_trace() {
        let scene = Scene::new();
        let store = Store::open_or_create(&scene.folder).unwrap();
        let refused = store.move_root_key(KeptIn::Keychain, &entry).unwrap_err();
        let unreachable =
            |error: &MoveError| matches!(error, MoveError::Keychain(KeychainError::Unreachable(_)));
        assert!(unreachable(&refused), "{refused}");
        assert!(scene.has_file() && !scene.has_marker());
        drop(store);
        // Nor does a start with one move it there.
        let store = scene.open();
        assert!(!store.settle_root_key(&entry).unwrap());
        assert!(scene.has_file() && scene.keychain.len() == 0);
        drop(store);

        // One that was cut off is given up by a start without it, and by a move to the file.
        let store = Store::open_or_create(&scene.folder).unwrap();
        for leaving in [false, true] {
            let marker = store.marker(KeptIn::Keychain, leaving);
            marker.write(&store.layout).unwrap();
            match store.settle_root_key(&entry) {
                Err(error) => assert!(!leaving && unreachable(&error), "{error}"),
                Ok(settled) => assert!(leaving && settled),
            }
            assert!(scene.has_file() && !scene.has_marker());
            marker.write(&store.layout).unwrap();
            let at = store.move_root_key(KeptIn::File, &entry).unwrap();
            assert_eq!((at.kept_in, at.unfinished), (KeptIn::File, None));
            assert!(scene.has_file() && !scene.has_marker());
        }
        assert_eq!(moves(&store), 0);
    }

    #[test]
    fn an_entry_that_a_keychain_may_have_kept_is_told_until_it_is_removed() {
        let scene = Scene::new();
        let store = scene.open();
        store.move_root_key(KeptIn::Keychain, &entry).unwrap();
        // Cut off when the key was in its file, and started where no keychain is.
        let key = scene
            .keychain
            .entries
            .lock()
            .unwrap()
            .values()
            .next()
            .cloned();
        write_private(&scene.folder.join("root.key"), &key.unwrap()).unwrap();
        let leaving = store.marker(KeptIn::Keychain, true);
        leaving.write(&store.layout).unwrap();
        drop(store);
        let store = Store::open_or_create(&scene.folder).unwrap();
        assert!(store.settle_root_key(&entry).unwrap());
        let at = store.root_key_whereabouts().unwrap();
        assert_eq!(
            (at.kept_in, at.left_in),
            (KeptIn::File, Some(KeptIn::Keychain))
        );
        // Asked again where there still is none, it is told still.
        let at = store.move_root_key(KeptIn::File, &entry).unwrap();
        assert_eq!(at.left_in, Some(KeptIn::Keychain));
        drop(store);

        let store = scene.open();
        *scene.keychain.locked.lock().unwrap() = true;
        store.move_root_key(KeptIn::File, &entry).unwrap_err();
        *scene.keychain.locked.lock().unwrap() = false;
        let at = store.move_root_key(KeptIn::File, &entry).unwrap();
        assert_eq!((at.kept_in, at.left_in), (KeptIn::File, None));
        assert!(scene.has_file() && scene.keychain.len() == 0);
    }

    #[test]
    fn d7_a_key_that_the_keychain_lost_or_a_marker_that_is_damaged_makes_no_new_store() {
        let scene = Scene::new();
        let store = scene.open();
        store.move_root_key(KeptIn::Keychain, &entry).unwrap();
        drop(store);
        let open = || Store::open_or_create_with(&scene.folder, &scene.places).unwrap_err();
        *scene.keychain.lies.lock().unwrap() = true;
        assert!(matches!(open(), OpenError::RootKeyDamaged { .. }));
        *scene.keychain.lies.lock().unwrap() = false;
        let kept = std::mem::take(&mut *scene.keychain.entries.lock().unwrap());
        assert!(matches!(open(), OpenError::NotInKeychain { .. }));
        *scene.keychain.entries.lock().unwrap() = kept;
        let marker = scene.folder.join("root.key.place");
        let said = std::fs::read(&marker).unwrap();
        std::fs::write(&marker, "{}").unwrap();
        assert!(matches!(open(), OpenError::PlaceDamaged { .. }));
        assert!(!scene.has_file());
        std::fs::write(&marker, said).unwrap();
        drop(scene.open());
    }

    #[test]
    fn the_key_waits_in_its_file_until_a_credential_is_lent_that_opens_the_store() {
        let mut scene = Scene::new();
        let store = scene.open();
        let waits = store.move_root_key(KeptIn::Credential, &entry).unwrap();
        let waiting = (KeptIn::File, Some(Unfinished::To(KeptIn::Credential)));
        assert_eq!((waits.kept_in, waits.unfinished), waiting);
        drop(store);
        // Another key is lent: it is not taken, and nothing is lost.
        scene.lend();
        let credential = scene.places.credential.clone().unwrap();
        let key = std::fs::read(&credential).unwrap();
        write_private(&credential, &RootKey::generate().unwrap()).unwrap();
        let store = scene.open();
        let refused = store.settle_root_key(&entry).unwrap_err();
        assert!(matches!(refused, MoveError::Differs { .. }), "{refused}");
        assert!(scene.has_file());
        drop(store);
        write_private(&credential, &key).unwrap();
        let store = scene.open();
        assert!(store.settle_root_key(&entry).unwrap());
        assert!(!scene.has_file());
        drop(store);
        assert!(matches!(
            Store::open_or_create(&scene.folder),
            Err(OpenError::CredentialMissing)
        ));
        // By way of its file to the keychain.
        let store = scene.open();
        let there = store.move_root_key(KeptIn::Keychain, &entry).unwrap();
        assert_eq!((there.kept_in, there.unfinished), (KeptIn::Keychain, None));
        assert_eq!(there.copy, Some(KeptIn::Credential));
        assert!(!scene.has_file());
    }

    #[test]
    fn a_key_of_another_store_in_the_folder_is_not_taken_for_this_one() {
        let mut scene = Scene::new();
        scene.lend();
        let own = scene.folder.join("root.key");
        write_private(&own, &RootKey::generate().unwrap()).unwrap();
        let store = scene.open();
        for to in [KeptIn::File, KeptIn::Keychain] {
            let refused = store.move_root_key(to, &entry).unwrap_err();
            assert!(matches!(refused, MoveError::Differs { .. }), "{refused}");
        }
        assert!(!scene.has_marker());
        drop(store);
        drop(scene.open());
    }

    #[test]
    fn a_reset_empties_the_keychain_and_can_be_repeated_where_that_failed() {
        let scene = Scene::new();
        let store = scene.open();
        store.move_root_key(KeptIn::Keychain, &entry).unwrap();
        drop(store);
        *scene.keychain.locked.lock().unwrap() = true;
        let failed = Store::reset(&scene.folder, &scene.places).unwrap_err();
        assert!(matches!(failed, OpenError::Keychain(_)), "{failed}");
        assert!(!scene.folder.join("store.redb").exists());
        assert!(Store::exists_in(&scene.folder).unwrap());
        *scene.keychain.locked.lock().unwrap() = false;
        let was = Store::reset(&scene.folder, &scene.places).unwrap();
        assert_eq!(was, Some(KeptIn::Keychain));
        assert_eq!(scene.keychain.len(), 0);
        assert!(!Store::exists_in(&scene.folder).unwrap());
    }
}
