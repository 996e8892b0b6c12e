//! Test of a key's whole life: random sequences of what users, clocks and restarts do to the keys of
//! a connection, against a model that knows only how long each key was promised to live.

use std::{
    collections::{BTreeMap, BTreeSet},
    thread,
};

use bascule_domain::{
    SignedDuration, Timestamp,
    access_key::AccessKeyId,
    audit::Caller,
    ids::KeyId,
    key::{Key, KeyState, Permission},
    moment::{BootId, Moment},
    rotation::{self, Effect, Ending, Event, Evidence, Grace, KeyChange, Rotation, Terms},
    tombstone::CauseOfDeath,
    transition::{Restriction, Transition},
};

use crate::{
    fixture::{self, CONNECTION, secret},
    keyring::Keyring,
};

/// Sequences in all, and steps in each.
const SEQUENCES: u64 = 100_000;
const STEPS: usize = 10;

/// What the clocks may differ by unnoticed, generously.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(10);

/// xorshift64*: quick, and the same on every machine.
struct Dice(u64);

impl Dice {
    const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }

    fn hours(&mut self, limit: u64) -> SignedDuration {
        SignedDuration::from_hours(self.below(limit).cast_signed())
    }
}

/// What the model knows of a living key: which family it is of, and since when it could be used.
struct Promise {
    family: usize,
    used_at: SignedDuration,
}

struct Life {
    dice: Dice,
    keyring: Keyring,
    keys: BTreeMap<KeyId, Key>,
    rotations: BTreeMap<KeyId, Rotation>,
    /// Since when the daemon runs.
    started: Timestamp,
    /// Time that has really passed.
    time: SignedDuration,
    /// By how much the wall clock is wrong.
    wrong: SignedDuration,
    boot: u8,
    booted: SignedDuration,
    issued: u8,
    // The model.
    promises: BTreeMap<KeyId, Promise>,
    /// From when on, in real time, an old key may die.
    earliest: BTreeMap<KeyId, SignedDuration>,
    dead: BTreeSet<AccessKeyId>,
    /// Families of which the user revoked a key that stood alone.
    given_up: BTreeSet<usize>,
}

const BY: Caller = Caller {
    uid: 0,
    pid: None,
    program: None,
    parent: None,
};

impl Life {
    fn new(seed: u64) -> Self {
        let mut life = Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            keyring: Keyring::new(),
            keys: BTreeMap::new(),
            rotations: BTreeMap::new(),
            started: Timestamp::UNIX_EPOCH,
            time: SignedDuration::ZERO,
            wrong: SignedDuration::ZERO,
            boot: 0,
            booted: SignedDuration::ZERO,
            issued: 0,
            promises: BTreeMap::new(),
            earliest: BTreeMap::new(),
            dead: BTreeSet::new(),
            given_up: BTreeSet::new(),
        };
        life.started = life.moment().wall;
        life.open();
        life.issue();
        life
    }

    fn open(&self) {
        self.keyring.add_connection(fixture::connection()).unwrap();
    }

    fn moment(&self) -> Moment {
        let epoch = Timestamp::from_second(1_800_000_000).unwrap();
        let wall = epoch.saturating_add(self.time).unwrap();
        Moment {
            wall: wall.saturating_add(self.wrong).unwrap(),
            boot: BootId([self.boot; 16]),
            up: self.time.saturating_sub(self.booted),
        }
    }

    fn fresh(&mut self) -> (KeyId, AccessKeyId) {
        self.issued += 1;
        (
            KeyId::from_random([self.issued; 10]),
            AccessKeyId::issue([self.issued; 15]),
        )
    }

    fn promise(&mut self, id: KeyId, family: usize) {
        let used_at = self.time;
        self.promises.insert(id, Promise { family, used_at });
    }

    fn issue(&mut self) {
        let (id, access_key_id) = self.fresh();
        let key = Key {
            id,
            access_key_id,
            issued_at: self.moment().wall,
            ..fixture::key(0)
        };
        self.keyring.add_key(key.clone(), secret()).unwrap();
        self.keys.insert(id, key);
        self.promise(id, usize::from(self.issued));
    }

    fn some_key(&mut self) -> Option<Key> {
        let number = self.dice.below(self.keys.len().max(1) as u64) as usize;
        self.keys.values().nth(number).cloned()
    }

    fn evidence(&self, key: &Key) -> Evidence {
        Evidence {
            last_use: self.keyring.last_used(&key.access_key_id),
            watched_since: self.started,
        }
    }

    /// As the daemon performs a change: dead in memory first, alive last.
    fn perform(&mut self, change: KeyChange) {
        if let Some((key, _)) = &change.bury {
            assert!(self.keyring.remove_key(&key.access_key_id));
            self.keys.remove(&key.id);
            self.dead.insert(key.access_key_id.clone());
            self.promises.remove(&key.id);
            self.earliest.remove(&key.id);
        }
        for key in change.update {
            self.keys.insert(key.id, key);
        }
        for old in change.over {
            self.rotations.remove(&old);
        }
        for rotation in change.rotations {
            self.rotations.insert(rotation.old, rotation);
        }
        if let Some(key) = change.add {
            self.keyring.add_key(key.clone(), secret()).unwrap();
            self.keys.insert(key.id, key);
        }
    }

    fn others(&self) -> Vec<(Rotation, Key)> {
        let pairs = self.rotations.values();
        pairs
            .map(|rotation| (rotation.clone(), self.keys[&rotation.old].clone()))
            .collect()
    }

    fn rotate(&mut self, now: bool) {
        let Some(old) = self.some_key() else { return };
        let (id, access_key_id) = self.fresh();
        let moment = self.moment();
        let Ok(successor) = rotation::succeed(&old, id, access_key_id, moment.wall) else {
            assert!(self.rotations.contains_key(&old.id));
            return;
        };
        assert_eq!(successor.state, old.state, "a pause is inherited");
        assert_eq!(successor.permission, old.permission);
        let others = self.others();
        let pairs = others.iter().map(|(rotation, key)| (rotation, key));
        let family = self.promises[&old.id].family;
        if now {
            let change = rotation::replace(&old, successor, pairs);
            self.perform(change);
            self.promise(id, family);
            return;
        }
        if others
            .iter()
            .any(|(rotation, _)| rotation.successor == old.id)
        {
            return;
        }
        let grace = self.dice.hours(72) + SignedDuration::from_hours(1);
        let until_silent = (self.dice.below(3) == 0).then(|| SignedDuration::from_hours(5));
        let terms = Terms {
            grace: Grace::asked(grace).unwrap(),
            until_silent,
        };
        match rotation::begin(&old, successor, terms, BY, moment) {
            Ok(change) => {
                self.perform(change);
                self.promise(id, family);
                self.earliest.insert(old.id, self.time + grace);
            }
            Err(_) => assert_eq!(old.state, KeyState::Paused),
        }
    }

    /// Looks at the clocks until nothing is due.
    fn look(&mut self) {
        for old in self.rotations.keys().copied().collect::<Vec<_>>() {
            let key = self.keys[&old].clone();
            loop {
                let evidence = self.evidence(&key);
                let moment = self.moment();
                let mut rotation = self.rotations[&old].clone();
                match rotation.apply(Event::Looked(evidence), moment).unwrap() {
                    Effect::Nothing => {
                        if rotation.parked.is_none() {
                            assert!(rotation.due(&evidence).unwrap() > moment.wall);
                        }
                        break;
                    }
                    Effect::Keep(_) => drop(self.rotations.insert(old, rotation)),
                    Effect::Bury(ending) => {
                        self.may_die(&rotation, ending);
                        self.end(&key, &rotation, ending);
                        break;
                    }
                }
            }
        }
    }

    /// No key dies before its time, by whatever clock.
    fn may_die(&self, rotation: &Rotation, ending: Ending) {
        let real = self.time + TOLERANCE;
        match ending {
            Ending::Deadline => assert!(real >= self.earliest[&rotation.old], "too early"),
            Ending::Silent => {
                let silent = real - self.promises[&rotation.old].used_at;
                assert!(silent >= rotation.until_silent.unwrap(), "it was used");
            }
            Ending::AtOnce => {}
        }
    }

    fn end(&mut self, key: &Key, rotation: &Rotation, ending: Ending) {
        let cause = CauseOfDeath::Rotated {
            successor: rotation.successor,
            ending,
        };
        let others = self.others();
        let pairs = others.iter().map(|(rotation, key)| (rotation, key));
        let change = rotation::bury(key, cause, pairs);
        self.perform(change);
    }

    fn revoke(&mut self) {
        let Some(key) = self.some_key() else { return };
        let others = self.others();
        let pairs = others.iter().map(|(rotation, key)| (rotation, key));
        let family = self.promises[&key.id].family;
        let change = rotation::bury(&key, CauseOfDeath::Revoked, pairs);
        if change.over.is_empty() {
            self.given_up.insert(family);
        }
        self.perform(change);
    }

    fn change(&mut self, wanted: impl FnOnce(&Key) -> Key) {
        let Some(key) = self.some_key() else { return };
        let Transition { meanwhile, then } = Transition::new(&key, wanted(&key));
        self.keyring.change_key(meanwhile).unwrap();
        self.keyring.change_key(then.clone()).unwrap();
        self.keys.insert(key.id, then);
    }

    /// Everything in memory is gone; what is stored comes back.
    fn restart(&mut self) {
        self.keyring = Keyring::new();
        self.open();
        for key in self.keys.values() {
            self.keyring.add_key(key.clone(), secret()).unwrap();
        }
        self.started = self.moment().wall;
    }

    fn step(&mut self) {
        match self.dice.below(14) {
            0 => self.issue(),
            1 | 2 => self.rotate(false),
            3 => self.rotate(true),
            4 => self.change(Key::paused),
            5 => self.change(Key::resumed),
            6 => {
                let permission = Some(Permission::ALL[self.dice.below(5) as usize]);
                let restriction = Restriction {
                    permission,
                    ..Restriction::default()
                };
                self.change(|key| restriction.of(key));
            }
            7 => {
                if let Some(key) = self.some_key() {
                    let cell = self.keyring.key(&key.access_key_id).unwrap();
                    cell.used_at(self.moment().wall);
                    if let Some(promise) = self.promises.get_mut(&key.id) {
                        promise.used_at = self.time;
                    }
                }
            }
            8 => self.time += self.dice.hours(30),
            9 => self.wrong = self.dice.hours(49) - SignedDuration::from_hours(24),
            10 => {
                let parked = self.rotations.values().find(|r| r.parked.is_some());
                if let Some(mut rotation) = parked.cloned() {
                    rotation.apply(Event::GoOn, self.moment()).unwrap();
                    self.rotations.insert(rotation.old, rotation);
                }
            }
            11 => self.restart(),
            12 => {
                self.boot += 1;
                self.time += self.dice.hours(12);
                self.booted = self.time;
                self.restart();
            }
            _ => self.revoke(),
        }
        // The daemon is woken by each of these.
        self.look();
    }

    fn check(&self) {
        for (id, key) in &self.keys {
            let cell = self.keyring.key(&key.access_key_id).expect("a living key");
            let living = cell.living().expect("a living key");
            assert_eq!(living.key.generation, key.generation);
            assert_eq!(living.key.permission, key.permission);
            let paused = |key: &Key| key.state == KeyState::Paused;
            assert_eq!(paused(&living.key), paused(key));
            let rotation = self.rotations.get(id);
            assert_eq!(key.successor, rotation.map(|rotation| rotation.successor));
        }
        for id in &self.dead {
            assert!(self.keyring.key(id).is_none(), "a dead key came back");
        }
        let mut families: BTreeMap<usize, u32> = BTreeMap::new();
        for promise in self.promises.values() {
            *families.entry(promise.family).or_default() += 1;
        }
        assert_eq!(self.promises.len(), self.keys.len());
        for rotation in self.rotations.values() {
            assert!(self.keys.contains_key(&rotation.old));
            assert!(self.keys.contains_key(&rotation.successor));
        }
        for (family, number) in families {
            assert!(number <= 2, "{number} keys in family {family}");
        }
    }

    /// Once the clock is right and time enough has passed, each family has one key, unless its
    /// last one was revoked by the user.
    fn settle(&mut self) {
        self.wrong = SignedDuration::ZERO;
        // One that began while the clock was wrong is parked by its correction.
        self.look();
        let moment = self.moment();
        for rotation in self.rotations.values_mut() {
            if rotation.parked.is_some() {
                rotation.apply(Event::GoOn, moment).unwrap();
            }
        }
        self.time += SignedDuration::from_hours(24 * 365);
        self.look();
        self.check();
        assert!(self.rotations.is_empty(), "two keys for ever");
        let living: BTreeSet<_> = self.promises.values().map(|p| p.family).collect();
        assert_eq!(living.len(), self.promises.len(), "one of each family");
        // A connection's deletion takes them all.
        assert!(self.keyring.remove_connection(CONNECTION));
        for key in self.keys.values() {
            assert!(self.keyring.key(&key.access_key_id).is_none());
        }
    }

    fn run(seed: u64) {
        let mut life = Self::new(seed);
        for _ in 0..STEPS {
            let before: BTreeSet<_> = life.promises.values().map(|p| p.family).collect();
            life.step();
            life.check();
            let after: BTreeSet<_> = life.promises.values().map(|p| p.family).collect();
            for family in before.difference(&after) {
                assert!(life.given_up.contains(family), "no key is left of a family");
            }
        }
        life.settle();
    }
}

#[test]
fn no_sequence_leaves_two_keys_for_ever_or_none_or_kills_one_before_its_time() {
    let scale: u64 = std::env::var("BASCULE_TEST_SCALE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1);
    let workers = 4;
    let from = 1;
    thread::scope(|scope| {
        for worker in 0..workers {
            scope.spawn(move || {
                for seed in (from + worker..=SEQUENCES * scale).step_by(workers as usize) {
                    let lived = std::panic::catch_unwind(|| Life::run(seed));
                    assert!(lived.is_ok(), "seed {seed}");
                }
            });
        }
    });
}
