//! Where things are in the state folder, and which of them are ours to remove.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bascule_domain::ids::{ConnectionId, DeletionId};
use bascule_os::{PathError, destroy_file, private_dir, remove_file, sync_dir};
use data_encoding::HEXLOWER;

use crate::{manifest::Whose, place::RootKeyPlaces, root_key::RootKey, seam};

/// Name of a connection's key file: random, so it tells nothing.
pub(crate) type KeyFileName = [u8; 16];

/// Suffix that `bascule_os::write_private` gives to unfinished files.
const UNFINISHED: &str = ".new";

/// How many unusable ledgers are kept; the last place is used again.
pub(crate) const LEDGERS_ASIDE: u8 = 9;

/// The paths below one state folder.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    folder: PathBuf,
    /// What may hold the root key besides.
    places: RootKeyPlaces,
}

impl Layout {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            places: RootKeyPlaces::default(),
        }
    }

    /// With other places that may hold the root key.
    pub(crate) fn with_places(self, places: &RootKeyPlaces) -> Self {
        Self {
            places: places.clone(),
            ..self
        }
    }

    pub(crate) const fn places(&self) -> &RootKeyPlaces {
        &self.places
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn root_key(&self) -> PathBuf {
        self.folder.join("root.key")
    }

    /// Says where the root key is kept, if not in its file.
    pub(crate) fn root_key_place(&self) -> PathBuf {
        self.folder.join("root.key.place")
    }

    /// The whole root key of a store that is being created, or that was moved elsewhere.
    pub(crate) fn pending_root_key(&self) -> PathBuf {
        self.folder.join("root.key.pending")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store.redb")
    }

    /// A store that is being created.
    pub(crate) fn pending_store(&self) -> PathBuf {
        self.folder.join("store.redb.pending")
    }

    /// A restored state that is being made.
    pub(crate) fn restoring(&self) -> PathBuf {
        self.folder.join("restore.new")
    }

    /// A restored state that is whole, and takes the present one's place.
    fn restored(&self) -> PathBuf {
        self.folder.join("restore.ready")
    }

    /// What a restored state has taken the place of, until that one was opened.
    fn replaced(&self) -> PathBuf {
        self.folder.join("restore.old")
    }

    /// Whether anything of a store is there.
    pub(crate) fn holds_a_store(&self) -> Result<bool, PathError> {
        for path in [
            self.root_key(),
            self.root_key_place(),
            self.pending_root_key(),
            self.store(),
        ] {
            if exists(&path)? {
                return Ok(true);
            }
        }
        self.has_key_files()
    }

    /// Declares the restored state whole; from here on it takes the present one's place, if need be
    /// at the next start.
    pub(crate) fn accept_restored(&self) -> Result<(), PathError> {
        rename(&self.restoring(), &self.restored())?;
        sync_dir(&self.folder)?;
        self.finish_restore()
    }

    /// Puts a restored state that is whole into the present one's place, which is kept. Can be
    /// repeated.
    pub(crate) fn finish_restore(&self) -> Result<(), PathError> {
        let (restored, replaced) = (self.restored(), self.replaced());
        if !exists(&restored)? {
            return Ok(());
        }
        private_dir(&replaced)?;
        // Cut off anywhere, the rest follows at the next start, before anything is opened.
        for part in ["store.redb", "keys", "root.key"] {
            let (new, place) = (restored.join(part), self.folder.join(part));
            if !exists(&new)? {
                continue;
            }
            if exists(&place)? {
                rename(&place, &replaced.join(part))?;
                sync_dir(&replaced)?;
            }
            rename(&new, &place)?;
            sync_dir(&self.folder)?;
        }
        Self::new(&restored).remove_whole()
    }

    /// Destroys what restores have left behind, once the present state was opened.
    pub(crate) fn destroy_replaced(&self) -> Result<(), PathError> {
        for folder in [self.restoring(), self.replaced()] {
            Self::new(&folder).remove_whole()?;
        }
        Ok(())
    }

    /// Destroys what the folder holds, and the folder.
    pub(crate) fn remove_whole(&self) -> Result<(), PathError> {
        if !exists(&self.folder)? {
            return Ok(());
        }
        self.destroy_parts()?;
        remove_empty(&self.folder)
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.join("ledger.sqlite")
    }

    /// Says since when the ledger lacks events.
    pub(crate) fn ledger_mark(&self) -> PathBuf {
        self.folder.join("ledger.mark")
    }

    /// The ledger's file and those that SQLite keeps beside it.
    pub(crate) fn ledger_files(ledger: &Path) -> [PathBuf; 3] {
        ["", "-wal", "-shm"].map(|suffix| {
            let mut name = ledger.as_os_str().to_owned();
            name.push(suffix);
            name.into()
        })
    }

    /// Where a ledger that can't be used is moved, the first of few places.
    pub(crate) fn ledger_aside(&self, number: u8) -> PathBuf {
        self.folder.join(format!("ledger.sqlite.aside-{number}"))
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    pub(crate) fn key_file(&self, name: &KeyFileName) -> PathBuf {
        self.keys().join(HEXLOWER.encode(name))
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.folder.join("manifests")
    }

    /// Says by ids, which reveal nothing, whose it is; bucket and round are a keyed hash.
    pub(crate) fn manifest(&self, root: &RootKey, whose: &Whose) -> PathBuf {
        let name = format!("{}/{}", whose.round.as_str(), whose.bucket);
        let hash = HEXLOWER.encode(&root.file_name(&name)[..16]);
        self.manifests().join(format!(
            "{}{hash}",
            manifests_of_deletion(whose.connection, whose.deletion)
        ))
    }

    /// Removes the manifests whose file name begins so, unfinished ones included.
    pub(crate) fn remove_manifests(&self, prefix: &str) -> Result<(), PathError> {
        loop {
            let mut names = names_in(&self.manifests())?;
            names.retain(|name| name.starts_with(prefix) && is_manifest(name));
            // Again, until none is found: a survey that was given up may finish one meanwhile.
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                let manifest = self.manifests().join(name);
                seam::change(&manifest, || remove_file(&manifest))?;
            }
        }
    }

    /// Removes the manifests that nothing needs any more.
    pub(crate) fn keep_manifests(&self, needed: impl Fn(&str) -> bool) -> Result<(), PathError> {
        for name in names_in(&self.manifests())? {
            if is_manifest(&name) && !needed(&name) {
                remove_file(&self.manifests().join(name))?;
            }
        }
        Ok(())
    }

    /// Destroys a key file, whole or unfinished.
    pub(crate) fn destroy_key_file(&self, name: &KeyFileName) -> Result<(), PathError> {
        let file = self.key_file(name);
        destroy_file(&unfinished(&file))?;
        destroy_file(&file)
    }

    /// Whether the folder of connection keys holds anything.
    pub(crate) fn has_key_files(&self) -> Result<bool, PathError> {
        Ok(!names_in(&self.keys())?.is_empty())
    }

    /// Refuses folders that others can reach; creates none.
    pub(crate) fn check_folders(&self) -> Result<(), PathError> {
        for folder in [self.keys(), self.manifests()] {
            if exists(&folder)? {
                private_dir(&folder)?;
            }
        }
        Ok(())
    }

    /// Destroys what the store wrote, keys first, and nothing else. Can be repeated.
    pub(crate) fn destroy(&self) -> Result<(), PathError> {
        for folder in [self.restored(), self.restoring(), self.replaced()] {
            Self::new(&folder).remove_whole()?;
        }
        self.destroy_parts()
    }

    fn destroy_parts(&self) -> Result<(), PathError> {
        if fs::symlink_metadata(&self.folder).is_ok_and(|folder| folder.is_symlink()) {
            return Err(PathError::Symlink {
                path: self.folder.clone(),
            });
        }
        for root_key in [self.root_key(), self.pending_root_key()] {
            destroy_file(&root_key)?;
            destroy_file(&unfinished(&root_key))?;
        }
        for name in names_in(&self.keys())?
            .iter()
            .filter(|name| is_key_file(name))
        {
            destroy_file(&self.keys().join(name))?;
        }
        self.keep_manifests(|_| false)?;
        remove_file(&unfinished(&self.root_key_place()))?;
        for store in [self.store(), self.pending_store()] {
            remove_file(&store)?;
        }
        let aside = (1..=LEDGERS_ASIDE).map(|number| self.ledger_aside(number));
        for ledger in aside.chain([self.ledger()]) {
            for file in Self::ledger_files(&ledger) {
                // A folder there is somebody else's.
                if !file.is_dir() || file.is_symlink() {
                    remove_file(&file)?;
                }
            }
        }
        remove_file(&self.ledger_mark())?;
        for folder in [self.keys(), self.manifests()] {
            remove_empty(&folder)?;
        }
        if exists(&self.folder)? {
            sync_dir(&self.folder)
        } else {
            Ok(())
        }
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), PathError> {
    fs::rename(from, to).map_err(|source| PathError::Io {
        action: "rename a part of the store to",
        path: to.to_owned(),
        source,
    })
}

/// Removes a folder, unless somebody else's files are in it.
fn remove_empty(folder: &Path) -> Result<(), PathError> {
    match fs::remove_dir(folder) {
        Ok(()) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(())
        }
        Err(source) => Err(PathError::Io {
            action: "remove",
            path: folder.to_owned(),
            source,
        }),
    }
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// What the names of a connection's manifests begin with.
pub(crate) fn manifests_of_connection(connection: ConnectionId) -> String {
    format!("{}.", HEXLOWER.encode(connection.as_bytes()))
}

/// What the names of a deletion's manifests begin with.
pub(crate) fn manifests_of_deletion(connection: ConnectionId, deletion: DeletionId) -> String {
    format!(
        "{}{}.",
        manifests_of_connection(connection),
        HEXLOWER.encode(deletion.as_bytes())
    )
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_key_file(name: &str) -> bool {
    is_hex(name.strip_suffix(UNFINISHED).unwrap_or(name), 32)
}

fn is_manifest(name: &str) -> bool {
    let parts: Vec<_> = name
        .strip_suffix(UNFINISHED)
        .unwrap_or(name)
        .split('.')
        .collect();
    matches!(parts[..], [connection, deletion, bucket]
        if is_hex(connection, 20) && is_hex(deletion, 20) && is_hex(bucket, 32))
}

/// Whether anything stands at the path, a dangling link included.
pub(crate) fn exists(path: &Path) -> Result<bool, PathError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(PathError::Io {
            action: "examine",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Names in a folder, none if it is absent. A link is not followed.
fn names_in(folder: &Path) -> Result<Vec<String>, PathError> {
    let failed = |source| PathError::Io {
        action: "list",
        path: folder.to_owned(),
        source,
    };
    if !exists(folder)? {
        return Ok(Vec::new());
    }
    if fs::symlink_metadata(folder).map_err(failed)?.is_symlink() {
        return Err(PathError::Symlink {
            path: folder.to_owned(),
        });
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.push(
            entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    Ok(names)
}
