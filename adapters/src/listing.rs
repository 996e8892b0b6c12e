//! Parses one page of ListObjectsV2 and of ListBuckets, and keeps the order of pages. Whatever
//! is not understood is an error: a page that is half read would make objects disappear from a
//! survey.

use bascule_domain::{names::ObjectKey, survey::Entry};
use jiff::Timestamp;
use percent_encoding::percent_decode;

use crate::xml::{self, XmlError};

/// One object of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) entry: Entry,
    pub(crate) last_modified: Option<Timestamp>,
    pub(crate) has_etag: bool,
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
                truncated = Some(match text.trim() {
                    "true" => true,
                    "false" => false,
                    _ => return Err(XmlError),
                });
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
    let decode = |text: String| {
        if encoded {
            url_decoded(&text)
        } else {
            Ok(text)
        }
    };
    for draft in drafts {
        let key: ObjectKey = decode(draft.key.ok_or(XmlError)?)?
            .try_into()
            .map_err(|_| XmlError)?;
        let has_etag = draft.etag.as_ref().is_some_and(|etag| !etag.is_empty());
        let entry = Entry {
            key,
            size: draft.size.ok_or(XmlError)?,
            etag: draft.etag.unwrap_or_default(),
        };
        page.objects.push(Listed {
            entry,
            last_modified: draft.last_modified,
            has_etag,
        });
    }
    page.prefixes = page
        .prefixes
        .into_iter()
        .map(decode)
        .collect::<Result<_, _>>()?;
    page.next = match (truncated, next) {
        (Some(true), Some(token)) => Some(token),
        (Some(false), _) => None,
        (Some(true), None) | (None, _) => return Err(XmlError),
    };
    Ok(page)
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

/// Checks that keys arrive in the order of their bytes, across pages.
#[derive(Debug, Default)]
pub(crate) struct Order(Option<ObjectKey>);

impl Order {
    /// Whether this page goes on where the last one ended.
    pub(crate) fn admits(&mut self, page: &[Entry]) -> bool {
        for entry in page {
            if self
                .0
                .as_ref()
                .is_some_and(|last| last.as_str().as_bytes() >= entry.key.as_str().as_bytes())
            {
                return false;
            }
            self.0 = Some(entry.key.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = page(&bytes);
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
