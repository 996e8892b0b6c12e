//! `bascule list`: all connections.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::Context;
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        document,
        table::{Cell, Table},
        text::{BAD, GOOD, WARN},
        time::ago,
    },
};

/// List the connections
///
/// Example:
///   bascule list --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Document {
    connections: Vec<document::Connection>,
}

pub(crate) async fn run(_: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::ListConnectionsRequest {};
    let response = context
        .client()
        .await?
        .connections()
        .list(request)
        .await?
        .into_inner();
    let document = Document {
        connections: response.connections.iter().map(Into::into).collect(),
    };
    if response.connections.is_empty() {
        context
            .output
            .status("no connections yet; add one: bascule connect --help");
        if !context.output.is_json() {
            return Ok(Exit::Ok);
        }
    }
    context.output.result(&document, || {
        let now = clock::now();
        let mut table = Table::new(["NAME", "PROVIDER", "BUCKETS", "KEYS", "ADDED", "STATE"]);
        for connection in &response.connections {
            table.row([
                Cell::new(&connection.name),
                document::provider(connection.provider()).into(),
                connection.buckets.join(", ").into(),
                connection.living_keys.to_string().into(),
                ago(connection.created_at.as_ref(), now).into(),
                state(connection),
            ]);
        }
        table.render()
    })?;
    Ok(Exit::Ok)
}

/// In one word, how a connection is.
pub(crate) fn state(connection: &v1::Connection) -> Cell {
    if !connection.deletion_id.is_empty() {
        Cell::new(format!("being deleted ({})", connection.deletion_id)).style(WARN)
    } else if !connection.flagged.is_empty() {
        Cell::new(&connection.flagged).style(BAD)
    } else if connection.paused_at.is_some() {
        Cell::new("paused").style(WARN)
    } else {
        Cell::new("ok").style(GOOD)
    }
}
