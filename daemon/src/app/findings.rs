//! Refusals that somebody should look at: one finding for each key and reason, found by the short
//! id that the refusal carries to the tool's user (gateway.md 54). Kept in memory, so they are
//! forgotten at a restart; the id follows from key and reason, so the next refusal brings the same
//! one back. A storm of refusals must never make this grow, nor may a request wait for what is looked
//! up about it.

mod callers;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bascule_domain::{
    Timestamp,
    access_key::ShownId,
    deletion::ScreamKnock,
    finding::News,
    ids::KeyId,
    names::{ConnectionName, Label},
};
use bascule_gateway::{FindingSink, Knock, Reason};

use super::{
    App,
    attribution::{Attribution, Found},
    delete::Ears,
    error::{Error, Kind, Result},
    watch::{Event, Live},
};
use callers::{Budget, Callers, Counted, Learnt};

pub(crate) use callers::{Caller, Who};

/// Beyond it, the finding that was seen longest ago is dropped.
const KEPT: usize = 256;
/// Ids run from 1 to this.
const IDS: u32 = 99_999;
/// Characters of a user agent that are kept.
const LONGEST_AGENT: usize = 200;

/// A key that somebody uses and that does not work for them.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    number: u32,
    pub reason: Reason,
    /// The last characters of the access key id.
    pub masked: String,
    pub label: Label,
    pub connection: ConnectionName,
    /// What the tool was told.
    pub message: String,
    /// What it wanted, if it came so far.
    pub operation: Option<&'static str>,
    pub peer: IpAddr,
    /// As the client sent it: to be escaped wherever it is shown.
    pub user_agent: String,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: u64,
    pub callers: Callers,
    /// Whether it is news no more.
    told: bool,
}

impl Finding {
    /// Such as `F12`.
    pub(crate) fn id(&self) -> String {
        format!("F{}", self.number)
    }
}

/// Which finding a refusal belongs to.
type At = (KeyId, Reason);

/// All findings.
#[derive(Default)]
pub(crate) struct Findings {
    kept: Arc<Kept>,
    attribution: Arc<Attribution>,
    ears: Arc<Ears>,
}

/// What whoever looks for processes tells its answers to.
#[derive(Default)]
struct Kept {
    board: Mutex<Board>,
    live: Arc<Live>,
}

struct Board {
    findings: HashMap<At, Finding>,
    looks: Budget,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            findings: HashMap::new(),
            looks: Budget::everywhere(),
        }
    }
}

impl Findings {
    /// Tells new ones there.
    pub(super) fn new(live: Arc<Live>, attribution: Arc<Attribution>) -> Self {
        let board = Mutex::default();
        Self {
            kept: Arc::new(Kept { board, live }),
            attribution,
            ears: Arc::default(),
        }
    }

    /// Who listens for knocks.
    pub(super) fn ears(&self) -> &Arc<Ears> {
        &self.ears
    }

    pub(crate) fn count(&self) -> usize {
        self.kept.board().findings.len()
    }

    /// All, the last seen first.
    fn all(&self) -> Vec<Finding> {
        let mut all: Vec<_> = self.kept.board().findings.values().cloned().collect();
        all.sort_by_key(|finding| (std::cmp::Reverse(finding.last_at), finding.number));
        all
    }
}

impl Kept {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes who was at the other end of a connection.
    fn found(&self, at: At, connection: &Weak<()>, found: Found) {
        let mut board = self.board();
        // Others may have taken its place meanwhile.
        let Some(finding) = board.findings.get_mut(&at) else {
            return;
        };
        match finding.callers.found(connection, found) {
            Learnt::SomebodyNew | Learnt::KeepsTrying => self.tell(at.0, finding),
            Learnt::Nothing if !finding.told => self.tell(at.0, finding),
            Learnt::Nothing => {}
        }
    }

    fn tell(&self, key: KeyId, finding: &mut Finding) {
        let news = match std::mem::replace(&mut finding.told, true) {
            false => News::Opened,
            true => News::Changed,
        };
        let told = Arc::new(finding.clone());
        self.live.tell(Event::Found(key, told, news));
    }
}

impl FindingSink for Findings {
    fn knock(&self, knock: &Knock<'_>) -> String {
        let mut board = self.kept.board();
        let Board { findings, looks } = &mut *board;
        let at = (knock.key, knock.reason);
        if !findings.contains_key(&at) && findings.len() >= KEPT {
            let oldest = findings.iter().min_by_key(|(_, finding)| finding.last_at);
            if let Some(oldest) = oldest.map(|(at, _)| *at) {
                findings.remove(&oldest);
            }
        }
        let number = match findings.get(&at) {
            Some(finding) => finding.number,
            None => {
                let taken = |number| findings.values().any(|finding| finding.number == number);
                free_number(at, taken)
            }
        };
        let finding = findings.entry(at).or_insert_with(|| Finding {
            number,
            reason: knock.reason,
            masked: knock.masked.to_owned(),
            label: knock.label.clone(),
            connection: knock.connection.clone(),
            message: String::new(),
            operation: None,
            peer: knock.peer,
            user_agent: String::new(),
            first_at: knock.at,
            last_at: knock.at,
            count: 0,
            callers: Callers::default(),
            told: false,
        });
        if finding.count == 0 {
            tracing::warn!(finding = %finding.id(), key = %knock.key, reason = %knock.reason, "a tool is refused; see bascule findings");
        }
        finding.count += 1;
        finding.last_at = knock.at;
        finding.connection = knock.connection.clone();
        knock.message.clone_into(&mut finding.message);
        finding.operation = knock.operation.map(|action| action.name());
        finding.peer = knock.peer;
        finding.user_agent = String::from_utf8_lossy(knock.user_agent)
            .chars()
            .take(LONGEST_AGENT)
            .collect();
        match (finding.callers.count(knock, looks), knock.ends) {
            (Counted::ToLook, Some(ends)) => {
                let (kept, open) = (Arc::clone(&self.kept), ends.open.clone());
                let then = move |found| kept.found(at, &open, found);
                if let Err(not) = self.attribution.ask(ends, then) {
                    finding.callers.not_looked(&ends.open, not);
                }
            }
            (Counted::KeepsTrying, _) => self.kept.tell(at.0, finding),
            (Counted::ToLook | Counted::Nothing, _) => {}
        }
        let heard = self.ears.knocked(knock.key, || ScreamKnock {
            at: knock.at,
            label: knock.label.clone(),
            finding: finding.id(),
        });
        // Told with who it was, if somebody is about to say. What stops a countdown is news again.
        finding.told &= !heard;
        if !finding.told && !finding.callers.is_looking() {
            self.kept.tell(at.0, finding);
        }
        finding.id()
    }
}

/// The number that follows from key and reason, or the next one that is free.
fn free_number(at: At, taken: impl Fn(u32) -> bool) -> u32 {
    let mut hasher = DefaultHasher::new();
    at.0.as_bytes().hash(&mut hasher);
    at.1.as_str().hash(&mut hasher);
    let hash = hasher.finish() % u64::from(IDS);
    let mut number = u32::try_from(hash).unwrap_or(0);
    // Fewer findings are kept than there are numbers.
    while taken(number + 1) {
        number = (number + 1) % IDS;
    }
    number + 1
}

impl App {
    /// The refusals of a connection or key, or all; the last seen first. A name that nothing is known
    /// under is an error, unless something else is `known` under it.
    pub(crate) fn findings(&self, of: Option<&str>, known: bool) -> Result<Vec<Finding>> {
        let mut all = self.knocks.all();
        let Some(of) = of else {
            return Ok(all);
        };
        let shown = ShownId::new(of);
        all.retain(|finding| {
            finding.connection.as_str() == of
                || format!("{}/{}", finding.connection, finding.label) == of
                || shown.fits_masked(&finding.masked)
        });
        if all.is_empty() && !known && self.registry.key(of).is_none() && !of.contains('/') {
            // A connection that is gone still has its dead keys.
            self.list_keys(Some(of))?;
        }
        Ok(all)
    }

    pub(crate) fn finding(&self, id: &str) -> Result<Finding> {
        self.knocks
            .all()
            .into_iter()
            .find(|finding| finding.id().eq_ignore_ascii_case(id))
            .ok_or_else(|| {
                Error::new(
                    Kind::NotFound,
                    format!("there is no finding {id} now; findings are forgotten when the daemon restarts, and come back under the same id when the tool tries again"),
                )
                .next("bascule findings")
            })
    }

    /// What to do about a finding, each a command or a sentence with one.
    pub(crate) fn advice(&self, finding: &Finding) -> Vec<String> {
        let name = &finding.connection;
        let label = shell_word(finding.label.as_str());
        let this_key = shell_word(&format!("{name}/{}", finding.label));
        let living = self.registry.by_name(name.as_str()).is_some();
        let fresh = |why: &str| {
            vec![
                format!(
                    "find the tool that still uses the key {} (label {label}){why}",
                    finding.masked
                ),
                if living {
                    format!(
                        "give it a new key: bascule key issue {name} --label NEW-LABEL --format rclone"
                    )
                } else {
                    format!(
                        "if it should reach the bucket again: bascule connect {name} …, then bascule key issue {name} --label NEW-LABEL"
                    )
                },
            ]
        };
        match finding.reason {
            Reason::KeyRevoked => {
                let mut advice = fresh("");
                advice.push(
                    "if nothing should use it any more: remove the job or the tool's entry".into(),
                );
                advice
            }
            Reason::KeyExpired => {
                let mut advice = fresh(", which has expired");
                advice.push(format!(
                    "or let this one go on: bascule key restrict {this_key} --expires 30d"
                ));
                advice
            }
            Reason::KeyPaused => vec![
                format!("see whether it is the key that is paused: bascule key show {this_key}"),
                format!("if it should work again: bascule key resume {this_key}"),
                format!("if its connection is paused: bascule resume {name}"),
                "if a deletion of its connection is under way, calling it off resumes the key: bascule deletion list"
                    .into(),
            ],
            Reason::AddressNotAllowed => vec![
                format!(
                    "see from where it came: {} is not among the addresses of this key",
                    finding.peer
                ),
                "without address rules a key is for this machine only: use the gateway on loopback"
                    .into(),
                format!(
                    "if it may come from there: bascule key restrict {this_key} --allow-ip {}, with --allow-ip for every other address it needs",
                    finding.peer
                ),
            ],
            _ => vec![
                format!("see what the key may do: bascule key show {this_key}"),
                format!(
                    "if it should be able to do more: bascule key restrict {this_key} --permission read-write"
                ),
            ],
        }
    }
}

/// A text as one word of a shell's command line, in which the shell expands nothing.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knock(findings: &Findings, key: u16, reason: Reason, second: i64) -> String {
        let mut id = [0; 10];
        id[..2].copy_from_slice(&key.to_be_bytes());
        findings.knock(&Knock {
            key: KeyId::from_random(id),
            masked: "…7F3Q",
            label: &"laptop".parse().unwrap(),
            connection: &"vault".parse().unwrap(),
            reason,
            message: "no",
            operation: None,
            peer: "127.0.0.1".parse().unwrap(),
            ends: None,
            user_agent: b"rclone/1\x1b[2J\xff",
            at: Timestamp::from_second(second).unwrap(),
        })
    }

    #[test]
    fn one_key_and_reason_are_one_finding() {
        let findings = Findings::default();
        let id = knock(&findings, 1, Reason::KeyRevoked, 1);
        assert_eq!(knock(&findings, 1, Reason::KeyRevoked, 9), id);
        assert_ne!(knock(&findings, 1, Reason::KeyPaused, 2), id);
        assert_ne!(knock(&findings, 2, Reason::KeyRevoked, 2), id);
        let all = findings.all();
        assert_eq!((all.len(), all[0].count), (3, 2));
        assert_eq!(
            (all[0].first_at.as_second(), all[0].last_at.as_second()),
            (1, 9)
        );
        assert_eq!(all[0].id(), id);
    }

    #[test]
    fn a_storm_of_refusals_drops_the_oldest_and_ids_stay_different() {
        let findings = Findings::default();
        let first = knock(&findings, 0, Reason::KeyRevoked, 0);
        for key in 1..=5_000 {
            knock(&findings, key, Reason::KeyRevoked, i64::from(key));
        }
        let all = findings.all();
        assert_eq!(all.len(), KEPT);
        let ids: std::collections::BTreeSet<_> = all.iter().map(Finding::id).collect();
        assert_eq!(ids.len(), KEPT);
        assert!(!ids.contains(&first));
        assert!(
            all.iter()
                .all(|finding| finding.last_at.as_second() > 4_000)
        );
    }

    #[test]
    fn an_id_follows_from_key_and_reason_also_after_a_restart() {
        let id = knock(&Findings::default(), 7, Reason::KeyExpired, 1);
        assert_eq!(knock(&Findings::default(), 7, Reason::KeyExpired, 5), id);
        let number: u32 = id.strip_prefix('F').unwrap().parse().unwrap();
        assert!((1..=IDS).contains(&number));
    }
}
