//! `bascule metrics`: what the daemon counted, for Prometheus.

use std::collections::BTreeMap;

use bascule_proto::{
    exposition::{self, Form, exposition},
    v1,
};
use clap::Args;
use serde::Serialize;

use super::Context;
use crate::{error::Error, exit::Exit};

/// Print what was counted since the daemon started, in the text format of Prometheus
///
/// Nothing listens for it unless the daemon's settings ask for that: listen under [metrics], a Unix
/// socket or a loopback port. Or write it to a file that the node exporter collects, from a timer.
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
    context
        .output
        .result(&document, || exposition(&families, Form::Text))?;
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
        kind: exposition::kind(wire.kind()),
        help: &wire.help,
        samples: samples.collect(),
    }
}
