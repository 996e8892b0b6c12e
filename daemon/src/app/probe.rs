//! Asks the servers that configurations name, once a day, whether they still take the keys that stand
//! there: what `bascule check` does, for those who have switched it on. A key that a server does not know
//! is watched like one that the user marked; refusing a request never means that. It keeps no secret
//! longer than it asks, and asks nobody about a key that may be bait unless `check` was agreed to.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bascule_adapters::{Checker, Health, Server};
use bascule_domain::{SignedDuration, Timestamp, access_key::AccessKeyId, finding::FindingId};
use bascule_proto::location;
use bascule_store::{MarkedKey, Probed, Said, SaidBy};
use bascule_watch::{
    Environment, Machine,
    reference::{self, Reference},
    scan::{self, Scope},
    subjects::{self, Subject},
};
use tokio_util::sync::CancellationToken;

use super::{App, Judgement, error::Result};
use crate::alarm::Alarm;

const DAY: i64 = 86_400;
/// From one question to the next: nobody is asked about many keys at once.
const BETWEEN: Duration = Duration::from_secs(1);
/// More than anybody agrees to.
const LONGEST_CONSENT: u64 = 1 << 20;

/// What was found on this machine, and what may be asked.
struct Found {
    subjects: Vec<Subject>,
    consent: Consent,
}

/// What `check` may ask without asking first.
#[derive(Default)]
struct Consent {
    to_all: bool,
    ids: BTreeSet<AccessKeyId>,
    masked: BTreeSet<String>,
}

impl Consent {
    fn covers(&self, id: &AccessKeyId) -> bool {
        self.to_all || self.ids.contains(id) || self.masked.contains(&id.masked())
    }

    /// Resolves remotes and profiles to what they use now.
    fn read(state_dir: &Path, machine: &Machine) -> Self {
        let file = state_dir.join(location::CHECK_CONSENT);
        // A file that can't be read, or that others can, agrees to nothing.
        let text = bascule_os::read_private(&file, LONGEST_CONSENT).unwrap_or_default();
        let mut consent = Self::default();
        for line in String::from_utf8_lossy(&text).lines() {
            match line.parse() {
                _ if line == location::CONSENT_TO_ALL => consent.to_all = true,
                Ok(Reference::Id(shown)) => {
                    consent.masked.insert(shown);
                }
                Ok(reference) => {
                    let uses = reference::resolve(&reference, machine).uses.into_iter();
                    consent.ids.extend(uses.map(|found| found.key.id));
                }
                Err(_) => {}
            }
        }
        consent
    }
}

/// When the day begins in which each key is asked about once, and the next one: at this second of it.
fn today(now: Timestamp, second: i64) -> (Timestamp, Timestamp) {
    let passed = (now.as_second() - second).rem_euclid(DAY);
    let begin = now
        .saturating_sub(SignedDuration::from_secs(passed))
        .unwrap_or(now);
    let next = begin
        .saturating_add(SignedDuration::from_secs(DAY))
        .unwrap_or(now);
    (begin, next)
}

/// Whether a server is to be asked again. A time that is far ahead is from before the clock was set.
fn is_due(asked: Option<&Probed>, begin: Timestamp, now: Timestamp) -> bool {
    asked.is_none_or(|asked| {
        asked.at < begin || asked.at.duration_since(now) > SignedDuration::from_secs(DAY)
    })
}

const fn said(health: &Health) -> Said {
    match health {
        Health::Alive { .. } => Said::Alive,
        Health::Dead => Said::Dead,
        Health::Denied | Health::WrongSecret => Said::Known,
        Health::Unreachable(_) | Health::Unknown(_) => Said::Nothing,
    }
}

/// What all servers of a key say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Alive,
    Dead,
    /// They say nothing, or one knows it and does not take it.
    Open,
}

fn verdict(all: &[Said]) -> Verdict {
    if all.contains(&Said::Alive) {
        Verdict::Alive
    } else if !all.is_empty() && all.iter().all(|said| *said == Said::Dead) {
        Verdict::Dead
    } else {
        Verdict::Open
    }
}

impl App {
    /// Asks once a day until it is told to stop; at once what was not asked about today.
    pub(crate) async fn watch_probes(self: Arc<Self>, alarm: Alarm, stop: CancellationToken) {
        let [high, low, ..] = *self.store.finding_id("probe\0when").as_bytes();
        // Not every machine at the same time.
        let second = i64::from(u16::from_be_bytes([high, low])) * DAY / 65_536;
        let mut asked_in = None;
        let mut settings = self.settings.follow();
        while !stop.is_cancelled() {
            if !settings.borrow_and_update().probe {
                self.consumers.not_probed(None);
                tokio::select! {
                    () = stop.cancelled() => return,
                    // The settings live as long as we do.
                    _ = settings.changed() => continue,
                }
            }
            let (begin, next) = today(self.clock.now(), second);
            if asked_in != Some(begin) {
                asked_in = Some(begin);
                if let Err(error) = self.probe(begin, &stop).await {
                    tracing::warn!(error = %error.message, "keys are not asked about today");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                _ = settings.changed() => {}
                () = alarm.until(Some(next), &*self.clock) => {}
            }
        }
    }

    /// Asks about every key that was not asked about since then.
    async fn probe(&self, begin: Timestamp, stop: &CancellationToken) -> Result<()> {
        let state_dir = self.state_dir.clone();
        let now = self.clock.now();
        let found = super::blocking(move || look(&state_dir, now)).await;
        let asked_before = self.stored(|store| store.probes()).await?;
        let clock = self.clock.clone();
        // A server goes by the time that it is.
        let real = move || {
            let now = clock.now();
            now.saturating_sub(clock.shift()).unwrap_or(now)
        };
        let checker = Checker::new(Arc::new(real));
        let mut kept: BTreeMap<FindingId, Probed> = BTreeMap::new();
        let mut servers: BTreeMap<AccessKeyId, Vec<(String, FindingId)>> = BTreeMap::new();
        let (mut asked, mut bait) = (0_u64, BTreeSet::new());
        for subject in &found.subjects {
            let server = Server::of(
                subject.endpoint.as_ref(),
                subject.region.as_ref(),
                &subject.id,
            );
            let (Ok(credentials), Some(server)) = (&subject.credentials, server) else {
                continue;
            };
            // What is ours is known without asking.
            if let Judgement::Issued { .. } | Judgement::Dead(_) = self.judge(&subject.id) {
                continue;
            }
            if server.is_amazons() && !found.consent.covers(&subject.id) {
                bait.insert(subject.id.clone());
                continue;
            }
            let (id, endpoint) = (subject.id.as_str(), server.endpoint().to_string());
            let row = self.store.finding_id(&format!("probe\0{id}\0{endpoint}"));
            let of_key = servers.entry(subject.id.clone()).or_default();
            of_key.push((endpoint, row));
            if let Some(before) = asked_before.get(&row) {
                kept.entry(row).or_insert(*before);
            }
            let now = self.clock.now();
            if !is_due(kept.get(&row), begin, now) {
                continue;
            }
            let key = *self.store.finding_id(&format!("probe\0{id}")).as_bytes();
            let mut probed = Probed {
                key,
                at: now,
                said: Said::Nothing,
            };
            // Kept first: a daemon that is killed does not ask twice.
            self.keep_probe(row, Some(probed)).await?;
            let question = checker.check(&server, credentials, subject.bucket.as_ref());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                health = question => probed.said = said(&health),
            }
            asked += 1;
            self.keep_probe(row, Some(probed)).await?;
            kept.insert(row, probed);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(BETWEEN) => {}
            }
        }
        tracing::info!(
            asked,
            keys = servers.len(),
            "servers were asked whether they take the keys of this machine"
        );
        self.consumers.not_probed((!bait.is_empty()).then(|| {
            format!(
                "whether {} of Amazon still work: keys that exist to raise an alarm would raise it, and nobody has agreed to that; once on a terminal: bascule check --all",
                match bait.len() {
                    1 => "a key".to_owned(),
                    keys => format!("{keys} keys"),
                }
            )
        }));
        let gone = asked_before.keys().filter(|row| !kept.contains_key(row));
        let gone: Vec<_> = gone.map(|row| (*row, None)).collect();
        if !gone.is_empty() {
            self.stored(move |store| store.keep_probes(&gone)).await?;
        }
        // Whether Amazon knows it was not asked, so nobody else may say that it is dead.
        servers.retain(|id, _| !bait.contains(id));
        for (id, servers) in servers {
            self.conclude(&id, &servers, &kept).await?;
        }
        Ok(())
    }

    async fn keep_probe(&self, row: FindingId, probed: Option<Probed>) -> Result<()> {
        self.stored(move |store| store.keep_probes(&[(row, probed)]))
            .await
    }

    /// Marks a key that its servers do not know, and takes that back when one of them takes it.
    async fn conclude(
        &self,
        id: &AccessKeyId,
        servers: &[(String, FindingId)],
        kept: &BTreeMap<FindingId, Probed>,
    ) -> Result<()> {
        let all: Vec<_> = servers
            .iter()
            .filter_map(|(server, row)| Some((server, kept.get(row)?)))
            .collect();
        let words: Vec<_> = all.iter().map(|(_, probed)| probed.said).collect();
        let _writing = self.one_change_at_a_time().await;
        match (verdict(&words), self.judge(id)) {
            (Verdict::Dead, Judgement::Unknown) => {
                let dead = all.iter().find(|(_, probed)| probed.said == Said::Dead);
                let Some((server, probed)) = dead else {
                    return Ok(());
                };
                let marked = MarkedKey {
                    access_key_id: id.clone(),
                    marked_at: probed.at,
                    reason: None,
                    said_by: SaidBy::Server((*server).clone()),
                };
                self.mark(None, marked).await
            }
            // What the user says stays until the user takes it back.
            (Verdict::Alive, Judgement::Marked(marked)) if marked.said_by != SaidBy::User => {
                self.unmark(None, id).await
            }
            _ => Ok(()),
        }
    }
}

fn look(state_dir: &Path, now: Timestamp) -> Found {
    let environment = Environment::of_process(std::env::vars_os(), std::env::current_dir().ok());
    let machine = Machine::local(environment, bascule_os::effective_uid(), now);
    let scope = Scope {
        everyone: machine.user.uid == 0,
        ..Scope::FILES
    };
    let picture = scan::known(&machine, scope);
    Found {
        subjects: subjects::gather(&picture.uses),
        consent: Consent::read(state_dir, &machine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_day_begins_at_its_second_and_ends_a_day_later() {
        for (now, begin) in [(DAY + 5, DAY + 5), (DAY + 4, 5), (2 * DAY, DAY + 5)] {
            assert_eq!(today(at(now), 5), (at(begin), at(begin + DAY)), "{now}");
        }
    }

    #[test]
    fn a_server_is_asked_once_in_a_day_also_when_the_clock_was_set() {
        let probed = |second| Probed {
            key: [0; 8],
            at: at(second),
            said: Said::Alive,
        };
        let (begin, now) = (at(10 * DAY), at(10 * DAY + 500));
        assert!(is_due(None, begin, now));
        assert!(is_due(Some(&probed(10 * DAY - 1)), begin, now));
        assert!(!is_due(Some(&probed(10 * DAY)), begin, now));
        assert!(
            !is_due(Some(&probed(10 * DAY + 900)), begin, now),
            "set back a little"
        );
        assert!(
            is_due(Some(&probed(50 * DAY)), begin, now),
            "set back by weeks"
        );
    }

    #[test]
    fn only_a_server_that_does_not_know_a_key_makes_it_dead() {
        use Said::{Alive, Dead, Known, Nothing};
        for (all, expected) in [
            (&[Dead][..], Verdict::Dead),
            (&[Dead, Dead], Verdict::Dead),
            (&[Dead, Nothing], Verdict::Open),
            (&[Dead, Alive], Verdict::Alive),
            (&[Dead, Known], Verdict::Open),
            (&[Known], Verdict::Open),
            (&[Nothing], Verdict::Open),
            (&[], Verdict::Open),
        ] {
            assert_eq!(verdict(all), expected, "{all:?}");
        }
        assert_eq!(said(&Health::Denied), Known);
    }

    #[test]
    fn a_consent_that_others_can_write_agrees_to_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(location::CHECK_CONSENT);
        let machine = Machine::local(Environment::of_process(std::iter::empty(), None), 0, at(0));
        let id: AccessKeyId = "AKIAQ7ZK4M2WX5VT7F3Q".parse().unwrap();
        let agreed = |text: &str, mode| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).unwrap();
            Consent::read(home.path(), &machine).covers(&id)
        };
        assert!(agreed("# words\n--all\n", 0o600));
        assert!(agreed("…7F3Q\n", 0o600));
        assert!(!agreed("…AAAA\naws:\n", 0o600));
        assert!(!agreed("--all\n", 0o666));
    }
}
