//! `bascule deletion finish-unverified`: asks, has a deletion whose verdict is pending end without the
//! second survey, and follows it to its end.

use std::io::{self, IsTerminal};

use bascule_proto::v1;
use clap::Args;

use crate::{
    error::{Error, Kind},
    exit::Exit,
    interruption::Interruption,
    output::text::{WARN, escape, styled},
    verbs::{Context, audit::Why, delete, follow},
};

/// What to end, and how sure the user is.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Its id
    pub(crate) id: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let Arguments { id, yes, why } = arguments;
    let mut deletions = context.client().await?.deletions();
    if !yes {
        let request = v1::ShowDeletionRequest { id: id.clone() };
        let shown = deletions.show(request).await?.into_inner();
        let deletion = shown.deletion.unwrap_or_default();
        // Of what is not pending there is nothing to agree to: the daemon says so.
        if deletion.phase() == v1::Phase::Revoked {
            confirm(&deletion, context).await?;
        }
    }
    let request = v1::FinishUnverifiedRequest {
        id: id.clone(),
        reason: why.text(),
    };
    deletions.finish_unverified(request).await?;
    let request = v1::WatchDeletionRequest {
        id,
        keep_manifests: false,
    };
    let stream = deletions.watch(request).await?.into_inner();
    follow::follow(stream, context, None, None, None, Interruption::listen()).await
}

async fn confirm(deletion: &v1::Deletion, context: &Context) -> Result<(), Error> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Error::new(
            Kind::Refused,
            "there is no terminal to ask on, and --yes was not given; the verdict stays pending",
        )
        .next(format!(
            "bascule deletion finish-unverified {} --yes",
            deletion.id
        )));
    }
    let waits = match &*deletion.pending {
        "" => "the second survey is under way".to_owned(),
        why => format!("it waits for: {}", escape(why)),
    };
    context.output.stderr(&format!(
        "{} of {}: {waits}\n\
         Ended now, it is never proven that the buckets were left alone: the verdict is unverifiable for \
         good, and the credentials with which it could be proven are erased.\n\
         End it all the same? [y/N] ",
        styled(WARN, "Pending verdict"),
        escape(&deletion.connection),
    ));
    match delete::typed().await?.trim() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::new(Kind::Refused, "the verdict stays pending")),
    }
}
