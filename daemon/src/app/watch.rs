//! What happens now, for whoever watches: requests as the ledger writes them, new findings, and
//! changes of keys and connections. Nobody who watches slowly holds anything up: they lose events
//! and are told how many.

use std::sync::Arc;

use bascule_domain::{
    audit,
    finding::{FindingId, News, Record},
    ids::{ConnectionId, KeyId},
};
use bascule_store::ledger::{Observer, Passed};
use tokio::sync::broadcast;

use super::{App, ConsumerFinding, Finding, error::Result, named::Subject, usage::NamedKey};

/// Events that may wait for a reader.
const KEPT: usize = 512;

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// So much passed in about a second, by one client with one key.
    Passed(Arc<Passed>),
    /// A key is refused to a tool: for a reason that is new, or to somebody more, or again and again.
    Found(KeyId, Arc<Finding>, News),
    /// Something became of a finding of a consumer.
    Consumer(Arc<ConsumerFinding>, News),
    /// A finding of a consumer that an earlier daemon told is resolved. This one never saw it.
    Gone(FindingId, Record),
    /// A change was made durable.
    Changed(audit::Entry),
}

/// Where events are told.
pub(crate) struct Live(broadcast::Sender<Event>);

impl Default for Live {
    fn default() -> Self {
        Self(broadcast::channel(KEPT).0)
    }
}

impl Live {
    /// Tells everybody who watches; nobody may.
    pub(crate) fn tell(&self, event: Event) {
        self.0.send(event).ok();
    }
}

impl Observer for Live {
    fn wanted(&self) -> bool {
        self.0.receiver_count() > 0
    }

    fn passed(&self, passed: Passed) {
        self.tell(Event::Passed(Arc::new(passed)));
    }
}

/// Somebody who watches.
pub(crate) struct Watcher {
    pub(crate) events: broadcast::Receiver<Event>,
    of: Subject,
}

impl Watcher {
    /// Whether the event is about what is watched.
    pub(crate) fn concerns(&self, event: &Event, app: &App) -> bool {
        match event {
            Event::Passed(passed) => self.of.holds(passed.connection, passed.key),
            Event::Found(key, ..) => match app.named(*key) {
                Some(named) => self.of.holds(named.connection, *key),
                None => self.of == Subject::Everything,
            },
            Event::Consumer(finding, _) => match finding.judgement.ids() {
                (Some(key), Some(connection)) => self.of.holds(connection, key),
                (None, Some(connection)) => self.of.holds_all_of(connection),
                (_, None) => self.of == Subject::Everything,
            },
            Event::Gone(..) => self.of == Subject::Everything,
            Event::Changed(entry) => self.of.concerns(&entry.change),
        }
    }
}

impl App {
    /// Watches everything, a connection, or a key, from now on.
    pub(crate) fn watch(&self, of: &str) -> Result<Watcher> {
        Ok(Watcher {
            events: self.live.0.subscribe(),
            of: self.subject(of)?,
        })
    }

    /// What is known of a key: it may be new, or dead.
    pub(crate) fn named(&self, key: KeyId) -> Option<NamedKey> {
        self.all_keys().into_iter().find(|named| named.key == key)
    }

    /// What a connection is called, if it is there.
    pub(crate) fn name_of(&self, connection: ConnectionId) -> Option<String> {
        let entry = self.registry.get(connection)?;
        Some(entry.connection.name.to_string())
    }

    /// Whether requests are seen at all.
    pub(crate) const fn counts_requests(&self) -> bool {
        self.ledger.is_some()
    }
}
