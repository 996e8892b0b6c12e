//! The checklist of a deletion: its boxes, and which of them stand in the way.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! boxes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $enforced:literal;)*) => {
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

            /// Whether this release checks it.
            #[must_use]
            pub const fn is_enforced(self) -> bool {
                match self { $(Self::$name => $enforced,)* }
            }
        }
    };
}

boxes! {
    /// Every consumer of the connection's keys is known.
    ConsumersKnown = "consumers-known", false;
    /// No key was used for a while.
    Quiet = "quiet", false;
    /// Every job has moved to another key.
    JobsMoved = "jobs-moved", false;
    /// No consumer reaches the bucket directly.
    NoBypass = "no-bypass", false;
    /// No transfer through the gateway is open.
    NoOpenTransfers = "no-open-transfers", true;
    /// The buckets can be surveyed before the keys die.
    SurveyComplete = "survey-complete", true;
    /// The reconnect card was exported.
    CardExported = "card-exported", false;
    /// The people concerned were told.
    PeopleTold = "people-told", false;
    /// Somebody can still log in at the provider.
    ProviderLogin = "provider-login", false;
    /// The data exists elsewhere too.
    BackupElsewhere = "backup-elsewhere", false;
    /// Rotating, restricting, pausing and renaming were considered.
    AlternativesRejected = "alternatives-rejected", false;
    /// The connection's name was typed.
    NameTyped = "name-typed", true;
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

/// What was seen before a deletion starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Requests that are open through the connection's keys.
    pub open_transfers: u32,
    /// `None` when the provider answers; else why it does not.
    pub provider_away: Option<String>,
}

/// Whether a box is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Checked and met, or vouched for.
    Met,
    /// Checked and not met, or for a human to say.
    Open,
    /// This release does not check it.
    NotChecked,
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
    /// How to satisfy it; empty when it is met.
    pub remedy: String,
}

/// Judges every box. An emergency does not wait, so only the name is asked for.
#[must_use]
pub fn judge(sight: &Sight, acknowledged: &BTreeSet<CheckBox>, emergency: bool) -> Vec<Checked> {
    CheckBox::ALL
        .iter()
        .map(|&name| {
            let acked = acknowledged.contains(&name);
            let (met, evidence, remedy) = match name {
                CheckBox::NoOpenTransfers => match sight.open_transfers {
                    0 => (true, "no request is open".to_owned(), ""),
                    n => (
                        emergency,
                        format!("{n} open request{} will be cut", if n == 1 { "" } else { "s" }),
                        "wait for them to end, or --ack no-open-transfers",
                    ),
                },
                CheckBox::SurveyComplete => match &sight.provider_away {
                    None => (true, "the provider answers".to_owned(), ""),
                    Some(why) => (
                        emergency,
                        format!("the buckets can't be surveyed now: {why}"),
                        "wait until the provider answers, or --ack survey-complete (the verdict can then not be intact)",
                    ),
                },
                CheckBox::NameTyped => (
                    acked,
                    if acked { "typed" } else { "not typed yet" }.to_owned(),
                    "type the connection's name when asked, or --yes",
                ),
                _ => {
                    return Checked {
                        name,
                        standing: if acked { Standing::Met } else { Standing::NotChecked },
                        evidence: if acked {
                            "vouched for".to_owned()
                        } else {
                            "not checked by this release".to_owned()
                        },
                        remedy: String::new(),
                    };
                }
            };
            let standing = if met || acked { Standing::Met } else { Standing::Open };
            let remedy = if standing == Standing::Met { String::new() } else { remedy.to_owned() };
            let evidence = if acked && !met { format!("{evidence}; vouched for") } else { evidence };
            Checked { name, standing, evidence, remedy }
        })
        .collect()
}

/// The boxes that stand in the way.
#[must_use]
pub fn open_boxes(checked: &[Checked]) -> Vec<&Checked> {
    checked
        .iter()
        .filter(|c| c.standing == Standing::Open)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sight: &Sight, acks: &[CheckBox], emergency: bool) -> Vec<CheckBox> {
        let judged = judge(sight, &acks.iter().copied().collect(), emergency);
        open_boxes(&judged)
            .iter()
            .map(|checked| checked.name)
            .collect()
    }

    #[test]
    fn yes_stands_for_the_name_and_nothing_else() {
        let sight = Sight {
            open_transfers: 2,
            provider_away: Some("connection refused".into()),
        };
        assert_eq!(
            open(&sight, &[CheckBox::NameTyped], false),
            [CheckBox::NoOpenTransfers, CheckBox::SurveyComplete]
        );
        assert_eq!(open(&sight, &[], true), [CheckBox::NameTyped]);
    }

    #[test]
    fn every_box_in_force_can_be_met() {
        let calm = Sight {
            open_transfers: 0,
            provider_away: None,
        };
        assert_eq!(open(&calm, &[CheckBox::NameTyped], false), []);
        let enforced: Vec<_> = CheckBox::ALL
            .iter()
            .copied()
            .filter(|b| b.is_enforced())
            .collect();
        let storm = Sight {
            open_transfers: 9,
            provider_away: Some("away".into()),
        };
        assert_eq!(open(&storm, &enforced, false), []);
        assert_eq!(open(&storm, &[], false), enforced);
    }

    #[test]
    fn box_names_read_back() {
        for &name in CheckBox::ALL {
            assert_eq!(name.as_str().parse::<CheckBox>().unwrap(), name);
        }
        assert!("everything".parse::<CheckBox>().is_err());
    }
}
