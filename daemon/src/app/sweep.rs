//! Full sweeps: when one is due, what it searches for, how far it is, and what it came to. A sweep only
//! adds files to those that each look reads; what stands there is judged like everything that a look
//! sees. It must never keep what a file says.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::{Duration, Instant},
};

use bascule_domain::{SignedDuration, Timestamp, access_key::AccessKeyId};
use bascule_gateway::DeadKeys;
use bascule_store::{SkippedPlaces, Sweep, Sweeps};
use bascule_watch::{
    Machine, Picture,
    scan::{self, Scope},
    sweep::{self, Needles, Options, Progress, Skips, Wanted},
    traces::Traces,
};
use tokio::sync::{Notify, oneshot};

use super::App;
use crate::{
    config::{Config, Schedule, SweepSettings},
    crash::{self, Side, Write},
};

/// What is known of sweeps.
pub(crate) struct FullSweep {
    settings: Mutex<SweepSettings>,
    /// Our own folders: what is in them is sealed.
    left_out: Vec<PathBuf>,
    state: Mutex<State>,
    traces: Mutex<Traces>,
    /// Those who wait for one.
    waiting: Mutex<Vec<oneshot::Sender<()>>>,
    /// Wakes whoever sweeps.
    woken: Notify,
    /// Wakes whoever looks.
    found: Notify,
}

#[derive(Default)]
struct State {
    sweeps: Sweeps,
    running: bool,
    /// The last one ended by a defect.
    broke_off: bool,
}

/// How sweeps stand.
pub(crate) struct SweepView {
    pub schedule: Schedule,
    pub running: Option<Sweep>,
    pub last: Option<Sweep>,
    /// When the next one is due, if none runs.
    pub due: Option<Timestamp>,
}

impl FullSweep {
    pub(super) fn new(config: &Config, sweeps: Sweeps, traces: Vec<PathBuf>) -> Self {
        Self {
            settings: Mutex::new(config.sweeps.clone()),
            left_out: vec![config.state_dir.clone(), config.runtime_dir.clone()],
            state: Mutex::new(State {
                sweeps,
                ..State::default()
            }),
            traces: Mutex::new(Traces::of(traces)),
            waiting: Mutex::default(),
            woken: Notify::new(),
            found: Notify::new(),
        }
    }

    /// Goes about it like this from now on.
    pub(super) fn set(&self, settings: &SweepSettings) {
        lock(&self.settings).clone_from(settings);
        self.wake();
    }

    fn schedule(&self) -> Schedule {
        lock(&self.settings).schedule
    }

    /// A key may have died.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Waits until it has to be thought about again whether one is due.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Waits until there are files to look at.
    pub(crate) async fn found(&self) {
        self.found.notified().await;
    }

    /// Those who asked for one so far. They are answered by dropping them.
    pub(crate) fn asked(&self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut *lock(&self.waiting))
    }

    /// The files that each look reads.
    pub(crate) fn traces(&self) -> Vec<PathBuf> {
        lock(&self.traces).paths().cloned().collect()
    }

    /// Notes that one ended by a defect.
    pub(crate) fn broke_off(&self) {
        let mut state = lock(&self.state);
        state.running = false;
        state.broke_off = true;
    }

    fn roots(&self, machine: &Machine) -> Vec<PathBuf> {
        let set = lock(&self.settings).roots.clone();
        if !set.is_empty() {
            return set;
        }
        let scope = Scope {
            everyone: machine.user.uid == 0,
            ..Scope::OWN
        };
        scan::roots(machine, scope)
    }
}

impl App {
    /// How sweeps stand, for whoever sweeps or looks.
    pub(crate) const fn full_sweep(&self) -> &FullSweep {
        &self.sweep
    }

    /// Has everything swept from now on, and waits for it.
    pub(crate) async fn sweep_now(&self) {
        let (answer, done) = oneshot::channel();
        lock(&self.sweep.waiting).push(answer);
        self.sweep.wake();
        // It is dropped when the sweep is done, or when nobody sweeps any more.
        done.await.ok();
    }

    /// When the next sweep is due; `None` as long as nothing is to be searched for.
    pub(crate) fn sweep_due(&self) -> Option<Timestamp> {
        match self.sweep.schedule() {
            Schedule::Off => None,
            Schedule::Daily => {
                let sweeps = lock(&self.sweep.state).sweeps.clone();
                due(&sweeps, self.dead_since()?, self.now())
            }
        }
    }

    /// When a key died last, or began to be replaced. `None`: all live.
    fn dead_since(&self) -> Option<Timestamp> {
        let living = self.registry.living();
        let leaks = living.iter().flat_map(|entry| &entry.leaks);
        let retiring = living.iter().flat_map(|entry| entry.rotations.values());
        let graves = self.graves.last(|_| true).map(|grave| grave.died_at);
        graves
            .into_iter()
            .chain(self.consumers.marked_keys().map(|key| key.marked_at).max())
            .chain(leaks.map(|leak| leak.reported_at))
            .chain(retiring.map(|running| running.rotation.began_at))
            .max()
    }

    /// Keys of providers that must not be used any more.
    fn dead_elsewhere(&self) -> BTreeSet<AccessKeyId> {
        let living = self.registry.living();
        let leaks = living.into_iter().flat_map(|entry| entry.leaks);
        let marked = self.consumers.marked_keys().map(|key| key.access_key_id);
        marked.chain(leaks.map(|leak| leak.access_key_id)).collect()
    }

    /// Whether we issued it. Living ones count too: when one dies, who has it is known already.
    fn is_ours(&self, id: &AccessKeyId) -> bool {
        let living = || self.registry.key(id.as_str());
        self.graves.find(id).is_some() || living().is_some_and(|key| key.access_key_id == *id)
    }

    /// Reads the files again that sweeps have found ids in, as far as they have changed, and adds to
    /// the picture what it does not explain. It blocks.
    pub(crate) fn follow_traces(&self, machine: &Machine, picture: &mut Picture) {
        let ids = self.dead_elsewhere();
        let needles = Needles::of(&ids);
        let issued = |id: &AccessKeyId| self.is_ours(id);
        let wanted = wanted(&needles, &issued);
        let forgotten = lock(&self.sweep.traces).look(machine, wanted, picture);
        if !forgotten.is_empty()
            && let Err(error) = self.store.forget_traces(&forgotten)
        {
            // The next start reads them in vain, and forgets them then.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "files that hold no dead key any more are still remembered"
            );
        }
    }

    /// Sweeps to the end or until it is stopped; goes on where the last one was stopped. It blocks for
    /// as long as the machine has better things to do.
    pub(crate) fn sweep(&self, machine: &Machine, stop: &Arc<AtomicBool>) {
        let roots = self.sweep.roots(machine);
        let begun = self.begin_sweep(&roots);
        let ids = self.dead_elsewhere();
        let needles = Needles::of(&ids);
        let issued = |id: &AccessKeyId| self.is_ours(id);
        let wanted = wanted(&needles, &issued);
        let checkpoint = begun.checkpoint.as_deref();
        let options = Options {
            idle: true,
            left_out: self.sweep.left_out.clone(),
            resume: checkpoint.and_then(|text| text.parse().ok()),
            stop: Some(Arc::clone(stop)),
            ..Options::default()
        };
        let keeper = RefCell::new(Keeper {
            app: self,
            now: begun.clone(),
            begun,
            found: BTreeSet::new(),
            kept_at: None,
        });
        let summary = sweep::run(
            &roots,
            wanted,
            &options,
            |hit| {
                keeper.borrow_mut().found.insert(hit.path);
            },
            |progress| {
                keeper.borrow_mut().advance(progress);
                std::ops::ControlFlow::Continue(())
            },
        );
        let mut keeper = keeper.into_inner();
        keeper.count(summary.files, summary.bytes, &summary.skipped);
        if stop.load(Ordering::Relaxed) {
            keeper.keep(summary.stopped_at.map(|at| at.to_string()));
        } else {
            keeper.end();
        }
    }

    fn begin_sweep(&self, roots: &[PathBuf]) -> Sweep {
        let roots: Vec<_> = roots.iter().map(|root| root.clone().into()).collect();
        let mut state = lock(&self.sweep.state);
        let open = state.sweeps.open.take();
        let sweep = match open.filter(|open| open.roots == roots) {
            Some(open) => {
                tracing::info!(files = open.files, "the full sweep goes on");
                open
            }
            None => {
                tracing::info!("a full sweep begins");
                Sweep {
                    began_at: self.now(),
                    ended_at: None,
                    roots,
                    checkpoint: None,
                    files: 0,
                    bytes: 0,
                    skipped: Vec::new(),
                }
            }
        };
        state.sweeps.open = Some(sweep.clone());
        state.running = true;
        state.broke_off = false;
        sweep
    }

    /// How sweeps stand.
    pub(crate) fn sweep_view(&self) -> SweepView {
        let due = self.sweep_due();
        let state = lock(&self.sweep.state);
        let running = state.running.then(|| state.sweeps.open.clone()).flatten();
        SweepView {
            schedule: self.sweep.schedule(),
            due: due.filter(|_| running.is_none()),
            running,
            last: state.sweeps.last.clone(),
        }
    }

    /// What no full sweep has looked at, each in words.
    pub(crate) fn not_swept(&self) -> Vec<String> {
        const FILES: &str = "files that no rule about a tool leads to";
        let nothing_dead = self.dead_since().is_none();
        let state = lock(&self.sweep.state);
        let mut told = Vec::new();
        if state.broke_off {
            told.push(format!(
                "{FILES}: the last full sweep broke off by a defect, see the daemon's log"
            ));
        }
        let Some(last) = &state.sweeps.last else {
            if nothing_dead {
                return told;
            }
            told.push(match self.sweep.schedule() {
                Schedule::Daily => format!("{FILES}: the first full sweep is not done yet"),
                Schedule::Off => format!(
                    "{FILES}: sweeps are off ([watch] sweep); for one: bascule findings --sweep"
                ),
            });
            return told;
        };
        told.extend(last.skipped.iter().map(|skipped| {
            let examples = skipped.examples.join(", ");
            let more = match skipped.count > skipped.examples.len() as u64 {
                true => ", …",
                false => "",
            };
            format!(
                "{} of the full sweep: {} ({examples}{more})",
                count(skipped.count),
                skipped.why
            )
        }));
        told
    }
}

/// Exactly those, and what we issued: what only looks like an id is of no use without somebody who asks.
const fn wanted<'a>(
    needles: &'a Needles,
    issued: &'a (dyn Fn(&AccessKeyId) -> bool + Sync),
) -> Wanted<'a> {
    Wanted {
        needles: Some(needles),
        issued: Some(issued),
        by_shape: false,
    }
}

/// When the next sweep is due if keys died, the last at that time.
fn due(sweeps: &Sweeps, dead_since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let Some(last) = sweeps.last.as_ref().filter(|_| sweeps.open.is_none()) else {
        return Some(now);
    };
    let ended = last.ended_at.unwrap_or(last.began_at);
    if ended > now {
        // The clock was set back: nobody knows how long ago that was.
        return Some(now);
    }
    // Keys that die one after the other don't keep the disk busy for good.
    let took = ended.duration_since(last.began_at).min(LONGEST_REST);
    let pause = if (last.began_at..=now).contains(&dead_since) {
        took
    } else {
        DAY
    };
    ended.checked_add(pause).ok()
}

const DAY: SignedDuration = SignedDuration::from_hours(24);
/// What a stop in between took is no reason to wait.
const LONGEST_REST: SignedDuration = SignedDuration::from_mins(10);

/// Keeps how far a sweep is, at once with the first it finds and rarely enough from then on.
struct Keeper<'a> {
    app: &'a App,
    /// As it was when this daemon took it up.
    begun: Sweep,
    now: Sweep,
    /// Files since it was kept last.
    found: BTreeSet<PathBuf>,
    kept_at: Option<Instant>,
}

/// Something was found: it is kept, and looked at, after so long.
const SOON: Duration = Duration::from_secs(1);
/// So much is searched again after a crash.
const RARELY: Duration = Duration::from_secs(15);

impl Keeper<'_> {
    fn advance(&mut self, progress: &Progress<'_>) {
        self.now.files = self.begun.files + progress.files;
        self.now.bytes = self.begun.bytes + progress.bytes;
        if let Some(open) = &mut lock(&self.app.sweep.state).sweeps.open {
            (open.files, open.bytes) = (self.now.files, self.now.bytes);
        }
        let wait = match self.found.is_empty() {
            true => RARELY,
            false => SOON,
        };
        if self.kept_at.is_none_or(|at| at.elapsed() >= wait) {
            self.count(progress.files, progress.bytes, &progress.skipped());
            self.keep(progress.checkpoint().map(|at| at.to_string()));
        }
    }

    fn count(&mut self, files: u64, bytes: u64, skips: &Skips) {
        self.now.files = self.begun.files + files;
        self.now.bytes = self.begun.bytes + bytes;
        self.now.skipped = merged(&self.begun.skipped, skips);
    }

    fn keep(&mut self, checkpoint: Option<String>) {
        if let Some(checkpoint) = checkpoint {
            self.now.checkpoint = Some(checkpoint);
        }
        let sweeps = {
            let mut state = lock(&self.app.sweep.state);
            state.sweeps.open = Some(self.now.clone());
            state.sweeps.clone()
        };
        self.store(&sweeps);
        crash::point(Side::After, Write::Sweep);
    }

    fn end(&mut self) {
        self.now.checkpoint = None;
        self.now.ended_at = Some(self.app.now());
        let sweeps = {
            let mut state = lock(&self.app.sweep.state);
            state.sweeps = Sweeps {
                last: Some(self.now.clone()),
                open: None,
            };
            state.running = false;
            state.sweeps.clone()
        };
        self.store(&sweeps);
        tracing::info!(
            files = self.now.files,
            bytes = self.now.bytes,
            "the full sweep is done"
        );
    }

    fn store(&mut self, sweeps: &Sweeps) {
        let mut found: Vec<_> = std::mem::take(&mut self.found).into_iter().collect();
        {
            let mut traces = lock(&self.app.sweep.traces);
            found.retain(|path| traces.add(path.clone()));
        }
        if let Err(error) = self.app.store.keep_sweep(sweeps, &found) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "how far the full sweep is is not kept; after a restart it begins anew"
            );
        }
        if !found.is_empty() {
            self.app.sweep.found.notify_one();
        }
        self.kept_at = Some(Instant::now());
    }
}

/// What was skipped before and since, as far as it may hide something.
fn merged(before: &[SkippedPlaces], since: &Skips) -> Vec<SkippedPlaces> {
    const EXAMPLES: usize = 3;
    let mut all: BTreeMap<String, SkippedPlaces> = BTreeMap::new();
    let since = since.iter().filter(|(reason, _)| reason.is_gap());
    let since = since.map(|(reason, skipped)| SkippedPlaces {
        why: reason.told().to_owned(),
        count: skipped.count,
        examples: skipped
            .examples
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
    });
    for places in before.iter().cloned().chain(since) {
        let entry = all
            .entry(places.why.clone())
            .or_insert_with(|| SkippedPlaces {
                why: places.why,
                count: 0,
                examples: Vec::new(),
            });
        entry.count += places.count;
        for example in places.examples {
            if entry.examples.len() < EXAMPLES && !entry.examples.contains(&example) {
                entry.examples.push(example);
            }
        }
    }
    all.into_values().collect()
}

fn count(places: u64) -> String {
    match places {
        1 => "1 file or folder".to_owned(),
        places => format!("{places} files or folders"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn swept(began: i64, ended: Option<i64>) -> Sweep {
        Sweep {
            began_at: at(began),
            ended_at: ended.map(at),
            roots: Vec::new(),
            checkpoint: None,
            files: 0,
            bytes: 0,
            skipped: Vec::new(),
        }
    }

    #[test]
    fn a_sweep_is_due_after_a_death_and_once_a_day() {
        const DAY: i64 = 86_400;
        let mut sweeps = Sweeps::default();
        assert_eq!(due(&sweeps, at(5), at(10)), Some(at(10)), "the first");
        sweeps.open = Some(swept(9, None));
        assert_eq!(due(&sweeps, at(5), at(10)), Some(at(10)), "it was stopped");
        let ended = |began, ended| Sweeps {
            last: Some(swept(began, Some(ended))),
            open: None,
        };
        let last = ended(100, 160);
        assert_eq!(due(&last, at(5), at(200)), Some(at(160 + DAY)));
        assert_eq!(due(&last, at(5), at(9 * DAY)), Some(at(160 + DAY)), "late");
        assert_eq!(due(&last, at(120), at(200)), Some(at(220)), "one died");
        let long = ended(100, 100 + DAY);
        assert_eq!(due(&long, at(DAY), at(2 * DAY)), Some(at(700 + DAY)));
        assert_eq!(due(&last, at(5), at(50)), Some(at(50)), "set back");
    }

    #[test]
    fn what_was_skipped_before_a_stop_counts_too() {
        let places = |why: &str, count, examples: &[&str]| SkippedPlaces {
            why: why.to_owned(),
            count,
            examples: examples.iter().map(ToString::to_string).collect(),
        };
        let before = [
            places("may not be read", 2, &["/a", "/b"]),
            places("may not be read", 2, &["/b", "/c", "/d"]),
        ];
        assert_eq!(
            merged(&before, &Skips::default()),
            [places("may not be read", 4, &["/a", "/b", "/c"])]
        );
    }
}
