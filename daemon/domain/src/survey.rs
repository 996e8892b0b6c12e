//! The survey: what a look at a bucket came to. Its manifest reduced to figures and a digest, its
//! settings as digests, and what could not be looked at, with the reason. What differs between two
//! surveys is told here; listing and hashing are done elsewhere.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    connection::BucketIdentity,
    manifest::{Entry, EntryError, Item},
    names::{BucketName, ObjectKey},
};

/// How much of a bucket is surveyed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// Everything.
    #[default]
    Full,
    /// Everything is counted, and parts drawn by lot are compared.
    Sample,
    /// Identity and settings only, not the contents.
    Identity,
}

impl Extent {
    /// Every extent.
    pub const ALL: [Self; 3] = [Self::Full, Self::Sample, Self::Identity];

    /// The name on the command line and in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Sample => "sample",
            Self::Identity => "identity",
        }
    }
}

impl std::str::FromStr for Extent {
    type Err = UnknownExtent;

    fn from_str(text: &str) -> Result<Self, UnknownExtent> {
        let found = Self::ALL.into_iter().find(|extent| extent.as_str() == text);
        found.ok_or(UnknownExtent)
    }
}

/// Which of the two surveys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Round {
    /// Before the keys die.
    Before = 0,
    /// After it.
    After = 1,
}

impl Round {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// The text names no extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a survey is full, sample or identity")]
pub struct UnknownExtent;

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

/// A setting of a bucket that a survey asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// Whether versions are kept.
    Versioning,
    /// Whether versions are locked, and for how long.
    ObjectLock,
    /// What expires by itself.
    Lifecycle,
    /// Who may do what.
    Policy,
    /// How objects are encrypted.
    Encryption,
    /// Whose objects of other accounts are.
    Ownership,
    /// Whether public access is shut off.
    PublicAccess,
    /// Grants by access control list.
    Acl,
    /// Which web pages may read.
    Cors,
    /// What is copied elsewhere.
    Replication,
    /// Labels of the bucket.
    Tagging,
}

impl Aspect {
    /// Every setting that is asked for.
    pub const ALL: [Self; 11] = [
        Self::Versioning,
        Self::ObjectLock,
        Self::Lifecycle,
        Self::Policy,
        Self::Encryption,
        Self::Ownership,
        Self::PublicAccess,
        Self::Acl,
        Self::Cors,
        Self::Replication,
        Self::Tagging,
    ];

    /// The setting in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Versioning => "versioning",
            Self::ObjectLock => "object lock",
            Self::Lifecycle => "lifecycle",
            Self::Policy => "policy",
            Self::Encryption => "encryption",
            Self::Ownership => "ownership",
            Self::PublicAccess => "public access",
            Self::Acl => "access control list",
            Self::Cors => "cross-origin rules",
            Self::Replication => "replication",
            Self::Tagging => "tags",
        }
    }
}

/// What the provider says of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer")]
pub enum Setting {
    /// It is set; over the canonical form of the answer.
    Set {
        /// Equal exactly when the answers say the same.
        digest: Digest,
    },
    /// The provider says that it is not set.
    Unset,
    /// It may not be read, or the provider knows no such setting.
    NotTold {
        /// Why, in words.
        reason: String,
    },
}

/// A part of a bucket's contents that some providers do not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Older versions and delete markers.
    Versions,
    /// Multipart uploads that are under way.
    Uploads,
}

impl Part {
    /// The part in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Versions => "older versions and delete markers",
            Self::Uploads => "unfinished multipart uploads",
        }
    }
}

/// Which listing a survey is made from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contents {
    /// Current objects.
    #[default]
    Objects,
    /// All versions and delete markers.
    Versions,
}

/// A survey of one bucket, reduced to what a receipt states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSurvey {
    /// Which bucket.
    pub bucket: BucketName,
    /// Which bucket really.
    pub identity: BucketIdentity,
    /// How much of it was surveyed.
    #[serde(default)]
    pub extent: Extent,
    /// What its contents were listed as.
    #[serde(default)]
    pub contents: Contents,
    /// Current objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Versions, current ones included; 0 where they are not listed.
    #[serde(default)]
    pub versions: u64,
    /// Delete markers.
    #[serde(default)]
    pub markers: u64,
    /// Multipart uploads that are under way.
    #[serde(default)]
    pub uploads: u64,
    /// Objects or versions that came without an ETag: of those only key and size are known.
    #[serde(default)]
    pub without_etag: u64,
    /// How many objects were compared, where not all of them are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<u64>,
    /// What the provider says of each setting.
    #[serde(default)]
    pub settings: BTreeMap<Aspect, Setting>,
    /// What of the contents was not listed, and why.
    #[serde(default)]
    pub unlisted: BTreeMap<Part, String>,
    /// Over all entries.
    pub digest: Digest,
    /// When the listing ended.
    pub taken_at: Timestamp,
}

impl BucketSurvey {
    /// What was not compared, each with its reason.
    pub fn not_compared(&self) -> impl Iterator<Item = String> {
        let bucket = &self.bucket;
        let contents = (self.extent == Extent::Identity)
            .then(|| format!("not compared: the contents of {bucket}, as was asked for"));
        let parts = self
            .unlisted
            .iter()
            .map(move |(part, why)| format!("not compared: {} of {bucket}: {why}", part.as_str()));
        let settings = self.settings.iter().filter_map(move |(aspect, setting)| {
            let Setting::NotTold { reason } = setting else {
                return None;
            };
            let aspect = aspect.as_str();
            Some(format!("not compared: {aspect} of {bucket}: {reason}"))
        });
        let etags = (self.without_etag > 0).then(|| {
            format!(
                "not compared: ETags of {} objects of {bucket}, which the provider does not tell",
                self.without_etag
            )
        });
        contents
            .into_iter()
            .chain(parts)
            .chain(settings)
            .chain(etags)
    }

    /// The settings that differ in a later survey.
    pub fn settings_changed(&self, later: &Self) -> impl Iterator<Item = (Aspect, ChangeKind)> {
        self.settings.iter().filter_map(|(aspect, first)| {
            let kind = match (first, later.settings.get(aspect)?) {
                (Setting::Unset, Setting::Set { .. }) => ChangeKind::Added,
                (Setting::Set { .. }, Setting::Unset) => ChangeKind::Removed,
                (Setting::Set { digest }, Setting::Set { digest: other }) if digest != other => {
                    ChangeKind::Replaced
                }
                _ => return None,
            };
            Some((*aspect, kind))
        })
    }

    /// What this survey knows and a later one could not see any more.
    #[must_use]
    pub fn lost(&self, later: &Self) -> Option<&'static str> {
        let part = later
            .unlisted
            .keys()
            .find(|part| !self.unlisted.contains_key(part));
        let told = |setting: Option<&Setting>| {
            matches!(setting, Some(Setting::Set { .. } | Setting::Unset))
        };
        let mut settings = self.settings.iter();
        let setting =
            settings.find(|(aspect, first)| told(Some(first)) && !told(later.settings.get(aspect)));
        part.map(|part| part.as_str())
            .or(setting.map(|(aspect, _)| aspect.as_str()))
    }
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
    /// In both, with another size, ETag or answer.
    Replaced,
}

impl ChangeKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
        }
    }
}

/// What a difference is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "of")]
pub enum Subject {
    /// A current object.
    Object {
        /// Its key.
        key: ObjectKey,
    },
    /// A version of an object.
    Version {
        /// The object's key.
        key: ObjectKey,
        /// The version's id.
        id: Box<str>,
    },
    /// A delete marker.
    Marker {
        /// The object's key.
        key: ObjectKey,
        /// The marker's version id.
        id: Box<str>,
    },
    /// A multipart upload.
    Upload {
        /// The key it is for.
        key: ObjectKey,
        /// Its id.
        id: Box<str>,
    },
    /// A setting of the bucket.
    Setting {
        /// Which.
        setting: Aspect,
    },
}

impl From<Entry> for Subject {
    fn from(Entry { key, item, .. }: Entry) -> Self {
        match item {
            Item::Object => Self::Object { key },
            Item::Version(id) => Self::Version { key, id },
            Item::Marker(id) => Self::Marker { key, id },
            Item::Upload(id) => Self::Upload { key, id },
        }
    }
}

impl Subject {
    /// The object it is about; none for a setting.
    #[must_use]
    pub const fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Object { key }
            | Self::Version { key, .. }
            | Self::Marker { key, .. }
            | Self::Upload { key, .. } => Some(key),
            Self::Setting { .. } => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object { key } => write!(f, "{key}"),
            Self::Version { key, id } => write!(f, "version {id} of {key}"),
            Self::Marker { key, id } => write!(f, "delete marker {id} of {key}"),
            Self::Upload { key, id } => write!(f, "upload {id} of {key}"),
            Self::Setting { setting } => write!(f, "the setting {}", setting.as_str()),
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In which bucket.
    pub bucket: BucketName,
    /// What differs.
    #[serde(flatten)]
    pub subject: Subject,
    /// How it differs.
    pub kind: ChangeKind,
}

impl Difference {
    /// Whether an object that was there can't be read as before: it, a version of it, or a marker
    /// that hides it.
    #[must_use]
    pub const fn takes_away(&self) -> bool {
        matches!(
            (&self.subject, self.kind),
            (
                Subject::Object { .. } | Subject::Version { .. },
                ChangeKind::Removed
            ) | (Subject::Marker { .. }, ChangeKind::Added)
        )
    }
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

    /// Adds the settings that differ between two surveys.
    pub fn add_settings(&mut self, before: &[BucketOutcome], after: &[BucketOutcome]) {
        for (first, second) in surveyed_twice(before, after) {
            for (setting, kind) in first.settings_changed(second) {
                self.record(Difference {
                    bucket: first.bucket.clone(),
                    subject: Subject::Setting { setting },
                    kind,
                });
            }
        }
    }

    /// Whether some are counted but not named.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.total > self.named.len() as u64
    }
}

/// The buckets that were surveyed both times.
pub fn surveyed_twice<'a>(
    before: &'a [BucketOutcome],
    after: &'a [BucketOutcome],
) -> impl Iterator<Item = (&'a BucketSurvey, &'a BucketSurvey)> {
    before.iter().filter_map(|first| {
        let second = after
            .iter()
            .find(|second| second.bucket() == first.bucket())?;
        match (first, second) {
            (BucketOutcome::Surveyed(first), BucketOutcome::Surveyed(second)) => {
                Some((first, second))
            }
            _ => None,
        }
    })
}
