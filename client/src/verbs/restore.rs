//! `bascule restore`: has `basculed restore` put a backup back and says what came of it. What is
//! changed is the daemon's business; this must never write anything itself.

use std::{
    path::{Path, PathBuf},
    process::{Output as Ended, Stdio},
};

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::{Context, backup::restore_command};
use crate::{
    channel::quoted,
    error::{Error, Kind},
    exit::Exit,
    output::text::{GOOD, WARN, count, styled},
    passphrase::{self, Passphrase},
    program,
    start::Runner,
};

/// Put a backup back, with the daemon stopped
///
/// What died stays dead: connections deleted and keys revoked since the backup was made do not come
/// back. What the folder knows is newer and stays as it is; what is missing there comes back. In an
/// empty folder, on a new machine say, everything comes back paused until: bascule activate.
///
/// Examples:
///   bascule restore ~/bascule-2026-07.backup
///   pass show bascule | bascule restore /mnt/usb/bascule.backup --passphrase-stdin
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The backup
    pub(crate) file: PathBuf,
    /// Read its passphrase from stdin; on a terminal it is asked for if it is needed
    #[arg(long)]
    pub(crate) passphrase_stdin: bool,
    /// The daemon's state folder, if it is not at the default place
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    restored: Restored,
}

/// As the daemon's program tells it.
#[derive(Serialize, Deserialize)]
struct Restored {
    id: String,
    made_at: String,
    /// Whether everything is paused until `bascule activate`.
    closed: bool,
    brought_back: u64,
    kept: u64,
    stayed_deleted: u64,
    stayed_dead: u64,
}

/// The daemon's exit code for a bad configuration.
const CONFIGURATION: i32 = 78;
/// Its exit code for a backup whose passphrase is needed.
const PASSPHRASE_NEEDED: i32 = 3;

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let given = match arguments.passphrase_stdin {
        true => Some(passphrase::from_stdin()?),
        false => None,
    };
    let mut ended = restore(&arguments, given.as_ref()).await?;
    if ended.status.code() == Some(PASSPHRASE_NEEDED)
        && given.is_none()
        && passphrase::can_ask()
        && let Some(asked) = passphrase::prompt("The backup's passphrase")?
    {
        ended = restore(&arguments, Some(&asked)).await?;
    }
    if !ended.status.success() {
        return Err(failure(&ended, &arguments));
    }
    let restored: Restored = serde_json::from_slice(&ended.stdout).map_err(|_| {
        Error::new(Kind::Failed, "basculed restored, but did not say what")
            .next("start the daemon and look: bascule list")
    })?;
    let document = Document { restored };
    context
        .output
        .result(&document, || text(&document.restored))?;
    let start = Runner::here().start();
    context.output.status(&match document.restored.closed {
        true => format!("{start}; look through: bascule list; then: bascule activate"),
        false => start.to_owned(),
    });
    Ok(Exit::Ok)
}

async fn restore(arguments: &Arguments, passphrase: Option<&Passphrase>) -> Result<Ended, Error> {
    let program = program::basculed()?;
    let failed = |error: std::io::Error| {
        Error::new(
            Kind::Failed,
            format!("{} could not be run: {error}", program.display()),
        )
    };
    let mut command = tokio::process::Command::new(&program);
    command.arg("restore");
    if let Some(folder) = &arguments.state_dir {
        command.arg("--state-dir").arg(folder);
    }
    if passphrase.is_some() {
        command.arg("--passphrase-stdin");
    }
    command.arg("--").arg(&arguments.file);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let (Some(mut stdin), Some(passphrase)) = (child.stdin.take(), passphrase) {
        // A program that ended says why itself.
        stdin.write_all(passphrase.as_bytes()).await.ok();
    }
    child.wait_with_output().await.map_err(failed)
}

fn text(restored: &Restored) -> String {
    let mut lines = vec![format!(
        "{} {} of {}",
        styled(GOOD, "restored"),
        restored.id,
        restored.made_at
    )];
    let mut add = |number: u64, what: &str, then: &str| {
        if number > 0 {
            lines.push(format!("  {} {then}", count(number, what)));
        }
    };
    add(restored.brought_back, "connection", "came back");
    add(restored.kept, "connection", "stayed as here");
    add(
        restored.stayed_deleted,
        "connection",
        "of the backup stayed deleted",
    );
    add(restored.stayed_dead, "key", "of the backup stayed dead");
    if restored.closed {
        lines.push(format!(
            "{} everything is paused: what died after the backup was made is not known here",
            styled(WARN, "note:")
        ));
    }
    lines.join("\n") + "\n"
}

/// What the daemon's program said when it failed.
fn failure(ended: &Ended, arguments: &Arguments) -> Error {
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim();
    let said = said.strip_prefix("basculed: ").unwrap_or(said);
    let said = said.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let again = again(&arguments.file, arguments.state_dir.as_deref());
    let refused = |kind| Error::new(kind, format!("{said}; nothing was changed"));
    if said.contains("another instance is running") {
        return refused(Kind::Refused).next(format!("stop the daemon (basculed), then: {again}"));
    }
    if said.contains("is in place but does not open") {
        return Error::new(Kind::Failed, said).next(format!(
            "it says more when it is started; {}",
            Runner::here().start()
        ));
    }
    match ended.status.code() {
        Some(CONFIGURATION) => {
            refused(Kind::Invalid).next("correct it, then run the same command again")
        }
        Some(PASSPHRASE_NEEDED) => {
            refused(Kind::Invalid).next(format!("{again} --passphrase-stdin < FILE"))
        }
        _ if said.contains("kept as a credential of the service manager") => refused(Kind::Refused)
            .next(format!(
                "start the service, then: bascule root-key move file (of the machine's: --system); stop it, and: {again}"
            )),
        _ if said.contains("root key is kept in the keychain") => refused(Kind::Refused)
            .next(format!("unlock the keychain, in the session that it belongs to, then: {again}")),
        _ if said.contains("can't be opened, so it is not known what died") => refused(Kind::Refused)
            .next(format!(
                "mend it, or move that folder away and restore into an empty one, where everything starts paused: {again}"
            )),
        _ if said.contains("another installation") => refused(Kind::Refused)
            .next("restore into an empty folder: bascule restore FILE --state-dir DIR"),
        _ if said.is_empty() => Error::new(
            Kind::Failed,
            format!("the restore failed: basculed ended with {}", ended.status),
        ),
        _ => refused(Kind::Failed),
    }
}

fn again(file: &Path, state_dir: Option<&Path>) -> String {
    let command = restore_command(file);
    match state_dir {
        Some(folder) => format!("{command} --state-dir {}", quoted(folder)),
        None => command,
    }
}
