//! Looks whether a connection would work before it is added. It asks only questions: what can't
//! be known without writing is listed as not checked.

use bascule_domain::{
    connection::{BucketIdentity, Buckets, Location},
    endpoint::Region,
    names::{BucketName, ObjectKey},
    secret::Credentials,
};
use http::StatusCode;
use jiff::SignedDuration;

use crate::{
    exchange::{Answer, Exchange, ExchangeError, Question},
    guard::Refusal,
    identity::{IdentityError, identities},
    listing,
    transport::{TransportError, TransportErrorKind},
    xml,
};

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

/// Why a connection would not work. `Display` is the cause; [`ProbeFailure::next_step`] what to
/// do about it.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFailure {
    /// Nothing answers there.
    #[error("the provider can't be reached")]
    Unreachable(#[source] TransportError),
    /// Something answers, but no S3 server.
    #[error("what answers at the endpoint is no S3 server: {seen}")]
    WrongEndpoint {
        /// What was seen.
        seen: String,
    },
    /// The bucket is in another region.
    #[error("the region is wrong{}", told(right))]
    WrongRegion {
        /// The right one, if the provider tells it.
        right: Option<Region>,
    },
    /// Requests are signed for a time the provider does not accept.
    #[error("this machine's clock and the provider's differ{}", skew(by))]
    ClockSkew {
        /// How far ours is ahead, if it could be seen.
        by: Option<SignedDuration>,
    },
    /// The TLS handshake failed.
    #[error("no trusted TLS connection")]
    Tls(#[source] TransportError),
    /// The bucket does not exist.
    #[error("there is no bucket {bucket}")]
    NoSuchBucket {
        /// Which bucket.
        bucket: BucketName,
        /// The command that makes it, where there is one.
        make: Option<String>,
    },
    /// The provider does not know the access key id.
    #[error("the provider does not know this access key id")]
    UnknownKey,
    /// The secret does not belong to the access key id.
    #[error("the secret access key does not belong to this access key id")]
    WrongSecret,
    /// The credentials are good but may not do what a connection needs.
    #[error("the credentials may not {} in bucket {bucket}", what.as_str())]
    NoPermission {
        /// In which bucket.
        bucket: BucketName,
        /// What they may not do.
        what: Right,
    },
    /// The endpoint leads to an address that is never dialled.
    #[error("the endpoint leads to {0}, which is not dialled")]
    AddressRefused(Refusal),
    /// The folder can't be used.
    #[error("the folder can't be used: {0}")]
    Local(String),
    /// The provider fails, or answers with something that is not known here.
    #[error("the provider answers {status}{}", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    ProviderFault {
        /// HTTP status.
        status: u16,
        /// S3 error code.
        code: Option<String>,
    },
}

fn told(right: &Option<Region>) -> String {
    right
        .as_ref()
        .map(|region| format!(": the bucket is in {region}"))
        .unwrap_or_default()
}

fn skew(by: &Option<SignedDuration>) -> String {
    by.map(|by| {
        let side = if by.is_negative() { "behind" } else { "ahead" };
        format!(": ours is {} s {side}", by.unsigned_abs().as_secs())
    })
    .unwrap_or_default()
}

impl ProbeFailure {
    /// What to do about it.
    #[must_use]
    pub fn next_step(&self) -> String {
        match self {
            Self::Unreachable(error) => match error.kind() {
                TransportErrorKind::Dns => "check the host name in --endpoint, and this machine's name resolution".into(),
                TransportErrorKind::Timeout => "check host and port in --endpoint, and firewalls on the way".into(),
                _ => "check host and port in --endpoint, and that the server runs".into(),
            },
            Self::WrongEndpoint { .. } => {
                "check scheme, host and port in --endpoint; the S3 port is not the web console's".into()
            }
            Self::WrongRegion { right: Some(region) } => format!("use --region {region}"),
            Self::WrongRegion { right: None } => "look the bucket's region up and give it with --region".into(),
            Self::ClockSkew { .. } => "set this machine's clock (timedatectl set-ntp true), then try again".into(),
            Self::Tls(_) => {
                "check the host name in --endpoint; for a private certificate authority give --ca-file".into()
            }
            Self::NoSuchBucket { make: Some(command), .. } => format!("make it with: {command}"),
            Self::NoSuchBucket { make: None, .. } => {
                "check the name, the account and the region; Bascule makes no buckets".into()
            }
            Self::UnknownKey => "check the access key id, and that the key still exists at the provider".into(),
            Self::WrongSecret => "paste the secret again, whole and without blanks".into(),
            Self::NoPermission { .. } => {
                "give the key that right at the provider, or use another key; check the bucket's name too".into()
            }
            Self::AddressRefused(Refusal::LinkLocal | Refusal::Metadata) => {
                "check --endpoint; if it is really meant, give --allow-link-local".into()
            }
            Self::AddressRefused(Refusal::Own) => {
                "give the provider's own endpoint, not the address of Bascule's gateway".into()
            }
            Self::AddressRefused(_) => "check --endpoint".into(),
            Self::Local(_) => "check that the folder exists and that the daemon's user may read and write it".into(),
            Self::ProviderFault { .. } => "try again later; if it stays, ask the provider".into(),
        }
    }
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

    async fn bucket(
        &self,
        bucket: &BucketName,
    ) -> Result<(BucketProbe, Option<SignedDuration>), ProbeFailure> {
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

fn versioning(answer: &Answer) -> Versioning {
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

fn exchange_failure(error: ExchangeError) -> ProbeFailure {
    match error {
        ExchangeError::TooLarge => ProbeFailure::WrongEndpoint {
            seen: "it answers with more than any S3 server would".into(),
        },
        ExchangeError::Request(why) => ProbeFailure::Local(why.to_string()),
        ExchangeError::Transport(error) => match error.kind() {
            TransportErrorKind::Dns
            | TransportErrorKind::Unreachable
            | TransportErrorKind::Timeout => ProbeFailure::Unreachable(error),
            TransportErrorKind::Refused(refusal) => ProbeFailure::AddressRefused(refusal),
            TransportErrorKind::Tls => ProbeFailure::Tls(error),
            TransportErrorKind::NotTls => ProbeFailure::WrongEndpoint {
                seen: "the port does not speak TLS; use http:// or the server's TLS port".into(),
            },
            TransportErrorKind::Broken => ProbeFailure::WrongEndpoint {
                seen: "it does not answer in HTTP, or breaks off".into(),
            },
            TransportErrorKind::Local => ProbeFailure::Local(error.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{self, Reply, error};

    async fn refused(reply: Reply) -> ProbeFailure {
        let (exchange, _) = canned::exchange([reply]);
        run(&exchange, &canned::credentials(), &canned::buckets())
            .await
            .unwrap_err()
    }

    /// provider-keys.md §5, column by column.
    #[tokio::test]
    async fn refusals_are_told_apart_for_every_provider() {
        for (reply, expected) in [
            (
                error(403, "InvalidAccessKeyId", ""),
                "does not know this access key id",
            ),
            (
                error(401, "Unauthorized", "Unauthorized"),
                "does not know this access key id",
            ),
            (
                error(
                    400,
                    "InvalidArgument",
                    "Credential access key has length 3, should be 32",
                ),
                "does not know this access key id",
            ),
            (
                error(403, "AccessDenied", "Forbidden: No such key: GK1"),
                "does not know this access key id",
            ),
            (
                error(403, "SignatureDoesNotMatch", ""),
                "secret access key does not belong",
            ),
            (
                error(403, "AccessDenied", "Forbidden: Invalid signature"),
                "secret access key does not belong",
            ),
            (
                error(403, "AccessDenied", "Access Denied."),
                "may not list objects in bucket photos",
            ),
            (error(403, "RequestTimeTooSkewed", ""), "clock"),
            (error(404, "NoSuchBucket", ""), "there is no bucket photos"),
            (
                error(400, "AuthorizationHeaderMalformed", ""),
                "region is wrong",
            ),
            (error(301, "PermanentRedirect", ""), "region is wrong"),
            (error(503, "SlowDown", ""), "answers 503 (SlowDown)"),
            (Reply::Says(500, "oops".into()), "answers 500"),
            (
                Reply::Says(403, "<html>blocked</html>".into()),
                "no S3 server",
            ),
            (Reply::Says(302, String::new()), "no S3 server"),
            (Reply::Says(200, "{}".into()), "no S3 server"),
            (
                Reply::Says(
                    400,
                    "Client sent an HTTP request to an HTTPS server.".into(),
                ),
                "use https://",
            ),
            (Reply::Fails(TransportErrorKind::Dns), "can't be reached"),
            (
                Reply::Fails(TransportErrorKind::Tls),
                "no trusted TLS connection",
            ),
            (
                Reply::Fails(TransportErrorKind::NotTls),
                "does not speak TLS",
            ),
            (
                Reply::Fails(TransportErrorKind::Refused(Refusal::Metadata)),
                "metadata address",
            ),
        ] {
            let failure = refused(reply).await;
            assert!(
                failure.to_string().contains(expected),
                "{failure} for {expected}"
            );
            assert!(!failure.next_step().is_empty());
            assert!(!format!("{failure:?}").contains("marker-of-a-secret"));
        }
    }

    #[tokio::test]
    async fn the_right_region_is_passed_on() {
        let body =
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
        match refused(Reply::Says(400, body.into())).await {
            failure @ ProbeFailure::WrongRegion { .. } => {
                assert_eq!(failure.next_step(), "use --region eu-west-3");
            }
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn rights_that_are_not_needed_may_lack() {
        let (exchange, canned) = canned::exchange([
            canned::listing(&["a"], None),
            error(403, "AccessDenied", ""),
            error(403, "AccessDenied", ""),
            error(501, "NotImplemented", ""),
            error(403, "AccessDenied", ""),
        ]);
        let found = run(&exchange, &canned::credentials(), &canned::buckets())
            .await
            .unwrap();
        let bucket = &found.buckets[0];
        assert_eq!(bucket.rights, [Right::List]);
        assert_eq!(
            bucket.lacking,
            [Right::Read, Right::Location, Right::ListBuckets]
        );
        assert_eq!(
            (bucket.versioning, &bucket.identity),
            (Versioning::NotTold, &BucketIdentity::NotTold)
        );
        assert!(
            canned
                .asked
                .lock()
                .unwrap()
                .iter()
                .all(|asked| asked.starts_with("GET "))
        );
    }
}
