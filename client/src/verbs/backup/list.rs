//! `bascule backup list`: the backups on record, and whether their files are still there.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{
    Context,
    look::{self, Look},
};
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        document::given,
        table::{Cell, Table},
        text::{BAD, DIM, GOOD, WARN, escape, styled},
        time::{human, rfc3339},
    },
};

/// List the backups on record, what they hold, and whether their files are still there
///
/// The files are looked for as you, where they were written. Copies that were made of them are not
/// known here. What is found is kept, so that receipts can tell it.
///
/// Example:
///   bascule backup list --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {}

#[derive(Serialize)]
struct Document {
    backups: Vec<Known>,
}

#[derive(Serialize)]
struct Known {
    id: String,
    made_at: Option<String>,
    file: String,
    path: Option<String>,
    portable: bool,
    /// `present`, `gone`, `changed` or `not-checked`.
    state: String,
    /// More about the last two.
    why: Option<String>,
    /// What was known before.
    last_look: Option<LastLook>,
    holds: Vec<Held>,
}

#[derive(Serialize)]
struct LastLook {
    at: Option<String>,
    found: &'static str,
}

#[derive(Serialize)]
struct Held {
    id: String,
    name: Option<String>,
    /// `living`, `being-deleted`, `deleted` or `unknown`.
    standing: &'static str,
    /// The deletion that a restore elsewhere would undo.
    deletion_id: Option<String>,
}

pub(super) async fn run(context: &Context) -> Result<Exit, Error> {
    let client = context.client().await?;
    let backups = on_record(&client).await?;
    let looks = look::look_for(&backups);
    let document = Document {
        backups: backups
            .iter()
            .zip(&looks)
            .map(|(backup, look)| known(backup, look))
            .collect(),
    };
    if backups.is_empty() {
        context
            .output
            .status("no backups are on record; make one: bascule backup FILE");
        if !context.output.is_json() {
            return Ok(Exit::Ok);
        }
    }
    context
        .output
        .result(&document, || text(&backups, &looks))?;
    let seen = backups.iter().zip(&looks);
    look::note(
        &client,
        seen.map(|(backup, look)| (backup.id.clone(), look.found())),
    )
    .await?;
    Ok(Exit::Ok)
}

/// The backups that the daemon knows of.
pub(super) async fn on_record(
    client: &crate::channel::Client,
) -> Result<Vec<v1::KnownBackup>, Error> {
    let request = v1::ListBackupsRequest {};
    let response = client.system().list_backups(request).await?;
    Ok(response.into_inner().backups)
}

fn known(backup: &v1::KnownBackup, look: &Look) -> Known {
    let last_look = backup.last_look.as_ref().map(|look| LastLook {
        at: rfc3339(look.at.as_ref()),
        found: match look.found() {
            v1::BackupFound::Present => "present",
            v1::BackupFound::Gone => "gone",
            v1::BackupFound::Changed => "changed",
            v1::BackupFound::Unspecified => "not-checked",
        },
    });
    let holds = backup.holds.iter().map(|held| Held {
        id: held.id.clone(),
        name: given(&held.name),
        standing: match held.standing() {
            v1::HeldStanding::Living => "living",
            v1::HeldStanding::BeingDeleted => "being-deleted",
            v1::HeldStanding::Deleted => "deleted",
            v1::HeldStanding::Unspecified => "unknown",
        },
        deletion_id: given(&held.deletion_id),
    });
    Known {
        id: backup.id.clone(),
        made_at: rfc3339(backup.made_at.as_ref()),
        file: backup.file.clone(),
        path: given(&backup.path),
        portable: backup.portable,
        state: look.as_str().replace(' ', "-"),
        why: look.why().map(ToOwned::to_owned),
        last_look,
        holds: holds.collect(),
    }
}

/// Where it was written, as far as that is known.
pub(super) fn file(backup: &v1::KnownBackup) -> &str {
    match &*backup.path {
        "" => &backup.file,
        path => path,
    }
}

fn text(backups: &[v1::KnownBackup], looks: &[Look]) -> String {
    let now = clock::now();
    let mut table = Table::new(["BACKUP", "MADE", "FILE", "OPENS", "STATE", "HOLDS"]);
    let mut notes = String::new();
    for (backup, look) in backups.iter().zip(looks) {
        let style = match look {
            Look::Present => GOOD,
            Look::Gone => DIM,
            Look::Changed(_) | Look::NotChecked(_) => WARN,
        };
        let opens = match backup.portable {
            true => "anywhere, with its passphrase",
            false => "here only",
        };
        table.row([
            Cell::new(&backup.id),
            human(backup.made_at.as_ref(), now).into(),
            Cell::new(file(backup)),
            opens.into(),
            Cell::new(look.as_str()).style(style),
            holds(backup).into(),
        ]);
        if let Some(why) = look.why() {
            let (id, word) = (&backup.id, look.as_str());
            notes.push_str(&format!("{} {word}: {}\n", escape(id), escape(why)));
        }
        if *look == Look::Gone {
            notes.push_str(&format!(
                "{} is gone from there; if no copy is left either: bascule backup forget {0}\n",
                escape(&backup.id)
            ));
        }
        for held in deleted(backup).filter(|_| *look == Look::Present) {
            notes.push_str(&format!(
                "{} {} still holds {}, which is deleted ({}); destroy its file and all copies where that matters\n",
                styled(BAD, "note:"),
                escape(&backup.id),
                escape(&held.name),
                escape(&held.deletion_id)
            ));
        }
    }
    let table = table.render();
    match notes.is_empty() {
        true => table,
        false => format!("{table}\n{notes}"),
    }
}

fn deleted(backup: &v1::KnownBackup) -> impl Iterator<Item = &v1::HeldConnection> {
    backup
        .holds
        .iter()
        .filter(|held| held.standing() == v1::HeldStanding::Deleted)
}

fn holds(backup: &v1::KnownBackup) -> String {
    let held = backup.holds.iter().map(|held| match held.standing() {
        v1::HeldStanding::Living => held.name.clone(),
        v1::HeldStanding::BeingDeleted => format!("{} (being deleted)", held.name),
        v1::HeldStanding::Deleted => format!("{} (deleted)", held.name),
        v1::HeldStanding::Unspecified => held.id.clone(),
    });
    match held.collect::<Vec<_>>() {
        held if held.is_empty() => "no connection".to_owned(),
        held => held.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> v1::KnownBackup {
        let held = |name: &str, standing: v1::HeldStanding| v1::HeldConnection {
            id: "conn_x".into(),
            name: name.into(),
            standing: standing.into(),
            deletion_id: "del_x".into(),
        };
        v1::KnownBackup {
            id: "bak_x".into(),
            file: "a.backup".into(),
            path: "/mnt/a\u{1b}.backup".into(),
            holds: vec![
                held("photos", v1::HeldStanding::Deleted),
                held("videos", v1::HeldStanding::Living),
            ],
            ..v1::KnownBackup::default()
        }
    }

    #[test]
    fn a_listing_tells_what_is_held_and_what_was_not_looked_at() {
        let shown = |look: Look| {
            let text = text(&[backup()], &[look]);
            anstream::adapter::strip_str(&text).to_string()
        };
        let present = shown(Look::Present);
        assert!(present.contains("/mnt/a\\u{1b}.backup"), "{present}");
        assert!(present.contains("photos (deleted), videos"), "{present}");
        let note = "bak_x still holds photos, which is deleted (del_x)";
        assert!(present.contains(note), "{present}");
        let gone = shown(Look::Gone);
        assert!(gone.contains("bascule backup forget bak_x"), "{gone}");
        assert!(!gone.contains("still holds"), "{gone}");
        let unknown = shown(Look::NotChecked("its folder is not there".into()));
        let note = "bak_x not checked: its folder is not there";
        assert!(unknown.contains(note), "{unknown}");
    }
}
