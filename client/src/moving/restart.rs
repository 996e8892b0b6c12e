//! Processes that took a key before it was replaced: they go on with the old one until they start anew.

use std::{collections::BTreeSet, process::Command};

use bascule_watch::{LinkKind, Rank, adopt::Consumer};
use serde::Serialize;

use crate::output::{
    Output,
    text::{NEXT, escape, styled},
};

/// Something that has to start anew, and the command for it.
#[derive(Debug, Clone, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Restart {
    /// What runs: a unit, or a process.
    pub(crate) what: String,
    /// What restarts it.
    pub(crate) command: String,
    /// Whether --restart does it: it is a unit of the user's own.
    #[serde(skip)]
    by_us: Option<Vec<String>>,
}

/// What still runs with the consumer's former key, and what has to be told that its unit has changed.
pub(crate) fn needed(consumer: &Consumer, changed: &[std::path::PathBuf]) -> Vec<Restart> {
    let mut all = BTreeSet::new();
    let root = bascule_os::effective_uid() == 0;
    let manager = |user: bool| {
        if user {
            vec!["--user".to_owned()]
        } else {
            Vec::new()
        }
    };
    let is_unit = |path: &&std::path::PathBuf| {
        let ends = ["service", "timer", "mount", "conf"];
        path.extension()
            .is_some_and(|end| ends.iter().any(|known| end == *known))
            && path.components().any(|part| part.as_os_str() == "systemd")
    };
    if let Some(path) = changed.iter().find(is_unit) {
        let user = path.components().any(|part| part.as_os_str() == "user");
        all.insert(systemctl(
            &manager(user),
            &["daemon-reload"],
            "systemd",
            user || root,
        ));
    }
    for found in consumer
        .uses
        .iter()
        .filter(|found| found.rank == Rank::Process)
    {
        let link = |kind: LinkKind| found.chain.iter().find(|link| link.kind == kind);
        let process = link(LinkKind::Process).map_or("a process", |link| link.name.as_str());
        match link(LinkKind::Unit) {
            Some(unit) if unit.name.ends_with(".service") => {
                let user = found.user.is_none() && !root;
                all.insert(systemctl(
                    &manager(user),
                    &["restart", &unit.name],
                    &unit.name,
                    user || root,
                ));
            }
            _ => {
                all.insert(Restart {
                    what: process.to_owned(),
                    command: "start it anew".to_owned(),
                    by_us: None,
                });
            }
        }
    }
    all.into_iter().collect()
}

fn systemctl(manager: &[String], words: &[&str], what: &str, ours: bool) -> Restart {
    let arguments: Vec<String> = manager
        .iter()
        .cloned()
        .chain(words.iter().map(|word| (*word).to_owned()))
        .collect();
    Restart {
        what: what.to_owned(),
        command: format!("systemctl {}", arguments.join(" ")),
        by_us: ours.then_some(arguments),
    }
}

/// Says what goes on with what it read before, and until when.
pub(crate) fn tell(needed: &[Restart], output: Output) {
    for restart in needed {
        let told = format!(
            "{} goes on with what it read before until: {}",
            restart.what, restart.command
        );
        output.status(&format!("  {} {}", styled(NEXT, "→"), escape(&told)));
    }
}

/// Restarts what may be restarted, and returns what is left to do, with the reason.
pub(crate) fn perform(needed: Vec<Restart>) -> Vec<Restart> {
    let mut left = Vec::new();
    for mut restart in needed {
        let Some(arguments) = &restart.by_us else {
            left.push(restart);
            continue;
        };
        let failure = match Command::new("systemctl").args(arguments).output() {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        restart.what = format!("{} ({failure})", restart.what);
        left.push(restart);
    }
    left
}
