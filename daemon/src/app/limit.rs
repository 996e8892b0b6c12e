//! Limits what a connection's keys may take together.

use std::num::NonZeroU32;

use bascule_domain::{
    audit::{Asked, Change, Details, Part},
    limits::Bandwidth,
};

use super::{
    App,
    error::{Error, Kind, Result},
    registry::View,
};

/// What is to be changed; `Some(None)` takes a limit away.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LimitWish {
    pub requests: Option<Option<NonZeroU32>>,
    pub bandwidth: Option<Option<Bandwidth>>,
}

impl App {
    /// In force when it returns, for running streams too.
    pub(crate) async fn limit(&self, by: Asked, name: &str, wish: LimitWish) -> Result<View> {
        let _changing = self.one_change_at_a_time().await;
        let entry = self.living(name)?;
        let mut connection = entry.connection.clone();
        if let Some(requests) = wish.requests {
            connection.limits.requests = requests;
        }
        if let Some(bandwidth) = wish.bandwidth {
            connection.limits.bandwidth = bandwidth;
        }
        if connection.limits == entry.connection.limits {
            return Ok(self.view(&entry));
        }
        let (id, limits) = (connection.id, connection.limits);
        let before = entry.connection.limits;
        let details = Details::of(&connection)
            .differs(Part::Requests, before.requests, limits.requests)
            .differs(Part::Bandwidth, before.bandwidth, limits.bandwidth);
        let audit = self.audit(Some(by), Change::Limited { connection: id }, details);
        self.stored(move |store| store.update_connection(&connection, &audit))
            .await?;
        self.registry
            .update(id, |entry| entry.connection.limits = limits);
        self.keyring
            .limit(id, limits)
            .map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        tracing::info!(connection = %id, "limits changed");
        self.living(name).map(|entry| self.view(&entry))
    }
}
