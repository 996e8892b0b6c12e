//! D5: a value opens only in its own row of its own table.

#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

mod fixture;

use bascule_domain::deletion::Phase;
use bascule_store::Store;
use fixture::*;
use redb::{ReadableTable, TableDefinition};

const SEALED: [&str; 14] = [
    "key-files",
    "connections",
    "credentials",
    "credential-secrets",
    "keys",
    "key-secrets",
    "findings",
    "deletions",
    "tombstones",
    "receipts",
    "audit",
    "audit-details",
    "adoptions",
    "adoption-originals",
];

fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

fn rows(folder: &Folder, table: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let db = redb::Database::open(folder.file("store.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    let rows = transaction
        .open_table(definition(table))
        .unwrap()
        .iter()
        .unwrap()
        .map(|row| {
            row.map(|(id, value)| (id.value().to_vec(), value.value().to_vec()))
                .unwrap()
        })
        .collect();
    transaction.abort().unwrap();
    rows
}

fn put(folder: &Folder, table: &str, row: &[u8], value: Option<&[u8]>) {
    let db = redb::Database::open(folder.file("store.redb")).unwrap();
    let transaction = db.begin_write().unwrap();
    {
        let mut table = transaction.open_table(definition(table)).unwrap();
        match value {
            Some(value) => drop(table.insert(row, value).unwrap()),
            None => drop(table.remove(row).unwrap()),
        }
    }
    transaction.commit().unwrap();
}

/// Whether everything that is stored can be read.
fn readable(folder: &Folder) -> bool {
    let Ok(store) = Store::open_or_create(&folder.path) else {
        return false;
    };
    let Ok(adoptions) = store.adoptions() else {
        return false;
    };
    let originals = |adoption| matches!(store.originals(adoption), Ok(Some(_)));
    store.load().is_ok()
        && store.receipts().is_ok()
        && store.audit(0, usize::MAX).is_ok()
        && adoptions.iter().all(originals)
}

/// Two connections with a key each, both in deletion, one of them judged; every table has rows.
fn stocked() -> Folder {
    let folder = folder();
    let (store, first, key) = filled(&folder, 1);
    advance(&store, &first, &[&key], Phase::Judged);
    for n in [2, 3] {
        let (connection, key) = add(&store, n);
        adopt(&store, &key, &connection, &[]);
        advance(&store, &connection, &[], Phase::Surveyed);
    }
    drop(store);
    folder
}

#[test]
fn d5_values_moved_between_rows_and_tables_are_rejected() {
    let folder = stocked();
    assert!(readable(&folder));
    for into in SEALED {
        let target = rows(&folder, into);
        let (row, original) = target.last().unwrap();
        for from in SEALED {
            let Some((_, foreign)) = rows(&folder, from)
                .into_iter()
                .find(|(id, _)| from != into || id != row)
            else {
                continue;
            };
            put(&folder, into, row, Some(&foreign));
            assert!(!readable(&folder), "a value of {from} was taken in {into}");
        }
        put(&folder, into, row, Some(original));
        assert!(readable(&folder), "{into} is as before");
    }
}

#[test]
fn d5_values_that_are_flipped_cut_or_gone_are_rejected() {
    let folder = stocked();
    for table in SEALED {
        let (row, original) = rows(&folder, table).pop().unwrap();
        for at in [0, 5, original.len() / 2, original.len() - 1] {
            let mut altered = original.clone();
            altered[at] ^= 1;
            put(&folder, table, &row, Some(&altered));
            assert!(!readable(&folder), "{table}, byte {at}");
        }
        put(&folder, table, &row, Some(&original[..original.len() - 1]));
        assert!(!readable(&folder), "{table} cut");
        put(&folder, table, &row, Some(&[]));
        assert!(!readable(&folder), "{table} empty");
        // Rows that stand alone can go without a trace: that is a rollback, which no seal shows.
        let alone = [
            "deletions",
            "tombstones",
            "receipts",
            "audit",
            "audit-details",
            "adoptions",
        ];
        if !alone.contains(&table) {
            put(&folder, table, &row, None);
            assert!(!readable(&folder), "{table} gone");
        }
        put(&folder, table, &row, Some(&original));
    }
    assert!(readable(&folder));
}

#[test]
fn a_dead_key_put_back_into_the_file_does_not_live() {
    let folder = folder();
    let (store, connection, key) = filled(&folder, 1);
    drop(store);
    let (row, value) = rows(&folder, "keys").pop().unwrap();
    let (_, secret) = rows(&folder, "key-secrets").pop().unwrap();
    let store = folder.open();
    advance(&store, &connection, &[&key], Phase::Revoked);
    drop(store);
    put(&folder, "keys", &row, Some(&value));
    put(&folder, "key-secrets", &row, Some(&secret));
    assert!(!readable(&folder));
}
