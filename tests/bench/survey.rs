//! How long the survey of a bucket with 1,000,000 objects takes, next to `rclone size`, `s5cmd ls`
//! and `mc ls -r` in the same run, and what the daemon holds meanwhile. The listing is made up,
//! because a real server would need hours to be filled; it takes a while for each page, as a
//! provider at a distance does, and none in a second part of the run. Goal: a third of the time of
//! the fastest of them.
//!
//! `BASCULE_BENCH_OBJECTS` sets the objects (default 1,000,000), `BASCULE_BENCH_DELAY` the
//! milliseconds for a page (default 40), `BASCULE_BENCH_ROUNDS` the rounds (default 3).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench reports on its standard output and gives up by panicking"
)]

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bascule_domain::Timestamp;
use bascule_tests::{
    Cli, Daemon, Home,
    generated::{BUCKET, Generated},
    measure, tools,
};

const MIB: u64 = 1 << 20;

fn setting(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let objects = setting("BASCULE_BENCH_OBJECTS", 1_000_000);
    let delay = Duration::from_millis(setting("BASCULE_BENCH_DELAY", 40));
    for delay in [delay, Duration::ZERO] {
        println!("{objects} objects, {} ms for each page", delay.as_millis());
        compare(objects, delay, setting("BASCULE_BENCH_ROUNDS", 3));
    }
}

fn compare(objects: u64, delay: Duration, rounds: u64) {
    let provider = Generated::start_slow(objects, delay);
    let mut ours = Vec::new();
    let mut theirs: Vec<(&str, Vec<f64>)> = Vec::new();
    for _ in 0..rounds {
        let (took, grown) = survey(&provider, objects);
        println!(
            "  survey: {took:.2} s, the daemon grew by {:.1} MiB",
            grown as f64 / MIB as f64
        );
        ours.push(took);
        for (name, command) in contenders(&provider) {
            let took = run(name, command);
            println!("  {name}: {took:.2} s");
            match theirs.iter_mut().find(|(known, _)| *known == name) {
                Some((_, all)) => all.push(took),
                None => theirs.push((name, vec![took])),
            }
        }
    }
    let ours = median(&mut ours);
    let fastest = theirs
        .iter_mut()
        .map(|(name, all)| (median(all), *name))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    let Some((fastest, name)) = fastest else {
        println!("  no other tool is here to compare with");
        return;
    };
    println!(
        "  survey {ours:.2} s, {name} {fastest:.2} s: {:.1} times (goal 3)",
        fastest / ours
    );
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Seconds that the first survey of a deletion took, by its receipt, and by how much the daemon's
/// peak grew in the whole deletion.
fn survey(provider: &Generated, objects: u64) -> (f64, u64) {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let endpoint = provider.endpoint();
    let connect = [
        "connect",
        "photos",
        "--provider",
        "minio",
        "--bucket",
        BUCKET,
    ];
    let at = [
        "--endpoint",
        &endpoint,
        "--allow-http",
        "--credentials-stdin",
    ];
    let (id, secret) = provider.credentials();
    cli.run_with(&[&connect[..], &at].concat(), &format!("{id}\n{secret}\n"))
        .ok();
    let before = measure::held(daemon.pid()).map_or(0, |held| held.peak);
    let done = cli.run(&["delete", "photos", "--yes"]).verdict("intact");
    let after = measure::held(daemon.pid()).map_or(0, |held| held.peak);
    let receipt = cli
        .run(&["receipt", "show", done["id"].as_str().unwrap()])
        .ok();
    assert_eq!(receipt["surveys"]["after"][0]["objects"], objects);
    let time = |name: &str| {
        receipt[name]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .unwrap()
    };
    let took = time("revoked_at").duration_since(time("requested_at"));
    (took.as_secs_f64(), after - before)
}

fn contenders(provider: &Generated) -> Vec<(&'static str, Command)> {
    let endpoint = provider.endpoint();
    let (id, secret) = provider.credentials();
    let tool = |name| tool(name, provider);
    let mut found = Vec::new();
    if let Some(mut rclone) = tool("rclone") {
        let remote = format!(
            ":s3,provider=Minio,list_version=2,access_key_id={id},secret_access_key={secret},endpoint='{endpoint}':{BUCKET}"
        );
        rclone.args(["size", "--fast-list", "--config", "/dev/null", &remote]);
        found.push(("rclone size", rclone));
    }
    if let Some(mut s5cmd) = tool("s5cmd") {
        s5cmd.args([
            "--endpoint-url",
            &endpoint,
            "ls",
            &format!("s3://{BUCKET}/*"),
        ]);
        found.push(("s5cmd ls", s5cmd));
    }
    if let Some(mut mc) = tool("mc") {
        let alias = endpoint.replace("http://", &format!("http://{id}:{secret}@"));
        mc.env("MC_HOST_here", alias)
            .env(
                "MC_CONFIG_DIR",
                std::env::temp_dir().join("bascule-bench-mc"),
            )
            .args(["ls", "-r", &format!("here/{BUCKET}")]);
        found.push(("mc ls -r", mc));
    }
    found
}

fn tool(name: &str, provider: &Generated) -> Option<Command> {
    let (id, secret) = provider.credentials();
    let mut command = Command::new(tools::find(name)?);
    command
        .env("AWS_ACCESS_KEY_ID", id)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_REGION", "us-east-1")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    Some(command)
}

fn run(name: &str, mut command: Command) -> f64 {
    let started = Instant::now();
    let status = command.status().unwrap();
    assert!(status.success(), "{name} ended with {status}");
    started.elapsed().as_secs_f64()
}
