//! `bascule delete`: shows the plan, asks, starts the deletion and follows it. Whether a box
//! stands in the way is decided in the daemon; here it is only told early.

pub(super) mod manifest_files;
pub(super) mod receipt_file;

mod plan;

use std::{
    io::{self, BufRead, IsTerminal},
    path::PathBuf,
};

use bascule_domain::{
    SignedDuration,
    plan::{CheckBox, Manner},
    survey::Extent,
};
use bascule_proto::v1;
use clap::{Args, builder::PossibleValuesParser};

use super::{Context, audit::Why, backup, follow};
use crate::{
    channel::Client,
    clock, duration,
    error::{Error, Kind},
    exit::Exit,
    interruption::Interruption,
    output::document,
};
use manifest_files::ManifestFiles;
use receipt_file::ReceiptFile;

/// Delete a connection: every key dies at once and for good, the buckets are not touched
///
/// Keys are paused and open requests cut; the buckets are surveyed; every key is revoked in one
/// durable step; the buckets are surveyed again and compared; the secrets are erased; a receipt
/// says what was proven. Without --yes the plan is shown, each box of the checklist that is not met
/// is asked for, and then the connection's name. The reconnect card is handed out with the
/// deletion.
///
/// With --scream the keys are paused first, and die only after so long a silence. A knock names its
/// job and stops the countdown; bascule deletion cancel ID brings everything back.
///
/// Leaving (Ctrl-C) does not stop a deletion that has started: bascule deletion show ID
///
/// Examples:
///   bascule delete photos --plan
///   bascule delete photos
///   bascule delete photos --yes --receipt photos-receipt.json
///   bascule delete photos --yes --ack quiet --ack jobs-moved
///   bascule delete photos --yes --scream 14d
///   bascule delete photos --yes --plan-id PLAN   # refused when that plan does not hold any more
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The connection
    pub(crate) name: String,
    /// Only show what a deletion would do; change nothing
    #[arg(long, conflicts_with_all = ["yes", "acknowledged", "receipt", "plan_id", "keep_manifests"])]
    pub(crate) plan: bool,
    /// The plan that was looked at; refused with the difference if it does not hold any more
    #[arg(long, value_name = "PLAN")]
    pub(crate) plan_id: Option<String>,
    /// Stands for typing the name, and for nothing else
    #[arg(long)]
    pub(crate) yes: bool,
    /// Vouch for a box of the checklist; may be given several times
    #[arg(long = "ack", value_name = "BOX",
          value_parser = PossibleValuesParser::new(CheckBox::ALL.iter().map(|name| name.as_str())))]
    pub(crate) acknowledged: Vec<String>,
    /// Write the receipt to this new file
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: Option<PathBuf>,
    /// Keep both surveys' manifests in this folder: a JSON line for each object
    #[arg(long, value_name = "DIR")]
    pub(crate) keep_manifests: Option<PathBuf>,
    /// Revoke first and survey after: a key has leaked
    #[arg(long)]
    pub(crate) emergency: bool,
    /// Pause the keys, reversibly, and delete only after so long without a knock, such as 14d
    #[arg(long, value_name = "TIME", value_parser = duration::parse,
          conflicts_with_all = ["emergency", "keep_manifests"])]
    pub(crate) scream: Option<SignedDuration>,
    /// How much of the buckets is compared: full; sample counts everything and compares parts drawn
    /// by lot; identity compares no contents. Only a full survey can prove a bucket intact
    #[arg(long, value_name = "EXTENT", default_value = "full",
          value_parser = PossibleValuesParser::new(Extent::ALL.map(Extent::as_str)))]
    pub(crate) survey: String,
    #[command(flatten)]
    why: Why,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    if arguments.plan {
        return show_plan(&arguments, context).await;
    }
    let name_typed = CheckBox::NameTyped.as_str();
    let mut acknowledged = arguments.acknowledged.clone();
    let confirmed = arguments.yes || acknowledged.iter().any(|name| name == name_typed);
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !confirmed && !can_ask {
        return Err(Error::new(
            Kind::Refused,
            "there is no terminal to ask on, and --yes was not given; nothing was deleted",
        )
        .next(format!(
            "look at it first: bascule delete {0} --plan; then: bascule delete {0} --yes",
            arguments.name
        )));
    }
    // Before the file is made, so that whoever ends this command ends it without leaving the file.
    let mut interruption = Interruption::listen();
    let file = arguments
        .receipt
        .as_deref()
        .map(ReceiptFile::reserve)
        .transpose()?;
    let manifests = arguments
        .keep_manifests
        .as_deref()
        .map(ManifestFiles::reserve)
        .transpose()
        .map_err(|mut error| {
            error.message.push_str("; nothing was deleted");
            error
        })?;
    let prepare = async {
        let client = context.client().await?;
        let mut plan_id = arguments.plan_id.clone();
        if !confirmed {
            let agreed = ask(&client, &arguments, &mut acknowledged, context).await?;
            plan_id = plan_id.or(Some(agreed));
        }
        // An emergency waits for no drive, and no deletion fails for this.
        if !arguments.emergency {
            backup::look_again(&client, &arguments.name).await.ok();
        }
        // Kept by the daemon as handed out; it can't be made once the connection is gone.
        let request = v1::ReconnectCardRequest {
            name: arguments.name.clone(),
        };
        let card = client.connections().reconnect_card(request).await?;
        if !acknowledged.iter().any(|name| name == name_typed) {
            acknowledged.push(name_typed.to_owned());
        }
        Ok::<_, Error>((client, plan_id, card.into_inner().card))
    };
    let (client, plan_id, card) = tokio::select! {
        prepared = prepare => prepared?,
        () = interruption.asked() => {
            return Err(Error::new(Kind::Interrupted, "interrupted; nothing was deleted"));
        }
    };
    let request = v1::StartDeletionRequest {
        connection: arguments.name,
        acknowledged,
        emergency: arguments.emergency,
        reason: arguments.why.text(),
        plan_id: plan_id.unwrap_or_default(),
        scream: arguments.scream.map(duration::to_wire),
        survey: arguments.survey,
        keep_manifests: manifests.is_some(),
    };
    let mut deletions = client.deletions();
    let stream = tokio::select! {
        started = deletions.start(request) => started?.into_inner(),
        () = interruption.asked() => {
            return Err(Error::new(
                Kind::Interrupted,
                "interrupted; whether the deletion has started is not known, and if it has it goes on in the daemon",
            )
            .next("bascule deletion list"));
        }
    };
    let keeping = manifests.map(|files| follow::Keeping { client, files });
    follow::follow(stream, context, file, Some(card), keeping, interruption).await
}

async fn show_plan(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let plan = fetch_plan(&context.client().await?, arguments).await?;
    context.output.result(&document::Plan::from(&plan), || {
        plan::render(&plan, clock::now())
    })?;
    Ok(Exit::Ok)
}

async fn fetch_plan(client: &Client, arguments: &Arguments) -> Result<v1::PlanResponse, Error> {
    let request = v1::PlanRequest {
        connection: arguments.name.clone(),
        emergency: arguments.emergency,
    };
    Ok(client.deletions().plan(request).await?.into_inner())
}

/// Shows the plan, asks for each box that is not met, and for the connection's name. Returns the plan
/// that was agreed to; what was vouched for is acknowledged. Nothing is taken for a yes but a yes.
async fn ask(
    client: &Client,
    arguments: &Arguments,
    acknowledged: &mut Vec<String>,
    context: &Context,
) -> Result<String, Error> {
    let plan = fetch_plan(client, arguments).await?;
    context.output.stderr(&plan::render(&plan, clock::now()));
    let manner = match (arguments.emergency, arguments.scream) {
        (true, _) => Manner::Emergency,
        (false, Some(_)) => Manner::Scream,
        (false, None) => Manner::Checked,
    };
    let boxes = plan::to_vouch_for(&plan, acknowledged, manner);
    let all = boxes.len();
    for (number, b) in boxes.into_iter().enumerate() {
        context.output.stderr(&plan::question(b, number + 1, all));
        let answer = typed().await?;
        if !matches!(answer.trim(), "y" | "yes") {
            return Err(Error::new(
                Kind::Refused,
                format!("{} was not vouched for; nothing was deleted", b.name),
            )
            .next(format!(
                "satisfy it: {}",
                if b.remedy.is_empty() {
                    "see the plan"
                } else {
                    &b.remedy
                }
            )));
        }
        acknowledged.push(b.name.clone());
    }
    context
        .output
        .stderr("\nType the connection's name to delete it, anything else to leave it: ");
    // A terminal hands over the line with its end; blanks are not part of any name.
    if typed().await?.trim() == arguments.name {
        Ok(plan.plan_id)
    } else {
        Err(Error::new(
            Kind::Refused,
            format!(
                "what was typed is not {}; nothing was deleted",
                arguments.name
            ),
        ))
    }
}

/// One line from the terminal. On a thread of its own: a signal must be heard while it waits.
pub(super) async fn typed() -> Result<String, Error> {
    let read = tokio::task::spawn_blocking(|| {
        let mut typed = String::new();
        io::stdin().lock().read_line(&mut typed).map(|_| typed)
    });
    read.await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| {
            Error::new(
                Kind::Failed,
                format!("the terminal could not be read: {error}"),
            )
        })
}
