//! `bascule key mark-dead`: a key that Bascule did not issue is dead at its provider.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use crate::{
    clock,
    error::Error,
    output::{
        document,
        text::{GOOD, NEXT, escape, styled},
        time::rfc3339,
    },
    verbs::{Context, findings},
};

/// Say that a key was revoked elsewhere, and learn who still uses it
///
/// For a key that Bascule did not issue: one you revoked in your provider's console. From now on its
/// consumers on this machine are findings, as those of a dead key of Bascule's are.
///
/// Examples:
///   bascule key mark-dead AKIAIOSFODNN7EXAMPLE --reason 'leaked in CI'
///   bascule key mark-dead AKIAIOSFODNN7EXAMPLE --undo
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The whole access key id, which is no secret
    #[arg(value_name = "ACCESS_KEY_ID")]
    id: String,
    /// Why, for the findings and the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Take it back: the key works
    #[arg(long)]
    undo: bool,
}

#[derive(Serialize)]
struct Document {
    key: String,
    marked_at: Option<String>,
    findings: Vec<document::Finding>,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let client = context.client().await?;
    if arguments.undo {
        let request = v1::UnmarkDeadRequest {
            access_key_id: arguments.id.clone(),
            reason: arguments.reason.unwrap_or_default(),
        };
        client.findings().unmark_dead(request).await?;
        let document = Document {
            key: arguments.id,
            marked_at: None,
            findings: Vec::new(),
        };
        return context.output.result(&document, || {
            format!("{} is not marked as dead any more\n", escape(&document.key))
        });
    }
    let request = v1::MarkDeadRequest {
        access_key_id: arguments.id,
        reason: arguments.reason.unwrap_or_default(),
    };
    let response = client.findings().mark_dead(request).await?.into_inner();
    let document = Document {
        key: response.key.clone(),
        marked_at: rfc3339(response.marked_at.as_ref()),
        findings: response.findings.iter().map(Into::into).collect(),
    };
    context.output.result(&document, || {
        let mut text = format!(
            "{} {} is watched from now on\n",
            styled(GOOD, "marked as dead:"),
            escape(&response.key)
        );
        if response.findings.is_empty() {
            text.push_str("Nothing on this machine is known to use it.\n");
        } else {
            text.push_str(&findings::render(&response.findings, clock::now()));
        }
        text.push_str(&format!(
            "{} bascule findings --look\n",
            styled(NEXT, "next:")
        ));
        text
    })
}
