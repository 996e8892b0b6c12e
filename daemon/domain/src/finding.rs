//! What becomes of a finding: it opens, changes, is acknowledged, and is resolved by what is seen, never
//! by time. Each of these is news once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Which finding. It follows from the consumer and the key, so a restart gives the same one; it
/// reveals neither.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FindingId([u8; 8]);

/// What a finding says, in short. Another digest is a change worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(pub [u8; 8]);

/// The text is no id of a consumer's finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of a finding: expected W and 16 hexadecimal digits")]
pub struct FindingIdError;

impl FindingId {
    /// From a keyed hash.
    #[must_use]
    pub const fn from_hash(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bits, as used for table keys.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("W")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for FindingId {
    type Err = FindingIdError;

    fn from_str(text: &str) -> Result<Self, FindingIdError> {
        let digits = text.strip_prefix(['W', 'w']).ok_or(FindingIdError)?;
        if digits.len() != 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(FindingIdError);
        }
        let bits = u64::from_str_radix(digits, 16).map_err(|_| FindingIdError)?;
        Ok(Self(bits.to_be_bytes()))
    }
}

/// What is kept of a finding. What it says is seen anew; no name is in here but the user's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was seen first.
    pub first_at: Timestamp,
    /// When what it says changed last.
    pub changed_at: Timestamp,
    /// What it says.
    pub digest: Digest,
    /// That the user has seen it.
    pub acknowledged: Option<Acknowledgement>,
    /// Hashes of the places that lead to it: whether one of them can't be looked at is known even to
    /// a daemon that never saw the finding.
    #[serde(default)]
    pub places: Vec<Digest>,
    /// Whether it is for those who ask only.
    #[serde(default)]
    pub quiet: bool,
}

/// What a look tells of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// What it says.
    pub digest: Digest,
    /// As in [`Record::places`].
    pub places: Vec<Digest>,
    /// As in [`Record::quiet`].
    pub quiet: bool,
}

/// That the user has seen a finding and wants no more news of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// When.
    pub at: Timestamp,
    /// Why, in the user's words.
    pub why: String,
}

/// What is worth telling about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// It was not there before.
    Opened,
    /// It says something else now. An acknowledgement of what it said is gone.
    Changed,
    /// The user knows of it. Nobody is to be woken by that.
    Acknowledged,
    /// What it was about is not so any more.
    Resolved,
}

impl News {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// Brings the records in line with what is seen now, and says what is news. `blind` holds the findings
/// whose place could not be looked at this time: they stay as they are.
pub fn compare(
    records: &mut BTreeMap<FindingId, Record>,
    seen: &BTreeMap<FindingId, Sight>,
    blind: &BTreeSet<FindingId>,
    now: Timestamp,
) -> Vec<(FindingId, News)> {
    let mut news = Vec::new();
    records.retain(|id, _| {
        let stays = seen.contains_key(id) || blind.contains(id);
        if !stays {
            news.push((*id, News::Resolved));
        }
        stays
    });
    for (id, sight) in seen {
        match records.get_mut(id) {
            None => {
                let record = Record {
                    first_at: now,
                    changed_at: now,
                    digest: sight.digest,
                    acknowledged: None,
                    places: sight.places.clone(),
                    quiet: sight.quiet,
                };
                records.insert(*id, record);
                news.push((*id, News::Opened));
            }
            Some(record) => {
                if record.digest != sight.digest {
                    record.digest = sight.digest;
                    record.changed_at = now;
                    record.acknowledged = None;
                    news.push((*id, News::Changed));
                }
                record.places.clone_from(&sight.places);
                record.quiet = sight.quiet;
            }
        }
    }
    news
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> FindingId {
        FindingId::from_hash([n; 8])
    }

    fn sight(n: u8) -> Sight {
        Sight {
            digest: Digest([n; 8]),
            places: vec![Digest([n; 8])],
            quiet: n == 0,
        }
    }

    #[test]
    fn a_finding_is_news_once_again_when_it_changes_and_when_it_is_gone() {
        let mut records = BTreeMap::new();
        let at = |second| Timestamp::from_second(second).unwrap();
        let (one, other) = (sight(1), sight(2));
        let nobody = BTreeSet::new();
        let seen = BTreeMap::from([(id(1), one)]);
        assert_eq!(
            compare(&mut records, &seen, &nobody, at(1)),
            [(id(1), News::Opened)]
        );
        assert_eq!(compare(&mut records, &seen, &nobody, at(2)), []);
        records.get_mut(&id(1)).unwrap().acknowledged = Some(Acknowledgement {
            at: at(3),
            why: "known".into(),
        });
        assert_eq!(compare(&mut records, &seen, &nobody, at(4)), []);
        assert!(records[&id(1)].acknowledged.is_some());
        let changed = BTreeMap::from([(id(1), other)]);
        assert_eq!(
            compare(&mut records, &changed, &nobody, at(5)),
            [(id(1), News::Changed)]
        );
        assert!(records[&id(1)].acknowledged.is_none());
        assert_eq!(records[&id(1)].first_at, at(1));
        let blind = BTreeSet::from([id(1)]);
        assert_eq!(compare(&mut records, &BTreeMap::new(), &blind, at(6)), []);
        let gone = compare(&mut records, &BTreeMap::new(), &nobody, at(7));
        assert_eq!(gone, [(id(1), News::Resolved)]);
        assert!(records.is_empty());
    }

    #[test]
    fn ids_are_written_and_read() {
        assert_eq!(id(0xab).to_string().parse(), Ok(id(0xab)));
        for wrong in [
            "",
            "W",
            "Wab",
            "F12",
            "W+bababababababab",
            "W00000000000000000",
        ] {
            assert_eq!(wrong.parse::<FindingId>(), Err(FindingIdError), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn after_a_look_the_records_are_what_is_seen_or_could_not_be(
            before in proptest::collection::btree_map(0u8..9, 0u8..3, 0..9),
            seen in proptest::collection::btree_map(0u8..9, 0u8..3, 0..9),
            blind in proptest::collection::btree_set(0u8..9, 0..9),
        ) {
            let now = Timestamp::UNIX_EPOCH;
            let sights = |map: &BTreeMap<u8, u8>| -> BTreeMap<_, _> {
                map.iter().map(|(n, digest)| (id(*n), sight(*digest))).collect()
            };
            let mut records = BTreeMap::new();
            let nobody = BTreeSet::new();
            compare(&mut records, &sights(&before), &nobody, now);
            let blind: BTreeSet<_> = blind.into_iter().map(id).collect();
            let seen = sights(&seen);
            let news = compare(&mut records, &seen, &blind, now);
            for (id, sight) in &seen {
                prop_assert_eq!(records[id].digest, sight.digest);
                prop_assert_eq!(&records[id].places, &sight.places);
                prop_assert_eq!(records[id].quiet, sight.quiet);
            }
            for id in records.keys() {
                prop_assert!(seen.contains_key(id) || blind.contains(id));
            }
            let told: BTreeSet<_> = news.iter().map(|(id, _)| *id).collect();
            prop_assert_eq!(told.len(), news.len(), "each is told once");
            prop_assert_eq!(compare(&mut records, &seen, &blind, now), []);
        }
    }
}
