//! `bascule activate`: says that a restored state is the right one.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{Context, audit::Why};
use crate::{
    error::Error,
    exit::Exit,
    output::text::{GOOD, escape, styled},
};

/// Admit requests after a backup was restored on another machine
///
/// A backup does not know what died after it was made, so where nothing else is known everything
/// starts paused. Revoke what should be dead first (bascule key revoke), then activate. Connections
/// that you had paused stay paused.
///
/// When the state folder was put back from outside and is older than what its anchor has seen,
/// --accept-rollback says that the older state is meant; keys that died since then live again.
///
/// Examples:
///   bascule activate
///   bascule activate --accept-rollback --reason "disk replaced"
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Take an older state folder for the right one
    #[arg(long)]
    pub(crate) accept_rollback: bool,
    #[command(flatten)]
    why: Why,
}

#[derive(Serialize)]
struct Document {
    /// Connections that admit requests again.
    activated: Vec<String>,
    was_active: bool,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::ActivateRequest {
        accept_rollback: arguments.accept_rollback,
        reason: arguments.why.text(),
    };
    let response = context
        .client()
        .await?
        .system()
        .activate(request)
        .await?
        .into_inner();
    let document = Document {
        activated: response.connections,
        was_active: response.was_active,
    };
    context.output.result(&document, || {
        if document.was_active {
            return "nothing was closed; everything is as it was\n".to_owned();
        }
        let names: Vec<_> = document
            .activated
            .iter()
            .map(|name| escape(name).to_string())
            .collect();
        match names.is_empty() {
            true => format!("{}; no connection was waiting\n", styled(GOOD, "activated")),
            false => format!("{} {}\n", styled(GOOD, "activated"), names.join(", ")),
        }
    })?;
    Ok(Exit::Ok)
}
