//! Random lives: what users, a driver with defects, restarts and a failing disk may do to connections
//! and their deletions, against a model that knows only which keys and deletions there must be.

use std::collections::{BTreeMap, BTreeSet};

use bascule_domain::{
    deletion::{Deletion, Findings, Phase},
    ids::{ConnectionId, DeletionId, KeyId},
    key::Key,
    secret::SecretKey,
};

use super::{Files, Handle, Place};
use crate::{
    error::StoreError,
    fixture::{
        self,
        lives::{Dice, Facts, Life, access_key_id, scale},
    },
    store::Store,
    turns::KeyTurn,
};

/// Sequences in all, and steps in each. `BASCULE_TEST_SCALE` multiplies the sequences: 10 makes them
/// the 100,000 of a release.
const SEQUENCES: u32 = 10_000;
const STEPS: u32 = 10;
/// So many share a store, which is what takes time to make.
const IN_ONE_STORE: u32 = 10;

/// What must be true of one connection.
#[derive(Debug, Clone, Default)]
struct Expected {
    living: Vec<KeyId>,
    dead: Vec<KeyId>,
    /// The deletion under way, or the last one, and how far it is.
    deletion: Option<(DeletionId, Phase)>,
    erased: bool,
}

impl Expected {
    fn phase(&self) -> Option<Phase> {
        self.deletion.map(|(_, phase)| phase)
    }

    fn is_living(&self) -> bool {
        !self.phase().is_some_and(Phase::keys_are_dead)
    }

    fn is_gone(&self) -> bool {
        self.phase() == Some(Phase::Finished)
    }

    /// A deletion goes forward one phase at a time, may skip its survey, and is called off only as
    /// long as the keys live. Each step may be repeated.
    fn may_reach(&self, phase: Phase) -> bool {
        let from = match self.phase() {
            None | Some(Phase::Cancelled) if phase != Phase::Cancelled => {
                return matches!(phase, Phase::Listening | Phase::Requested);
            }
            None => return false,
            Some(from) => from,
        };
        match phase {
            Phase::Cancelled => !from.keys_are_dead(),
            Phase::Finished => self.erased && matches!(from, Phase::Judged | Phase::Finished),
            _ if self.is_gone() => false,
            // Nothing can be sealed for it any more.
            _ if self.erased => false,
            Phase::Revoked if from == Phase::Drained => true,
            _ => {
                let place = |wanted| Phase::ALL.iter().position(|&phase| phase == wanted);
                let (from, to) = (place(from), place(phase));
                to == from || to == from.map(|from| from + 1)
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Model {
    connections: BTreeMap<u32, Expected>,
    graves: usize,
    deletions: BTreeMap<DeletionId, Phase>,
    receipts: BTreeSet<DeletionId>,
}

impl Model {
    fn facts(&self) -> Facts {
        let there = self.connections.iter().filter(|(_, life)| !life.is_gone());
        let mut keys: Vec<_> = self
            .connections
            .values()
            .flat_map(|life| life.living.iter().copied())
            .collect();
        keys.sort();
        Facts {
            connections: there.map(|(&number, _)| id_of(number)).collect(),
            keys,
            graves: self.graves,
            deletions: self
                .deletions
                .iter()
                .map(|(&id, &phase)| (id, phase))
                .collect(),
            receipts: self.receipts.len(),
            adoptions: Vec::new(),
        }
    }
}

fn id_of(number: u32) -> ConnectionId {
    Life::new(number).connection.id
}

/// One thing that is done to a store.
#[derive(Debug, Clone)]
enum Act {
    Connect(u32),
    AddKey(u32, Key),
    RevokeKey(u32, Key),
    /// Would bring a dead key back.
    UpdateKey(Key),
    /// To a phase; whether one key is left out of it.
    Reach(u32, DeletionId, Phase, bool),
    Erase(u32),
}

impl Act {
    fn perform(&self, store: &Store, model: &Model) -> Result<(), StoreError> {
        let secret = SecretKey::parse("MarkerIssuedSecret").unwrap();
        match self {
            Self::Connect(number) => {
                let connection = Life::new(*number).connection;
                let entry = fixture::connected(&connection);
                store.add_connection(&connection, &fixture::credentials(), &entry)
            }
            Self::AddKey(_, key) => store.add_key(key, &secret, &fixture::issued(key)),
            Self::RevokeKey(number, key) => {
                let tombstone = fixture::tombstone(key, &Life::new(*number).connection);
                let turn = KeyTurn::death(key.clone(), tombstone);
                store.turn_keys(&turn, &fixture::issued(key))
            }
            Self::UpdateKey(key) => store.update_key(key, &fixture::issued(key)),
            Self::Erase(number) => store.erase_connection(id_of(*number)),
            Self::Reach(number, id, phase, leave_one_out) => {
                let connection = Life::new(*number).connection;
                let deletion = Deletion {
                    id: *id,
                    ..fixture::deletion(&connection, *phase)
                };
                let entry = fixture::reached(&deletion);
                let receipt = fixture::receipt(&deletion);
                let findings = Findings::default();
                let living = &model.connections[number].living;
                let named = living.iter().skip(usize::from(*leave_one_out));
                let dead: Vec<_> = named
                    .map(|&id| {
                        let key = key_of(*number, id);
                        let tombstone = fixture::tombstone(&key, &connection);
                        (key, tombstone)
                    })
                    .collect();
                match phase {
                    Phase::Revoked => store.revoke_connection(&deletion, &findings, &dead, &entry),
                    Phase::Judged => store.judge_deletion(&deletion, &findings, &receipt, &entry),
                    Phase::Finished => store.finish_deletion(&deletion, &receipt, &entry),
                    Phase::Cancelled => store.cancel_deletion(&deletion, &entry),
                    _ => store.journal_deletion(&deletion, &findings, &entry),
                }
            }
        }
    }

    /// Whether it must succeed, and what is true then.
    fn expect(&self, model: &Model) -> Option<Model> {
        let mut next = model.clone();
        match self {
            Self::Connect(number) => {
                if model.connections.contains_key(number) {
                    return None;
                }
                next.connections.insert(*number, Expected::default());
            }
            Self::AddKey(number, key) => {
                let life = next.connections.get_mut(number)?;
                if !life.is_living() || life.living.contains(&key.id) || life.dead.contains(&key.id)
                {
                    return None;
                }
                life.living.push(key.id);
            }
            Self::RevokeKey(number, key) => {
                let life = next.connections.get_mut(number)?;
                if !life.is_living() {
                    return None;
                }
                life.living.retain(|living| *living != key.id);
                life.dead.push(key.id);
                next.graves += 1;
            }
            Self::UpdateKey(_) => return None,
            Self::Erase(number) => {
                let life = next.connections.get_mut(number)?;
                if !matches!(life.phase(), Some(Phase::Judged | Phase::Finished)) {
                    return None;
                }
                life.erased = true;
            }
            Self::Reach(number, id, phase, leave_one_out) => {
                let life = next.connections.get_mut(number)?;
                if !life.may_reach(*phase) {
                    return None;
                }
                if *phase == Phase::Revoked {
                    if *leave_one_out && !life.living.is_empty() {
                        return None;
                    }
                    next.graves += life.living.len();
                    life.dead.append(&mut life.living);
                }
                life.deletion = Some((*id, *phase));
                next.deletions.insert(*id, *phase);
                if matches!(phase, Phase::Judged | Phase::Finished) {
                    next.receipts.insert(*id);
                }
            }
        }
        Some(next)
    }
}

/// A key by its id, which ends with its number in the connection.
fn key_of(number: u32, id: KeyId) -> Key {
    Key {
        id,
        access_key_id: access_key_id(number, id.as_bytes()[9]),
        connection: id_of(number),
        ..fixture::key(0, &Life::new(number).connection).0
    }
}

fn some_key(number: u32, which: u8) -> Key {
    let mut id = [which; 10];
    id[..4].copy_from_slice(&number.to_be_bytes());
    key_of(number, KeyId::from_random(id))
}

struct Run<'a> {
    place: &'a Place,
    disk: Handle,
    store: Store,
    model: Model,
    dice: Dice,
    next: u32,
    /// What was done since the store was made, and what came of it.
    history: Vec<String>,
    refused: u32,
    failed: u32,
}

impl<'a> Run<'a> {
    fn new(place: &'a Place, seed: u64) -> Self {
        let disk = Handle::new(place.start.clone());
        let store = place.on(&disk).unwrap();
        Self {
            place,
            disk,
            store,
            model: Model::default(),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            next: 0,
            history: Vec::new(),
            refused: 0,
            failed: 0,
        }
    }

    fn restart(&mut self) {
        let mut disk = self.disk.get();
        disk.healthy = None;
        let content = disk.content.clone();
        drop(disk);
        self.disk = Handle::new(content);
        self.store = self.place.on(&self.disk).unwrap();
    }

    /// Mostly what makes sense next, often enough what does not.
    fn act(&mut self, first: u32) -> Act {
        let dice = &mut self.dice;
        // Those of this sequence; one that the disk refused is none of them.
        let there: Vec<_> = self.model.connections.range(first..).collect();
        if there.is_empty() || (there.len() == 1 && dice.throw(12) == 0) {
            self.next += 1;
            return Act::Connect(self.next - 1);
        }
        let (&number, life) = there[dice.throw(there.len() as u64) as usize];
        let key = some_key(number, dice.throw(4) as u8);
        // Half of them are on their way to the end.
        let hurried = number % 2 == 0 && dice.throw(4) != 0;
        let choice = if hurried { 9 } else { dice.throw(10) };
        match choice {
            // An id is drawn once: one that is gone is never asked for again.
            0 if !life.is_gone() => Act::Connect(number),
            0..=2 => Act::AddKey(number, key),
            3 => match life.living.first() {
                Some(&id) => Act::RevokeKey(number, key_of(number, id)),
                None => Act::AddKey(number, key),
            },
            4 => match life.dead.first() {
                Some(&id) if dice.throw(2) == 0 => Act::UpdateKey(key_of(number, id)),
                Some(&id) => Act::AddKey(number, key_of(number, id)),
                None => Act::Erase(number),
            },
            5 => Act::Erase(number),
            choice => {
                let phases: Vec<_> = Phase::ALL
                    .into_iter()
                    .filter(|phase| choice == 6 || life.may_reach(*phase))
                    .filter(|phase| choice < 8 || *phase != Phase::Cancelled)
                    .collect();
                let phase = if hurried {
                    phases.last()
                } else {
                    phases.get(dice.throw(phases.len().max(1) as u64) as usize)
                };
                let phase = match (phase, life.phase()) {
                    (Some(_), Some(Phase::Judged)) if hurried && !life.erased => None,
                    (phase, _) => phase,
                };
                let Some(&phase) = phase else {
                    return Act::Erase(number);
                };
                let id = match life.deletion {
                    Some((id, known)) if known != Phase::Cancelled || phase == Phase::Cancelled => {
                        id
                    }
                    _ => {
                        let mut id = [0; 10];
                        id[..4].copy_from_slice(&number.to_be_bytes());
                        id[4..8]
                            .copy_from_slice(&(self.model.deletions.len() as u32).to_be_bytes());
                        DeletionId::from_random(id)
                    }
                };
                Act::Reach(number, id, phase, dice.throw(8) == 0)
            }
        }
    }

    fn step(&mut self, first: u32) {
        match self.dice.throw(12) {
            0 => {
                self.restart();
                assert_eq!(Facts::of(&self.store), self.model.facts());
                return;
            }
            1 => self.disk.get().healthy = Some(self.dice.throw(30) as u32),
            _ => {}
        }
        let act = self.act(first);
        let expected = act.expect(&self.model);
        let outcome = act.perform(&self.store, &self.model);
        self.history.push(format!("{act:?}: {outcome:?}"));
        match (outcome, expected) {
            (Ok(()), Some(next)) => self.model = next,
            (Err(StoreError::Failed(_) | StoreError::CommitUnknown(_)), expected) => {
                self.failed += 1;
                self.restart();
                let found = Facts::of(&self.store);
                if let Some(next) = expected.filter(|next| next.facts() == found) {
                    self.model = next;
                }
                assert_eq!(found, self.model.facts(), "{:#?}", self.history);
            }
            (Err(_), None) => self.refused += 1,
            (outcome, expected) => panic!(
                "{outcome:?}, but expected was {}, after {:#?}",
                if expected.is_some() {
                    "success"
                } else {
                    "a refusal"
                },
                self.history
            ),
        }
        self.disk.get().healthy = None;
    }
}

#[test]
fn random_lives_and_deletions_are_what_a_simple_model_says() {
    let place = Place::new();
    let sequences = SEQUENCES * scale();
    let (mut refused, mut failed, mut finished) = (0, 0, 0);
    for batch in 0..sequences.div_ceil(IN_ONE_STORE) {
        let mut run = Run::new(&place, u64::from(batch) + 1);
        for _ in 0..IN_ONE_STORE {
            let first = run.next;
            for _ in 0..STEPS {
                run.step(first);
            }
        }
        run.restart();
        assert_eq!(Facts::of(&run.store), run.model.facts());
        refused += run.refused;
        failed += run.failed;
        let over = run.model.connections.values().filter(|life| life.is_gone());
        finished += over.count();
        drop(run);
        place.set_key_files(&Files(Vec::new()));
    }
    println!(
        "{sequences} sequences of {STEPS} steps: {finished} deletions finished, {refused} steps \
         refused, {failed} failures of the disk"
    );
    assert!(finished > sequences as usize / 10 && refused > sequences && failed > 0);
}
