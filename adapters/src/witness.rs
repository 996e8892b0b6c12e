//! Eyes on buckets: listings, identity, existence. The witness has no call that changes anything,
//! and its exchange knows no method but GET.

use std::{sync::Arc, time::Duration};

use bascule_domain::{
    connection::BucketIdentity, names::BucketName, secret::Credentials, survey::Entry,
};
use http::StatusCode;
use jiff::Timestamp;

use crate::{
    exchange::{Answer, Exchange, ExchangeError, Question},
    identity::{IdentityError, identities},
    listing::{self, Order, Page},
    transport::TransportErrorKind,
};

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
    /// The answer is not what was asked for.
    #[error("the provider's answer can't be used: {0}")]
    Malformed(String),
}

/// How often an exchange that may be repeated is tried.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const PAGE_SIZE: &str = "1000";

/// Sees buckets through one set of credentials.
#[derive(Clone)]
pub struct Witness {
    inner: Arc<Inner>,
}

struct Inner {
    exchange: Exchange,
    credentials: Credentials,
}

impl Witness {
    pub(crate) fn new(exchange: Exchange, credentials: Credentials) -> Self {
        Self {
            inner: Arc::new(Inner {
                exchange,
                credentials,
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
            .page(bucket, &[("list-type", "2"), ("max-keys", "1")])
            .await
        {
            Ok(_) => Ok(true),
            Err(WitnessError::Gone(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All current objects, page by page, in the order of their keys' bytes.
    #[must_use]
    pub fn list(&self, bucket: &BucketName) -> Lister {
        Lister {
            witness: self.clone(),
            bucket: bucket.clone(),
            at: Position::Start,
            order: Order::default(),
            without_etag: 0,
        }
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

    async fn page(
        &self,
        bucket: &BucketName,
        query: &[(&str, &str)],
    ) -> Result<Page, WitnessError> {
        let mut attempt = 0;
        loop {
            let error = match self.page_once(bucket, query).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            attempt += 1;
            pause_or(error, attempt).await?;
        }
    }

    async fn page_once(
        &self,
        bucket: &BucketName,
        query: &[(&str, &str)],
    ) -> Result<Page, WitnessError> {
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
        listing::page(&answer.body)
            .map_err(|_| WitnessError::Malformed("it is no listing, or only a part of one".into()))
    }
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
            return Err(WitnessError::Malformed(
                "the listing goes round in circles".into(),
            ));
        }
        *self = next;
        Ok(())
    }
}

/// Lists a whole bucket.
pub struct Lister {
    witness: Witness,
    bucket: BucketName,
    at: Position,
    order: Order,
    without_etag: u64,
}

impl Lister {
    /// The next page, or `None` after the last. After an error the listing can't go on.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Entry>>, WitnessError> {
        let token = match &self.at {
            Position::Start => None,
            Position::After(token) => Some(token.as_str()),
            Position::End => return Ok(None),
        };
        let mut query = vec![
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", PAGE_SIZE),
        ];
        query.extend(token.map(|token| ("continuation-token", token)));
        let page = self.witness.page(&self.bucket, &query).await?;
        self.without_etag += page
            .objects
            .iter()
            .filter(|object| !object.has_etag)
            .count() as u64;
        let entries: Vec<Entry> = page
            .objects
            .into_iter()
            .map(|object| object.entry)
            .collect();
        if !self.order.admits(&entries) {
            return Err(WitnessError::NotOrdered(self.bucket.clone()));
        }
        self.at.advance(page.next)?;
        Ok(Some(entries))
    }

    /// How many objects so far came without an ETag; of those only key and size are known.
    #[must_use]
    pub const fn without_etag(&self) -> u64 {
        self.without_etag
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
        let page = self.witness.page(&self.bucket, &query).await?;
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
