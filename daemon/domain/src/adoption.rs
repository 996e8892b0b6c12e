//! Adoptions: a consumer was given a key of Bascule's, in files that a client changed. Which outcomes
//! one may have, and how the adoptions of one consumer follow from one another.
//!
//! Of those that a consumer had one after the other two are kept open: the first, which has the files as
//! they were before all of them, and the one in force. That the first is replaced follows from that one. What
//! lies between is closed as soon as the next one is adopted, and all are over once the one in force is. Each
//! record tells its own state, so two copies of the records can be merged one by one.

use std::{collections::BTreeSet, fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    ids::{ConnectionId, KeyId},
    key::{Key, Permission, Scope},
    names::{ConnectionName, ConsumerName, Label},
};

/// Files of one adoption.
pub const MOST_FILES: usize = 64;
/// Bytes of one file.
pub const LARGEST_FILE: usize = 1 << 20;
/// Bytes of all files of one adoption.
pub const LARGEST_ADOPTION: usize = 8 << 20;
/// Bytes of a layout.
pub const LARGEST_LAYOUT: usize = 64 << 10;
/// Open adoptions in all.
pub const MOST_OPEN: usize = 2_000;
/// Bytes of the originals of all open adoptions.
pub const MOST_BYTES: u64 = 256 << 20;
/// Settled adoptions that are remembered.
pub const MOST_SETTLED: usize = 200;

/// Which adoption. Random; short enough to be typed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AdoptionId([u8; 8]);

/// The text is no id of an adoption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an adoption: expected A and 16 hexadecimal digits")]
pub struct AdoptionIdError;

impl AdoptionId {
    /// From 64 random bits.
    #[must_use]
    pub const fn from_random(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The bits, as used for table keys.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for AdoptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("A")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for AdoptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for AdoptionId {
    type Err = AdoptionIdError;

    fn from_str(text: &str) -> Result<Self, AdoptionIdError> {
        let digits = text.strip_prefix(['A', 'a']).ok_or(AdoptionIdError)?;
        if digits.len() != 16 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(AdoptionIdError);
        }
        let bits = u64::from_str_radix(digits, 16).map_err(|_| AdoptionIdError)?;
        Ok(Self(bits.to_be_bytes()))
    }
}

/// What was changed where, in the client's own words: nothing here reads it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Layout(Box<str>);

impl Layout {
    /// Takes [`LARGEST_LAYOUT`] bytes at most.
    pub fn new(text: String) -> Result<Self, OriginalsError> {
        match text.len() <= LARGEST_LAYOUT {
            true => Ok(Self(text.into())),
            false => Err(OriginalsError::LargeLayout),
        }
    }

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layout({} bytes)", self.0.len())
    }
}

/// Where a file is: an absolute path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilePath(Box<str>);

impl FilePath {
    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FilePath {
    type Err = OriginalsError;

    fn from_str(text: &str) -> Result<Self, OriginalsError> {
        match text.starts_with('/') && text.len() <= 4096 && !text.contains('\0') {
            true => Ok(Self(text.into())),
            false => Err(OriginalsError::Path),
        }
    }
}

/// A file as it was before. What stands in it may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Original {
    /// Where it is.
    pub path: FilePath,
    /// Byte for byte.
    pub content: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Original")
            .field("path", &self.path)
            .field("len", &self.content.len())
            .finish_non_exhaustive()
    }
}

/// The files of one adoption: at least one, each once, within what is kept of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Originals(Vec<Original>);

/// Why what a client wants to be kept is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginalsError {
    /// Too many files, none, or one of them twice.
    #[error("an adoption is about 1 to {MOST_FILES} files, each named once")]
    Number,
    /// A file is too large.
    #[error("a file is larger than {} MiB", LARGEST_FILE >> 20)]
    LargeFile,
    /// All together are too large.
    #[error("the files are larger than {} MiB together", LARGEST_ADOPTION >> 20)]
    LargeFiles,
    /// A path is relative, too long, or none.
    #[error("a file's path is absolute and at most 4096 bytes long")]
    Path,
    /// The layout is too large.
    #[error("the layout is larger than {} KiB", LARGEST_LAYOUT >> 10)]
    LargeLayout,
}

impl TryFrom<Vec<Original>> for Originals {
    type Error = OriginalsError;

    fn try_from(files: Vec<Original>) -> Result<Self, OriginalsError> {
        let distinct: BTreeSet<_> = files.iter().map(|file| &file.path).collect();
        if !(1..=MOST_FILES).contains(&files.len()) || distinct.len() != files.len() {
            return Err(OriginalsError::Number);
        }
        if files.iter().any(|file| file.content.len() > LARGEST_FILE) {
            return Err(OriginalsError::LargeFile);
        }
        let originals = Self(files);
        match originals.bytes() <= LARGEST_ADOPTION as u64 {
            true => Ok(originals),
            false => Err(OriginalsError::LargeFiles),
        }
    }
}

impl Originals {
    /// In the order given.
    pub fn iter(&self) -> impl Iterator<Item = &Original> {
        self.0.iter()
    }

    /// Where they are, in the order given.
    #[must_use]
    pub fn paths(&self) -> Vec<FilePath> {
        self.iter().map(|file| file.path.clone()).collect()
    }

    /// How many bytes they have together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.iter().map(|file| file.content.len() as u64).sum()
    }
}

/// How far an adoption is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The originals are kept; the files may have been changed or not.
    Prepared,
    /// The consumer works with its key.
    Adopted,
    /// It did not, and the files are as they were.
    RolledBack,
    /// The files are as they were, byte for byte.
    Undone,
    /// The consumer has its provider's key again.
    Ejected,
    /// A later one is adopted in its place, and an earlier one has the files as they were first.
    Replaced,
}

impl State {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Prepared,
        Self::Adopted,
        Self::RolledBack,
        Self::Undone,
        Self::Ejected,
        Self::Replaced,
    ];

    /// Whether something is still to come. One that is not open is final.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Prepared | Self::Adopted)
    }

    /// Whether this state may follow.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Prepared, Self::Adopted | Self::RolledBack)
                | (Self::Adopted, Self::Undone | Self::Ejected | Self::Replaced)
        )
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Adopted => "adopted",
            Self::RolledBack => "rolled-back",
            Self::Undone => "undone",
            Self::Ejected => "ejected",
            Self::Replaced => "replaced",
        }
    }

    /// Of two copies of a record, the later one has the higher number.
    #[must_use]
    pub const fn finality(self) -> u8 {
        match self {
            Self::Prepared => 0,
            Self::Adopted => 1,
            Self::RolledBack | Self::Undone | Self::Ejected | Self::Replaced => 2,
        }
    }
}

/// The text is no state of an adoption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the state of an adoption")]
pub struct UnknownState;

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownState)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a key was allowed when it died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// What it might do.
    pub permission: Permission,
    /// What it was limited to.
    pub scope: Scope,
    /// When it would have stopped working by itself.
    pub expires_at: Option<Timestamp>,
}

impl From<&Key> for Rights {
    fn from(key: &Key) -> Self {
        Self {
            permission: key.permission,
            scope: key.scope.clone(),
            expires_at: key.expires_at,
        }
    }
}

/// What is kept of an adoption. It outlives the connection: a tool that was moved to another one must
/// find back to what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// Its id.
    pub id: AdoptionId,
    /// Whose key the consumer was given.
    pub connection: ConnectionId,
    /// What that was called then.
    pub connection_name: ConnectionName,
    /// Which key.
    pub key: KeyId,
    /// What that was called then.
    pub label: Label,
    /// Who was given it.
    pub consumer: ConsumerName,
    /// How far it is.
    pub state: State,
    /// The adoption whose place it takes once it is adopted; then one before that, if that one is closed.
    pub replaces: Option<AdoptionId>,
    /// What was changed where.
    pub layout: Layout,
    /// The files, in the order of their originals.
    pub paths: Vec<FilePath>,
    /// Bytes of the originals.
    pub bytes: u64,
    /// When it was prepared.
    pub prepared_at: Timestamp,
    /// When it reached its state; `None` as long as it is prepared.
    pub settled_at: Option<Timestamp>,
    /// What the key was allowed, from its death until the adoption is over: the consumer is given as much again, and
    /// what else tells it goes with the connection. Records from before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Rights>,
}

impl Adoption {
    fn shares_a_file_with(&self, paths: &[FilePath]) -> bool {
        self.paths.iter().any(|path| paths.contains(path))
    }
}

/// Why an adoption can't be prepared or settled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two that are open would each put back what the other has changed.
    #[error("{consumer} has an adoption in one of these files already: {id}, which is {state}")]
    Open {
        /// Which.
        id: AdoptionId,
        /// Whose.
        consumer: ConsumerName,
        /// How far it is.
        state: State,
    },
    /// Only one that is in force can be replaced.
    #[error("{id} can't be replaced: it is {state}")]
    NotInForce {
        /// Which.
        id: AdoptionId,
        /// How far it is.
        state: State,
    },
    /// It is another consumer's.
    #[error("{id} is an adoption of {consumer}")]
    OtherConsumer {
        /// Which.
        id: AdoptionId,
        /// Whose.
        consumer: ConsumerName,
    },
    /// A later one stands on it.
    #[error("{id} was replaced: settle {by} first, which is {state}")]
    Replaced {
        /// Which.
        id: AdoptionId,
        /// By which.
        by: AdoptionId,
        /// How far that is.
        state: State,
    },
    /// The outcome does not fit.
    #[error("{id} is {from}, which can't become {to}")]
    Outcome {
        /// Which.
        id: AdoptionId,
        /// How far it is.
        from: State,
        /// What was wanted.
        to: State,
    },
    /// There is no such adoption.
    #[error("there is no adoption {0}")]
    Unknown(AdoptionId),
    /// More would not be looked through any more.
    #[error("{MOST_OPEN} adoptions are open, or their files have {} MiB: that is all that is kept", MOST_BYTES >> 20)]
    Full,
}

/// All adoptions that are known.
#[derive(Debug, Clone, Default)]
pub struct Adoptions(Vec<Adoption>);

impl From<Vec<Adoption>> for Adoptions {
    fn from(adoptions: Vec<Adoption>) -> Self {
        Self(adoptions)
    }
}

impl Adoptions {
    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = &Adoption> {
        self.0.iter()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: AdoptionId) -> Option<&Adoption> {
        self.iter().find(|adoption| adoption.id == id)
    }

    fn known(&self, id: AdoptionId) -> Result<&Adoption, Refusal> {
        self.get(id).ok_or(Refusal::Unknown(id))
    }

    /// The open one that stands on it, if any.
    fn successor(&self, id: AdoptionId) -> Option<&Adoption> {
        self.iter()
            .find(|later| later.state.is_open() && later.replaces == Some(id))
    }

    /// Whether a later one is adopted in its place.
    #[must_use]
    pub fn is_replaced(&self, adoption: &Adoption) -> bool {
        adoption.state == State::Adopted
            && self
                .successor(adoption.id)
                .is_some_and(|later| later.state == State::Adopted)
    }

    /// The open ones that gave keys which die, as they are to be kept from then on.
    pub fn bereaved<'a>(&'a self, dead: &'a [&Key]) -> impl Iterator<Item = Adoption> + 'a {
        let open = self.iter().filter(|adoption| adoption.state.is_open());
        open.filter_map(move |adoption| {
            let key = dead.iter().find(|key| key.id == adoption.key)?;
            Some(Adoption {
                rights: Some(Rights::from(*key)),
                ..adoption.clone()
            })
        })
    }

    /// Those by which a consumer holds a key now.
    pub fn in_force(&self) -> impl Iterator<Item = &Adoption> {
        self.iter()
            .filter(|adoption| adoption.state == State::Adopted && !self.is_replaced(adoption))
    }

    /// Whether a new one may be prepared.
    pub fn admit(&self, new: &Adoption) -> Result<(), Refusal> {
        if let Some(id) = new.replaces {
            let former = self.known(id)?;
            if former.consumer != new.consumer {
                return Err(Refusal::OtherConsumer {
                    id,
                    consumer: former.consumer.clone(),
                });
            }
            if former.state != State::Adopted {
                return Err(Refusal::NotInForce {
                    id,
                    state: former.state,
                });
            }
            self.refuse_replaced(id)?;
        }
        let open = || self.iter().filter(|adoption| adoption.state.is_open());
        let other = open().find(|other| {
            other.consumer == new.consumer
                && other.shares_a_file_with(&new.paths)
                && new.replaces != Some(other.id)
                && !self.is_replaced(other)
        });
        if let Some(other) = other {
            return Err(Refusal::Open {
                id: other.id,
                consumer: other.consumer.clone(),
                state: other.state,
            });
        }
        let bytes: u64 = open().map(|adoption| adoption.bytes).sum();
        let later = open().filter(|adoption| adoption.state == State::Adopted);
        let replaced: BTreeSet<_> = later.filter_map(|adoption| adoption.replaces).collect();
        // What a consumer had first is no more of them.
        let number = open().filter(|adoption| !replaced.contains(&adoption.id));
        match number.count() < MOST_OPEN && bytes + new.bytes <= MOST_BYTES {
            true => Ok(()),
            false => Err(Refusal::Full),
        }
    }

    fn refuse_replaced(&self, id: AdoptionId) -> Result<(), Refusal> {
        match self.successor(id) {
            None => Ok(()),
            Some(later) => Err(Refusal::Replaced {
                id,
                by: later.id,
                state: later.state,
            }),
        }
    }

    /// The records that an outcome changes, as they are then, the one that was asked about first; none
    /// if it has this outcome already. `layout` is what the one that was
    /// asked about is known by from now on.
    pub fn settle(
        &self,
        id: AdoptionId,
        outcome: State,
        layout: Option<Layout>,
        now: Timestamp,
    ) -> Result<Vec<Adoption>, Refusal> {
        let adoption = self.known(id)?;
        if adoption.state == outcome && outcome != State::Prepared {
            return Ok(Vec::new());
        }
        // That follows from another one, and is nobody's wish.
        if outcome == State::Replaced || !adoption.state.may_become(outcome) {
            return Err(Refusal::Outcome {
                id,
                from: adoption.state,
                to: outcome,
            });
        }
        self.refuse_replaced(id)?;
        let settled = |adoption: &Adoption, state: State| Adoption {
            state,
            settled_at: Some(now),
            rights: adoption.rights.clone().filter(|_| state.is_open()),
            ..adoption.clone()
        };
        let mut changed = vec![settled(adoption, outcome)];
        if let Some(layout) = layout {
            changed[0].layout = layout;
        }
        if outcome == State::Adopted {
            if let Some(between) = self.between(adoption) {
                changed[0].replaces = between.replaces;
                changed.push(settled(between, State::Replaced));
            }
            return Ok(changed);
        }
        // What it replaced is behind the consumer as well: it has no key of ours any more.
        let mut former = adoption.replaces;
        while let (State::Ejected | State::Undone, Some(id)) = (outcome, former) {
            let earlier = self.get(id).filter(|earlier| {
                earlier.state == State::Adopted && changed.iter().all(|known| known.id != id)
            });
            changed.extend(earlier.map(|earlier| settled(earlier, outcome)));
            former = earlier.and_then(|earlier| earlier.replaces);
        }
        Ok(changed)
    }

    /// What an adoption replaces, if an earlier one has all the files of that as they were first.
    fn between(&self, adoption: &Adoption) -> Option<&Adoption> {
        let former = self.get(adoption.replaces?)?;
        let first = self.get(former.replaces?)?;
        let has_all = former.paths.iter().all(|path| first.paths.contains(path));
        (former.state == State::Adopted && first.state == State::Adopted && has_all)
            .then_some(former)
    }

    /// Settled ones that are not remembered any longer: all but the latest.
    #[must_use]
    pub fn to_forget(&self) -> Vec<AdoptionId> {
        let mut settled: Vec<_> = self
            .iter()
            .filter(|adoption| !adoption.state.is_open())
            .map(|adoption| (adoption.settled_at, adoption.id))
            .collect();
        settled.sort_unstable();
        let forgotten = settled.len().saturating_sub(MOST_SETTLED);
        settled.truncate(forgotten);
        settled.into_iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests;
