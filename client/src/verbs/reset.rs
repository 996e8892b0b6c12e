//! `bascule reset`: has `basculed reset` do it and says what came of it. What is destroyed is the
//! daemon's business; this must never remove or make anything itself.

use std::{
    path::{Path, PathBuf},
    process::Output as Ended,
};

use bascule_proto::location;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::Context;
use crate::{
    channel::quoted,
    error::{Error, Kind},
    exit::Exit,
    output::text::{WARN, escape, styled},
    program,
    start::Runner,
};

/// Destroy everything Bascule keeps: connections, keys, tombstones, receipts
///
/// The way on when the store or its root key is lost. Every key stops working, and dead keys are
/// forgotten. The daemon must not be running. Buckets are not touched.
///
/// Example:
///   bascule reset --yes-lose-everything
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Says that all of it may go
    #[arg(long, required = true)]
    pub(crate) yes_lose_everything: bool,
    /// The daemon's state folder, if it is not at the default place
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    reset: bool,
    /// `null` if the daemon's configuration file says where it is.
    state_dir: Option<String>,
    /// Where the root key was. A keychain's entry is gone; a credential is still to be removed.
    root_key_was_in: String,
}

/// As the daemon's program tells it.
#[derive(Deserialize)]
struct Told {
    root_key_was_in: String,
}

/// What a store consists of in its folder; one of them is enough for a reset to make sense.
const PARTS: [&str; 11] = [
    "root.key.place",
    "root.key",
    "root.key.new",
    "root.key.pending",
    "store.redb",
    "store.redb.pending",
    "keys",
    "manifests",
    "restore.new",
    "restore.ready",
    "restore.old",
];

/// The daemon's exit code for a bad configuration.
const CONFIGURATION: i32 = 78;

/// How the daemon says that its state folder is in use.
const IN_USE: &str = "another instance is running";

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let program = program::basculed()?;
    let folder = folder(arguments.state_dir.as_deref());
    if let Some(folder) = &folder {
        holds_a_store(folder)?;
    }
    let mut command = tokio::process::Command::new(&program);
    command.arg("reset");
    if arguments.yes_lose_everything {
        command.arg("--yes-lose-everything");
    }
    if let Some(folder) = &arguments.state_dir {
        command.arg("--state-dir").arg(folder);
    }
    let ended = command
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .map_err(|error| {
            Error::new(
                Kind::Failed,
                format!("{} could not be run: {error}", program.display()),
            )
        })?;
    if !ended.status.success() {
        return Err(failure(&ended, arguments.state_dir.as_deref()));
    }
    let shown = folder.map(|folder| folder.display().to_string());
    let document = Document {
        reset: true,
        state_dir: shown.clone(),
        root_key_was_in: serde_json::from_slice(&ended.stdout)
            .map_or_else(|_| "file".to_owned(), |told: Told| told.root_key_was_in),
    };
    context.output.result(&document, || {
        format!(
            "{}: every connection, key, tombstone and receipt in {} is destroyed\nBuckets were not touched.\n",
            styled(WARN, "reset"),
            shown.as_deref().map_or_else(
                || "the configured state folder".to_owned(),
                |folder| escape(folder).to_string()
            )
        )
    })?;
    match document.root_key_was_in.as_str() {
        "keychain" => context.output.status("the root key's entry in the keychain is removed, too"),
        "credential" => context.output.status(
            "the root key stays a credential, which opens older copies of the state folder and would be a new store's; to be rid of it, remove /etc/credstore*/bascule.root.key and /etc/systemd/system/bascule.service.d/root-key.conf (of a service of yours: the same below ~/.config, systemd/user), then: systemctl daemon-reload",
        ),
        _ => {}
    }
    context
        .output
        .status(&format!("to begin anew, {}", Runner::here().start()));
    Ok(Exit::Ok)
}

/// The folder, unless a configuration file decides about it.
fn folder(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(folder) = given {
        return Some(folder.to_owned());
    }
    let configured = location::config_file().is_some_and(|file| file.exists());
    if configured {
        None
    } else {
        location::state_dir()
    }
}

/// Whether there is anything to destroy. What can't be looked at is left to the daemon.
fn holds_a_store(folder: &Path) -> Result<(), Error> {
    let absent = |path: &Path| {
        path.symlink_metadata().is_err_and(|error| {
            matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            )
        })
    };
    let shown = folder.display();
    let message = if absent(folder) {
        format!("there is no folder {shown}; nothing was destroyed")
    } else if PARTS.iter().all(|part| absent(&folder.join(part))) {
        format!("{shown} holds no store of Bascule; nothing was destroyed")
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::NotFound, message).next(
        "name the folder that basculed uses: bascule reset --yes-lose-everything --state-dir DIR",
    ))
}

/// What the daemon's program said when it failed.
fn failure(ended: &Ended, given: Option<&Path>) -> Error {
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim();
    let said = said.strip_prefix("basculed: ").unwrap_or(said);
    let said = said.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let mut again = "bascule reset --yes-lose-everything".to_owned();
    if let Some(folder) = given {
        again = format!("{again} --state-dir {}", quoted(folder));
    }
    if said.contains(IN_USE) {
        return Error::new(Kind::Refused, format!("{said}; nothing was destroyed"))
            .next(format!("stop the daemon (basculed), then: {again}"));
    }
    if ended.status.code() == Some(CONFIGURATION) {
        return Error::new(Kind::Invalid, format!("{said}; nothing was destroyed"))
            .next("correct it, then run the same command again");
    }
    let message = if said.is_empty() {
        format!("the reset failed: basculed ended with {}", ended.status)
    } else {
        format!("the reset failed: {said}")
    };
    Error::new(Kind::Failed, message).next(format!("once the cause is gone: {again}"))
}
