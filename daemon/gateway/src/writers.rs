//! One writer at a time: of two requests that may only add, and that name one object, the second
//! is refused while the first runs. Only such requests come here. The table holds what is being
//! written now and must never hold anything longer.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bascule_domain::names::{BucketName, ObjectKey};

/// The objects that are being added.
#[derive(Default)]
pub(crate) struct Writers(Mutex<HashSet<Place>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    authority: Box<str>,
    bucket: BucketName,
    /// As the most lenient server would read it.
    folded: Box<str>,
}

impl Writers {
    fn places(&self) -> MutexGuard<'_, HashSet<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a writer of this object, unless one is at work. Connections to one server share
    /// their objects.
    pub(crate) fn admit(
        self: &Arc<Self>,
        authority: &str,
        bucket: &BucketName,
        object: &ObjectKey,
    ) -> Option<Writer> {
        let place = Place {
            authority: authority.into(),
            bucket: bucket.clone(),
            folded: folded(object.as_str()),
        };
        self.places().insert(place.clone()).then(|| Writer {
            writers: Arc::clone(self),
            place,
        })
    }
}

/// Some servers take `a//b`, `a/./b` and `a/x/../b` for `a/b`.
fn folded(name: &str) -> Box<str> {
    let mut segments = Vec::new();
    for segment in name.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    segments.join("/").into()
}

/// The one writer of an object, until dropped.
pub(crate) struct Writer {
    writers: Arc<Writers>,
    place: Place,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.writers.places().remove(&self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_waits_for_the_first_and_nothing_is_left_behind() {
        let writers = Arc::new(Writers::default());
        let bucket: BucketName = "photos".parse().unwrap();
        let admit =
            |authority: &str, name: &str| writers.admit(authority, &bucket, &name.parse().unwrap());
        let first = admit("s3.test", "a/b").unwrap();
        for spelling in ["a/b", "a//b", "/a/b", "a/./b", "a/x/../b", "a/b/"] {
            assert!(admit("s3.test", spelling).is_none(), "{spelling}");
        }
        assert!(admit("other.test", "a/b").is_some());
        assert!(admit("s3.test", "a/c").is_some());
        drop(first);
        assert!(admit("s3.test", "a/b").is_some());
        assert!(writers.places().is_empty());
    }
}
