//! What `[access] allow_uid` costs: a refused request on a connection of its own each, through two daemons of
//! which one asks the system who connects, in interleaved rounds of one run. Nothing is asked of a
//! provider, so that what is left is the connection. A third daemon, again without, shows how much the
//! machine itself varies.
//!
//! `BASCULE_BENCH_ROUNDS` sets the rounds (default 15).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench reports on its standard output and gives up by panicking"
)]

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use bascule_tests::{Home, daemon::Start, random_hex};

const CONNECTIONS: u32 = 500;
/// Connections of others that are open meanwhile: the system may have to look through them.
const OTHERS: usize = 500;

/// Microseconds for each connection.
fn measure(address: &str) -> f64 {
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let start = Instant::now();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(CONNECTIONS)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let set = std::env::var("BASCULE_BENCH_ROUNDS").ok();
    let rounds: u32 = set.map_or(15, |text| text.parse().unwrap());
    let own = rustix::process::geteuid().as_raw();
    let named = format!("[access]\nallow_uid = [{own}]\n");
    let daemons = ["", &named, ""].map(|access| {
        let home = Home::new();
        // Those who say nothing are kept as long as the rounds last.
        let settings = format!("[gateway]\nheader_timeout_seconds = 300\n{access}");
        let start = Start::new()
            .arg("--config")
            .arg(home.write("config.toml", &settings));
        let daemon = start.run(&home);
        (daemon, home)
    });
    let ways: Vec<&str> = daemons
        .iter()
        .map(|(daemon, _)| daemon.gateway_address())
        .collect();
    for others in [0, OTHERS] {
        let _open: Vec<_> = (0..others)
            .map(|at| TcpStream::connect(ways[at % ways.len()]).unwrap())
            .collect();
        compare(&ways, rounds, others);
    }
}

fn compare(ways: &[&str], rounds: u32, others: usize) {
    for way in ways {
        measure(way);
    }
    let mut took = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        let mut order: Vec<_> = (0..ways.len()).map(|way| (random_hex(4), way)).collect();
        order.sort();
        for (_, way) in order {
            took[way].push(measure(ways[way]));
        }
    }
    let without = median(&mut took[0].clone());
    for (name, way) in [("with", 1), ("without, again", 2)] {
        // Neighbours of one round are compared, before they are sorted.
        let mut more: Vec<_> = took[way]
            .iter()
            .zip(&took[0])
            .map(|(with, without)| with - without)
            .collect();
        let gained = median(&mut more);
        println!(
            "{others} others open, {name}: {:.1} microseconds for a connection, {without:.1} without: {gained:+.1} ({:+.1} to {:+.1})",
            median(&mut took[way].clone()),
            more[0],
            more[more.len() - 1],
        );
    }
}
