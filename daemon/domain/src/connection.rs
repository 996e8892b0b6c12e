//! A connection: a name, a provider, buckets and where they are. Its credentials are kept apart
//! (`secret::Credentials`), so that no copy of this record can carry a secret.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    endpoint::{Addressing, Endpoint, Region},
    ids::ConnectionId,
    limits::Limits,
    names::{BucketName, ConnectionName},
    provider::ProviderKind,
};

/// One or more different buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<BucketName>", into = "Vec<BucketName>")]
pub struct Buckets(Vec<BucketName>);

/// The list of buckets is empty, too long, or names one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a connection has 1 to 1000 different buckets")]
pub struct BucketsError;

impl Buckets {
    /// In the order given.
    pub fn iter(&self) -> impl Iterator<Item = &BucketName> {
        self.0.iter()
    }

    /// How many; never 0.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The first one.
    #[must_use]
    pub fn first(&self) -> &BucketName {
        &self.0[0]
    }

    /// Whether the bucket is one of them.
    #[must_use]
    pub fn contains(&self, bucket: &BucketName) -> bool {
        self.0.contains(bucket)
    }
}

impl TryFrom<Vec<BucketName>> for Buckets {
    type Error = BucketsError;

    fn try_from(buckets: Vec<BucketName>) -> Result<Self, BucketsError> {
        let distinct: std::collections::BTreeSet<_> = buckets.iter().collect();
        if (1..=1000).contains(&buckets.len()) && distinct.len() == buckets.len() {
            Ok(Self(buckets))
        } else {
            Err(BucketsError)
        }
    }
}

impl From<Buckets> for Vec<BucketName> {
    fn from(buckets: Buckets) -> Self {
        buckets.0
    }
}

/// Where the provider is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// A server that speaks S3.
    Server {
        /// Its address.
        endpoint: Endpoint,
        /// What requests to it are signed for.
        region: Region,
        /// How its buckets are addressed.
        addressing: Addressing,
        /// PEM file with a certificate authority to trust besides the platform's.
        extra_ca: Option<PathBuf>,
        /// Whether a link-local or metadata address was explicitly allowed.
        allow_link_local: bool,
    },
    /// A folder on this machine; each bucket is a folder in it.
    Folder {
        /// Absolute path.
        path: PathBuf,
    },
}

/// Within what an access key id means one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeySpace {
    /// A provider with many addresses gives each id once.
    Domain(&'static str),
    /// Host and port of a server that gives ids without knowing of others.
    Server(String, u16),
    /// Nobody checks the keys of a folder.
    Folder(PathBuf),
}

impl Location {
    /// Where else an access key id means the same key.
    #[must_use]
    pub fn key_space(&self) -> KeySpace {
        const DOMAINS: [&str; 3] = [
            ".amazonaws.com",
            ".amazonaws.com.cn",
            ".r2.cloudflarestorage.com",
        ];
        let endpoint = match self {
            Self::Server { endpoint, .. } => endpoint,
            Self::Folder { path } => return KeySpace::Folder(path.clone()),
        };
        let host = endpoint.host();
        match DOMAINS.iter().find(|domain| host.ends_with(**domain)) {
            Some(domain) => KeySpace::Domain(domain),
            None => KeySpace::Server(host.to_owned(), endpoint.port()),
        }
    }
}

/// What tells a bucket from another one of the same name made later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "value")]
pub enum BucketIdentity {
    /// The creation date the provider states.
    CreationDate(String),
    /// An id of the provider's own (a Garage bucket id, device and inode of a folder).
    Native(String),
    /// The provider does not say, or not to these credentials.
    NotTold,
}

/// What comparing two identities proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameBucket {
    /// Both are known and equal.
    Yes,
    /// Both are known and differ.
    No,
    /// At least one is not known, or they are of different kinds.
    CannotTell,
}

impl BucketIdentity {
    /// Compares with the identity seen at another time.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> SameBucket {
        match (self, other) {
            (Self::CreationDate(a), Self::CreationDate(b)) | (Self::Native(a), Self::Native(b)) => {
                if a == b {
                    SameBucket::Yes
                } else {
                    SameBucket::No
                }
            }
            _ => SameBucket::CannotTell,
        }
    }
}

/// A connection without its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its id for ever.
    pub id: ConnectionId,
    /// What it is called now.
    pub name: ConnectionName,
    /// Which adapter serves it.
    pub provider: ProviderKind,
    /// Which buckets it reaches.
    pub buckets: Buckets,
    /// Where they are.
    pub location: Location,
    /// Bucket identities as seen when it was added.
    pub identities: BTreeMap<BucketName, BucketIdentity>,
    /// When it was added.
    pub created_at: Timestamp,
    /// Counts replacements of the provider's credentials, from 1.
    pub credentials_generation: u64,
    /// When the credentials last changed.
    pub credentials_changed_at: Timestamp,
    /// What its keys may take together. Records of older releases have none.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// Since when no request is admitted, because somebody wanted it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// When the reconnect card was handed out last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card_exported_at: Option<Timestamp>,
}

impl Connection {
    /// Whether both reach the same bucket in the same place.
    #[must_use]
    pub fn shares_a_bucket_with(&self, other: &Self) -> bool {
        let same_place = match (&self.location, &other.location) {
            (Location::Server { endpoint: a, .. }, Location::Server { endpoint: b, .. }) => a == b,
            (Location::Folder { path: a }, Location::Folder { path: b }) => a == b,
            _ => false,
        };
        same_place
            && self
                .buckets
                .iter()
                .any(|bucket| other.buckets.contains(bucket))
    }
}

/// The card's format version.
pub const CARD_VERSION: u32 = 1;

/// Enough to connect again, with new keys, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReconnectCard {
    /// [`CARD_VERSION`].
    pub bascule_card: u32,
    /// What the connection was called.
    pub name: ConnectionName,
    /// Which adapter serves it.
    pub provider: ProviderKind,
    /// Its buckets.
    pub buckets: Buckets,
    /// Where they are.
    pub location: Location,
}

impl ReconnectCard {
    /// The card of a connection.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        Self {
            bascule_card: CARD_VERSION,
            name: connection.name.clone(),
            provider: connection.provider,
            buckets: connection.buckets.clone(),
            location: connection.location.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_never_empty_nor_repeated() {
        let bucket: BucketName = "photos".parse().unwrap();
        assert_eq!(Buckets::try_from(vec![]), Err(BucketsError));
        assert_eq!(
            Buckets::try_from(vec![bucket.clone(), bucket.clone()]),
            Err(BucketsError)
        );
        assert!(Buckets::try_from(vec![bucket]).is_ok());
    }

    #[test]
    fn unknown_identities_never_count_as_the_same() {
        let known = BucketIdentity::CreationDate("2026-01-01".into());
        assert_eq!(
            known.same_as(&BucketIdentity::NotTold),
            SameBucket::CannotTell
        );
        assert_eq!(
            BucketIdentity::NotTold.same_as(&BucketIdentity::NotTold),
            SameBucket::CannotTell
        );
        assert_eq!(known.same_as(&known), SameBucket::Yes);
    }

    #[test]
    fn a_record_of_an_older_release_opens_without_limits_and_is_written_as_it_was() {
        let old = r#"{"id":"ID","name":"photos","provider":"local","buckets":["photos"],"location":{"folder":{"path":"/srv"}},"identities":{},"created_at":"1970-01-01T00:00:00Z","credentials_generation":1,"credentials_changed_at":"1970-01-01T00:00:00Z"}"#;
        let old = old.replace("ID", &ConnectionId::from_random([1; 10]).to_string());
        let mut connection: Connection = serde_json::from_str(&old).unwrap();
        assert!(connection.limits.is_none());
        assert_eq!(serde_json::to_string(&connection).unwrap(), old);
        connection.limits.bandwidth = Some("10MiB".parse().unwrap());
        let new = serde_json::to_string(&connection).unwrap();
        assert_eq!(
            serde_json::from_str::<Connection>(&new).unwrap(),
            connection
        );
    }

    #[test]
    fn an_access_key_id_means_one_key_at_a_provider_and_at_each_server() {
        let at = |endpoint: &str| {
            let location = Location::Server {
                endpoint: endpoint.parse().unwrap(),
                region: Region::AUTO,
                addressing: Addressing::Path,
                extra_ca: None,
                allow_link_local: false,
            };
            location.key_space()
        };
        let frankfurt = at("https://s3.eu-central-1.amazonaws.com");
        assert_eq!(frankfurt, at("https://s3.us-east-1.amazonaws.com"));
        assert_ne!(frankfurt, at("https://s3.cn-north-1.amazonaws.com.cn"));
        assert_ne!(frankfurt, at("https://amazonaws.com.example.net"));
        assert_eq!(at("http://minio.lan"), at("http://minio.lan:80"));
        assert_ne!(at("http://minio.lan:9000"), at("http://minio.lan:9001"));
    }
}
