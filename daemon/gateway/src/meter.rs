//! What passes through the gateway, counted: one set of plain atomics for each connection, and one
//! for requests that no connection can be told for. It must never name a key, a bucket or an
//! object, and never grow with what clients send.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bascule_domain::{ids::ConnectionId, operation::Action};
use http::StatusCode;

use crate::{
    cells::ConnectionCell,
    metrics::{Family, Kind},
    reason::Reason,
    route::Trouble,
    upstream::UpstreamErrorKind,
};

/// Connections that are gone and still counted; beyond it the oldest is forgotten.
const KEPT: usize = 64;
/// Rows of `requests`: every action, and requests that were not classified.
const ROWS: usize = Action::ALL.len() + 1;
const UNCLASSIFIED: usize = Action::ALL.len();
/// How a request was answered; the last is a request whose client was gone, or cut, before.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
const NONE: usize = CLASSES.len() - 1;

/// The counters of one connection.
pub(crate) struct Meter {
    requests: [[AtomicU64; CLASSES.len()]; ROWS],
    refusals: [AtomicU64; Reason::ALL.len()],
    upstream_errors: [AtomicU64; UpstreamErrorKind::ALL.len()],
    received: AtomicU64,
    sent: AtomicU64,
    cut: AtomicU64,
    in_doubt: AtomicU64,
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Meter {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            requests: [const { [const { AtomicU64::new(0) }; CLASSES.len()] }; ROWS],
            refusals: [const { AtomicU64::new(0) }; Reason::ALL.len()],
            upstream_errors: [const { AtomicU64::new(0) }; UpstreamErrorKind::ALL.len()],
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            in_doubt: AtomicU64::new(0),
        })
    }

    /// A request was answered, or ended without.
    pub(crate) fn request(&self, action: Option<Action>, status: Option<StatusCode>) {
        let row = action.map_or(UNCLASSIFIED, |action| action as usize);
        let class = status.map_or(NONE, |status| usize::from(status.as_u16() / 100) - 1);
        if let Some(counter) = self.requests[row].get(class) {
            add(counter, 1);
        }
    }

    pub(crate) fn refusal(&self, reason: Reason) {
        add(&self.refusals[reason as usize], 1);
    }

    /// How many there were for that reason.
    pub(crate) fn refusals(&self, reason: Reason) -> u64 {
        read(&self.refusals[reason as usize])
    }

    pub(crate) fn upstream_error(&self, kind: UpstreamErrorKind) {
        add(&self.upstream_errors[kind as usize], 1);
    }

    /// Bytes of body came from a client.
    pub(crate) fn received(&self, bytes: u64) {
        add(&self.received, bytes);
    }

    /// Bytes of body went to a client.
    pub(crate) fn sent(&self, bytes: u64) {
        add(&self.sent, bytes);
    }

    /// A stream was cut by a revocation, a change or a pause.
    pub(crate) fn cut(&self) {
        add(&self.cut, 1);
    }

    /// So many changes may or may not have happened.
    pub(crate) fn in_doubt(&self, changes: u64) {
        add(&self.in_doubt, changes);
    }
}

/// The meters that no living connection holds.
pub(crate) struct Meters {
    nobody: Arc<Meter>,
    gone: Mutex<VecDeque<Gone>>,
}

struct Gone {
    id: ConnectionId,
    name: String,
    meter: Arc<Meter>,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            nobody: Meter::new(),
            gone: Mutex::default(),
        }
    }
}

impl Meters {
    /// For requests of no connection.
    pub(crate) const fn nobody(&self) -> &Arc<Meter> {
        &self.nobody
    }

    fn gone(&self) -> MutexGuard<'_, VecDeque<Gone>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a connection counted after it is gone: its last streams are still to end.
    pub(crate) fn keep(&self, cell: &ConnectionCell) {
        let mut gone = self.gone();
        if gone.len() == KEPT {
            gone.pop_front();
        }
        gone.push_back(Gone {
            id: cell.id(),
            name: cell.name().to_string(),
            meter: Arc::clone(cell.meter()),
        });
    }

    /// Of a connection that is gone and still counted.
    pub(crate) fn of_gone(&self, id: ConnectionId) -> Option<Arc<Meter>> {
        let gone = self.gone();
        let found = gone.iter().find(|gone| gone.id == id)?;
        Some(Arc::clone(&found.meter))
    }

    /// Everything, by name: a connection that was made anew goes on where the old one ended.
    pub(crate) fn families(&self, living: &[Arc<ConnectionCell>]) -> Vec<Family> {
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        counts.entry(String::new()).or_default().take(&self.nobody);
        for gone in self.gone().iter() {
            counts
                .entry(gone.name.clone())
                .or_default()
                .take(&gone.meter);
        }
        for cell in living {
            let counts = counts.entry(cell.name().to_string()).or_default();
            counts.take(cell.meter());
            counts.open += cell.open_requests() as u64;
            counts.refused |= cell.trouble() == Some(Trouble::Credentials);
        }
        families(&counts)
    }
}

/// Figures of one name, added up.
#[derive(Default)]
struct Counts {
    requests: BTreeMap<(&'static str, &'static str), u64>,
    refusals: BTreeMap<Reason, u64>,
    upstream_errors: BTreeMap<&'static str, u64>,
    received: u64,
    sent: u64,
    open: u64,
    cut: u64,
    in_doubt: u64,
    refused: bool,
}

impl Counts {
    fn take(&mut self, meter: &Meter) {
        for (row, counters) in meter.requests.iter().enumerate() {
            let operation = Action::ALL.get(row).map_or("unclassified", |a| a.name());
            for (class, counter) in CLASSES.iter().zip(counters) {
                let number = read(counter);
                if number > 0 {
                    *self.requests.entry((operation, class)).or_default() += number;
                }
            }
        }
        for (reason, counter) in Reason::ALL.iter().zip(&meter.refusals) {
            let number = read(counter);
            if number > 0 {
                *self.refusals.entry(*reason).or_default() += number;
            }
        }
        for (kind, counter) in UpstreamErrorKind::ALL.iter().zip(&meter.upstream_errors) {
            let number = read(counter);
            if number > 0 {
                *self.upstream_errors.entry(kind.as_str()).or_default() += number;
            }
        }
        self.received += read(&meter.received);
        self.sent += read(&meter.sent);
        self.cut += read(&meter.cut);
        self.in_doubt += read(&meter.in_doubt);
    }
}

fn families(counts: &BTreeMap<String, Counts>) -> Vec<Family> {
    let mut requests = Family::new(
        "bascule_requests_total",
        "Requests by S3 operation and status class; \"none\": the client was gone or cut before the answer.",
        Kind::Counter,
    );
    let mut refusals = Family::new(
        "bascule_refusals_total",
        "Requests refused by the gateway, by reason; USER-NOT-ALLOWED: connections, closed before a request.",
        Kind::Counter,
    );
    let mut errors = Family::new(
        "bascule_upstream_errors_total",
        "Requests that the provider did not answer, by kind.",
        Kind::Counter,
    );
    for (name, counts) in counts {
        let connection = || ("connection", name.clone());
        for ((operation, class), number) in &counts.requests {
            let labels = vec![
                connection(),
                ("operation", (*operation).to_owned()),
                ("status", (*class).to_owned()),
            ];
            requests.sample(labels, *number);
        }
        for (reason, number) in &counts.refusals {
            let labels = vec![connection(), ("reason", reason.to_string())];
            refusals.sample(labels, *number);
        }
        for (kind, number) in &counts.upstream_errors {
            let labels = vec![connection(), ("kind", (*kind).to_owned())];
            errors.sample(labels, *number);
        }
    }
    let plain = |name, help, kind, figure: fn(&Counts) -> u64| {
        let mut family = Family::new(name, help, kind);
        for (name, counts) in counts.iter().filter(|(name, _)| !name.is_empty()) {
            family.sample(vec![("connection", name.clone())], figure(counts));
        }
        family
    };
    vec![
        requests,
        refusals,
        errors,
        plain(
            "bascule_received_bytes_total",
            "Bytes of request bodies taken from clients.",
            Kind::Counter,
            |counts| counts.received,
        ),
        plain(
            "bascule_sent_bytes_total",
            "Bytes of answers' bodies from the provider given to clients.",
            Kind::Counter,
            |counts| counts.sent,
        ),
        plain(
            "bascule_open_streams",
            "Requests that are open now: admitted, and not ended on both sides.",
            Kind::Gauge,
            |counts| counts.open,
        ),
        plain(
            "bascule_cut_streams_total",
            "Streams cut by a revocation, a pause or a change of their key.",
            Kind::Counter,
            |counts| counts.cut,
        ),
        plain(
            "bascule_in_doubt_changes_total",
            "Changes that may or may not have happened at the provider: its answer did not arrive.",
            Kind::Counter,
            |counts| counts.in_doubt,
        ),
        plain(
            "bascule_credentials_refused",
            "1 while the provider refuses the connection's own credentials.",
            Kind::Gauge,
            |counts| u64::from(counts.refused),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_reason_and_kind_has_a_counter_of_its_own() {
        for (at, action) in Action::ALL.iter().enumerate() {
            assert_eq!(*action as usize, at);
        }
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
        }
        for (at, kind) in UpstreamErrorKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }

    #[test]
    fn connections_of_one_name_are_one_series() {
        let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
        for _ in 0..2 {
            let meter = Meter::new();
            meter.request(Some(Action::GetObject), Some(StatusCode::OK));
            meter.refusal(Reason::KeyRevoked);
            meter.sent(5);
            counts.entry("vault".into()).or_default().take(&meter);
        }
        let families = families(&counts);
        let sample = |name: &str| {
            let family = families.iter().find(|family| family.name == name).unwrap();
            let [sample] = &family.samples[..] else {
                panic!("{family:?}");
            };
            sample.value
        };
        assert_eq!(sample("bascule_requests_total"), 2);
        assert_eq!(sample("bascule_refusals_total"), 2);
        assert_eq!(sample("bascule_sent_bytes_total"), 10);
    }
}
