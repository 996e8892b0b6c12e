//! What is missing, cut, altered or foreign is refused and left alone (threats.md D7, G7, G8).

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use bascule_os::PathError;
use bascule_store::{Mend, OpenError, Store};
use fixture::*;

/// Opens, expects a refusal, and expects every file to be as before.
fn refused(folder: &Folder) -> OpenError {
    let before = folder.content();
    let error = Store::open_or_create(&folder.path).unwrap_err();
    assert!(
        folder.content() == before,
        "a refusal changed a file: {error}"
    );
    error
}

fn closed(n: u8) -> Folder {
    let folder = folder();
    drop(filled(&folder, n));
    folder
}

#[test]
fn d7_without_its_root_key_a_store_is_refused_never_replaced() {
    let folder = closed(1);
    fs::remove_file(folder.file("root.key")).unwrap();
    let error = refused(&folder);
    assert!(matches!(error, OpenError::RootKeyMissing { .. }), "{error}");
    assert!(error.to_string().contains("root.key"), "{error}");
    assert_eq!(error.mend(), Mend::CopyOrReset);

    fs::remove_file(folder.file("store.redb")).unwrap();
    let error = refused(&folder);
    assert!(
        matches!(error, OpenError::StoreMissing { .. }),
        "connection keys alone: {error}"
    );
}

#[test]
fn d7_a_root_key_that_is_cut_zeroed_longer_or_altered_is_refused() {
    let folder = closed(1);
    let path = folder.file("root.key");
    let whole = fs::read(&path).unwrap();
    let mut altered = whole.clone();
    altered[30] ^= 1;
    let longer = [&whole[..], b"x"].concat();
    for content in [
        &[][..],
        &whole[..40],
        &vec![0; whole.len()],
        &altered,
        &longer,
    ] {
        fs::write(&path, content).unwrap();
        let error = refused(&folder);
        assert!(matches!(error, OpenError::RootKeyDamaged { .. }), "{error}");
        assert_eq!(error.mend(), Mend::CopyOrReset);
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(folder.open().load().unwrap().keys.len(), 1);
}

#[test]
fn d7_the_root_key_of_another_store_is_refused() {
    let (folder, other) = (closed(1), closed(2));
    fs::copy(other.file("root.key"), folder.file("root.key")).unwrap();
    let error = refused(&folder);
    assert!(
        matches!(error, OpenError::RootKeyOfAnotherStore { .. }),
        "{error}"
    );
    assert_eq!(error.mend(), Mend::CopyOrReset);
}

#[test]
fn d7_a_missing_store_is_refused() {
    let folder = closed(1);
    fs::remove_file(folder.file("store.redb")).unwrap();
    let error = refused(&folder);
    assert!(matches!(error, OpenError::StoreMissing { .. }), "{error}");
}

#[test]
fn g7_a_store_that_is_cut_altered_longer_or_foreign_is_refused_never_empty() {
    let folder = closed(1);
    let path = folder.file("store.redb");
    let whole = fs::read(&path).unwrap();
    for len in [
        0,
        1,
        63,
        64,
        512,
        4096,
        8192,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        fs::write(&path, &whole[..len]).unwrap();
        let error = refused(&folder);
        assert!(
            matches!(error, OpenError::StoreDamaged { .. }),
            "cut at {len}: {error}"
        );
    }
    for content in [vec![0; whole.len()], b"SQLite format 3\0".repeat(1000)] {
        fs::write(&path, content).unwrap();
        assert!(matches!(refused(&folder), OpenError::StoreDamaged { .. }));
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(folder.open().load().unwrap().keys.len(), 1);
}

/// Wherever a byte is altered, the store is refused or holds exactly what it held.
#[test]
fn g7_a_flipped_byte_anywhere_never_loses_a_record_silently() {
    let folder = closed(1);
    let path = folder.file("store.redb");
    let whole = fs::read(&path).unwrap();
    let used: Vec<_> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let mut refusals = 0;
    // The header byte by byte, of the rest every 97th byte that is in use.
    for &at in used
        .iter()
        .filter(|&&at| at < 320)
        .chain(used.iter().filter(|&&at| at >= 320).step_by(97))
    {
        let mut altered = whole.clone();
        altered[at] ^= 0x10;
        fs::write(&path, &altered).unwrap();
        match Store::open_or_create(&folder.path) {
            Err(error) => {
                assert!(
                    !matches!(error, OpenError::RootKeyMissing { .. }),
                    "{error}"
                );
                assert!(
                    fs::read(&path).unwrap() == altered,
                    "a refusal changed the file, byte {at}"
                );
                refusals += 1;
            }
            Ok(store) => match store.load() {
                Err(_) => refusals += 1,
                Ok(image) => {
                    assert_eq!(
                        (image.connections.len(), image.keys.len()),
                        (1, 1),
                        "byte {at}"
                    );
                    assert_eq!(audit(&store).len(), 2, "byte {at}");
                }
            },
        }
    }
    assert!(
        refusals > 10,
        "the flips did not reach anything: {refusals}"
    );
    fs::write(&path, whole).unwrap();
    assert_eq!(folder.open().load().unwrap().keys.len(), 1);
}

#[test]
fn g7_bytes_behind_the_end_never_empty_the_store() {
    let folder = closed(1);
    let path = folder.file("store.redb");
    let mut content = fs::read(&path).unwrap();
    content.extend_from_slice(&[0xAB; 10_000]);
    fs::write(&path, content).unwrap();
    match Store::open_or_create(&folder.path) {
        Ok(store) => assert_eq!(store.load().unwrap().keys.len(), 1),
        Err(error) => assert!(matches!(error, OpenError::StoreDamaged { .. }), "{error}"),
    }
}

#[test]
fn a_whole_database_that_is_not_ours_is_refused() {
    let folder = closed(1);
    let path = folder.file("store.redb");
    fs::remove_file(&path).unwrap();
    drop(redb::Database::create(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let error = refused(&folder);
    assert!(matches!(error, OpenError::StoreDamaged { .. }), "{error}");
}

#[test]
fn g8_a_store_of_a_later_version_is_refused_with_advice() {
    let folder = closed(1);
    alter_row(&folder, "meta", |_, value| value[0] = 2);
    let error = refused(&folder);
    assert!(
        matches!(
            error,
            OpenError::TooNew {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    assert!(
        !error.to_string().contains("reset"),
        "nothing is lost: {error}"
    );
}

fn alter_row(folder: &Folder, table: &str, change: impl Fn(&[u8], &mut Vec<u8>)) {
    use redb::ReadableTable;
    let db = redb::Database::open(folder.file("store.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    {
        let definition: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new(table);
        let mut table = transaction.open_table(definition).unwrap();
        let rows: Vec<_> = table
            .iter()
            .unwrap()
            .map(|row| {
                row.map(|(id, value)| (id.value().to_vec(), value.value().to_vec()))
                    .unwrap()
            })
            .collect();
        for (id, mut value) in rows {
            change(&id, &mut value);
            table.insert(&id[..], &value[..]).unwrap();
        }
    }
    transaction.commit().unwrap();
}

#[test]
fn a_missing_or_altered_connection_key_is_refused_by_name() {
    let folder = closed(1);
    let path = folder.key_files().pop().unwrap();
    let whole = fs::read(&path).unwrap();
    for content in [&whole[..20], &vec![0; whole.len()]] {
        fs::write(&path, content).unwrap();
        let error = refused(&folder);
        assert!(
            matches!(error, OpenError::ConnectionKeyDamaged { .. }),
            "{error}"
        );
    }
    fs::remove_file(&path).unwrap();
    let error = refused(&folder);
    assert!(
        matches!(error, OpenError::ConnectionKeyMissing { .. }),
        "{error}"
    );
    assert!(error.to_string().contains(&path.display().to_string()));
}

#[test]
fn d12_files_and_folders_that_others_can_reach_are_refused() {
    let folder = closed(1);
    let key_file = folder.key_files().pop().unwrap();
    let wider = |path: PathBuf, mode: u32, right: u32| {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = refused(&folder);
        assert!(
            matches!(&error, OpenError::Path(PathError::TooOpen { path: named, .. }) if *named == path),
            "{}: {error}",
            path.display()
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(right)).unwrap();
    };
    for name in ["root.key", "store.redb"] {
        wider(folder.file(name), 0o640, 0o600);
    }
    wider(key_file, 0o604, 0o600);
    for name in ["keys", "manifests", ""] {
        wider(folder.file(name).components().collect(), 0o750, 0o700);
    }
    assert_eq!(folder.open().load().unwrap().keys.len(), 1);
}

#[test]
fn a_symbolic_link_in_place_of_a_file_is_refused() {
    let folder = closed(1);
    for name in ["root.key", "store.redb"] {
        let moved = folder.file("moved");
        fs::rename(folder.file(name), &moved).unwrap();
        symlink(&moved, folder.file(name)).unwrap();
        let error = refused(&folder);
        assert!(
            matches!(error, OpenError::Path(PathError::Symlink { .. })),
            "{name}: {error}"
        );
        fs::rename(&moved, folder.file(name)).unwrap();
    }
}

#[test]
fn a_creation_that_was_cut_off_is_finished_or_begun_again() {
    // Before either file had its name.
    let folder = folder();
    drop(folder.open());
    fs::rename(folder.file("root.key"), folder.file("root.key.pending")).unwrap();
    fs::rename(folder.file("store.redb"), folder.file("store.redb.pending")).unwrap();
    fs::write(folder.file("store.redb.pending"), "half").unwrap();
    drop(folder.open());
    assert!(
        !folder.file("store.redb.pending").exists() && !folder.file("root.key.pending").exists()
    );

    // Between the two names: nothing is lost by finishing it, because it opens the store.
    fs::rename(folder.file("root.key"), folder.file("root.key.pending")).unwrap();
    let content = fs::read(folder.file("root.key.pending")).unwrap();
    drop(folder.open());
    assert!(fs::read(folder.file("root.key")).unwrap() == content);

    // A pending root key that does not open the store is no way in.
    let other = closed(2);
    fs::remove_file(folder.file("root.key")).unwrap();
    fs::copy(other.file("root.key"), folder.file("root.key.pending")).unwrap();
    let error = refused(&folder);
    assert!(matches!(error, OpenError::RootKeyMissing { .. }), "{error}");
}
