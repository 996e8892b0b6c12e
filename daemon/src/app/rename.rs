//! Gives a connection another name. Keys keep working: they belong to its id.

use bascule_domain::{
    audit::{Asked, Change, Details, Part},
    names::ConnectionName,
};

use super::{App, error::Result, registry::View};

impl App {
    pub(crate) async fn rename(&self, by: Asked, old: &str, new: ConnectionName) -> Result<View> {
        let _changing = self.one_change_at_a_time().await;
        let entry = self.living(old)?;
        if entry.connection.name == new {
            return Ok(self.view(&entry));
        }
        self.name_is_free(&new)?;
        let mut connection = entry.connection.clone();
        connection.name = new.clone();
        let audit = self.audit(
            Some(by),
            Change::Renamed {
                connection: connection.id,
            },
            Details::of(&entry.connection).differs(
                Part::Name,
                [&entry.connection.name],
                [&connection.name],
            ),
        );
        {
            let connection = connection.clone();
            self.stored(move |store| store.update_connection(&connection, &audit))
                .await?;
        }
        // Refusals name the connection; a cell that is gone has nothing left to name.
        self.keyring.rename(connection.id, new.clone()).ok();
        self.registry
            .update(connection.id, |entry| entry.connection.name = new.clone());
        self.living(new.as_str()).map(|entry| self.view(&entry))
    }
}
