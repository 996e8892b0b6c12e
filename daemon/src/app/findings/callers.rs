//! Who is behind the refusals of one finding, as far as the system tells. Connections whose process may
//! not be looked for, because there are too many, are counted and named as that; nobody is guessed at.
//! However many come, this does not grow.

use std::{collections::VecDeque, net::IpAddr, sync::Weak};

use bascule_domain::{SignedDuration, Timestamp, access_key::AccessKeyId};
use bascule_gateway::{Ends, Knock};
use bascule_os::attribution::{self, Process, Unknown};

use super::super::attribution::{Found, NotLooked};

/// Beyond it, those that were seen longest ago are counted only.
const KEPT: usize = 8;
/// Open connections of one that are known to be its.
const CONNECTIONS: usize = 16;
/// Whoever comes so often, over so long, does not give up by itself.
const KEEPS_TRYING: u64 = 3;
const OVER: SignedDuration = SignedDuration::from_secs(60);

/// Somebody who was refused.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub who: Who,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u64,
    connections: VecDeque<Weak<()>>,
    /// Whether it was told that it keeps trying.
    told: bool,
}

/// Who that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// It is being looked for.
    Sought,
    /// This process of this machine; of several runs of the same, the last one.
    Process(Process),
    /// Another machine.
    Address(IpAddr),
    /// Somebody of this machine, and why no more is known.
    Unknown(Why),
}

/// Why it is not known who was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Why {
    #[error(transparent)]
    Unseen(Unknown),
    #[error("it came through a proxy")]
    Proxied,
    #[error("too many came at once to look for each")]
    TooMany,
    #[error("the thread that looks for processes could not be started")]
    NoThread,
}

impl From<NotLooked> for Why {
    fn from(not: NotLooked) -> Self {
        match not {
            NotLooked::Busy => Self::TooMany,
            NotLooked::NoThread => Self::NoThread,
        }
    }
}

impl Caller {
    fn new(who: Who, at: Timestamp) -> Self {
        Self {
            who,
            first_at: at,
            last_at: at,
            count: 1,
            connections: VecDeque::new(),
            told: false,
        }
    }

    /// Whether it comes again and again. Said of nobody who is not known: it may be several.
    pub(crate) fn keeps_trying(&self) -> bool {
        let known = matches!(self.who, Who::Process(_) | Who::Address(_));
        known && self.count >= KEEPS_TRYING && self.last_at.duration_since(self.first_at) >= OVER
    }

    fn count(&mut self, at: Timestamp) {
        self.count += 1;
        self.last_at = self.last_at.max(at);
    }

    fn came_over(&self, connection: &Weak<()>) -> bool {
        self.connections.iter().any(|of| of.ptr_eq(connection))
    }

    fn owns(&mut self, connection: Weak<()>) {
        self.connections.retain(|of| of.strong_count() > 0);
        if self.connections.len() >= CONNECTIONS {
            self.connections.pop_front();
        }
        self.connections.push_back(connection);
    }

    fn absorb(&mut self, other: Self) {
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.count += other.count;
        for connection in other.connections {
            self.owns(connection);
        }
    }
}

impl Who {
    /// Whether it is the same, perhaps in another run.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Process(one), Self::Process(other)) => {
                let runs = |process: &Process| Process {
                    pid: 0,
                    ..process.clone()
                };
                runs(one) == runs(other)
            }
            _ => self == other,
        }
    }
}

/// Those who were refused with one key for one reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct Callers {
    known: Vec<Caller>,
    /// Refusals of those that are not kept.
    left_out: u64,
    looks: Budget,
}

/// What there is to do after a refusal was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// Somebody has to look at its connection.
    ToLook,
    /// Nothing, and that this one keeps trying was not known before.
    KeepsTrying,
    Nothing,
}

/// What is new when a process was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learnt {
    SomebodyNew,
    KeepsTrying,
    Nothing,
}

impl Callers {
    /// All that are kept, the last seen first, and how many refusals were of others.
    pub(crate) fn all(&self) -> (Vec<&Caller>, u64) {
        let mut all: Vec<_> = self.known.iter().collect();
        all.sort_by_key(|caller| std::cmp::Reverse(caller.last_at));
        (all, self.left_out)
    }

    /// Whether somebody is looked for now.
    pub(super) fn is_looking(&self) -> bool {
        self.known.iter().any(|caller| caller.who == Who::Sought)
    }

    /// Counts a refusal. `everywhere` bounds the looks of all findings together.
    pub(super) fn count(&mut self, knock: &Knock<'_>, everywhere: &mut Budget) -> Counted {
        let who = match knock.ends {
            None => Who::Unknown(Why::Proxied),
            Some(ends) if is_here(ends) => {
                let known = |caller: &&mut Caller| caller.came_over(&ends.open);
                if let Some(caller) = self.known.iter_mut().find(known) {
                    caller.count(knock.at);
                    return told_once(caller);
                }
                if self.looks.take(knock.at) && everywhere.take(knock.at) {
                    let mut caller = Caller::new(Who::Sought, knock.at);
                    caller.owns(ends.open.clone());
                    self.keep(caller);
                    return Counted::ToLook;
                }
                Who::Unknown(Why::TooMany)
            }
            Some(_) => Who::Address(knock.peer.to_canonical()),
        };
        match self.known.iter_mut().find(|caller| caller.who == who) {
            Some(caller) => {
                caller.count(knock.at);
                told_once(caller)
            }
            None => {
                self.keep(Caller::new(who, knock.at));
                Counted::Nothing
            }
        }
    }

    /// Takes what a look at a connection has found.
    pub(super) fn found(&mut self, connection: &Weak<()>, found: Found) -> Learnt {
        let who = match found {
            Ok(mut process) => {
                process.command = process.command.as_deref().map(AccessKeyId::hide_issued);
                Who::Process(process)
            }
            Err(unknown) => Who::Unknown(Why::Unseen(unknown)),
        };
        self.settle(connection, who)
    }

    /// Notes that nobody looks at a connection.
    pub(super) fn not_looked(&mut self, connection: &Weak<()>, why: NotLooked) {
        self.settle(connection, Who::Unknown(why.into()));
    }

    fn settle(&mut self, connection: &Weak<()>, who: Who) -> Learnt {
        let sought = |caller: &Caller| caller.who == Who::Sought && caller.came_over(connection);
        let Some(at) = self.known.iter().position(sought) else {
            return Learnt::Nothing;
        };
        let mut caller = self.known.swap_remove(at);
        // Whoever was not looked for may be when it comes again.
        if who == Who::Unknown(Why::TooMany) {
            caller.connections.clear();
        }
        let (caller, new) = match self.known.iter_mut().find(|known| known.who.is(&who)) {
            Some(known) => {
                known.who = who;
                known.absorb(caller);
                (known, false)
            }
            None => {
                caller.who = who;
                self.known.push(caller);
                let at = self.known.len() - 1;
                (&mut self.known[at], true)
            }
        };
        let named = matches!(caller.who, Who::Process(_));
        // Those that come and go are no news for ever.
        if new && named && self.left_out == 0 {
            return Learnt::SomebodyNew;
        }
        match told_once(caller) {
            Counted::KeepsTrying => Learnt::KeepsTrying,
            Counted::ToLook | Counted::Nothing => Learnt::Nothing,
        }
    }

    fn keep(&mut self, caller: Caller) {
        if self.known.len() >= KEPT {
            let oldest = self.known.iter().enumerate();
            // Those of whom nothing is known go first.
            let oldest = oldest
                .min_by_key(|(_, caller)| (!matches!(caller.who, Who::Unknown(_)), caller.last_at));
            if let Some((at, _)) = oldest {
                self.left_out += self.known.swap_remove(at).count;
            }
        }
        self.known.push(caller);
    }
}

fn is_here(ends: &Ends) -> bool {
    attribution::on_this_machine(ends.local, ends.peer)
}

fn told_once(caller: &mut Caller) -> Counted {
    if caller.told || !caller.keeps_trying() {
        return Counted::Nothing;
    }
    caller.told = true;
    Counted::KeepsTrying
}

/// So many looks at once, and then one each so often.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    left: u32,
    most: u32,
    each: SignedDuration,
    since: Option<Timestamp>,
}

/// For one finding.
impl Default for Budget {
    fn default() -> Self {
        Self::new(16, SignedDuration::from_secs(1))
    }
}

impl Budget {
    const fn new(most: u32, each: SignedDuration) -> Self {
        Self {
            left: most,
            most,
            each,
            since: None,
        }
    }

    /// For all findings together.
    pub(super) const fn everywhere() -> Self {
        Self::new(64, SignedDuration::from_millis(500))
    }

    fn take(&mut self, at: Timestamp) -> bool {
        let passed = self.since.map(|since| at.duration_since(since));
        let earned = passed.map_or(0, |passed| passed.as_millis() / self.each.as_millis());
        // A clock that was set back earns nothing and is counted from anew.
        if earned != 0 || passed.is_none_or(|passed| passed.is_negative()) {
            let earned = u32::try_from(earned.max(0)).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(self.most);
            self.since = Some(at);
        }
        let any = self.left > 0;
        self.left = self.left.saturating_sub(1);
        any
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bascule_domain::ids::KeyId;
    use bascule_gateway::Reason;

    use super::*;

    fn process(pid: u32, command: &str) -> Process {
        Process {
            pid,
            uid: 1000,
            exe: Some("/usr/bin/rclone".into()),
            command: Some(command.into()),
            unit: None,
            container: None,
        }
    }

    struct Door {
        callers: Callers,
        everywhere: Budget,
    }

    impl Door {
        fn new() -> Self {
            Self {
                callers: Callers::default(),
                everywhere: Budget::everywhere(),
            }
        }

        fn knock(&mut self, open: &Arc<()>, peer: &str, second: i64) -> Counted {
            let peer = format!("{peer}:50000").parse().unwrap();
            let ends = Ends {
                peer,
                local: "127.0.0.1:9000".parse().unwrap(),
                open: Arc::downgrade(open),
            };
            let knock = Knock {
                key: KeyId::from_random([1; 10]),
                masked: "…7F3Q",
                label: &"laptop".parse().unwrap(),
                connection: &"vault".parse().unwrap(),
                reason: Reason::KeyRevoked,
                message: "no",
                operation: None,
                peer: peer.ip(),
                ends: Some(&ends),
                user_agent: b"",
                at: Timestamp::from_second(second).unwrap(),
            };
            self.callers.count(&knock, &mut self.everywhere)
        }

        fn found(&mut self, open: &Arc<()>, found: Found) -> Learnt {
            self.callers.found(&Arc::downgrade(open), found)
        }
    }

    #[test]
    fn h7_a_storm_is_counted_whole_costs_few_looks_and_does_not_grow() {
        let mut door = Door::new();
        let mut looks = 0;
        for n in 0..100_000_i64 {
            let open = Arc::new(());
            // A thousand in each second.
            if door.knock(&open, "127.0.0.1", n / 1_000) == Counted::ToLook {
                looks += 1;
                let n = u32::try_from(n).unwrap();
                door.found(&open, Ok(process(n, &format!("rclone {n}"))));
            }
        }
        assert!((16..=16 + 100).contains(&looks), "{looks}");
        let (all, left_out) = door.callers.all();
        assert!(all.len() <= KEPT);
        let counted: u64 = all.iter().map(|caller| caller.count).sum();
        assert_eq!(counted + left_out, 100_000);
        let too_many = Who::Unknown(Why::TooMany);
        assert!(all.iter().any(|caller| caller.who == too_many), "{all:?}");
    }

    #[test]
    fn many_keys_together_have_a_bound_of_their_own() {
        let mut everywhere = Budget::everywhere();
        let mut looks = 0;
        for _ in 0..1_000 {
            let mut door = Door::new();
            std::mem::swap(&mut door.everywhere, &mut everywhere);
            looks += usize::from(door.knock(&Arc::default(), "127.0.0.1", 1) == Counted::ToLook);
            std::mem::swap(&mut door.everywhere, &mut everywhere);
        }
        assert_eq!(looks, 64);
    }

    #[test]
    fn one_connection_is_looked_at_once_and_runs_of_the_same_tool_are_one() {
        let mut door = Door::new();
        let (one, two) = (Arc::new(()), Arc::new(()));
        assert_eq!(door.knock(&one, "127.0.0.1", 1), Counted::ToLook);
        assert!(door.callers.is_looking());
        assert_eq!(door.knock(&one, "127.0.0.1", 1), Counted::Nothing);
        let found = door.found(&one, Ok(process(7, "rclone sync")));
        assert_eq!(found, Learnt::SomebodyNew);
        assert_eq!(door.knock(&one, "127.0.0.1", 2), Counted::Nothing);
        assert_eq!(door.knock(&two, "127.0.0.1", 3), Counted::ToLook);
        let found = door.found(&two, Ok(process(8, "rclone sync")));
        assert_eq!(found, Learnt::Nothing);
        let (all, left_out) = door.callers.all();
        assert_eq!((all.len(), all[0].count, left_out), (1, 4, 0));
        assert_eq!(all[0].who, Who::Process(process(8, "rclone sync")));
    }

    #[test]
    fn who_comes_again_and_again_is_told_once_and_who_is_not_known_never() {
        let mut door = Door::new();
        let open = Arc::new(());
        door.knock(&open, "127.0.0.1", 0);
        door.found(&open, Ok(process(7, "rclone")));
        assert_eq!(door.knock(&open, "127.0.0.1", 59), Counted::Nothing);
        assert_eq!(door.knock(&open, "127.0.0.1", 60), Counted::KeepsTrying);
        assert_eq!(door.knock(&open, "127.0.0.1", 90), Counted::Nothing);
        // Elsewhere there is no process to tell; the address is what comes again.
        for (second, counted) in [
            (0, Counted::Nothing),
            (70, Counted::Nothing),
            (80, Counted::KeepsTrying),
        ] {
            assert_eq!(door.knock(&Arc::default(), "192.0.2.7", second), counted);
        }
        for second in [100, 200, 300, 400] {
            let open = Arc::new(());
            door.knock(&open, "127.0.0.1", second);
            door.found(&open, Err(Unknown::Ended));
        }
        let (all, _) = door.callers.all();
        let ended = Who::Unknown(Why::Unseen(Unknown::Ended));
        let ended = all.iter().find(|caller| caller.who == ended).unwrap();
        assert_eq!((ended.count, ended.keeps_trying()), (4, false));
        assert_eq!(all.iter().filter(|caller| caller.keeps_trying()).count(), 2);
    }

    #[test]
    fn a_clock_that_is_set_does_not_stop_the_looks_for_ever() {
        let mut budget = Budget::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!((0..99).filter(|_| budget.take(at(1_000))).count(), 16);
        assert!(!budget.take(at(5)), "back");
        assert!(budget.take(at(6)));
        assert_eq!((0..99).filter(|_| budget.take(at(99_999))).count(), 16);
    }
}
