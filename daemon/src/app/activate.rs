//! Opens the gateway after a backup was restored where nothing is known of what died since, or after
//! the state folder was put back from outside. Until then it admits nothing, on any connection.

use std::sync::{Arc, PoisonError};

use bascule_domain::{
    audit::{Asked, Change, Details},
    backup::Closure,
};

use super::{
    App,
    error::{Error, Kind, Result},
    pause::paused_by,
};

/// What became of it.
pub(crate) struct Activated {
    /// Connections that admit requests again.
    pub connections: Vec<String>,
    /// Nothing was closed.
    pub was_active: bool,
}

impl App {
    /// Why nothing is admitted.
    pub(crate) fn closure(&self) -> Option<Closure> {
        let closure = self.closure.lock().unwrap_or_else(PoisonError::into_inner);
        closure.clone()
    }

    /// What is paused by its user, or being deleted, stays so.
    pub(crate) async fn activate(
        self: Arc<Self>,
        by: Asked,
        accept_rollback: bool,
    ) -> Result<Activated> {
        let _changing = self.one_change_at_a_time().await;
        let Some(closure) = self.closure() else {
            return Ok(Activated {
                connections: Vec::new(),
                was_active: true,
            });
        };
        if matches!(closure, Closure::RolledBack { .. }) && !accept_rollback {
            return Err(Error::new(Kind::Refused, words(&closure)).next(
                "put the newer state folder back, or, if this one is right: bascule activate --accept-rollback",
            ));
        }
        let entry = self.audit(Some(by), Change::Activated { closure }, Details::default());
        self.stored(move |store| store.activate(&entry)).await?;
        *self.closure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut connections = Vec::new();
        for entry in self.registry.living() {
            if entry.deletion.is_some() {
                continue;
            }
            let id = entry.connection.id;
            let done = match entry.connection.paused_at {
                Some(_) => self
                    .keyring
                    .pause(id, paused_by(&entry.connection, &entry.leaks)),
                None => {
                    connections.push(entry.connection.name.to_string());
                    self.keyring.resume(id)
                }
            };
            done.map_err(|error| Error::new(Kind::Storage, error.to_string()))?;
        }
        tracing::info!(connections = connections.len(), "activated");
        self.resume_deletions().await;
        Ok(Activated {
            connections,
            was_active: false,
        })
    }

    /// A connection can't be resumed by itself.
    pub(super) fn refuse_while_closed(&self) -> Result<()> {
        match self.closure() {
            None => Ok(()),
            Some(closure) => {
                Err(Error::new(Kind::Refused, words(&closure)).next("bascule activate"))
            }
        }
    }

    /// What the status says of it.
    pub(super) fn closed_words(&self) -> Option<String> {
        self.closure().map(|closure| {
            let command = match closure {
                Closure::Restored { .. } => "bascule activate",
                Closure::RolledBack { .. } => "bascule activate --accept-rollback",
            };
            format!(
                "{}; if this state is the right one: {command}",
                words(&closure)
            )
        })
    }

    pub(super) fn anchor_words(&self) -> Option<String> {
        self.store
            .anchor_trouble()
            .map(|why| format!("a state folder put back from outside would not be noticed: {why}"))
    }
}

fn words(closure: &Closure) -> String {
    match closure {
        Closure::Restored { backup } => format!(
            "everything is paused: the state comes from the backup {backup}, and keys that died since may live in it"
        ),
        Closure::RolledBack { seen, known } => format!(
            "everything is paused: the state folder is an older one; {seen} deaths of keys and connections were seen, and it knows of {known}"
        ),
    }
}
