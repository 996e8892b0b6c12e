//! Consumers of keys that are dead, paused or retiring: what the watcher sees, judged by what the keys
//! are now. A change of a key is judged from what was seen last, without looking again; what is told
//! and acknowledged outlives the daemon. It must never keep a secret of a configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bascule_domain::{
    Timestamp,
    access_key::{AccessKeyId, ShownId},
    finding::{Acknowledgement, Digest, FindingId, News, Record, Sight, compare},
    ids::{ConnectionId, KeyId},
    tombstone::CauseOfDeath,
};
use bascule_store::MarkedKey;
use bascule_watch::{Gap, Link, LinkKind, NextRun, Picture, Place, Rank, Standing, Use};
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
    /// What changes without being noticed, and why.
    not_noticed: Vec<String>,
    records: BTreeMap<FindingId, Record>,
    open: BTreeMap<FindingId, ConsumerFinding>,
    marked: BTreeMap<AccessKeyId, MarkedKey>,
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

    /// The files that what was seen last is about.
    pub(crate) fn paths(&self) -> BTreeSet<PathBuf> {
        self.board().paths.clone()
    }

    /// Says what changes without being noticed.
    pub(crate) fn not_noticed(&self, why: Vec<String>) {
        self.board().not_noticed = why;
    }

    /// What was not looked at, each in words.
    pub(crate) fn not_checked(&self) -> Vec<String> {
        let board = self.board();
        let mut told = Vec::new();
        if board.looked_at.is_none() {
            told.push("configurations, jobs and processes: the first look is not done yet".into());
        }
        told.extend(board.not_noticed.iter().cloned());
        told.extend(
            board
                .gaps
                .iter()
                .map(|gap| format!("{}: {}", gap.what, gap.why)),
        );
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
                    .map(|found| (identity(found), &found.suspected))
                    .collect();
                if !suspected.is_empty() {
                    for found in picture
                        .uses
                        .iter_mut()
                        .filter(|found| found.suspected.is_none())
                    {
                        if let Some(known) = suspected.get(&identity(found)) {
                            found.suspected.clone_from(known);
                        }
                    }
                }
            }
            board.paths = picture.paths();
            board.uses = picture.uses;
            board.gaps = picture.gaps;
            board.looked_at = Some(self.clock.now());
        }
        self.judge_consumers(absence).await
    }

    /// Judges what was seen last by what the keys are now.
    pub(crate) async fn judge_consumers(&self, absence: Absence) -> bool {
        let (news, changes, doubted) = self.compare_consumers(absence);
        if !changes.is_empty() {
            let kept = self
                .stored(move |store| store.keep_findings(&changes))
                .await;
            if let Err(error) = kept {
                tracing::warn!(error = %error.message, "what was told of findings is not kept; it may be told again after a restart");
            }
        }
        for event in news {
            log(&event);
            self.live.tell(event);
        }
        doubted
    }

    #[expect(clippy::type_complexity, reason = "three results of one pass")]
    fn compare_consumers(
        &self,
        absence: Absence,
    ) -> (Vec<Event>, Vec<(FindingId, Option<Record>)>, bool) {
        let mut board = self.consumers.board();
        let board = &mut *board;
        let Some(_) = board.looked_at else {
            return (Vec::new(), Vec::new(), false);
        };
        let mut judged: BTreeMap<&AccessKeyId, Judgement> = BTreeMap::new();
        let mut current: BTreeMap<FindingId, (Use, Judgement)> = BTreeMap::new();
        for found in &board.uses {
            let id = &found.key.id;
            let judgement = judged
                .entry(id)
                .or_insert_with(|| self.judge_with(id, board.marked.get(id)));
            let used = matches!(found.standing, Standing::Effective | Standing::Unknown);
            let suspected = found.suspected.is_some() && used;
            if suspected || judgement.needs_attention() && (used || found.rank == Rank::Leftover) {
                let id = self.store.finding_id(&identity(found));
                current.insert(id, (found.clone(), judgement.clone()));
            }
        }
        let sights = current
            .iter()
            .map(|(id, (found, judgement))| (*id, self.sight(found, judgement)))
            .collect();
        let missing = |id: &&FindingId| !current.contains_key(*id);
        let missing: BTreeSet<_> = board.records.keys().filter(missing).copied().collect();
        let hidden: BTreeSet<_> = match missing.is_empty() {
            true => BTreeSet::new(),
            false => board.gaps.iter().map(|gap| self.place(&gap.what)).collect(),
        };
        let is_hidden = |record: &Record| record.places.iter().any(|at| hidden.contains(&at.0));
        let blind: BTreeSet<_> = missing
            .iter()
            .filter(|id| {
                absence == Absence::Doubted || board.records.get(id).is_some_and(is_hidden)
            })
            .copied()
            .collect();
        let doubted = absence == Absence::Doubted && !missing.is_empty();
        let before = board.records.clone();
        let news = compare(&mut board.records, &sights, &blind, self.clock.now());
        let mut told = Vec::new();
        for (id, news) in news {
            let finding = match news {
                News::Resolved => board.open.remove(&id),
                News::Opened | News::Changed | News::Acknowledged => {
                    let record = board.records.get(&id).cloned();
                    record
                        .zip(current.get(&id))
                        .map(|(record, (found, judgement))| ConsumerFinding {
                            id,
                            found: found.clone(),
                            judgement: judgement.clone(),
                            record,
                        })
                }
            };
            told.extend(match finding {
                Some(finding) => Some(Event::Consumer(Arc::new(finding), news)),
                // An earlier daemon told it, and nobody has seen it since.
                None => before
                    .get(&id)
                    .map(|record| Event::Gone(id, record.clone())),
            });
        }
        for (id, (found, judgement)) in current {
            if let Some(record) = board.records.get(&id).cloned() {
                let finding = ConsumerFinding {
                    id,
                    found,
                    judgement,
                    record,
                };
                board.open.insert(id, finding);
            }
        }
        let changed = |id: &&FindingId| before.get(*id) != board.records.get(*id);
        let ids: BTreeSet<_> = before.keys().chain(board.records.keys()).collect();
        let changes = ids
            .into_iter()
            .filter(changed)
            .map(|id| (*id, board.records.get(id).cloned()))
            .collect();
        (told, changes, doubted)
    }

    fn sight(&self, found: &Use, judgement: &Judgement) -> Sight {
        let mut text = format!("{}\0{}", found.rank.as_str(), reason(found, judgement));
        for link in &found.chain {
            text.push_str(&format!("\0{}", link.why));
        }
        let places = found.chain.iter().filter_map(|link| link.place.as_ref());
        let places = places.chain([&found.key.place]);
        let files: BTreeSet<_> = places
            .filter_map(|place| match place {
                Place::File { path, .. } => Some(self.place(&path.display().to_string())),
                Place::Variable(_) | Place::Argument(_) => None,
            })
            .collect();
        Sight {
            digest: Digest(*self.store.finding_id(&text).as_bytes()),
            places: files.into_iter().map(Digest).collect(),
            quiet: found.rank == Rank::Leftover,
        }
    }

    /// A path as records hold it.
    fn place(&self, path: &str) -> [u8; 8] {
        *self.store.finding_id(&format!("place\0{path}")).as_bytes()
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

    /// Notes that the user knows of a finding and wants to hear no more of it until it changes.
    pub(crate) async fn acknowledge(&self, id: &str, why: &str) -> Result<ConsumerFinding> {
        let why = why.trim();
        if why.is_empty() || why.chars().count() > LONGEST_WHY {
            return Err(Error::new(
                Kind::Invalid,
                format!("say why, in 1 to {LONGEST_WHY} characters: --why TEXT"),
            ));
        }
        let mut finding = self.consumer_finding(id)?;
        finding.record.acknowledged = Some(Acknowledgement {
            at: self.clock.now(),
            why: why.to_owned(),
        });
        let change = vec![(finding.id, Some(finding.record.clone()))];
        self.stored(move |store| store.keep_findings(&change))
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

    /// Notes that a key which is not ours is dead at its provider.
    pub(crate) async fn mark_dead(&self, id: &str, reason: Option<String>) -> Result<MarkedKey> {
        let access_key_id: AccessKeyId = id
            .parse()
            .map_err(|error| Error::new(Kind::Invalid, format!("{id:?} is {error}")))?;
        match self.judge(&access_key_id) {
            Judgement::Issued {
                connection, label, ..
            } => {
                return Err(Error::new(
                    Kind::Refused,
                    "this is a living key that Bascule issued; marking would not end it".to_owned(),
                )
                .next(format!(
                    "bascule key revoke {}",
                    shell_word(&format!("{connection}/{label}"))
                )));
            }
            Judgement::Dead(_) => {
                return Err(Error::new(
                    Kind::Refused,
                    "this key was issued by Bascule, is dead, and is watched already".to_owned(),
                )
                .next("bascule findings"));
            }
            Judgement::Brought { connection, .. } => {
                return Err(Error::new(
                    Kind::Refused,
                    format!("the connection {connection} uses this key itself; give it another one first"),
                )
                .next(format!(
                    "bascule credentials {connection} --credentials-stdin < NEW-PAIR"
                )));
            }
            Judgement::Marked(_) | Judgement::Unknown => {}
        }
        let marked = MarkedKey {
            access_key_id: access_key_id.clone(),
            marked_at: self.clock.now(),
            reason,
        };
        {
            let marked = marked.clone();
            self.stored(move |store| store.mark_key(&marked)).await?;
        }
        self.consumers
            .board()
            .marked
            .insert(access_key_id, marked.clone());
        self.judge_consumers(Absence::Believed).await;
        self.consumers.look.notify_one();
        Ok(marked)
    }

    /// Takes that back.
    pub(crate) async fn unmark_dead(&self, id: &str) -> Result<()> {
        let known = id.parse::<AccessKeyId>().ok();
        let known = known.filter(|id| self.consumers.marked(id).is_some());
        let access_key_id = known.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("{id} is not marked as dead"))
                .next("bascule findings")
        })?;
        {
            let id = access_key_id.clone();
            self.stored(move |store| store.unmark_key(&id)).await?;
        }
        self.consumers.board().marked.remove(&access_key_id);
        self.judge_consumers(Absence::Believed).await;
        Ok(())
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

/// Characters of the user's words that are kept.
const LONGEST_WHY: usize = 500;

/// One line for whoever reads the log.
fn log(event: &Event) {
    match event {
        // Copies that no tool reads are for those who ask.
        Event::Consumer(finding, news) if finding.found.rank != Rank::Leftover => {
            let found = &finding.found;
            let (key, reason) = (found.key.id.masked(), finding.reason());
            let chain = finding.chain().join(" → ");
            let next_run = found.next_run.as_ref().map(in_words);
            let next_run = next_run.as_deref();
            let (finding, news) = (finding.id, news.as_str());
            if news == News::Resolved.as_str() {
                tracing::info!(%finding, news, key, reason, chain, "a consumer of a key that does not work is mended or gone");
            } else {
                tracing::warn!(%finding, news, key, reason, chain, next_run, "a consumer of a key that does not work; see bascule findings");
            }
        }
        Event::Gone(finding, record) if !record.quiet => {
            let news = News::Resolved.as_str();
            tracing::info!(%finding, news, "a consumer of a key that does not work was mended or gone when the daemon came back");
        }
        _ => {}
    }
}

fn in_words(next: &NextRun) -> String {
    match next {
        NextRun::At(time) => time.to_string(),
        NextRun::On(event) => event.clone(),
        NextRun::Never(why) => format!("not by itself: {why}"),
        NextRun::Unknown(why) => format!("not known: {why}"),
    }
}

/// The word for programs of why somebody's use of a key needs attention: what is known goes first.
fn reason(found: &Use, judgement: &Judgement) -> &'static str {
    match &found.suspected {
        Some(_) if !judgement.needs_attention() => "KEY-SUSPECTED",
        _ => judgement.reason(),
    }
}

impl ConsumerFinding {
    /// The word for programs of why it needs attention.
    pub(crate) fn reason(&self) -> &'static str {
        reason(&self.found, &self.judgement)
    }

    /// The way to the key, a step each, without the whole id.
    pub(crate) fn chain(&self) -> Vec<String> {
        let id = &self.found.key.id;
        let step = |link: &Link| match (&link.place, link.kind) {
            (Some(place), LinkKind::Script) => place.to_string(),
            _ => link.name.clone(),
        };
        let steps = self.found.chain.iter().map(step);
        steps
            .chain([self.found.key.place.to_string()])
            .map(|step| step.replace(id.as_str(), &id.masked()))
            .collect()
    }

    /// Whether it is about this connection, key (`CONNECTION/LABEL`, or an id as an alarm shows it).
    fn is_of(&self, of: &str) -> bool {
        let (connection, label) = self.judgement.owner();
        of == connection
            || of == format!("{connection}/{label}")
            || ShownId::new(of).fits(self.found.key.id.as_str())
    }
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

/// What makes a finding the same one again: who uses which key, by which way. Lines move and reasons
/// are told anew, so neither counts.
fn identity(found: &Use) -> String {
    let mut text = found.kind.to_string();
    for link in &found.chain {
        text.push_str(&format!("\0{}\0{}", link.kind.as_str(), link.name));
        if let Some(Place::File { path, .. }) = &link.place {
            text.push_str(&format!("\0{}", path.display()));
        }
    }
    match &found.key.place {
        Place::File { path, .. } => text.push_str(&format!("\0file\0{}", path.display())),
        Place::Variable(name) | Place::Argument(name) => text.push_str(&format!("\0name\0{name}")),
    }
    text.push_str(&format!(
        "\0{}\0{}",
        found.user.as_deref().unwrap_or_default(),
        found.key.id.as_str()
    ));
    text
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
