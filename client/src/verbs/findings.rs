//! `bascule findings`: keys that are used and refused.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Context;
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        document,
        table::{Cell, Facts, Table},
        text::{BAD, NEXT, WARN, escape, styled},
        time::{ago, human},
    },
};

/// List keys that tools use and that are refused, and what to do about each
///
/// A tool that is refused shows the id of its finding, such as F12, where it shows the host id or
/// the message of an error. Findings are kept until the daemon restarts.
///
/// Examples:
///   bascule findings
///   bascule findings show F12
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

/// What to do with findings.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List the findings of a connection, or all
    List {
        /// The connection; all if left out
        name: Option<String>,
    },
    /// Show one finding with what to do next
    Show {
        /// Its id, F12
        id: String,
    },
}

#[derive(Serialize)]
struct ListDocument<'a> {
    findings: Vec<document::Finding>,
    not_checked: &'a [String],
}

#[derive(Serialize)]
struct ShowDocument {
    finding: document::Finding,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    match arguments.action {
        None => list(String::new(), context).await?,
        Some(Action::List { name }) => list(name.unwrap_or_default(), context).await?,
        Some(Action::Show { id }) => show(id, context).await?,
    }
    Ok(Exit::Ok)
}

async fn list(connection: String, context: &Context) -> Result<(), Error> {
    let request = v1::ListFindingsRequest { connection };
    let response = context
        .client()
        .await?
        .findings()
        .list(request)
        .await?
        .into_inner();
    let document = ListDocument {
        findings: response.findings.iter().map(Into::into).collect(),
        not_checked: &response.not_checked,
    };
    if response.findings.is_empty() {
        context.output.status("no key was refused to a tool");
    }
    for gap in &response.not_checked {
        context
            .output
            .status(&format!("{} {}", styled(WARN, "not checked:"), escape(gap)));
    }
    if response.findings.is_empty() && !context.output.is_json() {
        return Ok(());
    }
    context
        .output
        .result(&document, || table(&response.findings, clock::now()))
}

async fn show(id: String, context: &Context) -> Result<(), Error> {
    let request = v1::ShowFindingRequest { id };
    let finding = context
        .client()
        .await?
        .findings()
        .show(request)
        .await?
        .into_inner()
        .finding
        .unwrap_or_default();
    let document = ShowDocument {
        finding: (&finding).into(),
    };
    context
        .output
        .result(&document, || words(&finding, clock::now()))
}

fn table(findings: &[v1::Finding], now: Timestamp) -> String {
    let mut table = Table::new([
        "ID",
        "REASON",
        "KEY",
        "LABEL",
        "CONNECTION",
        "TIMES",
        "LAST",
        "FROM",
        "TOOL",
    ]);
    for finding in findings {
        table.row([
            Cell::new(&finding.id),
            Cell::new(&finding.reason).style(BAD),
            Cell::new(&finding.key),
            Cell::new(&finding.label),
            Cell::new(&finding.connection),
            finding.count.to_string().into(),
            ago(finding.last_at.as_ref(), now).into(),
            Cell::new(&finding.address),
            Cell::new(&finding.user_agent),
        ]);
    }
    table.render()
}

fn words(finding: &v1::Finding, now: Timestamp) -> String {
    let mut facts = Facts::default();
    facts
        .add("Finding", finding.id.as_str())
        .add("Reason", Cell::new(&finding.reason).style(BAD))
        .add("Key", format!("{} ({})", finding.key, finding.label))
        .add("Connection", finding.connection.as_str())
        .add("First", human(finding.found_at.as_ref(), now))
        .add("Last", human(finding.last_at.as_ref(), now))
        .add("Times", finding.count.to_string())
        .add("From", finding.address.as_str())
        .add("Tool", finding.user_agent.as_str())
        .add("Wanted", finding.operation.as_str())
        .add("Was told", finding.message.as_str());
    let mut text = facts.render();
    for next in &finding.next {
        text.push_str(&format!("{} {}\n", styled(NEXT, "next:"), escape(next)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_user_agent_can_not_control_the_terminal() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let finding = v1::Finding {
            id: "F12".into(),
            reason: "KEY-REVOKED".into(),
            user_agent: "rclone\x1b[2J\r\nnext: rm".into(),
            next: vec!["bascule key list".into()],
            ..v1::Finding::default()
        };
        for text in [words(&finding, now), table(&[finding], now)] {
            let text = anstream::adapter::strip_str(&text).to_string();
            assert!(text.contains("rclone\\u{1b}[2J\\r\\nnext: rm"), "{text}");
        }
    }
}
