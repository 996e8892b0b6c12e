//! Pauses a connection, and resumes it: no request is admitted meanwhile, whichever key it comes
//! with, also across restarts.

use bascule_domain::{
    audit::{Asked, Change, Details},
    connection::Connection,
    leak::{Leak, Remaining},
};
use bascule_gateway::PausedBy;

use super::{
    App,
    error::{Error, Kind, Result},
    registry::{Entry, View},
};

impl App {
    /// When it returns, nothing is admitted and everything open is cut. Also what is paused already
    /// is stored: an earlier try may not have been.
    pub(crate) async fn pause(&self, by: Asked, name: &str) -> Result<View> {
        let _changing = self.one_change_at_a_time().await;
        let entry = self.pausable(name)?;
        let connection = self.paused(&entry);
        let audit = self.audit(
            Some(by),
            Change::Paused {
                connection: connection.id,
            },
            Details::of(&connection),
        );
        // Closed in memory first: whatever becomes of the commit, nothing is admitted meanwhile.
        self.close(&connection, paused_by(&connection, &entry.leaks))?;
        self.stored(move |store| store.update_connection(&connection, &audit))
            .await
            .map_err(not_durable)?;
        self.living(name).map(|entry| self.view(&entry))
    }

    /// Requests are admitted again. Also what is not paused is resumed: the gateway may be closed
    /// all the same, after a try that failed.
    pub(crate) async fn resume(&self, by: Asked, name: &str) -> Result<View> {
        let _changing = self.one_change_at_a_time().await;
        self.refuse_while_closed()?;
        let entry = self.pausable(name)?;
        let connection = Connection {
            paused_at: None,
            ..entry.connection
        };
        let id = connection.id;
        let audit = self.audit(
            Some(by),
            Change::Resumed { connection: id },
            Details::of(&connection),
        );
        self.stored(move |store| store.update_connection(&connection, &audit))
            .await?;
        self.registry
            .update(id, |entry| entry.connection.paused_at = None);
        self.keyring
            .resume(id)
            .map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        tracing::info!(connection = %id, "connection resumed");
        self.living(name).map(|entry| self.view(&entry))
    }

    /// The connection's record, paused from now on.
    pub(super) fn paused(&self, entry: &Entry) -> Connection {
        Connection {
            paused_at: entry
                .connection
                .paused_at
                .or_else(|| Some(self.clock.now())),
            ..entry.connection.clone()
        }
    }

    /// Admits nothing any more, and cuts what is open; in memory only.
    pub(super) fn close(&self, connection: &Connection, by: PausedBy) -> Result<()> {
        self.keyring
            .pause(connection.id, by)
            .map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        self.registry.update(connection.id, |entry| {
            entry.connection.paused_at = connection.paused_at;
        });
        tracing::info!(connection = %connection.id, "connection paused");
        Ok(())
    }

    /// A deletion pauses and resumes by itself.
    fn pausable(&self, name: &str) -> Result<Entry> {
        let entry = self.living(name)?;
        match entry.deletion {
            None => Ok(entry),
            Some(deletion) => Err(
                Error::new(Kind::Refused, format!("{name} is being deleted"))
                    .next(format!("bascule deletion show {deletion}")),
            ),
        }
    }
}

/// What a connection that is paused, and not deleted, is paused by.
pub(super) fn paused_by(connection: &Connection, leaks: &[Leak]) -> PausedBy {
    let by_leak = |leak: &Leak| leak.remaining(connection).contains(&Remaining::Resume);
    if leaks.iter().any(by_leak) {
        PausedBy::Leak
    } else {
        PausedBy::User
    }
}

pub(super) fn not_durable(mut error: Error) -> Error {
    error.message = format!(
        "nothing is admitted from now on, but that could not be made durable, so a restart may undo it: {}",
        error.message
    );
    error
}
