//! Reads the audit, a page at a time: it may be larger than memory.

use bascule_domain::{
    Timestamp,
    audit::{Change, Entry},
    deletion::Phase,
    ids::{ConnectionId, DeletionId, KeyId},
};

use super::{
    App,
    error::{Error, Kind, Result},
    key::Named,
};

const PAGE: usize = 256;

/// What entries are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Everything,
    Connection(ConnectionId),
    /// Its connection's revocation is about it, too.
    Key(ConnectionId, KeyId),
}

impl Subject {
    fn concerns(self, change: &Change) -> bool {
        match self {
            Self::Everything => true,
            Self::Connection(connection) => change.connection() == connection,
            Self::Key(connection, key) => {
                let dies = matches!(
                    change,
                    Change::Deletion {
                        phase: Phase::Revoked,
                        ..
                    }
                );
                [change.key(), change.successor()].contains(&Some(key))
                    || dies && change.connection() == connection
            }
        }
    }
}

/// A place in the audit.
pub(crate) struct Reading {
    subject: Subject,
    since: Option<Timestamp>,
    after: u64,
    over: bool,
}

impl App {
    /// Begins at the oldest entry. `subject` is a connection's name or id, a key, a deletion's id,
    /// or empty for everything. A deleted connection is found by its name, too, while no other has
    /// it.
    pub(crate) fn audit_of(&self, subject: &str, since: Option<Timestamp>) -> Result<Reading> {
        Ok(Reading {
            subject: self.subject(subject)?,
            since,
            after: 0,
            over: false,
        })
    }

    fn subject(&self, text: &str) -> Result<Subject> {
        if text.is_empty() {
            return Ok(Subject::Everything);
        }
        if let Some(entry) = self.registry.by_name(text) {
            return Ok(Subject::Connection(entry.connection.id));
        }
        let deleted = self.deletions.all().into_iter().find(|deletion| {
            deletion.name.as_str() == text || Ok(deletion.id) == text.parse::<DeletionId>()
        });
        if let Some(deletion) = deleted {
            return Ok(Subject::Connection(deletion.connection));
        }
        if let Ok(id) = text.parse() {
            return Ok(Subject::Connection(id));
        }
        match self.find_key(text) {
            Ok(Named::Living(_, key)) => Ok(Subject::Key(key.connection, key.id)),
            Ok(Named::Dead(dead)) => Ok(Subject::Key(dead.connection, dead.key)),
            Err(error) if error.kind != Kind::NotFound => Err(error),
            Err(_) => Err(Error::new(
                Kind::NotFound,
                format!("there is and was no connection, key or deletion {text}"),
            )
            .next("bascule list, bascule key list, bascule deletion list")),
        }
    }

    /// Goes on to the next entries that are asked for; `None` at the end.
    pub(crate) async fn next_entries(&self, reading: &mut Reading) -> Result<Option<Vec<Entry>>> {
        while !reading.over {
            let after = reading.after;
            let page = self.stored(move |store| store.audit(after, PAGE)).await?;
            reading.over = page.len() < PAGE;
            reading.after = page.last().map_or(after, |(number, _)| *number);
            let (subject, since) = (reading.subject, reading.since);
            let entries: Vec<_> = page
                .into_iter()
                .map(|(_, entry)| entry)
                .filter(|entry| subject.concerns(&entry.change))
                .filter(|entry| since.is_none_or(|since| entry.at >= since))
                .collect();
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
        }
        Ok(None)
    }
}
