//! What the gateway costs: the same requests directly, through nginx as a plain reverse proxy that
//! checks nothing, through the gateway, and through `rclone serve s3`; interleaved in one run, on a
//! real MinIO and on a stub that takes the provider out of the picture. Printed are rates, waiting
//! times, the most memory each program held, and the ratios of each round: absolute rates of two
//! runs must not be compared. `tests/bench/README.md` says how to read them.
//!
//! `BASCULE_BENCH_ROUNDS` sets the rounds (default 9), `BASCULE_BENCH_MILLIS` how long each
//! measurement lasts (default 500). A filter on the command line picks rows by a part of their
//! name, such as `stub` or `GET 4 KiB`; `memory` and `keys` pick the two sections at the end.
//! `BASCULE_BENCH_WAY` names one way, to look at it with a profiler.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench reports on its standard output, gives up by panicking, and measures real time"
)]

mod contenders;
mod keys;
mod load;
mod memory;
mod report;
mod requests;
mod stub;

use std::time::Duration;

use bascule_tests::random_hex;

use crate::{
    contenders::{Contender, Field},
    load::Sample,
    requests::{OPERATIONS, Operation},
};

/// What one contender did in all rounds of one row.
#[derive(Default)]
struct Record {
    samples: Vec<Sample>,
    /// The most that its processes held at once, in bytes.
    peak: u64,
    /// What its processes used of the processors.
    processor: Duration,
    /// Why it was left out.
    failure: Option<String>,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// An order that differs from round to round.
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).map(|number| (random_hex(4), number)).collect();
    order.sort();
    order.into_iter().map(|(_, number)| number).collect()
}

fn measure(contender: &Contender, operation: &Operation, record: &mut Record, window: Duration) {
    if record.failure.is_some() {
        return;
    }
    contender.forget_peak();
    let before = contender.processor_time();
    match load::run(&contender.target, operation, window) {
        Ok(sample) => record.samples.push(sample),
        Err(error) => record.failure = Some(format!("{error:#}")),
    }
    record.processor += contender.processor_time().saturating_sub(before);
    record.peak = record.peak.max(contender.peak());
}

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| filter.as_ref().is_none_or(|part| name.contains(part));
    let rounds = setting("BASCULE_BENCH_ROUNDS", 9);
    let window = Duration::from_millis(setting("BASCULE_BENCH_MILLIS", 500));
    let way = std::env::var("BASCULE_BENCH_WAY").ok();
    let Some(field) = Field::new() else { return };

    let mut rows: Vec<_> = field
        .upstreams
        .iter()
        .flat_map(|upstream| {
            OPERATIONS
                .iter()
                .map(move |operation| (upstream, operation))
        })
        .filter(|(upstream, operation)| wanted(&format!("{} {}", upstream.name, operation.name)))
        .map(|(upstream, operation)| {
            let records: Vec<_> = upstream
                .contenders
                .iter()
                .map(|_| Record::default())
                .collect();
            (upstream, operation, records)
        })
        .collect();
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for row in shuffled(rows.len()) {
            let (upstream, operation, records) = &mut rows[row];
            // One after another, so that a ratio compares neighbours in time.
            for which in shuffled(upstream.contenders.len()) {
                let contender = &upstream.contenders[which];
                if way.as_ref().is_some_and(|way| contender.name != way) {
                    continue;
                }
                measure(contender, operation, &mut records[which], window);
            }
        }
    }
    for upstream in &field.upstreams {
        let of_this: Vec<_> = rows
            .iter()
            .filter(|(of, _, _)| of.name == upstream.name)
            .map(|(_, operation, records)| (*operation, records.as_slice()))
            .collect();
        if !of_this.is_empty() {
            report::print(upstream, &of_this, rounds);
        }
    }
    if wanted("memory") {
        memory::run(&field);
    }
    if wanted("keys") {
        keys::run();
    }
}
