//! Writes the receipt of a deletion from what is known when the verdict stands.

use bascule_domain::{
    deletion::{Deletion, Findings},
    receipt::{Receipt, Severed, SeveredKey},
    tombstone::CauseOfDeath,
};

use crate::app::{App, connect::location_text, registry::Entry, stays_valid};

impl App {
    pub(super) fn draft_receipt(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        entry: &Entry,
    ) -> Receipt {
        let cause = CauseOfDeath::ConnectionDeleted {
            deletion: deletion.id,
        };
        let keys = self
            .graves
            .all()
            .into_iter()
            .filter(|tombstone| tombstone.cause == cause)
            .map(|tombstone| SeveredKey {
                id: tombstone.key,
                label: tombstone.label,
                access_key: tombstone.masked,
                checked: "tombstone committed; absent from the gateway's key table afterwards"
                    .into(),
            })
            .collect();
        let connection = Severed {
            name: deletion.name.clone(),
            provider: entry.connection.provider,
            location: location_text(&entry.connection.location),
            buckets: entry.connection.buckets.iter().cloned().collect(),
        };
        let brought = entry.credentials.access_key_id.masked();
        Receipt::of(
            deletion,
            findings,
            connection,
            keys,
            stays_valid(&entry.connection, &brought),
        )
    }
}
