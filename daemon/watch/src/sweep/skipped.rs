//! What a sweep did not look at, and why: counted, with examples, never silently. Pure.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Why something was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It may not be read by who asks.
    Denied,
    /// It lies on another machine, or behind a program, that may never answer.
    Remote,
    /// It is another file system than the one the search began on.
    OtherFileSystem,
    /// It is larger than the limit.
    TooLarge,
    /// Folders lie in one another more deeply than anybody's.
    TooDeep,
    /// A folder holds more folders than anybody's.
    TooManyFolders,
    /// It holds more ids than are told.
    TooManyIds,
    /// The system could not read it.
    Unreadable,
    /// A folder that should be searched is not there.
    Absent,
    /// It is compressed: its bytes were searched as they are, and not unpacked.
    Packed,
    /// A symbolic link: what it leads to is found where it lies, if that is searched.
    Link,
    /// A pipe, socket or device.
    Special,
    /// The system's own state, such as `/proc`.
    System,
    /// Left out on request.
    LeftOut,
}

/// How much was skipped for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many files, folders or links.
    pub count: u64,
    /// Some of them; of those that are denied, the folders they lie in.
    pub examples: Vec<PathBuf>,
}

/// Everything that was skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skips(BTreeMap<Reason, Skipped>);

const EXAMPLES: usize = 5;

impl Reason {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Remote => "remote",
            Self::OtherFileSystem => "other-file-system",
            Self::TooLarge => "too-large",
            Self::TooDeep => "too-deep",
            Self::TooManyFolders => "too-many-folders",
            Self::TooManyIds => "too-many-ids",
            Self::Unreadable => "unreadable",
            Self::Absent => "absent",
            Self::Packed => "packed",
            Self::Link => "link",
            Self::Special => "special",
            Self::System => "system",
            Self::LeftOut => "left-out",
        }
    }

    /// The reason for people.
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::Denied => "may not be read",
            Self::Remote => "on a network or FUSE mount",
            Self::OtherFileSystem => "on another file system",
            Self::TooLarge => "larger than the limit",
            Self::TooDeep => "nested too deeply",
            Self::TooManyFolders => "too many folders in one",
            Self::TooManyIds => "more ids in one file than are listed",
            Self::Unreadable => "can't be read",
            Self::Absent => "not there",
            Self::Packed => "compressed, searched without unpacking",
            Self::Link => "links, not followed",
            Self::Special => "pipes, sockets and devices",
            Self::System => "the system's own state",
            Self::LeftOut => "left out on request",
        }
    }

    /// Whether a tool may have a key there that was not seen. What the others hold is found elsewhere,
    /// or no tool reads its key from it.
    #[must_use]
    pub const fn is_gap(self) -> bool {
        !matches!(
            self,
            Self::Packed | Self::Link | Self::Special | Self::System | Self::LeftOut
        )
    }
}

impl Skips {
    /// Each reason with what was skipped for it.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, &Skipped)> {
        self.0.iter().map(|(reason, skipped)| (*reason, skipped))
    }

    /// What was skipped for a reason.
    #[must_use]
    pub fn get(&self, reason: Reason) -> Option<&Skipped> {
        self.0.get(&reason)
    }

    pub(super) fn add(&mut self, reason: Reason, path: &Path) {
        let skipped = self.0.entry(reason).or_default();
        skipped.count += 1;
        skipped.example(path);
    }

    pub(super) fn merge(&mut self, others: &Self) {
        for (reason, other) in &others.0 {
            let skipped = self.0.entry(*reason).or_default();
            skipped.count += other.count;
            for path in &other.examples {
                skipped.example(path);
            }
        }
    }
}

impl Skipped {
    fn example(&mut self, path: &Path) {
        if self.examples.len() < EXAMPLES && !self.examples.iter().any(|known| known == path) {
            self.examples.push(path.to_owned());
        }
    }
}
