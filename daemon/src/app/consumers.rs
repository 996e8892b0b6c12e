//! Consumers of keys that are dead, paused or retiring: what the watcher sees, judged by what the keys
//! are now. A change of a key is judged from what was seen last, without looking again; what is told
//! and acknowledged outlives the daemon. It must never keep a secret of a configuration.

pub(super) mod compare;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bascule_domain::{
    Timestamp,
    access_key::{AccessKeyId, ShownId},
    audit::{Asked, Change, Details},
    finding::{Acknowledgement, FindingId, News, Record},
    ids::{ConnectionId, KeyId},
    tombstone::CauseOfDeath,
};
use bascule_store::MarkedKey;
use bascule_watch::{Gap, Link, LinkKind, Picture, Rank, Standing, Use};
use tokio::sync::{Notify, oneshot};

use super::{
    App, IssuedState, Judgement,
    error::{Error, Kind, Result},
    findings::shell_word,
    watch::Event,
};

/// A consumer that needs attention.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerFinding {
    pub id: FindingId,
    pub found: Use,
    pub judgement: Judgement,
    pub record: Record,
}

/// What a look covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Covered {
    /// Files alone: what processes use stays as it was seen.
    Files,
    /// Files and processes.
    Everything,
}

/// Whether what is not seen any more is gone, or may be in the middle of being saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    Believed,
    Doubted,
}

/// All findings of consumers, and what they are made from.
#[derive(Default)]
pub(crate) struct Consumers {
    board: Mutex<Board>,
    /// Those who wait for a look.
    waiting: Mutex<Vec<Waiting>>,
    /// Wakes whoever looks.
    look: Notify,
    /// Held while something is judged and kept, so that what is kept is what was judged last.
    judging: tokio::sync::Mutex<()>,
}

/// What changes without being noticed.
#[derive(Debug, Clone)]
pub(crate) struct Unnoticed {
    /// What, and why.
    pub told: String,
    /// Whether that is more than a folder which may not be read.
    pub is_trouble: bool,
}

/// Somebody who waits for a look.
pub(crate) struct Waiting(oneshot::Sender<()>);

#[derive(Default)]
struct Board {
    /// What was seen last, without secrets.
    uses: Vec<Use>,
    gaps: Vec<Gap>,
    paths: BTreeSet<PathBuf>,
    looked_at: Option<Timestamp>,
    looks: u64,
    /// What changes without being noticed, and why.
    not_noticed: Vec<Unnoticed>,
    /// Keys that no server is asked about though it is set to, and why.
    not_probed: Option<String>,
    records: BTreeMap<FindingId, Record>,
    open: BTreeMap<FindingId, ConsumerFinding>,
    marked: BTreeMap<AccessKeyId, MarkedKey>,
    /// Which of the uses are of which key.
    of_key: BTreeMap<AccessKeyId, Vec<usize>>,
    /// What each of those keys was when it was judged last.
    judged: BTreeMap<AccessKeyId, Judgement>,
}

impl Consumers {
    pub(super) fn new(records: Vec<(FindingId, Record)>, marked: Vec<MarkedKey>) -> Self {
        let marked = marked.into_iter();
        Self {
            board: Mutex::new(Board {
                records: records.into_iter().collect(),
                marked: marked.map(|key| (key.access_key_id.clone(), key)).collect(),
                ..Board::default()
            }),
            ..Self::default()
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many want attention: neither known to the user nor copies that no tool reads.
    pub(crate) fn count(&self) -> usize {
        let wants = |finding: &&ConsumerFinding| {
            finding.record.acknowledged.is_none() && finding.found.rank != Rank::Leftover
        };
        self.board().open.values().filter(wants).count()
    }

    /// Whether the user said that this key is dead elsewhere.
    pub(super) fn marked(&self, id: &AccessKeyId) -> Option<MarkedKey> {
        self.board().marked.get(id).cloned()
    }

    pub(super) fn mark(&self, key: MarkedKey) {
        self.board().marked.insert(key.access_key_id.clone(), key);
    }

    pub(super) fn unmark(&self, id: &AccessKeyId) {
        self.board().marked.remove(id);
    }

    /// Has whoever looks do so, and waits for nothing.
    pub(super) fn look_soon(&self) {
        self.look.notify_one();
    }

    /// All that the user said are dead elsewhere.
    pub(super) fn marked_keys(&self) -> impl Iterator<Item = MarkedKey> + use<> {
        let marked: Vec<_> = self.board().marked.values().cloned().collect();
        marked.into_iter()
    }

    /// The files that what was seen last is about.
    pub(crate) fn paths(&self) -> BTreeSet<PathBuf> {
        self.board().paths.clone()
    }

    /// How many looks were taken since the start.
    pub(super) fn looks(&self) -> u64 {
        self.board().looks
    }

    /// Who uses which key, as it was seen last, without secrets.
    pub(super) fn uses(&self) -> Vec<Use> {
        self.board().uses.clone()
    }

    /// Says what changes without being noticed.
    pub(crate) fn not_noticed(&self, why: Vec<Unnoticed>) {
        self.board().not_noticed = why;
    }

    /// What was seen to lead to this key, the most urgent first, and when that was looked at.
    pub(super) fn holders(&self, key: KeyId) -> (Vec<Use>, Option<Timestamp>) {
        let board = self.board();
        let of_key = board.judged.iter();
        let of_key = of_key.filter(|(_, judgement)| judgement.ids().0 == Some(key));
        let uses = of_key.filter_map(|(id, _)| board.of_key.get(id)).flatten();
        let mut uses: Vec<_> = uses
            .filter_map(|at| board.uses.get(*at))
            .filter(|found| takes(found))
            .cloned()
            .collect();
        uses.sort_by_key(|found| found.rank);
        (uses, board.looked_at)
    }

    /// Says which keys no server is asked about.
    pub(super) fn not_probed(&self, why: Option<String>) {
        self.board().not_probed = why;
    }

    /// What of that somebody has to mend.
    pub(super) fn troubles(&self) -> Vec<String> {
        let board = self.board();
        let troubles = board.not_noticed.iter().filter(|what| what.is_trouble);
        troubles.map(|what| what.told.clone()).collect()
    }

    /// When the machine was looked at last.
    pub(super) fn looked_at(&self) -> Option<Timestamp> {
        self.board().looked_at
    }

    /// What was not looked at, each in words.
    pub(crate) fn not_checked(&self) -> Vec<String> {
        let board = self.board();
        let mut told = Vec::new();
        if board.looked_at.is_none() {
            told.push("configurations, jobs and processes: the first look is not done yet".into());
        }
        told.extend(board.not_noticed.iter().map(|what| what.told.clone()));
        told.extend(board.not_probed.clone());
        told.extend(board.gaps.iter().map(|gap| {
            // What leads there tells which one is meant.
            let ways = gap.chain.iter().map(|link| link.name.as_str());
            let mut steps: Vec<_> = ways.collect();
            if steps.last() != Some(&gap.what.as_str()) {
                steps.push(&gap.what);
            }
            format!("{}: {}", steps.join(" → "), gap.why)
        }));
        told
    }
}

impl App {
    /// Has the machine looked at, processes included, and waits for it.
    pub(crate) async fn look_now(&self) {
        let (done, looked) = oneshot::channel();
        self.consumers.waiting().push(Waiting(done));
        self.consumers.look.notify_one();
        // Nobody looks any more when the daemon stops.
        looked.await.ok();
    }

    /// Waits until somebody asks for a look.
    pub(crate) async fn asked_to_look(&self) -> Vec<Waiting> {
        self.consumers.look.notified().await;
        std::mem::take(&mut *self.consumers.waiting())
    }

    /// Tells somebody that the look is done.
    pub(crate) fn looked(&self, waiting: Waiting) {
        waiting.0.send(()).ok();
    }

    /// Waits until the change that is being made is in memory.
    pub(crate) async fn changes_made(&self) {
        drop(self.one_change_at_a_time().await);
    }

    /// Takes what a look has seen. Returns whether something seems to be gone that is worth a
    /// second look before it is believed.
    pub(crate) async fn seen(
        &self,
        mut picture: Picture,
        covered: Covered,
        absence: Absence,
    ) -> bool {
        {
            let mut board = self.consumers.board();
            for found in &mut picture.uses {
                found.key.secret = None;
            }
            if covered == Covered::Files {
                let uses = board.uses.iter();
                let of_process = uses.filter(|found| found.rank == Rank::Process);
                picture.uses.extend(of_process.cloned());
                let gaps = board.gaps.iter();
                let of_process =
                    gaps.filter(|gap| gap.chain.iter().any(|link| link.kind == LinkKind::Process));
                picture.gaps.extend(of_process.cloned());
                // Which runs failed was not asked for either.
                let suspected = board.uses.iter().filter(|found| found.suspected.is_some());
                let suspected: BTreeMap<_, _> = suspected
                    .map(|found| (compare::identity(found), &found.suspected))
                    .collect();
                if !suspected.is_empty() {
                    for found in picture
                        .uses
                        .iter_mut()
                        .filter(|found| found.suspected.is_none())
                    {
                        if let Some(known) = suspected.get(&compare::identity(found)) {
                            found.suspected.clone_from(known);
                        }
                    }
                }
            }
            board.paths = picture.paths();
            board.judged.clear();
            board.of_key.clear();
            for (at, found) in picture.uses.iter().enumerate() {
                let of_key = board.of_key.entry(found.key.id.clone());
                of_key.or_default().push(at);
            }
            board.uses = picture.uses;
            board.gaps = picture.gaps;
            board.looked_at = Some(self.clock.now());
            board.looks += 1;
        }
        self.judge_consumers(absence).await
    }

    /// The findings of consumers, the most urgent first: of a connection, of a key, or all.
    pub(crate) fn consumer_findings(&self, of: Option<&str>) -> Vec<ConsumerFinding> {
        let board = self.consumers.board();
        let mut all: Vec<_> = board
            .open
            .values()
            .filter(|finding| of.is_none_or(|of| finding.is_of(of)))
            .cloned()
            .collect();
        all.sort_by_key(|finding| {
            let acknowledged = finding.record.acknowledged.is_some();
            (acknowledged, finding.found.rank, finding.id)
        });
        all
    }

    /// The one with this id; its beginning is enough if no other begins so.
    pub(crate) fn consumer_finding(&self, id: &str) -> Result<ConsumerFinding> {
        let board = self.consumers.board();
        let wanted = id.to_ascii_uppercase();
        let mut found = board.open.values().filter(|finding| {
            wanted.len() >= 2
                && finding
                    .id
                    .to_string()
                    .to_ascii_uppercase()
                    .starts_with(&wanted)
        });
        match (found.next(), found.next()) {
            (Some(finding), None) => Ok(finding.clone()),
            (Some(_), Some(_)) => Err(Error::new(
                Kind::Invalid,
                format!("several findings begin with {id}; give more of it"),
            )
            .next("bascule findings")),
            (None, _) => Err(Error::new(
                Kind::NotFound,
                format!("there is no finding {id} now: it was resolved, or it never was"),
            )
            .next("bascule findings")),
        }
    }

    /// Notes that the user knows of a finding, and why, and wants to hear no more of it until it changes.
    pub(crate) async fn acknowledge(&self, asked: Asked, id: &str) -> Result<ConsumerFinding> {
        let Some(why) = asked.reason.as_ref().map(ToString::to_string) else {
            return Err(Error::new(Kind::Invalid, "say why: --why TEXT".to_owned()));
        };
        let mut finding = self.consumer_finding(id)?;
        finding.record.acknowledged = Some(Acknowledgement {
            at: self.clock.now(),
            why,
        });
        let (key, connection) = finding.judgement.ids();
        let change = Change::FindingAcknowledged {
            finding: finding.id,
            connection,
            key,
        };
        let entry = self.audit(Some(asked), change, finding.judgement.details());
        let (id, record) = (finding.id, finding.record.clone());
        self.stored(move |store| store.acknowledge(id, &record, &entry))
            .await?;
        let mut board = self.consumers.board();
        if let Some(record) = board.records.get_mut(&finding.id) {
            record.acknowledged.clone_from(&finding.record.acknowledged);
        }
        if let Some(open) = board.open.get_mut(&finding.id) {
            open.record
                .acknowledged
                .clone_from(&finding.record.acknowledged);
        }
        drop(board);
        let known = Arc::new(finding.clone());
        self.live.tell(Event::Consumer(known, News::Acknowledged));
        Ok(finding)
    }

    /// What to do about a finding, each a sentence or a command.
    pub(crate) fn consumer_advice(&self, finding: &ConsumerFinding) -> Vec<String> {
        let found = &finding.found;
        let at = &found.key.place;
        let mut advice = Vec::new();
        let fresh = |advice: &mut Vec<String>, connection: &str| {
            if self.registry.by_name(connection).is_some() {
                advice.push(format!(
                    "give it a new key and put that at {at}: bascule key issue {} --label NEW-LABEL",
                    shell_word(connection)
                ));
            } else {
                advice.push(format!(
                    "if it should reach the bucket again: bascule connect {} …, then bascule key issue",
                    shell_word(connection)
                ));
            }
        };
        match &finding.judgement {
            Judgement::Issued {
                state,
                connection,
                label,
                ..
            } => {
                let key = shell_word(&format!("{connection}/{label}"));
                match state {
                    IssuedState::Paused => {
                        advice.push(format!("if it should work again: bascule key resume {key}, or bascule resume {connection} if its connection is paused"));
                    }
                    IssuedState::Expired(_) => {
                        advice.push(format!("let it go on: bascule key restrict {key} --expires 30d"));
                        fresh(&mut advice, connection);
                    }
                    IssuedState::Retiring(_) => {
                        advice.push(format!("put its successor at {at}: bascule key rotation {key}"));
                    }
                    IssuedState::Living => {}
                }
            }
            Judgement::Dead(tombstone) => {
                if let CauseOfDeath::Rotated { successor, .. } = tombstone.cause {
                    let living = self.registry.key_by_id(successor);
                    if let Some(key) = living {
                        advice.push(format!(
                            "its successor {} lives: rotate that one to get a secret to put at {at}: bascule key rotate {}",
                            key.access_key_id.masked(),
                            shell_word(&format!("{}/{}", tombstone.connection_name, key.label))
                        ));
                    }
                }
                fresh(&mut advice, tombstone.connection_name.as_str());
            }
            Judgement::Brought { connection, .. } => {
                advice.push(format!("give it a key of its own: bascule key issue {} --label NEW-LABEL", shell_word(connection)));
            }
            Judgement::Marked(_) => advice.push(format!(
                "put a living key at {at}, or give it one of Bascule: bascule connect NAME …, then bascule key issue NAME --label NEW-LABEL"
            )),
            Judgement::Unknown => {}
        }
        let repairable = match &finding.judgement {
            Judgement::Issued { state, .. } => {
                matches!(state, IssuedState::Retiring(_) | IssuedState::Expired(_))
            }
            Judgement::Dead(_) | Judgement::Marked(_) => true,
            Judgement::Brought { .. } | Judgement::Unknown => false,
        };
        if repairable {
            advice.push(format!(
                "or let it be put there, shown first: bascule repair {}",
                finding.id
            ));
        }
        if let Some(unit) = running_unit(found) {
            advice.push(format!("then restart what still holds the old key: systemctl restart {unit} (with --user for a unit of yours)"));
        } else if found.rank == Rank::Process {
            advice.push("then restart that process: it holds the old key until it ends".into());
        }
        if let Some(suspicion) = &found.suspected {
            advice.push(format!("see whether the key still works: bascule check; why {} failed: systemctl status {}", suspicion.unit, suspicion.unit));
        }
        advice.push(format!(
            "if that is as it should be: bascule findings ack {} --why TEXT",
            finding.id
        ));
        advice
    }
}

impl ConsumerFinding {
    /// The word for programs of why it needs attention.
    pub(crate) fn reason(&self) -> &'static str {
        reason(&self.found, &self.judgement)
    }

    /// The way to the key, a step each, without the whole id.
    pub(crate) fn chain(&self) -> Vec<String> {
        way(&self.found)
    }

    /// Whether it is about this connection, key (`CONNECTION/LABEL`, or an id as an alarm shows it).
    fn is_of(&self, of: &str) -> bool {
        let (connection, label) = self.judgement.owner();
        of == connection
            || of == format!("{connection}/{label}")
            || ShownId::new(of).fits(self.found.key.id.as_str())
    }
}

/// The way to a key, a step each, without the whole id.
pub(crate) fn way(found: &Use) -> Vec<String> {
    let id = &found.key.id;
    let step = |link: &Link| match (&link.place, link.kind) {
        (Some(place), LinkKind::Script) => place.to_string(),
        _ => link.name.clone(),
    };
    let steps = found.chain.iter().map(step);
    steps
        .chain([found.key.place.to_string()])
        .map(|step| step.replace(id.as_str(), &id.masked()))
        .collect()
}

/// The word for programs of why somebody's use of a key needs attention: what is known goes first.
fn reason(found: &Use, judgement: &Judgement) -> &'static str {
    match &found.suspected {
        Some(_) if !judgement.needs_attention() => "KEY-SUSPECTED",
        _ => judgement.reason(),
    }
}

/// Whether a tool would take the key there, as far as can be told, or it lies about.
fn takes(found: &Use) -> bool {
    matches!(found.standing, Standing::Effective | Standing::Unknown)
        || found.rank == Rank::Leftover
}

impl Judgement {
    /// Whether whoever uses such a key needs attention.
    pub(crate) fn needs_attention(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Issued { state, .. } => *state != IssuedState::Living,
            Self::Brought { leaked_at, .. } => leaked_at.is_some(),
            Self::Dead(_) | Self::Marked(_) => true,
        }
    }

    /// The word for programs, as in the gateway's refusals where it has one.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Issued { state, .. } => match state {
                IssuedState::Living => "LIVING",
                IssuedState::Paused => "KEY-PAUSED",
                IssuedState::Expired(_) => "KEY-EXPIRED",
                IssuedState::Retiring(_) => "KEY-RETIRING",
            },
            Self::Dead(_) => "KEY-REVOKED",
            Self::Brought { .. } => "KEY-LEAKED",
            Self::Marked(_) => "KEY-DEAD-ELSEWHERE",
        }
    }

    /// Which key and connection of ours it is about.
    pub(crate) fn ids(&self) -> (Option<KeyId>, Option<ConnectionId>) {
        match self {
            Self::Issued {
                key, connection_id, ..
            } => (Some(*key), Some(*connection_id)),
            Self::Dead(tombstone) => (Some(tombstone.key), Some(tombstone.connection)),
            Self::Brought { connection_id, .. } => (None, Some(*connection_id)),
            Self::Marked(_) | Self::Unknown => (None, None),
        }
    }

    /// For the audit: what the connection and the key are called.
    fn details(&self) -> Details {
        let (connection, label) = self.owner();
        Details {
            connection: connection.parse().ok(),
            label: label.parse().ok(),
            ..Details::default()
        }
    }

    /// Connection and label, empty where there is none.
    pub(crate) fn owner(&self) -> (&str, &str) {
        match self {
            Self::Issued {
                connection, label, ..
            } => (connection, label),
            Self::Dead(tombstone) => (tombstone.connection_name.as_str(), tombstone.label.as_str()),
            Self::Brought { connection, .. } => (connection, ""),
            Self::Marked(_) | Self::Unknown => ("", ""),
        }
    }
}

/// The unit of a process that runs.
fn running_unit(found: &Use) -> Option<&str> {
    if found.rank != Rank::Process {
        return None;
    }
    let mut units = found
        .chain
        .iter()
        .filter(|link| link.kind == LinkKind::Unit);
    units.next().map(|link| link.name.as_str())
}
