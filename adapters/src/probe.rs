//! Looks whether a connection would work before it is added. It asks only questions: what can't
//! be known without writing is listed as not checked.

mod failure;

use bascule_domain::{
    connection::{BucketIdentity, Buckets, Location},
    names::{BucketName, ObjectKey},
    secret::Credentials,
};
use http::StatusCode;
use jiff::SignedDuration;

use crate::{
    exchange::{Answer, Exchange, ExchangeError, Question},
    identity::{IdentityError, identities},
    listing::{self, Page},
    xml,
};

pub use failure::ProbeFailure;
use failure::exchange_failure;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Each bucket, in the connection's order.
    pub buckets: Vec<BucketProbe>,
    /// How far this machine's clock is ahead of the provider's, when it is worth a warning.
    pub clock_ahead: Option<SignedDuration>,
}

/// What a probe found about one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketProbe {
    /// Which bucket.
    pub bucket: BucketName,
    /// Which bucket really.
    pub identity: BucketIdentity,
    /// Rights seen to be held.
    pub rights: Vec<Right>,
    /// Rights that were asked for and refused; the connection works without them.
    pub lacking: Vec<Right>,
    /// What was not checked, and why.
    pub not_checked: Vec<String>,
    /// Whether the bucket keeps older versions.
    pub versioning: Versioning,
}

/// A right that can be seen without changing anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// Listing objects.
    List,
    /// Reading objects.
    Read,
    /// Reading the bucket's region.
    Location,
    /// Reading the bucket's versioning setting.
    Versioning,
    /// Listing the account's buckets, which gives the bucket's identity.
    ListBuckets,
}

impl Right {
    /// The right in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list objects",
            Self::Read => "read objects",
            Self::Location => "read the bucket's region",
            Self::Versioning => "read the bucket's versioning",
            Self::ListBuckets => "list buckets",
        }
    }
}

/// Whether a bucket keeps older versions of its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Versioning {
    /// Never switched on.
    Off,
    /// On.
    Enabled,
    /// Switched off again; older versions may exist.
    Suspended,
    /// The provider does not say, or not to these credentials.
    NotTold,
}

/// A difference below this is not worth a word.
const SKEW_WORTH_TELLING: SignedDuration = SignedDuration::from_secs(60);

/// Asks about every bucket. The first failure ends it.
pub(crate) async fn run(
    exchange: &Exchange,
    credentials: &Credentials,
    buckets: &Buckets,
) -> Result<Probe, ProbeFailure> {
    let probing = Probing {
        exchange,
        credentials,
    };
    let mut probes = Vec::with_capacity(buckets.count());
    let mut clock_ahead = None;
    for bucket in buckets.iter() {
        let (probe, ahead) = probing.bucket(bucket).await?;
        probes.push(probe);
        clock_ahead = clock_ahead.or(ahead);
    }
    let mut told = identities(exchange, credentials, buckets.iter())
        .await
        .map_err(|error| match error {
            IdentityError::Exchange(error) => exchange_failure(error),
            IdentityError::Fault(status) => ProbeFailure::ProviderFault {
                status: status.as_u16(),
                code: None,
            },
            IdentityError::Gone => {
                ProbeFailure::Local("a bucket's folder vanished meanwhile".into())
            }
            IdentityError::Folder(error) => ProbeFailure::Local(error.to_string()),
        })?;
    for probe in &mut probes {
        if let Some(identity) = told.remove(&probe.bucket) {
            match identity {
                BucketIdentity::NotTold => probe.lacking.push(Right::ListBuckets),
                _ => probe.rights.push(Right::ListBuckets),
            }
            probe.identity = identity;
        }
    }
    let clock_ahead = clock_ahead.filter(|by: &SignedDuration| by.abs() >= SKEW_WORTH_TELLING);
    Ok(Probe {
        buckets: probes,
        clock_ahead,
    })
}

/// Whether the bucket's objects may be listed: one question, for one object at most.
pub(crate) async fn list(
    exchange: &Exchange,
    credentials: &Credentials,
    bucket: &BucketName,
) -> Result<(), ProbeFailure> {
    let probing = Probing {
        exchange,
        credentials,
    };
    probing.list(bucket).await.map(|_| ())
}

struct Probing<'a> {
    exchange: &'a Exchange,
    credentials: &'a Credentials,
}

impl Probing<'_> {
    async fn ask(&self, question: Question<'_>) -> Result<Answer, ProbeFailure> {
        self.exchange
            .ask(self.credentials, question)
            .await
            .map_err(exchange_failure)
    }

    async fn list(&self, bucket: &BucketName) -> Result<(Answer, Page), ProbeFailure> {
        let query = &[
            ("list-type", "2"),
            ("encoding-type", "url"),
            ("max-keys", "1"),
        ];
        let answer = self
            .ask(Question {
                bucket: Some(bucket),
                query,
                ..Question::default()
            })
            .await?;
        if answer.status != StatusCode::OK {
            return Err(self.refusal(bucket, &answer));
        }
        let page = listing::page(&answer.body).map_err(|_| wrong_endpoint(&answer))?;
        Ok((answer, page))
    }

    async fn bucket(
        &self,
        bucket: &BucketName,
    ) -> Result<(BucketProbe, Option<SignedDuration>), ProbeFailure> {
        let (answer, page) = self.list(bucket).await?;
        let mut probe = BucketProbe {
            bucket: bucket.clone(),
            identity: BucketIdentity::NotTold,
            rights: vec![Right::List],
            lacking: Vec::new(),
            not_checked: vec![
                "writing and deleting: not tried, a probe never changes a bucket".into(),
            ],
            versioning: Versioning::NotTold,
        };
        match page.objects.first() {
            Some(object) => self.reading(&mut probe, &object.entry.key).await?,
            None => probe
                .not_checked
                .push("reading: not tried, the bucket is empty".into()),
        }
        self.configuration(&mut probe).await?;
        Ok((probe, answer.clock_ahead()))
    }

    async fn reading(&self, probe: &mut BucketProbe, key: &ObjectKey) -> Result<(), ProbeFailure> {
        let bucket = probe.bucket.clone();
        let question = Question {
            bucket: Some(&bucket),
            key: Some(key),
            first_byte: true,
            ..Question::default()
        };
        // A server that ignores the range may send a large object, which is not read to its end.
        let status = match self.exchange.ask(self.credentials, question).await {
            Ok(answer) => answer.status,
            Err(ExchangeError::TooLarge) => StatusCode::OK,
            Err(error) => return Err(exchange_failure(error)),
        };
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                probe.rights.push(Right::Read);
            }
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => probe.lacking.push(Right::Read),
            other => probe
                .not_checked
                .push(format!("reading: the provider answered {}", other.as_u16())),
        }
        Ok(())
    }

    async fn configuration(&self, probe: &mut BucketProbe) -> Result<(), ProbeFailure> {
        let bucket = probe.bucket.clone();
        for (name, right) in [
            ("location", Right::Location),
            ("versioning", Right::Versioning),
        ] {
            let query = &[(name, "")];
            let answer = self
                .ask(Question {
                    bucket: Some(&bucket),
                    query,
                    ..Question::default()
                })
                .await?;
            match answer.status {
                StatusCode::OK => {
                    if right == Right::Versioning {
                        probe.versioning = versioning(&answer);
                    }
                    probe.rights.push(right);
                }
                StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => probe.lacking.push(right),
                _ => probe
                    .not_checked
                    .push(format!("{}: the provider does not tell", right.as_str())),
            }
        }
        Ok(())
    }

    /// What a refusal to list means (provider-keys.md §0 and §5).
    fn refusal(&self, bucket: &BucketName, answer: &Answer) -> ProbeFailure {
        let region = answer.named_region();
        let Some(error) = answer.s3_error() else {
            return match answer.status {
                StatusCode::MOVED_PERMANENTLY | StatusCode::TEMPORARY_REDIRECT
                    if region.is_some() =>
                {
                    ProbeFailure::WrongRegion { right: region }
                }
                status if status.is_server_error() => ProbeFailure::ProviderFault {
                    status: status.as_u16(),
                    code: None,
                },
                _ => wrong_endpoint(answer),
            };
        };
        let message = error.message.to_ascii_lowercase();
        match error.code.as_str() {
            "NoSuchBucket" => ProbeFailure::NoSuchBucket {
                bucket: bucket.clone(),
                make: self.make(bucket),
            },
            "PermanentRedirect"
            | "TemporaryRedirect"
            | "AuthorizationHeaderMalformed"
            | "InvalidRegion"
            | "IllegalLocationConstraintException" => ProbeFailure::WrongRegion { right: region },
            "RequestTimeTooSkewed" | "RequestExpired" => ProbeFailure::ClockSkew {
                by: answer.clock_ahead(),
            },
            "InvalidAccessKeyId" | "InvalidClientTokenId" => ProbeFailure::UnknownKey,
            // R2 answers 401 to ids it does not know, and 400 to ids that are not 32 characters.
            "Unauthorized" => ProbeFailure::UnknownKey,
            "InvalidArgument" if message.contains("access key") => ProbeFailure::UnknownKey,
            // What MinIO's console says to S3 requests.
            "InvalidArgument" if message.contains("api port") => ProbeFailure::WrongEndpoint {
                seen: "this is the server's web console".into(),
            },
            "SignatureDoesNotMatch" => ProbeFailure::WrongSecret,
            // Garage says AccessDenied to everything; only the message differs.
            "AccessDenied" if message.contains("no such key") => ProbeFailure::UnknownKey,
            "AccessDenied" if message.contains("invalid signature") => ProbeFailure::WrongSecret,
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => ProbeFailure::NoPermission {
                bucket: bucket.clone(),
                what: Right::List,
            },
            _ => ProbeFailure::ProviderFault {
                status: answer.status.as_u16(),
                code: Some(error.code),
            },
        }
    }

    fn make(&self, bucket: &BucketName) -> Option<String> {
        match self.exchange.location() {
            Location::Folder { path } => {
                let folder = path.join(bucket.as_str());
                let quoted = folder.display().to_string().replace('\'', r"'\''");
                Some(format!("mkdir '{quoted}'"))
            }
            Location::Server { .. } => None,
        }
    }
}

/// What an answer to a question for the versioning means.
pub(crate) fn versioning(answer: &Answer) -> Versioning {
    let mut status = Versioning::Off;
    let read = xml::walk(&answer.body, "VersioningConfiguration", |path, text| {
        if path == ["VersioningConfiguration", "Status"] {
            status = match text.trim() {
                "Enabled" => Versioning::Enabled,
                "Suspended" => Versioning::Suspended,
                _ => Versioning::Off,
            };
        }
        Ok(())
    });
    if read.is_ok() {
        status
    } else {
        Versioning::NotTold
    }
}

fn wrong_endpoint(answer: &Answer) -> ProbeFailure {
    let body =
        String::from_utf8_lossy(&answer.body[..answer.body.len().min(2048)]).to_ascii_lowercase();
    let status = answer.status.as_u16();
    let seen = if body.contains("http request to an https server")
        || body.contains("http request was sent to https port")
    {
        "the port speaks TLS; use https://".to_owned()
    } else if body.contains("<html") || body.contains("<!doctype html") {
        format!("it answers {status} with a web page")
    } else {
        format!("it answers {status} without S3's XML")
    };
    ProbeFailure::WrongEndpoint { seen }
}

#[cfg(test)]
mod tests;
