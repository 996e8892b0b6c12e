//! Known access key ids, made ready to be searched for all at once. Pure.

use std::collections::HashSet;

use bascule_domain::access_key::AccessKeyId;

use super::{coding::Coding, grams::Grams, shape};

/// Shorter ids are found only where a name of an access key id is set to them (consumers.md 9.11).
const SHORTEST_BARE: usize = 8;
/// How long codings are that can be searched in large steps: those of all ids that providers make.
const LONG: usize = 20;

/// Access key ids to search for: as text, UTF-16 and base64.
///
/// Ids that people made up are found where something says that they are one: those under 8
/// characters where a name such as `access_key` is set to them, others under 16 or made of words
/// the same in each coding.
#[derive(Debug)]
pub struct Needles {
    ids: Vec<Needle>,
    long: Option<Grams<(u32, Coding), 8>>,
    short: Option<Grams<(u32, Coding), 4>>,
    /// By what they are: only searched for by name.
    named: HashSet<AccessKeyId>,
}

#[derive(Debug)]
struct Needle {
    id: AccessKeyId,
    /// Whether the id alone proves itself.
    stands_alone: bool,
}

impl Needles {
    /// Makes ids ready. Double ones count once.
    #[must_use]
    pub fn of<'a>(ids: impl IntoIterator<Item = &'a AccessKeyId>) -> Self {
        let all: HashSet<&AccessKeyId> = ids.into_iter().collect();
        let (short, searched): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|id| id.as_str().len() < SHORTEST_BARE);
        let ids: Vec<_> = searched
            .into_iter()
            .map(|id| Needle {
                id: id.clone(),
                stands_alone: shape::looks_random(id.as_str()),
            })
            .collect();
        let coded = || {
            (0_u32..).zip(&ids).flat_map(|(number, needle)| {
                Coding::ALL.into_iter().map(move |coding| {
                    let bytes = coding.encode(needle.id.as_str().as_bytes());
                    (bytes, (number, coding))
                })
            })
        };
        Self {
            long: Grams::new(coded().filter(|(bytes, _)| bytes.len() >= LONG)),
            short: Grams::new(coded().filter(|(bytes, _)| bytes.len() < LONG)),
            named: short.into_iter().cloned().collect(),
            ids,
        }
    }

    /// Whether some can only be found by the name they are given to.
    pub(super) fn has_named(&self) -> bool {
        !self.named.is_empty()
    }

    /// The id that is only found by name and equals this word.
    pub(super) fn named(&self, word: &str) -> Option<&AccessKeyId> {
        let id = word.parse().ok()?;
        self.named.get::<AccessKeyId>(&id)
    }

    /// Tells where bytes of an id begin at `from` or behind and before `to`: start, id, coding, and
    /// whether it proves itself.
    pub(super) fn search(
        &self,
        bytes: &[u8],
        from: usize,
        to: usize,
        mut found: impl FnMut(usize, &AccessKeyId, Coding, bool),
    ) {
        let mut told = |start: usize, (number, coding): (u32, Coding)| {
            if let Some(needle) = self.ids.get(number as usize) {
                found(start, &needle.id, coding, needle.stands_alone);
            }
        };
        if let Some(grams) = &self.long {
            grams.search(bytes, from, to, &mut told);
        }
        if let Some(grams) = &self.short {
            grams.search(bytes, from, to, &mut told);
        }
    }
}
