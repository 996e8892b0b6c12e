//! `bascule reload`: has the daemon read its configuration again.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::Context;
use crate::{error::Error, exit::Exit};

/// Have the daemon read its configuration again
///
/// The file is checked as a whole first. If anything in it is wrong, nothing changes, and every
/// mistake is told with its line; bascule status tells it too until the file is mended. What was
/// opened or bound at the start (folders, addresses, the ledger) needs a restart, and is told by
/// name. SIGHUP does the same; what came of it is in the daemon's log.
///
/// Examples:
///   bascule reload
///   basculed check-config
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {}

#[derive(Serialize)]
struct Document<'a> {
    file: &'a str,
    changed: &'a [String],
    after_restart: &'a [String],
}

pub(crate) async fn run(_: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::ReloadRequest {};
    let done = context.client().await?.system().reload(request).await?;
    let done = done.into_inner();
    let document = Document {
        file: &done.file,
        changed: &done.changed,
        after_restart: &done.after_restart,
    };
    context.output.result(&document, || words(&done))?;
    Ok(Exit::Ok)
}

fn words(done: &v1::ReloadResponse) -> String {
    let mut text = match done.changed.as_slice() {
        [] if done.after_restart.is_empty() => "Nothing has changed.\n".to_owned(),
        [] => "Nothing has changed that is in force at once.\n".to_owned(),
        names => format!("In force now: {}.\n", names.join(", ")),
    };
    if !done.after_restart.is_empty() {
        text.push_str(&format!(
            "In force after a restart: {}.\n",
            done.after_restart.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_restart_is_never_told_as_done() {
        let done = |changed: &[&str], after: &[&str]| {
            words(&v1::ReloadResponse {
                file: String::new(),
                changed: changed.iter().map(ToString::to_string).collect(),
                after_restart: after.iter().map(ToString::to_string).collect(),
            })
        };
        assert_eq!(done(&[], &[]), "Nothing has changed.\n");
        assert_eq!(
            done(&["log.level"], &["gateway.listen"]),
            "In force now: log.level.\nIn force after a restart: gateway.listen.\n"
        );
        assert!(done(&[], &["usage.keep"]).contains("after a restart: usage.keep"));
    }
}
