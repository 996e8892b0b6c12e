//! `bascule key`: tools' own keys. Lists them; what else can be done has a file each.

mod handed_out;
pub(super) mod issue;
mod mark_dead;
mod pause;
mod restrict;
mod revoke;
mod rights;
pub(super) mod rotate;
mod rotation;
mod show;
mod write;

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Context, audit::Why};
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        document,
        table::{Cell, Table},
        text::{BAD, GOOD, WARN, escape, styled},
        time::{ago, parsed, relative},
    },
};

/// Issue, list, restrict, pause, rotate and revoke keys of tools' own
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    Issue(issue::Arguments),
    /// List the keys of a connection, or all; dead ones too
    ///
    /// Example:
    ///   bascule key list photos
    #[command(verbatim_doc_comment)]
    List {
        /// The connection; all if left out
        name: Option<String>,
    },
    Show(show::Arguments),
    Restrict(restrict::Arguments),
    Pause(pause::PauseArguments),
    Resume(pause::ResumeArguments),
    Rotate(rotate::Arguments),
    Rotation(rotation::Arguments),
    Revoke(revoke::Arguments),
    MarkDead(mark_dead::Arguments),
}

/// A key that exists.
#[derive(Debug, Args)]
pub(crate) struct KeyName {
    /// The key: its access key id, BSC…, or CONNECTION/LABEL
    #[arg(value_name = "KEY_ID")]
    id: String,
}

#[derive(Serialize)]
struct ListDocument {
    keys: Vec<document::Key>,
}

/// Of a change to a key.
#[derive(Serialize)]
struct ChangeDocument {
    key: document::Key,
    in_doubt: Vec<document::DoubtfulChange>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    match arguments.action {
        Action::Issue(arguments) => issue::run(arguments, context).await?,
        Action::List { name } => list(name.unwrap_or_default(), context).await?,
        Action::MarkDead(arguments) => mark_dead::run(arguments, context).await?,
        Action::Show(arguments) => show::run(arguments, context).await?,
        Action::Restrict(arguments) => restrict::run(arguments, context).await?,
        Action::Pause(arguments) => pause::pause(arguments, context).await?,
        Action::Resume(arguments) => pause::resume(arguments, context).await?,
        Action::Rotate(arguments) => return rotate::run(arguments, context).await,
        Action::Rotation(arguments) => rotation::run(arguments, context).await?,
        Action::Revoke(arguments) => revoke::run(arguments, context).await?,
    }
    Ok(Exit::Ok)
}

async fn list(connection: String, context: &Context) -> Result<(), Error> {
    let request = v1::ListKeysRequest { connection };
    let keys = context
        .client()
        .await?
        .keys()
        .list(request)
        .await?
        .into_inner()
        .keys;
    if keys.is_empty() && !context.output.is_json() {
        context
            .output
            .status("no keys yet; issue one: bascule key issue --help");
        return Ok(());
    }
    let document = ListDocument {
        keys: keys.iter().map(Into::into).collect(),
    };
    context
        .output
        .result(&document, || table(&keys, clock::now()))
}

/// Prints what a change to a key came to.
fn report(
    key: &v1::Key,
    in_doubt: &[v1::DoubtfulChange],
    context: &Context,
    words: impl FnOnce() -> String,
) -> Result<(), Error> {
    let document = ChangeDocument {
        key: key.into(),
        in_doubt: in_doubt.iter().map(Into::into).collect(),
    };
    context.output.result(&document, || {
        let mut text = words();
        text.push_str(&doubts(in_doubt));
        text
    })
}

/// Changes whose outcome is not known, a line each.
fn doubts(changes: &[v1::DoubtfulChange]) -> String {
    let line = |change: &v1::DoubtfulChange| {
        format!(
            "{} {} of {}/{} may or may not have happened\n",
            styled(WARN, "in doubt"),
            escape(&change.operation),
            escape(&change.bucket),
            escape(&change.key)
        )
    };
    changes.iter().map(line).collect()
}

/// `BSC… (laptop-rclone, photos)`.
fn named(key: &v1::Key) -> String {
    format!(
        "{} ({}, {})",
        escape(&key.access_key_id),
        escape(&key.label),
        escape(&key.connection)
    )
}

/// A key's state, and when it ends by itself.
fn state(key: &v1::Key, now: Timestamp) -> Cell {
    let word = document::key_state(key.state());
    let end = parsed(key.expires_at.as_ref()).map(|end| relative(end, now));
    let (text, style) = match (key.state(), end) {
        (v1::KeyState::Dead, _) => (
            format!("{word} {}: {}", ago(key.died_at.as_ref(), now), key.cause),
            BAD,
        ),
        (v1::KeyState::Expired, Some(end)) => (format!("{word} {end}"), WARN),
        (v1::KeyState::Active, None) => (word.to_owned(), GOOD),
        (v1::KeyState::Active, Some(end)) => (format!("{word}, expires {end}"), GOOD),
        (_, Some(end)) => (format!("{word}, expires {end}"), WARN),
        (_, None) => (word.to_owned(), WARN),
    };
    Cell::new(text).style(style)
}

/// Keys as a table.
pub(crate) fn table(keys: &[v1::Key], now: Timestamp) -> String {
    let mut table = Table::new([
        "KEY ID",
        "LABEL",
        "CONNECTION",
        "PERMISSION",
        "STATE",
        "ISSUED",
        "LAST USED",
    ]);
    for key in keys {
        let mut permission = document::permission(key.permission())
            .unwrap_or_default()
            .to_owned();
        for (word, names) in [
            (" on ", &key.buckets),
            (" below ", &key.prefixes),
            (" from ", &key.addresses),
        ] {
            if !names.is_empty() {
                permission = format!("{permission}{word}{}", names.join(", "));
            }
        }
        table.row([
            Cell::new(&key.access_key_id),
            Cell::new(&key.label),
            Cell::new(&key.connection),
            permission.into(),
            state(key, now),
            ago(key.issued_at.as_ref(), now).into(),
            ago(key.last_used_at.as_ref(), now).into(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_key_is_shown_with_its_cause_and_without_rights() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let keys = [
            v1::Key {
                access_key_id: "BSCABC".into(),
                label: "cron".into(),
                connection: "photos".into(),
                permission: v1::Permission::Read.into(),
                state: v1::KeyState::Active.into(),
                buckets: vec!["pics".into()],
                ..v1::Key::default()
            },
            v1::Key {
                access_key_id: "…7F3Q".into(),
                label: "old".into(),
                connection: "photos".into(),
                state: v1::KeyState::Dead.into(),
                died_at: Some(prost_types::Timestamp {
                    seconds: 1_800_000_000 - 7200,
                    nanos: 0,
                }),
                cause: "revoked".into(),
                ..v1::Key::default()
            },
        ];
        let text = anstream::adapter::strip_str(&table(&keys, now)).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].contains("read on pics"), "{text}");
        assert!(lines[2].contains("dead 2 h ago: revoked"), "{text}");
    }
}
