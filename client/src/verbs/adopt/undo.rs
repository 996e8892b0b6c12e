//! `bascule adopt --undo` and `--list`: the exact bytes from before an adoption, and which there are.

use std::path::{Path, PathBuf};

use bascule_domain::adoption::State;
use serde::Serialize;

use super::super::{Context, consent};
use crate::{
    channel::{Client, quoted},
    clock,
    error::{Error, Kind},
    exit::Exit,
    moving::{
        absent::files_gone,
        adopted::{Adoption, ConnectionState},
        encrypted,
        files::{self, digest_of},
        preview,
        record::{self, Turn, WayBack},
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
    /// Whether it is adopted, but none of its files is there any more.
    files_gone: bool,
    paths: Vec<PathBuf>,
    prepared_at: Option<String>,
    settled_at: Option<String>,
    can_be_undone: bool,
}

impl From<&Adoption> for Entry {
    fn from(adoption: &Adoption) -> Self {
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
            files_gone: gone(adoption),
            paths: adoption.paths.clone(),
            prepared_at: time(&adoption.prepared_at),
            settled_at: time(&adoption.settled_at),
            can_be_undone: adoption.originals_kept,
        }
    }
}

pub(super) async fn list(context: &Context) -> Result<Exit, Error> {
    let adoptions = record::all(&context.client().await?).await?;
    let document = Listed {
        adoptions: adoptions.iter().map(Into::into).collect(),
    };
    context.output.result(&document, || {
        if adoptions.is_empty() {
            return "nothing has been adopted yet; see what could be: bascule adopt --all --dry-run\n".into();
        }
        let now = clock::now();
        let mut table = Table::new(["ID", "Consumer", "Key", "State", "Since"]);
        for adoption in &adoptions {
            let since = adoption.settled_at.or(adoption.prepared_at);
            let mut state = adoption.state.to_string();
            if adoption.connection_state != ConnectionState::Living {
                let connection = adoption.connection_state.as_str();
                state.push_str(&format!(", connection {connection}"));
            }
            if gone(adoption) {
                state.push_str(", files gone");
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
    for adoption in adoptions.iter().filter(|adoption| gone(adoption)) {
        let told = format!(
            "the files of {} are gone; close its record and revoke its key: bascule eject {}",
            adoption.consumer,
            quoted(Path::new(&adoption.consumer))
        );
        context
            .output
            .status(&format!("{} {}", styled(NEXT, "→"), escape(&told)));
    }
    Ok(Exit::Ok)
}

/// Whether a tool is adopted, and none of its files is there any more.
fn gone(adoption: &Adoption) -> bool {
    adoption.in_force() && files_gone(adoption)
}

#[derive(Serialize)]
struct Undone {
    id: String,
    consumer: String,
    files: Vec<String>,
    /// Whether its key was not revoked, since others may hold it.
    key_lives: bool,
}

pub(super) async fn undo(
    id: &str,
    yes: bool,
    reason: &str,
    context: &Context,
) -> Result<Exit, Error> {
    let client = context.client().await?;
    let _turn = Turn::take()?;
    let adoption = named(&client, id).await?;
    let outcome = match adoption.state {
        State::Prepared => State::RolledBack,
        State::Adopted => State::Undone,
        state => {
            let message = format!("the adoption of {} is {state} already", adoption.consumer);
            return Err(Error::new(Kind::Refused, message).next("bascule adopt --list"));
        }
    };
    let WayBack { files, originals } = match outcome {
        // Its key is not the one that an earlier one gave.
        State::RolledBack => WayBack {
            files: adoption.kept()?.files,
            originals: record::originals(&client, &adoption.id).await?,
        },
        _ => record::way_back(&client, &adoption).await?,
    };
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
        if digest_of(&now) == file.after {
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
        if !context.output.is_json() {
            context.output.stderr(&format!(
                "What is there now differs from what was there before the adoption, and from what it left:\n{differences}"
            ));
        }
        let message = format!(
            "the files of {} have changed since, so nothing was changed",
            adoption.consumer
        );
        return Err(Error::new(Kind::Refused, message).next(format!(
            "give the tool its former access back and keep your changes: bascule eject {}",
            adoption.consumer
        )));
    }
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
    let key_lives =
        !record::revoke_if_its_own(&client, &adoption, "its adoption was undone").await?;
    let document = Undone {
        id: adoption.id.clone(),
        consumer: adoption.consumer.clone(),
        files: told,
        key_lives,
    };
    context.output.result(&document, || {
        let key = match key_lives {
            false => "its key is revoked".to_owned(),
            true => format!(
                "its key lives, since others may hold it: bascule key revoke {}/{}",
                adoption.connection, adoption.label
            ),
        };
        let told = format!(
            "{} is as it was before, byte for byte; {key}",
            adoption.consumer
        );
        format!("{}\n", styled(GOOD, &escape(&told)))
    })?;
    Ok(Exit::Ok)
}

/// The adoption that a beginning of an id, or a consumer's name, stands for.
async fn named(client: &Client, asked: &str) -> Result<Adoption, Error> {
    let mut fitting: Vec<_> = record::all(client)
        .await?
        .into_iter()
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
