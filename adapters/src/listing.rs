//! Parses one page of ListObjectsV2, ListObjectVersions, ListMultipartUploads and ListBuckets.
//! Whatever is not understood is an error: a page that is half read would make objects disappear
//! from a survey.

use bascule_domain::{
    manifest::{Entry, Item},
    names::ObjectKey,
};
use jiff::Timestamp;
use percent_encoding::percent_decode;

use crate::xml::{self, XmlError};

/// One object of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) entry: Entry,
    pub(crate) last_modified: Option<Timestamp>,
}

/// One page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Listed>,
    pub(crate) prefixes: Vec<String>,
    /// Where the next page starts; `None` on the last one.
    pub(crate) next: Option<String>,
}

#[derive(Default)]
struct Draft {
    key: Option<String>,
    size: Option<u64>,
    etag: Option<String>,
    last_modified: Option<Timestamp>,
}

/// Reads a page. Keys are as the server's `EncodingType` says: a server that ignored our wish for
/// encoding sends them plain.
pub(crate) fn page(body: &[u8]) -> Result<Page, XmlError> {
    let mut page = Page::default();
    let mut drafts: Vec<Draft> = Vec::new();
    let mut draft = Draft::default();
    let (mut encoded, mut truncated, mut next) = (false, None, None);
    xml::walk(body, "ListBucketResult", |path, text| {
        let Some(inner) = path.get(1..) else {
            return Ok(());
        };
        match inner {
            ["EncodingType"] => encoded = text.trim() == "url",
            ["IsTruncated"] => {
                truncated = Some(truth(text)?);
            }
            ["NextContinuationToken"] => {
                next = Some(text.to_owned()).filter(|token| !token.is_empty());
            }
            ["Contents", "Key"] => draft.key = Some(text.to_owned()),
            ["Contents", "Size"] => draft.size = Some(text.trim().parse().map_err(|_| XmlError)?),
            ["Contents", "ETag"] => draft.etag = Some(text.trim().trim_matches('"').to_owned()),
            ["Contents", "LastModified"] => draft.last_modified = text.trim().parse().ok(),
            ["Contents"] => drafts.push(std::mem::take(&mut draft)),
            ["CommonPrefixes", "Prefix"] => page.prefixes.push(text.to_owned()),
            _ => {}
        }
        Ok(())
    })?;
    let decode = |text| decoded(text, encoded);
    for draft in drafts {
        let key: ObjectKey = decode(draft.key.ok_or(XmlError)?)?
            .try_into()
            .map_err(|_| XmlError)?;
        let size = draft.size.ok_or(XmlError)?;
        page.objects.push(Listed {
            entry: Entry::object(key, size, draft.etag.unwrap_or_default()),
            last_modified: draft.last_modified,
        });
    }
    page.prefixes = page
        .prefixes
        .into_iter()
        .map(decode)
        .collect::<Result<_, _>>()?;
    page.next = more(truncated, next)?;
    Ok(page)
}

/// Where the next page starts. One that is said to exist and can't be found is an error.
fn more<T>(truncated: Option<bool>, next: Option<T>) -> Result<Option<T>, XmlError> {
    match (truncated, next) {
        (Some(true), Some(next)) => Ok(Some(next)),
        (Some(false), _) => Ok(None),
        (Some(true), None) | (None, _) => Err(XmlError),
    }
}

fn truth(text: &str) -> Result<bool, XmlError> {
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(XmlError),
    }
}

/// One version, delete marker or unfinished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) entry: Entry,
    /// Whether it is the current version of its key.
    pub(crate) latest: bool,
    /// When an upload was begun, if that is told in a form that is understood: nothing depends on it.
    pub(crate) begun_at: Option<Timestamp>,
}

/// One page of ListObjectVersions or ListMultipartUploads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MarkedPage {
    /// In the server's order.
    pub(crate) entries: Vec<Marked>,
    /// Key and id behind which the next page starts; `None` on the last one.
    pub(crate) next: Option<(String, String)>,
}

#[derive(Default)]
struct MarkedDraft {
    key: Option<String>,
    id: Option<String>,
    latest: bool,
    begun_at: Option<Timestamp>,
    size: Option<u64>,
    etag: String,
}

/// Reads a page of ListObjectVersions.
pub(crate) fn versions(body: &[u8]) -> Result<MarkedPage, XmlError> {
    marked(body, "ListVersionsResult", |name, draft| {
        // Objects from before versions were kept have the id `null`, also where none is said.
        let id = draft.id.take().unwrap_or_else(|| "null".to_owned()).into();
        Ok(match name {
            "Version" => Some((Item::Version(id), draft.size.ok_or(XmlError)?)),
            "DeleteMarker" => Some((Item::Marker(id), 0)),
            _ => None,
        })
    })
}

/// Reads a page of ListMultipartUploads.
pub(crate) fn uploads(body: &[u8]) -> Result<MarkedPage, XmlError> {
    marked(body, "ListMultipartUploadsResult", |name, draft| {
        Ok(match name {
            "Upload" => Some((Item::Upload(draft.id.take().ok_or(XmlError)?.into()), 0)),
            _ => None,
        })
    })
}

fn marked(
    body: &[u8],
    root: &str,
    mut item: impl FnMut(&str, &mut MarkedDraft) -> Result<Option<(Item, u64)>, XmlError>,
) -> Result<MarkedPage, XmlError> {
    let mut drafts: Vec<(MarkedDraft, Item, u64)> = Vec::new();
    let mut draft = MarkedDraft::default();
    let (mut encoded, mut truncated) = (false, None);
    let (mut next_key, mut next_id) = (None, String::new());
    xml::walk(body, root, |path, text| {
        match path.get(1..).unwrap_or_default() {
            ["EncodingType"] => encoded = text.trim() == "url",
            ["IsTruncated"] => truncated = Some(truth(text)?),
            ["NextKeyMarker"] => next_key = Some(text.to_owned()).filter(|key| !key.is_empty()),
            ["NextVersionIdMarker" | "NextUploadIdMarker"] => next_id = text.to_owned(),
            [_, "Key"] => draft.key = Some(text.to_owned()),
            [_, "VersionId" | "UploadId"] => {
                draft.id = Some(text.to_owned()).filter(|id| !id.is_empty());
            }
            [_, "Initiated"] => draft.begun_at = text.trim().parse().ok(),
            [_, "IsLatest"] => draft.latest = truth(text)?,
            [_, "Size"] => draft.size = Some(text.trim().parse().map_err(|_| XmlError)?),
            [_, "ETag"] => draft.etag = text.trim().trim_matches('"').to_owned(),
            [name] => {
                if let Some((item, size)) = item(name, &mut draft)? {
                    drafts.push((std::mem::take(&mut draft), item, size));
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    let decode = |text| decoded(text, encoded);
    let mut page = MarkedPage::default();
    for (draft, item, size) in drafts {
        let key = decode(draft.key.ok_or(XmlError)?)?;
        let entry = Entry {
            key: key.try_into().map_err(|_| XmlError)?,
            item,
            size,
            etag: draft.etag,
        };
        page.entries.push(Marked {
            entry,
            latest: draft.latest,
            begun_at: draft.begun_at,
        });
    }
    let next = next_key.map(decode).transpose()?;
    page.next = more(truncated, next.map(|key| (key, next_id)))?;
    Ok(page)
}

/// A name as it is, whether or not the page spells names like addresses.
fn decoded(text: String, encoded: bool) -> Result<String, XmlError> {
    if encoded {
        url_decoded(&text)
    } else {
        Ok(text)
    }
}

/// `encoding-type=url`: percent-encoding in which `+` is a blank and a plus is `%2B`.
fn url_decoded(text: &str) -> Result<String, XmlError> {
    let blanks = text.replace('+', " ");
    percent_decode(blanks.as_bytes())
        .decode_utf8()
        .map(Into::into)
        .map_err(|_| XmlError)
}

/// One page of ListBuckets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BucketPage {
    /// Names and creation dates.
    pub(crate) buckets: Vec<(String, Option<String>)>,
    /// Where the next page starts; `None` on the last one.
    pub(crate) next: Option<String>,
}

/// Reads a page of ListBuckets.
pub(crate) fn buckets(body: &[u8]) -> Result<BucketPage, XmlError> {
    let mut page = BucketPage::default();
    let (mut name, mut date) = (None, None);
    xml::walk(body, "ListAllMyBucketsResult", |path, text| {
        match path.get(1..) {
            Some(["Buckets", "Bucket", "Name"]) => name = Some(text.to_owned()),
            Some(["Buckets", "Bucket", "CreationDate"]) => {
                date = Some(text.trim().to_owned()).filter(|date| !date.is_empty());
            }
            Some(["Buckets", "Bucket"]) => page
                .buckets
                .push((name.take().ok_or(XmlError)?, date.take())),
            Some(["ContinuationToken"]) => {
                page.next = Some(text.to_owned()).filter(|t| !t.is_empty());
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = page(&bytes);
            let _ = versions(&bytes);
            let _ = uploads(&bytes);
            let _ = buckets(&bytes);
        }

        #[test]
        fn mangled_pages_never_panic_nor_lose_objects(
            keys in proptest::collection::btree_set("[a-z /+%&<ü]{1,8}", 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut body = String::from("<ListBucketResult><EncodingType>url</EncodingType>");
            for key in &keys {
                let encoded = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
                body.push_str(&format!("<Contents><Key>{encoded}</Key><Size>1</Size></Contents>"));
            }
            body.push_str("<IsTruncated>false</IsTruncated></ListBucketResult>");
            let whole = page(body.as_bytes()).unwrap();
            let found: Vec<&str> = whole.objects.iter().map(|object| object.entry.key.as_str()).collect();
            prop_assert_eq!(found, keys.iter().map(String::as_str).collect::<Vec<_>>());
            let cut = cut.index(body.len());
            prop_assert_eq!(page(&body.as_bytes()[..cut]), Err(XmlError));
        }
    }
}
