//! Which multipart uploads were begun through a connection, by which key, and for which objects
//! (threats.md B2).
//! An id is a name that anybody may have overheard: it must never open an upload of another
//! object, or of another connection. Ids that nobody here has seen are left to the provider, which
//! binds them to bucket and key itself.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use bascule_domain::{
    access::Permit,
    ids::KeyId,
    names::{BucketName, ObjectKey},
    operation::Target,
};
use quick_xml::escape::unescape;

use crate::{cells::ConnectionCell, keyring::Keyring, respond::Refusal};

/// Uploads that are remembered for one connection: the newest ones.
const MOST: usize = 10_000;
/// Bytes of an id that is remembered.
const LONGEST_ID: usize = 1024;

#[derive(Clone, PartialEq, Eq)]
struct Object {
    bucket: BucketName,
    key: ObjectKey,
    begun_by: KeyId,
}

/// The uploads of one connection.
#[derive(Default)]
pub(crate) struct Uploads {
    /// A provider may give one id to uploads of several objects.
    objects: papaya::HashMap<Arc<str>, Arc<[Object]>>,
    /// In the order of their beginning; some may have ended since. Taken only where an upload
    /// begins.
    begun: Mutex<VecDeque<Arc<str>>>,
}

impl Uploads {
    /// Remembers an upload that the provider has begun.
    pub(crate) fn begin(&self, id: &str, by: KeyId, bucket: &BucketName, key: &ObjectKey) {
        if id.is_empty() || id.len() > LONGEST_ID {
            return;
        }
        let id: Arc<str> = id.into();
        let object = Object {
            bucket: bucket.clone(),
            key: key.clone(),
            begun_by: by,
        };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let objects = self.objects.pin();
        objects.update_or_insert_with(
            Arc::clone(&id),
            |known| {
                let others = known.iter().filter(|other| **other != object).cloned();
                others.chain([object.clone()]).collect()
            },
            || Arc::new([object.clone()]),
        );
        begun.push_back(id);
        if begun.len() > MOST
            && let Some(oldest) = begun.pop_front()
        {
            objects.remove(&oldest);
        }
    }

    /// Forgets an upload that has ended.
    pub(crate) fn end(&self, id: &str) {
        self.objects.pin().remove(id);
    }

    /// How many are not seen to have ended, by the key that began them.
    pub(crate) fn open(&self) -> BTreeMap<KeyId, usize> {
        let mut open = BTreeMap::new();
        for objects in self.objects.pin().values() {
            for object in objects.iter() {
                *open.entry(object.begun_by).or_default() += 1;
            }
        }
        open
    }

    fn knows(&self, id: &str) -> bool {
        self.objects.pin().contains_key(id)
    }

    /// Which key began this upload of this object: the inner `None` if the upload is of another
    /// one, the outer if the id is not known.
    fn beginner(&self, id: &str, bucket: &BucketName, key: &ObjectKey) -> Option<Option<KeyId>> {
        let objects = self.objects.pin();
        let mut known = objects.get(id)?.iter();
        let known = known.find(|object| object.bucket == *bucket && object.key == *key);
        Some(known.map(|object| object.begun_by))
    }
}

/// The upload that a request names.
pub(crate) fn named(query: &[(String, String)]) -> Option<&str> {
    query
        .iter()
        .find(|(name, _)| name == "uploadId")
        .map(|(_, id)| id.as_str())
}

/// Refuses a request about an upload that belongs elsewhere. The provider is not asked. A permit
/// for the key's own uploads covers those that it is known to have begun, and no others.
pub(crate) fn refuse_foreign(
    keyring: &Keyring,
    connection: &ConnectionCell,
    permit: &Permit,
    query: &[(String, String)],
) -> Result<(), Refusal> {
    let (Some(id), Target::Object { bucket, key }) = (named(query), &permit.operation().target)
    else {
        return Ok(());
    };
    let ours = match connection.uploads.beginner(id, bucket, key) {
        Some(Some(begun_by)) => !permit.own_uploads_only() || begun_by == permit.key(),
        Some(None) => false,
        None => {
            !permit.own_uploads_only()
                && !keyring.any_other(connection.id(), |other| other.uploads.knows(id))
        }
    };
    if ours {
        Ok(())
    } else {
        Err(Refusal::NoSuchUpload)
    }
}

/// The id in the answer to `CreateMultipartUpload`.
pub(crate) fn id_in(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let (_, rest) = text.split_once("<UploadId>")?;
    let (id, _) = rest.split_once("</UploadId>")?;
    unescape(id.trim()).ok().map(|id| id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_id_may_belong_to_several_objects_and_old_ones_are_forgotten() {
        let uploads = Uploads::default();
        let bucket: BucketName = "photos".parse().unwrap();
        let key = |text: &str| text.parse::<ObjectKey>().unwrap();
        let by = KeyId::from_random([1; 10]);
        uploads.begin("u", by, &bucket, &key("a"));
        uploads.begin("u", by, &bucket, &key("b"));
        assert_eq!(uploads.open(), BTreeMap::from([(by, 2)]));
        let beginner = |id: &str, name: &str| uploads.beginner(id, &bucket, &key(name));
        assert_eq!(beginner("u", "a"), Some(Some(by)));
        assert_eq!(beginner("u", "b"), Some(Some(by)));
        assert_eq!(beginner("u", "c"), Some(None));
        for number in 0..MOST {
            uploads.begin(&format!("n{number}"), by, &bucket, &key("a"));
        }
        assert_eq!(beginner("u", "a"), None);
        assert_eq!(uploads.objects.len(), MOST);
        uploads.end("n5");
        assert_eq!(beginner("n5", "a"), None);
    }

    #[test]
    fn the_id_is_read_as_xml() {
        let answer = b"<?xml version=\"1.0\"?><R><Key>k</Key><UploadId>a&amp;b</UploadId></R>";
        assert_eq!(id_in(answer).as_deref(), Some("a&b"));
        assert_eq!(id_in(b"<UploadId>"), None);
    }
}
