//! `bascule adopt --undo` and `--list`: the exact bytes from before an adoption, and which there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bascule_domain::adoption::State;
use bascule_proto::v1;
use bascule_watch::adopt::{Consumer, Goal, Plan, ServerSettings, plan};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::{Context, consent};
use crate::{
    channel::quoted,
    clock,
    error::{Error, Kind},
    exit::Exit,
    moving::{
        Seen,
        absent::{self, Absent, Away},
        adopted::{Adoption, ConnectionState},
        before,
        connection::there,
        encrypted,
        files::{self, digest_of},
        interrupted, preview,
        record::{self, Turn},
        restart::{self, Restart},
        way_back::{self, WayBack},
    },
    output::{
        table::Table,
        text::{GOOD, HEAD, NEXT, escape, styled},
        time::human,
    },
};

#[derive(Serialize)]
struct Listed {
    adoptions: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    consumer: String,
    connection: String,
    label: String,
    state: &'static str,
    connection_state: &'static str,
    /// Whether its move was cut off: it is prepared, and nobody works on it.
    interrupted: bool,
    /// Whether it is open, but none of its files is there any more.
    files_gone: bool,
    /// Whether it is open, but a folder of its files is not there either, or not mounted.
    files_away: bool,
    paths: Vec<PathBuf>,
    prepared_at: Option<String>,
    settled_at: Option<String>,
    can_be_undone: bool,
}

impl Entry {
    fn of(adoption: &Adoption, known: &[Adoption]) -> Self {
        let gone = gone(adoption);
        let time = |time: &Option<prost_types::Timestamp>| {
            crate::output::time::parsed(time.as_ref()).map(|time| time.to_string())
        };
        Self {
            id: adoption.id.clone(),
            consumer: adoption.consumer.clone(),
            connection: adoption.connection.clone(),
            label: adoption.label.clone(),
            state: adoption.state.as_str(),
            connection_state: adoption.connection_state.as_str(),
            interrupted: is_interrupted(adoption),
            files_gone: gone == Some(Absent::FilesGone),
            files_away: matches!(gone, Some(Absent::Away(_))),
            paths: adoption.paths.clone(),
            prepared_at: time(&adoption.prepared_at),
            settled_at: time(&adoption.settled_at),
            can_be_undone: way_back::can_be_undone(adoption, known),
        }
    }
}

pub(super) async fn list(context: &Context) -> Result<Exit, Error> {
    let adoptions = record::all(&context.client().await?).await?;
    let document = Listed {
        adoptions: adoptions
            .iter()
            .map(|adoption| Entry::of(adoption, &adoptions))
            .collect(),
    };
    context.output.result(&document, || {
        if adoptions.is_empty() {
            return "nothing has been adopted yet; see what could be: bascule adopt --all --dry-run\n".into();
        }
        let now = clock::now();
        let mut table = Table::new(["ID", "Consumer", "Key", "State", "Since"]);
        for adoption in &adoptions {
            let since = adoption.settled_at.or(adoption.prepared_at);
            let mut state = match is_interrupted(adoption) {
                true => "interrupted".to_owned(),
                false => adoption.state.to_string(),
            };
            if adoption.connection_state != ConnectionState::Living {
                let connection = adoption.connection_state.as_str();
                state.push_str(&format!(", connection {connection}"));
            }
            match gone(adoption) {
                Some(Absent::FilesGone) => state.push_str(", files gone"),
                Some(Absent::Away(Away::Folder(_))) => state.push_str(", folder not there"),
                Some(Absent::Away(Away::Mount(_))) => state.push_str(", not mounted"),
                Some(Absent::KeyGone | Absent::NotKnown(_)) | None => {}
            }
            table.row([
                adoption.id.as_str().into(),
                adoption.consumer.as_str().into(),
                format!("{}/{}", adoption.connection, adoption.label).into(),
                state.into(),
                human(since.as_ref(), now).into(),
            ]);
        }
        table.render()
    })?;
    for adoption in &adoptions {
        let Some(absent) = gone(adoption) else {
            continue;
        };
        let Some(command) = adoption.closing(&absent) else {
            continue;
        };
        let when = match absent {
            Absent::Away(_) => "if it won't come back, ",
            _ => "",
        };
        let told = format!(
            "{}: {}; {when}close its record and revoke its key: {command}",
            adoption.consumer,
            absent.told(),
        );
        context
            .output
            .status(&format!("{} {}", styled(NEXT, "→"), escape(&told)));
    }
    Ok(Exit::Ok)
}

/// What became of the files of an open adoption that are not there.
fn gone(adoption: &Adoption) -> Option<Absent> {
    let is_open = adoption.in_force() || is_interrupted(adoption);
    is_open.then(|| absent::files(adoption)).flatten()
}

/// Whether a move was cut off, and is the user's own.
fn is_interrupted(adoption: &Adoption) -> bool {
    adoption.is_half_done() && interrupted::refuse_others(adoption).is_ok()
}

#[derive(Serialize)]
struct Undone {
    id: String,
    consumer: String,
    files: Vec<String>,
    /// What goes on with its key until it is started anew.
    restart: Vec<Restart>,
    /// Whether its key was not revoked, since others may hold it.
    key_lives: bool,
}

pub(super) async fn undo(
    id: &str,
    yes: bool,
    restarts: bool,
    reason: &str,
    context: &Context,
) -> Result<Exit, Error> {
    let client = context.client().await?;
    let _turn = Turn::take()?;
    let known = record::all(&client).await?;
    let adoption = named(&known, id)?;
    let links = way_back::links(adoption, &known)?;
    let outcome = match adoption.state {
        State::Prepared => State::RolledBack,
        _ => State::Undone,
    };
    if adoption.state == State::Prepared {
        interrupted::refuse_others(adoption)?;
    }
    if let Some(absent) = absent::files(adoption) {
        let error = Error::new(
            Kind::Refused,
            format!("{}: {}", adoption.consumer, absent.told()),
        );
        return Err(match adoption.closing(&absent) {
            Some(command) => error.next(format!("close its record: {command}")),
            None => error,
        });
    }
    let back = way_back::read(&client, &links).await?;
    let connections = there(&client).await?;
    let outdated = way_back::outdated(&links, &connections);
    let WayBack { files, originals } = &back;
    let mut differences = Vec::new();
    let mut changes = Vec::new();
    // Files in which other moves of Bascule's lie behind this one.
    let mut shared = Vec::new();
    for file in files.iter().rev() {
        let path = file.path.display();
        let original = originals
            .get(&file.path)
            .ok_or_else(|| Error::new(Kind::Failed, format!("what stood in {path} is not kept")))?;
        let now = files::bytes(&file.path)?;
        let encrypted = files::is_encrypted(&now);
        if *now == *original.as_bytes() {
            continue;
        }
        if !encrypted {
            // Whether it may be changed at all.
            files::text(&file.path)
                .map_err(|why| Error::new(Kind::Refused, format!("{path}: {why}")))?;
        }
        // Of a first one nothing lies in between.
        let is_unbroken = file.is_unbroken || links.len() == 1;
        if is_unbroken && outdated.is_none() && digest_of(&now) == file.after {
            changes.push((file.path.clone(), now, original));
            continue;
        }
        let left = left_by(&links, &file.path)?;
        if outdated.is_none() && way_back::is_ours(&file.path, &left, &digest_of(&now), &known) {
            shared.push(file.path.clone());
            continue;
        }
        differences.push(Difference::of(&file.path, original, &now));
    }
    if !differences.is_empty() {
        return Err(refused(adoption, outdated, &differences, context));
    }
    let seen = Seen::now(context, &[], &known).await?;
    let holders = Holders::of(adoption, &seen);
    let plan = match shared.is_empty() {
        true => None,
        false => Some(own_part(&links, &holders, originals, &connections)?),
    };
    let paths: Vec<_> = match &plan {
        Some(plan) => files::paths(plan),
        None => changes.iter().map(|(path, ..)| path.clone()).collect(),
    };
    let told: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    if !context.output.is_json() {
        let what = match &plan {
            Some(_) => "would go back to what it set there, beside what others were given since:",
            None => "would go back to what stood there:",
        };
        for path in &told {
            context.output.status(&format!("{what} {}", escape(path)));
        }
    }
    consent::to_changes(yes, context.output).await?;
    let before = files::digests(&paths)?;
    match &plan {
        Some(plan) => files::write(plan).await.map_err(Error::from)?,
        None => {
            for (path, now, original) in &changes {
                files::replace(path, now, original.as_bytes())?;
            }
        }
    }
    record::settle_back(&client, adoption, outcome, before, reason).await?;
    let mut restart = holders.restart(&paths);
    if restarts {
        restart = restart::perform(restart);
    }
    restart::tell(&restart, context.output);
    // Whoever runs with it still, or shares it, goes on.
    let is_used = holders.are_others || !restart.is_empty();
    let reason = "its adoption was undone";
    let fate = record::revoke_if_its_own(&client, &adoption.key_id, is_used, reason).await;
    let document = Undone {
        id: adoption.id.clone(),
        consumer: adoption.consumer.clone(),
        files: told,
        restart,
        key_lives: fate.lives(),
    };
    context.output.result(&document, || {
        let extent = match plan.is_some() {
            true => "beside what others were given since",
            false => "byte for byte",
        };
        let told = format!(
            "{} is as it was before, {extent}; {}",
            adoption.consumer,
            fate.told()
        );
        format!("{}\n", styled(GOOD, &escape(&told)))
    })?;
    Ok(Exit::Ok)
}

/// How a file differs from what stood there, for programs.
#[derive(Serialize)]
struct Difference {
    path: String,
    changes: Vec<preview::LineChange>,
    /// Of a file that is no text: in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<String>,
}

impl Difference {
    fn of(path: &Path, original: &str, now: &[u8]) -> Self {
        let path = path.display().to_string();
        let in_words = |told: String| (Vec::new(), Some(told));
        let (changes, told) = match std::str::from_utf8(now) {
            Ok(now) if files::is_encrypted(now.as_bytes()) => {
                in_words(encrypted::difference(original, now))
            }
            Ok(now) => (preview::between(original, now), None),
            Err(_) => in_words("it is not text any more".to_owned()),
        };
        Self {
            path,
            changes,
            told,
        }
    }
}

/// Why nothing is undone, with the difference.
fn refused(
    adoption: &Adoption,
    outdated: Option<&v1::Connection>,
    differences: &[Difference],
    context: &Context,
) -> Error {
    let consumer = &adoption.consumer;
    let (why, message) = match outdated {
        Some(connection) => (
            "What is there now differs from what was there before the adoption",
            format!(
                "the credentials of {} were replaced since, so what stood in the files of {consumer} may hold a dead key; nothing was changed",
                connection.name
            ),
        ),
        None => (
            "What is there now differs from what was there before the adoption, and not only by what Bascule did",
            format!("the files of {consumer} have changed since, so nothing was changed"),
        ),
    };
    if !context.output.is_json() {
        let mut text = format!("{why}:\n");
        for one in differences {
            text.push_str(&format!("{}\n", styled(HEAD, &escape(&one.path))));
            text.push_str(&preview::lines(&one.changes));
            if let Some(told) = &one.told {
                text.push_str(&format!("  {}\n", escape(told)));
            }
        }
        context.output.stderr(&text);
    }
    Error::new(Kind::Refused, message)
        .next(format!(
            "give the tool its provider's key back and keep your changes: bascule eject {}",
            quoted(Path::new(consumer))
        ))
        .details(&differences)
}

/// How the first of several adoptions left a file.
fn left_by(links: &[&Adoption], path: &Path) -> Result<String, Error> {
    let mut files = Vec::new();
    for link in links.iter().rev() {
        files.extend(link.kept()?.files);
    }
    let file = files.into_iter().find(|file| file.path == path);
    Ok(file.map(|file| file.after).unwrap_or_default())
}

/// What takes back an adoption's own settings, and nothing beside them.
///
/// Of a tool that was moved from one connection to another what it had is the first one's.
fn own_part(
    links: &[&Adoption],
    holders: &Holders<'_>,
    originals: &BTreeMap<PathBuf, Zeroizing<String>>,
    connections: &[v1::Connection],
) -> Result<Plan, Error> {
    let (Some(adoption), Some(first)) = (links.first(), links.last()) else {
        return Err(Error::new(Kind::Failed, "there is no such adoption"));
    };
    let refused = |why: String| {
        let message = format!(
            "other tools were moved in the files of {} since, and what is its own can't be told apart: {why}; nothing was changed",
            adoption.consumer
        );
        Error::new(Kind::Refused, message).next(format!(
            "undo the later ones first, the latest of them before the others (bascule adopt --list), or: bascule eject {}",
            quoted(Path::new(&adoption.consumer))
        ))
    };
    let [consumer] = holders.own.as_slice() else {
        return Err(refused("it is not seen just once".into()));
    };
    let mut there = connections.iter();
    let connection = there
        .find(|there| there.id == first.connection_id)
        .ok_or_else(|| refused("its connection is gone".into()))?;
    let had = before::had(consumer, originals, connection);
    let access = had.and_then(|had| before::access(&had, connection));
    let access = access.ok_or_else(|| refused("which key it had can't be told".into()))?;
    let layout = adoption.kept()?.layout;
    let goal = Goal::Provider {
        access: &access,
        settings: &ServerSettings::default(),
        layout: &layout,
        originals,
    };
    plan(consumer, goal, files::text).map_err(|why| refused(why.to_string()))
}

/// Who was seen with the key that an adoption gave.
struct Holders<'s> {
    /// Whoever takes it from the files of the adoption.
    own: Vec<&'s Consumer>,
    /// Whether somebody takes it from elsewhere.
    are_others: bool,
}

impl<'s> Holders<'s> {
    fn of(adoption: &Adoption, seen: &'s Seen) -> Self {
        let holds = |consumer: &&Consumer| {
            seen.known(consumer).is_some_and(|known| {
                known.label == adoption.label && known.connection_id == adoption.connection_id
            })
        };
        let (named, others): (Vec<_>, Vec<_>) = seen
            .consumers
            .iter()
            .filter(holds)
            .partition(|consumer| consumer.name == adoption.consumer);
        let (moved, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|consumer| {
            let mut paths = adoption.paths.iter();
            named.is_empty() && paths.any(|path| record::stands_in(consumer, path))
        });
        Self {
            are_others: !others.is_empty(),
            own: named.into_iter().chain(moved).collect(),
        }
    }

    /// What runs with it until it is started anew.
    fn restart(&self, changed: &[PathBuf]) -> Vec<Restart> {
        let all: BTreeSet<_> = self
            .own
            .iter()
            .flat_map(|consumer| restart::needed(consumer, changed))
            .collect();
        all.into_iter().collect()
    }
}

/// The adoption that a beginning of an id, or a consumer's name, stands for.
fn named<'a>(known: &'a [Adoption], asked: &str) -> Result<&'a Adoption, Error> {
    let mut fitting: Vec<_> = known
        .iter()
        .filter(|adoption| {
            adoption.id.starts_with(asked) || adoption.consumer == asked && adoption.in_force()
        })
        .collect();
    match (fitting.pop(), fitting.is_empty()) {
        (Some(adoption), true) => Ok(adoption),
        (Some(_), false) => Err(Error::new(
            Kind::Invalid,
            format!("several adoptions begin with {asked:?}"),
        )
        .next("bascule adopt --list")),
        (None, _) => Err(
            Error::new(Kind::NotFound, format!("there is no adoption {asked:?}"))
                .next("bascule adopt --list"),
        ),
    }
}
