//! What the usage ledger costs at full load: the same small reads through two daemons in front of
//! the same MinIO, one with the ledger and one without, in interleaved rounds of one run. Printed
//! are the median rates and the median of the ratios of each round; the goal is a cost of 3 % at
//! most. A second pair of figures has the ledger off in both, to show how much the machine itself
//! varies.
//!
//! `BASCULE_BENCH_ROUNDS` sets the rounds (default 15).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench reports on its standard output and gives up by panicking"
)]

use std::time::Instant;

use bascule_tests::{S3, World, random_hex, runtime};
use bytes::Bytes;
use http::Method;

const BYTES: usize = 4 << 10;
const AT_ONCE: usize = 32;
const REQUESTS: usize = 3_200;
const OFF: &str = "[usage]\nenabled = false\n";

/// Requests per second.
fn measure(s3: &S3, bucket: &str) -> f64 {
    let path = format!("/{bucket}/read");
    let start = Instant::now();
    runtime().block_on(async {
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let (s3, path) = (s3.clone(), path.clone());
            workers.spawn(async move {
                for _ in 0..REQUESTS / AT_ONCE {
                    let reply = s3.send(Method::GET, &path, &[], Bytes::new()).await;
                    let reply = reply.expect("an answer");
                    assert_eq!((reply.status, reply.body.len()), (200, BYTES));
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.expect("a worker that did not panic");
        }
    });
    REQUESTS as f64 / start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let rounds: usize = std::env::var("BASCULE_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(15);
    let worlds: Option<Vec<_>> = ["", OFF, OFF].map(World::configured).into_iter().collect();
    let Some(worlds) = worlds else { return };
    let bucket = worlds[0].minio.bucket();
    let direct = worlds[0].minio.s3();
    direct
        .put(&bucket, "read", vec![7; BYTES])
        .expect("an object to read");
    let ways: Vec<S3> = worlds
        .iter()
        .map(|world| {
            world.connect("bench", &[&bucket]);
            world.issue("bench", "bench").s3()
        })
        .collect();
    for way in &ways {
        // So that no round pays for the first connections.
        measure(way, &bucket);
    }
    let mut rates = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        let mut order: Vec<_> = (0..ways.len()).map(|way| (random_hex(4), way)).collect();
        order.sort();
        for (_, way) in order {
            rates[way].push(measure(&ways[way], &bucket));
        }
    }
    let counted = worlds[0].cli().run(&["usage", "bench"]).ok();
    assert_eq!(
        counted["rows"][0]["requests"],
        (rounds + 1) * REQUESTS,
        "every request is counted"
    );
    println!(
        "{:<22} {:>12} {:>12} {:>8} {:>15}",
        "GET 4 KiB c=32", "without/s", "with/s", "ratio", "(min-max)"
    );
    for (name, way) in [("ledger on", 0), ("ledger off, again", 2)] {
        let mut ratios: Vec<_> = rates[way]
            .iter()
            .zip(&rates[1])
            .map(|(with, without)| with / without)
            .collect();
        let ratio = median(&mut ratios);
        println!(
            "{name:<22} {:>12.1} {:>12.1} {ratio:>8.3} {:>15}",
            median(&mut rates[1].clone()),
            median(&mut rates[way].clone()),
            format!("({:.2}-{:.2})", ratios[0], ratios[ratios.len() - 1]),
        );
    }
}
