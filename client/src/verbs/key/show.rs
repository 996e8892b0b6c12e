//! `bascule key show`: all about one key.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{Context, KeyName, rights, state};
use crate::{
    clock,
    error::Error,
    output::{document, table::Facts, time::human},
};

/// Show what a key may do, its state, and when it was used
///
/// Example:
///   bascule key show photos/laptop-rclone
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    key: KeyName,
}

#[derive(Serialize)]
struct Document {
    key: document::Key,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let request = v1::ShowKeyRequest {
        key: arguments.key.id,
    };
    let mut keys = context.client().await?.keys();
    let key = keys.show(request).await?.into_inner().key;
    let key = key.unwrap_or_default();
    let document = Document { key: (&key).into() };
    context
        .output
        .result(&document, || words(&key, clock::now()))
}

fn words(key: &v1::Key, now: Timestamp) -> String {
    let mut facts = Facts::default();
    facts
        .add("Access key id", key.access_key_id.as_str())
        .add("Label", key.label.as_str())
        .add("Connection", key.connection.as_str())
        .add("State", state(key, now));
    if key.state() != v1::KeyState::Dead {
        let last_used = match &key.last_used_at {
            None => "never, as far as is known".to_owned(),
            used => human(used.as_ref(), now),
        };
        rights::facts(&mut facts, key, now);
        facts
            .add("Issued", human(key.issued_at.as_ref(), now))
            .add("Last used", last_used)
            .add("Generation", key.generation.to_string());
    }
    facts.add("Died", human(key.died_at.as_ref(), now));
    facts.add("Record", key.id.as_str());
    facts.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_in_words_and_a_dead_one_without_rights() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let time = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        let mut key = v1::Key {
            access_key_id: "BSCABC".into(),
            permission: v1::Permission::Append.into(),
            state: v1::KeyState::Paused.into(),
            expires_at: Some(time(1_800_000_000 + 3 * 86_400)),
            prefixes: vec!["backups/".into()],
            generation: 3,
            conditional_writes: v1::ConditionalWrites::NotKnown.into(),
            ..v1::Key::default()
        };
        let text = anstream::adapter::strip_str(&words(&key, now)).to_string();
        for expected in [
            "paused, expires in 3 days",
            "append: ",
            "all of the connection",
            "backups/",
            "this machine only",
            "never, as far as is known",
            "not known yet",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        key.state = v1::KeyState::Expired.into();
        key.expires_at = Some(time(1_800_000_000 - 7200));
        let text = anstream::adapter::strip_str(&words(&key, now)).to_string();
        assert!(text.contains("expired 2 h ago"), "{text}");
        key.state = v1::KeyState::Dead.into();
        key.died_at = Some(time(1_800_000_000));
        let text = anstream::adapter::strip_str(&words(&key, now)).to_string();
        assert!(!text.contains("append") && text.contains("Died"), "{text}");
    }
}
