//! `bascule metrics`: what the daemon counted, for Prometheus.

use std::collections::BTreeMap;

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::Context;
use crate::{error::Error, exit::Exit};

/// Print what was counted since the daemon started, in the text format of Prometheus
///
/// Nothing listens on the network for it. To have it scraped, write it to a file that the
/// node exporter collects, from a timer.
///
/// Examples:
///   bascule metrics
///   bascule metrics > /var/lib/node_exporter/bascule.prom
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Document<'a> {
    metrics: Vec<Family<'a>>,
}

#[derive(Serialize)]
struct Family<'a> {
    name: &'a str,
    kind: &'static str,
    help: &'a str,
    samples: Vec<Sample<'a>>,
}

#[derive(Serialize)]
struct Sample<'a> {
    labels: BTreeMap<&'a str, &'a str>,
    value: u64,
}

pub(crate) async fn run(_: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::MetricsRequest {};
    let families = context
        .client()
        .await?
        .system()
        .metrics(request)
        .await?
        .into_inner()
        .families;
    let document = Document {
        metrics: families.iter().map(family).collect(),
    };
    context.output.result(&document, || exposition(&families))?;
    Ok(Exit::Ok)
}

fn family(wire: &v1::MetricFamily) -> Family<'_> {
    let samples = wire.samples.iter().map(|sample| Sample {
        labels: sample
            .labels
            .iter()
            .map(|label| (&*label.name, &*label.value))
            .collect(),
        value: sample.value,
    });
    Family {
        name: &wire.name,
        kind: kind(wire.kind()),
        help: &wire.help,
        samples: samples.collect(),
    }
}

const fn kind(wire: v1::MetricKind) -> &'static str {
    match wire {
        v1::MetricKind::Counter => "counter",
        v1::MetricKind::Gauge => "gauge",
        v1::MetricKind::Unspecified => "untyped",
    }
}

/// The text format, version 0.0.4.
fn exposition(families: &[v1::MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        let (name, kind) = (&family.name, kind(family.kind()));
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for sample in &family.samples {
            let labels: Vec<_> = sample
                .labels
                .iter()
                .map(|label| format!("{}=\"{}\"", label.name, escaped(&label.value)))
                .collect();
            text.push_str(name);
            if !labels.is_empty() {
                text.push_str(&format!("{{{}}}", labels.join(",")));
            }
            text.push_str(&format!(" {}\n", sample.value));
        }
    }
    text
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let label = |name: &str, value: &str| v1::MetricLabel {
            name: name.into(),
            value: value.into(),
        };
        let families = [v1::MetricFamily {
            name: "bascule_requests_total".into(),
            help: "Back\\slash\nand line.".into(),
            kind: v1::MetricKind::Counter.into(),
            samples: vec![
                v1::MetricSample {
                    labels: vec![label("connection", "a\"b\\c\nd"), label("status", "2xx")],
                    value: 3,
                },
                v1::MetricSample {
                    labels: vec![],
                    value: 0,
                },
            ],
        }];
        assert_eq!(
            exposition(&families),
            "# HELP bascule_requests_total Back\\\\slash\\nand line.\n\
             # TYPE bascule_requests_total counter\n\
             bascule_requests_total{connection=\"a\\\"b\\\\c\\nd\",status=\"2xx\"} 3\n\
             bascule_requests_total 0\n"
        );
    }
}
