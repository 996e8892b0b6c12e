//! How a rotation stands: which of its keys are used, and when and why the old one dies.

use std::collections::BTreeMap;

use bascule_domain::{
    SignedDuration, Timestamp,
    ids::KeyId,
    key::Key,
    moment::span,
    rotation::{Basis, Rotation},
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_gateway::KeyUse;
use bascule_store::ledger::{By, Group, Process, Query};
use bascule_watch::Use;

use super::{
    super::{
        App, KeyView,
        error::{Error, Result},
    },
    evidence::LastUse,
};

/// Places that were not looked at and are named.
const GAPS: usize = 3;

/// The old key.
pub(crate) enum Former {
    /// It still works.
    Retiring(KeyView),
    /// It is dead.
    Dead(Tombstone),
}

/// A tool, a process or an address, and which key it uses.
pub(crate) struct Consumer {
    /// As it says itself, as the system names it, or an IP address.
    pub name: String,
    pub last_with_old: Option<Timestamp>,
    pub last_with_successor: Option<Timestamp>,
    pub first_with_successor: Option<Timestamp>,
}

/// A rotation as it is shown.
pub(crate) struct Report {
    pub old: Former,
    /// The key that took its place, if that lives.
    pub successor: Option<KeyView>,
    pub rotation: Option<Rotation>,
    /// Uses are counted from then on.
    pub counted_since: Timestamp,
    pub old_use: KeyUse,
    pub successor_use: KeyUse,
    /// Since when the old key is silent, as far as that was watched.
    pub silent_since: Option<Timestamp>,
    /// Who uses the keys since then, as far as it was recorded.
    pub consumers: Vec<Consumer>,
    /// What was seen on this machine that leads to one of the keys; `true`: to the old one.
    pub holders: Vec<(bool, Use)>,
    /// When that was looked at.
    pub looked_at: Option<Timestamp>,
    /// What could not be told.
    pub not_known: Vec<String>,
    /// What to do next, a command each.
    pub next: Vec<String>,
}

impl App {
    pub(super) fn report(&self, old: KeyId) -> Result<Report> {
        let mut report = match self.registry.key_by_id(old) {
            Some(key) => self.report_running(key)?,
            None => {
                let tombstone = self
                    .grave(old)
                    .ok_or_else(|| Error::no_key(&old.to_string()))?;
                self.report_dead(tombstone)
            }
        };
        self.add_holders(old, &mut report);
        Ok(report)
    }

    /// Adds what the watcher saw of the two keys, and what it could not look at.
    fn add_holders(&self, old: KeyId, report: &mut Report) {
        let (of_old, looked_at) = self.consumers.holders(old);
        let successor = report.successor.as_ref().map(|view| view.key.id);
        let of_new = successor.map(|key| self.consumers.holders(key).0);
        let of_old = of_old.into_iter().map(|found| (true, found));
        let of_new = of_new.into_iter().flatten().map(|found| (false, found));
        report.holders = of_old.chain(of_new).collect();
        report.looked_at = looked_at;
        let gaps = self.consumers.not_checked();
        let told = gaps.iter().take(GAPS);
        let told = told.map(|gap| format!("which key is held where this was not looked at: {gap}"));
        report.not_known.extend(told);
        if let Some(more @ 1..) = gaps.len().checked_sub(GAPS) {
            report.not_known.push(format!(
                "which key is held at {more} more places that were not looked at: bascule findings"
            ));
        }
    }

    fn report_running(&self, old: Key) -> Result<Report> {
        let entry = self.entry_of(&old)?;
        let Some(running) = entry.rotations.get(&old.id) else {
            return Err(super::not_rotating(&old));
        };
        let rotation = running.rotation.clone();
        let successor = self.registry.key_by_id(rotation.successor);
        let mut old_use = self.key_use(&old);
        old_use.requests = old_use.requests.saturating_sub(running.counted_before);
        let successor_use = successor.as_ref().map(|key| self.key_use(key));
        let id = &old.access_key_id;
        let mut next = vec![format!("end it now: bascule key rotation {id} --end")];
        let mut not_known = Vec::new();
        if running.counted_since == self.started_at && rotation.began_at < self.started_at {
            not_known.push(format!(
                "how many uses there were before {:.0}, when the daemon was started again",
                self.started_at
            ));
        }
        let last_use = successor.as_ref().map(|key| self.last_use(key));
        if matches!(last_use, Some(LastUse::NotKnown)) {
            not_known.push("whether the new key was used before that".into());
        }
        if matches!(last_use, Some(LastUse::Never)) {
            next.push(format!(
                "if the new key's secret never arrived: bascule key rotate {id} --again"
            ));
            next.push(format!("call it off: bascule key rotation {id} --cancel"));
        }
        if rotation.parked.is_some() {
            next.insert(
                0,
                format!("once the clock is right: bascule key rotation {id} --go-on"),
            );
        }
        let name = entry.connection.name.as_str();
        let silent_since = rotation.silent_since(&self.evidence(&old));
        Ok(Report {
            counted_since: running.counted_since,
            old_use,
            successor_use: successor_use.unwrap_or_default(),
            silent_since: Some(silent_since),
            consumers: Vec::new(),
            holders: Vec::new(),
            looked_at: None,
            not_known,
            successor: successor.map(|key| self.key_view(key, name)),
            old: Former::Retiring(self.key_view(old, name)),
            rotation: Some(rotation),
            next,
        })
    }

    fn report_dead(&self, tombstone: Tombstone) -> Report {
        let successor = self.heir(&tombstone);
        let successor_use = successor.as_ref().map(|key| self.key_use(key));
        let next = match &successor {
            Some(key) if matches!(self.last_use(key), LastUse::Never) => vec![format!(
                "if the new key's secret never arrived: bascule key rotate {} --now",
                key.access_key_id
            )],
            Some(_) => vec!["see whether anything still uses the old key: bascule findings".into()],
            None => Vec::new(),
        };
        Report {
            successor: successor.map(|key| self.viewed(key, &tombstone)),
            rotation: None,
            counted_since: self.started_at,
            old_use: KeyUse::default(),
            successor_use: successor_use.unwrap_or_default(),
            silent_since: None,
            consumers: Vec::new(),
            holders: Vec::new(),
            looked_at: None,
            not_known: Vec::new(),
            old: Former::Dead(tombstone),
            next,
        }
    }

    /// Rotations that wait for somebody to look at the clock, each in words.
    pub(crate) fn parked_rotations(&self) -> Vec<String> {
        self.all_rotations()
            .into_iter()
            .filter(|running| running.rotation.parked.is_some())
            .filter_map(|running| {
                let report = self.report(running.rotation.old).ok()?;
                let Former::Retiring(KeyView { key: old, .. }) = &report.old else {
                    return None;
                };
                Some(format!(
                    "the rotation of {} is parked: {}; see: bascule key rotation {}",
                    old.access_key_id,
                    report.parked_words(),
                    old.access_key_id
                ))
            })
            .collect()
    }

    /// A key under the name that its connection has now.
    fn viewed(&self, key: Key, dead: &Tombstone) -> KeyView {
        let name = self.connection_name(&key);
        let name = name.unwrap_or_else(|_| dead.connection_name.to_string());
        self.key_view(key, &name)
    }

    fn key_use(&self, key: &Key) -> KeyUse {
        self.keyring.key_use(&key.access_key_id).unwrap_or_default()
    }

    /// Adds which tools, processes and addresses use which of the two keys.
    pub(super) async fn add_consumers(&self, report: &mut Report) {
        let (Some(rotation), Former::Retiring(old)) = (&report.rotation, &report.old) else {
            return;
        };
        let Some(successor) = &report.successor else {
            return;
        };
        let (began_at, keys) = (rotation.began_at, [old.key.clone(), successor.key.clone()]);
        let mut consumers: BTreeMap<String, Consumer> = BTreeMap::new();
        for by in [By::Tool, By::Process, By::Address] {
            let query = Query {
                keys: keys
                    .iter()
                    .map(|key| (key.id, key.connection, key.issued_at))
                    .collect(),
                from: began_at,
                to: self.clock.now().max(began_at),
                by,
                cells: 1,
            };
            let Ok(seen) = self.recorded(move |ledger| ledger.report(query)).await else {
                report
                    .not_known
                    .push("which tools and addresses use the keys: uses are not recorded".into());
                return;
            };
            // The ledger's period begins with the hour.
            for row in seen.rows.iter().filter(|row| row.last >= began_at) {
                let name = match &row.group {
                    Group::Tool(tool) | Group::Client { tool, .. } => tool.clone(),
                    Group::Address(address) => address.to_string(),
                    Group::Process(process) => match process.as_ref().and_then(process_name) {
                        Some(name) => name,
                        None => continue,
                    },
                    Group::Other | Group::Erased | Group::Key => "others".to_owned(),
                };
                let consumer = consumers.entry(name.clone()).or_insert(Consumer {
                    name,
                    last_with_old: None,
                    last_with_successor: None,
                    first_with_successor: None,
                });
                let last = if row.key == keys[0].id {
                    &mut consumer.last_with_old
                } else {
                    let first = &mut consumer.first_with_successor;
                    *first = Some(first.map_or(row.first, |first| first.min(row.first)));
                    &mut consumer.last_with_successor
                };
                *last = (*last).max(Some(row.last));
            }
        }
        report.consumers = consumers.into_values().collect();
    }
}

/// The shortest name that tells it from others.
pub(crate) fn process_name(process: &Process) -> Option<String> {
    let names = [&process.unit, &process.container, &process.command];
    let mut names = names.into_iter().chain([&process.exe]);
    names.find_map(Clone::clone)
}

impl Report {
    /// Why the grace is as long as it is.
    pub(crate) fn grace_words(&self) -> String {
        let Some(rotation) = &self.rotation else {
            return String::new();
        };
        match rotation.grace.basis {
            Basis::Asked => "as asked for".into(),
            Basis::Interval { longest } => format!(
                "twice the longest interval seen between uses ({}), at least a day",
                span(longest)
            ),
            Basis::TooBrief => {
                "the key was seen too briefly to tell how often it is used; a user that comes more seldom is cut off: --grace gives it longer"
                    .into()
            }
        }
    }

    /// Why it is parked; empty when it is not.
    pub(crate) fn parked_words(&self) -> String {
        let parked = self.rotation.as_ref().and_then(|rotation| rotation.parked);
        parked.map_or_else(String::new, |parked| {
            if parked.across_a_reboot {
                format!(
                    "the clock was {} behind when the machine had started again",
                    span(parked.jump.abs())
                )
            } else {
                format!("the clock jumped by {}", jump(parked.jump))
            }
        })
    }

    /// Why the old key is dead; empty while it lives.
    pub(crate) fn ended_words(&self) -> String {
        match &self.old {
            Former::Retiring(_) => String::new(),
            Former::Dead(tombstone) => match tombstone.cause {
                CauseOfDeath::Rotated { ending, .. } => ending.as_str().into(),
                CauseOfDeath::Revoked => "it was revoked".into(),
                CauseOfDeath::CalledOff { .. } => "its rotation was called off".into(),
                CauseOfDeath::ConnectionDeleted { .. } => "its connection was deleted".into(),
            },
        }
    }
}

/// `+1 d`, `-2 h 5 min`.
pub(crate) fn jump(by: SignedDuration) -> String {
    let sign = if by.is_negative() { '-' } else { '+' };
    format!("{sign}{}", span(by.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_told_with_its_direction() {
        assert_eq!(jump(SignedDuration::from_millis(-86_399_999)), "-1 d");
        assert_eq!(jump(SignedDuration::from_secs(86_400)), "+1 d");
    }
}
