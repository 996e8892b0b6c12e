//! `bascule receipt`: what remains of deletions.

mod verify;

use bascule_proto::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Context;
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        receipt,
        table::{Cell, Table},
        text::escape_json,
        time::{human, rfc3339},
    },
};

/// List, show and verify the receipts of deletions
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do with receipts.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List all receipts
    ///
    /// Example:
    ///   bascule receipt list
    #[command(verbatim_doc_comment)]
    List,
    /// Show one receipt; with --json the receipt itself
    ///
    /// Example:
    ///   bascule receipt show ID --json
    #[command(verbatim_doc_comment)]
    Show {
        /// The deletion's id
        id: String,
    },
    Verify(Box<verify::Arguments>),
}

#[derive(Serialize)]
struct Document {
    receipts: Vec<Summary>,
}

#[derive(Serialize)]
struct Summary {
    id: String,
    connection: String,
    revoked_at: Option<String>,
    erased_at: Option<String>,
    verdict: String,
    keys: u32,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    match arguments.action {
        Action::List => list(context).await?,
        Action::Verify(arguments) => return verify::run(*arguments, context).await,
        Action::Show { id } => {
            let request = v1::GetReceiptRequest { id };
            let response = context
                .client()
                .await?
                .deletions()
                .get_receipt(request)
                .await?;
            let json = response.into_inner().receipt;
            let text = if context.output.is_json() {
                format!("{}\n", escape_json(json.trim_end()))
            } else {
                receipt::full(&json, clock::now())
            };
            context.output.raw(&text)?;
        }
    }
    Ok(Exit::Ok)
}

async fn list(context: &Context) -> Result<(), Error> {
    let request = v1::ListReceiptsRequest {};
    let response = context
        .client()
        .await?
        .deletions()
        .list_receipts(request)
        .await?
        .into_inner();
    let document = Document {
        receipts: response
            .receipts
            .iter()
            .map(|summary| Summary {
                id: summary.id.clone(),
                connection: summary.connection.clone(),
                revoked_at: rfc3339(summary.revoked_at.as_ref()),
                erased_at: rfc3339(summary.erased_at.as_ref()),
                verdict: summary.verdict.clone(),
                keys: summary.keys,
            })
            .collect(),
    };
    if response.receipts.is_empty() && !context.output.is_json() {
        context.output.status("no receipts yet");
        return Ok(());
    }
    context.output.result(&document, || {
        let now = clock::now();
        let mut table = Table::new(["RECEIPT", "CONNECTION", "REVOKED", "KEYS", "VERDICT"]);
        for summary in &response.receipts {
            table.row([
                Cell::new(&summary.id),
                Cell::new(&summary.connection),
                human(summary.revoked_at.as_ref(), now).into(),
                summary.keys.to_string().into(),
                Cell::new(&summary.verdict).style(receipt::verdict_style(&summary.verdict)),
            ]);
        }
        table.render()
    })
}
