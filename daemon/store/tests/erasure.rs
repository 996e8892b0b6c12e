//! Erasure: once the key file is gone, nothing of the connection opens, in no copy of the store.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use std::fs;

use bascule_domain::{
    adoption::State,
    deletion::Phase,
    manifest::{Entry, Stretch},
    survey::Round,
};
use bascule_store::{OpenError, RootKeyPlaces, Store};
use fixture::*;

fn with_manifest(store: &Store, connection: &bascule_domain::connection::Connection) {
    let id = deletion(connection, Phase::Requested).id;
    let writer = |round| {
        store
            .manifest_writer(connection.id, id, connection.buckets.first(), round)
            .unwrap()
    };
    let entry = Entry::object("MarkerIssuedSecret".parse().unwrap(), 1, "e".into());
    keep_manifest(writer(Round::Before), [vec![entry.clone()]]);
    let mut unfinished = writer(Round::After);
    unfinished.begin(b"MarkerIssuedSecret").unwrap();
    let stretch = Stretch {
        entries: vec![entry],
        ..Stretch::default()
    };
    unfinished.push(&stretch).unwrap();
}

#[test]
fn d1_no_marker_is_ever_on_the_disk() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    adopt(&store, &key, &connection, &[State::Adopted]);
    for phase in [Phase::Surveyed, Phase::Finished] {
        if phase == Phase::Surveyed {
            advance(&store, &connection, &[&key], phase);
            with_manifest(&store, &connection);
        } else {
            let findings = bascule_domain::deletion::Findings::default();
            let revoked = deletion(&connection, Phase::Revoked);
            let dead = [(key.clone(), tombstone(&key, &connection))];
            store
                .revoke_connection(&revoked, &findings, &dead, &reached(&revoked))
                .unwrap();
            let judged = deletion(&connection, Phase::Judged);
            store
                .judge_deletion(&judged, &findings, &receipt(&judged), &reached(&judged))
                .unwrap();
            store.erase_connection(connection.id).unwrap();
            let finished = deletion(&connection, Phase::Finished);
            store
                .finish_deletion(&finished, &receipt(&finished), &reached(&finished))
                .unwrap();
        }
        for (path, content) in folder.content() {
            for marker in MARKERS
                .iter()
                .copied()
                .chain([key.access_key_id.as_str(), connection.name.as_str()])
            {
                assert!(
                    !holds(&content, marker),
                    "{phase:?}: {marker} in {}",
                    path.display()
                );
            }
        }
    }
    assert!(folder.key_files().is_empty());
    assert!(list(&folder.file("manifests")).is_empty());
}

#[test]
fn the_audit_of_an_erased_connection_keeps_ids_and_loses_what_names_it() {
    let folder = folder();
    let (mut store, connection, key) = filled(&folder, 1);
    let (other, _) = add(&store, 2);
    let before = audit(&store);
    assert!(before.iter().all(|entry| entry.details.is_some()));
    advance(&store, &connection, &[&key], Phase::Finished);
    for reopened in [false, true] {
        if reopened {
            drop(store);
            store = folder.open();
        }
        let after = audit(&store);
        assert!(after.len() > before.len());
        for (number, entry) in after.iter().enumerate() {
            let erased = entry.change.connection() == Some(connection.id);
            assert_eq!(entry.details.is_none(), erased, "{entry:?}");
            if let Some(before) = before.get(number) {
                assert_eq!((&before.change, before.at), (&entry.change, entry.at));
            }
        }
        assert!(
            after
                .iter()
                .any(|entry| entry.change.connection() == Some(other.id))
        );
        if !reopened {
            continue;
        }
        // Page by page it is the same.
        let mut paged = Vec::new();
        while let Some((number, entry)) = store.audit(paged.len() as u64, 1).unwrap().pop() {
            assert_eq!(number, paged.len() as u64 + 1);
            paged.push(entry);
        }
        assert_eq!(paged, after);
    }
}

#[test]
fn d2_g10_a_copy_of_the_database_from_before_opens_nothing_with_the_keys_of_after() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    let (other, other_key) = add(&store, 2);
    drop(store);
    let before = fs::read(folder.file("store.redb")).unwrap();

    let store = folder.open();
    advance(&store, &connection, &[&key], Phase::Finished);
    drop(store);
    let image = folder.open().load().unwrap();
    assert_eq!(image.connections[0].0.id, other.id);
    assert_eq!(image.keys[0].0.id, other_key.id);

    // G10: the old copy does not bring it back either, it is refused.
    fs::write(folder.file("store.redb"), before).unwrap();
    let error = Store::open_or_create(&folder.path).unwrap_err();
    assert!(
        matches!(&error, OpenError::ConnectionKeyMissing { connection: missing, .. } if *missing == connection.id),
        "{error}"
    );

    // With another connection's key in its place, it opens as little.
    let name = folder.key_files().pop().unwrap();
    let OpenError::ConnectionKeyMissing { path, .. } = error else {
        unreachable!()
    };
    fs::copy(name, path).unwrap();
    let error = Store::open_or_create(&folder.path).unwrap_err();
    assert!(
        matches!(error, OpenError::ConnectionKeyDamaged { .. }),
        "{error}"
    );
}

#[test]
fn d3_an_erasure_that_was_cut_off_anywhere_is_finished_by_repeating_it() {
    // The key is removed, or overwritten and not removed yet.
    for overwritten_only in [false, true] {
        let folder = folder();
        let (store, connection, key) = filled(&folder, 1);
        let (_, other) = add(&store, 2);
        let kept = folder.key_files();
        advance(&store, &connection, &[&key], Phase::Judged);
        store.erase_connection(connection.id).unwrap();
        let after = folder.key_files();
        let erased: Vec<_> = kept
            .iter()
            .filter(|file| !after.contains(file))
            .cloned()
            .collect();
        assert_eq!(erased.len(), 1, "only this connection's key file goes");
        if overwritten_only {
            bascule_os::write_private(&erased[0], &[0; 69]).unwrap();
        }
        drop(store);

        let store = folder.open();
        let image = store.load().unwrap();
        assert_eq!(image.connections.len(), 1);
        assert_eq!(image.keys[0].0.id, other.id);
        assert_eq!(image.deletions[0].0.phase, Phase::Judged);
        assert_eq!(image.deletions[0].1, None);
        store.erase_connection(connection.id).unwrap();
        store.erase_connection(connection.id).unwrap();
        assert!(!erased[0].exists());
        let finished = deletion(&connection, Phase::Finished);
        store
            .finish_deletion(&finished, &receipt(&finished), &reached(&finished))
            .unwrap();
        store
            .finish_deletion(&finished, &receipt(&finished), &reached(&finished))
            .unwrap();
        store.erase_connection(connection.id).unwrap();
        drop(store);
        let store = folder.open();
        assert_eq!(store.load().unwrap().connections.len(), 1);
        assert_eq!(store.receipts().unwrap(), [receipt(&finished)]);
    }
}

#[test]
fn manifests_that_nothing_names_are_removed_when_the_store_is_opened_and_keys_are_not() {
    let folder = folder();
    let (store, connection, _) = filled(&folder, 1);
    advance(&store, &connection, &[], Phase::Surveyed);
    with_manifest(&store, &connection);
    drop(store);
    // A finished one, and one that is gone on with.
    let needed = list(&folder.file("manifests"));
    assert_eq!(needed.len(), 2);
    let gone = "07".repeat(10);
    let bucket = "ef".repeat(16);
    let stray = folder.file(&format!("manifests/{gone}.{gone}.{bucket}"));
    let unfinished = stray.with_extension(format!("{bucket}.new"));
    // Its connection may be in a newer copy of the database than this one.
    let unknown_key = folder.file(&format!("keys/{}", "ab".repeat(16)));
    for path in [&stray, &unfinished, &unknown_key] {
        bascule_os::write_private(path, b"left behind").unwrap();
    }
    let store = folder.open();
    assert!(!stray.exists() && !unfinished.exists());
    assert!(needed.iter().all(|path| path.exists()) && unknown_key.exists());
    assert_eq!(store.load().unwrap().connections.len(), 1);
}

#[test]
fn a_reset_destroys_what_the_store_wrote_and_nothing_else() {
    let folder = folder();
    let (store, connection, _) = filled(&folder, 1);
    advance(&store, &connection, &[], Phase::Surveyed);
    with_manifest(&store, &connection);
    drop(store);
    let key_file = folder.key_files().pop().unwrap();
    let witness = folder.file("witness");
    fs::hard_link(&key_file, &witness).unwrap();
    let config = folder.file("config.toml");
    fs::write(&config, "mine").unwrap();

    Store::reset(&folder.path, &RootKeyPlaces::default()).unwrap();
    Store::reset(&folder.path, &RootKeyPlaces::default()).unwrap();
    assert_eq!(list(&folder.path), [config, witness.clone()]);
    assert!(
        fs::read(witness).unwrap().iter().all(|&byte| byte == 0),
        "overwritten first"
    );
    assert!(folder.open().load().unwrap().connections.is_empty());
}
