//! Who used which key, when, from where and with what: the ledger's answers, with names. Nothing
//! here decides about a request.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bascule_domain::{
    Timestamp,
    ids::{ConnectionId, KeyId},
    key::Key,
};
use bascule_store::ledger::{
    By, Interval, Ledger, LedgerError, LedgerSettings, Query, Report, Row,
};

use super::{
    App, blocking,
    error::{Error, Kind, Result},
    named::Subject,
    watch::Live,
};
use crate::{clock::Clock, config::Config};

/// How long the first event of a batch waits to be written.
const DELAY: Duration = Duration::from_secs(1);
/// Tallies that may wait to be written.
const QUEUE: usize = 8_192;
/// How long the start waits for the ledger to say when keys were last used.
const PATIENCE: Duration = Duration::from_secs(5);

/// A key, living or dead, with what it is called.
#[derive(Debug, Clone)]
pub(crate) struct NamedKey {
    pub key: KeyId,
    pub connection: ConnectionId,
    /// The access key id; of a dead key its last characters.
    pub access_key_id: String,
    pub label: String,
    pub connection_name: String,
    pub dead: bool,
    /// For a dead key not known any more.
    pub issued_at: Timestamp,
}

/// A report with names.
pub(crate) struct Usage {
    pub to: Timestamp,
    pub report: Report,
    /// The keys of its rows.
    pub keys: Vec<NamedKey>,
    /// Living keys without a request in the period.
    pub unused: Vec<NamedKey>,
}

impl Usage {
    pub(crate) fn key_of(&self, row: &Row) -> Option<&NamedKey> {
        self.keys.iter().find(|named| named.key == row.key)
    }
}

/// Starts the ledger, if it is wanted.
pub(super) fn open(
    config: &Config,
    store: &Arc<bascule_store::Store>,
    clock: &Arc<dyn Clock>,
    live: &Arc<Live>,
) -> Option<Arc<Ledger>> {
    let Some(keep) = config.usage_keep else {
        Ledger::note_disabled(&config.state_dir, clock.now());
        return None;
    };
    let now = Arc::clone(clock);
    let settings = LedgerSettings {
        keep,
        delay: DELAY,
        queue: QUEUE,
        now: Arc::new(move || now.now()),
        observer: Some(Arc::clone(live) as _),
    };
    match Ledger::open(Arc::clone(store), settings) {
        Ok(ledger) => Some(Arc::new(ledger)),
        Err(error) => {
            tracing::warn!(%error, "uses are not recorded");
            None
        }
    }
}

/// Whether the ledger has seen every use of a key since it was issued.
fn watched_since(known: &Interval, issued_at: Timestamp) -> bool {
    known.observed_since <= issued_at && known.gaps.is_empty()
}

impl App {
    /// Tells the gateway's keys when they were used before the daemon was started. A ledger that
    /// takes its time is not waited for. Returns the successors of which the ledger can't say
    /// whether they were used.
    pub(super) async fn remember_uses(&self) -> BTreeSet<KeyId> {
        let successors: Vec<(KeyId, Timestamp)> = self
            .registry
            .each_key(|_, key| key.predecessor.map(|_| (key.id, key.issued_at)));
        let all = successors.iter().map(|(key, _)| *key).collect();
        let Some(ledger) = self.ledger.clone() else {
            return all;
        };
        let asked = blocking(move || {
            let uses = ledger.last_uses()?;
            let mut not_known = BTreeSet::new();
            for (key, issued_at) in successors {
                if !watched_since(&ledger.longest_interval(key, issued_at)?, issued_at) {
                    not_known.insert(key);
                }
            }
            Ok::<_, LedgerError>((uses, not_known))
        });
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok((uses, not_known))) => {
                for (id, at) in uses {
                    if let Some(key) = self.registry.key_by_id(id) {
                        self.keyring.remember_use(&key.access_key_id, at);
                    }
                }
                not_known
            }
            // What is wrong with the file is in the log already.
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("when keys were used before this start is not known yet");
                all
            }
        }
    }

    /// What is known of the intervals between the uses of a living key.
    pub(crate) async fn longest_interval(&self, key: &Key) -> Result<Interval> {
        let (id, issued_at) = (key.id, key.issued_at);
        self.recorded(move |ledger| ledger.longest_interval(id, issued_at))
            .await
    }

    /// The uses of all keys, of a connection's, or of one, since then.
    pub(crate) async fn usage(
        &self,
        of: &str,
        since: Timestamp,
        by: By,
        cells: u32,
    ) -> Result<Usage> {
        let now = self.clock.now();
        if since >= now {
            return Err(Error::new(
                Kind::Invalid,
                "the period begins in the future".to_owned(),
            ));
        }
        let keys = self.named_of(&self.subject(of)?);
        let query = Query {
            keys: keys
                .iter()
                .map(|named| (named.key, named.connection, named.issued_at))
                .collect(),
            from: since,
            to: now,
            by,
            cells,
        };
        let report = self.recorded(move |ledger| ledger.report(query)).await?;
        let unused = keys
            .iter()
            .filter(|named| !named.dead && report.rows.iter().all(|row| row.key != named.key))
            .cloned()
            .collect();
        Ok(Usage {
            to: now,
            report,
            keys,
            unused,
        })
    }

    /// Forgets the uses of an erased connection's keys. What named anything is unreadable already.
    pub(super) async fn forget_uses(&self, connection: ConnectionId) {
        let Some(ledger) = self.ledger.clone() else {
            return;
        };
        if let Err(error) = blocking(move || ledger.erase(connection)).await {
            tracing::warn!(%connection, %error, "the counts of an erased connection stay in the usage ledger; what named anything is unreadable");
        }
    }

    /// Writes what has gathered. Called last, when nothing passes any more.
    pub(crate) async fn close_ledger(&self) {
        if let Some(ledger) = self.ledger.clone() {
            blocking(move || ledger.close()).await;
        }
    }

    pub(super) async fn recorded<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Ledger) -> std::result::Result<T, bascule_store::ledger::LedgerError>
        + Send
        + 'static,
    ) -> Result<T> {
        let ledger = self.ledger.clone().ok_or_else(|| {
            Error::new(
                Kind::Refused,
                "uses are not recorded: the ledger is switched off".to_owned(),
            )
            .next("set enabled = true under [usage] in the settings, and restart the daemon")
        })?;
        blocking(move || ask(&ledger))
            .await
            .map_err(|error| Error::new(Kind::Storage, error.to_string()).next("bascule status"))
    }

    /// The keys, living ones first.
    fn named_of(&self, subject: &Subject) -> Vec<NamedKey> {
        let mut keys = self.all_keys();
        keys.retain(|named| subject.holds(named.connection, named.key));
        keys
    }

    /// Every key that is known, living ones first.
    pub(super) fn all_keys(&self) -> Vec<NamedKey> {
        let mut living = self.registry.each_key(|entry, key| {
            Some(NamedKey {
                key: key.id,
                connection: key.connection,
                access_key_id: key.access_key_id.to_string(),
                label: key.label.to_string(),
                connection_name: entry.connection.name.to_string(),
                dead: false,
                issued_at: key.issued_at,
            })
        });
        let dead = self.graves.all().into_iter().map(|dead| NamedKey {
            key: dead.key,
            connection: dead.connection,
            access_key_id: dead.masked,
            label: dead.label.to_string(),
            connection_name: dead.connection_name.to_string(),
            dead: true,
            issued_at: Timestamp::UNIX_EPOCH,
        });
        living.extend(dead);
        living
    }
}
