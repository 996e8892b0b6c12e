//! What tells a bucket from another one of the same name: the creation date that ListBuckets
//! states, or the inode of a folder.

use std::{collections::BTreeMap, io};

use bascule_domain::{
    connection::{BucketIdentity, Location},
    names::BucketName,
    secret::Credentials,
};
use http::StatusCode;

use crate::{
    exchange::{Exchange, ExchangeError, Question},
    listing,
    local::folder_identity,
};

/// Why identities are not known.
#[derive(Debug)]
pub(crate) enum IdentityError {
    Exchange(ExchangeError),
    /// The server answers with a fault of its own.
    Fault(StatusCode),
    /// The folder of a local bucket is gone.
    Gone,
    /// The folder can't be looked at.
    Folder(io::Error),
}

/// ListBuckets answers in pages of at most 10,000; more pages than this are not read.
const PAGES: usize = 100;

/// The identity of each of these buckets. A provider that does not tell these credentials is no
/// error: the identity is then not told.
pub(crate) async fn identities<'a>(
    exchange: &Exchange,
    credentials: &Credentials,
    buckets: impl Iterator<Item = &'a BucketName>,
) -> Result<BTreeMap<BucketName, BucketIdentity>, IdentityError> {
    let mut found: BTreeMap<_, _> = buckets
        .map(|bucket| (bucket.clone(), BucketIdentity::NotTold))
        .collect();
    if let Location::Folder { path } = exchange.location() {
        for (bucket, identity) in &mut found {
            *identity = folder_identity(path, bucket).map_err(|error| match error.kind() {
                // Without the whole folder nothing is known of a bucket.
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory if path.is_dir() => {
                    IdentityError::Gone
                }
                _ => IdentityError::Folder(error),
            })?;
        }
        return Ok(found);
    }
    each_bucket(exchange, credentials, |name, date| {
        let date = date.filter(|date| says_when(date));
        if let (Some(identity), Some(date)) = (found.get_mut(&name), date) {
            *identity = BucketIdentity::CreationDate(date);
        }
    })
    .await?;
    Ok(found)
}

/// Servers that don't know a bucket's date, as MinIO of a folder that was there before it, send their
/// language's zero: every such bucket would be "the same" as every other.
fn says_when(date: &str) -> bool {
    !["0001-01-01T", "1970-01-01T00:00:00"]
        .iter()
        .any(|zero| date.starts_with(zero))
}

/// Hands over every bucket that a server tells these credentials of, with its creation date.
pub(crate) async fn each_bucket(
    exchange: &Exchange,
    credentials: &Credentials,
    mut tell: impl FnMut(BucketName, Option<String>),
) -> Result<(), IdentityError> {
    let mut token: Option<String> = None;
    for _ in 0..PAGES {
        let query: Vec<(&str, &str)> = token
            .iter()
            .map(|token| ("continuation-token", token.as_str()))
            .collect();
        let question = Question {
            query: &query,
            ..Question::default()
        };
        let answer = exchange
            .ask(credentials, question)
            .await
            .map_err(IdentityError::Exchange)?;
        // Also what only asks for patience: it must not be taken for a refusal.
        if answer.status.is_server_error() || matches!(answer.status.as_u16(), 408 | 429) {
            return Err(IdentityError::Fault(answer.status));
        }
        // Refusals and foreign answers both mean that we are not told.
        let Ok(page) = listing::buckets(&answer.body) else {
            break;
        };
        for (name, date) in page.buckets {
            if let Ok(name) = name.parse() {
                tell(name, date);
            }
        }
        if page.next.is_none() || page.next == token {
            break;
        }
        token = page.next;
    }
    Ok(())
}
