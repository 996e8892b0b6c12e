//! What is stored comes back after a restart, with its audit, and nothing else does.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use bascule_domain::{
    audit::Change,
    deletion::{Findings, Phase},
    key::KeyState,
    secret::{Credentials, SecretKey},
    survey::Round,
};
use bascule_store::{KeyTurn, SkippedPlaces, StoreError, Sweep, Sweeps};
use fixture::*;

#[test]
fn connections_keys_and_settings_come_back_after_a_restart() {
    let folder = folder();
    let (store, mut connection, mut key) = filled(&folder, 1);
    assert_eq!(store.gateway_port().unwrap(), None);
    store.set_gateway_port(8643).unwrap();

    connection.name = "renamed".parse().unwrap();
    connection.limits.requests = std::num::NonZeroU32::new(8);
    connection.limits.bandwidth = Some("10MiB".parse().unwrap());
    store
        .update_connection(&connection, &connected(&connection))
        .unwrap();
    key.state = KeyState::Paused;
    key.generation = 2;
    store.update_key(&key, &issued(&key)).unwrap();
    let fresh = Credentials {
        access_key_id: "ANOTHERID".parse().unwrap(),
        secret: SecretKey::parse("another-secret").unwrap(),
    };
    connection.credentials_generation = 2;
    store
        .replace_credentials(&connection, &fresh, &connected(&connection))
        .unwrap();
    drop(store);

    let store = folder.open();
    let image = store.load().unwrap();
    assert_eq!(image.connections, [(connection, fresh)]);
    assert_eq!(
        image.keys,
        [(key, fixture::key(1, &fixture::connection(1)).1)]
    );
    assert!(image.graves.is_empty() && image.deletions.is_empty());
    assert_eq!(store.gateway_port().unwrap(), Some(8643));
    assert_eq!(audit(&store).len(), 5);
}

#[test]
fn how_far_a_sweep_is_comes_back_with_what_it_found_and_stands_nowhere_in_plain() {
    use std::os::unix::ffi::OsStringExt;
    let folder = folder();
    let store = folder.open();
    assert_eq!(store.load().unwrap().sweeps, Sweeps::default());
    let open = Sweep {
        began_at: bascule_domain::Timestamp::UNIX_EPOCH,
        ended_at: None,
        roots: vec!["/home/somebody".into()],
        checkpoint: Some("/home/somebody:papers".into()),
        files: 3,
        bytes: 4,
        skipped: vec![SkippedPlaces {
            why: "may not be read".into(),
            count: 2,
            examples: vec!["/home/somebody/closed".into()],
        }],
    };
    let sweeps = Sweeps {
        last: None,
        open: Some(open),
    };
    let found: Vec<std::path::PathBuf> = vec![
        "/home/somebody/notes".into(),
        std::ffi::OsString::from_vec(b"/home/somebody/\xff".to_vec()).into(),
    ];
    store.keep_sweep(&sweeps, &found).unwrap();
    store.keep_sweep(&sweeps, &found[..1]).unwrap();
    drop(store);
    let store = folder.open();
    let image = store.load().unwrap();
    assert_eq!(image.sweeps, sweeps);
    let mut traces = image.traces;
    traces.sort();
    assert_eq!(traces, found);
    store.forget_traces(&found[..1]).unwrap();
    assert_eq!(store.load().unwrap().traces, found[1..]);
    drop(store);
    for (path, bytes) in folder.content() {
        assert!(!holds(&bytes, "somebody"), "{}", path.display());
    }
}

#[test]
fn the_audit_keeps_its_order_and_holds_exactly_what_was_stored() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    // Refused steps leave no entry.
    assert!(
        store
            .add_connection(&connection, &credentials(), &connected(&connection))
            .is_err()
    );
    let (same, secret) = fixture::key(1, &connection);
    assert!(store.add_key(&same, &secret, &issued(&same)).is_err());
    let early = deletion(&connection, Phase::Judged);
    assert!(
        store
            .judge_deletion(
                &early,
                &Findings::default(),
                &receipt(&early),
                &reached(&early)
            )
            .is_err()
    );

    let revoked = entry(Change::KeyRevoked {
        connection: connection.id,
        key: key.id,
    });
    store
        .turn_keys(
            &KeyTurn::death(key.clone(), tombstone(&key, &connection)),
            &revoked,
        )
        .unwrap();
    drop(store);
    let expected = [connected(&connection), issued(&key), revoked];
    assert_eq!(audit(&folder.open()), expected);
}

#[test]
fn a_buried_key_stays_dead_and_its_id_is_never_used_again() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    let buried = entry(Change::KeyRevoked {
        connection: connection.id,
        key: key.id,
    });
    store
        .turn_keys(
            &KeyTurn::death(key.clone(), tombstone(&key, &connection)),
            &buried,
        )
        .unwrap();

    assert!(matches!(
        store.update_key(&key, &issued(&key)),
        Err(StoreError::OutOfOrder(_))
    ));
    let (mut again, secret) = fixture::key(2, &connection);
    again.access_key_id = key.access_key_id.clone();
    assert!(matches!(
        store.add_key(&again, &secret, &issued(&again)),
        Err(StoreError::OutOfOrder(_))
    ));
    drop(store);

    let store = folder.open();
    let image = store.load().unwrap();
    assert!(image.keys.is_empty());
    assert_eq!(
        image.graves,
        [(store.hash(&key.access_key_id), tombstone(&key, &connection))]
    );
}

#[test]
fn a_revocation_survives_a_restart_in_every_later_phase() {
    for phase in [Phase::Revoked, Phase::Judged, Phase::Finished] {
        let folder = folder();
        let (store, first, key) = filled(&folder, 1);
        let (other, other_key) = add(&store, 2);
        advance(&store, &first, &[&key], phase);
        drop(store);

        let store = folder.open();
        let image = store.load().unwrap();
        let living: Vec<_> = image.keys.iter().map(|(key, _)| key.id).collect();
        assert_eq!(living, [other_key.id], "{phase:?}");
        assert_eq!(image.graves[0].0, store.hash(&key.access_key_id));
        assert!(
            image
                .connections
                .iter()
                .any(|(connection, _)| connection.id == other.id)
        );
        let first_is_there = image
            .connections
            .iter()
            .any(|(connection, _)| connection.id == first.id);
        assert_eq!(
            first_is_there,
            phase != Phase::Finished,
            "needed for the second survey"
        );
        assert_eq!(image.deletions[0].0.phase, phase);
        assert_eq!(image.deletions[0].1.is_some(), phase != Phase::Finished);
        assert_eq!(
            store.receipt(image.deletions[0].0.id).unwrap().is_some(),
            phase != Phase::Revoked
        );

        let (late, secret) = fixture::key(9, &first);
        assert!(
            store.add_key(&late, &secret, &issued(&late)).is_err(),
            "{phase:?}"
        );
    }
}

#[test]
fn no_key_of_a_revoked_connection_goes_without_a_tombstone() {
    let folder = folder();
    let (store, connection, first) = filled(&folder, 1);
    let (second, secret) = fixture::key(2, &connection);
    store.add_key(&second, &secret, &issued(&second)).unwrap();
    advance(&store, &connection, &[], Phase::Surveyed);
    let deletion = deletion(&connection, Phase::Revoked);
    let only_one = [(first.clone(), tombstone(&first, &connection))];
    let result = store.revoke_connection(
        &deletion,
        &Findings::default(),
        &only_one,
        &reached(&deletion),
    );
    assert!(matches!(result, Err(StoreError::OutOfOrder(_))));

    // Nothing of it was done, and the store goes on.
    let image = store.load().unwrap();
    assert_eq!(image.keys.len(), 2);
    assert!(image.graves.is_empty());
    let (third, secret) = fixture::key(3, &connection);
    store.add_key(&third, &secret, &issued(&third)).unwrap();
}

#[test]
fn a_deletion_never_goes_back() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    let findings = Findings::default();
    advance(&store, &connection, &[&key], Phase::Revoked);
    for phase in [Phase::Requested, Phase::Drained, Phase::Surveyed] {
        let back = deletion(&connection, phase);
        let result = store.journal_deletion(&back, &findings, &reached(&back));
        assert!(
            matches!(result, Err(StoreError::OutOfOrder(_))),
            "{phase:?}"
        );
    }
    let cancelled = deletion(&connection, Phase::Cancelled);
    assert!(
        store
            .cancel_deletion(&cancelled, &reached(&cancelled))
            .is_err()
    );
    assert!(
        store.erase_connection(connection.id).is_err(),
        "the verdict is still out"
    );
    let finished = deletion(&connection, Phase::Finished);
    assert!(
        store
            .finish_deletion(&finished, &receipt(&finished), &reached(&finished))
            .is_err()
    );
    assert_eq!(store.load().unwrap().deletions[0].0.phase, Phase::Revoked);

    let mut parked = deletion(&connection, Phase::Revoked);
    parked.emergency = true;
    store.note_deletion(&parked, &findings, None).unwrap();
    assert!(
        store
            .note_deletion(&deletion(&connection, Phase::Judged), &findings, None)
            .is_err()
    );
    assert_eq!(store.load().unwrap().deletions[0].0, parked);
}

#[test]
fn a_deletion_called_off_leaves_everything_but_its_header_as_before() {
    let folder = folder();
    let (store, connection, _) = filled(&folder, 1);
    advance(&store, &connection, &[], Phase::Surveyed);
    let cancelled = deletion(&connection, Phase::Cancelled);
    let bucket = connection.buckets.first();
    let writer = |round| {
        store
            .manifest_writer(connection.id, cancelled.id, bucket, round)
            .unwrap()
    };
    keep_manifest(writer(Round::Before), []);
    writer(Round::After).begin(b"unfinished").unwrap();
    store
        .cancel_deletion(&cancelled, &reached(&cancelled))
        .unwrap();
    assert!(list(&folder.file("manifests")).is_empty());
    drop(store);

    let image = folder.open().load().unwrap();
    assert_eq!((image.connections.len(), image.keys.len()), (1, 1));
    assert_eq!(image.deletions, [(cancelled, None)]);
}

#[test]
fn a_second_store_on_the_same_folder_is_refused_and_changes_nothing() {
    let folder = folder();
    let (store, ..) = filled(&folder, 1);
    let error = bascule_store::Store::open_or_create(&folder.path).unwrap_err();
    assert!(
        matches!(error, bascule_store::OpenError::InUse { .. }),
        "{error}"
    );
    assert_eq!(store.load().unwrap().keys.len(), 1);
}
