//! Prints a table for one upstream, in Markdown.

use std::time::Duration;

use crate::{Record, contenders::Upstream, requests::Operation};

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The wait that this share of the requests did not exceed, in microseconds.
fn percentile(record: &Record, share: f64) -> f64 {
    let waits = record.samples.iter().flat_map(|sample| &sample.waits);
    let waits = sorted(waits.map(Duration::as_secs_f64).collect());
    let at = ((waits.len() as f64 * share) as usize).min(waits.len().saturating_sub(1));
    waits.get(at).map_or(f64::NAN, |seconds| seconds * 1e6)
}

/// Processor time of the way itself for one request, in microseconds.
fn processor(record: &Record) -> f64 {
    let requests: usize = record.samples.iter().map(|sample| sample.requests).sum();
    record.processor.as_secs_f64() * 1e6 / requests as f64
}

fn rates(record: &Record) -> Vec<f64> {
    record.samples.iter().map(|sample| sample.rate).collect()
}

/// The median of the ratios of each round, and the smallest and largest.
fn ratio(of: &Record, to: &Record) -> String {
    let each: Vec<_> = rates(of)
        .iter()
        .zip(rates(to))
        .map(|(of, to)| of / to)
        .collect();
    let each = sorted(each);
    match (each.first(), each.last()) {
        (Some(least), Some(most)) => {
            format!("{:.2} ({least:.2}-{most:.2})", median(each.clone()))
        }
        _ => "-".to_owned(),
    }
}

/// Prints what was seen at one upstream.
pub(crate) fn print(upstream: &Upstream, rows: &[(&Operation, &[Record])], rounds: u64) {
    println!("\n### Upstream: {}, {rounds} rounds\n", upstream.name);
    println!(
        "| operation | way | req/s | MiB/s | p50 µs | p99 µs | peak MiB | CPU µs | to direct | to nginx | goal |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let nginx = upstream
        .contenders
        .iter()
        .position(|contender| contender.name == "nginx");
    for (operation, records) in rows {
        for (contender, record) in upstream.contenders.iter().zip(*records) {
            let goal = match (contender.name, upstream.name) {
                ("bascule", "stub") if operation.goal > 0.0 => format!("{:.2}", operation.goal),
                ("bascule", "MinIO") => "0.95".to_owned(),
                _ => String::new(),
            };
            if let Some(failure) = &record.failure {
                let short: String = failure.chars().take(80).collect();
                let short = short.replace(['|', '\n', '\r'], " ");
                println!(
                    "| {} | {} | - | | | | | | {short} | | |",
                    operation.name, contender.name
                );
                continue;
            }
            let rate = median(rates(record));
            println!(
                "| {} | {} | {rate:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {} | {} | {goal} |",
                operation.name,
                contender.name,
                rate * operation.bytes as f64 / (1024.0 * 1024.0),
                percentile(record, 0.5),
                percentile(record, 0.99),
                record.peak as f64 / (1024.0 * 1024.0),
                processor(record),
                ratio(record, &records[0]),
                nginx.map_or_else(|| "-".to_owned(), |nginx| ratio(record, &records[nginx])),
            );
        }
    }
}
