//! The checklist of a deletion: its boxes, what was seen of each, and which of them stand in the way.
//! A box that does not apply is not asked for; one that could not be told is never taken for met.

mod shown;
mod sight;

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

pub use self::{
    shown::Shown,
    sight::{Client, Consumer, KeyRecord, Sight},
};
use crate::moment::span;

macro_rules! boxes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// One box of the checklist. The names are fixed for scripts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum CheckBox {
            $($(#[$doc])* $name,)*
        }

        impl CheckBox {
            /// All boxes, machine-checked ones first.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name on the command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

boxes! {
    /// Everybody who used the connection's keys is known.
    ConsumersKnown = "consumers-known";
    /// No key was used for a while.
    Quiet = "quiet";
    /// No job, process or configuration holds a key of it any more.
    JobsMoved = "jobs-moved";
    /// Nothing reaches the buckets directly with the provider's key.
    NoBypass = "no-bypass";
    /// No transfer through the gateway is open.
    NoOpenTransfers = "no-open-transfers";
    /// The buckets can be surveyed before the keys die.
    SurveyComplete = "survey-complete";
    /// The reconnect card was handed out.
    CardExported = "card-exported";
    /// The people concerned were told.
    PeopleTold = "people-told";
    /// Somebody can still log in at the provider.
    ProviderLogin = "provider-login";
    /// What is written here goes elsewhere too.
    BackupElsewhere = "backup-elsewhere";
    /// Rotating, restricting, pausing and renaming were considered.
    AlternativesRejected = "alternatives-rejected";
    /// The connection's name was typed.
    NameTyped = "name-typed";
}

impl fmt::Display for CheckBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no box.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown box {0:?}; the boxes are {list}", list = CheckBox::ALL.iter().map(|b| b.as_str()).collect::<Vec<_>>().join(", "))]
pub struct UnknownBox(pub String);

impl FromStr for CheckBox {
    type Err = UnknownBox;

    fn from_str(text: &str) -> Result<Self, UnknownBox> {
        Self::ALL
            .iter()
            .copied()
            .find(|b| b.as_str() == text)
            .ok_or_else(|| UnknownBox(text.into()))
    }
}

impl CheckBox {
    /// Whether a scream test answers it: it is about who uses the keys, or about later.
    #[must_use]
    pub const fn is_answered_by_silence(self) -> bool {
        match self {
            Self::ConsumersKnown
            | Self::Quiet
            | Self::JobsMoved
            | Self::SurveyComplete
            | Self::PeopleTold
            | Self::BackupElsewhere
            | Self::AlternativesRejected => true,
            Self::NoBypass
            | Self::NoOpenTransfers
            | Self::CardExported
            | Self::ProviderLogin
            | Self::NameTyped => false,
        }
    }
}

/// How a deletion begins, which decides what stands in its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Everything that applies.
    Checked,
    /// A scream test begins: what silence answers is not asked for.
    Scream,
    /// It does not wait: the name is asked for, and nothing else.
    Emergency,
}

impl Manner {
    /// Whether a box that is not met stands in the way.
    #[must_use]
    pub const fn asks_for(self, name: CheckBox) -> bool {
        match self {
            Self::Checked => true,
            Self::Scream => !name.is_answered_by_silence(),
            Self::Emergency => matches!(name, CheckBox::NameTyped),
        }
    }
}

/// Whether a box is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Checked and met, or vouched for.
    Met,
    /// Checked and not met, or for a human to say.
    Open,
    /// It could not be told. Stands in the way like an open one.
    Unknown,
    /// There is nothing that it could be about.
    NotApplicable,
}

/// One box with its evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which.
    pub name: CheckBox,
    /// How it stands.
    pub standing: Standing,
    /// What was seen.
    pub evidence: String,
    /// How to satisfy it; empty when it is met or does not apply.
    pub remedy: String,
}

/// No key counts as quiet sooner after a use.
pub const SHORTEST_QUIET: SignedDuration = SignedDuration::from_hours(24);

/// Judges every box by what was seen.
#[must_use]
pub fn judge(sight: &Sight, acknowledged: &BTreeSet<CheckBox>) -> Vec<Checked> {
    CheckBox::ALL
        .iter()
        .map(|&name| {
            let (standing, evidence, remedy) = look_at(name, sight);
            let mut checked = Checked {
                name,
                standing,
                evidence,
                remedy,
            };
            if checked.stands_in_the_way() && acknowledged.contains(&name) {
                checked.standing = Standing::Met;
                checked.evidence = match name {
                    CheckBox::NameTyped => "typed".into(),
                    _ => format!("{}; vouched for", checked.evidence),
                };
            }
            if !checked.stands_in_the_way() {
                checked.remedy.clear();
            }
            checked
        })
        .collect()
}

impl Checked {
    /// Whether somebody has to do something about it.
    #[must_use]
    pub const fn stands_in_the_way(&self) -> bool {
        matches!(self.standing, Standing::Open | Standing::Unknown)
    }
}

/// The boxes that stand in the way.
#[must_use]
pub fn open_boxes(checked: &[Checked], manner: Manner) -> Vec<&Checked> {
    checked
        .iter()
        .filter(|c| c.stands_in_the_way() && manner.asks_for(c.name))
        .collect()
}

type Look = (Standing, String, String);

fn met(evidence: impl Into<String>) -> Look {
    (Standing::Met, evidence.into(), String::new())
}

fn not_applicable(why: impl Into<String>) -> Look {
    (Standing::NotApplicable, why.into(), String::new())
}

fn open(evidence: impl Into<String>, remedy: impl Into<String>) -> Look {
    (Standing::Open, evidence.into(), remedy.into())
}

fn unknown(evidence: impl Into<String>, remedy: impl Into<String>) -> Look {
    (Standing::Unknown, evidence.into(), remedy.into())
}

fn look_at(name: CheckBox, sight: &Sight) -> Look {
    match name {
        CheckBox::ConsumersKnown => consumers_known(sight),
        CheckBox::Quiet => quiet(sight),
        CheckBox::JobsMoved => jobs_moved(sight),
        CheckBox::NoBypass => no_bypass(sight),
        CheckBox::NoOpenTransfers => match sight.open_transfers {
            0 => met("no request is open"),
            n => open(
                format!("{} will be cut", several(n as usize, "open request")),
                "wait for them to end, or --ack no-open-transfers",
            ),
        },
        CheckBox::SurveyComplete => match &sight.provider_away {
            None => met("the provider answers"),
            Some(why) => open(
                format!("the buckets can't be surveyed now: {why}"),
                "wait until the provider answers, or --ack survey-complete (the verdict can then not be intact)",
            ),
        },
        CheckBox::CardExported => match sight.card_exported_at {
            Some(at) => met(format!("handed out at {at:.0}")),
            None => open(
                "not handed out yet",
                format!(
                    "bascule delete hands it out when it starts; or bascule reconnect-card {}",
                    sight.connection
                ),
            ),
        },
        CheckBox::PeopleTold => people_told(sight),
        CheckBox::ProviderLogin => provider_login(sight),
        CheckBox::BackupElsewhere => backup_elsewhere(sight),
        CheckBox::AlternativesRejected => {
            let in_use = [CheckBox::Quiet, CheckBox::JobsMoved]
                .into_iter()
                .any(|name| {
                    let (standing, ..) = look_at(name, sight);
                    matches!(standing, Standing::Open | Standing::Unknown)
                });
            if in_use {
                open(
                    "it is in use, or may be; rotating, restricting, pausing or a scream test may do",
                    "see the alternatives; if none will do: --ack alternatives-rejected",
                )
            } else {
                not_applicable("nothing seen uses it")
            }
        }
        CheckBox::NameTyped => open(
            "not typed yet",
            "type the connection's name when asked, or --yes",
        ),
    }
}

fn consumers_known(sight: &Sight) -> Look {
    if sight.keys.is_empty() {
        return not_applicable("it has no key");
    }
    if let Some(why) = sight.uses_not_known() {
        return unknown(
            format!("who used the keys is not known: {why}"),
            "find out who uses them, or --ack consumers-known",
        );
    }
    if sight.clients.is_empty() {
        return met("no key was ever used");
    }
    let strangers: Vec<_> = sight
        .clients
        .iter()
        .filter(|client| !sight.is_known(client))
        .map(Client::to_string)
        .collect();
    if strangers.is_empty() {
        return met(format!(
            "{} of its keys, all known",
            several(sight.clients.len(), "user")
        ));
    }
    open(
        format!(
            "of {} of its keys, not known to be anything on this machine: {}",
            several(sight.clients.len(), "user"),
            some(&strangers)
        ),
        format!(
            "find them: bascule usage {} --by address; or --ack consumers-known",
            sight.connection
        ),
    )
}

fn quiet(sight: &Sight) -> Look {
    if sight.keys.is_empty() {
        return not_applicable("it has no key");
    }
    let longest = sight.keys.iter().filter_map(|key| key.longest).max();
    let needed = longest.map_or(SHORTEST_QUIET, |longest| {
        longest.saturating_mul(2).max(SHORTEST_QUIET)
    });
    let used = |key: &&KeyRecord| key.last_used.is_some();
    let last = sight
        .keys
        .iter()
        .filter(used)
        .max_by_key(|key| key.last_used);
    if let Some((key, at)) = last.and_then(|key| Some((key, key.last_used?))) {
        let since = sight.now.duration_since(at);
        if since < needed {
            let by = sight.clients.iter().max_by_key(|client| client.last);
            let by = by.map_or_else(String::new, |client| format!(" by {client}"));
            return open(
                format!(
                    "the key {} was used {} ago{by}; it counts as quiet after {}",
                    key.label,
                    span(since),
                    span(needed)
                ),
                format!(
                    "wait, or let it prove itself: bascule delete {} --scream 14d; or --ack quiet",
                    sight.connection
                ),
            );
        }
    }
    let begin = sight.now.checked_sub(needed).unwrap_or(sight.now);
    for key in &sight.keys {
        let not_seen = match (&key.not_recorded, key.gap_until) {
            (Some(why), _) => Some(why.clone()),
            (None, Some(until)) if until > begin => {
                Some(format!("uses before {until:.0} may be missing"))
            }
            _ => None,
        };
        if let Some(why) = not_seen {
            return unknown(
                format!("whether the key {} was used is not known: {why}", key.label),
                format!("wait until {} are recorded, or --ack quiet", span(needed)),
            );
        }
    }
    let recorded = sight
        .keys
        .iter()
        .map(|key| sight.now.duration_since(key.recorded_since))
        .min()
        .unwrap_or_default();
    let silent = last.and_then(|key| key.last_used).map_or_else(
        || "no key was ever used".to_owned(),
        |at| format!("no key was used for {}", span(sight.now.duration_since(at))),
    );
    met(format!(
        "{silent}; {} recorded: {} job would not show",
        span(recorded),
        horizon(recorded)
    ))
}

/// The shortest rhythm of a job that such a record can't show.
fn horizon(recorded: SignedDuration) -> &'static str {
    const DAY: i64 = 24;
    [
        (DAY, "a daily"),
        (8 * DAY, "a weekly"),
        (32 * DAY, "a monthly"),
        (93 * DAY, "a quarterly"),
    ]
    .into_iter()
    .find(|(hours, _)| recorded < SignedDuration::from_hours(*hours))
    .map_or("a yearly", |(_, job)| job)
}

fn jobs_moved(sight: &Sight) -> Look {
    if sight.keys.is_empty() {
        return not_applicable("it has no key");
    }
    if !sight.consumers.is_empty() {
        return open(
            format!(
                "{} a key of it: {}",
                holders(sight.consumers.len()),
                some(&sight.consumers)
            ),
            format!(
                "{}, or --ack jobs-moved; bascule findings names them until they are mended",
                moves(&sight.consumers, "give them another key")
            ),
        );
    }
    match &sight.not_looked {
        Some(why) => unknown(
            format!("which jobs hold its keys is not known: {why}"),
            "look again: bascule findings --look; or --ack jobs-moved",
        ),
        None => met(format!("nothing seen holds a key of it{}", except(sight))),
    }
}

fn no_bypass(sight: &Sight) -> Look {
    let Some(brought) = &sight.brought else {
        return not_applicable("a folder of this machine, reached without a key");
    };
    if !sight.bypasses.is_empty() {
        return open(
            format!(
                "{} its buckets directly with the provider's key {brought}, and deleting here will not stop them: {}",
                match sight.bypasses.len() {
                    1 => "1 consumer reaches".into(),
                    n => format!("{n} consumers reach"),
                },
                some(&sight.bypasses)
            ),
            format!(
                "revoke that key at the provider, or {}; or --ack no-bypass",
                moves(&sight.bypasses, "give them keys of their own")
            ),
        );
    }
    match &sight.not_looked {
        Some(why) => unknown(
            format!("who holds the provider's key {brought} is not known: {why}"),
            "look again: bascule findings --look; or --ack no-bypass",
        ),
        None => met(format!(
            "nothing seen uses the provider's key {brought}{}",
            except(sight)
        )),
    }
}

fn people_told(sight: &Sight) -> Look {
    let mut others: Vec<_> = sight
        .clients
        .iter()
        .filter(|client| client.elsewhere)
        .map(Client::to_string)
        .collect();
    others.extend(
        sight
            .consumers
            .iter()
            .filter_map(|consumer| consumer.user.as_ref())
            .map(|user| format!("user {user}")),
    );
    others.dedup();
    if let (true, Some(why)) = (others.is_empty(), sight.uses_not_known()) {
        return unknown(
            format!("who else uses it is not known: {why}"),
            "ask around; then --ack people-told",
        );
    }
    if others.is_empty() {
        return not_applicable("only you use it, as far as was seen");
    }
    open(
        format!("others use it too: {}", some(&others)),
        "tell them; then --ack people-told",
    )
}

fn provider_login(sight: &Sight) -> Look {
    let Some(brought) = &sight.brought else {
        return not_applicable("a folder of this machine");
    };
    if !sight.was_used() {
        return not_applicable("nothing was ever reached through it");
    }
    if let Some(place) = sight.brought_elsewhere.first() {
        return met(format!(
            "the provider's key {brought} also stands in {place}"
        ));
    }
    open(
        format!("the provider's key {brought} is erased here, and was seen nowhere else"),
        "see that somebody can log in at the provider; then --ack provider-login",
    )
}

fn backup_elsewhere(sight: &Sight) -> Look {
    let writers: Vec<_> = sight
        .clients
        .iter()
        .filter(|client| client.writes)
        .map(Client::to_string)
        .collect();
    if let (true, Some(why)) = (writers.is_empty(), sight.uses_not_known()) {
        return unknown(
            format!("whether something is written through it is not known: {why}"),
            "find out; then --ack backup-elsewhere",
        );
    }
    if writers.is_empty() {
        return not_applicable("nothing was written through it, as far as was recorded");
    }
    open(
        format!(
            "what is written here will not be any more: {}",
            some(&writers)
        ),
        "see that it goes elsewhere; then --ack backup-elsewhere",
    )
}

/// What is to be done about consumers, with the commands that do it.
fn moves(consumers: &[Consumer], what: &str) -> String {
    let mut commands: Vec<_> = consumers
        .iter()
        .filter(|consumer| !consumer.moves.is_empty())
        .map(|consumer| consumer.moves.join(" or "))
        .collect();
    commands.dedup();
    match commands.is_empty() {
        true => what.to_owned(),
        false => format!("{what}: {}", some(&commands)),
    }
}

/// How many places of the machine could not be looked at.
fn except(sight: &Sight) -> String {
    match sight.places_not_looked_at {
        0 => String::new(),
        n => format!("; {} could not be looked at", several(n, "place")),
    }
}

fn holders(number: usize) -> String {
    match number {
        1 => "1 consumer holds".into(),
        n => format!("{n} consumers hold"),
    }
}

/// The number, and the word in its form.
fn several(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The first few.
fn some(what: &[impl fmt::Display]) -> String {
    const FEW: usize = 3;
    let mut text = what
        .iter()
        .take(FEW)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if what.len() > FEW {
        text.push_str(&format!(", and {} more", what.len() - FEW));
    }
    text
}

#[cfg(test)]
mod tests;
