//! The manifest: what a bucket holds, in one order. It is put together from stretches, each of
//! which says what lies between two keys; the stretches that are missing are the gaps.
//!
//! The order is that of the keys' bytes, and within one key that of [`Item`]. Unfinished uploads
//! come after everything else. Nothing here lists, stores or hashes.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{names::ObjectKey, survey::Subject};

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// The current object, where versions are not listed.
    Object,
    /// A version by its id, current or older.
    Version(Box<str>),
    /// A delete marker by its id.
    Marker(Box<str>),
    /// A multipart upload that is under way, by its id.
    Upload(Box<str>),
}

impl Item {
    const fn tag(&self) -> u8 {
        match self {
            Self::Object => 0,
            Self::Version(_) => 1,
            Self::Marker(_) => 2,
            Self::Upload(_) => 3,
        }
    }

    fn of(tag: u8, id: Option<Box<str>>) -> Option<Self> {
        match (tag, id) {
            (0, None) => Some(Self::Object),
            (1, Some(id)) => Some(Self::Version(id)),
            (2, Some(id)) => Some(Self::Marker(id)),
            (3, Some(id)) => Some(Self::Upload(id)),
            _ => None,
        }
    }

    /// The version's, marker's or upload's id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Object => None,
            Self::Version(id) | Self::Marker(id) | Self::Upload(id) => Some(id),
        }
    }

    /// Whether it is an unfinished upload.
    #[must_use]
    pub const fn is_upload(&self) -> bool {
        matches!(self, Self::Upload(_))
    }
}

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Line", try_from = "Line")]
pub struct Entry {
    /// Its key.
    pub key: ObjectKey,
    /// What stands under it.
    pub item: Item,
    /// Bytes; 0 for markers and uploads.
    pub size: u64,
    /// The ETag, without quotes; empty for markers and uploads.
    pub etag: String,
}

/// The bytes are not what a manifest is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a manifest entry")]
pub struct EntryError;

/// An entry as a kept manifest shows it, one line of JSON for each.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    subject: Subject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        let holds = matches!(entry.item, Item::Object | Item::Version(_));
        Self {
            size: holds.then_some(entry.size),
            etag: holds.then(|| entry.etag.clone()),
            subject: entry.into(),
        }
    }
}

impl TryFrom<Line> for Entry {
    type Error = EntryError;

    fn try_from(line: Line) -> Result<Self, EntryError> {
        let (key, item) = match line.subject {
            Subject::Object { key } => (key, Item::Object),
            Subject::Version { key, id } => (key, Item::Version(id)),
            Subject::Marker { key, id } => (key, Item::Marker(id)),
            Subject::Upload { key, id } => (key, Item::Upload(id)),
            Subject::Setting { .. } => return Err(EntryError),
        };
        Ok(Self {
            key,
            item,
            size: line.size.unwrap_or_default(),
            etag: line.etag.unwrap_or_default(),
        })
    }
}

impl Entry {
    /// A current object.
    #[must_use]
    pub const fn object(key: ObjectKey, size: u64, etag: String) -> Self {
        Self {
            key,
            item: Item::Object,
            size,
            etag,
        }
    }

    /// Where it stands in a manifest, compared with another one.
    #[must_use]
    pub fn place(&self, other: &Self) -> Ordering {
        let uploads = self.item.is_upload().cmp(&other.item.is_upload());
        uploads
            .then_with(|| {
                self.key
                    .as_str()
                    .as_bytes()
                    .cmp(other.key.as_str().as_bytes())
            })
            .then_with(|| self.item.cmp(&other.item))
    }

    /// Appends the one form that digests are made over: kind (u8), length of the key (u16), key,
    /// length of the id (u16) and id unless it is a plain object, size (u64), length of the ETag
    /// (u16), ETag; integers big-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.item.tag());
        field(out, self.key.as_str());
        if let Some(id) = self.item.id() {
            field(out, id);
        }
        out.extend_from_slice(&self.size.to_be_bytes());
        field(out, &self.etag);
    }
}

/// Keys have at most 1024 bytes; anything longer than its length field holds is cut.
fn field(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// What to do with the two heads of an ordered comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Both are the same, unchanged: take the next of both.
    Same,
    /// Both are the same, with another size or ETag: take the next of both.
    Replaced,
    /// The first survey's head is missing from the second: take its next.
    Removed,
    /// The second survey's head is missing from the first: take its next.
    Added,
    /// Both are at their end.
    End,
}

/// Compares the heads of two manifests, both in order.
#[must_use]
pub fn compare(before: Option<&Entry>, after: Option<&Entry>) -> Step {
    match (before, after) {
        (None, None) => Step::End,
        (Some(_), None) => Step::Removed,
        (None, Some(_)) => Step::Added,
        (Some(a), Some(b)) => match a.place(b) {
            Ordering::Less => Step::Removed,
            Ordering::Greater => Step::Added,
            Ordering::Equal if a.size == b.size && a.etag == b.etag => Step::Same,
            Ordering::Equal => Step::Replaced,
        },
    }
}

/// The keys behind `after` up to and including `until`; no bound where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Gap {
    /// Not part of it itself.
    pub after: Option<ObjectKey>,
    /// Part of it itself.
    pub until: Option<ObjectKey>,
}

impl Gap {
    /// Whether a key lies in it.
    #[must_use]
    pub fn holds(&self, key: &ObjectKey) -> bool {
        self.after.as_ref().is_none_or(|after| after < key)
            && self.until.as_ref().is_none_or(|until| key <= until)
    }
}

/// What is still to be listed when these gaps, in any order, have been; in order.
#[must_use]
pub fn gaps(listed: impl IntoIterator<Item = Gap>) -> Vec<Gap> {
    let mut listed: Vec<_> = listed.into_iter().collect();
    listed.sort_by(|a, b| a.after.cmp(&b.after));
    let mut missing = Vec::new();
    // The end of what is known to be listed; `None` once it is the end of all keys.
    let mut reached = Some(None::<ObjectKey>);
    for Gap { after, until } in listed {
        let Some(from) = &reached else { break };
        if after > *from {
            missing.push(Gap {
                after: from.clone(),
                until: after,
            });
        }
        match until {
            None => reached = None,
            Some(until) => {
                if from.as_ref().is_none_or(|from| *from < until) {
                    reached = Some(Some(until));
                }
            }
        }
    }
    if let Some(from) = reached {
        missing.push(Gap {
            after: from,
            until: None,
        });
    }
    missing
}

/// All that a bucket holds in one gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Where it lies.
    pub gap: Gap,
    /// What is there, in order; never uploads.
    pub entries: Vec<Entry>,
    /// How many current objects are among the entries.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An ETag in its packed form.
mod etag {
    pub(super) const NONE: u8 = 0;
    /// 16 bytes of an MD5.
    pub(super) const MD5: u8 = 1;
    /// The same, with a number of parts behind a dash.
    pub(super) const PARTS: u8 = 2;
    pub(super) const TEXT: u8 = 3;
}

impl Stretch {
    /// Appends a compact form: keys without what they share with the key before, MD5s as bytes,
    /// numbers as long as they need to be.
    pub fn pack(&self, out: &mut Vec<u8>) {
        for bound in [&self.gap.after, &self.gap.until] {
            pack_text(out, bound.as_ref().map_or("", ObjectKey::as_str));
        }
        pack_number(out, self.objects);
        pack_number(out, self.bytes);
        pack_number(out, self.entries.len() as u64);
        let mut previous = "";
        for entry in &self.entries {
            let key = entry.key.as_str();
            let shared = shared(previous, key);
            out.push(entry.item.tag());
            pack_number(out, shared as u64);
            pack_text(out, &key[shared..]);
            if let Some(id) = entry.item.id() {
                pack_text(out, id);
            }
            pack_number(out, entry.size);
            pack_etag(out, &entry.etag);
            previous = key;
        }
    }

    /// Reads what [`Self::pack`] wrote, and nothing else.
    pub fn unpack(mut bytes: &[u8]) -> Result<Self, EntryError> {
        let rest = &mut bytes;
        let bound = |rest: &mut &[u8]| match unpack_text(rest)? {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| EntryError),
        };
        let gap = Gap {
            after: bound(rest)?,
            until: bound(rest)?,
        };
        let (objects, total) = (unpack_number(rest)?, unpack_number(rest)?);
        let count = unpack_number(rest)?;
        // Each entry has more than one byte: a count that lies can't ask for memory.
        let count = usize::try_from(count).map_err(|_| EntryError)?;
        let mut entries: Vec<Entry> = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..count {
            let tag = take(rest, 1)?[0];
            let shared = usize::try_from(unpack_number(rest)?).map_err(|_| EntryError)?;
            let previous = entries.last().map_or("", |entry| entry.key.as_str());
            let head = previous.get(..shared).ok_or(EntryError)?;
            let key = format!("{head}{}", unpack_text(rest)?);
            let id = match tag {
                0 => None,
                _ => Some(unpack_text(rest)?.into()),
            };
            entries.push(Entry {
                key: key.try_into().map_err(|_| EntryError)?,
                item: Item::of(tag, id).ok_or(EntryError)?,
                size: unpack_number(rest)?,
                etag: unpack_etag(rest)?,
            });
        }
        if !rest.is_empty() {
            return Err(EntryError);
        }
        Ok(Self {
            gap,
            entries,
            objects,
            bytes: total,
        })
    }
}

/// How many bytes two texts begin with alike, at a character's edge.
fn shared(a: &str, b: &str) -> usize {
    let mut len = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    while !b.is_char_boundary(len) || !a.is_char_boundary(len) {
        len -= 1;
    }
    len
}

fn pack_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn unpack_number(rest: &mut &[u8]) -> Result<u64, EntryError> {
    let mut number = 0_u64;
    for place in 0..10 {
        let byte = take(rest, 1)?[0];
        let digits = u64::from(byte & 0x7f);
        let shifted = digits << (7 * place);
        if shifted >> (7 * place) != digits {
            return Err(EntryError);
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(EntryError)
}

fn pack_text(out: &mut Vec<u8>, text: &str) {
    pack_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn unpack_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, EntryError> {
    let len = usize::try_from(unpack_number(rest)?).map_err(|_| EntryError)?;
    std::str::from_utf8(take(rest, len)?).map_err(|_| EntryError)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], EntryError> {
    let (head, tail) = rest.split_at_checked(len).ok_or(EntryError)?;
    *rest = tail;
    Ok(head)
}

fn pack_etag(out: &mut Vec<u8>, text: &str) {
    let hex = data_encoding::HEXLOWER;
    let (digest, parts) = match text.split_once('-') {
        Some((digest, parts)) => (digest, parts.parse::<u64>().ok()),
        None => (text, None),
    };
    let mut md5 = [0; 16];
    let is_md5 = digest.len() == 32 && hex.decode_mut(digest.as_bytes(), &mut md5).is_ok();
    match parts {
        _ if text.is_empty() => out.push(etag::NONE),
        None if is_md5 && digest == text => {
            out.push(etag::MD5);
            out.extend_from_slice(&md5);
        }
        // `-07` would not come back as it was.
        Some(parts) if is_md5 && text[33..] == parts.to_string() => {
            out.push(etag::PARTS);
            out.extend_from_slice(&md5);
            pack_number(out, parts);
        }
        _ => {
            out.push(etag::TEXT);
            pack_text(out, text);
        }
    }
}

fn unpack_etag(rest: &mut &[u8]) -> Result<String, EntryError> {
    let hex = data_encoding::HEXLOWER;
    Ok(match take(rest, 1)?[0] {
        etag::NONE => String::new(),
        etag::MD5 => hex.encode(take(rest, 16)?),
        etag::PARTS => {
            let digest = hex.encode(take(rest, 16)?);
            format!("{digest}-{}", unpack_number(rest)?)
        }
        etag::TEXT => unpack_text(rest)?.to_owned(),
        _ => return Err(EntryError),
    })
}

#[cfg(test)]
mod tests;
