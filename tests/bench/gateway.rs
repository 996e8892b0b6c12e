//! What the gateway costs: the same requests through it and directly at the same MinIO, in the
//! same run, in shuffled rounds. Printed are the median rate on both ways and the median of the
//! ratios of each round; absolute rates of two runs must not be compared.
//!
//! `BASCULE_BENCH_ROUNDS` sets the rounds (default 9). A filter on the command line picks
//! operations by name.

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

/// One kind of request.
struct Operation {
    name: &'static str,
    method: Method,
    bytes: usize,
    at_once: usize,
    requests: usize,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const fn operation(
    name: &'static str,
    method: Method,
    bytes: usize,
    at_once: usize,
    requests: usize,
) -> Operation {
    Operation {
        name,
        method,
        bytes,
        at_once,
        requests,
    }
}

static OPERATIONS: [Operation; 7] = [
    operation("GET 4 KiB c=1", Method::GET, 4 * KIB, 1, 400),
    operation("GET 4 KiB c=32", Method::GET, 4 * KIB, 32, 1_600),
    operation("GET 64 MiB c=1", Method::GET, 64 * MIB, 1, 6),
    operation("GET 64 MiB c=4", Method::GET, 64 * MIB, 4, 8),
    operation("PUT 4 KiB c=1", Method::PUT, 4 * KIB, 1, 200),
    operation("PUT 4 KiB c=32", Method::PUT, 4 * KIB, 32, 640),
    operation("PUT 16 MiB c=1", Method::PUT, 16 * MIB, 1, 8),
];

/// Requests per second.
fn measure(s3: &S3, bucket: &str, operation: &Operation) -> f64 {
    let (object, body) = match operation.method {
        Method::GET => (format!("read-{}", operation.bytes), Bytes::new()),
        _ => (
            format!("written-{}", operation.bytes),
            Bytes::from(vec![7; operation.bytes]),
        ),
    };
    let each = operation.requests / operation.at_once;
    let start = Instant::now();
    runtime().block_on(async {
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..operation.at_once {
            let (s3, body, method) = (s3.clone(), body.clone(), operation.method.clone());
            let path = match operation.method {
                Method::GET => format!("/{bucket}/{object}"),
                _ => format!("/{bucket}/{object}-{worker}"),
            };
            let expected = if method == Method::GET {
                operation.bytes
            } else {
                0
            };
            workers.spawn(async move {
                for _ in 0..each {
                    let reply = s3
                        .send(method.clone(), &path, &[], body.clone())
                        .await
                        .expect("an answer");
                    assert_eq!((reply.status, reply.body.len()), (200, expected));
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.expect("a worker that did not panic");
        }
    });
    (each * operation.at_once) as f64 / start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An order that differs from round to round.
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).map(|number| (random_hex(4), number)).collect();
    order.sort();
    order.into_iter().map(|(_, number)| number).collect()
}

fn main() {
    let filter = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let rounds = std::env::var("BASCULE_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(9);
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("bench", &[&bucket]);
    let direct = world.minio.s3();
    let through = world.issue("bench", "bench").s3();
    let chosen: Vec<_> = OPERATIONS
        .iter()
        .filter(|operation| {
            filter
                .as_ref()
                .is_none_or(|text| operation.name.contains(text.as_str()))
        })
        .collect();
    for operation in &chosen {
        let name = format!("read-{}", operation.bytes);
        direct
            .put(&bucket, &name, vec![7; operation.bytes])
            .expect("an object to read");
        // Both ways once, so that no round pays for the first connection.
        measure(&direct, &bucket, operation);
        measure(&through, &bucket, operation);
    }
    let mut rates = vec![(Vec::new(), Vec::new()); chosen.len()];
    for _ in 0..rounds {
        let mut seen = vec![(0.0, 0.0); chosen.len()];
        for number in shuffled(chosen.len() * 2) {
            let (which, by_gateway) = (number / 2, number % 2 == 1);
            let rate = measure(
                if by_gateway { &through } else { &direct },
                &bucket,
                chosen[which],
            );
            if by_gateway {
                seen[which].1 = rate;
            } else {
                seen[which].0 = rate;
            }
        }
        for (all, (direct, through)) in rates.iter_mut().zip(seen) {
            all.0.push(direct);
            all.1.push(through);
        }
    }
    println!(
        "{:<16} {:>12} {:>12} {:>8} {:>15}",
        "operation", "direct/s", "gateway/s", "ratio", "(min-max)"
    );
    for (operation, (mut direct, mut through)) in chosen.iter().zip(rates) {
        let mut ratios: Vec<_> = direct.iter().zip(&through).map(|(d, t)| t / d).collect();
        let ratio = median(&mut ratios);
        println!(
            "{:<16} {:>12.1} {:>12.1} {ratio:>8.2} {:>15}",
            operation.name,
            median(&mut direct),
            median(&mut through),
            format!("({:.2}-{:.2})", ratios[0], ratios[ratios.len() - 1]),
        );
    }
}
