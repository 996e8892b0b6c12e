//! The survey: an ordered manifest of a bucket, reduced to figures and a digest, and how two of
//! them are compared. Listing and hashing are done elsewhere; order and comparison are decided
//! here.

use std::{cmp::Ordering, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    connection::BucketIdentity,
    names::{BucketName, ObjectKey},
};

/// One current object, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: ObjectKey,
    /// Bytes.
    pub size: u64,
    /// The ETag, without quotes.
    pub etag: String,
}

/// The bytes are not a manifest entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a manifest entry")]
pub struct EntryError;

impl Entry {
    /// Appends the one binary form, which both the digest and the manifest file use: length of
    /// the key (u16), key, size (u64), length of the ETag (u16), ETag; integers big-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        // Keys have at most 1024 bytes; an ETag that long is cut at what its length field holds.
        let etag = &self.etag.as_bytes()[..self.etag.len().min(usize::from(u16::MAX))];
        let key = self.key.as_str().as_bytes();
        out.extend_from_slice(&(key.len() as u16).to_be_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(&self.size.to_be_bytes());
        out.extend_from_slice(&(etag.len() as u16).to_be_bytes());
        out.extend_from_slice(etag);
    }

    /// Reads one entry from the front. `Ok(None)` when more bytes are needed.
    pub fn decode(bytes: &mut &[u8]) -> Result<Option<Self>, EntryError> {
        let mut rest = *bytes;
        let Some(key) = field(&mut rest) else {
            return Ok(None);
        };
        let Some((size, mut rest)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let Some(etag) = field(&mut rest) else {
            return Ok(None);
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| EntryError);
        let entry = Self {
            key: text(key)?.try_into().map_err(|_| EntryError)?,
            size: u64::from_be_bytes(*size),
            etag: text(etag)?,
        };
        *bytes = rest;
        Ok(Some(entry))
    }
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    *bytes = rest;
    Some(value)
}

/// SHA-256 over the encoded entries of a manifest, in order.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Digest {
    type Error = EntryError;

    fn try_from(text: String) -> Result<Self, EntryError> {
        text.strip_prefix("sha256:")
            .and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(EntryError)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// A survey of one bucket, reduced to what a receipt states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSurvey {
    /// Which bucket.
    pub bucket: BucketName,
    /// Which bucket really.
    pub identity: BucketIdentity,
    /// Current objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Over all entries.
    pub digest: Digest,
    /// When the listing ended.
    pub taken_at: Timestamp,
}

/// What a survey of one bucket came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum BucketOutcome {
    /// It was listed to the end.
    Surveyed(BucketSurvey),
    /// The provider says that there is no such bucket.
    Gone {
        /// Which bucket.
        bucket: BucketName,
    },
}

impl BucketOutcome {
    /// Which bucket it is about.
    #[must_use]
    pub const fn bucket(&self) -> &BucketName {
        match self {
            Self::Surveyed(survey) => &survey.bucket,
            Self::Gone { bucket } => bucket,
        }
    }
}

/// How one object differs between two surveys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Only in the second.
    Added,
    /// Only in the first.
    Removed,
    /// In both, with another size or ETag.
    Replaced,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In which bucket.
    pub bucket: BucketName,
    /// Which object.
    pub key: ObjectKey,
    /// How it differs.
    pub kind: ChangeKind,
}

/// Differences between two surveys: all counted, the first of them named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differences {
    /// How many there are.
    pub total: u64,
    /// At most [`Differences::NAMED`] of them.
    pub named: Vec<Difference>,
}

impl Differences {
    /// How many are kept by name, so that memory does not grow with the bucket.
    pub const NAMED: usize = 1000;

    /// Counts one, and names it while there is room.
    pub fn record(&mut self, difference: Difference) {
        self.total += 1;
        if self.named.len() < Self::NAMED {
            self.named.push(difference);
        }
    }

    /// Adds those of another bucket.
    pub fn add(&mut self, other: Self) {
        let unnamed = other.total - other.named.len() as u64;
        for difference in other.named {
            self.record(difference);
        }
        self.total += unnamed;
    }

    /// Whether some are counted but not named.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total > self.named.len() as u64
    }
}

/// What to do with the two heads of an ordered comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Both are the same object, unchanged: take the next of both.
    Same,
    /// Both are the same object, with another size or ETag: take the next of both.
    Replaced,
    /// The first survey's head is missing from the second: take its next.
    Removed,
    /// The second survey's head is missing from the first: take its next.
    Added,
    /// Both are at their end.
    End,
}

/// Compares the heads of two manifests, both in the order of the keys' bytes.
#[must_use]
pub fn compare(before: Option<&Entry>, after: Option<&Entry>) -> Step {
    match (before, after) {
        (None, None) => Step::End,
        (Some(_), None) => Step::Removed,
        (None, Some(_)) => Step::Added,
        (Some(a), Some(b)) => match a.key.cmp(&b.key) {
            Ordering::Less => Step::Removed,
            Ordering::Greater => Step::Added,
            Ordering::Equal if a.size == b.size && a.etag == b.etag => Step::Same,
            Ordering::Equal => Step::Replaced,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(key: &str, etag: &str) -> Entry {
        Entry {
            key: key.parse().unwrap(),
            size: 1,
            etag: etag.into(),
        }
    }

    #[test]
    fn entries_read_back_and_partial_bytes_ask_for_more() {
        let entry = Entry {
            key: "a//ü b".parse().unwrap(),
            size: u64::MAX,
            etag: "abc-2".into(),
        };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Entry::decode(&mut &bytes[..cut]), Ok(None));
        }
        let mut rest = &bytes[..];
        assert_eq!(Entry::decode(&mut rest), Ok(Some(entry)));
        assert!(rest.is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = &bytes[..];
            while let Ok(Some(_)) = Entry::decode(&mut rest) {}
        }

        #[test]
        fn a_comparison_finds_exactly_what_differs(
            before in proptest::collection::btree_map("[a-c]{1,3}", "[xy]", 0..20),
            after in proptest::collection::btree_map("[a-c]{1,3}", "[xy]", 0..20),
        ) {
            let list = |map: &std::collections::BTreeMap<String, String>| {
                map.iter().map(|(k, v)| entry(k, v)).collect::<Vec<_>>()
            };
            let (left, right) = (list(&before), list(&after));
            let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
            let mut found = Vec::new();
            loop {
                match compare(l.peek().copied(), r.peek().copied()) {
                    Step::End => break,
                    Step::Same => { l.next(); r.next(); }
                    Step::Replaced => { found.push((l.next().unwrap().key.to_string(), 'r')); r.next(); }
                    Step::Removed => found.push((l.next().unwrap().key.to_string(), '-')),
                    Step::Added => found.push((r.next().unwrap().key.to_string(), '+')),
                }
            }
            let mut expected: Vec<_> = before.iter().filter_map(|(k, v)| match after.get(k) {
                None => Some((k.clone(), '-')),
                Some(w) if w != v => Some((k.clone(), 'r')),
                Some(_) => None,
            }).chain(after.keys().filter(|k| !before.contains_key(*k)).map(|k| (k.clone(), '+'))).collect();
            expected.sort();
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
