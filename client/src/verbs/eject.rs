//! `bascule eject`: gives tools the provider's key and server back, so that they work without Bascule.

mod back;
mod over;

use bascule_proto::v1;
use bascule_watch::adopt::{Consumer, Selector};
use clap::Args;
use serde::Serialize;

use self::{
    back::{Chosen, choose},
    over::{Over, is_meant, unseen},
};
use super::{
    Context,
    adopt::{asked, selectors},
    audit::Why,
    consent, machine,
};
use crate::{
    channel::Client,
    error::Error,
    exit::Exit,
    moving::{
        Left, Seen,
        adopted::Standing,
        connection::there,
        encrypted, not_moved,
        preview::{self, FileDocument},
        record::{self, Fate, Turn},
        restart::{self, Restart},
    },
    output::text::{BAD, GOOD, HEAD, NEXT, count, escape, styled},
};

/// Give tools their provider's key back
///
/// The way back from adopt: key, secret, server and what else was changed are put back from the
/// connection's credentials, or from what stood there if the tool had others, so that it works
/// without Bascule. What you changed in its files since stays. A listing is tried with the
/// provider; then the tool's own key is revoked. Of a tool whose files are gone, also one whose
/// move was interrupted, only the record is closed, and its key revoked; where their folder is
/// missing too, which may just not be mounted, only with --gone.
///
/// Examples:
///   bascule eject rclone:r2
///   bascule eject photos            # every tool with a key of this connection
///   bascule eject --all --yes       # before Bascule is removed
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A tool as adopt names it, a file, or a connection
    #[arg(value_name = "CONSUMER|NAME", required_unless_present = "all")]
    consumers: Vec<String>,
    /// Every tool that uses a key of Bascule's
    #[arg(long, conflicts_with = "consumers")]
    all: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Change it without asking
    #[arg(long)]
    yes: bool,
    /// Restart units of the user's own that still run with the old key
    #[arg(long)]
    restart: bool,
    /// Give the connection's own key also to tools that had another one, which then may do what that one may
    #[arg(long)]
    connection_key: bool,
    /// Also close the records of tools whose folder is not there, or not mounted, and won't come back
    #[arg(long)]
    gone: bool,
    /// Open encrypted rclone configurations: runs your RCLONE_PASSWORD_COMMAND to get their password
    #[arg(long)]
    unlock: bool,
    #[command(flatten)]
    why: Why,
}

#[derive(Serialize)]
struct Document {
    dry_run: bool,
    ejected: Vec<Ejected>,
    /// Adopted tools that are gone: their records are closed and their keys revoked.
    closed: Vec<Closed>,
    left: Vec<Left>,
    failed: Vec<Left>,
}

#[derive(Serialize)]
struct Ejected {
    consumer: String,
    connection: String,
    former_key: String,
    /// Whether it gets the connection's own key at the provider, and not another one that it had.
    connection_key: bool,
    files: Vec<FileDocument>,
    restart: Vec<Restart>,
    /// Whether its key of Bascule's was not revoked, since something uses it still.
    key_lives: bool,
}

#[derive(Serialize)]
struct Closed {
    consumer: String,
    key: String,
    why: String,
    /// Whether its key was not revoked, since something else may use it.
    key_lives: bool,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    if arguments.unlock {
        encrypted::unlock(&machine().environment)?;
    }
    let selectors = selectors(&arguments.consumers, arguments.all)?;
    let asked = asked(&selectors);
    let client = context.client().await?;
    let turn = match arguments.dry_run {
        true => None,
        false => Some(Turn::begin(&client, context.output).await?),
    };
    let adoptions = record::all(&client).await?;
    let seen = Seen::now(context, &selectors, &adoptions).await?;
    let connections = there(&client).await?;
    let meant = meant(&seen, &selectors, &connections);
    let (over, left) = unseen(&adoptions, &seen, &selectors, arguments.gone, &client).await?;
    let given_up = turn.iter().flat_map(|turn| &turn.given_up);
    let given_up = given_up.filter(|one| is_meant(&one.adoption, &selectors));
    let given_up: Vec<Closed> = given_up.map(Into::into).collect();
    let is_any = !(over.is_empty() && given_up.is_empty() && left.is_empty());
    if meant.is_empty() && !is_any && !arguments.all {
        return Err(seen.nothing(&asked));
    }
    let mut document = Document {
        dry_run: arguments.dry_run,
        ejected: Vec::new(),
        closed: Vec::new(),
        left,
        failed: Vec::new(),
    };
    let mut chosen = Vec::new();
    for consumer in meant {
        let choice = choose(
            consumer,
            &seen,
            &connections,
            &adoptions,
            &arguments,
            &client,
        );
        match choice.await {
            Ok(Some(one)) => chosen.push(one),
            Ok(None) if arguments.all => {}
            // Its user has set it back: only the record is left of it.
            Ok(None)
                if over
                    .iter()
                    .any(|one| one.adoption.consumer == consumer.name) => {}
            Ok(None) => document
                .left
                .push(Left::of(consumer, "it uses no key of Bascule's")),
            Err(why) => document.left.push(Left::of(consumer, why)),
        }
    }
    if !context.output.is_json() {
        let told = told(&chosen, &over, &document.left, &seen);
        context.output.stderr(&told);
    }
    if chosen.is_empty() && over.is_empty() {
        let none = document.left.is_empty();
        document.closed = given_up;
        let closed = document.closed.len() as u64;
        context.output.result(&document, || match (none, closed) {
            (true, 0) => format!(
                "{}\n",
                styled(GOOD, "no tool that was found uses a key of Bascule's")
            ),
            (_, 0) => String::new(),
            (_, closed) => closed_told(closed, false),
        })?;
        return Ok(if none { Exit::Ok } else { Exit::Refused });
    }
    if !arguments.dry_run {
        consent::to_changes(arguments.yes, context.output).await?;
    }
    let mut ejected: Vec<&Chosen<'_>> = Vec::new();
    for one in &chosen {
        if arguments.dry_run {
            document.ejected.push(one.document(&one.plan, Vec::new()));
            continue;
        }
        match one.carry_out(&client, &seen, &arguments).await {
            Ok(done) => {
                let told = format!("{} goes to its provider itself again", done.consumer);
                context
                    .output
                    .status(&format!("{} {}", styled(GOOD, "✓"), escape(&told)));
                restart::tell(&done.restart, context.output);
                document.ejected.push(done);
                ejected.push(one);
            }
            Err(error) => {
                document
                    .failed
                    .push(not_moved(one.consumer, error, context.output));
            }
        }
    }
    let mut closed: Vec<&Over> = Vec::new();
    for one in &over {
        let settled = match arguments.dry_run {
            true => Ok(()),
            false => one.close(&client, &arguments.why.text()).await,
        };
        match settled {
            Ok(()) => {
                document.closed.push(one.into());
                closed.push(one);
            }
            Err(error) => {
                let told = format!("{}: {}", one.adoption.consumer, error.message);
                let told = format!("{} {}", styled(BAD, "not closed:"), escape(&told));
                context.output.status(&told);
                document.failed.push(one.left(error.message));
            }
        }
    }
    if !arguments.dry_run {
        revoke(&ejected, &closed, &mut document, &seen, &client, context).await;
    }
    drop(turn);
    document.closed.extend(given_up);
    let (moved, failed) = (document.ejected.len() as u64, document.failed.len() as u64);
    let closed = document.closed.len() as u64;
    context.output.result(&document, || {
        let done = if document.dry_run {
            "would be ejected"
        } else {
            "ejected"
        };
        let mut text = String::new();
        if moved > 0 {
            let told = format!("{} {done}", count(moved, "tool"));
            text.push_str(&format!("{}\n", styled(GOOD, &told)));
        }
        if closed > 0 {
            text.push_str(&closed_told(closed, document.dry_run));
        }
        if failed > 0 {
            let told = format!("{} not ejected", count(failed, "tool"));
            text.push_str(&format!("{}\n", styled(BAD, &told)));
        }
        text
    })?;
    Ok(match (moved + closed, failed, document.left.is_empty()) {
        (0, _, _) => Exit::Failed,
        (_, 0, true) => Exit::Ok,
        _ => Exit::StepsRemain,
    })
}

fn closed_told(closed: u64, dry_run: bool) -> String {
    let done = if dry_run { "would be closed" } else { "closed" };
    let told = format!("{} {done}", count(closed, "record"));
    format!("{}\n", styled(GOOD, &told))
}

/// Revokes the keys that nothing has any more, once all that were meant have let go of them.
async fn revoke(
    ejected: &[&Chosen<'_>],
    closed: &[&Over],
    document: &mut Document,
    seen: &Seen,
    client: &Client,
    context: &Context,
) {
    let tell = |consumer: &str, fate: &Fate| {
        if fate.lives() {
            let told = format!("{consumer}: {}", fate.told());
            let told = format!("  {} {}", styled(NEXT, "→"), escape(&told));
            context.output.status(&told);
        }
    };
    // Of what was seen at first; what runs on has its key still.
    let mut left = seen.consumers.iter().filter(|consumer| {
        let mut done = ejected.iter().zip(&document.ejected);
        !done.any(|(one, done)| std::ptr::eq(one.consumer, *consumer) && done.restart.is_empty())
    });
    let left: Vec<_> = left.by_ref().collect();
    for (one, done) in ejected.iter().zip(&mut document.ejected) {
        let id = one.consumer.id();
        let is_used = left.iter().any(|other| other.id() == id);
        let reason = "its tool was ejected";
        let fate = record::revoke_if_its_own(client, id.as_str(), is_used, reason).await;
        tell(&done.consumer, &fate);
        done.key_lives = fate.lives();
    }
    for (one, done) in closed.iter().zip(&mut document.closed) {
        let adoption = &one.adoption;
        let is_used = left.iter().any(|other| {
            seen.known(other).is_some_and(|known| {
                known.label == adoption.label && known.connection_id == adoption.connection_id
            })
        });
        let reason = "its tool is gone";
        let fate = record::revoke_if_its_own(client, &adoption.key_id, is_used, reason).await;
        tell(&done.consumer, &fate);
        done.key_lives = fate.lives();
    }
}

/// The consumers that are meant: by their names, or by their key's connection.
fn meant<'s>(
    seen: &'s Seen,
    selectors: &[Selector],
    connections: &[v1::Connection],
) -> Vec<&'s Consumer> {
    let of_connection = |consumer: &Consumer| {
        seen.known(consumer).is_some_and(|known| {
            selectors.iter().any(|selector| match selector {
                Selector::Named(name) => {
                    *name == known.connection
                        && connections.iter().any(|there| there.name == *name)
                        // A connection's own key at its provider is nothing that was given.
                        && known.standing != Standing::Brought
                }
                Selector::All | Selector::File(_) => false,
            })
        })
    };
    let named = seen.selected(selectors);
    let selected = |consumer: &&Consumer| {
        named.iter().any(|one| std::ptr::eq(*one, *consumer)) || of_connection(consumer)
    };
    seen.consumers.iter().filter(selected).collect()
}

fn told(chosen: &[Chosen<'_>], over: &[Over], left: &[Left], seen: &Seen) -> String {
    let mut text = String::new();
    for one in chosen {
        let to = one.told();
        let home = seen.home.as_deref();
        text.push_str(&preview::consumer(one.consumer, &to, &one.plan, home));
    }
    for one in over {
        let told = format!(
            "{}: its record is closed and its key {} revoked, if no other tool has it",
            one.absent.told(),
            one.key()
        );
        let consumer = escape(&one.adoption.consumer);
        text.push_str(&format!("{}  {}\n", styled(HEAD, &consumer), escape(&told)));
    }
    text.push_str(&preview::left(left));
    text
}
