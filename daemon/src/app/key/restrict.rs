//! Changes what a living key may do: restricts, pauses and resumes it.

use bascule_domain::{
    audit::{Asked, Change, Details},
    ids::{ConnectionId, KeyId},
    key::Key,
    transition::{Restriction, Transition},
};
use bascule_gateway::InDoubt;

use super::{KeyView, LAST_CHANGES, refuse_foreign};
use crate::app::{
    App,
    error::{Error, Kind, Result},
    named::Named,
    registry::Entry,
};

/// A key after a change of its rights.
pub(crate) struct Changed {
    pub view: KeyView,
    /// What it had asked for before it lost rights, and may or may not have happened.
    pub in_doubt: Vec<InDoubt>,
}

impl App {
    pub(crate) async fn restrict_key(
        &self,
        by: Asked,
        id: &str,
        restriction: Restriction,
    ) -> Result<Changed> {
        if restriction.is_empty() {
            return Err(Error::new(Kind::Invalid, "nothing is to be changed")
                .next("bascule key restrict --help"));
        }
        let audit = |connection, key| Change::KeyRestricted { connection, key };
        self.change_key(by, id, audit, |entry, key| {
            if let Some(label) = &restriction.label {
                self.refuse_taken(entry, label, Some(key.id))?;
            }
            if let Some(buckets) = &restriction.buckets {
                refuse_foreign(entry, buckets)?;
            }
            self.refuse_past(restriction.expires_at.flatten())?;
            Ok(restriction.of(key))
        })
        .await
    }

    pub(crate) async fn pause_key(&self, by: Asked, id: &str) -> Result<Changed> {
        let audit = |connection, key| Change::KeyPaused { connection, key };
        self.change_key(by, id, audit, |_, key| Ok(key.paused()))
            .await
    }

    pub(crate) async fn resume_key(&self, by: Asked, id: &str) -> Result<Changed> {
        let audit = |connection, key| Change::KeyResumed { connection, key };
        self.change_key(by, id, audit, |_, key| Ok(key.resumed()))
            .await
    }

    /// Also when nothing changes it is stored: an earlier try may not have been.
    async fn change_key(
        &self,
        by: Asked,
        id: &str,
        change: impl FnOnce(ConnectionId, KeyId) -> Change,
        wanted: impl FnOnce(&Entry, &Key) -> Result<Key>,
    ) -> Result<Changed> {
        let (changed, name, lost) = {
            let _changing = self.one_change_at_a_time().await;
            let (entry, key) = match self.find_key(id)? {
                Named::Living(entry, key) => (entry, key),
                Named::Dead(dead) => return Err(Error::dead_key(&dead)),
            };
            let transition = Transition::new(&key, wanted(&entry, &key)?);
            let lost = transition.takes_away(&key);
            let Transition { meanwhile, then } = transition;
            let details = Details::of_key(&entry.connection.name, &key).rights_changed(&key, &then);
            let audit = self.audit(Some(by), change(key.connection, key.id), details);
            self.put_in_force(meanwhile)?;
            {
                let then = then.clone();
                self.stored(move |store| store.update_key(&then, &audit))
                    .await
                    .map_err(|error| if lost { not_durable(error) } else { error })?;
            }
            self.put_in_force(then.clone())?;
            tracing::info!(connection = %then.connection, key = %then.id, lost, "the rights of a key changed");
            (then, entry.connection.name, lost)
        };
        let mut in_doubt = Vec::new();
        if lost {
            let (connection, key) = (changed.connection, changed.id);
            self.keyring
                .changes_ended(connection, key, LAST_CHANGES)
                .await;
            in_doubt = self.keyring.in_doubt_of(connection, key);
        }
        Ok(Changed {
            view: self.key_view(changed, name.as_str()),
            in_doubt,
        })
    }

    fn put_in_force(&self, key: Key) -> Result<()> {
        self.keyring
            .change_key(key.clone())
            .map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        self.registry.put_key(key);
        Ok(())
    }
}

fn not_durable(mut error: Error) -> Error {
    error.message = format!(
        "what is taken away is refused from now on, but that could not be made durable, so a restart may give it back: {}",
        error.message
    );
    error
}
