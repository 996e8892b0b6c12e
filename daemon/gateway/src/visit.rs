//! One client connection as whoever is told about use knows it: asked for a visit when a key is
//! first named, and again only when another key, user agent or, behind a proxy, address is. It must never keep more
//! than the last one, nor wait for anybody.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bascule_domain::ids::{ConnectionId, KeyId};
use http::HeaderValue;

use crate::ports::{Ends, Visit, Visitor};

/// What one connection's requests are counted by.
pub(crate) struct Visits {
    /// Absent where the system does not tell.
    ends: Option<Ends>,
    /// Absent when nobody counts.
    visitor: Option<Box<dyn Visitor>>,
    /// Locked by this connection's requests only, which come one after the other.
    last: Mutex<Option<Last>>,
}

struct Last {
    key: KeyId,
    agent: Option<HeaderValue>,
    address: IpAddr,
    visit: Arc<dyn Visit>,
}

impl Visits {
    pub(crate) const fn new(ends: Option<Ends>, visitor: Option<Box<dyn Visitor>>) -> Self {
        Self {
            ends,
            visitor,
            last: Mutex::new(None),
        }
    }

    /// The connection's two ends.
    pub(crate) const fn ends(&self) -> Option<&Ends> {
        self.ends.as_ref()
    }

    /// What counts the uses of a key by this client.
    pub(crate) fn of(
        &self,
        key: KeyId,
        connection: ConnectionId,
        agent: Option<&HeaderValue>,
        address: IpAddr,
    ) -> Option<Arc<dyn Visit>> {
        let visitor = self.visitor.as_ref()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last
            && last.key == key
            && last.agent.as_ref() == agent
            && last.address == address
        {
            return Some(Arc::clone(&last.visit));
        }
        let name = agent.map_or(&b""[..], HeaderValue::as_bytes);
        let visit = visitor.names(key, connection, name, address);
        *last = Some(Last {
            key,
            agent: agent.cloned(),
            address,
            visit: Arc::clone(&visit),
        });
        Some(visit)
    }
}
