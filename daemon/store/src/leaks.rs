//! Provider keys that have leaked. The secret of one is kept only until the provider was seen to
//! refuse it, because that can't be asked without it; like everything of a connection it is gone
//! when the connection is erased.

use bascule_domain::{
    access_key::AccessKeyId,
    audit,
    connection::Connection,
    ids::ConnectionId,
    leak::Leak,
    secret::{Credentials, SecretKey},
};

use crate::{
    database::{Batch, CONNECTIONS, LEAKED_SECRETS, LEAKS, Read, View},
    error::StoreError,
    record,
    store::Store,
};

/// A leaked key of one connection, as it is reported.
#[derive(Debug, Clone)]
pub struct ReportedLeak {
    /// The connection's record, paused.
    pub connection: Connection,
    /// The key.
    pub leak: Leak,
    /// Its secret.
    pub secret: SecretKey,
    /// What the audit trail says of it.
    pub audit: audit::Entry,
}

impl Store {
    /// Keeps leaked keys with their secrets, and the paused records of their connections: all of
    /// them or none.
    pub fn report_leaks(&self, reported: &[ReportedLeak]) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            for ReportedLeak {
                connection,
                leak,
                secret,
                audit,
            } in reported
            {
                let sealer = self.sealer(leak.connection)?;
                let row = connection.id.as_bytes();
                record::put(batch, &sealer, CONNECTIONS, row, connection)?;
                let row = self.put_leak(batch, leak)?;
                record::put_secret(batch, &sealer, LEAKED_SECRETS, &row, secret)?;
                self.record_audit(batch, audit)?;
            }
            Ok(())
        })
    }

    /// Notes that a leaked key is dead, and forgets its secret.
    pub fn close_leak(&self, leak: &Leak, entry: &audit::Entry) -> Result<(), StoreError> {
        if leak.seen_dead_at.is_none() {
            return Err(StoreError::OutOfOrder("the leaked key was not seen dead"));
        }
        self.rows.write(|batch| {
            let row = self.put_leak(batch, leak)?;
            batch.remove(LEAKED_SECRETS, &row)?;
            self.record_audit(batch, entry)
        })
    }

    /// The leaked key with its secret, as long as that is kept.
    pub fn leaked_credentials(&self, leak: &Leak) -> Result<Option<Credentials>, StoreError> {
        let sealer = self.sealer(leak.connection)?;
        let row = self.leak_row(leak.connection, &leak.access_key_id);
        self.rows.read(|view| {
            let Some(value) = view.get(LEAKED_SECRETS, &row)? else {
                return Ok(None);
            };
            Ok(Some(Credentials {
                access_key_id: leak.access_key_id.clone(),
                secret: record::open_secret(&sealer, LEAKED_SECRETS, &row, Some(&value))?,
            }))
        })
    }

    pub(crate) fn load_leaks(&self, view: &View) -> Result<Vec<Leak>, StoreError> {
        let mut leaks = Vec::new();
        for (row, value) in view.rows(LEAKS, &[])? {
            let connection = record::connection_of(LEAKS, &row)?;
            // One that is being erased has nothing more to tell.
            if let Some(sealer) = self.keyring.get(connection) {
                leaks.push(record::open(&sealer, LEAKS, &row, &value)?);
            }
        }
        Ok(leaks)
    }

    fn put_leak(&self, batch: &Batch, leak: &Leak) -> Result<Vec<u8>, StoreError> {
        let sealer = self.sealer(leak.connection)?;
        let row = self.leak_row(leak.connection, &leak.access_key_id);
        record::put(batch, &sealer, LEAKS, &row, leak)?;
        Ok(row)
    }

    fn leak_row(&self, connection: ConnectionId, id: &AccessKeyId) -> Vec<u8> {
        record::hashed_row(connection, &self.hash(id).0)
    }
}
