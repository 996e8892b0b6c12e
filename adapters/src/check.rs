//! Asks a server whether it takes a key: one signed question for at most one object of a bucket. It
//! asks only the server that is named, changes nothing, and says no more than the answer proves.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bascule_domain::{
    access_key::AccessKeyId,
    connection::Location,
    endpoint::{Endpoint, Region},
    names::BucketName,
    secret::Credentials,
};
use data_encoding::HEXLOWER;

use crate::{
    exchange::Exchange,
    guard::Guard,
    identity,
    probe::{self, ProbeFailure},
    providers::{s3::S3, s3_compatible::S3Compatible},
    registry::{Adapter, Clock, Wish},
    transport::{HttpTransport, Transport, TransportError, TransportErrorKind},
};

/// From the first packet to the last: a job may be waiting for the answer.
const LIMIT: Duration = Duration::from_secs(20);
/// What the names of buckets begin with that are asked for because nobody has them.
const NOBODYS: &str = "bascule-check-";

/// What a server's answer says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The server takes it.
    Alive {
        /// The bucket that the key is used for, if the server does not have it.
        lacks: Option<BucketName>,
    },
    /// The server does not know it, or it is disabled there.
    Dead,
    /// The server knows the id, with another secret.
    WrongSecret,
    /// The server refuses the listing. Whether the key may do other things is not known, so this
    /// never means that it is dead.
    Denied,
    /// No server was reached.
    Unreachable(Obstacle),
    /// Anything else, with the reason.
    Unknown(String),
}

impl Health {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Alive { .. } => "alive",
            Self::Dead => "dead",
            Self::WrongSecret => "wrong-secret",
            Self::Denied => "denied",
            Self::Unreachable(_) => "unreachable",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What stands between us and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Its name has no address.
    Dns,
    /// Nothing accepts connections there.
    Connect,
    /// No trusted TLS connection.
    Tls,
    /// It did not answer in time.
    Timeout,
}

/// The server that a key is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    endpoint: Endpoint,
    location: Location,
    /// Whether no configuration names it: it follows from the region.
    derived: bool,
}

impl Server {
    /// The server of an endpoint, or Amazon's for a region when no endpoint is set and the id is one
    /// of Amazon's. `None`: nothing says where the key belongs, and nobody may be asked.
    #[must_use]
    pub fn of(
        endpoint: Option<&Endpoint>,
        region: Option<&Region>,
        id: &AccessKeyId,
    ) -> Option<Self> {
        let wish = Wish {
            endpoint: endpoint.cloned(),
            region: region.cloned(),
            // The tool's own configuration says http://; the request holds no secret.
            allow_http: true,
            ..Wish::default()
        };
        match endpoint {
            Some(endpoint) if !is_amazons(endpoint) => {
                let location = S3Compatible.locate(&wish).ok()?;
                Self::at(location, false)
            }
            None if !is_amazons_id(id) => None,
            _ => Self::amazon(wish),
        }
    }

    fn amazon(mut wish: Wish) -> Option<Self> {
        if wish.region.is_none() {
            wish.region = "us-east-1".parse().ok();
        }
        Self::at(S3.locate(&wish).ok()?, wish.endpoint.is_none())
    }

    fn at(location: Location, derived: bool) -> Option<Self> {
        match &location {
            Location::Server { endpoint, .. } => Some(Self {
                endpoint: endpoint.clone(),
                location,
                derived,
            }),
            Location::Folder { .. } => None,
        }
    }

    /// Its address.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it is Amazon's, where most keys are that exist to raise an alarm.
    #[must_use]
    pub fn is_amazons(&self) -> bool {
        is_amazons(&self.endpoint)
    }

    /// The same server for another region. An endpoint that a configuration names stays what it is.
    fn in_region(&self, right: &Region) -> Option<Self> {
        if self.derived {
            let moved = Self::amazon(Wish {
                region: Some(right.clone()),
                ..Wish::default()
            });
            return moved.filter(|moved| moved != self);
        }
        let mut location = self.location.clone();
        match &mut location {
            Location::Server { region, .. } if region != right => region.clone_from(right),
            _ => return None,
        }
        Self::at(location, false)
    }
}

/// Whether buckets are virtual hosts there. Those of a private network's own endpoint are not: no
/// certificate covers them.
fn is_amazons(endpoint: &Endpoint) -> bool {
    let host = endpoint.host();
    let domains = [".amazonaws.com", ".amazonaws.com.cn"];
    domains.iter().any(|domain| host.ends_with(domain)) && !host.contains(".vpce.")
}

/// Amazon's ids of permanent keys. Other providers' keys are never sent to Amazon for want of an
/// endpoint.
fn is_amazons_id(id: &AccessKeyId) -> bool {
    let id = id.as_str();
    id.len() == 20
        && id.starts_with("AKIA")
        && id
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// Asks servers about keys. Keys of one server share a client.
pub struct Checker {
    clock: Clock,
    transports: Mutex<HashMap<Endpoint, Arc<dyn Transport>>>,
}

impl Checker {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            transports: Mutex::default(),
        }
    }

    /// Asks once, within 20 seconds; once more if the server names the region that it wants requests
    /// to be signed for. Without a bucket a name is asked for that nobody has: a server looks at the
    /// key first.
    pub async fn check(
        &self,
        server: &Server,
        credentials: &Credentials,
        bucket: Option<&BucketName>,
    ) -> Health {
        match tokio::time::timeout(LIMIT, self.ask(server, credentials, bucket)).await {
            Ok(health) => health,
            Err(_) => Health::Unreachable(Obstacle::Timeout),
        }
    }

    /// The buckets that a server tells these credentials of; none if it does not tell.
    pub async fn buckets(&self, server: &Server, credentials: &Credentials) -> Vec<BucketName> {
        let mut buckets = Vec::new();
        let Ok(transport) = self.transport(&server.endpoint) else {
            return buckets;
        };
        let exchange = Exchange::new(transport, server.location.clone(), self.clock.clone());
        let asking = identity::each_bucket(&exchange, credentials, |name, _| buckets.push(name));
        // What was told before the time was over is true all the same.
        drop(tokio::time::timeout(LIMIT, asking).await);
        buckets
    }

    async fn ask(
        &self,
        server: &Server,
        credentials: &Credentials,
        bucket: Option<&BucketName>,
    ) -> Health {
        let first = self.list(server, credentials, bucket).await;
        match &first {
            Err(ProbeFailure::WrongRegion { right: Some(right) }) => {
                match server.in_region(right) {
                    Some(moved) => health(self.list(&moved, credentials, bucket).await, bucket),
                    None => health(first, bucket),
                }
            }
            _ => health(first, bucket),
        }
    }

    async fn list(
        &self,
        server: &Server,
        credentials: &Credentials,
        bucket: Option<&BucketName>,
    ) -> Result<(), ProbeFailure> {
        let transport = self.transport(&server.endpoint)?;
        let exchange = Exchange::new(transport, server.location.clone(), self.clock.clone());
        match bucket {
            Some(bucket) => probe::list(&exchange, credentials, bucket).await,
            None => probe::list(&exchange, credentials, &nobodys_bucket()?).await,
        }
    }

    fn transport(&self, endpoint: &Endpoint) -> Result<Arc<dyn Transport>, ProbeFailure> {
        let mut transports = self
            .transports
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(transport) = transports.get(endpoint) {
            return Ok(transport.clone());
        }
        let transport = HttpTransport::new(endpoint, None, Guard::default())
            .map_err(|error| ProbeFailure::Local(error.to_string()))?;
        let transport: Arc<dyn Transport> = Arc::new(transport);
        transports.insert(endpoint.clone(), transport.clone());
        Ok(transport)
    }
}

fn nobodys_bucket() -> Result<BucketName, ProbeFailure> {
    let mut random = [0; 12];
    let no_name = || ProbeFailure::Local("no random name could be made".into());
    aws_lc_rs::rand::fill(&mut random).map_err(|_| no_name())?;
    format!("{NOBODYS}{}", HEXLOWER.encode(&random))
        .parse()
        .map_err(|_| no_name())
}

/// What the outcome of a listing says about the key.
fn health(outcome: Result<(), ProbeFailure>, bucket: Option<&BucketName>) -> Health {
    let failure = match outcome {
        Ok(()) => return Health::Alive { lacks: None },
        Err(failure) => failure,
    };
    match &failure {
        // The key and its signature were looked at before the bucket.
        ProbeFailure::NoSuchBucket { .. } => Health::Alive {
            lacks: bucket.cloned(),
        },
        ProbeFailure::UnknownKey => Health::Dead,
        ProbeFailure::WrongSecret => Health::WrongSecret,
        ProbeFailure::NoPermission { .. } => Health::Denied,
        ProbeFailure::Unreachable(error) => Health::Unreachable(obstacle(error)),
        ProbeFailure::Tls(_) => Health::Unreachable(Obstacle::Tls),
        ProbeFailure::Local(why) => Health::Unknown(why.clone()),
        ProbeFailure::WrongEndpoint { .. }
        | ProbeFailure::WrongRegion { .. }
        | ProbeFailure::ClockSkew { .. }
        | ProbeFailure::AddressRefused(_)
        | ProbeFailure::ProviderFault { .. } => Health::Unknown(failure.to_string()),
    }
}

const fn obstacle(error: &TransportError) -> Obstacle {
    match error.kind() {
        TransportErrorKind::Dns => Obstacle::Dns,
        TransportErrorKind::Timeout => Obstacle::Timeout,
        _ => Obstacle::Connect,
    }
}
