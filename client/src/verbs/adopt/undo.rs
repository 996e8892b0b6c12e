//! `bascule adopt --undo` and `--list`: the exact bytes from before an adoption, and which there are.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bascule_domain::adoption::State;
use bascule_watch::adopt::Consumer;
use serde::Serialize;

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
    let mut differences = String::new();
    let mut changes = Vec::new();
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
        differences.push_str(&format!("{}\n", styled(HEAD, &escape(&path.to_string()))));
        differences.push_str(&match (encrypted, std::str::from_utf8(&now)) {
            (false, Ok(now)) => preview::between(original, now),
            (_, now) => {
                let told = match now {
                    Ok(now) => encrypted::difference(original, now),
                    Err(_) => "it is not text any more".to_owned(),
                };
                format!("  {}\n", escape(&told))
            }
        });
    }
    if !differences.is_empty() {
        let (why, message) = match outdated {
            Some(connection) => (
                "What is there now differs from what was there before the adoption",
                format!(
                    "the credentials of {} were replaced since, so what stood in the files of {} may hold a dead key; nothing was changed",
                    connection.name, adoption.consumer
                ),
            ),
            None => (
                "What is there now differs from what was there before the adoption, and not only by what was adopted",
                format!(
                    "the files of {} have changed since, so nothing was changed",
                    adoption.consumer
                ),
            ),
        };
        if !context.output.is_json() {
            context.output.stderr(&format!("{why}:\n{differences}"));
        }
        return Err(Error::new(Kind::Refused, message).next(format!(
            "give the tool its provider's key back and keep your changes: bascule eject {}",
            quoted(Path::new(&adoption.consumer))
        )));
    }
    let seen = Seen::now(context, &[], &known).await?;
    let holders = Holders::of(adoption, &seen);
    let told: Vec<_> = changes
        .iter()
        .map(|(path, ..)| path.display().to_string())
        .collect();
    if !context.output.is_json() {
        for path in &told {
            context
                .output
                .status(&format!("back to what stood there: {}", escape(path)));
        }
    }
    consent::to_changes(yes, context.output).await?;
    for (path, now, original) in &changes {
        files::replace(path, now, original.as_bytes())?;
    }
    record::settle(&client, &adoption.id, outcome, reason).await?;
    let paths: Vec<_> = changes.iter().map(|(path, ..)| path.clone()).collect();
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
        let told = format!(
            "{} is as it was before, byte for byte; {}",
            adoption.consumer,
            fate.told()
        );
        format!("{}\n", styled(GOOD, &escape(&told)))
    })?;
    Ok(Exit::Ok)
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
