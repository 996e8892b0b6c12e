//! `bascule adopt --undo` and `--list`: the exact bytes from before an adoption, and which there are.

use bascule_proto::v1;
use serde::Serialize;

use super::super::{Context, consent};
use crate::{
    channel::Client,
    clock,
    error::{Error, Kind},
    exit::Exit,
    moving::{
        files::{self, digest_of},
        preview,
        record::{self, Kept, Turn},
    },
    output::{
        table::Table,
        text::{GOOD, HEAD, escape, styled},
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
    state: String,
    connection_state: String,
    paths: Vec<String>,
    prepared_at: Option<String>,
    settled_at: Option<String>,
    can_be_undone: bool,
}

impl From<&v1::Adoption> for Entry {
    fn from(adoption: &v1::Adoption) -> Self {
        let time = |time: &Option<prost_types::Timestamp>| {
            crate::output::time::parsed(time.as_ref()).map(|time| time.to_string())
        };
        Self {
            id: adoption.id.clone(),
            consumer: adoption.consumer.clone(),
            connection: adoption.connection.clone(),
            label: adoption.label.clone(),
            state: adoption.state.clone(),
            connection_state: adoption.connection_state.clone(),
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
            let state = match adoption.connection_state.as_str() {
                "living" => adoption.state.clone(),
                state => format!("{}, connection {state}", adoption.state),
            };
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
    Ok(Exit::Ok)
}

#[derive(Serialize)]
struct Undone {
    id: String,
    consumer: String,
    files: Vec<String>,
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
    if !matches!(adoption.state.as_str(), "adopted" | "prepared") {
        let message = format!(
            "the adoption of {} is {} already",
            adoption.consumer, adoption.state
        );
        return Err(Error::new(Kind::Refused, message).next("bascule adopt --list"));
    }
    if !adoption.replaces.is_empty() {
        let message = format!(
            "{} had another key of Bascule's before, which may be dead by now",
            adoption.consumer
        );
        return Err(Error::new(Kind::Refused, message).next(format!(
            "back to its provider: bascule eject {}",
            adoption.consumer
        )));
    }
    let kept = Kept::of(&adoption)?;
    let originals = record::originals(&client, &adoption.id).await?;
    let mut differences = String::new();
    let mut changes = Vec::new();
    for file in kept.files.iter().rev() {
        let path = file.path.display();
        let original = originals
            .get(&file.path)
            .ok_or_else(|| Error::new(Kind::Failed, format!("what stood in {path} is not kept")))?;
        if file.after.is_empty() {
            let message = format!("{path} is encrypted, so only its tool writes it");
            let next = format!("bascule eject {}", adoption.consumer);
            return Err(Error::new(Kind::Refused, message).next(next));
        }
        let now = files::text(&file.path)
            .map_err(|why| Error::new(Kind::Refused, format!("{path}: {why}")))?;
        if now == *original {
            continue;
        }
        if digest_of(now.as_bytes()) == file.after {
            changes.push((file.path.clone(), now, original));
        } else {
            differences.push_str(&format!("{}\n", styled(HEAD, &escape(&path.to_string()))));
            differences.push_str(&preview::between(original, &now));
        }
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
    let command = format!("bascule adopt --undo {}", adoption.id);
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
    consent::to_changes(yes, &command, context.output).await?;
    for (path, now, original) in &changes {
        files::replace(path, now.as_bytes(), original.as_bytes())?;
    }
    let outcome = match adoption.state.as_str() {
        "prepared" => "rolled-back",
        _ => "undone",
    };
    record::settle(&client, &adoption.id, outcome, reason).await?;
    record::revoke_unless_shared(&client, &adoption, "its adoption was undone").await?;
    let document = Undone {
        id: adoption.id.clone(),
        consumer: adoption.consumer.clone(),
        files: told,
    };
    context.output.result(&document, || {
        let told = format!(
            "{} is as it was before, byte for byte; its key is revoked",
            adoption.consumer
        );
        format!("{}\n", styled(GOOD, &escape(&told)))
    })?;
    Ok(Exit::Ok)
}

/// The adoption that a beginning of an id, or a consumer's name, stands for.
async fn named(client: &Client, asked: &str) -> Result<v1::Adoption, Error> {
    let mut fitting: Vec<_> = record::all(client)
        .await?
        .into_iter()
        .filter(|adoption| {
            adoption.id.starts_with(asked)
                || adoption.consumer == asked && adoption.state == "adopted"
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
