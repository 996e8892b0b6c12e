//! Compares two kept manifests. Memory does not grow with them.

use bascule_domain::{
    manifest::{Entry, Step, compare},
    names::BucketName,
    survey::{ChangeKind, Difference, Differences},
};
use bascule_store::{ManifestError, ManifestReader};

/// Which of the two can't be read.
pub(super) enum Unreadable {
    Before,
    After(ManifestError),
}

/// What differs between two manifests of a bucket, its uploads only where both list them.
pub(super) fn differences(
    bucket: &BucketName,
    before: ManifestReader,
    after: ManifestReader,
    uploads: bool,
) -> Result<Differences, Unreadable> {
    let mut found = Differences::default();
    // Equal digests are over equal entries.
    if before.manifest().digest == after.manifest().digest {
        return Ok(found);
    }
    let mut before = Heads::of(before, uploads);
    let mut after = Heads::of(after, uploads);
    let mut first = before.next().map_err(|_| Unreadable::Before)?;
    let mut second = after.next().map_err(Unreadable::After)?;
    loop {
        let step = compare(first.as_ref(), second.as_ref());
        let (kind, of_first, of_second) = match step {
            Step::End => return Ok(found),
            Step::Same => (None, true, true),
            Step::Replaced => (Some(ChangeKind::Replaced), true, true),
            Step::Removed => (Some(ChangeKind::Removed), true, false),
            Step::Added => (Some(ChangeKind::Added), false, true),
        };
        let about = if of_first {
            first.take()
        } else {
            second.take()
        };
        if let (Some(kind), Some(entry)) = (kind, about) {
            found.record(Difference {
                bucket: bucket.clone(),
                subject: entry.into(),
                kind,
            });
        }
        if of_first {
            first = before.next().map_err(|_| Unreadable::Before)?;
        }
        if of_second {
            second = after.next().map_err(Unreadable::After)?;
        }
    }
}

/// The entries of a manifest, with its uploads or without.
struct Heads {
    reader: ManifestReader,
    uploads: bool,
}

impl Heads {
    const fn of(reader: ManifestReader, uploads: bool) -> Self {
        Self { reader, uploads }
    }

    fn next(&mut self) -> Result<Option<Entry>, ManifestError> {
        let entry = self.reader.next().transpose()?;
        // Uploads come last.
        Ok(entry.filter(|entry| self.uploads || !entry.item.is_upload()))
    }
}
