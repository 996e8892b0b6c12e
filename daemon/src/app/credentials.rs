//! Replaces the provider's credentials of a connection in place. The buckets must be the same
//! ones; issued keys are untouched, and requests under way go on with the old pair.

use bascule_adapters::Probe;
use bascule_domain::{
    audit::{Asked, Change, Details, Part},
    connection::{BucketIdentity, SameBucket},
    secret::Credentials,
};

use super::{
    App,
    error::{Error, Kind, Result},
    registry::{Entry, View},
};
use crate::bridge;

impl App {
    pub(crate) async fn replace_credentials(
        &self,
        by: Asked,
        name: &str,
        credentials: Credentials,
        allow_leaked: bool,
    ) -> Result<(View, Probe)> {
        let before = self.unhindered(name)?;
        if !allow_leaked {
            self.refuse_leaked(&credentials).await?;
        }
        let storage = self
            .storage(&before)
            .map_err(|trouble| Error::new(Kind::Provider, trouble))?;
        let probe = storage
            .probe(&credentials, &before.connection.buckets)
            .await?;
        for seen in &probe.buckets {
            let known = before.connection.identities.get(&seen.bucket);
            same_bucket(known.unwrap_or(&BucketIdentity::NotTold), &seen.identity).map_err(
                |why| {
                    Error::new(Kind::Refused, format!("bucket {}: {why}", seen.bucket))
                        .next("bascule connect NEWNAME … adds them as a connection of their own")
                },
            )?;
        }
        // Only now: a revocation must never wait for a provider's answer.
        let _changing = self.one_change_at_a_time().await;
        let entry = self.unhindered(name)?;
        if entry.connection.id != before.connection.id
            || entry.connection.credentials_generation != before.connection.credentials_generation
        {
            return Err(
                Error::new(Kind::Refused, format!("{name} was changed meanwhile"))
                    .next(format!("bascule show {name}")),
            );
        }
        let mut connection = entry.connection.clone();
        connection.credentials_generation += 1;
        connection.credentials_changed_at = self.clock.now();
        let audit = self.audit(
            Some(by),
            Change::CredentialsReplaced {
                connection: connection.id,
                generation: connection.credentials_generation,
            },
            Details::of(&connection).differs(
                Part::ProviderKey,
                [entry.credentials.access_key_id.masked()],
                [credentials.access_key_id.masked()],
            ),
        );
        {
            let (connection, credentials) = (connection.clone(), credentials.clone());
            self.stored(move |store| store.replace_credentials(&connection, &credentials, &audit))
                .await?;
        }
        let id = connection.id;
        self.registry.update(id, |entry| {
            entry.connection = connection;
            entry.credentials = std::sync::Arc::new(credentials);
        });
        let entry = self.living(name)?;
        self.keyring
            .swap_credentials(id, bridge::upstream_access(&entry))
            .map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        tracing::info!(connection = %id, "credentials replaced");
        Ok((self.view(&entry), probe))
    }
}

impl App {
    /// A pair that somebody else has too is taken only if that is meant.
    pub(super) async fn refuse_leaked(&self, credentials: &Credentials) -> Result<()> {
        if !self.has_leaked(credentials).await? {
            return Ok(());
        }
        Err(
            Error::new(Kind::Refused, "this is the pair that has leaked").next(format!(
                "make a new one at the provider: bascule leak {}; or take it all the same: --allow-leaked",
                credentials.access_key_id
            )),
        )
    }

    /// Whether this pair, of whichever connection, has leaked and was not seen dead since.
    async fn has_leaked(&self, credentials: &Credentials) -> Result<bool> {
        for leak in self.registry.living().into_iter().flat_map(|e| e.leaks) {
            if leak.seen_dead_at.is_none() && leak.access_key_id == credentials.access_key_id {
                let leaked = self
                    .stored(move |store| store.leaked_credentials(&leak))
                    .await?;
                if leaked.as_ref() == Some(credentials) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A connection that is not being deleted.
    pub(super) fn unhindered(&self, name: &str) -> Result<Entry> {
        let entry = self.living(name)?;
        match entry.deletion {
            None => Ok(entry),
            Some(deletion) => Err(
                Error::new(Kind::Refused, format!("{name} is being deleted"))
                    .next(format!("bascule deletion cancel {deletion}")),
            ),
        }
    }
}

/// Whether the new credentials reach the bucket that was connected.
fn same_bucket(
    known: &BucketIdentity,
    seen: &BucketIdentity,
) -> std::result::Result<(), &'static str> {
    match known.same_as(seen) {
        SameBucket::Yes => Ok(()),
        SameBucket::No => Err("these credentials reach another bucket of the same name"),
        SameBucket::CannotTell if *known == BucketIdentity::NotTold => Ok(()),
        SameBucket::CannotTell => Err(
            "these credentials may not see the bucket's creation date, so it can't be told whether it is the same bucket",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_identity_must_be_seen_again() {
        let known = BucketIdentity::CreationDate("then".into());
        assert!(same_bucket(&known, &known).is_ok());
        assert!(same_bucket(&known, &BucketIdentity::CreationDate("now".into())).is_err());
        assert!(same_bucket(&known, &BucketIdentity::NotTold).is_err());
        assert!(same_bucket(&BucketIdentity::NotTold, &BucketIdentity::NotTold).is_ok());
    }
}
