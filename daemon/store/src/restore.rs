//! Putting a backup back. What died stays dead, whichever side knows of it; what is here now is
//! newer than the backup and stays; the backup brings back what is missing here. Where there is
//! nothing yet, everything comes back closed, because nobody knows what died since.
//!
//! Deciding (`merge`) touches no file. The new state is built beside the present one, opened once,
//! and then takes its place; until that was opened too, the old one is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use bascule_domain::{
    Timestamp,
    audit::{Change, Entry},
    backup::{Backup, Closure, Found, LastLook, Place},
    connection::Connection,
    deletion::Deletion,
    ids::ConnectionId,
    key::Key,
    names::ConnectionName,
    rotation::Rotation,
};
use bascule_os::{PathError, create_private_file, private_dir, write_private};
use zeroize::Zeroizing;

use crate::{
    adoptions,
    backup::{Head, State, mark_of, read_state},
    database::{
        ADOPTION_ORIGINALS, ADOPTIONS, AUDIT, AUDIT_DETAILS, BACKUPS, CONNECTIONS,
        CREDENTIAL_SECRETS, CREDENTIALS, DELETIONS, DatabaseRefusal, FINDINGS, KEY_FILES,
        KEY_SECRETS, KEYS, LEAKED_SECRETS, LEAKS, META, RECEIPTS, ROTATIONS, Rows, TOMBSTONES,
        Table, kept_tables,
    },
    error::{OpenError, StoreError},
    keyring,
    layout::{KeyFileName, Layout},
    open::{IDENTITY, root_key_file},
    place::RootKeyPlaces,
    record,
    root_key::RootKey,
    seal::Sealer,
    store::Store,
};

/// Tables whose rows begin with the id of the connection they belong to.
const OF_CONNECTIONS: [Table; 11] = [
    KEY_FILES,
    CONNECTIONS,
    CREDENTIALS,
    CREDENTIAL_SECRETS,
    KEYS,
    KEY_SECRETS,
    FINDINGS,
    ROTATIONS,
    LEAKS,
    LEAKED_SECRETS,
    ADOPTION_ORIGINALS,
];

/// Tables of what is never taken back.
const LASTING: [Table; 3] = [TOMBSTONES, RECEIPTS, BACKUPS];

const ID_LEN: usize = 10;

/// Why a backup was not restored. Nothing was changed, except for [`RestoreError::InPlace`].
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The present state can't be opened, so what died since the backup is not known.
    #[error(
        "the state that is there can't be opened, so it is not known what died since the backup"
    )]
    Present(#[source] OpenError),
    /// The file is something else.
    #[error("the file is no backup of Bascule's")]
    NoBackup,
    /// Written by a later version.
    #[error("the backup was made by a newer version of Bascule; install that one")]
    TooNew,
    /// The file was cut or altered.
    #[error("the backup is damaged: it was cut or altered since it was made")]
    Damaged,
    /// The root key is in it, and needed.
    #[error("the backup opens with its passphrase only")]
    PassphraseNeeded,
    /// The root key does not open with it.
    #[error("the passphrase is wrong, or the backup's head is damaged")]
    WrongPassphrase,
    /// The root key is not in it, and not here.
    #[error(
        "the backup was made without a passphrase, so it opens only in the installation it was made in, and this is not that one"
    )]
    OnlyHere,
    /// There is another store here.
    #[error("the folder holds another installation than the one that the backup was made in")]
    AnotherInstallation,
    /// What was restored does not open.
    #[error("what the backup holds does not open")]
    Unusable(#[source] OpenError),
    /// It opened before it took the present state's place, and not afterwards.
    #[error("the backup is in place but does not open; the state before it is kept in restore.old")]
    InPlace(#[source] Box<Self>),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A file or folder failed.
    #[error("a file can't be used")]
    Path(#[from] PathError),
}

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Which backup.
    pub backup: Backup,
    /// Whether there was nothing before, so that everything is paused now.
    pub closed: bool,
    /// What became of what.
    pub figures: Figures,
}

/// What became of connections and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Connections that were missing and are back.
    pub brought_back: usize,
    /// Connections that were there and are as they were.
    pub kept: usize,
    /// Connections of the backup that stay deleted.
    pub stayed_deleted: usize,
    /// Keys of the backup that stay dead.
    pub stayed_dead: usize,
}

impl Store {
    /// Restores the content of a backup, which lies at this place, into a state folder.
    ///
    /// The caller holds the state folder's instance lock.
    pub fn restore(
        state_dir: &Path,
        file: &[u8],
        place: Place,
        passphrase: Option<&[u8]>,
        at: Timestamp,
        places: &RootKeyPlaces,
    ) -> Result<Restored, RestoreError> {
        let (head, end) = Head::read(file)?;
        private_dir(state_dir)?;
        let layout = Layout::new(state_dir).with_places(places);
        layout.finish_restore()?;
        let present = match layout.holds_a_store()? {
            true => {
                Some(Self::open_or_create_with(state_dir, places).map_err(RestoreError::Present)?)
            }
            false => None,
        };
        let root_file = root_key_of(&layout, &head, present.as_ref(), passphrase)?;
        let root = RootKey::parse(&root_file).map_err(|_| RestoreError::Damaged)?;
        let then = read_state(file, end, &root)?;
        let backup = Backup {
            id: head.id,
            made_at: head.made_at,
            file: head.file.clone(),
            portable: head.is_portable(),
            connections: then.readable(&root)?,
            place,
            mark: mark_of(file),
            last_look: Some(LastLook {
                at,
                found: Found::Present,
            }),
        };
        let now = match &present {
            Some(store) => State::of(store)?,
            None => State::default(),
        };
        let Merged { state, figures } = merge(&now, &then, &root)?;
        let closure = present
            .is_none()
            .then_some(Closure::Restored { backup: backup.id });
        build(&layout, &root_file, &state)?;
        {
            let built = open_whole(&layout.restoring(), &RootKeyPlaces::default())?;
            built.note_restore(&backup, closure.as_ref(), at)?;
        }
        // From here on the database is not the one that is open.
        drop(present);
        layout.accept_restored()?;
        // Destroys the old state once it is open.
        let store =
            open_whole(state_dir, places).map_err(|error| RestoreError::InPlace(error.into()))?;
        // Built in a file, the key goes back to where it is kept; else at the next start.
        let moved = store.settle_root_key(&|to| Entry {
            at,
            by: None,
            change: Change::RootKeyMoved { to },
            details: None,
        });
        if let Err(error) = moved {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the root key stays in its file until the next start"
            );
        }
        Ok(Restored {
            backup,
            closed: closure.is_some(),
            figures,
        })
    }

    fn note_restore(
        &self,
        backup: &Backup,
        closure: Option<&Closure>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let entry = Entry {
            at,
            by: None,
            change: Change::Restored { backup: backup.id },
            details: None,
        };
        self.rows.write(|batch| {
            if let Some(closure) = closure {
                self.put_closure(batch, closure)?;
                Self::forget_anchor(batch)?;
            }
            self.record_restored(batch, backup, closure.is_some())?;
            self.record_audit(batch, &entry)
        })
    }
}

/// The content of the root key's file. A passphrase that is given must fit, also where it is not
/// needed.
fn root_key_of(
    layout: &Layout,
    head: &Head,
    present: Option<&Store>,
    passphrase: Option<&[u8]>,
) -> Result<Zeroizing<Vec<u8>>, RestoreError> {
    let unlocked = passphrase
        .filter(|_| head.is_portable() || present.is_none())
        .map(|passphrase| head.root_key(passphrase))
        .transpose()?;
    match (present, unlocked) {
        (Some(store), _) if head.is_of(&store.root.store_id) => {
            root_key_file(layout).map_err(RestoreError::Present)
        }
        (Some(_), _) => Err(RestoreError::AnotherInstallation),
        (None, Some(file)) => Ok(file),
        (None, None) if head.is_portable() => Err(RestoreError::PassphraseNeeded),
        (None, None) => Err(RestoreError::OnlyHere),
    }
}

/// Opens a state and reads all of it.
fn open_whole(folder: &Path, places: &RootKeyPlaces) -> Result<Store, RestoreError> {
    let store = Store::open_or_create_with(folder, places).map_err(RestoreError::Unusable)?;
    store
        .load()
        .map_err(|error| RestoreError::Unusable(error.into()))?;
    Ok(store)
}

fn build(layout: &Layout, root_file: &[u8], state: &State) -> Result<(), RestoreError> {
    let new = Layout::new(&layout.restoring());
    new.remove_whole()?;
    private_dir(new.folder())?;
    private_dir(&new.keys())?;
    private_dir(&new.manifests())?;
    let identity = state
        .table(META)
        .get(IDENTITY)
        .ok_or(RestoreError::Damaged)?;
    Rows::create(create_private_file(&new.store())?, IDENTITY, identity)?;
    let rows = Rows::open(&new.store()).map_err(|refusal| {
        RestoreError::Unusable(match refusal {
            DatabaseRefusal::InUse => OpenError::InUse { path: new.store() },
            DatabaseRefusal::Damaged(source) => OpenError::StoreDamaged {
                path: new.store(),
                source,
            },
        })
    })?;
    rows.write(|batch| {
        for table in kept_tables() {
            for (row, value) in state.table(table) {
                batch.put(table, row, value)?;
            }
        }
        Ok(())
    })?;
    for (name, content) in &state.keys {
        write_private(&new.key_file(name), content)?;
    }
    write_private(&new.root_key(), root_file)?;
    Ok(())
}

fn connection_of(table: Table, row: &[u8]) -> Result<ConnectionId, StoreError> {
    row.first_chunk::<ID_LEN>()
        .map(|id| ConnectionId::from_random(*id))
        .ok_or(StoreError::Damaged {
            table: table.name(),
        })
}

/// A deletion with its row, as it is sealed.
struct SealedDeletion<'a> {
    row: &'a Vec<u8>,
    value: &'a Vec<u8>,
    deletion: Deletion,
}

impl State {
    fn connections(&self) -> Result<BTreeSet<ConnectionId>, StoreError> {
        let rows = self.table(KEY_FILES).keys();
        rows.map(|row| connection_of(KEY_FILES, row)).collect()
    }

    fn deletions<'a>(&'a self, root: &RootKey) -> Result<Vec<SealedDeletion<'a>>, StoreError> {
        let rows = self.table(DELETIONS).iter();
        rows.map(|(row, value)| {
            let deletion = record::open(&root.seal, DELETIONS, row, value)?;
            Ok(SealedDeletion {
                row,
                value,
                deletion,
            })
        })
        .collect()
    }

    /// Connections whose keys are all dead.
    fn dead(&self, root: &RootKey) -> Result<BTreeSet<ConnectionId>, StoreError> {
        let deletions = self.deletions(root)?.into_iter();
        Ok(deletions
            .filter(|sealed| sealed.deletion.phase.keys_are_dead())
            .map(|sealed| sealed.deletion.connection)
            .collect())
    }

    fn living(&self, root: &RootKey) -> Result<BTreeSet<ConnectionId>, StoreError> {
        let dead = self.dead(root)?;
        Ok(self.connections()?.difference(&dead).copied().collect())
    }

    /// Connections whose key is in it.
    fn readable(&self, root: &RootKey) -> Result<Vec<ConnectionId>, StoreError> {
        let mut readable = Vec::new();
        for connection in self.connections()? {
            if self.key_file(connection, root)?.is_some() {
                readable.push(connection);
            }
        }
        Ok(readable)
    }

    fn key_file(
        &self,
        connection: ConnectionId,
        root: &RootKey,
    ) -> Result<Option<(KeyFileName, &Vec<u8>)>, StoreError> {
        let row = connection.as_bytes();
        let Some(value) = self.table(KEY_FILES).get(&row[..]) else {
            return Ok(None);
        };
        let name: KeyFileName = record::open(&root.seal, KEY_FILES, row, value)?;
        Ok(self.keys.get(&name).map(|content| (name, content)))
    }

    fn sealer(
        &self,
        connection: ConnectionId,
        root: &RootKey,
    ) -> Result<Option<Sealer>, StoreError> {
        let file = self.key_file(connection, root)?;
        Ok(file.and_then(|(_, content)| keyring::unwrap(content, root, connection)))
    }
}

/// Whose word counts for a connection.
#[derive(Clone, Copy, PartialEq)]
enum Source {
    Now,
    Then,
}

struct Merged {
    state: State,
    figures: Figures,
}

fn merge(now: &State, then: &State, root: &RootKey) -> Result<Merged, StoreError> {
    let in_now = now.connections()?;
    let (dead_now, dead_then) = (now.dead(root)?, then.dead(root)?);
    let source = |connection: &ConnectionId| {
        let dead_only_then = dead_then.contains(connection) && !dead_now.contains(connection);
        let here = in_now.contains(connection) || dead_now.contains(connection);
        match dead_only_then || !here {
            true => Source::Then,
            false => Source::Now,
        }
    };
    let fresh = now.table(META).is_empty();
    let mut state = State::default();
    for table in kept_tables() {
        let mut rows = now.table(table).clone();
        if fresh {
            rows = then.table(table).clone();
        } else if LASTING.iter().any(|lasting| lasting.name() == table.name()) {
            for (row, value) in then.table(table) {
                rows.entry(row.clone()).or_insert_with(|| value.clone());
            }
        } else if OF_CONNECTIONS.iter().any(|of| of.name() == table.name()) {
            let mut merged = BTreeMap::new();
            for (from, rows) in [(Source::Now, &rows), (Source::Then, then.table(table))] {
                for (row, value) in rows {
                    if source(&connection_of(table, row)?) == from {
                        merged.insert(row.clone(), value.clone());
                    }
                }
            }
            rows = merged;
        }
        *state.table_mut(table) = rows;
    }
    if !fresh {
        merge_deletions(&mut state, now, then, root, source)?;
        merge_audit(&mut state, then, source)?;
        merge_adoptions(&mut state, then, root)?;
    }
    for connection in state.connections()? {
        let from = match source(&connection) {
            Source::Now => now,
            Source::Then => then,
        };
        if let Some((name, content)) = from.key_file(connection, root)? {
            state.keys.insert(name, content.clone());
        }
    }
    bury_the_dead(&mut state, root)?;
    let back: BTreeSet<_> = state
        .living(root)?
        .into_iter()
        .filter(|id| !in_now.contains(id))
        .collect();
    name_apart(&mut state, &back, root)?;
    let dead: BTreeSet<_> = state.dead(root)?;
    let living_then = then.living(root)?;
    let stayed_dead = then
        .table(KEYS)
        .keys()
        .filter(|row| !state.table(KEYS).contains_key(*row))
        .count();
    let figures = Figures {
        brought_back: back.len(),
        kept: in_now.difference(&dead).count(),
        stayed_deleted: living_then.intersection(&dead).count(),
        stayed_dead,
    };
    Ok(Merged { state, figures })
}

/// A deletion goes with its connection; those that are over are remembered from both sides.
fn merge_deletions(
    state: &mut State,
    now: &State,
    then: &State,
    root: &RootKey,
    source: impl Fn(&ConnectionId) -> Source,
) -> Result<(), StoreError> {
    let mut merged = BTreeMap::new();
    for (from, deletions) in [
        (Source::Then, then.deletions(root)?),
        (Source::Now, now.deletions(root)?),
    ] {
        for sealed in deletions {
            let over = sealed.deletion.phase.is_over() && !merged.contains_key(sealed.row);
            if source(&sealed.deletion.connection) == from || over {
                merged.insert(sealed.row.clone(), sealed.value.clone());
            }
        }
    }
    *state.table_mut(DELETIONS) = merged;
    Ok(())
}

/// The audit of now, continued by what only the backup has. Details follow their entries.
fn merge_audit(
    state: &mut State,
    then: &State,
    source: impl Fn(&ConnectionId) -> Source,
) -> Result<(), StoreError> {
    for (row, value) in then.table(AUDIT) {
        state
            .table_mut(AUDIT)
            .entry(row.clone())
            .or_insert_with(|| value.clone());
    }
    let mut details = BTreeMap::new();
    for (row, value) in then.table(AUDIT_DETAILS) {
        let number = &row[row.len().saturating_sub(8)..];
        let same_entry = state.table(AUDIT).get(number) == then.table(AUDIT).get(number);
        let taken =
            row.len() <= ID_LEN || source(&connection_of(AUDIT_DETAILS, row)?) == Source::Then;
        if same_entry && taken {
            details.insert(row.clone(), value.clone());
        }
    }
    for (row, value) in details {
        state.table_mut(AUDIT_DETAILS).entry(row).or_insert(value);
    }
    Ok(())
}

/// The adoptions of both sides, each as far as either side knows of it. The files of those that are over
/// stay gone, and so does all of them that went with a connection.
fn merge_adoptions(state: &mut State, then: &State, root: &RootKey) -> Result<(), StoreError> {
    let connections = state.connections()?;
    let mut merged = BTreeMap::new();
    let mut over = Vec::new();
    for (row, value) in state.table(ADOPTIONS).iter().chain(then.table(ADOPTIONS)) {
        let adoption = adoptions::open(root, row, value)?;
        let finality = adoption.state.finality();
        if !adoption.state.is_open() {
            over.push(adoptions::originals_row(adoption.connection, adoption.id));
        }
        let gone = !adoption.state.is_open() && !connections.contains(&adoption.connection);
        match merged.get(row) {
            Some((known, _)) if *known >= finality => {}
            _ => {
                merged.insert(row.clone(), (finality, (!gone).then(|| value.clone())));
            }
        }
    }
    let merged = merged
        .into_iter()
        .filter_map(|(row, (_, value))| Some((row, value?)));
    *state.table_mut(ADOPTIONS) = merged.collect();
    state
        .table_mut(ADOPTION_ORIGINALS)
        .retain(|row, _| !over.iter().any(|over| row.starts_with(over)));
    Ok(())
}

/// Takes out every key that has a tombstone, and rotations that have lost a key.
fn bury_the_dead(state: &mut State, root: &RootKey) -> Result<(), StoreError> {
    for connection in state.connections()? {
        let Some(sealer) = state.sealer(connection, root)? else {
            continue;
        };
        let of_it = |table: Table, state: &State| -> Vec<(Vec<u8>, Vec<u8>)> {
            let rows = state.table(table).range(connection.as_bytes().to_vec()..);
            rows.take_while(|(row, _)| row.starts_with(connection.as_bytes()))
                .map(|(row, value)| (row.clone(), value.clone()))
                .collect()
        };
        for (row, value) in of_it(KEYS, state) {
            let key: Key = record::open(&sealer, KEYS, &row, &value)?;
            let hash = root.lookup(key.access_key_id.as_str());
            if state.table(TOMBSTONES).contains_key(&hash[..]) {
                state.table_mut(KEYS).remove(&row);
                state.table_mut(KEY_SECRETS).remove(&row);
            }
        }
        for (row, value) in of_it(ROTATIONS, state) {
            let rotation: Rotation = record::open(&sealer, ROTATIONS, &row, &value)?;
            let lives = |key| {
                let row = record::key_row(connection, key);
                state.table(KEYS).contains_key(&row)
            };
            if !lives(rotation.old) || !lives(rotation.successor) {
                state.table_mut(ROTATIONS).remove(&row);
            }
        }
    }
    Ok(())
}

/// Gives a connection that came back another name if its own is taken by now.
fn name_apart(
    state: &mut State,
    back: &BTreeSet<ConnectionId>,
    root: &RootKey,
) -> Result<(), StoreError> {
    let mut names = BTreeSet::new();
    let mut returned = Vec::new();
    for id in state.living(root)? {
        let (row, sealer) = (id.as_bytes(), state.sealer(id, root)?);
        let (Some(sealer), Some(value)) = (sealer, state.table(CONNECTIONS).get(&row[..])) else {
            continue;
        };
        let connection: Connection = record::open(&sealer, CONNECTIONS, row, value)?;
        match back.contains(&id) {
            true => returned.push((connection, sealer)),
            false => {
                names.insert(connection.name);
            }
        }
    }
    for (connection, sealer) in returned {
        let name = free_name(&connection.name, &names);
        names.insert(name.clone());
        if name != connection.name {
            let row = connection.id.as_bytes().to_vec();
            let renamed = Connection { name, ..connection };
            let sealed = sealer.seal_json(&CONNECTIONS.place(&row), &renamed)?;
            state.table_mut(CONNECTIONS).insert(row, sealed);
        }
    }
    Ok(())
}

fn free_name(name: &ConnectionName, taken: &BTreeSet<ConnectionName>) -> ConnectionName {
    let numbered = (1..).filter_map(|number: u32| {
        let suffix = match number {
            1 => "-restored".to_owned(),
            number => format!("-restored-{number}"),
        };
        let text = name.as_str();
        // Names are ASCII.
        let kept = &text[..text.len().min(64 - suffix.len())];
        format!("{kept}{suffix}").parse().ok()
    });
    std::iter::once(name.clone())
        .chain(numbered)
        .find(|name| !taken.contains(name))
        .unwrap_or_else(|| name.clone())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{NewBackup, layout::exists};

    /// A state folder whose gateway's port is 2, and the state it had when it was 1.
    fn scene() -> (tempfile::TempDir, Layout, Zeroizing<Vec<u8>>, State) {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("state");
        let layout = Layout::new(&folder);
        let store = Store::open_or_create(&folder).unwrap();
        store.set_gateway_port(1).unwrap();
        let id = bascule_domain::ids::BackupId::from_random([1; ID_LEN]);
        let new = NewBackup {
            id,
            made_at: Timestamp::UNIX_EPOCH,
            file: "test".parse().unwrap(),
            place: Place::Unknown,
            passphrase: None,
        };
        let entry = Entry {
            at: Timestamp::UNIX_EPOCH,
            by: None,
            change: Change::BackedUp { backup: id },
            details: None,
        };
        let mut file = Vec::new();
        store.write_backup(&new, &entry, &mut file).unwrap();
        store.set_gateway_port(2).unwrap();
        let (_, end) = Head::read(&file).unwrap();
        let state = read_state(&file, end, &store.root).unwrap();
        let root_file = root_key_file(&layout).unwrap();
        (temp, layout, root_file, state)
    }

    fn port_after_the_next_start(layout: &Layout) -> Option<u16> {
        let store = Store::open_or_create(layout.folder()).unwrap();
        store.load().unwrap();
        for part in ["restore.new", "restore.ready", "restore.old"] {
            assert!(!exists(&layout.folder().join(part)).unwrap(), "{part}");
        }
        store.gateway_port().unwrap()
    }

    #[test]
    fn a_restore_that_was_cut_off_is_finished_or_undone_at_the_next_start() {
        let (_temp, layout, root_file, state) = scene();
        build(&layout, &root_file, &state).unwrap();
        assert_eq!(port_after_the_next_start(&layout), Some(2), "undone");

        // Each rename of the swap is one step.
        for steps in 0..=6 {
            let (_temp, layout, root_file, state) = scene();
            build(&layout, &root_file, &state).unwrap();
            let folder = layout.folder();
            fs::rename(layout.restoring(), folder.join("restore.ready")).unwrap();
            private_dir(&folder.join("restore.old")).unwrap();
            let renames = ["store.redb", "keys", "root.key"]
                .into_iter()
                .flat_map(|part| {
                    let place = folder.join(part);
                    [
                        (place.clone(), folder.join("restore.old").join(part)),
                        (folder.join("restore.ready").join(part), place),
                    ]
                });
            for (from, to) in renames.take(steps) {
                fs::rename(from, to).unwrap();
            }
            assert_eq!(port_after_the_next_start(&layout), Some(1), "{steps} steps");
        }
    }

    #[test]
    fn g10_a_connection_that_comes_back_gets_a_name_of_its_own() {
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let photos = "photos".parse().unwrap();
        let free = |taken: &[&str]| free_name(&photos, &names(taken)).to_string();
        assert_eq!(free(&["videos"]), "photos");
        assert_eq!(free(&["photos"]), "photos-restored");
        assert_eq!(free(&["photos", "photos-restored"]), "photos-restored-2");
        let long = "p".repeat(64).parse().unwrap();
        assert!(
            free_name(&long, &[long.clone()].into())
                .as_str()
                .ends_with("-restored")
        );
    }
}
