//! `bascule key pause` and `bascule key resume`.

use bascule_proto::v1;
use clap::Args;

use super::{Context, KeyName, Why, named, report};
use crate::{
    error::Error,
    output::text::{GOOD, WARN, styled},
};

/// Refuse everything a key asks for, until it is resumed
///
/// In force at once, also on open connections: what the key has open is cut. Its tool is told that
/// the key is paused. It stays paused over restarts.
///
/// Example:
///   bascule key pause photos/laptop-rclone
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct PauseArguments {
    #[command(flatten)]
    key: KeyName,
    #[command(flatten)]
    why: Why,
}

/// Let a paused key work again
///
/// Example:
///   bascule key resume photos/laptop-rclone
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ResumeArguments {
    #[command(flatten)]
    key: KeyName,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn pause(arguments: PauseArguments, context: &Context) -> Result<(), Error> {
    let request = v1::PauseKeyRequest {
        key: arguments.key.id,
        reason: arguments.why.text(),
    };
    let mut keys = context.client().await?.keys();
    let response = keys.pause(request).await?.into_inner();
    let key = response.key.unwrap_or_default();
    report(&key, &response.in_doubt, context, || {
        format!(
            "{} {}; until: bascule key resume {}\n",
            styled(GOOD, "paused"),
            named(&key),
            key.access_key_id
        )
    })
}

pub(super) async fn resume(arguments: ResumeArguments, context: &Context) -> Result<(), Error> {
    let request = v1::ResumeKeyRequest {
        key: arguments.key.id,
        reason: arguments.why.text(),
    };
    let mut keys = context.client().await?.keys();
    let response = keys.resume(request).await?.into_inner();
    let key = response.key.unwrap_or_default();
    report(&key, &response.in_doubt, context, || {
        let mut text = format!("{} {}\n", styled(GOOD, "resumed"), named(&key));
        if key.state() == v1::KeyState::Expired {
            text.push_str(&format!(
                "{} it has expired, so it is still refused: bascule key restrict {} --expires 30d\n",
                styled(WARN, "but"),
                key.access_key_id
            ));
        }
        text
    })
}
