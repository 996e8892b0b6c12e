//! `bascule rename`: gives a connection another name.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{Context, audit::Why};
use crate::{
    error::Error,
    exit::Exit,
    output::{
        document,
        text::{GOOD, escape, styled},
    },
};

/// Give a connection another name; its keys keep working
///
/// Example:
///   bascule rename photos pictures
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Its name now
    pub(crate) old: String,
    /// Its name from now on
    pub(crate) new: String,
    #[command(flatten)]
    why: Why,
}

#[derive(Serialize)]
struct Document {
    connection: document::Connection,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::RenameRequest {
        old_name: arguments.old.clone(),
        new_name: arguments.new,
        reason: arguments.why.text(),
    };
    let response = context
        .client()
        .await?
        .connections()
        .rename(request)
        .await?
        .into_inner();
    let connection = response.connection.unwrap_or_default();
    let document = Document {
        connection: (&connection).into(),
    };
    context.output.result(&document, || {
        format!(
            "{} {} is {} now; its keys work as before\n",
            styled(GOOD, "renamed"),
            escape(&arguments.old),
            escape(&connection.name)
        )
    })?;
    Ok(Exit::Ok)
}
