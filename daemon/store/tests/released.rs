//! State folders as released versions have left them, which every later version must open and read in
//! full; and folders of later versions, which are refused without a change (threats.md G8).
//!
//! `released/FORMAT` holds one for each format of the store. It is made by the version that brings the
//! format, once, and never again:
//!
//! ```sh
//! cargo test -p bascule-store --test released -- --ignored --exact make_the_folder_of_this_format
//! ```

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use std::{
    fs::{self, Permissions},
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bascule_domain::{
    Timestamp,
    adoption::State,
    audit::Change,
    deletion::Phase,
    key::{KeyState, Permission},
    provider::ProviderKind,
    tombstone::CauseOfDeath,
    verdict::Verdict,
};
use bascule_store::{
    OpenError, Store,
    ledger::{By, Ledger, LedgerSettings, Peer, Process, Query, What},
};
use fixture::{lives::STEPS, *};
use redb::{ReadableDatabase, ReadableTable};

/// The format that this version writes.
const NOW: &str = "1";
/// In the lives of two connections: the first is erased, and the second is half way through its
/// deletion, with one living key.
const STEPS_TAKEN: u32 = STEPS + 9;
const USED: i64 = 1_782_900_000_000;

fn folder_of(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/released")
        .join(format)
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap()
}

fn ledger(store: &Arc<Store>) -> Ledger {
    let settings = LedgerSettings {
        keep: Duration::from_secs(4_000 * 86_400),
        delay: Duration::from_secs(3_600),
        queue: 64,
        now: Arc::new(|| time(USED + 60_000)),
        observer: None,
    };
    Ledger::open(Arc::clone(store), settings).unwrap()
}

#[test]
#[ignore = "makes what the others read, for a format that has none yet"]
fn make_the_folder_of_this_format() {
    let target = folder_of(NOW);
    assert!(!target.exists(), "a released format is never made again");
    let folder = folder();
    let store = Arc::new(folder.open());
    for done in 0..STEPS_TAKEN {
        lives::step(&store, done).unwrap();
    }
    store.set_gateway_port(8_642).unwrap();
    let image = store.load().unwrap();
    let (key, _) = &image.keys[0];
    let ledger = ledger(&store);
    let peer = Arc::new(Peer::default());
    peer.ask();
    peer.found(Some(Process {
        pid: 7,
        exe: Some("/usr/bin/rclone".into()),
        command: Some("rclone sync".into()),
        unit: Some("backup.service".into()),
        container: None,
    }));
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let tally = ledger.tally(key.id, key.connection, peer, here, b"rclone/v1.70");
    tally.used(time(USED));
    tally.count(time(USED), What::Did("GetObject"));
    tally.moved(time(USED), What::Did("GetObject"), 3, 4_096);
    drop(tally);
    ledger.close();
    drop((ledger, store));
    copy(&folder.path, &target);
}

/// Copies a state folder, for nobody but the user.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, Permissions::from_mode(0o700)).unwrap();
    for path in list(from) {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
            fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// A copy of what a released version has left.
fn released(format: &str) -> Folder {
    let folder = folder();
    copy(&folder_of(format), &folder.path);
    folder
}

#[test]
fn g8_a_store_of_format_1_is_opened_and_everything_in_it_is_read() {
    let folder = released("1");
    let store = Arc::new(folder.open());
    let image = store.load().unwrap();

    let [(connection, credentials)] = &image.connections[..] else {
        panic!("{:?}", image.connections)
    };
    assert_eq!(connection.name.to_string(), "connection-1");
    assert_eq!(connection.provider, ProviderKind::Minio);
    assert_eq!(connection.buckets.first().as_str(), "marker-bucket");
    assert!(format!("{:?}", connection.location).contains("marker-endpoint.example"));
    assert_eq!(connection.credentials_generation, 1);
    assert_eq!(credentials.access_key_id.as_str(), "MARKERUPSTREAMID");
    assert_eq!(credentials.secret.expose(), "MarkerUpstreamSecret");

    let [(key, secret)] = &image.keys[..] else {
        panic!("{:?}", image.keys)
    };
    assert_eq!(key.connection, connection.id);
    assert_eq!(key.label.to_string(), "rclone");
    assert_eq!(
        (key.permission, key.state),
        (Permission::ReadWrite, KeyState::Active)
    );
    assert_eq!(secret.expose(), "MarkerIssuedSecret");

    // Two of the first connection's, one of the second's, and each is found by its key's id.
    assert_eq!(image.graves.len(), 3);
    for (_, tombstone) in &image.graves {
        assert_eq!(tombstone.cause, CauseOfDeath::Revoked);
        assert_eq!(tombstone.label.to_string(), "rclone");
    }
    let dead = lives::access_key_id(1, 1);
    let hash = store.hash(&dead);
    assert!(
        image.graves.iter().any(|(grave, _)| *grave == hash),
        "{dead}"
    );

    let phases: Vec<_> = image
        .deletions
        .iter()
        .map(|(deletion, _)| deletion.phase)
        .collect();
    assert_eq!(phases, [Phase::Finished, Phase::Surveyed]);
    let receipts = store.receipts().unwrap();
    assert_eq!(receipts.len(), 1);
    assert_eq!(receipts[0].verdict, Verdict::Intact);
    assert_eq!(store.gateway_port().unwrap(), Some(8_642));

    let audit = audit(&store);
    assert_eq!(audit.len(), STEPS_TAKEN as usize);
    assert!(matches!(audit[0].change, Change::Connected { .. }));
    assert_eq!(audit[0].details, None, "erased with its connection");
    let details = audit[STEPS as usize].details.as_ref().unwrap();
    assert_eq!(
        details.connection.as_ref().unwrap().to_string(),
        "marker-audit-name"
    );

    let adoptions = store.adoptions().unwrap();
    let states: Vec<_> = adoptions.iter().map(|adoption| adoption.state).collect();
    assert_eq!(states, [State::Adopted; 2]);
    let kept = adoptions
        .iter()
        .find(|adoption| adoption.connection == connection.id);
    assert_eq!(store.originals(kept.unwrap()).unwrap(), Some(originals()));

    let ledger = ledger(&store);
    assert_eq!(ledger.last_uses().unwrap(), [(key.id, time(USED))]);
    let report = ledger
        .report(Query {
            keys: vec![(key.id, connection.id, Timestamp::UNIX_EPOCH)],
            from: time(USED - 3_600_000),
            to: time(USED + 3_600_000),
            by: By::Process,
            cells: 10,
        })
        .unwrap();
    let [row] = &report.rows[..] else {
        panic!("{:?}", report.rows)
    };
    assert_eq!(
        row.operations,
        [("GetObject".to_owned(), (1, 3, 4_096))].into()
    );
    assert!(format!("{:?}", row.group).contains("backup.service"));
    assert!(!folder.file("ledger.sqlite.aside-1").exists());

    // And it is taken from there: the deletion goes on to its end.
    ledger.close();
    for done in STEPS_TAKEN..2 * STEPS {
        lives::step(&store, done).unwrap();
    }
    assert_eq!(lives::done(&store), 2 * STEPS);
}

/// There is a folder for each format, and for no other.
#[test]
fn g8_every_format_of_the_store_has_a_folder() {
    let mut formats: Vec<_> = list(&folder_of(""))
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    formats.sort_by_key(|format| format.parse::<u8>().unwrap());
    let now: u8 = NOW.parse().unwrap();
    let all: Vec<_> = (1..=now).map(|format| format.to_string()).collect();
    assert_eq!(formats, all);
    // It is what this version writes.
    let folder = folder();
    drop(folder.open());
    assert_eq!(format_in(&folder), now);
}

fn format_in(folder: &Folder) -> u8 {
    let db = redb::Database::open(folder.file("store.redb")).unwrap();
    let transaction = db.begin_read().unwrap();
    let meta: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("meta");
    let meta = transaction.open_table(meta).unwrap();
    meta.get(&b"identity"[..]).unwrap().unwrap().value()[0]
}

/// Opens, expects the refusal of a later version's file, and expects every file to be as before.
fn refused(folder: &Folder, file: &str, format: u32) {
    let before = folder.content();
    let error = Store::open_or_create(&folder.path).unwrap_err();
    assert!(
        folder.content() == before,
        "{file}: a refusal changed a file"
    );
    let OpenError::TooNew { path, found, known } = &error else {
        panic!("{file}: {error}")
    };
    assert_eq!(
        (path.as_path(), *found, *known),
        (folder.file(file).as_path(), format, 1)
    );
    let text = error.to_string();
    for part in [
        file,
        &format!("format {format}"),
        env!("CARGO_PKG_VERSION"),
        "nothing was changed",
        "install the newer version",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("reset"), "nothing is lost: {text}");
}

#[test]
fn g8_a_later_store_root_key_or_ledger_is_refused_by_name_and_nothing_is_changed() {
    let folder = released(NOW);
    alter(&folder.file("store.redb"), |transaction| {
        let meta: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("meta");
        let mut meta = transaction.open_table(meta).unwrap();
        let mut identity = meta
            .get(&b"identity"[..])
            .unwrap()
            .unwrap()
            .value()
            .to_vec();
        identity[0] = 2;
        meta.insert(&b"identity"[..], &identity[..]).unwrap();
        // What comes with it may look quite different.
        let keys: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("keys");
        transaction.delete_table(keys).unwrap();
    });
    refused(&folder, "store.redb", 2);

    let folder = released(NOW);
    let path = folder.file("root.key");
    let mut file = fs::read(&path).unwrap();
    file[7] = 3;
    file.extend([0; 100]);
    fs::write(&path, file).unwrap();
    refused(&folder, "root.key", 3);

    let folder = released(NOW);
    let path = folder.file("ledger.sqlite");
    let mut file = fs::read(&path).unwrap();
    file[60..64].copy_from_slice(&9_u32.to_be_bytes());
    fs::write(&path, file).unwrap();
    refused(&folder, "ledger.sqlite", 9);
}

fn alter(path: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = redb::Database::open(path).unwrap();
    let transaction = db.begin_write().unwrap();
    change(&transaction);
    transaction.commit().unwrap();
}
