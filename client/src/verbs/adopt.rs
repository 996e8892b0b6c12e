//! `bascule adopt`: moves tools from the provider's key to one of their own, and back.

mod undo;

use bascule_domain::endpoint::Endpoint;
use bascule_proto::v1;
use bascule_watch::adopt::{Consumer, Goal, Plan, Selector};
use clap::Args;
use serde::Serialize;

use super::{Context, audit::Why, consent, machine};
use crate::{
    channel::Client,
    error::{Error, Kind},
    exit::Exit,
    moving::{
        Left, Seen,
        adopted::Standing,
        carry::{Gets, Moved, Way, move_to},
        connection::{Asked, Connections, Destination, Limits, Lost, closed, there},
        encrypted,
        issue::{gateway, placeholder},
        not_moved, plan_for, preview,
        record::{self, Turn},
        restart,
        rights::Rights,
        shown,
    },
    output::text::{BAD, DIM, GOOD, NEXT, WARN, count, escape, styled},
};

/// Move tools from the provider's key to keys of their own
///
/// Names what to move: rclone:REMOTE, aws:PROFILE, restic:UNIT, TOOL:NAME for any other tool, a
/// file, or --all. Shows first which settings of which files would change. Then a connection is
/// made if none has the tool's own credentials (one for all tools that share them, probed first),
/// each tool gets a key with the least right that its command lines need, the files are changed
/// (only the values; the daemon keeps what stood there, sealed), and a listing is tried with each
/// new key. What does not work is put back.
///
/// Examples:
///   bascule adopt --all --dry-run
///   bascule adopt rclone:r2
///   bascule adopt restic:nightly.service --connection backups --yes
///   bascule adopt ~/backup.env --restart
///   bascule adopt --list
///   bascule adopt --undo A3f9
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// rclone:REMOTE, aws:PROFILE, restic:UNIT, TOOL:NAME or a file
    #[arg(value_name = "CONSUMER", required_unless_present_any = ["all", "undo", "list"])]
    consumers: Vec<String>,
    /// Every tool that uses a key which is not Bascule's
    #[arg(long, conflicts_with = "consumers")]
    all: bool,
    /// The connection to use, also one with other credentials, or what to call a new one
    #[arg(long, value_name = "NAME", conflicts_with_all = ["undo", "list"])]
    connection: Option<String>,
    /// A bucket that a new connection reaches besides those that the tools name; may be given several times
    #[arg(long = "bucket", value_name = "BUCKET", conflicts_with_all = ["undo", "list"])]
    buckets: Vec<String>,
    /// Show what would change, and change nothing
    #[arg(long, conflicts_with_all = ["undo", "list"])]
    dry_run: bool,
    /// Change it without asking
    #[arg(long)]
    yes: bool,
    /// Restart units of the user's own that still run with the old key
    #[arg(long)]
    restart: bool,
    /// Put back the exact bytes from before an adoption
    #[arg(long, value_name = "ID", conflicts_with_all = ["consumers", "all", "list"])]
    undo: Option<String>,
    /// List the adoptions
    #[arg(long, conflicts_with_all = ["consumers", "all"])]
    list: bool,
    /// Open encrypted rclone configurations: runs your RCLONE_PASSWORD_COMMAND to get their password
    #[arg(long)]
    unlock: bool,
    #[command(flatten)]
    why: Why,
}

/// A consumer that can be moved.
struct Chosen<'s> {
    consumer: &'s Consumer,
    destination: Destination,
    plan: Plan,
    /// Its limits, where the credentials behind its key are not its own.
    limits: Option<Limits>,
    /// What it reaches now and would not reach any more; for people.
    lost: Option<String>,
    /// What it would reach that it does not reach now; for people.
    gained: Option<String>,
}

impl Chosen<'_> {
    /// What its key may do.
    fn rights(&self) -> Option<Rights> {
        let permission = self.consumer.need().permission;
        self.limits
            .as_ref()
            .map(|limits| Rights::within(limits, permission))
    }

    fn told(&self, moved: Moved) -> Moved {
        Moved {
            lost: self.lost.clone(),
            gained: self.gained.clone(),
            ..moved
        }
    }
}

/// What a run of `adopt`, `repair` or a dry run of them tells.
#[derive(Serialize)]
pub(super) struct Document {
    dry_run: bool,
    pub(super) moved: Vec<Moved>,
    /// What was meant and stays as it is.
    pub(super) left: Vec<Left>,
    /// What was put back, with the reason.
    pub(super) failed: Vec<Left>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    if arguments.unlock {
        encrypted::unlock(&machine().environment)?;
    }
    if arguments.list {
        return undo::list(context).await;
    }
    if let Some(id) = &arguments.undo {
        let (yes, restarts) = (arguments.yes, arguments.restart);
        return undo::undo(id, yes, restarts, &arguments.why.text(), context).await;
    }
    let selectors = selectors(&arguments.consumers, arguments.all)?;
    let asked = asked(&selectors);
    let client = context.client().await?;
    let turn = match arguments.dry_run {
        true => None,
        false => Some(Turn::begin(&client, context.output).await?),
    };
    let adoptions = record::all(&client).await?;
    let seen = match arguments.all {
        true => Seen::searched(context, &adoptions).await?,
        false => Seen::now(context, &selectors, &adoptions).await?,
    };
    let meant = seen.selected(&selectors);
    if meant.is_empty() && !arguments.all {
        return Err(seen.nothing(&asked));
    }
    let mut connections = Connections::of(there(&client).await?);
    let gateway = gateway(&client).await?;
    let (chosen, left) = choose(&seen, meant, &mut connections, &gateway, &arguments).await;
    let mut document = Document::new(arguments.dry_run);
    document.left = left;
    let locked = seen.locked.iter().filter(|_| arguments.all);
    document.left.extend(locked.map(|path| Left::locked(path)));
    // What can't be looked into is no refusal: the rest is done.
    let is_locked = arguments.all && !seen.locked.is_empty();
    if chosen.is_empty() {
        let exit = nothing_to_do(&document, context)?;
        return Ok(if is_locked { Exit::Incomplete } else { exit });
    }
    tell_plan(&chosen, &connections, &document.left, &seen, context);
    if arguments.dry_run {
        let planned = |one: &Chosen<'_>| {
            let name = connections.name(&one.destination);
            one.told(Moved::planned(one.consumer, name, &one.plan))
        };
        document.moved = chosen.iter().map(planned).collect();
        context.output.result(&document, || {
            format!("{}\n", styled(DIM, "nothing was changed (--dry-run)"))
        })?;
        return Ok(if is_locked {
            Exit::Incomplete
        } else {
            Exit::Ok
        });
    }
    consent::to_changes(arguments.yes, context.output).await?;
    let reason = arguments.why.text();
    let made = make(&connections, &client, &reason, context).await;
    let way = Way {
        client: &client,
        seen: &seen,
        restarts: arguments.restart,
        reason: &reason,
    };
    for one in chosen {
        let connection = match (&one.destination, &made) {
            (Destination::There { connection, .. }, _) => Ok((**connection).clone()),
            (Destination::New(at), made) => made[*at].clone(),
        };
        let name = connections.name(&one.destination).to_owned();
        let moved = match connection {
            Ok(connection) => {
                let rights = one.rights();
                let gets = Gets::New {
                    connection: &connection.name,
                    rights: rights.as_ref(),
                    is_foreign: one.limits.is_some(),
                };
                move_to(gets, one.consumer, None, &way).await
            }
            Err(why) => {
                Err(Error::new(Kind::Provider, format!("no connection {name}: {why}")).into())
            }
        };
        match moved {
            Ok(moved) => {
                tell_moved(&moved, seen.home.as_deref(), context);
                document.moved.push(one.told(moved));
            }
            Err(error) => {
                document
                    .failed
                    .push(not_moved(one.consumer, error, context.output));
            }
        }
    }
    drop(turn);
    finish(
        &document,
        "bascule adopt --undo ID, or bascule eject CONSUMER",
        context,
    )
}

/// What was asked for, parsed.
pub(super) fn selectors(consumers: &[String], all: bool) -> Result<Vec<Selector>, Error> {
    if all {
        return Ok(vec![Selector::All]);
    }
    let parsed = consumers.iter().map(|text| {
        text.parse().map_err(|error| {
            Error::new(Kind::Invalid, format!("{text:?} is {error}")).next("bascule scan")
        })
    });
    parsed.collect()
}

/// As on a command line.
pub(super) fn asked(selectors: &[Selector]) -> String {
    let words: Vec<_> = selectors.iter().map(ToString::to_string).collect();
    words.join(" ")
}

/// Which of the consumers can be moved, and why the others can't.
async fn choose<'s>(
    seen: &Seen,
    meant: Vec<&'s Consumer>,
    connections: &mut Connections,
    gateway: &Endpoint,
    arguments: &Arguments,
) -> (Vec<Chosen<'s>>, Vec<Left>) {
    let (mut chosen, mut left) = (Vec::new(), Vec::new());
    let access = placeholder(gateway);
    for consumer in meant {
        let why = match seen.standing(consumer) {
            // Of all, what is done already needs no word.
            Standing::Living | Standing::Paused | Standing::Expired if arguments.all => continue,
            Standing::Living | Standing::Paused | Standing::Expired => {
                left.push(Left::done(consumer, "it has a key of Bascule's already"));
                continue;
            }
            Standing::Retiring => Some("its key of Bascule's retires: bascule repair"),
            Standing::Dead => Some("its key of Bascule's is dead: bascule repair"),
            Standing::Brought | Standing::Leaked | Standing::MarkedDead | Standing::Unknown => None,
        };
        if let Some(why) = why {
            left.push(Left::of(consumer, why));
            continue;
        }
        let asked = Asked {
            connection: arguments.connection.as_deref(),
            buckets: &arguments.buckets,
        };
        let planned = match plan_for(consumer, Goal::Gateway(&access)) {
            Ok(plan) => connections
                .destination(consumer, seen.known(consumer), &asked)
                .await
                .map(|destination| (plan, destination)),
            Err(why) => Err(why),
        };
        let (plan, destination) = match planned {
            Ok(planned) => planned,
            Err(why) => {
                left.push(Left::of(consumer, why));
                continue;
            }
        };
        let mut one = Chosen {
            consumer,
            destination,
            plan,
            limits: None,
            lost: None,
            gained: None,
        };
        if let Destination::There { connection, is_own } = &one.destination {
            let lost = Lost::by(consumer, connection).await;
            let why = closed(connection).or_else(|| lost.forbids(connection, arguments.all));
            if let Some(why) = why {
                left.push(Left::of(consumer, why));
                continue;
            }
            one.lost = lost.told(connection);
            if !is_own {
                let limits = lost.limits(consumer, connection);
                one.gained = lost.gained(&limits, connection);
                one.limits = Some(limits);
            }
        }
        chosen.push(one);
    }
    (chosen, left)
}

fn nothing_to_do(document: &Document, context: &Context) -> Result<Exit, Error> {
    if document.left.is_empty() {
        context.output.result(document, || {
            format!(
                "{}\n",
                styled(GOOD, "every tool that was found has a key of its own")
            )
        })?;
        return Ok(Exit::Ok);
    }
    let done = document.left.iter().all(|left| left.is_done);
    context
        .output
        .result(document, || preview::left(&document.left))?;
    Ok(if done { Exit::Ok } else { Exit::Refused })
}

fn tell_plan(
    chosen: &[Chosen<'_>],
    connections: &Connections,
    left: &[Left],
    seen: &Seen,
    context: &Context,
) {
    if context.output.is_json() {
        return;
    }
    let mut text = String::new();
    for new in &connections.new {
        let told = match (new.buckets.as_slice(), new.all) {
            ([], _) => "the buckets that its credentials may list".to_owned(),
            (buckets, true) => format!(
                "{}, and what else its credentials may list",
                buckets.join(", ")
            ),
            (buckets, false) => buckets.join(", "),
        };
        text.push_str(&format!(
            "{} {} ({})\n",
            styled(NEXT, "new connection"),
            escape(&new.name),
            escape(&told)
        ));
    }
    for one in chosen {
        let need = one.consumer.need();
        let known = if need.known {
            ""
        } else {
            ", since what it does is not known"
        };
        let to = format!(
            "a key of {} ({}{known})",
            connections.name(&one.destination),
            need.permission.as_str()
        );
        let home = seen.home.as_deref();
        text.push_str(&preview::consumer(one.consumer, &to, &one.plan, home));
        for (word, told) in [("gained:", &one.gained), ("lost:", &one.lost)] {
            if let Some(told) = told {
                text.push_str(&format!("  {} {}\n", styled(WARN, word), escape(told)));
            }
        }
    }
    text.push_str(&preview::left(left));
    context.output.stderr(&text);
}

/// Makes the new connections, each once. An error is the text for everybody who waits for it.
async fn make(
    connections: &Connections,
    client: &Client,
    reason: &str,
    context: &Context,
) -> Vec<Result<v1::Connection, String>> {
    let mut made = Vec::new();
    for new in &connections.new {
        let outcome = new.connect(client, reason).await;
        if let Ok(connection) = &outcome {
            let told = format!(
                "connected {} ({})",
                connection.name,
                connection.buckets.join(", ")
            );
            context.output.status(&styled(GOOD, &escape(&told)));
        }
        made.push(outcome.map_err(|error| {
            let next = error
                .next
                .map_or_else(String::new, |next| format!(" ({next})"));
            format!("{}{next}", error.message)
        }));
    }
    made
}

impl Document {
    pub(super) const fn new(dry_run: bool) -> Self {
        Self {
            dry_run,
            moved: Vec::new(),
            left: Vec::new(),
            failed: Vec::new(),
        }
    }
}

/// One consumer that was moved, as soon as it is.
pub(crate) fn tell_moved(moved: &Moved, home: Option<&std::path::Path>, context: &Context) {
    let label = moved.label.clone().unwrap_or_default();
    let told = format!(
        "{} uses {}/{label} now ({}), tried with a listing",
        moved.consumer, moved.connection, moved.permission
    );
    context
        .output
        .status(&format!("{} {}", styled(GOOD, "✓"), escape(&told)));
    restart::tell(&moved.restart, context.output);
    for path in &moved.readable_by_others {
        let path = shown(path, home);
        let told = format!("others can read {path}, which holds a key: chmod 600 {path}");
        context
            .output
            .status(&format!("  {} {}", styled(WARN, "→"), escape(&told)));
    }
}

/// The end of a run that moved consumers; `back` takes one back.
pub(super) fn finish(document: &Document, back: &str, context: &Context) -> Result<Exit, Error> {
    let (moved, failed) = (document.moved.len() as u64, document.failed.len() as u64);
    context.output.result(document, || {
        let mut text = String::new();
        if moved > 0 {
            text.push_str(&format!(
                "{}; take it back at any time: {back}\n",
                styled(GOOD, &format!("{} moved", count(moved, "tool")))
            ));
        }
        if failed > 0 {
            let told = format!("{} not moved", count(failed, "tool"));
            text.push_str(&format!("{}\n", styled(BAD, &told)));
        }
        text
    })?;
    Ok(match (moved, failed, document.left.is_empty()) {
        (0, _, _) => Exit::Failed,
        (_, 0, true) => Exit::Ok,
        _ => Exit::StepsRemain,
    })
}
