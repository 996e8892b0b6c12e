//! Which multipart uploads were begun through a connection, and for which objects (threats.md B2).
//! An id is a name that anybody may have overheard: it must never open an upload of another
//! object, or of another connection. Ids that nobody here has seen are left to the provider, which
//! binds them to bucket and key itself.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bascule_domain::{
    names::{BucketName, ObjectKey},
    operation::{Operation, Target},
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
    pub(crate) fn begin(&self, id: &str, bucket: &BucketName, key: &ObjectKey) {
        if id.is_empty() || id.len() > LONGEST_ID {
            return;
        }
        let id: Arc<str> = id.into();
        let object = Object {
            bucket: bucket.clone(),
            key: key.clone(),
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

    fn knows(&self, id: &str) -> bool {
        self.objects.pin().contains_key(id)
    }

    /// Whether the upload is of this object. `None` if the id is not known.
    fn has(&self, id: &str, bucket: &BucketName, key: &ObjectKey) -> Option<bool> {
        let objects = self.objects.pin();
        let mut known = objects.get(id)?.iter();
        Some(known.any(|object| object.bucket == *bucket && object.key == *key))
    }
}

/// The upload that a request names.
pub(crate) fn named(query: &[(String, String)]) -> Option<&str> {
    query
        .iter()
        .find(|(name, _)| name == "uploadId")
        .map(|(_, id)| id.as_str())
}

/// Refuses a request about an upload that belongs elsewhere. The provider is not asked.
pub(crate) fn refuse_foreign(
    keyring: &Keyring,
    connection: &ConnectionCell,
    operation: &Operation,
    query: &[(String, String)],
) -> Result<(), Refusal> {
    let (Some(id), Target::Object { bucket, key }) = (named(query), &operation.target) else {
        return Ok(());
    };
    let ours = connection
        .uploads
        .has(id, bucket, key)
        .unwrap_or_else(|| !keyring.any_other(connection.id(), |other| other.uploads.knows(id)));
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
        uploads.begin("u", &bucket, &key("a"));
        uploads.begin("u", &bucket, &key("b"));
        assert_eq!(uploads.has("u", &bucket, &key("a")), Some(true));
        assert_eq!(uploads.has("u", &bucket, &key("b")), Some(true));
        assert_eq!(uploads.has("u", &bucket, &key("c")), Some(false));
        for number in 0..MOST {
            uploads.begin(&format!("n{number}"), &bucket, &key("a"));
        }
        assert_eq!(uploads.has("u", &bucket, &key("a")), None);
        assert_eq!(uploads.objects.len(), MOST);
        uploads.end("n5");
        assert_eq!(uploads.has("n5", &bucket, &key("a")), None);
    }

    #[test]
    fn the_id_is_read_as_xml() {
        let answer = b"<?xml version=\"1.0\"?><R><Key>k</Key><UploadId>a&amp;b</UploadId></R>";
        assert_eq!(id_in(answer).as_deref(), Some("a&b"));
        assert_eq!(id_in(b"<UploadId>"), None);
    }
}
