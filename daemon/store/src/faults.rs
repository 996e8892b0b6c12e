//! What a failing disk and a power cut leave behind (threats.md G2, G4, G5). The disk is a model:
//! it fails on demand, and it knows which writes were not yet durable.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    audit::{self, Change},
    connection::{Connection, Location},
    ids::{ConnectionId, KeyId},
    key::{Key, KeyKind, KeyState, Origin, Permission, Scope},
    provider::ProviderKind,
    secret::{Credentials, SecretKey},
    tombstone::{CauseOfDeath, Tombstone},
};
use redb::StorageBackend;

use crate::{
    database::Rows, error::StoreError, keyring::Keyring, layout::Layout, root_key::RootKey,
    store::Store, turns::KeyTurn,
};

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    Len(u64),
    Sync,
    /// Everything so far was acknowledged to the caller.
    Acknowledged,
}

#[derive(Debug, Default)]
struct Disk {
    content: Vec<u8>,
    steps: Vec<Step>,
    /// How many more calls go well; none are limited while absent.
    healthy: Option<u32>,
}

#[derive(Debug, Clone)]
struct Handle(Arc<Mutex<Disk>>);

impl Handle {
    fn new(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            content,
            ..Disk::default()
        })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Disk) -> T) -> io::Result<T> {
        let mut disk = self.0.lock().unwrap();
        match &mut disk.healthy {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(act(&mut disk))
    }
}

fn apply(content: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write(offset, data) => {
            let end = *offset as usize + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset as usize..end].copy_from_slice(data);
        }
        Step::Len(len) => content.resize(*len as usize, 0),
        Step::Sync | Step::Acknowledged => {}
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with(|disk| disk.content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|disk| out.copy_from_slice(&disk.content[offset as usize..][..out.len()]))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Step::Len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Step::Write(offset, data.to_vec()))
    }
}

impl Handle {
    fn step(&self, step: Step) -> io::Result<()> {
        self.with(|disk| {
            apply(&mut disk.content, &step);
            disk.steps.push(step);
        })
    }
}

fn connection() -> Connection {
    Connection {
        id: ConnectionId::from_random([1; 10]),
        name: "photos".parse().unwrap(),
        provider: ProviderKind::Local,
        buckets: vec!["photos".parse().unwrap()].try_into().unwrap(),
        location: Location::Folder {
            path: "/srv/photos".into(),
        },
        identities: Default::default(),
        created_at: Timestamp::UNIX_EPOCH,
        credentials_generation: 1,
        credentials_changed_at: Timestamp::UNIX_EPOCH,
        limits: Default::default(),
        paused_at: None,
        card_exported_at: None,
    }
}

fn entry(n: u8) -> audit::Entry {
    let connection = connection().id;
    let change = Change::KeyIssued {
        connection,
        key: KeyId::from_random([n; 10]),
    };
    audit::Entry {
        at: Timestamp::UNIX_EPOCH,
        by: None,
        change,
        details: None,
    }
}

fn key(n: u8) -> Key {
    Key {
        id: KeyId::from_random([n; 10]),
        access_key_id: AccessKeyId::issue([n; 15]),
        connection: connection().id,
        kind: KeyKind::Gateway,
        origin: Origin::Issued,
        label: "rclone".parse().unwrap(),
        permission: Permission::Read,
        scope: Scope::default(),
        expires_at: None,
        state: KeyState::Active,
        generation: 1,
        predecessor: None,
        successor: None,
        issued_at: Timestamp::UNIX_EPOCH,
    }
}

const CHANGES: u8 = 8;

/// Change `n` adds a key; every second one buries the key of the change before.
fn change(store: &Store, n: u8) -> Result<(), StoreError> {
    if n.is_multiple_of(2) {
        return store.add_key(&key(n), &SecretKey::parse("secret").unwrap(), &entry(n));
    }
    let key = key(n - 1);
    let tombstone = Tombstone {
        key: key.id,
        masked: key.access_key_id.masked(),
        label: key.label.clone(),
        connection: key.connection,
        connection_name: connection().name,
        died_at: Timestamp::UNIX_EPOCH,
        cause: CauseOfDeath::Revoked,
    };
    store.turn_keys(&KeyTurn::death(key, tombstone), &entry(n))
}

/// How many changes the store holds; that they are the first ones, whole, is checked.
fn changes_in(store: &Store) -> u8 {
    let image = store.load().unwrap();
    let audit = store.audit(0, 100).unwrap();
    let done = audit.len() as u8 - 1;
    let told = audit[1..].iter().map(|(_, told)| &told.change);
    assert!(
        told.eq((0..done)
            .map(|n| entry(n).change)
            .collect::<Vec<_>>()
            .iter())
    );
    let living: Vec<_> = image.keys.iter().map(|(key, _)| key.id).collect();
    let expected = if done % 2 == 1 {
        vec![key(done - 1).id]
    } else {
        vec![]
    };
    assert_eq!(living, expected, "after {done} changes");
    assert_eq!(image.graves.len(), usize::from(done / 2));
    done
}

struct Place {
    _temp: tempfile::TempDir,
    folder: PathBuf,
    start: Vec<u8>,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("state");
        let store = Store::open_or_create(&folder).unwrap();
        let credentials = Credentials {
            access_key_id: "UPSTREAM".parse().unwrap(),
            secret: SecretKey::parse("secret").unwrap(),
        };
        store
            .add_connection(&connection(), &credentials, &entry(255))
            .unwrap();
        drop(store);
        let start = fs::read(folder.join("store.redb")).unwrap();
        Self {
            _temp: temp,
            folder,
            start,
        }
    }

    /// The same store on the model of a disk.
    fn on(&self, disk: &Handle) -> Store {
        let layout = Layout::new(&self.folder);
        let root = RootKey::parse(&fs::read(layout.root_key()).unwrap()).unwrap();
        let rows = Rows::on(disk.clone());
        let mut keyring = None;
        rows.read(|view| {
            keyring = Some(Keyring::read(view, &root, &layout).unwrap());
            Ok(())
        })
        .unwrap();
        Store {
            layout,
            root,
            rows,
            keyring: keyring.unwrap(),
            anchor: std::sync::Mutex::default(),
            observer: std::sync::OnceLock::new(),
            scratch: crate::scratch::Scratch::default(),
        }
    }

    /// Starts again from what the disk holds.
    fn restart(&self, content: &[u8]) -> Store {
        write(&self.folder.join("store.redb"), content);
        Store::open_or_create(&self.folder).unwrap()
    }
}

fn write(path: &Path, content: &[u8]) {
    // Overwrites in place, so that the mode stays.
    fs::write(path, content).unwrap();
}

#[test]
fn g4_g5_whichever_call_of_the_disk_fails_the_answer_is_true_and_nothing_more_is_taken() {
    let place = Place::new();
    let (mut unknown, mut refused) = (0, 0);
    for healthy in 0.. {
        let disk = Handle::new(place.start.clone());
        let store = place.on(&disk);
        disk.0.lock().unwrap().healthy = Some(healthy);
        let mut acknowledged = 0;
        let mut error = None;
        while acknowledged < 2 && error.is_none() {
            match change(&store, acknowledged) {
                Ok(()) => acknowledged += 1,
                Err(failure) => error = Some(failure),
            }
        }
        if error.is_some() {
            disk.0.lock().unwrap().healthy = None;
            assert!(
                matches!(change(&store, 7), Err(StoreError::Unusable)),
                "after {healthy}"
            );
            assert!(matches!(store.load(), Err(StoreError::Unusable)));
        }
        drop(store);
        let content = disk.0.lock().unwrap().content.clone();
        let found = changes_in(&place.restart(&content));
        match error {
            None => {
                assert_eq!(found, 2);
                break;
            }
            Some(StoreError::CommitUnknown(_)) => {
                unknown += 1;
                assert!(found == acknowledged || found == acknowledged + 1);
            }
            Some(StoreError::Failed(_)) => {
                refused += 1;
                assert_eq!(
                    found, acknowledged,
                    "a refused change was stored, after {healthy}"
                );
            }
            Some(error) => panic!("after {healthy}: {error}"),
        }
    }
    assert!(unknown > 0, "no failure hit a commit");
    assert!(refused + unknown > 4, "{refused} {unknown}");
}

struct Dice(u64);

impl Dice {
    /// xorshift64.
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What a power cut can leave of writes that no sync covered: any of them, some of them torn.
fn image(durable: &[u8], pending: &[Step], dice: &mut Dice) -> Vec<u8> {
    let mut content = durable.to_vec();
    for step in pending {
        match (dice.throw(3), step) {
            (0, _) => {}
            (1, Step::Write(offset, data)) if data.len() > 512 => {
                let kept =
                    512 * (1 + dice.throw(data.len() as u64 / 512) as usize).min(data.len() / 512);
                apply(&mut content, &Step::Write(*offset, data[..kept].to_vec()));
            }
            (_, step) => apply(&mut content, step),
        }
    }
    content
}

/// Cuts the power after every step and counts the images, and those that lost something that was
/// acknowledged or can't be opened. With `lying` the disk ignores every sync.
fn cut_everywhere(lying: bool) -> (u32, u32) {
    let place = Place::new();
    let disk = Handle::new(place.start.clone());
    let store = place.on(&disk);
    disk.0.lock().unwrap().steps.clear();
    let mut durable = disk.0.lock().unwrap().content.clone();
    for n in 0..CHANGES {
        change(&store, n).unwrap();
        disk.step(Step::Acknowledged).unwrap();
    }
    let steps = disk.0.lock().unwrap().steps.clone();
    drop(store);

    let (mut images, mut lost) = (0, 0);
    let mut pending = Vec::new();
    let mut acknowledged = 0;
    let mut dice = Dice(0x5EED);
    for step in &steps {
        match step {
            Step::Sync | Step::Acknowledged => {
                for _ in 0..4 {
                    images += 1;
                    let content = image(&durable, &pending, &mut dice);
                    write(&place.folder.join("store.redb"), &content);
                    let found =
                        Store::open_or_create(&place.folder).map(|store| changes_in(&store));
                    if found.is_err() || found.is_ok_and(|found| found < acknowledged) {
                        lost += 1;
                    }
                }
            }
            Step::Write(..) | Step::Len(_) => pending.push(step.clone()),
        }
        match step {
            Step::Sync if !lying => pending
                .drain(..)
                .for_each(|step| apply(&mut durable, &step)),
            Step::Acknowledged => acknowledged += 1,
            _ => {}
        }
    }
    assert_eq!(acknowledged, CHANGES);
    (images, lost)
}

#[test]
fn g2_a_power_cut_at_any_sync_loses_nothing_acknowledged() {
    let (images, lost) = cut_everywhere(false);
    assert!(images >= 60, "{images}");
    assert_eq!(lost, 0, "of {images} images");
}

#[test]
fn g2_a_disk_that_lies_about_syncs_is_caught_by_the_same_test() {
    let (images, lost) = cut_everywhere(true);
    assert!(lost > 0, "of {images} images");
}
