//! `bascule backup forget`: takes a backup that does not exist any more off the record.

use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{
    Context, list,
    look::{self, Look},
};
use crate::{
    channel::quoted,
    error::{Error, Kind},
    exit::Exit,
    output::text::{GOOD, escape, styled},
    verbs::audit::Why,
};

/// Take a backup that does not exist any more off the record
///
/// Receipts of later deletions do not name it then; those that are written stay as they are. It is
/// refused while the file is where it was written. Where that can't be looked at, --yes says that the
/// backup and all its copies are destroyed.
///
/// Examples:
///   bascule backup forget bak_aaaaaaaaaaaaaaaa
///   bascule backup forget bak_aaaaaaaaaaaaaaaa --yes --reason "the drive was shredded"
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// The backup's id
    id: String,
    /// It is destroyed, although its place can't be looked at
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    why: Why,
}

#[derive(Serialize)]
struct Document {
    forgotten: Forgotten,
}

#[derive(Serialize)]
struct Forgotten {
    id: String,
    /// `gone`, `changed` or `not-checked`.
    state: String,
    why: Option<String>,
}

pub(super) async fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let client = context.client().await?;
    let id = &arguments.id;
    let backups = list::on_record(&client).await?;
    let Some(backup) = backups.into_iter().find(|backup| backup.id == *id) else {
        let message = format!("no backup {id} is on record here");
        return Err(Error::new(Kind::NotFound, message).next("bascule backup list"));
    };
    let look = look::look_for(std::slice::from_ref(&backup)).remove(0);
    let refused =
        |message: String, next: String| Err(Error::new(Kind::Refused, message).next(next));
    match &look {
        Look::Present => {
            let path = quoted(list::file(&backup).as_ref());
            return refused(
                format!("{path} is still there, so receipts go on naming it"),
                format!("if it should not be: rm {path} && bascule backup forget {id}"),
            );
        }
        Look::NotChecked(why) if !arguments.yes => {
            return refused(
                format!("it is not known whether {id} still exists: {why}"),
                format!("if it and all its copies are destroyed: bascule backup forget {id} --yes"),
            );
        }
        Look::Gone | Look::Changed(_) | Look::NotChecked(_) => {}
    }
    let request = v1::ForgetBackupRequest {
        id: id.clone(),
        found: look.found().into(),
        reason: arguments.why.text(),
    };
    client.system().forget_backup(request).await?;
    let document = Document {
        forgotten: Forgotten {
            id: id.clone(),
            state: look.as_str().replace(' ', "-"),
            why: look.why().map(ToOwned::to_owned),
        },
    };
    context.output.result(&document, || {
        format!(
            "{} {}; a copy of it, if there is one, still opens\n",
            styled(GOOD, "forgot"),
            escape(id)
        )
    })?;
    Ok(Exit::Ok)
}
