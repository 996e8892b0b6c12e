//! `bascule repair`: gives tools whose key is dead or retires the one that took its place, or a new one.

use std::collections::BTreeSet;

use bascule_proto::v1;
use bascule_watch::adopt::{Consumer, Goal, NotMovable, Plan, Selector};
use clap::Args;

use super::{
    Context,
    adopt::{self, Document, finish, tell_moved},
    audit::Why,
    consent, machine,
};
use crate::{
    channel::Client,
    error::{Error, Kind},
    exit::Exit,
    moving::{
        Left, Seen,
        adopted::{Adoption, Standing},
        carry::{Gets, Moved, Way, move_to},
        connection::there,
        encrypted,
        formerly::Formerly,
        issue::{self, Successor, gateway, placeholder},
        not_moved, plan_for, preview,
        record::{self, Turn},
        rights::Rights,
    },
    output::{
        document::permission,
        text::{GOOD, styled},
    },
};

/// Give tools whose key is dead or retires one that works
///
/// Names a finding, a key, or a tool as adopt names it; --all means every one with a dead or
/// retiring key. A key that was rotated has a successor: the tool gets that one, as long as it
/// lives and may do what the old one might. Else it gets a new key: of the same connection if that
/// lives, or of a living one that reaches the same bucket; where there are several, --connection
/// says which.
///
/// Examples:
///   bascule repair --all --dry-run
///   bascule repair W0123456789abcdef
///   bascule repair AKIAIOSFODNN7EXAMPLE --connection photos2
///   bascule repair rclone:r2 --yes --restart
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A finding's id, an access key id (whole or its end), or a tool
    #[arg(value_name = "FINDING|KEY_ID", required_unless_present = "all")]
    subjects: Vec<String>,
    /// Every tool whose key is dead or retires
    #[arg(long, conflicts_with = "subjects")]
    all: bool,
    /// The connection that the new keys are of
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Change it without asking
    #[arg(long)]
    yes: bool,
    /// Restart units of the user's own that still run with the old key
    #[arg(long)]
    restart: bool,
    /// Open encrypted rclone configurations: runs your RCLONE_PASSWORD_COMMAND to get their password
    #[arg(long)]
    unlock: bool,
    #[command(flatten)]
    why: Why,
}

/// A tool that can be repaired.
struct Chosen<'s> {
    consumer: &'s Consumer,
    destination: Destination,
    former: Option<Adoption>,
    plan: Plan,
}

/// Which key a tool gets, and of which connection.
enum Destination {
    /// The key that took the place of its own.
    Successor(Box<v1::Key>),
    /// A new one, and why it is not the successor, if there is one.
    New {
        connection: String,
        because: Option<String>,
        /// What the new key may do: as much as the one whose place it takes, if that is known.
        rights: Option<Rights>,
    },
}

impl Destination {
    fn connection(&self) -> &str {
        match self {
            Self::Successor(key) => &key.connection,
            Self::New { connection, .. } => connection,
        }
    }

    /// `is_foreign` as in [`Gets::New`].
    fn gets(&self, is_foreign: bool) -> Gets<'_> {
        match self {
            Self::Successor(_) => Gets::Successor,
            Self::New {
                connection, rights, ..
            } => Gets::New {
                connection,
                rights: rights.as_ref(),
                is_foreign,
            },
        }
    }

    /// For the preview.
    fn told(&self, consumer: &Consumer) -> String {
        match self {
            Self::Successor(key) => format!(
                "its successor {} of {} ({})",
                key.access_key_id,
                key.connection,
                permission(key.permission()).unwrap_or_default()
            ),
            Self::New {
                connection,
                because,
                rights,
            } => {
                let need = consumer.need();
                let unknown = match rights {
                    None if !need.known => Some("what it does is not known"),
                    _ => None,
                };
                let because = because.as_deref().or(unknown);
                let because = because.map_or_else(String::new, |why| format!(", since {why}"));
                let rights = rights.as_ref().map(Rights::told);
                let rights = rights.unwrap_or_else(|| need.permission.as_str().to_owned());
                format!("a new key of {connection} ({rights}{because})")
            }
        }
    }
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    if arguments.unlock {
        encrypted::unlock(&machine().environment)?;
    }
    let client = context.client().await?;
    let turn = match arguments.dry_run {
        true => None,
        false => Some(Turn::begin(&client, context.output).await?),
    };
    let selectors = adopt::selectors(&arguments.subjects, false)?;
    let adoptions = record::all(&client).await?;
    let mut looked = places_of_findings(&client).await?;
    looked.extend(selectors);
    let seen = Seen::now(context, &looked, &adoptions).await?;
    let meant = meant(&seen, &arguments, &client).await?;
    let connections = there(&client).await?;
    let access = placeholder(&gateway(&client).await?);
    let mut document = Document::new(arguments.dry_run);
    let mut chosen = Vec::new();
    for consumer in meant {
        let named = arguments.connection.as_deref();
        let repairable = needs_repair(&seen, consumer).and_then(|()| can_change(consumer));
        let planned = match repairable {
            Ok(()) => {
                let there = (&connections[..], &adoptions[..]);
                destination(&seen, consumer, there, named, &client).await?
            }
            Err(why) => Err(why),
        };
        let planned =
            planned.and_then(|there| Ok((there, plan_for(consumer, Goal::Gateway(&access))?)));
        match planned {
            Ok((destination, plan)) => chosen.push(Chosen {
                consumer,
                destination,
                former: former(&seen, consumer, &adoptions).cloned(),
                plan,
            }),
            Err(why) => document.left.push(Left::of(consumer, why)),
        }
    }
    if !context.output.is_json() {
        context.output.stderr(&told(&chosen, &document.left, &seen));
    }
    if chosen.is_empty() {
        let none = document.left.is_empty();
        context.output.result(&document, || match none {
            true => format!(
                "{}\n",
                styled(GOOD, "no tool that was found has a dead or retiring key")
            ),
            false => String::new(),
        })?;
        return Ok(if none { Exit::Ok } else { Exit::Refused });
    }
    if arguments.dry_run {
        document.moved = chosen
            .iter()
            .map(|one| {
                let connection = one.destination.connection();
                let planned = Moved::planned(one.consumer, connection, &one.plan);
                match &one.destination {
                    Destination::Successor(key) => planned.with_successor(key),
                    Destination::New {
                        rights: Some(rights),
                        ..
                    } => planned.with_rights(rights),
                    Destination::New { rights: None, .. } => planned,
                }
            })
            .collect();
        context
            .output
            .result(&document, || "nothing was changed (--dry-run)\n".to_owned())?;
        return Ok(Exit::Ok);
    }
    consent::to_changes(arguments.yes, context.output).await?;
    let reason = arguments.why.text();
    let way = Way {
        client: &client,
        seen: &seen,
        restarts: arguments.restart,
        reason: &reason,
    };
    for one in &chosen {
        // The user marked it as dead; the others are ours, or a connection's own.
        let is_foreign = seen.standing(one.consumer) == Standing::MarkedDead;
        let gets = one.destination.gets(is_foreign);
        let moved = move_to(gets, one.consumer, one.former.as_ref(), &way).await;
        match moved {
            Ok(moved) => {
                tell_moved(&moved, seen.home.as_deref(), context);
                document.moved.push(moved);
            }
            Err(error) => {
                document
                    .failed
                    .push(not_moved(one.consumer, error, context.output));
            }
        }
    }
    drop(turn);
    // What stood there at first may be erased with its connection.
    finish(&document, "bascule eject CONSUMER", context)
}

/// The files in which the daemon found a consumer: no known place may lead to them.
async fn places_of_findings(client: &Client) -> Result<Vec<Selector>, Error> {
    let request = v1::ListFindingsRequest::default();
    let found = client.findings().list(request).await?.into_inner().findings;
    let places = found.into_iter().filter_map(|finding| {
        let place = finding.steps.into_iter().next_back()?.path;
        (!place.is_empty()).then(|| Selector::File(place.into()))
    });
    Ok(places.collect())
}

/// The consumers that the subjects stand for.
async fn meant<'s>(
    seen: &'s Seen,
    arguments: &Arguments,
    client: &Client,
) -> Result<Vec<&'s Consumer>, Error> {
    if arguments.all {
        let needy = |consumer: &&Consumer| needs_repair(seen, consumer).is_ok();
        return Ok(seen.consumers.iter().filter(needy).collect());
    }
    let mut meant: Vec<&Consumer> = Vec::new();
    for subject in &arguments.subjects {
        let found = by_name(seen, subject)?;
        let found = match found.is_empty() {
            true => by_finding(seen, subject, client).await?,
            false => found,
        };
        if found.is_empty() {
            return Err(seen
                .nothing(subject)
                .next("what needs repair: bascule findings"));
        }
        for consumer in found {
            if !meant.iter().any(|known| std::ptr::eq(*known, consumer)) {
                meant.push(consumer);
            }
        }
    }
    Ok(meant)
}

/// By the tool's name, a file, or the key's id.
fn by_name<'s>(seen: &'s Seen, subject: &str) -> Result<Vec<&'s Consumer>, Error> {
    let selectors = adopt::selectors(&[subject.to_owned()], false)?;
    let found = seen.selected(&selectors);
    if !found.is_empty() {
        return Ok(found);
    }
    let shown = bascule_domain::access_key::ShownId::new(subject);
    let of_key = |consumer: &&Consumer| shown.fits(consumer.id().as_str());
    Ok(match shown.is_enough() {
        true => seen.consumers.iter().filter(of_key).collect(),
        false => Vec::new(),
    })
}

/// By what a finding says: the key, and where it stands.
async fn by_finding<'s>(
    seen: &'s Seen,
    subject: &str,
    client: &Client,
) -> Result<Vec<&'s Consumer>, Error> {
    let request = v1::ShowFindingRequest {
        id: subject.to_owned(),
    };
    let answer = match client.findings().show(request).await.map_err(Error::from) {
        Ok(answer) => answer.into_inner(),
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::Invalid) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let finding = answer.finding.unwrap_or_default();
    let shown = bascule_domain::access_key::ShownId::new(&finding.key);
    let of_key = |consumer: &&Consumer| shown.fits(consumer.id().as_str());
    let of_key: Vec<_> = seen.consumers.iter().filter(of_key).collect();
    let place = finding
        .steps
        .last()
        .map(|step| (step.path.as_str(), step.line));
    let there = |consumer: &&&Consumer| {
        let at = consumer.first().key.place.file();
        at.zip(place)
            .is_some_and(|((path, line), (its, its_line))| {
                path.as_os_str() == its && line == its_line
            })
    };
    let exact: Vec<_> = of_key.iter().filter(there).copied().collect();
    // A knock tells the key alone.
    Ok(if exact.is_empty() { of_key } else { exact })
}

/// Whether a consumer's key is one that stops, or has stopped.
fn needs_repair(seen: &Seen, consumer: &Consumer) -> Result<(), String> {
    match seen.standing(consumer) {
        Standing::Dead | Standing::Retiring | Standing::MarkedDead | Standing::Leaked => Ok(()),
        Standing::Expired => Err(format!(
            "its key's time is over, as it was set: bascule key restrict {} --never-expires, or --expires",
            consumer.id().as_str()
        )),
        Standing::Living => Err("its key lives".into()),
        Standing::Paused => {
            Err("its key is paused, not dead: bascule resume, or bascule key resume".into())
        }
        Standing::Brought => Err("it uses the connection's own key: bascule adopt".into()),
        Standing::Unknown => Err(
            "nothing is known against its key; if its provider refuses it: bascule key mark-dead"
                .into(),
        ),
    }
}

/// Whether a key can be put into a consumer's place at all, whichever it would be.
fn can_change(consumer: &Consumer) -> Result<(), String> {
    let Err(why) = consumer.movable() else {
        return Ok(());
    };
    Err(match &why {
        NotMovable::Leftover
        | NotMovable::Unused(_)
        | NotMovable::Unknown
        | NotMovable::NoSecret => format!(
            "{why}, so there is nothing to repair: delete the line {} once you don't need it, or put another key there by hand",
            consumer.first().key.place
        ),
        NotMovable::Surroundings(_)
        | NotMovable::Shadowed(_)
        | NotMovable::Temporary
        | NotMovable::SomebodyElses(_) => why.to_string(),
    })
}

/// The key that takes the place of the old one. The text says why there is none.
async fn destination(
    seen: &Seen,
    consumer: &Consumer,
    (connections, adoptions): (&[v1::Connection], &[Adoption]),
    named: Option<&str>,
    client: &Client,
) -> Result<Result<Destination, String>, Error> {
    let successor = issue::look_for_successor(client, consumer).await?;
    let meant = |key: &v1::Key| named.is_none_or(|named| key.connection == named);
    let (because, rights) = match successor {
        Successor::Fits(key) if meant(&key) => {
            return Ok(Ok(Destination::Successor(Box::new(key))));
        }
        Successor::Unfit(key, _) if meant(&key) && key.state() == v1::KeyState::Paused => {
            return Ok(Err(format!(
                "its successor is paused, not dead: bascule key resume {}",
                key.access_key_id
            )));
        }
        Successor::Unfit(key, _) if meant(&key) && key.state() == v1::KeyState::Expired => {
            return Ok(Err(format!(
                "its successor's time is over: bascule key restrict {} --never-expires",
                key.access_key_id
            )));
        }
        // Whoever changed its rights meant the tool.
        Successor::Unfit(key, why) => (
            Some(format!("of its successor {}: {why}", key.access_key_id)),
            Some(Rights::from(&key)),
        ),
        Successor::Fits(key) => (None, Some(Rights::from(&key))),
        Successor::None => (None, Rights::of(client, consumer, adoptions).await?),
    };
    let formerly = match seen.known(consumer) {
        Some(known)
            if connections
                .iter()
                .all(|there| there.id != known.connection_id) =>
        {
            Formerly::of(client, known, &consumer.id().masked()).await?
        }
        _ => None,
    };
    let rights = match &formerly {
        Some(formerly) => rights.map(|rights| rights.reaching(&formerly.buckets)),
        None => rights,
    };
    let connection = connection(seen, consumer, connections, named, formerly.as_ref());
    Ok(connection.map(|connection| Destination::New {
        connection,
        because,
        rights,
    }))
}

/// The connection that a new key is of.
fn connection(
    seen: &Seen,
    consumer: &Consumer,
    connections: &[v1::Connection],
    named: Option<&str>,
    formerly: Option<&Formerly>,
) -> Result<String, String> {
    let usable = |there: &&v1::Connection| there.deletion_id.is_empty();
    let buckets = consumer.buckets();
    let reaches = |there: &&v1::Connection| {
        buckets
            .iter()
            .all(|bucket| there.buckets.iter().any(|has| has == bucket))
    };
    if let Some(named) = named {
        let there = connections.iter().find(|there| there.name == named);
        return match there.filter(usable) {
            Some(there) if reaches(&there) => Ok(there.name.clone()),
            Some(there) => Err(format!("{} does not reach what it uses", there.name)),
            None => Err(format!("there is no connection {named} that lives")),
        };
    }
    // By its id: another one may have its name by now.
    let known = seen.known(consumer).map(|known| &*known.connection_id);
    let own = connections.iter().find(|there| Some(&*there.id) == known);
    if let Some(own) = own.filter(usable).filter(reaches) {
        return Ok(own.name.clone());
    }
    // Another server may have a bucket of the same name, with other data.
    let server = match (own, formerly, &consumer.first().key.endpoint) {
        (Some(own), ..) => Some(at(own).to_owned()),
        (None, Some(formerly), _) => Some(formerly.location.clone()),
        // A key that is none of ours is used at its provider.
        (None, None, Some(endpoint)) if known.is_none_or(str::is_empty) => {
            Some(endpoint.to_string())
        }
        (None, None, _) => None,
    };
    let buckets: BTreeSet<_> = match formerly {
        Some(formerly) if buckets.is_empty() => {
            formerly.buckets.iter().map(String::as_str).collect()
        }
        _ => buckets,
    };
    let reaches = |there: &&v1::Connection| {
        let has = |bucket: &&str| there.buckets.iter().any(|has| has == bucket);
        buckets.iter().all(has) && server.as_deref().is_none_or(|server| at(there) == server)
    };
    let fitting: Vec<_> = connections.iter().filter(usable).filter(reaches).collect();
    let names: Vec<_> = buckets.iter().copied().collect();
    let which = match (names.as_slice(), &server) {
        ([], _) => "which bucket it uses is not known".to_owned(),
        (names, Some(server)) => format!("it uses {} at {server}", names.join(", ")),
        (names, None) => format!("it uses {}, where is not known", names.join(", ")),
    };
    match fitting.as_slice() {
        [] => Err(format!(
            "{which}, and no living connection reaches that: bascule connect, then repair"
        )),
        [one] if !buckets.is_empty() && server.is_some() => Ok(one.name.clone()),
        several => {
            let names: Vec<_> = several.iter().map(|there| there.name.as_str()).collect();
            Err(format!(
                "{which}: say which connection, with --connection {}",
                names.join("|")
            ))
        }
    }
}

/// Where a connection leads to.
fn at(there: &v1::Connection) -> &str {
    match there.endpoint.as_str() {
        "" => &there.path,
        endpoint => endpoint,
    }
}

/// The adoption that gave the consumer its present key.
fn former<'a>(seen: &Seen, consumer: &Consumer, adoptions: &'a [Adoption]) -> Option<&'a Adoption> {
    let known = seen.known(consumer)?;
    record::current(adoptions, seen, consumer, &known.connection, &known.label)
}

fn told(chosen: &[Chosen<'_>], left: &[Left], seen: &Seen) -> String {
    let mut text = String::new();
    for one in chosen {
        let to = one.destination.told(one.consumer);
        let home = seen.home.as_deref();
        text.push_str(&preview::consumer(one.consumer, &to, &one.plan, home));
    }
    text.push_str(&preview::left(left));
    text
}
