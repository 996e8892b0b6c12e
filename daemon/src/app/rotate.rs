//! Rotates keys: a successor works at once, the old key goes on for a grace and then dies. What
//! happens when is decided by `domain::rotation`; here it is performed, each step in one durable
//! transaction.

mod evidence;
mod report;
mod successor;
mod turn;
mod watch;

use std::time::Duration;

use bascule_domain::{
    SignedDuration, Timestamp,
    audit::{Asked, Change},
    ids::KeyId,
    key::Key,
    rotation::{self, Effect, Ending, Event, Grace, NotRotatable, Rotation, Step, Terms},
    secret::SecretKey,
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_gateway::InDoubt;
use bascule_store::KeyTurn;

use self::{
    evidence::LastUse,
    turn::{pairs, rotated},
};
use super::{
    App,
    error::{Error, Kind, Result, restart},
    key::Issued,
    named::Named,
    registry::Entry,
};
use crate::random;

pub(crate) use report::{Consumer, Former, Report, process_name};
pub(crate) use successor::Successor;

/// What a user asks for.
pub(crate) struct RotateWish {
    /// Access key id or record id.
    pub key: String,
    /// How long the old key lives on.
    pub grace: Option<SignedDuration>,
    /// It dies earlier once it was not used for so long.
    pub until_silent: Option<SignedDuration>,
    /// The old key dies before anything else happens.
    pub now: bool,
    /// The successor's secret never arrived: a successor that nobody has used is replaced.
    pub again: bool,
}

/// What came of it.
pub(crate) struct Rotated {
    /// The new key; none when there was a successor already.
    pub issued: Option<Issued>,
    pub report: Report,
    /// What a key that died had asked for and may or may not have happened.
    pub in_doubt: Vec<InDoubt>,
}

/// A rotation under way, and from when on its uses are counted in memory.
#[derive(Clone)]
pub(crate) struct Running {
    pub rotation: Rotation,
    pub counted_since: Timestamp,
    /// What the old key had been used before.
    pub counted_before: u64,
}

impl App {
    pub(crate) async fn rotate_key(&self, by: Asked, wish: RotateWish) -> Result<Rotated> {
        let _changing = self.one_change_at_a_time().await;
        let key = match self.rotated_key(&wish.key)? {
            Named::Living(_, key) => key,
            Named::Dead(tombstone) => return self.rotate_dead(by, &wish, &tombstone).await,
        };
        let entry = self.rotatable(&key)?;
        if let Some(running) = entry.rotations.get(&key.id) {
            let running = running.rotation.clone();
            return self.rotate_retiring(by, &wish, &key, running).await;
        }
        if wish.again && key.predecessor.is_some() {
            return self.replace_unused(by, key.id).await;
        }
        if wish.now {
            return match self.turned_already(&wish.key, &key)? {
                Some(done) => Ok(done),
                None => self.replace(by, &entry, &key).await,
            };
        }
        if let Some(older) = entry
            .rotations
            .values()
            .find(|running| running.rotation.successor == key.id)
            .and_then(|running| self.registry.key_by_id(running.rotation.old))
        {
            return Err(Error::new(
                Kind::Refused,
                format!(
                    "{} still takes the place of {}, which retires until its rotation ends",
                    key.access_key_id, older.access_key_id
                ),
            )
            .next(format!(
                "end that first: bascule key rotation {} --end; or replace {} at once: bascule key rotate {} --now",
                older.access_key_id, key.access_key_id, key.access_key_id
            )));
        }
        self.begin(by, &entry, &key, &wish).await
    }

    /// Both keys work from here on.
    async fn begin(
        &self,
        by: Asked,
        entry: &Entry,
        key: &Key,
        wish: &RotateWish,
    ) -> Result<Rotated> {
        let moment = self.clock.moment();
        let grace = match wish.grace {
            Some(length) => grace(length)?,
            None => Grace::by_default(self.rhythm(key).await, moment.wall),
        };
        let terms = Terms {
            grace,
            until_silent: silence(wish.until_silent)?,
        };
        let (successor, secret) = self.successor(key, moment.wall)?;
        let change = rotation::begin(key, successor.clone(), terms, by.by.clone(), moment)
            .map_err(|why| refused(key, why))?;
        let turn = self.key_turn(entry, change, Some(&secret));
        let audit = rotated(key, successor.id, Step::Begun);
        self.turn(turn, Some(by), audit, None).await?;
        tracing::info!(connection = %key.connection, key = %key.id, successor = %successor.id, "rotation begun");
        Ok(Rotated {
            report: self.report(key.id)?,
            issued: Some(self.issued(entry, successor, secret)),
            in_doubt: Vec::new(),
        })
    }

    /// The key is dead before anything else happens, and another one takes its place. Whatever
    /// still retires in favour of the dead key does so in favour of the new one.
    pub(super) async fn replace(&self, by: Asked, entry: &Entry, key: &Key) -> Result<Rotated> {
        let now = self.clock.now();
        let (successor, secret) = self.successor(key, now)?;
        let change = rotation::replace(key, successor.clone(), pairs(&self.rotations(entry)));
        let step = if change.rotations.is_empty() {
            Step::AtOnce
        } else {
            Step::Replaced
        };
        let turn = self.key_turn(entry, change, Some(&secret));
        self.turn(turn, Some(by), rotated(key, successor.id, step), None)
            .await?;
        tracing::info!(connection = %key.connection, key = %key.id, successor = %successor.id, "key replaced at once");
        let in_doubt = self.last_changes(key.connection, key.id).await;
        Ok(Rotated {
            report: self.report(key.id)?,
            issued: Some(self.issued(entry, successor, secret)),
            in_doubt,
        })
    }

    /// The rotation is under way already: it goes on, ends, or gets other terms.
    async fn rotate_retiring(
        &self,
        by: Asked,
        wish: &RotateWish,
        key: &Key,
        running: Rotation,
    ) -> Result<Rotated> {
        let mut rotated = Rotated {
            issued: None,
            report: self.report(key.id)?,
            in_doubt: Vec::new(),
        };
        // What may be refused comes before a secret that is shown only once.
        if wish.grace.is_some() || wish.until_silent.is_some() {
            let event = Event::Retimed {
                grace: wish.grace.map(grace).transpose()?,
                until_silent: silence(wish.until_silent)?,
            };
            self.step(Some(by.clone()), key, event).await?;
        }
        if wish.again {
            let fresh = self.replace_unused(by.clone(), running.successor).await?;
            rotated.issued = fresh.issued;
        }
        if wish.now {
            // Read again: the successor may be another one by now.
            let running = self.running(key)?;
            rotated.in_doubt = self.end(Some(by), &running, Ending::AtOnce).await?;
        }
        rotated.report = self.report(key.id)?;
        Ok(rotated)
    }

    /// A label goes over to the new key, so whoever repeats a command means the turn that is done,
    /// as long as nobody has used that key. Its access key id always means the key itself.
    fn turned_already(&self, named: &str, key: &Key) -> Result<Option<Rotated>> {
        let old = key.predecessor.and_then(|old| self.grave(old));
        let heir = old.as_ref().and_then(|old| self.heir(old));
        let unused = matches!(self.last_use(key), LastUse::Never);
        match old {
            Some(old) if named.contains('/') && unused && heir.is_some() => Ok(Some(Rotated {
                issued: None,
                report: self.report(old.key)?,
                in_doubt: Vec::new(),
            })),
            _ => Ok(None),
        }
    }

    /// The key is dead. If that was a rotation whose answer got lost, its successor is replaced.
    async fn rotate_dead(
        &self,
        by: Asked,
        wish: &RotateWish,
        tombstone: &Tombstone,
    ) -> Result<Rotated> {
        let heir = self.heir(tombstone);
        match heir {
            Some(heir) if wish.again => self.replace_unused(by, heir.id).await,
            // Asking twice is what a script may do; the promise holds already.
            Some(_) if wish.now => Ok(Rotated {
                issued: None,
                report: self.report(tombstone.key)?,
                in_doubt: Vec::new(),
            }),
            Some(heir) => Err(dead(tombstone).next(format!(
                "its successor is {0}; if its secret never reached you: bascule key rotate {1} --again",
                heir.access_key_id, wish.key
            ))),
            None => Err(dead(tombstone).next(format!(
                "bascule key issue {} --label {}",
                tombstone.connection_name,
                super::findings::shell_word(tombstone.label.as_str())
            ))),
        }
    }

    /// The old key of a rotation has leaked: it dies, and its successor is there already.
    pub(super) async fn end_retiring(&self, by: Asked, key: &Key) -> Result<Rotated> {
        let running = self.running(key)?;
        let in_doubt = self.end(Some(by), &running, Ending::AtOnce).await?;
        Ok(Rotated {
            issued: None,
            report: self.report(running.old)?,
            in_doubt,
        })
    }

    /// A successor whose secret never arrived gets a successor of its own, and is dead.
    async fn replace_unused(&self, by: Asked, successor: KeyId) -> Result<Rotated> {
        let key = self
            .registry
            .key_by_id(successor)
            .ok_or_else(|| Error::no_key(&successor.to_string()))?;
        if let Some(why) = self.last_use(&key).not_unused() {
            return Err(Error::new(
                Kind::Refused,
                format!("the new key {} {why}", key.access_key_id),
            )
            .next(format!(
                "replace it all the same: bascule key rotate {} --now",
                key.access_key_id
            )));
        }
        let entry = self.rotatable(&key)?;
        self.replace(by, &entry, &key).await
    }

    /// How a rotation stands, by either of its keys, and who uses them.
    pub(crate) async fn rotation(&self, id: &str) -> Result<Report> {
        let mut report = self.rotation_of(id)?;
        self.add_consumers(&mut report).await;
        Ok(report)
    }

    fn rotation_of(&self, id: &str) -> Result<Report> {
        match self.rotated_key(id)? {
            Named::Dead(tombstone) => self.report(tombstone.key),
            Named::Living(_, key) => {
                let entry = self.entry_of(&key)?;
                let as_successor = entry
                    .rotations
                    .values()
                    .find(|running| running.rotation.successor == key.id)
                    .map(|running| running.rotation.old);
                let before = key.predecessor.filter(|_| key.successor.is_none());
                let old = match entry.rotations.contains_key(&key.id) {
                    true => Some(key.id),
                    false => as_successor.or(before),
                };
                old.map_or_else(|| Err(not_rotating(&key)), |old| self.report(old))
            }
        }
    }

    /// The old key dies now.
    pub(crate) async fn end_rotation(&self, by: Asked, id: &str) -> Result<Rotated> {
        let _changing = self.one_change_at_a_time().await;
        match self.rotated_key(id)? {
            Named::Living(_, key) if self.running(&key).is_ok() => {
                self.end_retiring(by, &key).await
            }
            Named::Living(..) => Ok(Rotated {
                issued: None,
                report: self.rotation_of(id)?,
                in_doubt: Vec::new(),
            }),
            Named::Dead(tombstone) => Ok(Rotated {
                issued: None,
                report: self.report(tombstone.key)?,
                in_doubt: Vec::new(),
            }),
        }
    }

    /// The successor dies, and the old key is as it was before.
    pub(crate) async fn call_rotation_off(&self, by: Asked, id: &str) -> Result<Key> {
        let _changing = self.one_change_at_a_time().await;
        let key = match self.rotated_key(id)? {
            Named::Living(_, key) => key,
            Named::Dead(tombstone) => {
                return Err(dead(&tombstone).next(format!("bascule key rotation {id}")));
            }
        };
        let running = self.running(&key)?;
        let entry = self.entry_of(&key)?;
        let successor = self.registry.key_by_id(running.successor);
        let successor = successor.ok_or_else(defect)?;
        if let Some(why) = self.last_use(&successor).not_unused() {
            return Err(Error::new(
                Kind::Refused,
                format!("the new key {} {why}", successor.access_key_id),
            )
            .next(format!(
                "end the rotation instead: bascule key rotation {} --end; or give the new key up: bascule key revoke {}",
                key.access_key_id, successor.access_key_id
            )));
        }
        let cause = CauseOfDeath::CalledOff { kept: running.old };
        self.bury(by, &entry, &successor, cause).await?;
        let old = self.registry.key_by_id(running.old);
        old.ok_or_else(defect)
    }

    /// Somebody says that the clock is right now.
    pub(crate) async fn go_on_with_rotation(&self, by: Asked, id: &str) -> Result<Report> {
        let _changing = self.one_change_at_a_time().await;
        let key = match self.rotated_key(id)? {
            Named::Living(_, key) => key,
            Named::Dead(tombstone) => return self.report(tombstone.key),
        };
        let old = self.running(&key)?.old;
        let old = self.registry.key_by_id(old).ok_or_else(defect)?;
        self.step(Some(by), &old, Event::GoOn).await?;
        self.report(old.id)
    }

    /// Kills a key for good. If it was to take another one's place, that one lives on; if it
    /// retired, its rotation is over.
    pub(super) async fn bury(
        &self,
        by: Asked,
        entry: &Entry,
        key: &Key,
        cause: CauseOfDeath,
    ) -> Result<Tombstone> {
        let change = rotation::bury(key, cause, pairs(&self.rotations(entry)));
        let audit = match change.update.first() {
            Some(old) => {
                tracing::warn!(key = %old.id, "a rotation was called off: the new key is dead");
                rotated(old, key.id, Step::CalledOff)
            }
            None => Change::KeyRevoked {
                connection: key.connection,
                key: key.id,
            },
        };
        let turn = self.key_turn(entry, change, None);
        let tombstone = turn.bury.first().map(|(_, tombstone)| tombstone.clone());
        self.turn(turn, Some(by), audit, None).await?;
        tombstone.ok_or_else(defect)
    }

    /// Ends a rotation: the old key dies.
    async fn end(
        &self,
        by: Option<Asked>,
        running: &Rotation,
        ending: Ending,
    ) -> Result<Vec<InDoubt>> {
        let old = self.registry.key_by_id(running.old);
        let old = old.ok_or_else(defect)?;
        let entry = self.entry_of(&old)?;
        let cause = CauseOfDeath::Rotated {
            successor: running.successor,
            ending,
        };
        let change = rotation::bury(&old, cause, pairs(&self.rotations(&entry)));
        let turn = self.key_turn(&entry, change, None);
        let change = rotated(&old, running.successor, Step::Ended);
        self.turn(turn, by, change, Some(ending.as_str())).await?;
        tracing::info!(connection = %old.connection, key = %old.id, why = ending.as_str(), "rotation ended");
        Ok(self.last_changes(old.connection, old.id).await)
    }

    /// Applies an event to a key's rotation and performs what follows.
    async fn step(&self, by: Option<Asked>, old: &Key, event: Event) -> Result<()> {
        let mut rotation = self.running(old)?;
        let effect = rotation.apply(event, self.clock.moment()).map_err(|why| {
            Error::new(Kind::Refused, why.to_string())
                .next(format!("bascule key rotation {}", old.access_key_id))
        })?;
        match effect {
            Effect::Nothing => Ok(()),
            Effect::Bury(ending) => self.end(by, &rotation, ending).await.map(|_| ()),
            Effect::Keep(step) => {
                if let (Step::Parked, Some(parked)) = (step, rotation.parked) {
                    tracing::warn!(
                        key = %old.id,
                        jump = report::jump(parked.jump),
                        "a rotation is parked: the clock jumped; see bascule key rotation"
                    );
                }
                let change = rotated(old, rotation.successor, step);
                let turn = KeyTurn {
                    rotations: vec![rotation],
                    ..KeyTurn::of(old.connection)
                };
                self.turn(turn, by, change, None).await
            }
        }
    }

    fn grave(&self, key: KeyId) -> Option<Tombstone> {
        self.graves.last(|dead| dead.key == key)
    }

    /// The living key that took a dead one's place, however many were in between.
    fn heir(&self, tombstone: &Tombstone) -> Option<Key> {
        let mut cause = tombstone.cause;
        loop {
            let CauseOfDeath::Rotated { successor, .. } = cause else {
                return None;
            };
            match self.registry.key_by_id(successor) {
                Some(key) => return Some(key),
                // Each successor is younger than the key before, so this ends.
                None => cause = self.grave(successor)?.cause,
            }
        }
    }

    pub(super) fn entry_of(&self, key: &Key) -> Result<Entry> {
        self.registry
            .get(key.connection)
            .ok_or_else(|| Error::no_connection(&key.connection.to_string()))
    }

    /// What a key's connection is called.
    pub(crate) fn connection_name(&self, key: &Key) -> Result<String> {
        self.entry_of(key)
            .map(|entry| entry.connection.name.to_string())
    }

    /// The connection of a key, if it is not about to go.
    fn rotatable(&self, key: &Key) -> Result<Entry> {
        let entry = self.entry_of(key)?;
        match entry.deletion {
            None => Ok(entry),
            Some(deletion) => Err(Error::new(
                Kind::Refused,
                format!(
                    "{} is being deleted, and its keys with it",
                    entry.connection.name
                ),
            )
            .next(format!("bascule deletion show {deletion}"))),
        }
    }

    /// The rotation under way in which the key is one of the two.
    fn running(&self, key: &Key) -> Result<Rotation> {
        let entry = self.entry_of(key)?;
        let as_successor = || {
            let mut all = entry.rotations.values();
            all.find(|running| running.rotation.successor == key.id)
        };
        let running = entry.rotations.get(&key.id).or_else(as_successor);
        running
            .map(|running| running.rotation.clone())
            .ok_or_else(|| not_rotating(key))
    }

    fn successor(&self, key: &Key, now: Timestamp) -> Result<(Key, SecretKey)> {
        let credentials = random::issue();
        let id = KeyId::from_random(random::bytes());
        rotation::succeed(key, id, credentials.access_key_id, now)
            .map(|successor| (successor, credentials.secret))
            .map_err(|why| refused(key, why))
    }
}

/// How long a step that failed waits before it is tried again by itself.
const RETRY: Duration = Duration::from_secs(30);

fn grace(length: SignedDuration) -> Result<Grace> {
    Grace::asked(length).map_err(|error| Error::invalid("--grace", error))
}

fn silence(length: Option<SignedDuration>) -> Result<Option<SignedDuration>> {
    length
        .map(rotation::bounded)
        .transpose()
        .map_err(|error| Error::invalid("--until-silent", error))
}

fn refused(key: &Key, why: NotRotatable) -> Error {
    let id = &key.access_key_id;
    let error = Error::new(Kind::Refused, format!("{id}: {why}"));
    match why {
        NotRotatable::Paused => error.next(format!(
            "resume it first: bascule key resume {id}; or replace it at once, paused as it is: bascule key rotate {id} --now"
        )),
        NotRotatable::Expired => error.next("issue a new one: bascule key issue --help"),
        NotRotatable::Retiring => error.next(format!("bascule key rotation {id}")),
        NotRotatable::Minted => error.next("bascule key list"),
    }
}

fn not_rotating(key: &Key) -> Error {
    Error::new(
        Kind::NotFound,
        format!("{} is not being rotated", key.access_key_id),
    )
    .next(format!("bascule key rotate {}", key.access_key_id))
}

fn dead(tombstone: &Tombstone) -> Error {
    Error::new(
        Kind::Refused,
        format!(
            "the key {} ({}) is dead since {:.0}",
            tombstone.masked, tombstone.label, tombstone.died_at
        ),
    )
}

fn defect() -> Error {
    Error::new(Kind::Storage, "a rotation names a key that is not there").next(restart())
}
