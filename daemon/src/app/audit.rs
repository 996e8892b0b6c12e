//! Reads the audit, a page at a time: it may be larger than memory.

use bascule_domain::{Timestamp, audit::Entry};

use super::{App, error::Result, named::Subject};

const PAGE: usize = 256;

/// A place in the audit.
pub(crate) struct Reading {
    subject: Subject,
    since: Option<Timestamp>,
    after: u64,
    over: bool,
}

impl App {
    /// Begins at the oldest entry.
    pub(crate) fn audit_of(&self, subject: &str, since: Option<Timestamp>) -> Result<Reading> {
        Ok(Reading {
            subject: self.subject(subject)?,
            since,
            after: 0,
            over: false,
        })
    }

    /// Goes on to the next entries that are asked for; `None` at the end.
    pub(crate) async fn next_entries(&self, reading: &mut Reading) -> Result<Option<Vec<Entry>>> {
        while !reading.over {
            let after = reading.after;
            let page = self.stored(move |store| store.audit(after, PAGE)).await?;
            reading.over = page.len() < PAGE;
            reading.after = page.last().map_or(after, |(number, _)| *number);
            let (subject, since) = (&reading.subject, reading.since);
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
