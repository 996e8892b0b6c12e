//! `bascule key`: issues, lists and revokes keys.

pub(super) mod issue;
pub(super) mod rotate;
mod rotation;

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Context;
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        document,
        table::{Cell, Table},
        text::{BAD, GOOD, WARN, escape, styled},
        time::{ago, human},
    },
};

/// Issue, list, rotate and revoke keys of tools' own
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
    List {
        /// The connection; all if left out
        name: Option<String>,
    },
    Rotate(rotate::Arguments),
    Rotation(rotation::Arguments),
    /// Kill a key at once and for good
    Revoke {
        /// Its access key id, BSC…
        #[arg(value_name = "KEY_ID")]
        id: String,
    },
}

#[derive(Serialize)]
struct ListDocument {
    keys: Vec<document::Key>,
}

#[derive(Serialize)]
struct RevokeDocument {
    key: document::Key,
    in_doubt: Vec<document::DoubtfulChange>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    match arguments.action {
        Action::Issue(arguments) => issue::run(arguments, context).await?,
        Action::List { name } => list(name.unwrap_or_default(), context).await?,
        Action::Rotate(arguments) => rotate::run(arguments, context).await?,
        Action::Rotation(arguments) => rotation::run(arguments, context).await?,
        Action::Revoke { id } => revoke(id, context).await?,
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

async fn revoke(access_key_id: String, context: &Context) -> Result<(), Error> {
    let request = v1::RevokeKeyRequest { access_key_id };
    let response = context
        .client()
        .await?
        .keys()
        .revoke(request)
        .await?
        .into_inner();
    let key = response.key.unwrap_or_default();
    let document = RevokeDocument {
        key: (&key).into(),
        in_doubt: response.in_doubt.iter().map(Into::into).collect(),
    };
    context.output.result(&document, || {
        let mut text = format!(
            "{} {} ({}, {}) is dead for good since {}\n",
            styled(GOOD, "revoked"),
            escape(&key.access_key_id),
            escape(&key.label),
            escape(&key.connection),
            human(key.died_at.as_ref(), clock::now())
        );
        text.push_str(&in_doubt(&response.in_doubt));
        text
    })
}

/// Changes whose outcome is not known, a line each.
fn in_doubt(changes: &[v1::DoubtfulChange]) -> String {
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
        let style = match key.state() {
            v1::KeyState::Active => GOOD,
            v1::KeyState::Dead => BAD,
            _ => WARN,
        };
        let mut state = document::key_state(key.state()).to_owned();
        if key.state() == v1::KeyState::Dead {
            state = format!("{state} {}: {}", ago(key.died_at.as_ref(), now), key.cause);
        }
        let mut permission = document::permission(key.permission())
            .unwrap_or_default()
            .to_owned();
        if !key.buckets.is_empty() {
            permission = format!("{permission} on {}", key.buckets.join(", "));
        }
        table.row([
            Cell::new(&key.access_key_id),
            Cell::new(&key.label),
            Cell::new(&key.connection),
            permission.into(),
            Cell::new(state).style(style),
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
