//! The decoders of what lies in the state folder, for fuzzing (threats.md c). Only in builds for it.

use bascule_domain::{
    access_key::AccessKeyId, connection::Connection, deletion::Deletion, finding::Record,
    ids::ConnectionId, key::Key, receipt::Receipt, rotation::Rotation, tombstone::Tombstone,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{root_key::RootKey, seal::Sealer, watched::MarkedKey};

/// Reads bytes in every way in which they could be met: as they are, and as what a sealed record holds.
/// What is read as a record is written and read as the same.
pub fn read(bytes: &[u8]) {
    RootKey::parse(bytes).ok();
    let Ok(sealer) = Sealer::new(&[7; 32]) else {
        return;
    };
    assert!(sealer.open(&[b"place"], bytes).is_err(), "nobody sealed it");
    record::<AccessKeyId>(&sealer, bytes);
    record::<Connection>(&sealer, bytes);
    record::<ConnectionId>(&sealer, bytes);
    record::<Deletion>(&sealer, bytes);
    record::<Key>(&sealer, bytes);
    record::<MarkedKey>(&sealer, bytes);
    record::<Receipt>(&sealer, bytes);
    record::<Record>(&sealer, bytes);
    record::<Rotation>(&sealer, bytes);
    record::<Tombstone>(&sealer, bytes);
}

fn record<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    sealer: &Sealer,
    bytes: &[u8],
) {
    let place: &[&[u8]] = &[b"place"];
    let Ok(sealed) = sealer.seal(place, bytes) else {
        return;
    };
    let Ok(value) = sealer.open_json::<T>(place, &sealed) else {
        return;
    };
    let again = sealer
        .seal_json(place, &value)
        .ok()
        .and_then(|sealed| sealer.open_json::<T>(place, &sealed).ok());
    assert!(again.is_some_and(|again| again == value), "{value:?}");
}
