//! `bascule eject`: gives tools the provider's key and server back, so that they work without Bascule.

use std::{collections::BTreeMap, path::PathBuf};

use bascule_domain::adoption::State;
use bascule_proto::v1;
use bascule_watch::adopt::{Access, Consumer, Goal, Layout, Plan, Selector, ServerSettings, plan};
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Context,
    adopt::{asked, selectors},
    audit::Why,
    consent,
};
use crate::{
    channel::Client,
    error::{Error, Kind},
    exit::Exit,
    moving::{
        Left, Seen,
        absent::{self, Absent},
        adopted::{Adoption, ConnectionState, Standing},
        connection::{names, there},
        files::{self, Failure},
        interrupted::{self, GivenUp},
        not_moved,
        preview::{self, FileDocument},
        record::{self, Fate, Turn},
        restart::{self, Restart},
        verify::{self, NotWorking},
    },
    output::text::{BAD, GOOD, HEAD, NEXT, count, escape, styled},
};

/// Give tools their provider's key back
///
/// The way back from adopt: key, secret, server and what else was changed are put back from the
/// connection's credentials, so that the tool works without Bascule. What you changed in its files since
/// stays. A listing is tried with the provider; then the tool's own key is revoked. Of a tool whose files are
/// gone, also one whose move was interrupted, only the record is closed, and its key revoked; where their folder
/// is missing too, which may just not be mounted, only with --gone.
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
    /// Also close the records of tools whose folder is not there, or not mounted, and won't come back
    #[arg(long)]
    gone: bool,
    #[command(flatten)]
    why: Why,
}

/// A tool that can be ejected.
struct Chosen<'s> {
    consumer: &'s Consumer,
    connection: v1::Connection,
    former: Option<Adoption>,
    layout: Layout,
    originals: BTreeMap<PathBuf, Zeroizing<String>>,
    settings: ServerSettings,
    plan: Plan,
}

/// An adopted tool whose files hold its key no more: there is nothing to change but the record.
struct Over {
    adoption: Adoption,
    absent: Absent,
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
        match choose(consumer, &seen, &connections, &adoptions, &client).await {
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

fn is_meant(adoption: &Adoption, selectors: &[Selector]) -> bool {
    selectors.iter().any(|selector| match selector {
        Selector::All => true,
        Selector::Named(name) => {
            adoption.consumer == *name
                || adoption.connection == *name
                    && adoption.connection_state != ConnectionState::Deleted
        }
        Selector::File(path) => adoption.paths.contains(path),
    })
}

/// Adopted tools that are meant and that no look finds any more, and moves that were interrupted and whose files
/// are not there: what is over can be closed, and of the others is told why not.
async fn unseen(
    adoptions: &[Adoption],
    seen: &Seen,
    selectors: &[Selector],
    gone: bool,
    client: &Client,
) -> Result<(Vec<Over>, Vec<Left>), Error> {
    let (mut over, mut left) = (Vec::new(), Vec::new());
    for adoption in adoptions {
        if !is_meant(adoption, selectors) {
            continue;
        }
        let absent = match adoption.state {
            State::Adopted => absent::absent(adoption, seen, client).await?,
            // While a file is there, the next run that changes files finishes it.
            State::Prepared => absent::files(adoption),
            State::RolledBack | State::Undone | State::Ejected | State::Replaced => None,
        };
        let Some(absent) = absent else { continue };
        let is_away = matches!(absent, Absent::Away(_));
        let is_over = absent.is_over() || is_away && gone;
        let mut why = absent.told();
        let one = Over {
            adoption: adoption.clone(),
            absent,
        };
        if adoption.is_half_done()
            && let Err(error) = interrupted::refuse_others(adoption)
        {
            let next = error.next;
            left.push(Left {
                next,
                ..one.left(error.message)
            });
            continue;
        }
        if is_over {
            over.push(one);
            continue;
        }
        if is_away {
            why.push_str("; if it won't come back, say so with --gone");
        }
        left.push(one.left(why));
    }
    // It stands on the one that it was to replace.
    over.sort_by_key(|one| !one.adoption.is_half_done());
    Ok((over, left))
}

impl Over {
    /// Closes the record.
    async fn close(&self, client: &Client, reason: &str) -> Result<(), Error> {
        let outcome = match self.adoption.is_half_done() {
            true => State::RolledBack,
            false => State::Ejected,
        };
        record::settle(client, &self.adoption.id, outcome, reason).await
    }

    fn key(&self) -> String {
        key(&self.adoption)
    }

    fn left(&self, why: String) -> Left {
        Left {
            consumer: self.adoption.consumer.clone(),
            key: self.key(),
            why,
            next: None,
            is_done: false,
        }
    }
}

/// The key that an adoption gave, as a user names it.
fn key(adoption: &Adoption) -> String {
    format!("{}/{}", adoption.connection, adoption.label)
}

impl From<&GivenUp> for Closed {
    fn from(one: &GivenUp) -> Self {
        Self {
            consumer: one.adoption.consumer.clone(),
            key: key(&one.adoption),
            why: Absent::FilesGone.told(),
            key_lives: one.fate.lives(),
        }
    }
}

impl From<&Over> for Closed {
    fn from(over: &Over) -> Self {
        Self {
            consumer: over.adoption.consumer.clone(),
            key: over.key(),
            why: over.absent.told(),
            key_lives: false,
        }
    }
}

/// `None` for a consumer whose key is none of ours.
async fn choose<'s>(
    consumer: &'s Consumer,
    seen: &Seen,
    connections: &[v1::Connection],
    adoptions: &[Adoption],
    client: &Client,
) -> Result<Option<Chosen<'s>>, String> {
    let Some(known) = seen.known(consumer) else {
        return Ok(None);
    };
    match known.standing {
        Standing::Living | Standing::Paused | Standing::Expired | Standing::Retiring => {}
        Standing::Dead
            if connections
                .iter()
                .all(|there| there.id != known.connection_id) =>
        {
            return Err(format!(
                "its connection {} is deleted, so there are no credentials to give back; give it another one first: bascule repair {}",
                known.connection,
                consumer.id().as_str()
            ));
        }
        Standing::Dead => {}
        Standing::Brought | Standing::Leaked | Standing::MarkedDead | Standing::Unknown => {
            return Ok(None);
        }
    }
    let found = connections
        .iter()
        .find(|there| there.id == known.connection_id);
    let connection = found.ok_or("its connection is gone")?.clone();
    if !connection.deletion_id.is_empty() {
        return Err(format!("a deletion of {} is under way", connection.name));
    }
    consumer.movable().map_err(|why| why.to_string())?;
    let former =
        record::current(adoptions, seen, consumer, &known.connection, &known.label).cloned();
    let layout = match &former {
        Some(former) => former.kept().map_err(|error| error.message)?.layout,
        None => Layout::default(),
    };
    let originals = match &former {
        Some(former) if former.originals_kept && former.replaces.is_none() => {
            match record::originals(client, &former.id).await {
                Ok(originals) => originals,
                // They were in no backup that was restored; what is known of the settings is enough.
                Err(error) if error.kind == Kind::Refused => BTreeMap::new(),
                Err(error) => return Err(error.message),
            }
        }
        _ => BTreeMap::new(),
    };
    let endpoint = connection.endpoint.parse();
    let endpoint = endpoint.map_err(|_| {
        format!(
            "{} is a folder of this machine, which only Bascule serves",
            connection.name
        )
    })?;
    let access = Access {
        id: connection.brought_key.trim_start_matches('…').to_owned(),
        secret: Zeroizing::new("A".repeat(40)),
        endpoint,
    };
    let settings = ServerSettings {
        region: connection.region.clone(),
        is_virtual_host: connection.addressing == "virtual-host",
    };
    let goal = Goal::Provider {
        access: &access,
        settings: &settings,
        layout: &layout,
        originals: &originals,
    };
    let plan = plan(consumer, goal, files::text).map_err(|why| why.to_string())?;
    Ok(Some(Chosen {
        consumer,
        connection,
        former,
        layout,
        originals,
        settings,
        plan,
    }))
}

fn told(chosen: &[Chosen<'_>], over: &[Over], left: &[Left], seen: &Seen) -> String {
    let mut text = String::new();
    for one in chosen {
        let to = format!("the key of {} at its provider", one.connection.name);
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

impl Chosen<'_> {
    fn document(&self, plan: &Plan, restart: Vec<Restart>) -> Ejected {
        Ejected {
            consumer: self.consumer.name.clone(),
            connection: self.connection.name.clone(),
            former_key: self.consumer.id().masked(),
            files: plan.files.iter().map(Into::into).collect(),
            restart,
            key_lives: false,
        }
    }

    async fn carry_out(
        &self,
        client: &Client,
        seen: &Seen,
        arguments: &Arguments,
    ) -> Result<Ejected, Failure> {
        let reason = arguments.why.text();
        let access = access(client, &self.connection.name, &self.consumer.name, &reason).await?;
        let goal = Goal::Provider {
            access: &access,
            settings: &self.settings,
            layout: &self.layout,
            originals: &self.originals,
        };
        // What was ejected before may have changed the lines of the same file.
        let consumer = &seen.again(self.consumer).await?;
        let plan = plan(consumer, goal, files::text)
            .map_err(|why| Error::new(Kind::Refused, why.to_string()))?;
        files::write(&plan).await?;
        let buckets = names(&self.connection.buckets);
        let checked = verify::check(seen, consumer, &access, &buckets).await;
        if let Err(NotWorking(why)) = checked {
            return Err(files::after(Error::new(Kind::Failed, why), &plan.files).await);
        }
        if let Some(former) = &self.former
            && let Err(error) = record::settle(client, &former.id, State::Ejected, &reason).await
        {
            return Err(files::after(error, &plan.files).await);
        }
        let mut restart = restart::needed(consumer, &files::paths(&plan));
        if arguments.restart {
            restart = restart::perform(restart);
        }
        Ok(self.document(&plan, restart))
    }
}

/// The connection's own key and server.
async fn access(
    client: &Client,
    connection: &str,
    consumer: &str,
    reason: &str,
) -> Result<Access, Error> {
    let request = v1::AccessRequest {
        connection: connection.to_owned(),
        consumer: consumer.to_owned(),
        reason: reason.to_owned(),
    };
    let answer = client.adoptions().access(request).await?.into_inner();
    let credentials = answer.credentials.unwrap_or_default();
    let endpoint = answer.endpoint.parse().map_err(|error| {
        Error::new(
            Kind::Failed,
            format!("the daemon's answer holds no address: {error}"),
        )
    })?;
    Ok(Access {
        id: credentials.access_key_id,
        secret: Zeroizing::new(credentials.secret_access_key),
        endpoint,
    })
}
