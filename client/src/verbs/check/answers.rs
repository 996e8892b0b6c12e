//! What the servers answered: a line for a single key, a table for several, one document for
//! programs, and the exit code.

use std::path::Path;

use bascule_adapters::{Health, Obstacle};
use bascule_watch::Gap;
use clap::builder::styling::Style;
use serde::Serialize;

use super::{Asked, subject::Subject};
use crate::{
    error::Error,
    exit::Exit,
    output::{
        Output,
        table::{Cell, Table},
        text::{BAD, GOOD, NEXT, WARN, count, escape, styled},
        uses::{self, GapDocument, PlaceDocument},
    },
};

#[derive(Serialize)]
struct Document {
    checked: Vec<KeyDocument>,
    not_checked: Vec<GapDocument>,
}

/// A key at a server.
#[derive(Serialize)]
struct KeyDocument {
    /// Masked.
    key: String,
    /// alive, dead, wrong-secret, denied, unreachable, unknown
    health: &'static str,
    /// Of `unreachable`: dns, connect, tls or timeout.
    obstacle: Option<&'static str>,
    meaning: String,
    server: Option<String>,
    /// The bucket that was asked for, if the configuration names one.
    bucket: Option<String>,
    /// Whether the server was asked.
    asked: bool,
    places: Vec<PlaceDocument>,
    next: Option<String>,
    #[serde(skip)]
    style: Style,
}

/// Prints it and says with which code to exit.
pub(super) fn tell(
    asked: &Asked,
    subjects: &[Subject],
    healths: &[Health],
    gaps: &[Gap],
    home: Option<&Path>,
    output: Output,
) -> Result<Exit, Error> {
    let document = Document {
        checked: subjects
            .iter()
            .zip(healths)
            .map(|(subject, health)| KeyDocument::of(subject, health, home))
            .collect(),
        not_checked: gaps.iter().map(Into::into).collect(),
    };
    output.result(&document, || match (asked, &document.checked[..]) {
        (Asked::One(reference), [key]) => key.line(&reference.to_string(), home),
        (_, keys) => table(keys, home),
    })?;
    if !output.is_json() {
        output.stderr(&document.remarks(home));
    }
    Ok(exit(healths, gaps))
}

/// A key that does not work counts before one that nobody could tell about.
fn exit(healths: &[Health], gaps: &[Gap]) -> Exit {
    let broken = |health: &Health| matches!(health, Health::Dead | Health::WrongSecret);
    let open = |health: &Health| matches!(health, Health::Unreachable(_) | Health::Unknown(_));
    if healths.iter().any(broken) {
        Exit::Findings
    } else if healths.iter().any(open) || !gaps.is_empty() {
        Exit::Incomplete
    } else {
        Exit::Ok
    }
}

impl Document {
    /// What to do, and what was not looked at.
    fn remarks(&self, home: Option<&Path>) -> String {
        let mut text = String::new();
        for key in &self.checked {
            if let Some(next) = &key.next {
                let whose = match self.checked.len() {
                    1 => String::new(),
                    _ => format!("{}: ", escape(&key.key)),
                };
                text.push_str(&format!(
                    "{} {whose}{}\n",
                    styled(NEXT, "next:"),
                    escape(next)
                ));
            }
        }
        text.push_str(&uses::render_gaps(&self.not_checked, home));
        text
    }
}

impl KeyDocument {
    fn of(subject: &Subject, health: &Health, home: Option<&Path>) -> Self {
        let places: Vec<PlaceDocument> = subject.places.iter().map(Into::into).collect();
        let stands = stands(&places, home);
        Self {
            key: subject.id.masked(),
            health: health.as_str(),
            obstacle: match health {
                Health::Unreachable(obstacle) => Some(obstacle_word(*obstacle)),
                _ => None,
            },
            meaning: meaning(health),
            server: subject.endpoint().map(ToString::to_string),
            bucket: subject.bucket.as_ref().map(ToString::to_string),
            asked: subject.asks().is_some(),
            next: next(health, &subject.id.masked(), &stands),
            style: match health {
                Health::Alive { lacks: None } => GOOD,
                Health::Dead | Health::WrongSecret => BAD,
                _ => WARN,
            },
            places,
        }
    }

    fn told(&self) -> String {
        self.health.replace('-', " ")
    }

    /// One line for a single key.
    fn line(&self, name: &str, home: Option<&Path>) -> String {
        let at = self.server.as_deref().unwrap_or("no server");
        format!(
            "{}: {}: {} ({} at {}, {})\n",
            escape(name),
            styled(self.style, &self.told()),
            escape(&self.meaning),
            escape(&self.key),
            escape(at),
            escape(&stands(&self.places, home))
        )
    }
}

fn table(keys: &[KeyDocument], home: Option<&Path>) -> String {
    if keys.is_empty() {
        return "no key was found\n".to_owned();
    }
    let mut table = Table::new(["KEY", "HEALTH", "SERVER", "STANDS AT", "MEANING"]);
    for key in keys {
        table.row([
            key.key.as_str().into(),
            Cell::new(key.told()).style(key.style),
            key.server.as_deref().unwrap_or("-").into(),
            stands(&key.places, home).into(),
            key.meaning.as_str().into(),
        ]);
    }
    table.render()
}

/// Where a key stands: the first place, and how many more there are.
fn stands(places: &[PlaceDocument], home: Option<&Path>) -> String {
    let first = places
        .first()
        .map(|place| uses::place(place, home))
        .unwrap_or_default();
    match places.len() {
        0 | 1 => first,
        n => format!("{first} and {}", count(n as u64 - 1, "more place")),
    }
}

fn meaning(health: &Health) -> String {
    match health {
        Health::Alive { lacks: None } => "the server takes the key".into(),
        Health::Alive {
            lacks: Some(bucket),
        } => {
            format!("the server takes the key, and has no bucket {bucket}")
        }
        Health::Dead => "the server does not know the key, or it is disabled".into(),
        Health::WrongSecret => "the secret is not the one of this key".into(),
        Health::Denied => {
            "the server refuses the listing; a key with limited rights may work all the same".into()
        }
        Health::Unreachable(Obstacle::Dns) => "the server's name has no address".into(),
        Health::Unreachable(Obstacle::Connect) => "nothing accepts connections there".into(),
        Health::Unreachable(Obstacle::Tls) => "no trusted TLS connection".into(),
        Health::Unreachable(Obstacle::Timeout) => "the server does not answer in time".into(),
        Health::Unknown(why) => why.clone(),
    }
}

const fn obstacle_word(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Dns => "dns",
        Obstacle::Connect => "connect",
        Obstacle::Tls => "tls",
        Obstacle::Timeout => "timeout",
    }
}

/// What to do about it.
fn next(health: &Health, key: &str, stands: &str) -> Option<String> {
    Some(match health {
        Health::Alive { lacks: None } => return None,
        Health::Alive { lacks: Some(_) } => {
            format!("correct the bucket that is used with {stands}")
        }
        Health::Dead => format!("see what stops working: bascule who {key}"),
        Health::WrongSecret => format!("correct the secret beside {stands}"),
        Health::Denied => "look at what the key may do, at its provider".into(),
        Health::Unreachable(Obstacle::Dns) => {
            format!(
                "check the endpoint that belongs to {stands}, and this machine's name resolution"
            )
        }
        Health::Unreachable(Obstacle::Tls) => {
            format!("check the endpoint that belongs to {stands}, and whose certificate it shows")
        }
        Health::Unreachable(_) => {
            format!("check the endpoint that belongs to {stands}, and that the server runs")
        }
        Health::Unknown(_) => format!("look at {stands}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_held_back_by_a_key_that_does_not_work_and_not_by_one_with_limited_rights() {
        let alive = Health::Alive { lacks: None };
        let unknown = Health::Unknown("503".into());
        let unreachable = Health::Unreachable(Obstacle::Dns);
        for (healths, expected) in [
            (vec![], Exit::Ok),
            (vec![alive.clone(), Health::Denied], Exit::Ok),
            (vec![alive.clone(), unknown.clone()], Exit::Incomplete),
            (vec![unreachable.clone()], Exit::Incomplete),
            (vec![unknown, Health::Dead, alive], Exit::Findings),
            (vec![unreachable, Health::WrongSecret], Exit::Findings),
        ] {
            assert_eq!(exit(&healths, &[]), expected, "{healths:?}");
        }
    }

    #[test]
    fn what_was_not_looked_at_is_never_fine() {
        let gap = Gap {
            chain: Vec::new(),
            what: "rclone.conf".into(),
            why: "it is encrypted".into(),
            remedy: String::new(),
        };
        let alive = [Health::Alive { lacks: None }];
        assert_eq!(exit(&alive, &[gap]), Exit::Incomplete);
    }
}
