//! Adoptions: what a client needs to put files back is durable before it changes them, and gone when it is
//! not needed or may not be read any more.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use bascule_domain::{
    Timestamp,
    adoption::{Adoption, AdoptionId, MOST_SETTLED, Rights, State},
    audit::AdoptionStep,
    backup::Place,
    deletion::Phase,
    ids::BackupId,
};
use bascule_store::{NewBackup, RootKeyPlaces, Store, StoreError};
use fixture::*;

fn settle(store: &Store, adoption: &Adoption, outcome: State) -> Result<Adoption, StoreError> {
    let adoption = settled(adoption, outcome);
    let entry = adopting(&adoption, AdoptionStep::Undone);
    store.settle_adoptions(std::slice::from_ref(&adoption), &entry)?;
    Ok(adoption)
}

fn all(store: &Store) -> Vec<Adoption> {
    store.adoptions().unwrap().iter().cloned().collect()
}

#[test]
fn files_come_back_byte_for_byte_after_a_restart_until_the_adoption_is_over() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    let adoption = adopt(&store, &key, &connection, &[]);
    drop(store);
    let store = folder.open();
    assert_eq!(all(&store), std::slice::from_ref(&adoption));
    assert_eq!(store.originals(&adoption).unwrap(), Some(originals()));
    let adopted = settle(&store, &adoption, State::Adopted).unwrap();
    assert_eq!(store.originals(&adopted).unwrap(), Some(originals()));
    let undone = settle(&store, &adopted, State::Undone).unwrap();
    drop(store);
    let store = folder.open();
    assert_eq!(
        all(&store),
        std::slice::from_ref(&undone),
        "the record stays"
    );
    assert_eq!(store.originals(&undone).unwrap(), None, "its files do not");
}

#[test]
fn an_adoption_is_prepared_once_and_never_goes_back() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    let adoption = adoption(&key, &connection);
    let entry = adopting(&adoption, AdoptionStep::Prepared);
    let unknown = settle(&store, &adoption, State::Adopted);
    assert!(matches!(unknown, Err(StoreError::OutOfOrder(_))));
    adopt(&store, &key, &connection, &[State::Adopted]);
    let entries = audit(&store).len();
    let again = store.prepare_adoption(&adoption, &originals(), &entry);
    assert!(matches!(again, Err(StoreError::OutOfOrder(_))));
    for outcome in [State::Prepared, State::Adopted, State::RolledBack] {
        let refused = settle(&store, &adoption, outcome);
        assert!(
            matches!(refused, Err(StoreError::OutOfOrder(_))),
            "{outcome}"
        );
    }
    assert_eq!(audit(&store).len(), entries);
    assert_eq!(all(&store)[0].state, State::Adopted);
}

#[test]
fn nothing_is_adopted_to_a_connection_whose_keys_are_dead() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    advance(&store, &connection, &[&key], Phase::Revoked);
    let adoption = adoption(&key, &connection);
    let entry = adopting(&adoption, AdoptionStep::Prepared);
    let refused = store.prepare_adoption(&adoption, &originals(), &entry);
    assert!(matches!(refused, Err(StoreError::ConnectionRevoked(_))));
    assert!(all(&store).is_empty());
}

#[test]
fn d1_an_erasure_takes_the_files_and_leaves_what_leads_the_consumer_out() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    let (other, other_key) = add(&store, 2);
    let adopted = adopt(&store, &key, &connection, &[State::Adopted]);
    let second = Adoption {
        id: AdoptionId::from_random([9; 8]),
        ..adoption(&key, &connection)
    };
    let entry = adopting(&second, AdoptionStep::Prepared);
    store
        .prepare_adoption(&second, &originals(), &entry)
        .unwrap();
    settle(&store, &second, State::RolledBack).unwrap();
    let elsewhere = adopt(&store, &other_key, &other, &[]);
    advance(&store, &connection, &[&key], Phase::Judged);
    assert!(store.originals(&adopted).unwrap().is_some());
    store.erase_connection(connection.id).unwrap();
    assert_eq!(store.originals(&adopted).unwrap(), None);
    let finished = deletion(&connection, Phase::Finished);
    store
        .finish_deletion(&finished, &receipt(&finished), &reached(&finished))
        .unwrap();
    drop(store);
    let store = folder.open();
    // What its key was allowed is told nowhere else any more.
    let kept = Adoption {
        rights: Some(Rights::from(&key)),
        ..adopted.clone()
    };
    let mut left = vec![kept, elsewhere.clone()];
    left.sort_by_key(|adoption| adoption.id);
    assert_eq!(all(&store), left, "the one that was over is gone");
    assert_eq!(store.originals(&adopted).unwrap(), None);
    assert_eq!(store.originals(&elsewhere).unwrap(), Some(originals()));
    // Its consumer is led out of it all the same.
    settle(&store, &adopted, State::Ejected).unwrap();
}

#[test]
fn the_oldest_of_those_that_are_over_are_forgotten() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    let numbered = |number: usize| {
        let mut id = [0; 8];
        id[..4].copy_from_slice(&(number as u32).to_be_bytes());
        Adoption {
            id: AdoptionId::from_random(id),
            ..adoption(&key, &connection)
        }
    };
    for number in 0..=MOST_SETTLED {
        let adoption = numbered(number);
        let entry = adopting(&adoption, AdoptionStep::Prepared);
        store
            .prepare_adoption(&adoption, &originals(), &entry)
            .unwrap();
        let rolled_back = Adoption {
            settled_at: Some(Timestamp::from_second(number as i64).unwrap()),
            ..settled(&adoption, State::RolledBack)
        };
        store.settle_adoptions(&[rolled_back], &entry).unwrap();
    }
    let kept = all(&store);
    assert_eq!(kept.len(), MOST_SETTLED);
    assert!(kept.iter().all(|adoption| adoption.id != numbered(0).id));
}

fn backup(store: &Store) -> Vec<u8> {
    let id = BackupId::from_random([1; 10]);
    let new = NewBackup {
        id,
        made_at: Timestamp::UNIX_EPOCH,
        file: "test".parse().unwrap(),
        place: Place::Unknown,
        passphrase: Some(b"correct horse".to_vec().into()),
    };
    let entry = entry(bascule_domain::audit::Change::BackedUp { backup: id });
    let mut file = Vec::new();
    store.write_backup(&new, &entry, &mut file).unwrap();
    file
}

fn restore(folder: &Folder, file: &[u8]) -> Store {
    Store::restore(
        &folder.path,
        file,
        Place::Unknown,
        Some(b"correct horse"),
        Timestamp::UNIX_EPOCH,
        &RootKeyPlaces::default(),
    )
    .unwrap();
    folder.open()
}

#[test]
fn a_backup_brings_records_and_files_back_and_nothing_that_is_over() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    let (other, other_key) = add(&store, 2);
    let first = adopt(&store, &key, &connection, &[]);
    let second = adopt(&store, &other_key, &other, &[State::Adopted]);
    let file = backup(&store);
    for marker in MARKERS {
        assert!(!holds(&file, marker), "{marker} in the backup");
    }

    // Elsewhere, all of it.
    let elsewhere = fixture::folder();
    let restored = restore(&elsewhere, &file);
    let mut expected = vec![first.clone(), second.clone()];
    expected.sort_by_key(|adoption| adoption.id);
    assert_eq!(all(&restored), expected);
    for adoption in &expected {
        assert_eq!(restored.originals(adoption).unwrap(), Some(originals()));
    }

    // Here, what went on since counts: adopted stays adopted, undone stays undone.
    let adopted = settle(&store, &first, State::Adopted).unwrap();
    let undone = settle(&store, &second, State::Undone).unwrap();
    drop(store);
    let store = restore(&folder, &file);
    let mut expected = vec![adopted.clone(), undone.clone()];
    expected.sort_by_key(|adoption| adoption.id);
    assert_eq!(all(&store), expected);
    assert_eq!(store.originals(&adopted).unwrap(), Some(originals()));
    assert_eq!(store.originals(&undone).unwrap(), None);

    // What went with an erased connection does not come back with it.
    let file = backup(&store);
    advance(&store, &connection, &[&key], Phase::Finished);
    advance(&store, &other, &[&other_key], Phase::Finished);
    drop(store);
    let store = restore(&folder, &file);
    let kept = Adoption {
        rights: Some(Rights::from(&key)),
        ..adopted.clone()
    };
    assert_eq!(all(&store), [kept], "the open one stays");
    assert_eq!(store.originals(&adopted).unwrap(), None);
}
