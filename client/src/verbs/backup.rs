//! `bascule backup`: writes what the daemon hands out into a new file. It must never replace a file,
//! and never leave half of one behind.

mod forget;
mod list;
mod look;

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
};

use bascule_proto::v1;
use clap::{Args, Subcommand};
use serde::Serialize;
use tonic::Streaming;

use super::{Context, audit::Why};
use crate::{
    channel::{Client, quoted},
    error::{Error, Kind},
    exit::Exit,
    output::text::{GOOD, WARN, escape, size, styled},
    passphrase,
};

/// The longest name that receipts list, in characters.
const LONGEST_NAME: usize = 64;

/// Write a backup of everything Bascule keeps, while the daemon runs
///
/// The file is new, readable by you only, and holds connections, keys and what is known of dead
/// ones, all encrypted. With a passphrase it can be restored anywhere; without one only into the
/// installation it was made in. Receipts of later deletions name it while it still holds the
/// connection. Usage records and surveys under way are not in it.
///
/// Examples:
///   bascule backup ~/bascule-2026-07.backup
///   pass show bascule | bascule backup /mnt/usb/bascule.backup --passphrase-stdin
///   bascule backup list
#[derive(Debug, Args)]
#[command(
    verbatim_doc_comment,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// The new file; write ./list for one that is called like a command
    #[arg(required = true, value_parser = new_file)]
    pub(crate) file: Option<PathBuf>,
    /// Read the passphrase from stdin; on a terminal it is asked for otherwise
    #[arg(long)]
    pub(crate) passphrase_stdin: bool,
    /// Ask for none: it opens in this installation only
    #[arg(long, conflicts_with = "passphrase_stdin")]
    pub(crate) no_passphrase: bool,
    #[command(flatten)]
    why: Why,
}

/// What to do with those that were made.
#[derive(Debug, Subcommand)]
enum Action {
    List(list::Arguments),
    Forget(forget::Arguments),
}

/// After an option, a command's name would be taken for a file's.
fn new_file(text: &str) -> Result<PathBuf, String> {
    match text {
        "list" | "forget" => Err(format!(
            "write ./{text} for a file, or put the options after the command: bascule backup {text}"
        )),
        _ => Ok(text.into()),
    }
}

#[derive(Serialize)]
struct Document {
    backup: Written,
}

#[derive(Serialize)]
struct Written {
    id: String,
    file: String,
    bytes: u64,
    /// Whether it can be restored elsewhere, with its passphrase.
    portable: bool,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    match &arguments.action {
        Some(Action::List(_)) => return list::run(context).await,
        Some(Action::Forget(action)) => return forget::run(action, context).await,
        None => {}
    }
    let client = context.client().await?;
    let Some(path) = &arguments.file else {
        return Err(Error::new(Kind::Invalid, "no file is named").next("bascule backup FILE"));
    };
    if path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    let passphrase = if arguments.passphrase_stdin {
        Some(passphrase::from_stdin()?)
    } else if passphrase::can_ask() && !arguments.no_passphrase {
        asked_twice()?
    } else {
        None
    };
    let portable = passphrase.is_some();
    let place = look::Place::of(path);
    let request = v1::BackupRequest {
        passphrase: passphrase.map(|text| text.to_string()),
        file: label(path),
        reason: arguments.why.text(),
        path: place.path,
        mount: place.mount,
    };
    let pieces = client.system().backup(request).await?.into_inner();
    let file = bascule_os::create_private_file(path).map_err(|error| {
        match path.symlink_metadata().is_ok() {
            true => exists(path),
            false => Error::new(Kind::Failed, error.to_string()),
        }
    })?;
    let (id, bytes) = match write(file, path, pieces).await {
        Ok(written) => written,
        Err(error) => {
            // The first failure is the one to report.
            std::fs::remove_file(path).ok();
            return Err(error);
        }
    };
    let seen = look::note(&client, [(id.clone(), v1::BackupFound::Present)]).await;
    if let Err(error) = seen {
        // The backup itself is whole and on record.
        let line = format!("its record does not tell that the file was seen: {error}");
        context.output.status(&line);
    }
    let document = Document {
        backup: Written {
            id,
            file: path.display().to_string(),
            bytes,
            portable,
        },
    };
    context.output.result(&document, || {
        let written = &document.backup;
        let opens = match portable {
            true => "It opens anywhere with its passphrase, and without that nowhere: keep both.\n"
                .to_owned(),
            false => format!(
                "{} made without a passphrase, it can be restored only into this installation: not on another machine, and not once its folder is lost\n",
                styled(WARN, "note:")
            ),
        };
        format!(
            "{} {} ({}, {})\n{opens}",
            styled(GOOD, "backed up to"),
            escape(&written.file),
            written.id,
            size(written.bytes)
        )
    })?;
    Ok(Exit::Ok)
}

/// Looks once more for the backups that hold a connection, so that a receipt tells what is so now.
pub(super) async fn look_again(client: &Client, connection: &str) -> Result<(), Error> {
    let mut backups = list::on_record(client).await?;
    backups.retain(|backup| backup.holds.iter().any(|held| held.name == connection));
    if backups.is_empty() {
        return Ok(());
    }
    // On a thread of its own: a signal must be heard while a file system does not answer.
    let looked = tokio::task::spawn_blocking(move || {
        let looks = look::look_for(&backups);
        let seen = backups.into_iter().zip(looks);
        seen.map(|(backup, look)| (backup.id, look.found()))
            .collect::<Vec<_>>()
    });
    let seen = looked
        .await
        .map_err(|error| Error::new(Kind::Failed, error.to_string()))?;
    look::note(client, seen).await
}

async fn write(
    mut file: File,
    path: &Path,
    mut pieces: Streaming<v1::BackupPiece>,
) -> Result<(String, u64), Error> {
    let failed =
        |error: std::io::Error| Error::new(Kind::Failed, format!("{}: {error}", path.display()));
    let (mut id, mut bytes) = (String::new(), 0);
    while let Some(piece) = pieces.message().await? {
        if !piece.id.is_empty() {
            id = piece.id;
        }
        file.write_all(&piece.content).map_err(failed)?;
        bytes += piece.content.len() as u64;
    }
    file.sync_all().map_err(failed)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    bascule_os::sync_dir(folder).map_err(|error| Error::new(Kind::Failed, error.to_string()))?;
    Ok((id, bytes))
}

fn exists(path: &Path) -> Error {
    Error::new(
        Kind::AlreadyExists,
        format!(
            "there is a file {} already; nothing was written",
            path.display()
        ),
    )
    .next("name a new file: bascule backup FILE")
}

fn asked_twice() -> Result<Option<passphrase::Passphrase>, Error> {
    let Some(first) =
        passphrase::prompt("Passphrase, empty for a backup that opens in this installation only")?
    else {
        return Ok(None);
    };
    match passphrase::prompt("Once more")? {
        Some(second) if *second == *first => Ok(Some(first)),
        _ => Err(Error::new(Kind::Invalid, "the two passphrases differ").next("run it again")),
    }
}

/// The file's name as receipts list it: its end, if it is very long.
fn label(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain: Vec<char> = name
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    let end: String = plain[plain.len().saturating_sub(LONGEST_NAME)..]
        .iter()
        .collect();
    match end.trim() {
        "" => "?".to_owned(),
        text => text.to_owned(),
    }
}

/// The command that puts it back.
pub(super) fn restore_command(file: &Path) -> String {
    format!("bascule restore {}", quoted(file))
}
