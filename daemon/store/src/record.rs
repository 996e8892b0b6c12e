//! Records as rows: which key seals what, bound to which place.

use serde::{Serialize, de::DeserializeOwned};

use bascule_domain::{
    ids::{ConnectionId, DeletionId, KeyId},
    secret::SecretKey,
};

use crate::{
    database::{Batch, Table},
    error::StoreError,
    seal::Sealer,
};

/// Bytes of every typed id.
const ID_LEN: usize = 10;

const fn damaged(table: Table) -> StoreError {
    StoreError::Damaged {
        table: table.name(),
    }
}

/// Row of something that belongs to a connection: both ids, so that all of a connection's rows lie
/// together.
pub(crate) fn key_row(connection: ConnectionId, key: KeyId) -> Vec<u8> {
    [*connection.as_bytes(), *key.as_bytes()].concat()
}

/// As [`key_row`], for a deletion.
pub(crate) fn findings_row(connection: ConnectionId, deletion: DeletionId) -> Vec<u8> {
    [*connection.as_bytes(), *deletion.as_bytes()].concat()
}

/// As [`key_row`], for something that is found by a keyed hash.
pub(crate) fn hashed_row(connection: ConnectionId, hash: &[u8; 32]) -> Vec<u8> {
    [&connection.as_bytes()[..], &hash[..ID_LEN]].concat()
}

/// The id a row consists of.
pub(crate) fn id(table: Table, row: &[u8]) -> Result<[u8; ID_LEN], StoreError> {
    row.try_into().map_err(|_| damaged(table))
}

/// The connection's id, which a row begins with.
pub(crate) fn connection_of(table: Table, row: &[u8]) -> Result<ConnectionId, StoreError> {
    match row.split_first_chunk::<ID_LEN>() {
        Some((connection, rest)) if rest.len() == ID_LEN => {
            Ok(ConnectionId::from_random(*connection))
        }
        _ => Err(damaged(table)),
    }
}

/// Seals a value into its row.
pub(crate) fn put(
    batch: &Batch,
    sealer: &Sealer,
    table: Table,
    row: &[u8],
    value: &impl Serialize,
) -> Result<(), StoreError> {
    batch.put(table, row, &sealer.seal_json(&table.place(row), value)?)
}

/// Opens a row's value.
pub(crate) fn open<T: DeserializeOwned>(
    sealer: &Sealer,
    table: Table,
    row: &[u8],
    value: &[u8],
) -> Result<T, StoreError> {
    sealer
        .open_json(&table.place(row), value)
        .map_err(|_| damaged(table))
}

/// Seals a secret into its row, without ever making it part of a larger text.
pub(crate) fn put_secret(
    batch: &Batch,
    sealer: &Sealer,
    table: Table,
    row: &[u8],
    secret: &SecretKey,
) -> Result<(), StoreError> {
    batch.put(
        table,
        row,
        &sealer.seal(&table.place(row), secret.expose().as_bytes())?,
    )
}

/// Opens a row's secret. No secret counts as damage.
pub(crate) fn open_secret(
    sealer: &Sealer,
    table: Table,
    row: &[u8],
    value: Option<&[u8]>,
) -> Result<SecretKey, StoreError> {
    let text = value.and_then(|value| sealer.open(&table.place(row), value).ok());
    text.and_then(|text| SecretKey::parse(std::str::from_utf8(&text).ok()?).ok())
        .ok_or_else(|| damaged(table))
}
