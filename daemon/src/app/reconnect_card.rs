//! Hands out the reconnect card: where the buckets are, and no secret. That it was handed out is kept,
//! since a deletion asks for it.

use bascule_domain::{
    audit::{Asked, Change, Details},
    connection::ReconnectCard,
};

use super::{App, error::Result};

impl App {
    pub(crate) async fn reconnect_card(&self, by: Asked, name: &str) -> Result<ReconnectCard> {
        let _changing = self.one_change_at_a_time().await;
        let mut connection = self.living(name)?.connection;
        let card = ReconnectCard::of(&connection);
        let (id, now) = (connection.id, self.clock.now());
        connection.card_exported_at = Some(now);
        let details = Details::of(&connection);
        let change = Change::CardExported { connection: id };
        let audit = self.audit(Some(by), change, details);
        self.stored(move |store| store.update_connection(&connection, &audit))
            .await?;
        self.registry
            .update(id, |entry| entry.connection.card_exported_at = Some(now));
        Ok(card)
    }
}
