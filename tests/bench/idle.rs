//! What a daemon costs that has nothing to do: how often its threads wake in a minute, next to a
//! `sleep infinity` in the same minute, and what it holds at rest, right after its start and after looks
//! and a full sweep. It watches a home with configurations, and knows a living and a dead key, so that
//! everything that may wait for something does.
//!
//! `BASCULE_BENCH_SECONDS` sets the length of the windows (default 60), `BASCULE_BENCH_ROUNDS` how many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench reports on its standard output and gives up by panicking"
)]

use std::{
    collections::BTreeMap,
    process::{Child, Command},
    thread::sleep,
    time::Duration,
};

use bascule_tests::{Daemon, World, measure, wait};

const DEAD: &str = "AKIAZQ7R2M4N6P3B5C2D";
const LOOKS: usize = 5;

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn mebibytes(daemon: &Daemon) -> f64 {
    let held = measure::held(daemon.pid()).expect("the daemon's /proc");
    held.resident as f64 / (1 << 20) as f64
}

/// Waits until nothing woke for a few seconds: what a start has set in motion is over.
fn settle(pid: u32) {
    let mut before = BTreeMap::new();
    wait::until("the daemon to settle", || {
        sleep(Duration::from_secs(3));
        let now = measure::switches(pid)?;
        let settled = woken(&before, &now) <= 3;
        before = now;
        settled.then_some(())
    });
}

fn woken(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> u64 {
    let since = |(name, now): (&String, &u64)| now - before.get(name).unwrap_or(&0);
    after.iter().map(since).sum()
}

/// Ended with the bench.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    println!(
        "at rest right after the start: {:.1} MiB",
        mebibytes(&world.daemon)
    );
    world.connect("bench", &[&bucket]);
    let key = world.issue("bench", "bench");
    world.rclone_config(&key.rclone_section("gate"));
    std::fs::write(world.home.path("home/notes"), DEAD).expect("a file in the home");
    world.cli().run(&["key", "mark-dead", DEAD]).ok();
    key.s3()
        .put(&bucket, "a", vec![7; 4096])
        .expect("a request");
    let swept = world.cli().run(&["findings", "--sweep"]).ok();
    assert_eq!(
        swept["findings"].as_array().map(Vec::len),
        Some(1),
        "{swept}"
    );
    for _ in 0..LOOKS {
        world.cli().run(&["findings", "--look"]).ok();
    }
    settle(world.daemon.pid());
    println!(
        "at rest after {LOOKS} looks and a full sweep: {:.1} MiB",
        mebibytes(&world.daemon)
    );
    let sleeper = Sleeper(
        Command::new("sleep")
            .arg("infinity")
            .spawn()
            .expect("sleep of the system"),
    );
    let seconds = number("BASCULE_BENCH_SECONDS", 60);
    for round in 1..=number("BASCULE_BENCH_ROUNDS", 3) {
        let look = |pid| measure::switches(pid).expect("its /proc");
        let (ours, theirs) = (look(world.daemon.pid()), look(sleeper.0.id()));
        sleep(Duration::from_secs(seconds));
        let (now, slept) = (look(world.daemon.pid()), look(sleeper.0.id()));
        println!(
            "round {round}, {seconds} s: the daemon's {} threads woke {} times, sleep {}",
            now.len(),
            woken(&ours, &now),
            woken(&theirs, &slept)
        );
        for (name, after) in &now {
            let times = after - ours.get(name).unwrap_or(&0);
            if times > 0 {
                println!("    {name}: {times}");
            }
        }
    }
}
