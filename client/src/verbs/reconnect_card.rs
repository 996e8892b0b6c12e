//! `bascule reconnect-card`: enough to connect again, without any secret.

use bascule_proto::v1;
use clap::Args;

use super::Context;
use crate::{error::Error, exit::Exit, output::text::escape_json};

/// Print the reconnect card of a connection (JSON, no secret)
///
/// Example:
///   bascule reconnect-card photos > photos.card
///   bascule connect photos --card photos.card --credentials-stdin < key.txt
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The connection
    pub(crate) name: String,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::ReconnectCardRequest {
        name: arguments.name,
    };
    let response = context
        .client()
        .await?
        .connections()
        .reconnect_card(request)
        .await?
        .into_inner();
    // The card is one JSON document with and without --json.
    context
        .output
        .raw(&format!("{}\n", escape_json(response.card.trim_end())))?;
    Ok(Exit::Ok)
}
