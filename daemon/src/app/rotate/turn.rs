//! Makes a change of several keys, in memory and in one durable transaction.

use bascule_domain::{
    access_key::AccessKeyId,
    audit::{Asked, Change, Details},
    ids::KeyId,
    key::Key,
    rotation::{KeyChange, Rotation, Step},
    secret::SecretKey,
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_store::KeyTurn;

use super::Running;
use crate::{
    app::{
        App,
        error::{Error, Kind, Result},
        registry::Entry,
    },
    crash::{self, Side},
};

impl App {
    /// Makes a change of several keys: dead in memory first, so that whatever becomes of the
    /// commit, nothing is admitted meanwhile; alive last.
    pub(super) async fn turn(
        &self,
        turn: KeyTurn,
        by: Option<Asked>,
        change: Change,
        reason: Option<&str>,
    ) -> Result<()> {
        let step = match &change {
            Change::Rotation { step, .. } => Some(*step),
            _ => None,
        };
        let details = self.registry.get(turn.connection).and_then(|entry| {
            let key = self.registry.key_by_id(change.key()?)?;
            Some(Details::of_key(&entry.connection.name, &key))
        });
        let mut audit = self.audit(by, change, details.unwrap_or_default());
        if let Some(details) = &mut audit.details {
            let fixed = reason.and_then(|reason| reason.parse().ok());
            details.reason = details.reason.take().or(fixed);
        }
        for (key, tombstone) in &turn.bury {
            self.graves.add(&key.access_key_id, tombstone.clone());
            self.keyring.remove_key(&key.access_key_id);
        }
        if let Some(step) = step {
            crash::point(Side::Before, step);
        }
        {
            let turn = turn.clone();
            let buried = turn.bury.first().map(|(key, _)| key.access_key_id.clone());
            self.stored(move |store| store.turn_keys(&turn, &audit))
                .await
                .map_err(|error| not_durable(error, buried.as_ref()))?;
        }
        if let Some(step) = step {
            crash::point(Side::After, step);
        }
        let now = self.clock.now();
        self.registry
            .update_with_keys(turn.connection, |entry, keys| {
                for (key, _) in &turn.bury {
                    keys.remove(key.id);
                }
                let added = turn.add.iter().map(|(key, _)| key);
                for key in turn.update.iter().chain(added) {
                    keys.put(key.clone());
                }
                for old in &turn.over {
                    entry.rotations.remove(old);
                }
                for rotation in turn.rotations {
                    let before = keys.get(rotation.old).map_or(0, |old| {
                        let usage = self.keyring.key_use(&old.access_key_id);
                        usage.unwrap_or_default().requests
                    });
                    entry
                        .rotations
                        .entry(rotation.old)
                        .and_modify(|running| running.rotation = rotation.clone())
                        .or_insert(Running {
                            rotation,
                            counted_since: now,
                            counted_before: before,
                        });
                }
            });
        if let Some((key, secret)) = turn.add {
            self.keyring
                .add_key(key, secret)
                .map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        }
        self.rotations_changed.notify_one();
        Ok(())
    }

    /// The rotations of a connection, each with its old key.
    pub(super) fn rotations(&self, entry: &Entry) -> Vec<(Rotation, Key)> {
        let all = entry.rotations.values().filter_map(|running| {
            let old = self.registry.key_by_id(running.rotation.old)?;
            Some((running.rotation.clone(), old))
        });
        all.collect()
    }

    /// A change as the store makes it.
    pub(super) fn key_turn(
        &self,
        entry: &Entry,
        change: KeyChange,
        secret: Option<&SecretKey>,
    ) -> KeyTurn {
        let bury = change.bury.map(|(key, cause)| {
            let tombstone = self.tombstone(entry, &key, cause);
            (key, tombstone)
        });
        KeyTurn {
            connection: entry.connection.id,
            add: change.add.zip(secret.cloned()),
            update: change.update,
            bury: bury.into_iter().collect(),
            rotations: change.rotations,
            over: change.over,
        }
    }

    fn tombstone(&self, entry: &Entry, key: &Key, cause: CauseOfDeath) -> Tombstone {
        Tombstone {
            key: key.id,
            masked: key.access_key_id.masked(),
            label: key.label.clone(),
            connection: key.connection,
            connection_name: entry.connection.name.clone(),
            died_at: self.clock.now(),
            cause,
        }
    }
}

/// As the rules take them.
pub(super) fn pairs(rotations: &[(Rotation, Key)]) -> impl Iterator<Item = (&Rotation, &Key)> {
    rotations.iter().map(|(rotation, old)| (rotation, old))
}

pub(super) const fn rotated(key: &Key, successor: KeyId, step: Step) -> Change {
    Change::Rotation {
        connection: key.connection,
        key: key.id,
        successor,
        step,
    }
}

fn not_durable(mut error: Error, buried: Option<&AccessKeyId>) -> Error {
    if let Some(id) = buried {
        error.message = format!(
            "the key {id} is refused from now on, but that could not be made durable, so a restart may bring it back: {}",
            error.message
        );
    }
    error
}
