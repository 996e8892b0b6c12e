//! `bascule show`: one connection with its keys.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{Context, key, limit, list};
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{document, table::Facts, time::human},
};

/// Show a connection and its keys
///
/// Example:
///   bascule show photos
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The connection
    pub(crate) name: String,
}

#[derive(Serialize)]
struct Document {
    connection: document::Connection,
    keys: Vec<document::Key>,
    gateway: String,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::ShowConnectionRequest {
        name: arguments.name,
    };
    let response = context
        .client()
        .await?
        .connections()
        .show(request)
        .await?
        .into_inner();
    let connection = response.connection.unwrap_or_default();
    let document = Document {
        connection: (&connection).into(),
        keys: response.keys.iter().map(Into::into).collect(),
        gateway: response.gateway.clone(),
    };
    context.output.result(&document, || {
        let now = clock::now();
        let mut text = facts(&connection, now)
            .add("Gateway", response.gateway.as_str())
            .render();
        if !response.keys.is_empty() {
            text.push('\n');
            text.push_str(&key::table(&response.keys, now));
        }
        text
    })?;
    Ok(Exit::Ok)
}

/// A connection in words.
pub(crate) fn facts(connection: &v1::Connection, now: bascule_domain::Timestamp) -> Facts {
    let mut facts = Facts::default();
    facts
        .add("Name", connection.name.as_str())
        .add("State", list::state(connection))
        .add("Provider", document::provider(connection.provider()))
        .add("Buckets", connection.buckets.join(", "))
        .add("Endpoint", connection.endpoint.as_str())
        .add("Region", connection.region.as_str())
        .add("Folder", connection.path.as_str())
        .add("Provider key", connection.brought_key.as_str())
        .add("Added", human(connection.created_at.as_ref(), now))
        .add(
            "Credentials",
            match connection.credentials_generation {
                0 | 1 => String::new(),
                generation => format!(
                    "replaced {} times, last {}",
                    generation - 1,
                    human(connection.credentials_changed_at.as_ref(), now)
                ),
            },
        )
        .add("Limits", limit::words(connection.limits.as_ref()))
        .add("Living keys", connection.living_keys.to_string())
        .add("Id", connection.id.as_str());
    facts
}
