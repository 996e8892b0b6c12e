//! What all threads of a soak share: how long it goes on, when they rest, and what was done.

use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

/// A run of a load that can be made to rest.
#[derive(Debug, Default)]
pub(crate) struct Course {
    over: AtomicBool,
    turns: Mutex<Turns>,
    changed: Condvar,
    /// Requests that were answered as they should be.
    pub(crate) requests: AtomicU64,
    /// Connections that have come and gone.
    pub(crate) connections: AtomicU64,
    /// Slow exchanges that have come to their end.
    pub(crate) slow: AtomicU64,
}

#[derive(Debug, Default)]
struct Turns {
    rest: bool,
    working: usize,
}

/// Part of the load: counted as working until dropped.
pub(crate) struct Turn<'a>(&'a Course);

impl Course {
    pub(crate) fn goes_on(&self) -> bool {
        !self.over.load(SeqCst)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, SeqCst);
        self.changed.notify_all();
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while everybody rests. `None` when it is over.
    pub(crate) fn turn(&self) -> Option<Turn<'_>> {
        let mut turns = self.turns();
        while turns.rest && self.goes_on() {
            turns = self.wait(turns);
        }
        self.goes_on().then(|| {
            turns.working += 1;
            Turn(self)
        })
    }

    fn wait<'a>(&self, turns: MutexGuard<'a, Turns>) -> MutexGuard<'a, Turns> {
        self.changed
            .wait(turns)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `look` while nobody works. Whoever is at work finishes its turn first.
    pub(crate) fn at_rest<T>(&self, look: impl FnOnce() -> T) -> T {
        let mut turns = self.turns();
        turns.rest = true;
        while turns.working > 0 {
            turns = self.wait(turns);
        }
        drop(turns);
        let seen = look();
        self.turns().rest = false;
        self.changed.notify_all();
        seen
    }

    pub(crate) fn count(&self, requests: u64) {
        self.requests.fetch_add(requests, SeqCst);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.turns().working -= 1;
        self.0.changed.notify_all();
    }
}

/// Ends the course when a thread ends, however it does.
pub(crate) struct EndsWith<'a>(pub(crate) &'a Course);

impl Drop for EndsWith<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
