//! `bascule credentials`: replaces the provider's credentials in place.

use bascule_proto::v1;
use clap::Args;

use super::{
    Context,
    audit::Why,
    connect,
    source::{self, Source},
};
use crate::{credentials::to_wire, error::Error, exit::Exit};

/// Replace the provider's credentials of a connection
///
/// The new credentials must reach the same buckets. Issued keys are untouched and no request
/// fails meanwhile.
///
/// Example:
///   bascule credentials photos --credentials-stdin < newkey.txt
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The connection
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) source: Source,
    /// Take a pair of which a leak was reported
    #[arg(long)]
    allow_leaked: bool,
    #[command(flatten)]
    why: Why,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let reason = arguments.why.text();
    let found = arguments
        .source
        .take()?
        .ok_or_else(|| source::missing("credentials"))?;
    let request = v1::ReplaceCredentialsRequest {
        name: arguments.name,
        credentials: Some(to_wire(&found.credentials)),
        allow_leaked: arguments.allow_leaked,
        reason,
    };
    let response = context
        .client()
        .await?
        .connections()
        .replace_credentials(request)
        .await?
        .into_inner();
    connect::print(
        context,
        response.connection,
        response.probe,
        "credentials replaced:",
    )?;
    context.output.status("issued keys are untouched");
    Ok(Exit::Ok)
}
