//! Hours of use in one run: a mixed load and 1,000 slow clients, while connections and keys come and go.
//! Every answer is checked, and what the daemon holds must not grow once the load is warm (threats.md,
//! goal figures: drift of resident memory below 5 %, none of descriptors).
//!
//! `BASCULE_SOAK_SECONDS` sets its length: 300 unless set, an hour by `.ci/long soak`.
//!
//! How noise is kept out: memory is looked at while the working load rests, with all slow clients in
//! place, as the median of several looks; what counts is the process's own memory, not the pages of its
//! program; medians of stretches are compared, not single moments; and the load is given up to half of
//! the time to become warm. Descriptors are counted exactly, twice, after every client has left.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a soak reports on its standard output and gives up by panicking"
)]

mod course;
mod drift;
mod load;
mod slow;

use std::{
    sync::{atomic::Ordering::SeqCst, mpsc},
    thread::{self, Scope},
    time::{Duration, Instant},
};

use bascule_tests::{
    Issued, World,
    measure::{Held, held, on_disk},
    wait,
};

use self::{
    course::Course,
    load::{LARGE, MIB},
    slow::{SMALL, Target},
};

const WORKERS: usize = 3;
const SLOW_CLIENTS: usize = 1000;
/// Looks at memory in one rest.
const LOOKS: usize = 5;
/// Rests in a run; a short one has fewer.
const RESTS: u64 = 60;

struct Soak {
    world: World,
    key: Issued,
    slow_key: Issued,
    bucket: String,
    start: Instant,
}

impl Soak {
    fn new() -> Option<Self> {
        let world = World::configured("[gateway]\nmax_connections = 4096\n")?;
        let bucket = world.minio.bucket();
        world.connect("steady", &[&bucket]);
        let (key, slow_key) = (world.issue("steady", "soak"), world.issue("steady", "slow"));
        let direct = world.minio.s3();
        direct.put(&bucket, LARGE, load::body(0, 4 * MIB)).unwrap();
        direct.put(&bucket, "small", SMALL).unwrap();
        Some(Self {
            world,
            key,
            slow_key,
            bucket,
            start: Instant::now(),
        })
    }

    fn held(&self) -> Held {
        held(self.world.daemon.pid()).expect("the daemon runs, and /proc is there")
    }

    /// The slow clients, on a thread of their own; they are all connected when this returns.
    fn slow_clients<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        course: &'scope Course,
    ) {
        let target = Target {
            key: &self.slow_key,
            bucket: &self.bucket,
        };
        let (up, is_up) = mpsc::channel();
        scope.spawn(move || {
            slow::trickle(course, &target, SLOW_CLIENTS, move || up.send(()).unwrap());
        });
        is_up.recv().expect("the slow clients to connect");
    }

    /// Waiting times of small reads by nobody but this.
    fn waits(&self, length: Duration) -> Waits {
        let s3 = self.key.s3();
        let (start, mut waits) = (Instant::now(), Vec::new());
        while start.elapsed() < length || waits.len() < 200 {
            let begun = Instant::now();
            assert_eq!(s3.get(&self.bucket, "small").unwrap().body, SMALL);
            waits.push(begun.elapsed().as_micros() as u64);
        }
        waits.sort_unstable();
        Waits {
            median: waits[waits.len() / 2],
            p99: waits[waits.len() * 99 / 100],
        }
    }

    /// The descriptors once every client has left and connections to the provider are given up: always
    /// the same number, unless one is lost.
    fn alone(&self) -> Alone {
        let mut last = (usize::MAX, Instant::now());
        wait::within(
            Duration::from_secs(600),
            "the descriptors to settle",
            || {
                let open = self.held().descriptors?;
                if open != last.0 {
                    last = (open, Instant::now());
                }
                // Longer than connections to the provider are kept (adapters, `pool`).
                (last.1.elapsed() > Duration::from_secs(20)).then(|| Alone {
                    descriptors: open,
                    own: self.held().own,
                })
            },
        )
    }

    /// Runs everything until the time is over, and returns what was held at each rest.
    fn under_load(&self, length: Duration, rests: u64) -> (Waits, Vec<u64>) {
        let course = &Course::default();
        thread::scope(|scope| {
            self.slow_clients(scope, course);
            let _end = course::EndsWith(course);
            let waits = self.waits(length / 20);
            for worker in 0..WORKERS {
                scope.spawn(move || load::work(course, &self.key, &self.bucket, worker));
            }
            scope.spawn(move || load::come_and_go(course, &self.world));
            let (start, mut seen) = (Instant::now(), Vec::new());
            for rest in 1..=rests {
                let until = length.mul_f64(rest as f64 / rests as f64);
                while start.elapsed() < until && course.goes_on() {
                    thread::sleep(Duration::from_millis(50));
                }
                if !course.goes_on() {
                    break;
                }
                seen.push(course.at_rest(|| self.look(course)));
            }
            (waits, seen)
        })
    }

    /// The memory that is held while nobody but the slow clients is there.
    fn look(&self, course: &Course) -> u64 {
        let looks: Vec<_> = (0..LOOKS)
            .map(|_| {
                thread::sleep(Duration::from_millis(100));
                self.held()
            })
            .collect();
        let own: Vec<_> = looks.iter().map(|held| held.own).collect();
        let (own, last) = (drift::median(&own), looks[LOOKS - 1]);
        println!(
            "{:>8.0} {:>10} {:>12} {:>8} {:>9.2} {:>13.1} {:>12} {:>8} {:>10.1}",
            self.start.elapsed().as_secs_f64(),
            course.requests.load(SeqCst),
            course.connections.load(SeqCst),
            course.slow.load(SeqCst),
            mebibytes(own),
            mebibytes(last.resident),
            last.descriptors
                .map_or_else(|| "-".to_owned(), |open| open.to_string()),
            last.threads,
            mebibytes(on_disk(&self.world.home.state())),
        );
        own
    }
}

/// What is held once nobody is there.
struct Alone {
    descriptors: usize,
    own: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waits {
    median: u64,
    p99: u64,
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

fn length() -> Duration {
    let seconds = std::env::var("BASCULE_SOAK_SECONDS").ok();
    Duration::from_secs(seconds.map_or(300, |text| text.parse().expect("a number of seconds")))
}

#[test]
fn h1_a_mixed_load_with_1000_slow_clients_takes_no_more_memory_and_descriptors_with_time() {
    let Some(soak) = Soak::new() else { return };
    let length = length();
    let rests = (length.as_secs() / 5).clamp(16, RESTS);
    println!(
        "{:>8} {:>10} {:>12} {:>8} {:>9} {:>13} {:>12} {:>8} {:>10}",
        "seconds",
        "requests",
        "connections",
        "slow",
        "own MiB",
        "resident MiB",
        "descriptors",
        "threads",
        "state MiB"
    );
    let before = soak.waits(length / 20);
    // Short, so that all is open that stays open.
    soak.under_load(length / 10, 3);
    let open = soak.alone();
    let (beside, seen) = soak.under_load(length, rests);
    let at_the_end = soak.alone();
    let after = soak.waits(length / 20);

    println!(
        "small reads, microseconds, median / p99: alone {} / {}, beside {SLOW_CLIENTS} slow clients {} / {}, alone again {} / {}",
        before.median, before.p99, beside.median, beside.p99, after.median, after.p99
    );
    println!(
        "p99 beside slow clients is {:.2} of that alone (goal: below 2)",
        beside.p99 as f64 * 2.0 / (before.p99 + after.p99) as f64
    );
    assert_eq!(seen.len() as u64, rests, "the load ended early");
    let drift = drift::Course::new(seen).drift();
    println!(
        "own memory: {:.2} MiB when warm (rest {}), {:.2} MiB at the end: {:+.1} %",
        mebibytes(drift.warm),
        drift.warm_from + 1,
        mebibytes(drift.end),
        drift.thousandths() as f64 / 10.0,
    );
    println!(
        "alone: {:.2} MiB and {} descriptors at first, {:.2} MiB and {} descriptors at the end",
        mebibytes(open.own),
        open.descriptors,
        mebibytes(at_the_end.own),
        at_the_end.descriptors
    );
    let most = if rests == RESTS {
        drift::MOST
    } else {
        drift::MOST_OF_A_SHORT_ONE
    };
    assert!(drift.thousandths() < most, "memory grows: {drift:?}");
    assert_eq!(
        at_the_end.descriptors, open.descriptors,
        "descriptors are lost"
    );
}
