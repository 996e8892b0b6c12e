//! Multipart uploads that are under way: page by page, and what a person is told of them.

use bascule_domain::{
    manifest::Item,
    names::{BucketName, ObjectKey},
};
use jiff::Timestamp;

use super::{PAGE_SIZE, Witness, WitnessError, circles};
use crate::listing::{self, Marked};

/// What was seen of a bucket's unfinished uploads in the first pages of their listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenUploads {
    /// How many were seen.
    pub count: u64,
    /// Whether the provider has more than were looked at.
    pub more: bool,
    /// When the oldest of those that were seen was begun, if the provider tells.
    pub oldest: Option<Timestamp>,
    /// The oldest of those that were seen, the oldest one first.
    pub some: Vec<OpenUpload>,
}

/// One upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// What it will be stored as.
    pub key: ObjectKey,
    /// The provider's name for it.
    pub id: Box<str>,
    /// When, if the provider tells.
    pub begun_at: Option<Timestamp>,
}

impl Witness {
    /// Looks at no more than so many pages of a thousand uploads each, and names the `named` oldest.
    pub async fn open_uploads(
        &self,
        bucket: &BucketName,
        most_pages: usize,
        named: usize,
    ) -> Result<OpenUploads, WitnessError> {
        let mut seen = OpenUploads::default();
        let mut pages = UploadPages::new(self, bucket);
        for _ in 0..most_pages {
            let Some(page) = pages.next().await? else {
                break;
            };
            for marked in page {
                if let Item::Upload(id) = marked.entry.item {
                    seen.count += 1;
                    seen.some.push(OpenUpload {
                        key: marked.entry.key,
                        id,
                        begun_at: marked.begun_at,
                    });
                }
            }
            // Those whose age is not told come last.
            seen.some
                .sort_by_key(|upload| (upload.begun_at.is_none(), upload.begun_at));
            seen.some.truncate(named.max(1));
        }
        seen.oldest = seen.some.first().and_then(|upload| upload.begun_at);
        seen.some.truncate(named);
        seen.more = pages.next.is_some();
        Ok(seen)
    }
}

/// The pages of one listing, in the server's order.
pub(super) struct UploadPages<'a> {
    witness: &'a Witness,
    bucket: &'a BucketName,
    begun: bool,
    /// Key and id behind which the next page starts.
    next: Option<(String, String)>,
}

impl<'a> UploadPages<'a> {
    pub(super) const fn new(witness: &'a Witness, bucket: &'a BucketName) -> Self {
        Self {
            witness,
            bucket,
            begun: false,
            next: None,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<Marked>>, WitnessError> {
        if self.begun && self.next.is_none() {
            return Ok(None);
        }
        let mut query = vec![
            ("uploads", ""),
            ("encoding-type", "url"),
            ("max-uploads", PAGE_SIZE),
        ];
        if let Some((key, id)) = &self.next {
            query.push(("key-marker", key));
            query.push(("upload-id-marker", id));
        }
        let page = self
            .witness
            .page(self.bucket, &query, listing::uploads)
            .await?;
        if page.next.is_some() && page.next == self.next {
            return Err(circles());
        }
        (self.begun, self.next) = (true, page.next);
        Ok(Some(page.entries))
    }
}
