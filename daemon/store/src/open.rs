//! Opening, creating and destroying a store.
//!
//! A new store is made only where nothing of one exists. Whatever is missing, cut, altered or
//! foreign is a refusal that leaves every file as it was (threats.md D7, G7).

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use bascule_domain::root_key::KeptIn;
use bascule_os::{
    ForeignError, PathError, check_private_file, create_private_file, private_dir,
    read_foreign_secret, read_private, remove_file, replace_file, write_private,
};
use zeroize::Zeroizing;

use crate::{
    database::{DatabaseRefusal, META, Read, Rows, View},
    error::{OpenError, StoreError},
    keyring::Keyring,
    layout::{Layout, exists, manifests_of_deletion},
    ledger,
    place::{self, RootKeyPlaces},
    root_key::{self, NoRootKey, RootKey},
    seal::FORMAT,
    store::Store,
};

/// Row of [`META`] that says which store this is: format, store id, and a value that only the
/// right root key opens.
pub(crate) const IDENTITY: &[u8] = b"identity";
const IDENTITY_PROOF: &[u8] = b"bascule store";

impl Store {
    /// Opens the store in the folder, or creates one where nothing of one exists.
    ///
    /// The caller holds the state folder's instance lock.
    pub fn open_or_create(state_dir: &Path) -> Result<Self, OpenError> {
        Self::open_or_create_with(state_dir, &RootKeyPlaces::default())
    }

    /// As [`Self::open_or_create`], with other places where the root key may be kept. A credential
    /// that is lent is taken in place of the root key in the folder, unless the folder says where that
    /// is.
    ///
    /// The caller holds the state folder's instance lock.
    pub fn open_or_create_with(
        state_dir: &Path,
        places: &RootKeyPlaces,
    ) -> Result<Self, OpenError> {
        private_dir(state_dir)?;
        let layout = Layout::new(state_dir).with_places(places);
        layout.finish_restore()?;
        layout.check_folders()?;
        if exists(&layout.root_key_place())? {
            // It is somewhere, and nothing is made in its place.
        } else if places.credential.is_some() {
            if !exists(&layout.store())? && !layout.has_key_files()? {
                create_store(&layout, &read_root_key(&layout)?)?;
            }
        } else if !exists(&layout.root_key())? {
            if exists(&layout.store())? {
                finish_creation(&layout)?;
            } else if layout.has_key_files()? {
                return Err(OpenError::StoreMissing {
                    path: layout.store(),
                });
            } else {
                create(&layout)?;
            }
        }
        let root = read_root_key(&layout)?;
        if !exists(&layout.store())? {
            return Err(OpenError::StoreMissing {
                path: layout.store(),
            });
        }
        check_private_file(&layout.store())?;

        let keyring = rehearse(&layout, &root)?;
        ledger::refuse_newer(&layout)?;
        let rows = Rows::open(&layout.store()).map_err(|error| refusal(&layout, error))?;
        let store = Self {
            layout,
            root,
            rows,
            keyring,
            observer: OnceLock::new(),
            anchor: Mutex::default(),
            scratch: crate::scratch::Scratch::default(),
            moving: Mutex::default(),
        };
        store.note_lent()?;
        store.tidy()?;
        Ok(store)
    }

    /// Whether anything of a store is in the folder.
    pub fn exists_in(state_dir: &Path) -> Result<bool, OpenError> {
        Ok(Layout::new(state_dir).holds_a_store()?)
    }

    /// Destroys everything that the store wrote in the folder and its entry in the keychain, keys
    /// first, and nothing else. What a crash leaves is destroyed by calling it again. Says where the
    /// root key was kept besides the folder: a credential is left to whoever can remove it.
    ///
    /// The caller holds the state folder's instance lock.
    pub fn reset(state_dir: &Path, places: &RootKeyPlaces) -> Result<Option<KeptIn>, OpenError> {
        let layout = Layout::new(state_dir).with_places(places);
        let emptied = match place::empty_keychain(&layout) {
            // Then it says nothing of another place either.
            Err(OpenError::PlaceDamaged { .. }) => Ok(None),
            emptied => emptied,
        };
        // What the keychain keeps opens nothing any more.
        layout.destroy()?;
        let kept_in = emptied?;
        remove_file(&layout.root_key_place())?;
        Ok(kept_in)
    }

    /// Removes what a crash left behind: keys of connections that were never added, and manifests
    /// that nothing needs.
    fn tidy(&self) -> Result<(), OpenError> {
        private_dir(&self.layout.keys())?;
        private_dir(&self.layout.manifests())?;
        self.layout.destroy_replaced()?;
        self.destroy_pending_keys()?;
        let mut needed = Vec::new();
        for deletion in self.deletion_headers()? {
            if !deletion.phase.is_over() && self.keyring.get(deletion.connection).is_some() {
                needed.push(manifests_of_deletion(deletion.connection, deletion.id));
            }
        }
        self.layout
            .keep_manifests(|name| needed.iter().any(|prefix| name.starts_with(prefix)))?;
        Ok(())
    }
}

fn read_root_key(layout: &Layout) -> Result<RootKey, OpenError> {
    let located = place::locate(layout)?;
    parse_root_key(&place::read(layout, &located)?, || located.path())
}

fn parse_root_key(file: &[u8], path: impl Fn() -> PathBuf) -> Result<RootKey, OpenError> {
    RootKey::parse(file).map_err(|refused| match refused {
        NoRootKey::Damaged(what) => OpenError::RootKeyDamaged { path: path(), what },
        NoRootKey::TooNew(found) => OpenError::TooNew {
            path: path(),
            found: found.into(),
            known: NoRootKey::KNOWN.into(),
        },
    })
}

/// The content of the root key's file, wherever it is kept.
pub(crate) fn root_key_file(layout: &Layout) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    place::read(layout, &place::locate(layout)?)
}

/// The content of a root key that somebody else keeps. Whose it is does not matter: a service manager
/// lends its own.
pub(crate) fn credential_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    match read_foreign_secret(path, root_key::LIMIT) {
        Ok(file) => Ok(Zeroizing::new(file)),
        Err(error) if error.is_absent() => Err(OpenError::RootKeyMissing {
            path: path.to_owned(),
        }),
        Err(ForeignError::TooLarge { .. }) => Err(OpenError::RootKeyDamaged {
            path: path.to_owned(),
            what: "its length is wrong",
        }),
        Err(error) => Err(OpenError::Credential(error)),
    }
}

/// The content of a root key's file in a state folder.
pub(crate) fn own_root_key_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    match read_private(path, root_key::LIMIT) {
        Ok(file) => Ok(Zeroizing::new(file)),
        Err(PathError::TooLarge { .. }) => Err(OpenError::RootKeyDamaged {
            path: path.to_owned(),
            what: "its length is wrong",
        }),
        Err(error) if error.is_absent() => Err(OpenError::RootKeyMissing {
            path: path.to_owned(),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Makes a new store. The root key gets its name last: without it nothing was ever sealed for
/// anybody, and with it the store is whole.
fn create(layout: &Layout) -> Result<(), OpenError> {
    let file = RootKey::generate()?;
    let root = RootKey::parse(&file).map_err(|_| StoreError::Cryptography)?;
    write_private(&layout.pending_root_key(), &file)?;
    create_store(layout, &root)?;
    replace_file(&layout.pending_root_key(), &layout.root_key())?;
    Ok(())
}

/// Makes the database of a new store.
fn create_store(layout: &Layout, root: &RootKey) -> Result<(), OpenError> {
    private_dir(&layout.keys())?;
    private_dir(&layout.manifests())?;
    remove_file(&layout.pending_store())?;
    let store = create_private_file(&layout.pending_store())?;
    let mut identity = vec![FORMAT];
    identity.extend_from_slice(&root.store_id);
    identity.extend(root.seal.seal(&META.place(IDENTITY), IDENTITY_PROOF)?);
    Rows::create(store, IDENTITY, &identity)?;
    replace_file(&layout.pending_store(), &layout.store())?;
    Ok(())
}

/// A creation was cut off between its two last steps if the pending root key is whole and opens
/// the store. Otherwise the root key is lost.
fn finish_creation(layout: &Layout) -> Result<(), OpenError> {
    let missing = || OpenError::RootKeyMissing {
        path: layout.root_key(),
    };
    let pending = layout.pending_root_key();
    let root = own_root_key_file(&pending)
        .and_then(|file| parse_root_key(&file, || pending.clone()))
        .map_err(|_| missing())?;
    check_private_file(&layout.store())?;
    rehearse(layout, &root).map_err(|error| match error {
        OpenError::RootKeyOfAnotherStore { .. } => missing(),
        error => error,
    })?;
    replace_file(&layout.pending_root_key(), &layout.root_key())?;
    Ok(())
}

/// Opens the store without changing its file and checks that it, the root key and the connections'
/// keys belong together.
fn rehearse(layout: &Layout, root: &RootKey) -> Result<Keyring, OpenError> {
    let act = || {
        let rows = Rows::rehearse(&layout.store()).map_err(|error| refusal(layout, error))?;
        let mut outcome = None;
        let read = rows.read(|view| {
            outcome = Some(inspect(view, layout, root));
            Ok(())
        });
        match (outcome, read) {
            (Some(Err(OpenError::Store(error))), Ok(())) => Err(damaged(layout, error)),
            (Some(outcome), Ok(())) => outcome,
            (_, Err(error)) => Err(damaged(layout, error)),
            (None, Ok(())) => Err(damaged(layout, io::Error::other("it was not read"))),
        }
    };
    // The database panics on some kinds of damage.
    catch_unwind(AssertUnwindSafe(act))
        .unwrap_or_else(|_| Err(damaged(layout, io::Error::other("the database gave up"))))
}

fn inspect(view: &View, layout: &Layout, root: &RootKey) -> Result<Keyring, OpenError> {
    let foreign = || damaged(layout, io::Error::other("it holds something else"));
    let identity = view.get(META, IDENTITY)?.ok_or_else(foreign)?;
    let (&format, rest) = identity.split_first().ok_or_else(foreign)?;
    // Before anything else: a later version may have other tables.
    if format > FORMAT {
        return Err(OpenError::TooNew {
            path: layout.store(),
            found: format.into(),
            known: FORMAT.into(),
        });
    }
    if !view
        .has_every_table()
        .map_err(|error| damaged(layout, error))?
    {
        return Err(foreign());
    }
    if !proves(root, rest).ok_or_else(foreign)? {
        return Err(OpenError::RootKeyOfAnotherStore {
            root_key: place::locate(layout)?.path(),
            store: layout.store(),
        });
    }
    Keyring::read(view, root, layout)
}

/// Whether the value behind the format is this root key's.
fn proves(root: &RootKey, identity: &[u8]) -> Option<bool> {
    let (store_id, proof) = identity.split_first_chunk::<16>()?;
    let opened = root.seal.open(&META.place(IDENTITY), proof);
    Some(*store_id == root.store_id && opened.is_ok_and(|proof| proof.as_slice() == IDENTITY_PROOF))
}

/// Whether the store that is open is this root key's.
pub(crate) fn opens(view: &View, root: &RootKey) -> Result<bool, StoreError> {
    let identity = view.get(META, IDENTITY)?;
    let rest = identity.as_deref().and_then(|identity| identity.get(1..));
    Ok(rest.and_then(|rest| proves(root, rest)).unwrap_or(false))
}

fn damaged(
    layout: &Layout,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OpenError {
    OpenError::StoreDamaged {
        path: layout.store(),
        source: source.into(),
    }
}

fn refusal(layout: &Layout, error: DatabaseRefusal) -> OpenError {
    match error {
        DatabaseRefusal::InUse => OpenError::InUse {
            path: layout.store(),
        },
        DatabaseRefusal::Damaged(source) => damaged(layout, source),
    }
}

#[cfg(test)]
mod tests {
    use bascule_domain::ids::ConnectionId;

    use super::*;
    use crate::database::PENDING_KEY_FILES;

    #[test]
    fn j2_a_store_whose_writer_hangs_does_not_answer_until_it_goes_on() {
        use std::{sync::mpsc, time::Duration};
        let temp = tempfile::tempdir().unwrap();
        let store = &Store::open_or_create(&temp.path().join("state")).unwrap();
        let (hangs, hung) = mpsc::channel();
        let (go_on, held) = mpsc::channel::<()>();
        let (answers, answered) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                store.rows.write(|_| {
                    hangs.send(()).unwrap();
                    held.recv().ok();
                    Ok(())
                })
            });
            hung.recv().unwrap();
            scope.spawn(move || answers.send(store.await_writer().is_ok()).unwrap());
            assert!(answered.recv_timeout(Duration::from_millis(100)).is_err());
            drop(go_on);
            assert!(answered.recv().unwrap());
        });
        assert!(!store.has_failed());
    }

    fn lent(credential: &Path) -> RootKeyPlaces {
        RootKeyPlaces {
            credential: Some(credential.to_owned()),
            keychain: None,
        }
    }

    #[test]
    fn a_root_key_that_somebody_else_keeps_opens_the_store_and_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, credential) = (temp.path().join("state"), temp.path().join("credential"));
        drop(Store::open_or_create(&folder).unwrap());
        let own = Layout::new(&folder).root_key();
        std::fs::rename(&own, &credential).unwrap();
        let open = |folder: &Path| Store::open_or_create_with(folder, &lent(&credential));
        drop(open(&folder).unwrap());
        assert!(!own.exists());
        // Whoever is lent none hears where it is, not that it is lost.
        let unlent = |folder: &Path| {
            let refused = Store::open_or_create(folder).unwrap_err();
            assert!(matches!(refused, OpenError::CredentialMissing), "{refused}");
        };
        unlent(&folder);

        // A new store is made for the key that is there, and opens with no other.
        let other = temp.path().join("other");
        drop(open(&other).unwrap());
        unlent(&other);
        drop(open(&other).unwrap());
        assert!(!Layout::new(&other).root_key().exists());
        std::fs::write(&credential, &*RootKey::generate().unwrap()).unwrap();
        let refused = open(&other).unwrap_err();
        assert!(refused.to_string().contains("credential"), "{refused}");
        assert!(matches!(refused, OpenError::RootKeyOfAnotherStore { .. }));
    }

    #[test]
    fn d7_a_lent_root_key_that_is_absent_cut_or_open_to_all_makes_nothing() {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt};
        let temp = tempfile::tempdir().unwrap();
        let (folder, credential) = (temp.path().join("state"), temp.path().join("credential"));
        let refused = || Store::open_or_create_with(&folder, &lent(&credential)).unwrap_err();
        assert!(matches!(refused(), OpenError::RootKeyMissing { .. }));
        let key = RootKey::generate().unwrap();
        let mode = |mode| std::fs::set_permissions(&credential, Permissions::from_mode(mode));
        std::fs::write(&credential, &key[1..]).unwrap();
        mode(0o600).unwrap();
        assert!(matches!(refused(), OpenError::RootKeyDamaged { .. }));
        std::fs::write(&credential, &*key).unwrap();
        mode(0o644).unwrap();
        assert!(matches!(refused(), OpenError::Credential(_)));
        assert!(!folder.join("store.redb").exists());
    }

    #[test]
    fn the_key_of_a_connection_whose_addition_was_cut_off_is_destroyed_at_the_next_start() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("state");
        let store = Store::open_or_create(&folder).unwrap();
        let key = store
            .prepare_key(ConnectionId::from_random([1; 10]))
            .unwrap();
        assert!(key.file.exists());
        drop(store);

        let store = Store::open_or_create(&folder).unwrap();
        assert!(!key.file.exists());
        assert!(
            store
                .rows
                .read(|view| view.rows(PENDING_KEY_FILES, &[]))
                .unwrap()
                .is_empty()
        );
    }
}
