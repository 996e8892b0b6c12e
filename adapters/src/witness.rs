//! Eyes on buckets: listings, settings, identity, existence. The witness has no call that changes
//! anything, and its exchange knows no method but GET.

mod ranges;
mod settings;
mod stretches;
mod uploads;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bascule_domain::{
    connection::BucketIdentity,
    manifest::Entry,
    names::BucketName,
    secret::Credentials,
    survey::{Aspect, Contents, Part, Setting},
};
use http::StatusCode;
use jiff::Timestamp;

use crate::{
    exchange::{Answer, Exchange, ExchangeError, Question},
    identity::{IdentityError, identities},
    listing,
    probe::Versioning,
    transport::TransportErrorKind,
    xml::XmlError,
};

use stretches::Slowed;
pub use stretches::Stretches;
use uploads::UploadPages;
pub use uploads::{OpenUpload, OpenUploads};

/// Why the witness could not see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// The provider is away or failing: try again later.
    #[error("the provider is away: {0}")]
    Away(String),
    /// The provider refuses the connection's credentials, or what they ask.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// The provider says that there is no such bucket.
    #[error("the provider says that the bucket {0} does not exist")]
    Gone(BucketName),
    /// The provider lists keys out of order, so two listings can't be compared.
    #[error("the provider lists the keys of {0} out of order, so its listings can't be compared")]
    NotOrdered(BucketName),
    /// The provider does not begin a listing where it is asked to, so one that broke off can't go
    /// on and has to begin again.
    #[error("the provider can't go on with a listing in its middle")]
    StartIgnored,
    /// One key has more versions than can be held to bring them in order.
    #[error("one object has more versions than can be compared")]
    TooManyVersions,
    /// There are more unfinished uploads than can be held to bring them in order.
    #[error("there are more unfinished uploads than can be compared")]
    TooManyUploads,
    /// The answer is not what was asked for.
    #[error("the provider's answer can't be used: {0}")]
    Malformed(String),
}

/// How often an exchange that may be repeated is tried.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const PAGE_SIZE: &str = "1000";
/// Some servers list uploads in no order, so all are held at once.
const MOST_UPLOADS: usize = 100_000;

/// Sees buckets through one set of credentials.
#[derive(Clone)]
pub struct Witness {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Exchange,
    credentials: Credentials,
    slowed: Slowed,
}

/// What a bucket says of itself, and how its contents can be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Each setting.
    pub settings: BTreeMap<Aspect, Setting>,
    /// What its contents are listed as.
    pub contents: Contents,
    /// What is not listed, and why.
    pub unlisted: BTreeMap<Part, String>,
}

impl Witness {
    pub(crate) fn new(exchange: Exchange, credentials: Credentials) -> Self {
        Self {
            inner: Arc::new(Inner {
                exchange,
                credentials,
                slowed: Slowed::default(),
            }),
        }
    }

    /// What tells the bucket from a later one of its name.
    pub async fn identity(&self, bucket: &BucketName) -> Result<BucketIdentity, WitnessError> {
        let mut attempt = 0;
        loop {
            let asked = identities(
                &self.inner.exchange,
                &self.inner.credentials,
                std::iter::once(bucket),
            );
            let error = match asked.await {
                Ok(found) => {
                    return Ok(found
                        .into_values()
                        .next()
                        .unwrap_or(BucketIdentity::NotTold));
                }
                Err(IdentityError::Exchange(error)) => exchange_error(&error),
                Err(IdentityError::Fault(status)) => {
                    WitnessError::Away(format!("it answers {status}"))
                }
                Err(IdentityError::Gone) => return Err(WitnessError::Gone(bucket.clone())),
                Err(IdentityError::Folder(error)) => {
                    return Err(WitnessError::Away(error.to_string()));
                }
            };
            attempt += 1;
            pause_or(error, attempt).await?;
        }
    }

    /// Whether the bucket exists. Only the provider's explicit `NoSuchBucket` means that it does
    /// not; a refusal is an error, because it tells neither.
    pub async fn exists(&self, bucket: &BucketName) -> Result<bool, WitnessError> {
        match self
            .page(
                bucket,
                &[("list-type", "2"), ("max-keys", "1")],
                listing::page,
            )
            .await
        {
            Ok(_) => Ok(true),
            Err(WitnessError::Gone(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks for every setting, and how the contents are to be listed: where versions are or were
    /// kept, or that is not told, all of them, if the provider lists them.
    pub async fn about(&self, bucket: &BucketName) -> Result<About, WitnessError> {
        let (settings, versioning) = self.settings(bucket).await?;
        let mut about = About {
            settings,
            contents: Contents::Objects,
            unlisted: BTreeMap::new(),
        };
        let query = [("uploads", ""), ("max-uploads", "1")];
        if let Err(error) = self.page(bucket, &query, listing::uploads).await {
            about.unlisted.insert(Part::Uploads, not_listed(error)?);
        }
        if versioning == Versioning::Off {
            return Ok(about);
        }
        let query = [("versions", ""), ("max-keys", "1")];
        match self.page(bucket, &query, listing::versions).await {
            Ok(_) => about.contents = Contents::Versions,
            Err(error) => {
                about.unlisted.insert(Part::Versions, not_listed(error)?);
            }
        }
        Ok(about)
    }

    /// What the provider says of every setting, and whether versions are kept.
    pub async fn settings(
        &self,
        bucket: &BucketName,
    ) -> Result<(BTreeMap<Aspect, Setting>, Versioning), WitnessError> {
        let asked = Aspect::ALL.map(|aspect| async move {
            let (setting, versioning) = self.setting(bucket, aspect).await?;
            Ok::<_, WitnessError>((aspect, setting, versioning))
        });
        let mut versioning = Versioning::NotTold;
        let mut settings = BTreeMap::new();
        for answer in futures_util::future::join_all(asked).await {
            let (aspect, setting, told) = answer?;
            if aspect == Aspect::Versioning {
                versioning = told;
            }
            settings.insert(aspect, setting);
        }
        Ok((settings, versioning))
    }

    /// All multipart uploads that are under way, in order.
    pub async fn uploads(&self, bucket: &BucketName) -> Result<Vec<Entry>, WitnessError> {
        let mut found = Vec::new();
        let mut pages = UploadPages::new(self, bucket);
        while let Some(page) = pages.next().await? {
            found.extend(page.into_iter().map(|marked| marked.entry));
            if found.len() > MOST_UPLOADS {
                return Err(WitnessError::TooManyUploads);
            }
        }
        found.sort_by(Entry::place);
        found.dedup();
        Ok(found)
    }

    /// One level below a prefix, page by page, for people to look at.
    #[must_use]
    pub fn browse(&self, bucket: &BucketName, prefix: &str) -> Browser {
        Browser {
            witness: self.clone(),
            bucket: bucket.clone(),
            prefix: prefix.to_owned(),
            at: Position::Start,
        }
    }

    async fn page<T>(
        &self,
        bucket: &BucketName,
        query: &[(&str, &str)],
        read: impl Fn(&[u8]) -> Result<T, XmlError>,
    ) -> Result<T, WitnessError> {
        let mut attempt = 0;
        loop {
            let error = match self.page_once(bucket, query, &read).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            if matches!(error, WitnessError::Away(_)) {
                self.inner.slowed.note();
            }
            attempt += 1;
            pause_or(error, attempt).await?;
        }
    }

    async fn page_once<T>(
        &self,
        bucket: &BucketName,
        query: &[(&str, &str)],
        read: impl Fn(&[u8]) -> Result<T, XmlError>,
    ) -> Result<T, WitnessError> {
        let question = Question {
            bucket: Some(bucket),
            query,
            ..Question::default()
        };
        let answer = self
            .inner
            .exchange
            .ask(&self.inner.credentials, question)
            .await
            .map_err(|error| exchange_error(&error))?;
        if answer.status != StatusCode::OK {
            return Err(refusal(bucket, &answer));
        }
        read(&answer.body)
            .map_err(|_| WitnessError::Malformed("it is no listing, or only a part of one".into()))
    }
}

/// Why a part of the contents is not listed, if that is what the error means.
fn not_listed(error: WitnessError) -> Result<String, WitnessError> {
    match error {
        WitnessError::Refused(why) => Ok(format!("the provider does not list them: {why}")),
        other => Err(other),
    }
}

fn circles() -> WitnessError {
    WitnessError::Malformed("the listing goes round in circles".into())
}

/// Waits before the next attempt, longer each time; gives the error back when it is final.
async fn pause_or(error: WitnessError, attempt: u32) -> Result<(), WitnessError> {
    if !matches!(error, WitnessError::Away(_)) || attempt >= ATTEMPTS {
        return Err(error);
    }
    tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(attempt - 1)).await;
    Ok(())
}

fn exchange_error(error: &ExchangeError) -> WitnessError {
    match error {
        ExchangeError::Transport(cause) => match cause.kind() {
            TransportErrorKind::Refused(_) => WitnessError::Refused(cause.to_string()),
            _ => WitnessError::Away(cause.to_string()),
        },
        ExchangeError::TooLarge | ExchangeError::Request(_) => {
            WitnessError::Malformed(error.to_string())
        }
    }
}

fn refusal(bucket: &BucketName, answer: &Answer) -> WitnessError {
    let code = answer.s3_error().map(|error| error.code);
    let said = code.clone().unwrap_or_else(|| "no S3 error code".into());
    let status = answer.status.as_u16();
    match (answer.status, code.as_deref()) {
        (StatusCode::NOT_FOUND, Some("NoSuchBucket")) => WitnessError::Gone(bucket.clone()),
        (_, Some("SlowDown" | "RequestTimeout" | "InternalError" | "ServiceUnavailable")) => {
            WitnessError::Away(format!("it answers {status} ({said})"))
        }
        (StatusCode::NOT_IMPLEMENTED, _) => {
            WitnessError::Refused(format!("it answers {status} ({said})"))
        }
        (status, _) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            WitnessError::Away(format!("it answers {} ({said})", status.as_u16()))
        }
        (_, Some(_)) => WitnessError::Refused(format!("it answers {status} ({said})")),
        (_, None) => WitnessError::Malformed(format!("it answers {status} without an S3 error")),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Position {
    Start,
    After(String),
    End,
}

impl Position {
    /// Goes on to where the page says. A server that repeats itself would never end.
    fn advance(&mut self, next: Option<String>) -> Result<(), WitnessError> {
        let next = next.map_or(Self::End, Self::After);
        if next != Self::End && next == *self {
            return Err(circles());
        }
        *self = next;
        Ok(())
    }
}

/// One line of a browsed level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrowseItem {
    /// Keys that go on below this prefix, which ends in `/`.
    Prefix(String),
    /// An object.
    Object {
        /// Key, size, ETag.
        entry: Entry,
        /// When it was written, where the provider tells it.
        last_modified: Option<Timestamp>,
    },
}

/// Browses one level of a bucket.
pub struct Browser {
    witness: Witness,
    bucket: BucketName,
    prefix: String,
    at: Position,
}

impl Browser {
    /// The next page, or `None` after the last: prefixes first, then objects.
    pub async fn next_page(&mut self) -> Result<Option<Vec<BrowseItem>>, WitnessError> {
        let token = match &self.at {
            Position::Start => None,
            Position::After(token) => Some(token.as_str()),
            Position::End => return Ok(None),
        };
        let mut query = vec![
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("delimiter", "/"),
            ("max-keys", PAGE_SIZE),
        ];
        if !self.prefix.is_empty() {
            query.push(("prefix", &self.prefix));
        }
        query.extend(token.map(|token| ("continuation-token", token)));
        let page = self
            .witness
            .page(&self.bucket, &query, listing::page)
            .await?;
        self.at.advance(page.next)?;
        let prefixes = page.prefixes.into_iter().map(BrowseItem::Prefix);
        let objects = page.objects.into_iter().map(|object| BrowseItem::Object {
            entry: object.entry,
            last_modified: object.last_modified,
        });
        Ok(Some(prefixes.chain(objects).collect()))
    }
}

#[cfg(test)]
mod tests;
