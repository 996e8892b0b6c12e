//! Lists a bucket by many cursors at once, each in a range of keys of its own, and hands out
//! stretches as they become whole. What is asked when is decided by [`Ranges`].

use std::sync::atomic::{AtomicUsize, Ordering};

use bascule_domain::{
    manifest::{Gap, Item, Stretch},
    names::{BucketName, ObjectKey},
    survey::Contents,
};
use tokio::task::JoinSet;

use super::{
    PAGE_SIZE, Witness, WitnessError,
    ranges::{Cursor, Id, Page, Ranges, Trouble},
};
use crate::listing::{self, Marked};

/// As many questions are open at once. A provider that asks for patience gets fewer.
const AT_ONCE: usize = 16;
/// After so many answers one more is tried again.
const RECOVERY: u32 = 32;
/// So deep the common beginning of all keys is followed, to find where they part.
const LEVELS: usize = 3;

/// How often a provider asked for patience.
#[derive(Debug, Default)]
pub(super) struct Slowed(AtomicUsize);

impl Slowed {
    pub(super) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

enum Answered {
    Page(Id, Page),
    /// Prefixes at which the keys part.
    Parting(Vec<String>),
}

/// A listing under way. Dropped, it asks nothing more.
pub struct Stretches {
    witness: Witness,
    bucket: BucketName,
    contents: Contents,
    ranges: Ranges,
    open: JoinSet<Result<Answered, WitnessError>>,
    allowed: usize,
    slowed: usize,
    since_slowed: u32,
    discovery: Discovery,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Discovery {
    Due,
    UnderWay,
    Done,
}

impl Stretches {
    pub(super) fn new(
        witness: Witness,
        bucket: BucketName,
        contents: Contents,
        gaps: Vec<Gap>,
    ) -> Self {
        // Only a listing from the beginning shows what all keys begin with.
        let discovery = if gaps == [Gap::default()] {
            Discovery::Due
        } else {
            Discovery::Done
        };
        Self {
            slowed: witness.inner.slowed.times(),
            witness,
            bucket,
            contents,
            ranges: Ranges::new(gaps),
            open: JoinSet::new(),
            allowed: AT_ONCE,
            since_slowed: 0,
            discovery,
        }
    }

    /// The next stretch, in no order, or `None` when all gaps were listed. After an error the
    /// listing can't go on; what was not handed out has to be listed again.
    pub async fn next(&mut self) -> Result<Option<Stretch>, WitnessError> {
        loop {
            if self.ranges.is_done() {
                return Ok(None);
            }
            self.ask();
            let Some(answered) = self.open.join_next().await else {
                return Err(WitnessError::Malformed("the listing has no end".into()));
            };
            let answered = match answered {
                Ok(answered) => answered?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => return Err(WitnessError::Away("the daemon is stopping".into())),
            };
            self.adapt();
            match answered {
                Answered::Page(id, page) => {
                    let taken = self.ranges.take(id, page);
                    if let Some(stretch) = taken.map_err(|trouble| self.error(trouble))? {
                        return Ok(Some(stretch));
                    }
                }
                Answered::Parting(prefixes) => {
                    self.discovery = Discovery::Done;
                    let keys = prefixes.into_iter();
                    self.ranges.split_at(
                        keys.filter_map(|prefix| ObjectKey::try_from(prefix).ok()),
                        2 * AT_ONCE,
                    );
                }
            }
        }
    }

    /// How many entries there seem to be in all gaps together.
    #[must_use]
    pub fn estimate(&self) -> Option<u64> {
        self.ranges.estimate()
    }

    fn ask(&mut self) {
        if self.discovery == Discovery::Due && self.ranges.can_split() {
            self.discovery = Discovery::UnderWay;
            let (witness, bucket) = (self.witness.clone(), self.bucket.clone());
            self.open
                .spawn(async move { witness.parting(&bucket).await.map(Answered::Parting) });
        }
        while self.open.len() < self.allowed {
            // Until it is known where keys part, halves would be guesses.
            if self.discovery == Discovery::UnderWay && self.open.len() > 1 {
                break;
            }
            let Some((id, cursor)) = self.ranges.next() else {
                break;
            };
            let (witness, bucket) = (self.witness.clone(), self.bucket.clone());
            let contents = self.contents;
            self.open.spawn(async move {
                let page = match contents {
                    Contents::Objects => witness.objects_from(&bucket, cursor).await,
                    Contents::Versions => witness.versions_from(&bucket, cursor).await,
                };
                page.map(|page| Answered::Page(id, page))
            });
        }
    }

    fn adapt(&mut self) {
        let slowed = self.witness.inner.slowed.times();
        if slowed > self.slowed {
            self.slowed = slowed;
            self.since_slowed = 0;
            self.allowed = (self.allowed / 2).max(1);
            return;
        }
        self.since_slowed += 1;
        if self.since_slowed >= RECOVERY {
            self.since_slowed = 0;
            self.allowed = (self.allowed + 1).min(AT_ONCE);
        }
    }

    fn error(&self, trouble: Trouble) -> WitnessError {
        match trouble {
            Trouble::NotOrdered => WitnessError::NotOrdered(self.bucket.clone()),
            Trouble::StartIgnored => WitnessError::StartIgnored,
            Trouble::Circles => WitnessError::Malformed("the listing goes round in circles".into()),
            Trouble::GroupTooLarge => WitnessError::TooManyVersions,
        }
    }
}

impl Witness {
    /// All that lies in these gaps, by many cursors at once.
    #[must_use]
    pub fn stretches(&self, bucket: &BucketName, contents: Contents, gaps: Vec<Gap>) -> Stretches {
        Stretches::new(self.clone(), bucket.clone(), contents, gaps)
    }

    async fn objects_from(
        &self,
        bucket: &BucketName,
        cursor: Cursor,
    ) -> Result<Page, WitnessError> {
        let mut query = vec![
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", PAGE_SIZE),
        ];
        match &cursor {
            Cursor::Behind(after) => {
                query.extend(after.iter().map(|after| ("start-after", after.as_str())));
            }
            Cursor::Token(token) => query.push(("continuation-token", token)),
            Cursor::Version { key, .. } => query.push(("start-after", key)),
        }
        let page = self.page(bucket, &query, listing::page).await?;
        let objects = page.objects.into_iter();
        Ok(Page {
            entries: objects.map(|object| (object.entry, true)).collect(),
            next: page.next.map(Cursor::Token),
        })
    }

    async fn versions_from(
        &self,
        bucket: &BucketName,
        cursor: Cursor,
    ) -> Result<Page, WitnessError> {
        let mut query = vec![
            ("versions", ""),
            ("encoding-type", "url"),
            ("max-keys", PAGE_SIZE),
        ];
        match &cursor {
            Cursor::Behind(after) => {
                query.extend(after.iter().map(|after| ("key-marker", after.as_str())));
            }
            Cursor::Token(key) => query.push(("key-marker", key)),
            Cursor::Version { key, id } => {
                query.push(("key-marker", key));
                query.push(("version-id-marker", id));
            }
        }
        let page = self.page(bucket, &query, listing::versions).await?;
        let next = page.next.map(|(key, id)| match id.is_empty() {
            true => Cursor::Token(key),
            false => Cursor::Version { key, id },
        });
        // A marker hides its object: it is current, and no object.
        let current = |marked: Marked| {
            let is_version = matches!(marked.entry.item, Item::Version(_));
            (marked.entry, marked.latest && is_version)
        };
        Ok(Page {
            entries: page.entries.into_iter().map(current).collect(),
            next,
        })
    }

    /// Follows what all keys begin with to where they part at a slash. Where they do not, or
    /// nobody tells, nothing is found.
    async fn parting(&self, bucket: &BucketName) -> Result<Vec<String>, WitnessError> {
        let mut prefix = String::new();
        for _ in 0..LEVELS {
            let mut query = vec![
                ("list-type", "2"),
                ("encoding-type", "url"),
                ("delimiter", "/"),
                ("max-keys", PAGE_SIZE),
            ];
            if !prefix.is_empty() {
                query.push(("prefix", &prefix));
            }
            let page = match self.page(bucket, &query, listing::page).await {
                Ok(page) => page,
                Err(WitnessError::Refused(_) | WitnessError::Malformed(_)) => break,
                Err(error) => return Err(error),
            };
            match &page.prefixes[..] {
                [only] if page.objects.is_empty() && page.next.is_none() && *only != prefix => {
                    prefix.clone_from(only);
                }
                _ => return Ok(page.prefixes),
            }
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
