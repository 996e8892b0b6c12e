//! `bascule status`: how the daemon is.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::Context;
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        sweep::{self, SweepDocument},
        table::{Cell, Facts},
        text::{BAD, GOOD, WARN, count},
        time::{human, rfc3339},
    },
};

/// Show whether the daemon runs, where, and what is not well
///
/// One screen; bascule doctor looks closer, and says what helps.
///
/// Examples:
///   bascule status
///   bascule status --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Document<'a> {
    version: &'a str,
    pid: u32,
    started_at: Option<String>,
    gateways: &'a [String],
    state_dir: &'a str,
    connections: u32,
    living_keys: u32,
    dead_keys: u32,
    open_requests: u32,
    deletions: &'a [String],
    troubles: &'a [String],
    findings: u32,
    paused: Vec<Paused<'a>>,
    sweep: Option<SweepDocument>,
    config_file: &'a str,
    after_restart: &'a [String],
}

#[derive(Serialize)]
struct Paused<'a> {
    name: &'a str,
    since: Option<String>,
    /// user, leak
    by: &'a str,
}

pub(crate) async fn run(_: Arguments, context: &Context) -> Result<Exit, Error> {
    let status = context
        .client()
        .await?
        .system()
        .status(v1::StatusRequest {})
        .await?
        .into_inner();
    let document = Document {
        version: &status.version,
        pid: status.pid,
        started_at: rfc3339(status.started_at.as_ref()),
        gateways: &status.gateways,
        state_dir: &status.state_dir,
        connections: status.connections,
        living_keys: status.living_keys,
        dead_keys: status.dead_keys,
        open_requests: status.open_requests,
        deletions: &status.deletions,
        troubles: &status.troubles,
        findings: status.findings,
        paused: status.paused.iter().map(Paused::from).collect(),
        sweep: status.sweep.as_ref().map(Into::into),
        config_file: &status.config_file,
        after_restart: &status.after_restart,
    };
    context.output.result(&document, || {
        let mut facts = Facts::default();
        facts
            .add(
                "Daemon",
                Cell::new(format!(
                    "running, version {}, process {}",
                    status.version, status.pid
                ))
                .style(GOOD),
            )
            .add("Started", human(status.started_at.as_ref(), clock::now()))
            .add("Gateway", status.gateways.join(", "))
            .add("State", status.state_dir.as_str())
            .add("Settings", status.config_file.as_str())
            .add(
                "Serves",
                format!(
                    "{}, {} living and {} dead keys, {} open",
                    count(status.connections.into(), "connection"),
                    status.living_keys,
                    status.dead_keys,
                    count(status.open_requests.into(), "request"),
                ),
            );
        let ours = env!("CARGO_PKG_VERSION");
        if status.version != ours {
            let text = format!("this command is of version {ours}; see: bascule doctor");
            facts.add("Version", Cell::new(text).style(WARN));
        }
        if !status.after_restart.is_empty() {
            let names = status.after_restart.join(", ");
            let text = format!("changed, in force after a restart of the daemon: {names}");
            facts.add("Settings", Cell::new(text).style(WARN));
        }
        for id in &status.deletions {
            facts.add("Deletion", Cell::new(format!("{id} under way")).style(WARN));
        }
        for paused in &status.paused {
            facts.add("Paused", Cell::new(words(paused, clock::now())).style(WARN));
        }
        if status.findings > 0 {
            let findings = count(status.findings.into(), "finding");
            let text =
                format!("{findings}: keys that do not work and are used; see: bascule findings");
            facts.add("Findings", Cell::new(text).style(WARN));
        }
        let sweep = status.sweep.as_ref();
        if let Some(words) = sweep.and_then(|sweep| sweep::words(sweep, clock::now())) {
            facts.add("Full sweep", words);
        }
        for trouble in &status.troubles {
            facts.add("Trouble", Cell::new(trouble).style(BAD));
        }
        facts.render()
    })?;
    if !status.troubles.is_empty() {
        let troubles = count(status.troubles.len() as u64, "trouble");
        context
            .output
            .status(&format!("{troubles}; what helps: bascule doctor"));
    }
    Ok(Exit::Ok)
}

impl<'a> From<&'a v1::PausedConnection> for Paused<'a> {
    fn from(wire: &'a v1::PausedConnection) -> Self {
        Self {
            name: &wire.name,
            since: rfc3339(wire.since.as_ref()),
            by: &wire.by,
        }
    }
}

fn words(paused: &v1::PausedConnection, now: Timestamp) -> String {
    let name = &paused.name;
    let why = match paused.by.as_str() {
        "leak" => "its key at the provider has leaked".to_owned(),
        _ => format!("until: bascule resume {name}"),
    };
    format!("{name} since {}; {why}", human(paused.since.as_ref(), now))
}
