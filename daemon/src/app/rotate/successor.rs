//! Gives a consumer that still holds an old key the one that took its place. It makes no key, and gives
//! nobody more or less than the old key might.

use std::collections::BTreeSet;

use bascule_domain::{
    audit::{Asked, Change, Details, Entry as Audited, Part},
    ids::KeyId,
    key::Key,
    names::ConsumerName,
    rotation::{NotInherited, inherits},
    tombstone::CauseOfDeath,
};

use super::super::{
    App,
    error::{Error, Kind, Result},
    key::{Issued, KeyView},
    named::Named,
};

/// The living key that took another one's place.
pub(crate) struct Successor {
    pub view: KeyView,
    /// Why whoever holds the old one can't simply be given it.
    pub unfit: Option<NotInherited>,
}

impl App {
    /// What took a key's place, if something that lives did.
    pub(crate) async fn successor_of(&self, key: &str) -> Result<Option<Successor>> {
        let (old, first) = match self.rotated_key(key)? {
            Named::Living(_, key) => (key.id, key.successor.map(|first| (Some(key), first))),
            Named::Dead(dead) => match dead.cause {
                CauseOfDeath::Rotated { successor, .. } => (dead.key, Some((None, successor))),
                _ => (dead.key, None),
            },
        };
        let Some((living, first)) = first else {
            return Ok(None);
        };
        let (line, heir) = self.line_from(first);
        let Some(heir) = heir else { return Ok(None) };
        let connection = heir.connection;
        // Of a dead key only the audit tells what it might do.
        let changed = match &living {
            Some(_) => false,
            None => self.rights_changed(&heir, old, &line).await?,
        };
        let unfit = inherits(living.as_ref(), &heir, changed, self.clock.now()).err();
        let name = self
            .connection_name(&heir)
            .map_err(|_| Error::no_connection(&connection.to_string()))?;
        Ok(Some(Successor {
            view: self.key_view(heir, &name),
            unfit,
        }))
    }

    /// The same key with its secret, for a consumer that holds the old one. Each time is recorded before it
    /// is answered.
    pub(crate) async fn hand_out_successor(
        &self,
        by: Asked,
        old: &str,
        consumer: &ConsumerName,
    ) -> Result<Option<Issued>> {
        let _changing = self.one_change_at_a_time().await;
        let Some(Successor { view, unfit }) = self.successor_of(old).await? else {
            return Ok(None);
        };
        let key = view.key;
        if let Some(why) = unfit {
            return Err(Error::new(
                Kind::Refused,
                format!("{} took its place, but {why}", key.access_key_id),
            )
            .next(format!("bascule key show {}", key.access_key_id)));
        }
        let entry = self.rotatable(&key)?;
        let secret = self.keyring.secret(&key.access_key_id);
        let secret = secret.ok_or_else(|| Error::no_key(key.access_key_id.as_str()))?;
        let change = Change::SuccessorHandedOut {
            connection: key.connection,
            key: key.id,
        };
        let details = Details::of_key(&entry.connection.name, &key).given_to(consumer);
        let audit = self.audit(Some(by), change, details);
        self.stored(move |store| store.note_hand_out(&audit))
            .await?;
        tracing::info!(connection = %key.connection, key = %key.id, "a successor was handed out again");
        Ok(Some(self.issued(&entry, key, secret)))
    }

    /// The keys that followed one another from this one on, and the last of them, if it lives.
    fn line_from(&self, first: KeyId) -> (BTreeSet<KeyId>, Option<Key>) {
        let mut line = BTreeSet::new();
        let mut next = Some(first);
        // Whatever the records say, it ends: no key comes twice.
        while let Some(id) = next.filter(|id| line.insert(*id)) {
            next = match self.registry.key_by_id(id) {
                Some(key) if key.successor.is_none() => return (line, Some(key)),
                Some(key) => key.successor,
                None => match self.grave(id).map(|dead| dead.cause) {
                    Some(CauseOfDeath::Rotated { successor, .. }) => Some(successor),
                    _ => None,
                },
            };
        }
        (line, None)
    }

    /// Whether rights of a key, or of those that took its place, were changed since it was rotated.
    async fn rights_changed(&self, heir: &Key, old: KeyId, line: &BTreeSet<KeyId>) -> Result<bool> {
        let mut reading = self.audit_of(&heir.connection.to_string(), None)?;
        let mut rotated = false;
        while let Some(entries) = self.next_entries(&mut reading).await? {
            for entry in entries {
                match entry.change {
                    Change::Rotation { key, .. } if key == old => rotated = true,
                    Change::KeyRestricted { key, .. }
                        if rotated
                            && (key == old || line.contains(&key))
                            && is_about_rights(&entry) =>
                    {
                        return Ok(true);
                    }
                    _ => {}
                }
            }
        }
        Ok(!rotated)
    }
}

/// Another label changes no right; what differs and is not told any more may.
fn is_about_rights(entry: &Audited) -> bool {
    let told = entry.details.as_ref().map(|details| &details.differences);
    told.is_none_or(|all| all.iter().any(|one| one.part != Part::Label))
}
