//! `bascule check`: do keys still work? It asks the servers that configurations name, and only after
//! somebody agreed. Works without a daemon.

mod answers;
mod choices;
mod consent;
mod subject;

use std::{sync::Arc, time::Duration};

use bascule_adapters::{Checker, Health};
use bascule_watch::{
    Picture, Standing,
    reference::{self, Reference},
    scan,
};
use clap::Args;
use futures_util::{StreamExt, stream};

use super::{
    Context,
    scan::{look, machine},
};
use crate::{
    clock,
    error::{Error, Kind},
    exit::Exit,
    output::{Output, progress::Progress, text::count},
};
use consent::Scope;
use subject::Subject;

/// So many servers are asked at once.
const AT_ONCE: usize = 8;
/// Whoever waits longer is told how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// Ask whether keys still work
///
/// Name a key by its id (the last four characters may do), or by what a tool calls it. One signed
/// request for one key, a listing of at most one object, goes to the server that the key's own
/// configuration names, and to no other; it changes nothing. The first time you are asked before
/// anything is sent, because keys that exist to raise an alarm (canary keys) would raise it. Yes is
/// remembered; --yes stands for it once.
///
///   alive         the server takes the key
///   denied        it refuses the listing; a key with limited rights may work all the same
///   dead          it does not know the key, or the key is disabled
///   wrong secret  the secret beside the id is not the key's
///   unreachable   no server was reached (name, connection, TLS, time)
///   unknown       anything else
///
/// Exit codes: 0 alive or denied, 9 dead or wrong secret, 10 unreachable or unknown.
///
/// Examples:
///   bascule check rclone:r2
///   bascule check aws:work
///   bascule check AKIA…7F3Q
///   bascule check --all
///   ExecStartPre=bascule check rclone:r2 --yes     (in a systemd unit)
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// ACCESS_KEY_ID, rclone:REMOTE or aws:PROFILE
    #[arg(value_name = "KEY", conflicts_with = "all")]
    key: Option<String>,
    /// Every key that is found on this machine
    #[arg(long)]
    all: bool,
    /// Send the requests without asking first; nothing is remembered
    #[arg(long)]
    yes: bool,
}

/// Whose health is asked for.
#[derive(Debug, Clone)]
enum Asked {
    All,
    One(Reference),
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let asked = match (arguments.key, arguments.all) {
        (Some(key), _) => Asked::One(parse(&key)?),
        (None, true) => Asked::All,
        (None, false) => return choices::show(context).await,
    };
    let machine = machine();
    let home = machine.user.home.clone();
    let picture = {
        let asked = asked.clone();
        look(move || match &asked {
            Asked::All => scan::known(&machine, scan::Scope::FILES),
            Asked::One(reference) => relevant(reference, reference::resolve(reference, &machine)),
        })
        .await?
    };
    let subjects = subject::gather(&picture.uses);
    let scope = scope(&asked, &subjects, &picture)?;
    consent::obtain(&scope, &subjects, arguments.yes, context.output).await?;
    let healths = ask(&subjects, context.output).await;
    answers::tell(
        &asked,
        &subjects,
        &healths,
        &picture.gaps,
        home.as_deref(),
        context.output,
    )
}

fn parse(key: &str) -> Result<Reference, Error> {
    let reference = key.parse().map_err(|error| {
        Error::new(Kind::Invalid, format!("{key:?} is {error}")).next("bascule check --all")
    })?;
    // It would stand in argv already; at least it is not repeated.
    if let Reference::Rclone(remote) = &reference
        && (remote.starts_with(':') || remote.contains(','))
    {
        return Err(Error::new(
            Kind::Invalid,
            "a connection string with options is not taken: its key would be seen by every user of this machine",
        )
        .next("put it into rclone's configuration, then: bascule check rclone:REMOTE"));
    }
    Ok(reference)
}

/// Of a remote or profile only what the tool would use counts; of an id that is found, what was not
/// looked at elsewhere says nothing.
fn relevant(reference: &Reference, mut picture: Picture) -> Picture {
    match reference {
        Reference::Id(_) if !picture.uses.is_empty() => picture.gaps.clear(),
        Reference::Id(_) => {}
        Reference::Rclone(_) | Reference::Aws(_) => picture
            .uses
            .retain(|found| found.standing == Standing::Effective),
    }
    picture
}

/// What somebody has to agree to.
fn scope(asked: &Asked, subjects: &[Subject], picture: &Picture) -> Result<Scope, Error> {
    let reference = match asked {
        Asked::All => return Ok(Scope::All),
        Asked::One(reference) => reference,
    };
    let Some(first) = subjects.first() else {
        return Err(nothing(reference, picture));
    };
    Ok(match reference {
        Reference::Rclone(remote) => Scope::Rclone(remote.clone()),
        Reference::Aws(profile) => Scope::Aws(profile.clone()),
        Reference::Id(shown) => {
            if subjects.iter().any(|subject| subject.id != first.id) {
                let message = format!("{shown:?} fits several keys of this machine");
                let next = "give the whole id; see every key: bascule scan";
                return Err(Error::new(Kind::Invalid, message).next(next));
            }
            Scope::Key(first.id.clone())
        }
    })
}

fn nothing(reference: &Reference, picture: &Picture) -> Error {
    let see = "see every key: bascule scan";
    let (message, next) = match (reference, picture.gaps.first()) {
        // What was given is not repeated: it may be a secret that was taken for the id.
        (Reference::Id(_), None) => ("no key of this machine has that id".to_owned(), see),
        (Reference::Id(_), Some(_)) => (
            format!(
                "no key that was found has that id; {} could not be looked at",
                count(picture.gaps.len() as u64, "place")
            ),
            see,
        ),
        (_, None) => (format!("{reference} leads to no key"), see),
        (_, Some(gap)) => (
            format!("{reference} leads to no key: {}", gap.why),
            Some(gap.remedy.as_str())
                .filter(|remedy| !remedy.is_empty())
                .unwrap_or(see),
        ),
    };
    Error::new(Kind::NotFound, message).next(next)
}

/// Asks about each, several at once. The healths stand in the order of the subjects.
async fn ask(subjects: &[Subject], output: Output) -> Vec<Health> {
    let checker = Checker::new(Arc::new(clock::now));
    let mut healths: Vec<Option<Health>> = vec![None; subjects.len()];
    let checker = &checker;
    let mut asking = stream::iter(subjects.iter().enumerate())
        .map(|(at, subject)| async move { (at, subject.ask(checker).await) })
        .buffer_unordered(AT_ONCE);
    let mut progress = Progress::new(output);
    let mut answered = 0;
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + PATIENCE, PATIENCE);
    loop {
        tokio::select! {
            next = asking.next() => match next {
                Some((at, health)) => {
                    healths[at] = Some(health);
                    answered += 1;
                }
                None => break,
            },
            _ = tick.tick(), if output.redraws() => {
                progress.figures(&format!("{answered} of {} keys answered for", subjects.len()));
            }
        }
    }
    progress.clear();
    healths
        .into_iter()
        .map(|health| health.unwrap_or_else(|| Health::Unknown("it was not asked about".into())))
        .collect()
}
