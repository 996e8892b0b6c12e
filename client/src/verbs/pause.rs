//! `bascule pause` and `bascule resume`: stops a whole connection, and lets it go on.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{Context, audit::Why};
use crate::{
    error::Error,
    exit::Exit,
    output::{
        document,
        text::{GOOD, WARN, escape, styled},
    },
};

/// Admit no request through a connection, with whichever key, until it is resumed
///
/// Open requests are cut. The pause outlasts restarts. To pause a single key: bascule key pause
///
/// Example:
///   bascule pause photos
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct PauseArguments {
    /// The connection
    name: String,
    #[command(flatten)]
    why: Why,
}

/// Admit requests through a paused connection again
///
/// Example:
///   bascule resume photos
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ResumeArguments {
    /// The connection
    name: String,
    #[command(flatten)]
    why: Why,
}

#[derive(Serialize)]
struct Document {
    connection: document::Connection,
}

pub(crate) async fn pause(arguments: PauseArguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::PauseConnectionRequest {
        name: arguments.name,
        reason: arguments.why.text(),
    };
    let client = context.client().await?;
    let response = client.connections().pause(request).await?.into_inner();
    print(response.connection, context, |name| {
        format!(
            "{} {name}: nothing is admitted until: bascule resume {name}\n",
            styled(WARN, "paused")
        )
    })
}

pub(crate) async fn resume(arguments: ResumeArguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::ResumeConnectionRequest {
        name: arguments.name,
        reason: arguments.why.text(),
    };
    let client = context.client().await?;
    let response = client.connections().resume(request).await?.into_inner();
    print(response.connection, context, |name| {
        format!("{} {name}\n", styled(GOOD, "resumed"))
    })
}

fn print(
    connection: Option<v1::Connection>,
    context: &Context,
    words: impl FnOnce(&str) -> String,
) -> Result<Exit, Error> {
    let connection = connection.unwrap_or_default();
    let document = Document {
        connection: (&connection).into(),
    };
    context
        .output
        .result(&document, || words(&escape(&connection.name)))?;
    Ok(Exit::Ok)
}
