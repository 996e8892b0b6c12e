//! Judges what was seen last by what the keys are now, and tells what is news. A change of one key costs
//! what that key is used, not what was seen in all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    audit::Change,
    finding::{Digest, FindingId, News, Record, Sight, compare},
};
use bascule_watch::{NextRun, Place, Rank, Use};

use super::{
    super::{App, Judgement, judge::Concerned, watch::Event},
    Absence, Board, ConsumerFinding, reason, takes,
};
use crate::alarm::Alarm;

/// What a pass has come to.
#[derive(Default)]
struct Outcome {
    news: Vec<Event>,
    records: Vec<(FindingId, Option<Record>)>,
    /// Whether something seems to be gone that is worth a second look.
    doubted: bool,
}

impl App {
    /// Judges every key by what it is now.
    pub(crate) async fn judge_consumers(&self, absence: Absence) -> bool {
        let _judging = self.consumers.judging.lock().await;
        let outcome = {
            let mut board = self.consumers.board();
            self.compare_consumers(&mut board, absence, None)
        };
        self.tell_consumers(outcome).await
    }

    /// Judges the keys that a change is about, if it can alter what they are.
    pub(crate) async fn judge_changed(&self, change: &Change) {
        let concerned = Concerned::by(change);
        if concerned == Concerned::Nobody {
            return;
        }
        let _judging = self.consumers.judging.lock().await;
        let outcome = {
            let mut board = self.consumers.board();
            let keys = self.concerned_keys(&board, &concerned);
            self.compare_consumers(&mut board, Absence::Believed, Some(&keys))
        };
        self.tell_consumers(outcome).await;
    }

    /// Waits until a key that is used somewhere expires, or the clock was set; for ever if none does.
    pub(crate) async fn until_a_key_expires(&self, alarm: &Alarm) {
        match self.next_expiry() {
            Some(end) => alarm.until(Some(end), &*self.clock).await,
            None => std::future::pending().await,
        }
    }

    /// When the next key that is used somewhere expires: no change tells that.
    fn next_expiry(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        let board = self.consumers.board();
        let issued = board
            .judged
            .iter()
            .filter(|(_, judgement)| matches!(judgement, Judgement::Issued { .. }));
        issued
            .filter_map(|(id, _)| self.registry.key(id.as_str())?.expires_at)
            .filter(|end| *end > now)
            .min()
    }

    /// Judges one key.
    pub(crate) async fn judge_key(&self, id: &AccessKeyId) {
        let keys = BTreeSet::from([id.clone()]);
        let _judging = self.consumers.judging.lock().await;
        let outcome = {
            let mut board = self.consumers.board();
            self.compare_consumers(&mut board, Absence::Believed, Some(&keys))
        };
        self.tell_consumers(outcome).await;
    }

    /// The ids that were seen and are, or were when they were judged last, what a change is about.
    fn concerned_keys(&self, board: &Board, concerned: &Concerned) -> BTreeSet<AccessKeyId> {
        let mut keys: BTreeSet<_> = board
            .judged
            .iter()
            .filter(|(_, judgement)| concerned.holds(judgement))
            .map(|(id, _)| id.clone())
            .collect();
        // A connection's own key may be another one now.
        if let Concerned::Connection(connection) = concerned
            && let Some(entry) = self.registry.get(*connection)
        {
            keys.extend(entry.leaks.iter().map(|leak| leak.access_key_id.clone()));
            keys.insert(entry.credentials.access_key_id.clone());
        }
        keys
    }

    async fn tell_consumers(&self, outcome: Outcome) -> bool {
        if !outcome.records.is_empty() {
            let changes = outcome.records;
            let kept = self
                .stored(move |store| store.keep_findings(&changes))
                .await;
            if let Err(error) = kept {
                tracing::warn!(error = %error.message, "what was told of findings is not kept; it may be told again after a restart");
            }
        }
        for event in outcome.news {
            log(&event);
            self.live.tell(event);
        }
        outcome.doubted
    }

    /// Compares what is seen, of these keys only if some are named, with what was told.
    fn compare_consumers(
        &self,
        board: &mut Board,
        absence: Absence,
        only: Option<&BTreeSet<AccessKeyId>>,
    ) -> Outcome {
        if board.looked_at.is_none() {
            return Outcome::default();
        }
        let current = self.judge_uses(board, only);
        let mut records = match only {
            None => std::mem::take(&mut board.records),
            Some(only) => {
                let open = board.open.values();
                let open = open.filter(|finding| only.contains(&finding.found.key.id));
                let open = open.map(|finding| finding.id);
                let ids: BTreeSet<_> = open.chain(current.keys().copied()).collect();
                let take = |id| board.records.remove_entry(&id);
                ids.into_iter().filter_map(take).collect()
            }
        };
        let sights = current
            .iter()
            .map(|(id, (found, judgement))| (*id, self.sight(found, judgement)))
            .collect();
        let missing = |id: &&FindingId| !current.contains_key(*id);
        let missing: BTreeSet<_> = records.keys().filter(missing).copied().collect();
        let hidden: BTreeSet<_> = match missing.is_empty() {
            true => BTreeSet::new(),
            false => board.gaps.iter().map(|gap| self.place(&gap.what)).collect(),
        };
        let is_hidden = |record: &Record| record.places.iter().any(|at| hidden.contains(&at.0));
        let blind: BTreeSet<_> = missing
            .iter()
            .filter(|id| absence == Absence::Doubted || records.get(id).is_some_and(is_hidden))
            .copied()
            .collect();
        let before = records.clone();
        let news = compare(&mut records, &sights, &blind, self.clock.now());
        let mut told = Vec::new();
        for (id, news) in news {
            let finding = match news {
                News::Resolved => board.open.remove(&id),
                News::Opened | News::Changed | News::Acknowledged => {
                    let record = records.get(&id).cloned();
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
            if let Some(record) = records.get(&id).cloned() {
                let finding = ConsumerFinding {
                    id,
                    found,
                    judgement,
                    record,
                };
                board.open.insert(id, finding);
            }
        }
        let changed = |id: &&FindingId| before.get(*id) != records.get(*id);
        let ids: BTreeSet<_> = before.keys().chain(records.keys()).collect();
        let changes = ids
            .into_iter()
            .filter(changed)
            .map(|id| (*id, records.get(id).cloned()))
            .collect();
        board.records.append(&mut records);
        Outcome {
            news: told,
            records: changes,
            doubted: absence == Absence::Doubted && !missing.is_empty(),
        }
    }

    /// Judges the keys that are seen and keeps what they are; gives the uses that need attention.
    fn judge_uses(
        &self,
        board: &mut Board,
        only: Option<&BTreeSet<AccessKeyId>>,
    ) -> BTreeMap<FindingId, (Use, Judgement)> {
        let mut current = BTreeMap::new();
        let ids: Vec<_> = match only {
            Some(only) => only.iter().cloned().collect(),
            None => board.of_key.keys().cloned().collect(),
        };
        for id in ids {
            let Some(uses) = board.of_key.get(&id) else {
                continue;
            };
            let judgement = self.judge_with(&id, board.marked.get(&id));
            for found in uses.iter().filter_map(|at| board.uses.get(*at)) {
                let wants = judgement.needs_attention() || found.suspected.is_some();
                if wants && takes(found) {
                    let id = self.store.finding_id(&identity(found));
                    current.insert(id, (found.clone(), judgement.clone()));
                }
            }
            board.judged.insert(id, judgement);
        }
        current
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
}

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

pub(crate) fn in_words(next: &NextRun) -> String {
    match next {
        NextRun::At(time) => time.to_string(),
        NextRun::On(event) => event.clone(),
        NextRun::Never(why) => format!("not by itself: {why}"),
        NextRun::Unknown(why) => format!("not known: {why}"),
    }
}

/// What makes a finding the same one again: who uses which key, by which way. Lines move and reasons
/// are told anew, so neither counts.
pub(super) fn identity(found: &Use) -> String {
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
