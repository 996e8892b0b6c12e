//! `bascule who`: what stops working if a key goes? Works without a daemon.

use std::collections::BTreeSet;

use bascule_watch::{
    reference::{self, Reference},
    scan::{self, Scope},
};
use clap::Args;
use serde::Serialize;

use super::{
    Context,
    scan::{judged, look, machine},
};
use crate::{
    clock,
    error::{Error, Kind},
    exit::Exit,
    output::{
        text::{HEAD, count, escape, styled},
        uses::{self, GapDocument, KeyDocument, UseDocument},
    },
};

/// Tell what stops working if a key goes
///
/// Name the key by its id (the last four characters may do), or by what a tool calls it. Every
/// job, process and configuration that leads to the same key is listed, those that matter most first.
///
/// Examples:
///   bascule who AKIAIOSFODNN7EXAMPLE
///   bascule who rclone:r2
///   bascule who aws:work
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// ACCESS_KEY_ID, rclone:REMOTE or aws:PROFILE
    #[arg(value_name = "KEY")]
    key: String,
}

#[derive(Serialize)]
struct Document {
    asked: String,
    keys: Vec<KeyDocument>,
    not_checked: Vec<GapDocument>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let asked: Reference = arguments.key.parse().map_err(|error| {
        Error::new(Kind::Invalid, format!("{:?} is {error}", arguments.key)).next("bascule scan")
    })?;
    let machine = machine();
    let home = machine.user.home.clone();
    let (mut picture, named) = {
        let asked = asked.clone();
        look(move || {
            let picture = scan::known(&machine, Scope::OWN);
            let named = match &asked {
                Reference::Id(shown) => reference::among(shown, &picture),
                Reference::Rclone(_) | Reference::Aws(_) => reference::resolve(&asked, &machine),
            };
            (picture, named)
        })
        .await?
    };
    let ids: BTreeSet<_> = named.uses.iter().map(|found| &found.key.id).collect();
    if ids.is_empty() {
        let why = match (&asked, named.gaps.first()) {
            (Reference::Rclone(_) | Reference::Aws(_), Some(gap)) => {
                format!("{asked} leads to no key: {}", gap.why)
            }
            (Reference::Id(_), Some(_)) => format!(
                "no use of {asked} is known on this machine, and {} could not be looked at",
                count(named.gaps.len() as u64, "place")
            ),
            (_, None) => format!("no use of {asked} is known on this machine"),
        };
        let error = Error::new(Kind::NotFound, why);
        return Err(error.next("see every key: bascule scan; search further: bascule scan PATH"));
    }
    picture.uses.retain(|found| ids.contains(&found.key.id));
    // What is asked for may stand in no configuration, such as a connection string.
    picture.uses.extend(named.uses.iter().cloned());
    picture.settle();
    let states = judged(&picture.uses, context).await.unwrap_or_default();
    let document = Document {
        asked: asked.to_string(),
        keys: uses::by_key(&picture.uses, &states),
        not_checked: picture.gaps.iter().map(Into::into).collect(),
    };
    context.output.result(&document, || {
        let now = clock::now();
        let mut text = String::new();
        for key in &document.keys {
            let effective = |found: &&UseDocument| found.standing == "effective";
            let effective: Vec<_> = key.uses.iter().filter(effective).collect();
            text.push_str(&format!(
                "{} {}\n",
                styled(
                    HEAD,
                    &format!("If {} goes, this stops working:", escape(&key.key))
                ),
                uses::stops(&effective, now)
            ));
            text.push_str(&uses::render(key, home.as_deref(), now));
            text.push('\n');
        }
        if !document.not_checked.is_empty() {
            text.push_str(&uses::render_gaps(&document.not_checked, home.as_deref()));
            let gaps = count(document.not_checked.len() as u64, "place");
            text.push_str(&format!(
                "There may be more: {gaps} could not be looked at.\n"
            ));
        }
        text
    })?;
    Ok(if document.keys.iter().any(|key| key.finding) {
        Exit::Findings
    } else if document.not_checked.is_empty() {
        Exit::Ok
    } else {
        Exit::Incomplete
    })
}
