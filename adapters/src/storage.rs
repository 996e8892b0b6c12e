//! An opened provider. It holds no credentials: they come with each call, so that replacing them
//! needs no reopening and no copy of them outlives a request.

use std::sync::Arc;

use bascule_domain::{
    connection::{Buckets, Location},
    endpoint::{Addressing, Region},
    names::{BucketName, ObjectKey},
    provider::ProviderKind,
    secret::Credentials,
};
use bascule_sigv4::encode_path;

use crate::{
    exchange::Exchange,
    probe::{self, Probe, ProbeFailure},
    registry::{Clock, Surroundings},
    transport::Transport,
    witness::Witness,
};

/// Where a request for a bucket or an object goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The `Host` header, which is signed.
    pub authority: String,
    /// The path, percent-encoded once as signatures want it.
    pub path: String,
}

/// An opened provider.
pub struct Storage {
    kind: ProviderKind,
    location: Location,
    transport: Arc<dyn Transport>,
    clock: Clock,
}

impl Storage {
    pub(crate) fn new(
        kind: ProviderKind,
        location: Location,
        transport: Arc<dyn Transport>,
        surroundings: &Surroundings,
    ) -> Arc<Self> {
        Arc::new(Self {
            kind,
            location,
            transport,
            clock: surroundings.clock.clone(),
        })
    }

    /// Which adapter opened it.
    #[must_use]
    pub const fn kind(&self) -> ProviderKind {
        self.kind
    }

    /// Where it is.
    #[must_use]
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// The way to it. Requests are signed by the caller; the embedded service takes them as
    /// authorised, whatever they are signed with.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn Transport> {
        self.transport.clone()
    }

    /// What requests are signed for; `None` for a folder, where any will do.
    #[must_use]
    pub const fn region(&self) -> Option<&Region> {
        match &self.location {
            Location::Server { region, .. } => Some(region),
            Location::Folder { .. } => None,
        }
    }

    /// Where a request goes: to the provider itself, a bucket, or an object in it.
    #[must_use]
    pub fn upstream(&self, bucket: Option<&BucketName>, key: Option<&ObjectKey>) -> Upstream {
        upstream(&self.location, bucket, key)
    }

    /// Looks whether a connection would work, and with which rights. It changes nothing.
    pub async fn probe(
        &self,
        credentials: &Credentials,
        buckets: &Buckets,
    ) -> Result<Probe, ProbeFailure> {
        probe::run(&self.exchange(), credentials, buckets).await
    }

    /// Eyes on the buckets that can change nothing.
    #[must_use]
    pub fn witness(&self, credentials: Credentials) -> Witness {
        Witness::new(self.exchange(), credentials)
    }

    fn exchange(&self) -> Exchange {
        Exchange::new(
            self.transport.clone(),
            self.location.clone(),
            self.clock.clone(),
        )
    }
}

/// Where a request goes.
pub(crate) fn upstream(
    location: &Location,
    bucket: Option<&BucketName>,
    key: Option<&ObjectKey>,
) -> Upstream {
    let (scheme, host, virtual_host) = match location {
        Location::Server {
            endpoint,
            addressing,
            ..
        } => {
            let virtual_host =
                bucket.filter(|bucket| addressing.of(bucket) == Addressing::VirtualHost);
            let host = match virtual_host {
                Some(bucket) => endpoint.bucket_authority(bucket),
                None => endpoint.authority(),
            };
            (endpoint.scheme(), host, virtual_host.is_some())
        }
        // Never resolved: the embedded service is called in process.
        Location::Folder { .. } => ("http", "localhost".to_owned(), false),
    };
    let mut decoded = String::from("/");
    if let Some(bucket) = bucket.filter(|_| !virtual_host) {
        decoded.push_str(bucket.as_str());
        if key.is_some() {
            decoded.push('/');
        }
    }
    if let Some(key) = key {
        decoded.push_str(key.as_str());
    }
    Upstream {
        scheme,
        authority: host,
        path: encode_path(decoded.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(addressing: Addressing) -> Location {
        Location::Server {
            endpoint: "https://s3.example.com:8443".parse().unwrap(),
            region: "auto".parse().unwrap(),
            addressing,
            extra_ca: None,
            allow_link_local: false,
        }
    }

    fn url(location: &Location, bucket: &str, key: Option<&str>) -> String {
        let key = key.map(|key| key.parse().unwrap());
        let to = upstream(location, Some(&bucket.parse().unwrap()), key.as_ref());
        format!("{}://{}{}", to.scheme, to.authority, to.path)
    }

    #[test]
    fn buckets_are_addressed_as_the_location_says() {
        let path = server(Addressing::Path);
        assert_eq!(
            url(&path, "photos", None),
            "https://s3.example.com:8443/photos"
        );
        assert_eq!(
            url(&path, "photos", Some("a//b c")),
            "https://s3.example.com:8443/photos/a//b%20c"
        );
        let host = server(Addressing::VirtualHost);
        assert_eq!(
            url(&host, "photos", Some("/x")),
            "https://photos.s3.example.com:8443//x"
        );
        assert_eq!(
            url(&host, "photos", None),
            "https://photos.s3.example.com:8443/"
        );
    }

    #[test]
    fn buckets_that_no_certificate_covers_go_by_path() {
        let host = server(Addressing::VirtualHost);
        assert_eq!(
            url(&host, "my.photos", None),
            "https://s3.example.com:8443/my.photos"
        );
        assert_eq!(
            url(&host, "Legacy_1", None),
            "https://s3.example.com:8443/Legacy_1"
        );
    }
}
