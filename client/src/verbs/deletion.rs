//! `bascule deletion`: deletions under way and past ones.

mod finish_unverified;

use std::path::{Path, PathBuf};

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Context, audit::Why, delete::manifest_files::ManifestFiles, follow};
use crate::{
    clock,
    error::Error,
    exit::Exit,
    interruption::Interruption,
    output::{
        document, receipt,
        table::{Cell, Facts, Table},
        text::{GOOD, WARN, escape, styled},
        time::human,
    },
};

/// List, show, cancel and end deletions, let stopped ones go on, and keep their manifests
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do with deletions.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List all deletions, the latest first
    ///
    /// Example:
    ///   bascule deletion list --json
    #[command(verbatim_doc_comment)]
    List,
    /// Show where a deletion stands
    ///
    /// Example:
    ///   bascule deletion show ID --watch
    #[command(verbatim_doc_comment)]
    Show {
        /// Its id
        id: String,
        /// Follow it until it ends or waits
        #[arg(long)]
        watch: bool,
        /// With --watch: stay until the verdict, and keep both surveys' manifests in this folder
        #[arg(long, value_name = "DIR", requires = "watch")]
        keep_manifests: Option<PathBuf>,
    },
    /// Keep the manifests that a deletion has now, without waiting for its verdict
    ///
    /// While the verdict is pending that is the manifest of the first survey. Both are kept by following
    /// it: bascule deletion show ID --watch --keep-manifests DIR
    ///
    /// Example:
    ///   bascule deletion manifests ID ~/evidence
    #[command(verbatim_doc_comment)]
    Manifests {
        /// Its id
        id: String,
        /// The folder: a file for each bucket, with a JSON line for each object
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Let the countdown of a scream test that a knock has stopped begin anew
    ///
    /// Example:
    ///   bascule deletion go-on ID --reason mended
    #[command(verbatim_doc_comment)]
    GoOn {
        /// Its id
        id: String,
        #[command(flatten)]
        why: Why,
    },
    /// Call a deletion off while its keys are not dead yet
    ///
    /// Example:
    ///   bascule deletion cancel ID
    #[command(verbatim_doc_comment)]
    Cancel {
        /// Its id
        id: String,
        #[command(flatten)]
        why: Why,
    },
    /// End a deletion whose verdict is pending, without the second survey
    ///
    /// The keys are dead already. The verdict is unverifiable, the credentials are erased, and the
    /// receipt says that nobody waited for it.
    ///
    /// Example:
    ///   bascule deletion finish-unverified ID
    #[command(verbatim_doc_comment)]
    FinishUnverified(finish_unverified::Arguments),
}

#[derive(Serialize)]
struct ListDocument {
    deletions: Vec<document::Deletion>,
}

#[derive(Serialize)]
struct ShowDocument<'a> {
    deletion: document::Deletion,
    in_doubt: &'a [String],
}

#[derive(Serialize)]
struct ManifestsDocument<'a> {
    /// Where they are.
    manifests: &'a [String],
}

#[derive(Serialize)]
struct CancelDocument {
    deletion: document::Deletion,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    match arguments.action {
        Action::List => list(context).await?,
        Action::Show {
            id,
            watch: true,
            keep_manifests,
        } => {
            let files = keep_manifests
                .as_deref()
                .map(ManifestFiles::reserve)
                .transpose()?;
            let client = context.client().await?;
            let request = v1::WatchDeletionRequest {
                id,
                keep_manifests: files.is_some(),
            };
            let stream = client.deletions().watch(request).await?.into_inner();
            let keeping = files.map(|files| follow::Keeping { client, files });
            let interruption = Interruption::listen();
            return follow::follow(stream, context, None, None, keeping, interruption).await;
        }
        Action::Show {
            id, watch: false, ..
        } => show(id, context).await?,
        Action::Manifests { id, folder } => manifests(&id, &folder, context).await?,
        Action::GoOn { id, why } => go_on(id, &why, context).await?,
        Action::FinishUnverified(arguments) => {
            return finish_unverified::run(arguments, context).await;
        }
        Action::Cancel { id, why } => cancel(id, &why, context).await?,
    }
    Ok(Exit::Ok)
}

async fn list(context: &Context) -> Result<(), Error> {
    let request = v1::ListDeletionsRequest {};
    let deletions = context
        .client()
        .await?
        .deletions()
        .list(request)
        .await?
        .into_inner()
        .deletions;
    if deletions.is_empty() && !context.output.is_json() {
        context.output.status("no deletions");
        return Ok(());
    }
    let document = ListDocument {
        deletions: deletions.iter().map(Into::into).collect(),
    };
    context.output.result(&document, || {
        let now = clock::now();
        let mut table = Table::new(["DELETION", "CONNECTION", "REQUESTED", "PHASE", "VERDICT"]);
        for deletion in &deletions {
            table.row([
                Cell::new(&deletion.id),
                Cell::new(&deletion.connection),
                human(deletion.requested_at.as_ref(), now).into(),
                document::phase(deletion.phase()).into(),
                verdict(deletion),
            ]);
        }
        table.render()
    })
}

async fn show(id: String, context: &Context) -> Result<(), Error> {
    let request = v1::ShowDeletionRequest { id };
    let response = context
        .client()
        .await?
        .deletions()
        .show(request)
        .await?
        .into_inner();
    let deletion = response.deletion.unwrap_or_default();
    let document = ShowDocument {
        deletion: (&deletion).into(),
        in_doubt: &response.in_doubt,
    };
    context.output.result(&document, || {
        facts(&deletion, &response.in_doubt, clock::now())
    })?;
    match deletion.phase() {
        v1::Phase::Finished => context.output.status(&format!(
            "receipt: bascule receipt show {}",
            escape(&deletion.id)
        )),
        v1::Phase::Cancelled => {}
        _ => context.output.status(&format!(
            "follow it: bascule deletion show {} --watch",
            escape(&deletion.id)
        )),
    }
    Ok(())
}

async fn manifests(id: &str, folder: &Path, context: &Context) -> Result<(), Error> {
    let files = ManifestFiles::reserve(folder)?;
    let taken = files.take(&context.client().await?, id, false).await?;
    let manifests: Vec<_> = taken
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    context.output.result(
        &ManifestsDocument {
            manifests: &manifests,
        },
        || {
            let lines = manifests.iter().map(|path| format!("{}\n", escape(path)));
            lines.collect()
        },
    )
}

async fn cancel(id: String, why: &Why, context: &Context) -> Result<(), Error> {
    let reason = why.text();
    let request = v1::CancelDeletionRequest { id, reason };
    let response = context
        .client()
        .await?
        .deletions()
        .cancel(request)
        .await?
        .into_inner();
    let deletion = response.deletion.unwrap_or_default();
    let document = CancelDocument {
        deletion: (&deletion).into(),
    };
    context.output.result(&document, || {
        format!(
            "{} {}: the keys of {} work as before\n",
            styled(GOOD, "cancelled"),
            escape(&deletion.id),
            escape(&deletion.connection)
        )
    })
}

async fn go_on(id: String, why: &Why, context: &Context) -> Result<(), Error> {
    let reason = why.text();
    let request = v1::GoOnDeletionRequest { id, reason };
    let mut deletions = context.client().await?.deletions();
    let response = deletions.go_on(request).await?.into_inner();
    let deletion = response.deletion.unwrap_or_default();
    let document = CancelDocument {
        deletion: (&deletion).into(),
    };
    context.output.result(&document, || {
        format!(
            "{} {}: {}\n",
            styled(GOOD, "listening"),
            escape(&deletion.id),
            escape(&follow::heard(&deletion, clock::now()))
        )
    })
}

fn facts(deletion: &v1::Deletion, in_doubt: &[String], now: Timestamp) -> String {
    let mut facts = Facts::default();
    facts
        .add("Deletion", deletion.id.as_str())
        .add("Connection", deletion.connection.as_str())
        .add("Phase", document::phase(deletion.phase()))
        .add("Emergency", if deletion.emergency { "yes" } else { "" })
        .add("Requested", human(deletion.requested_at.as_ref(), now))
        .add("Revoked", human(deletion.revoked_at.as_ref(), now))
        .add("Ended", human(deletion.ended_at.as_ref(), now))
        .add("Keys", deletion.keys.to_string())
        .add("Verdict", verdict(deletion))
        .add(
            "Heard",
            match deletion.phase() {
                v1::Phase::Listening => follow::heard(deletion, now),
                _ => String::new(),
            },
        )
        .add("Waits for", Cell::new(&deletion.pending).style(WARN));
    for line in in_doubt {
        facts.add("In doubt", Cell::new(line).style(WARN));
    }
    facts.render()
}

fn verdict(deletion: &v1::Deletion) -> Cell {
    match deletion.phase() {
        v1::Phase::Cancelled => Cell::new(""),
        _ if deletion.verdict.is_empty() => Cell::new("pending").style(WARN),
        _ => Cell::new(&deletion.verdict).style(receipt::verdict_style(&deletion.verdict)),
    }
}
