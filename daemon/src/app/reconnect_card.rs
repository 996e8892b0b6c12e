//! Hands out the reconnect card: where the buckets are, and no secret.

use bascule_domain::connection::ReconnectCard;

use super::{App, error::Result};

impl App {
    pub(crate) fn reconnect_card(&self, name: &str) -> Result<ReconnectCard> {
        Ok(ReconnectCard::of(&self.living(name)?.connection))
    }
}
