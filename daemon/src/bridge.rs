//! Joins rooms that must not know each other: the gateway's view of a provider on top of an
//! adapter's transport, and the daemon's clock as the gateway's. It decides nothing.

use std::sync::{Arc, OnceLock};

use bascule_adapters::{Surroundings, Transport, TransportErrorKind, adapter};
use bascule_domain::{
    Timestamp,
    connection::Location,
    endpoint::{Addressing, Region},
    provider::ProviderKind,
};
use bascule_gateway::{
    Admission, ConnectionSpec, Upstream, UpstreamAccess, UpstreamBody, UpstreamError,
    UpstreamErrorKind, UpstreamFuture,
};
use http_body_util::BodyExt;

use crate::{alarm::Alarm, app::registry::Entry, clock::Clock};

/// The daemon's clock for the gateway.
pub(crate) struct GatewayClock(pub(crate) Arc<dyn Clock>);

impl bascule_gateway::Clock for GatewayClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// An alarm of the gateway's own, by the daemon's clock.
pub(crate) struct GatewayAlarm {
    pub(crate) alarm: Alarm,
    pub(crate) clock: Arc<dyn Clock>,
}

impl bascule_gateway::Alarm for GatewayAlarm {
    async fn until(&self, due: Option<Timestamp>) {
        self.alarm.until(due, &*self.clock).await;
    }
}

/// A connection as the gateway starts with it.
pub(crate) fn connection_spec(
    entry: &Entry,
    surroundings: &Surroundings,
    admission: Admission,
) -> ConnectionSpec {
    let upstream: Arc<dyn Upstream> = match &entry.storage {
        Ok(storage) => Arc::new(Provider(storage.transport())),
        Err(_) => Arc::new(Unopened {
            provider: entry.connection.provider,
            location: entry.connection.location.clone(),
            surroundings: surroundings.clone(),
            opened: OnceLock::new(),
        }),
    };
    ConnectionSpec {
        id: entry.connection.id,
        name: entry.connection.name.clone(),
        buckets: entry.connection.buckets.clone(),
        created_at: entry.connection.created_at,
        access: upstream_access(entry),
        upstream,
        admission,
        limits: entry.connection.limits,
    }
}

/// How the provider is addressed and signed for now.
pub(crate) fn upstream_access(entry: &Entry) -> UpstreamAccess {
    let credentials = (*entry.credentials).clone();
    let generation = entry.connection.credentials_generation;
    match &entry.connection.location {
        Location::Server {
            endpoint,
            region,
            addressing,
            ..
        } => UpstreamAccess {
            credentials,
            region: region.clone(),
            addressing: *addressing,
            tls: endpoint.is_tls(),
            authority: endpoint.authority(),
            honours_conditions: false,
            generation,
        },
        // Called in process, where neither is looked at.
        Location::Folder { .. } => UpstreamAccess {
            credentials,
            region: Region::AUTO,
            addressing: Addressing::Path,
            tls: false,
            authority: "localhost".to_owned(),
            honours_conditions: true,
            generation,
        },
    }
}

struct Provider(Arc<dyn Transport>);

impl Upstream for Provider {
    fn send(&self, request: http::Request<UpstreamBody>) -> UpstreamFuture<'_> {
        let request = request.map(BodyExt::boxed_unsync);
        Box::pin(async move {
            self.0.send(request).await.map_err(|error| {
                let kind = match error.kind() {
                    TransportErrorKind::Dns
                    | TransportErrorKind::Unreachable
                    | TransportErrorKind::Timeout
                    | TransportErrorKind::Refused(_) => UpstreamErrorKind::Unreachable,
                    TransportErrorKind::Tls | TransportErrorKind::NotTls => UpstreamErrorKind::Tls,
                    TransportErrorKind::Broken | TransportErrorKind::Local => {
                        UpstreamErrorKind::Broken
                    }
                };
                UpstreamError::new(kind, error)
            })
        })
    }
}

/// A provider that could not be opened at first. Each request tries again, until one succeeds.
struct Unopened {
    provider: ProviderKind,
    location: Location,
    surroundings: Surroundings,
    opened: OnceLock<Provider>,
}

impl Upstream for Unopened {
    fn send(&self, request: http::Request<UpstreamBody>) -> UpstreamFuture<'_> {
        if self.opened.get().is_none()
            && let Ok(storage) = adapter(self.provider).open(&self.location, &self.surroundings)
        {
            // Another request may have been faster; both ways lead to the same place.
            self.opened.set(Provider(storage.transport())).ok();
        }
        match self.opened.get() {
            Some(provider) => provider.send(request),
            None => Box::pin(async { Err(UpstreamErrorKind::Unreachable.into()) }),
        }
    }
}
