//! `bascule key rotate`: a new key that works at once, and an old one that dies later.

mod rewrite;

use bascule_domain::{SignedDuration, Timestamp};
use bascule_formats::Format;
use bascule_proto::v1;
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Context, Why, doubts,
    handed_out::{self, Issued},
    rotation,
};
use crate::{
    channel::Client,
    clock, duration,
    error::{Error, Kind},
    exit::Exit,
    interruption::Interruption,
    output::{
        document,
        text::{NEXT, WARN, count, escape, styled},
        time::parsed,
    },
};

/// Replace a key without downtime: the new one works at once, the old one dies later
///
/// The new key has the same label and everything that restricts the old one. Both work during the
/// grace: twice the longest interval seen between uses, at least a day, unless --grace says so.
/// Asked again, it goes on with the rotation that is under way and makes no further key. --grace
/// can then only bring the old key's end nearer, and --now ends it. CONNECTION/LABEL stands for the
/// old key until it is dead, and with --now also as long as nobody has used the new one.
///
/// Examples:
///   bascule key rotate BSC… --format rclone
///   bascule key rotate BSC… --grace 7d --until-silent 48h
///   bascule key rotate BSC… --now
///   bascule key rotate photos/rclone --rewrite
///   bascule key rotate photos/rclone --rewrite --format env   # for a tool elsewhere, too
///   bascule key rotate --all photos --now
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The old key: its access key id, BSC…, or CONNECTION/LABEL
    #[arg(value_name = "KEY_ID", required_unless_present = "all")]
    id: Option<String>,
    /// How long the old key lives on at most, such as 24h or 7d
    #[arg(long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "now")]
    grace: Option<SignedDuration>,
    /// Let the old key die earlier, once nobody has used it for so long
    #[arg(long, value_name = "TIME", value_parser = duration::parse, conflicts_with = "now")]
    until_silent: Option<SignedDuration>,
    /// Kill the old key before anything else
    #[arg(long)]
    now: bool,
    /// The new key's secret never arrived: replace it, if nobody has used it
    #[arg(long)]
    again: bool,
    /// Replace every key of this connection
    #[arg(
        long,
        value_name = "NAME",
        requires = "now",
        conflicts_with_all = ["id", "again"]
    )]
    all: Option<String>,
    /// Only keys that were issued until then: goes on with an --all that was interrupted
    #[arg(long, value_name = "TIME", requires = "all")]
    issued_until: Option<Timestamp>,
    /// Put the new key into the files of this machine that hold the old one; shows them first
    #[arg(long, conflicts_with_all = ["all", "again"])]
    rewrite: bool,
    /// With --rewrite: without asking
    #[arg(long, requires = "rewrite")]
    yes: bool,
    /// With --rewrite: restart units of the user's own that still run with the old key
    #[arg(long, requires = "rewrite")]
    restart: bool,
    /// The form in which the new key is handed out; a readable block if left out, and with --rewrite nothing
    #[arg(long, value_parser = Format::ALL.map(Format::as_str))]
    format: Option<String>,
    #[command(flatten)]
    why: Why,
}

#[derive(Serialize)]
struct Document<'a> {
    rotation: document::Rotation,
    /// `null` when there was a new key already.
    issued: Option<handed_out::Document<'a>>,
    in_doubt: Vec<document::DoubtfulChange>,
}

#[derive(Serialize)]
struct AllDocument<'a> {
    rotated: Vec<Document<'a>>,
    /// Keys that are as they were.
    remaining: Vec<document::Key>,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let format: Option<Format> = arguments
        .format
        .as_deref()
        .and_then(|name| name.parse().ok());
    let client = context.client().await?;
    if let Some(name) = arguments.all {
        let reason = arguments.why.text();
        all(
            &client,
            &name,
            arguments.issued_until,
            &reason,
            format,
            context,
        )
        .await?;
        return Ok(Exit::Ok);
    }
    let request = v1::RotateRequest {
        access_key_id: arguments.id.unwrap_or_default(),
        grace: arguments.grace.map(duration::to_wire),
        until_silent: arguments.until_silent.map(duration::to_wire),
        now: arguments.now,
        again: arguments.again,
        reason: arguments.why.text(),
    };
    if arguments.rewrite {
        let changes = rewrite::Changes {
            yes: arguments.yes,
            restarts: arguments.restart,
            format,
        };
        return rewrite::run(request, &changes, &client, context).await;
    }
    let response = client.rotations().rotate(request).await?.into_inner();
    show(&Done::from(response), format, &Nothing {}, context)?;
    Ok(Exit::Ok)
}

/// What a rotation came to.
struct Done {
    rotation: v1::Rotation,
    issued: Option<Issued>,
    in_doubt: Vec<v1::DoubtfulChange>,
}

impl From<v1::RotateResponse> for Done {
    fn from(response: v1::RotateResponse) -> Self {
        Self {
            rotation: response.rotation.unwrap_or_default(),
            issued: response.issued.map(Issued::from),
            in_doubt: response.in_doubt,
        }
    }
}

impl Done {
    /// Shows a hand-out and what becomes of the old key. The secret goes to stdout, all else to
    /// stderr.
    fn tell(&self, format: Option<Format>, context: &Context) -> Result<(), Error> {
        match &self.issued {
            Some(issued) => handed_out::show(issued, format, context)?,
            None => context
                .output
                .status("No new key was made: there is one already."),
        }
        let paused = |issued: &&Issued| issued.key.state() == v1::KeyState::Paused;
        if let Some(issued) = self.issued.as_ref().filter(paused) {
            context.output.status(&format!(
                "{} as the old one was; until: bascule key resume {}",
                styled(WARN, "The new key is paused,"),
                escape(&issued.key.access_key_id)
            ));
        }
        self.outlook(context);
        let next: &[String] = match &self.issued {
            Some(_) => &[],
            None => &self.rotation.next,
        };
        for next in next {
            let line = format!("{} {}", styled(NEXT, "next:"), escape(next));
            context.output.status(&line);
        }
        Ok(())
    }

    /// Says what becomes of the old key.
    fn outlook(&self, context: &Context) {
        for line in rotation::outlook(&self.rotation, clock::now()).lines() {
            context.output.status(line);
        }
        for line in doubts(&self.in_doubt).lines() {
            context.output.status(line);
        }
    }

    /// How a secret that could not be shown is had after all.
    fn recovery(&self) -> String {
        let new = self.issued.as_ref().map(|issued| &issued.key.access_key_id);
        new.map_or_else(
            || "bascule key list".to_owned(),
            |id| format!("bascule key rotate {id} --now"),
        )
    }
}

/// A rotation, with what another verb has to say besides.
#[derive(Serialize)]
struct Extended<'a, T> {
    #[serde(flatten)]
    rotation: &'a Document<'a>,
    #[serde(flatten)]
    more: &'a T,
}

/// Nothing to say besides.
#[derive(Serialize)]
struct Nothing {}

/// Shows what `leak` came to, with `more` in its document.
pub(in crate::verbs) fn show_response(
    response: v1::RotateResponse,
    more: &impl Serialize,
    context: &Context,
) -> Result<(), Error> {
    show(&Done::from(response), None, more, context)
}

/// Says how to get at the secret if it can't be shown.
fn show(
    done: &Done,
    format: Option<Format>,
    more: &impl Serialize,
    context: &Context,
) -> Result<(), Error> {
    let shown = if context.output.is_json() {
        document(done, format, |rotation| {
            context.output.document(&Extended { rotation, more })
        })
    } else {
        done.tell(format, context)
    };
    shown.map_err(|error| {
        Error::new(
            Kind::Failed,
            format!("the rotation is done, but it could not be shown: {error}"),
        )
        .next(done.recovery())
    })
}

fn document<T>(
    done: &Done,
    format: Option<Format>,
    with: impl FnOnce(&Document<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let handed_out = match (&done.issued, format) {
        (Some(issued), Some(format)) => Some(issued.hand_out(format)?),
        _ => None,
    };
    with(&Document {
        rotation: (&done.rotation).into(),
        issued: done
            .issued
            .as_ref()
            .map(|issued| handed(issued, handed_out.as_ref())),
        in_doubt: done.in_doubt.iter().map(Into::into).collect(),
    })
}

fn handed<'a>(issued: &'a Issued, text: Option<&'a Zeroizing<String>>) -> handed_out::Document<'a> {
    let mut document = issued.document(Some(&issued.secret));
    document.handed_out = text.map(|text| text.as_str());
    document
}

/// Replaces every key, one after the other. What was done is shown whatever happens then: its
/// secrets are shown only here.
async fn all(
    client: &Client,
    name: &str,
    issued_until: Option<Timestamp>,
    reason: &str,
    format: Option<Format>,
    context: &Context,
) -> Result<(), Error> {
    let mut interruption = Interruption::listen();
    let request = v1::ListKeysRequest {
        connection: name.to_owned(),
    };
    let mut keys = client.keys().list(request).await?.into_inner().keys;
    let issued_at = |key: &v1::Key| parsed(key.issued_at.as_ref());
    keys.retain(|key| {
        key.state() != v1::KeyState::Dead
            && issued_until.is_none_or(|until| issued_at(key).is_some_and(|at| at <= until))
    });
    // Old keys of rotations first: their successors are there already.
    keys.sort_by_key(|key| (key.state() != v1::KeyState::Retiring, issued_at(key)));
    let until = issued_until.or_else(|| keys.iter().filter_map(issued_at).max());
    let mut done = Vec::new();
    let mut failure = None;
    let mut left = keys.into_iter();
    for key in left.by_ref() {
        let request = v1::RotateRequest {
            access_key_id: key.access_key_id.clone(),
            now: true,
            reason: reason.to_owned(),
            ..v1::RotateRequest::default()
        };
        match client.rotations().rotate(request).await {
            Ok(response) => {
                let rotated = Done::from(response.into_inner());
                if !context.output.is_json() {
                    rotated.tell(format, context)?;
                }
                done.push(rotated);
            }
            Err(status) => {
                failure = Some((key, Error::from(status)));
                break;
            }
        }
        tokio::select! {
            biased;
            () = interruption.asked() => break,
            () = std::future::ready(()) => {}
        }
    }
    let in_between = failure.as_ref().map(|(key, _)| key.clone());
    let remaining: Vec<_> = in_between.into_iter().chain(left).collect();
    if context.output.is_json() {
        print_all(&done, &remaining, format, context)?;
    } else {
        context
            .output
            .status(&format!("{} replaced", count(done.len() as u64, "key")));
    }
    if remaining.is_empty() {
        return Ok(());
    }
    let next = format!(
        "bascule key rotate --all {name} --now --issued-until {}",
        until.unwrap_or_default()
    );
    let number = count(remaining.len() as u64, "key");
    Err(match failure {
        Some((key, error)) => Error::new(
            error.kind,
            format!(
                "{number} not replaced, the first of them {}: {error}",
                escape(&key.access_key_id)
            ),
        )
        .next(format!(
            "{next}; if its answer got lost: bascule key rotate {} --again",
            key.access_key_id
        )),
        None => Error::new(
            Kind::Interrupted,
            format!("{number} {}", styled(WARN, "not replaced")),
        )
        .next(next),
    })
}

fn print_all(
    done: &[Done],
    remaining: &[v1::Key],
    format: Option<Format>,
    context: &Context,
) -> Result<(), Error> {
    let handed_out = done
        .iter()
        .map(|done| match (&done.issued, format) {
            (Some(issued), Some(format)) => issued.hand_out(format).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let rotated = done.iter().zip(&handed_out).map(|(done, text)| Document {
        rotation: (&done.rotation).into(),
        issued: done
            .issued
            .as_ref()
            .map(|issued| handed(issued, text.as_ref())),
        in_doubt: done.in_doubt.iter().map(Into::into).collect(),
    });
    context.output.document(&AllDocument {
        rotated: rotated.collect(),
        remaining: remaining.iter().map(Into::into).collect(),
    })
}
