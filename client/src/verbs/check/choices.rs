//! `bascule check` without an argument: what could be asked about. Nothing is sent.

use std::io::{self, IsTerminal};

use bascule_formats::shell_word;
use bascule_watch::{Use, scan};

use super::{Context, look, machine};
use crate::{
    credentials,
    error::{Error, Kind},
    exit::Exit,
    output::text::{DIM, HEAD, escape, styled},
};

/// More than that nobody reads.
const MOST: usize = 30;

/// Explains and lists on a terminal; elsewhere something is missing.
pub(super) async fn show(context: &Context) -> Result<Exit, Error> {
    if context.output.is_json() || !credentials::can_ask() || !io::stdout().is_terminal() {
        let message = "check needs a key: ACCESS_KEY_ID, rclone:REMOTE, aws:PROFILE, or --all";
        return Err(Error::new(Kind::Invalid, message).next("bascule check --all"));
    }
    let machine = machine();
    let picture = look(move || scan::known(&machine, scan::Scope::FILES)).await?;
    let mut choices: Vec<(String, String)> = Vec::new();
    for found in &picture.uses {
        let name = name(found);
        if !choices.iter().any(|(known, _)| *known == name) {
            choices.push((name, found.key.id.masked()));
        }
    }
    let mut text = String::from(
        "bascule check asks the server of a key whether the key still works. Nothing is sent before you agree.\n\n",
    );
    for (name, key) in choices.iter().take(MOST) {
        text.push_str(&format!(
            "  {}  {}\n",
            styled(HEAD, &format!("bascule check {}", escape(name))),
            styled(DIM, &escape(key))
        ));
    }
    if choices.len() > MOST {
        text.push_str(&format!(
            "  and {} more: bascule scan\n",
            choices.len() - MOST
        ));
    }
    text.push_str(&format!(
        "  {}  {}\n",
        styled(HEAD, "bascule check --all"),
        styled(DIM, "every key that is found on this machine")
    ));
    context.output.raw(&text)?;
    Ok(Exit::Ok)
}

/// What a person calls it: the tool's own name for the first entry of the chain, else the id.
fn name(found: &Use) -> String {
    let first = found.chain.first().map_or("", |link| link.name.as_str());
    let named = match &*found.kind {
        "rclone" => first
            .split_once(": (")
            .map(|(remote, _)| format!("rclone:{remote}")),
        "aws" => first
            .strip_prefix("profile ")
            .map(|profile| format!("aws:{profile}")),
        _ => None,
    };
    let named = named.map(|name| shell_word(&name).to_string());
    named.unwrap_or_else(|| found.key.id.masked())
}
