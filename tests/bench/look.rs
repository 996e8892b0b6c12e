//! How long a look at the known places takes, in a home of a few dozen units next to this machine's own
//! `/etc`: first, and again each time a file has changed. Goal: at most 50 ms.
//!
//! `BASCULE_BENCH_ROUNDS` sets how often it is looked again (default 40).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench reports on its standard output and gives up by panicking"
)]

use std::{fs, os::unix::fs::symlink, path::Path, time::Instant};

use bascule_domain::Timestamp;
use bascule_watch::{
    Environment, Machine,
    scan::{self, Scope},
};

const UNITS: u32 = 36;

fn main() {
    let set = std::env::var("BASCULE_BENCH_ROUNDS").ok();
    let rounds: u32 = set.map_or(40, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let units = home.join(".config/systemd/user");
    fs::create_dir_all(units.join("timers.target.wants")).unwrap();
    fs::create_dir_all(home.join(".config/rclone")).unwrap();
    for number in 0..UNITS {
        let job = |end: &str| units.join(format!("job{number}.{end}"));
        let run = format!("[Service]\nExecStart=/usr/bin/rclone sync /srv/{number} r:b{number}\n");
        fs::write(job("service"), run).unwrap();
        fs::write(job("timer"), "[Timer]\nOnCalendar=daily\n").unwrap();
        let wanted = format!("timers.target.wants/job{number}.timer");
        symlink(format!("../job{number}.timer"), units.join(wanted)).unwrap();
    }
    let first = look(home, 0);
    let mut again: Vec<f64> = (1..=rounds).map(|round| look(home, round)).collect();
    again.sort_by(f64::total_cmp);
    println!(
        "a look: first {first:.1} ms; again after a changed file {:.1} ms ({:.1}-{:.1}; goal 50)",
        again[again.len() / 2],
        again[0],
        again[again.len() - 1]
    );
}

/// Changes the key of the home's remote, and looks; in milliseconds.
fn look(home: &Path, round: u32) -> f64 {
    let id = format!("AKIA{round:016}");
    let text = format!("[r]\ntype = s3\naccess_key_id = {id}\nsecret_access_key = secretsecret\n");
    fs::write(home.join(".config/rclone/rclone.conf"), text).unwrap();
    let mut environment = Environment::of(Some(home.to_owned()), home.to_owned());
    environment.set("PATH", "/usr/local/bin:/usr/bin:/bin");
    let started = Instant::now();
    let machine = Machine::local(environment, 0, Timestamp::UNIX_EPOCH);
    let picture = scan::known(&machine, Scope::FILES);
    let took = started.elapsed().as_secs_f64() * 1000.0;
    let jobs = picture
        .uses
        .iter()
        .filter(|found| found.key.id.as_str() == id);
    assert_eq!(jobs.count(), UNITS as usize, "each unit uses the new key");
    took
}
