//! `bascule key revoke`: kills a key for good.

use bascule_proto::v1;
use clap::Args;

use super::{Context, KeyName, Why, named, report};
use crate::{
    clock,
    error::Error,
    output::{
        text::{GOOD, styled},
        time::human,
    },
};

/// Kill a key at once and for good
///
/// What it has open is cut. Nothing brings it back; key pause is reversible.
///
/// Example:
///   bascule key revoke photos/laptop-rclone
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(flatten)]
    key: KeyName,
    #[command(flatten)]
    why: Why,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let request = v1::RevokeKeyRequest {
        key: arguments.key.id,
        reason: arguments.why.text(),
    };
    let response = context
        .client()
        .await?
        .keys()
        .revoke(request)
        .await?
        .into_inner();
    let key = response.key.unwrap_or_default();
    report(&key, &response.in_doubt, context, || {
        format!(
            "{} {} is dead for good since {}\n",
            styled(GOOD, "revoked"),
            named(&key),
            human(key.died_at.as_ref(), clock::now())
        )
    })
}
