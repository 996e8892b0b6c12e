//! What a deletion would do: who uses what would die, what goes on regardless, and how the checklist
//! stands. It looks and remembers what it showed; it changes nothing.

mod uploads;

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use bascule_domain::{
    SignedDuration, Timestamp,
    connection::Location,
    ids::{ConnectionId, PlanId},
    key::{Key, KeyState, Scope},
    names::ConsumerName,
    operation::Action,
    plan::{self, Checked, Client, KeyRecord, Shown, Sight},
    provider::ProviderKind,
};
use bascule_store::ledger::{By, Group, Query, Row};
use bascule_watch::{NextRun, Rank, Standing, Use};

pub(crate) use self::uploads::{BucketUploads, Uploads};
use super::adopted::adoptable;
use crate::app::{
    App, KeyView,
    consumers::{compare::in_words, way},
    error::Result,
    registry::{Entry, View},
    rotate::process_name,
};

/// How long the provider has to answer before a plan calls it away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a plan waits for what the ledger and the watcher know.
const EVIDENCE_PATIENCE: Duration = Duration::from_secs(10);
/// Plans whose facts are remembered, to tell what is different later.
const REMEMBERED: usize = 64;
/// Clients that a plan names.
const MOST_CLIENTS: usize = 1_000;

/// What a deletion would do.
pub(crate) struct Plan {
    pub id: PlanId,
    pub view: View,
    pub keys: Vec<KeyView>,
    pub boxes: Vec<Checked>,
    pub clients: Vec<ClientUse>,
    /// Who holds a key that would die.
    pub consumers: Vec<Holder>,
    /// Who holds the provider's key and goes on.
    pub bypasses: Vec<Holder>,
    pub siblings: Vec<String>,
    pub open_transfers: u32,
    pub stays_valid: Vec<String>,
    pub alternatives: Vec<(String, String)>,
    pub not_checked: Vec<String>,
    /// No part of the plan's id: they are neither the connection's nor changed by its deletion, and
    /// other tools begin and end them all the time, so a plan would hardly ever hold. Those that run
    /// through the connection are open transfers, which are.
    pub uploads: Uploads,
}

/// Somebody who used a key that would die.
pub(crate) struct ClientUse {
    pub client: Client,
    pub requests: u64,
    /// Between two uses; `None` with less than two.
    pub longest: Option<SignedDuration>,
}

/// Something on this machine that holds a key.
pub(crate) struct Holder {
    pub consumer: plan::Consumer,
    /// The label of a key of ours; empty for the provider's.
    pub label: String,
    /// The last characters of the key's id.
    pub key: String,
    pub chain: Vec<String>,
    pub rank: Rank,
    pub next_run: Option<NextRun>,
    /// What it was adopted as.
    pub adopted: Option<ConsumerName>,
}

/// All that was seen.
pub(super) struct Seen {
    pub(super) sight: Sight,
    clients: Vec<ClientUse>,
    consumers: Vec<Holder>,
    bypasses: Vec<Holder>,
    not_checked: Vec<String>,
}

/// What a plan says, as far as it follows from what was seen.
pub(super) struct Facts {
    pub(super) id: PlanId,
    pub(super) shown: Shown,
    boxes: Vec<Checked>,
    siblings: Vec<String>,
    keys: Vec<Key>,
}

/// The plans that were shown, the latest last.
#[derive(Default)]
pub(crate) struct Plans(Mutex<VecDeque<(PlanId, ConnectionId, Shown)>>);

impl Plans {
    fn remember(&self, id: PlanId, connection: ConnectionId, shown: Shown) {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|(known, ..)| *known != id);
        if plans.len() == REMEMBERED {
            plans.pop_front();
        }
        plans.push_back((id, connection, shown));
    }

    pub(super) fn of(&self, id: PlanId, connection: ConnectionId) -> Option<Shown> {
        let plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = plans
            .iter()
            .find(|(known, of, _)| *known == id && *of == connection);
        known.map(|(.., shown)| shown.clone())
    }

    /// What named an erased connection goes from memory too.
    pub(super) fn forget(&self, connection: ConnectionId) {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|(_, of, _)| *of != connection);
    }
}

impl App {
    /// Shows what a deletion would do. Changes nothing.
    pub(crate) async fn plan(&self, name: &str, emergency: bool) -> Result<Plan> {
        let entry = self.living(name)?;
        let (seen, uploads) = tokio::join!(
            self.look(&entry, emergency),
            self.open_uploads(&entry, emergency)
        );
        let facts = self.facts(&entry, &seen);
        self.plans
            .remember(facts.id, entry.connection.id, facts.shown);
        // It may have been erased meanwhile; that comes before its plans are forgotten.
        if self.registry.get(entry.connection.id).is_none() {
            self.plans.forget(entry.connection.id);
        }
        Ok(Plan {
            id: facts.id,
            stays_valid: crate::app::stays_valid(
                &entry.connection,
                &entry.credentials.access_key_id.masked(),
            ),
            view: self.view(&entry),
            open_transfers: seen.sight.open_transfers,
            alternatives: alternatives(name, &facts.keys),
            keys: facts
                .keys
                .into_iter()
                .map(|key| self.key_view(key, name))
                .collect(),
            boxes: facts.boxes,
            clients: seen.clients,
            consumers: seen.consumers,
            bypasses: seen.bypasses,
            siblings: facts.siblings,
            not_checked: seen.not_checked,
            uploads,
        })
    }

    /// What a plan would say now, and the id that follows from it.
    pub(super) fn facts(&self, entry: &Entry, seen: &Seen) -> Facts {
        let boxes = plan::judge(&seen.sight, &BTreeSet::new());
        let siblings = self.registry.siblings(&entry.connection);
        let keys = self.registry.keys_of(entry.connection.id);
        let shown = shown(entry, &keys, &boxes, &siblings, seen);
        Facts {
            id: plan_id(entry, &shown),
            shown,
            boxes,
            siblings,
            keys,
        }
    }

    /// Looks at all that the checklist is about. An emergency waits for nobody: it is told what is
    /// known already.
    pub(super) async fn look(&self, entry: &Entry, emergency: bool) -> Seen {
        let keys = self.registry.keys_of(entry.connection.id);
        let looks = self.consumers.looks();
        let (provider_away, looked, recorded) = if emergency {
            (None, true, Err("an emergency does not wait".to_owned()))
        } else {
            tokio::join!(
                self.provider_away(entry),
                async {
                    let looked = tokio::time::timeout(EVIDENCE_PATIENCE, self.look_now()).await;
                    looked.is_ok()
                },
                self.uses_of(&keys),
            )
        };
        // Whoever waits is also answered when a look hangs or breaks off.
        let taken = emergency || self.consumers.looks() > looks;
        let not_looked = match (self.consumers.looks(), looked) {
            (0, _) => Some("the first look at this machine is not done yet".to_owned()),
            (_, true) if taken => None,
            (_, true) => Some("the look did not end, or broke off".to_owned()),
            (_, false) => Some(format!(
                "the look took longer than {} seconds",
                EVIDENCE_PATIENCE.as_secs()
            )),
        };
        let local = entry.connection.provider == ProviderKind::Local;
        let uses = self.consumers.uses();
        let mut consumers = self.holders_of_keys(entry, &uses);
        let not_told = self.name_adopted(entry, &mut consumers).await.err();
        let not_looked = not_looked.or(not_told);
        let bypasses = if local {
            Vec::new()
        } else {
            holders_of_brought(entry, &uses)
        };
        let brought = &entry.credentials.access_key_id;
        let (records, clients) = self.records(&keys, recorded);
        let not_checked = self.consumers.not_checked();
        let sight = Sight {
            connection: entry.connection.name.to_string(),
            now: self.clock.now(),
            open_transfers: self.keyring.open_requests_of(entry.connection.id) as u32,
            provider_away,
            keys: records,
            clients: clients.iter().map(|used| used.client.clone()).collect(),
            consumers: consumers.iter().map(|h| h.consumer.clone()).collect(),
            bypasses: bypasses.iter().map(|h| h.consumer.clone()).collect(),
            not_looked,
            places_not_looked_at: not_checked.len(),
            card_exported_at: entry.connection.card_exported_at,
            brought: (!local).then(|| brought.masked()),
            brought_elsewhere: self.brought_elsewhere(entry, &uses),
        };
        Seen {
            sight,
            clients,
            consumers,
            bypasses,
            not_checked,
        }
    }

    async fn provider_away(&self, entry: &Entry) -> Option<String> {
        let storage = match self.storage(entry) {
            Ok(storage) => storage,
            Err(trouble) => return Some(trouble),
        };
        let witness = storage.witness((*entry.credentials).clone());
        let answers = async {
            for bucket in entry.connection.buckets.iter() {
                match witness.exists(bucket).await {
                    Ok(true) => {}
                    Ok(false) => return Some(format!("bucket {bucket} does not exist")),
                    Err(error) => return Some(error.to_string()),
                }
            }
            None
        };
        tokio::time::timeout(PATIENCE, answers)
            .await
            .unwrap_or_else(|_| Some(format!("no answer within {} seconds", PATIENCE.as_secs())))
    }

    /// What the ledger knows of each key, and who used them; or why it does not tell.
    async fn uses_of(&self, keys: &[Key]) -> std::result::Result<Recorded, String> {
        let query = Query {
            keys: keys
                .iter()
                .map(|key| (key.id, key.connection, key.issued_at))
                .collect(),
            from: Timestamp::UNIX_EPOCH,
            to: self.clock.now(),
            by: By::Client,
            cells: 1,
        };
        let of_keys = query.keys.clone();
        let asked = self.recorded(move |ledger| {
            let intervals = of_keys
                .into_iter()
                .map(|(key, _, issued_at)| ledger.longest_interval(key, issued_at))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            Ok((intervals, ledger.report(query)?.rows))
        });
        match tokio::time::timeout(EVIDENCE_PATIENCE, asked).await {
            Ok(Ok(recorded)) => Ok(recorded),
            Ok(Err(error)) => Err(error.message),
            Err(_) => Err(format!(
                "the ledger did not answer within {} seconds",
                EVIDENCE_PATIENCE.as_secs()
            )),
        }
    }

    fn records(
        &self,
        keys: &[Key],
        recorded: std::result::Result<Recorded, String>,
    ) -> (Vec<KeyRecord>, Vec<ClientUse>) {
        let (intervals, rows, why) = match recorded {
            Ok((intervals, rows)) => (intervals, rows, None),
            Err(why) => (Vec::new(), Vec::new(), Some(why)),
        };
        let mut intervals = intervals.into_iter();
        let records = keys
            .iter()
            .map(|key| {
                let known = intervals.next();
                let seen_here = self.keyring.last_used(&key.access_key_id);
                let recorded_use = known.as_ref().and_then(|known| known.last_used);
                let longest = known.as_ref().and_then(|known| known.longest);
                let gaps = known.iter().flat_map(|known| &known.gaps);
                KeyRecord {
                    label: key.label.to_string(),
                    recorded_since: known
                        .as_ref()
                        .map_or_else(|| self.clock.now(), |known| known.observed_since),
                    not_recorded: why.clone(),
                    gap_until: gaps.map(|gap| gap.to).max().max(
                        known
                            .as_ref()
                            .filter(|known| known.observed_since > key.issued_at)
                            .map(|known| known.observed_since),
                    ),
                    last_used: seen_here.max(recorded_use),
                    longest: longest.and_then(|longest| longest.try_into().ok()),
                }
            })
            .collect();
        let clients = rows
            .iter()
            .filter_map(|row| {
                let key = keys.iter().find(|key| key.id == row.key)?;
                client(key, row)
            })
            .take(MOST_CLIENTS)
            .collect();
        (records, clients)
    }

    /// Which configurations, jobs and processes hold a living key of the connection.
    fn holders_of_keys(&self, entry: &Entry, uses: &[Use]) -> Vec<Holder> {
        uses.iter()
            .filter(|found| is_in_use(found))
            .filter_map(|found| {
                let key = self.registry.key(found.key.id.as_str())?;
                let own = key.connection == entry.connection.id;
                own.then(|| holder(found, key.label.to_string()))
            })
            .collect()
    }

    /// Where the provider's key stands besides: other connections, and whatever holds it.
    fn brought_elsewhere(&self, entry: &Entry, uses: &[Use]) -> Vec<String> {
        let id = &entry.credentials.access_key_id;
        let others = self.registry.living().into_iter().filter(|other| {
            other.connection.id != entry.connection.id && other.credentials.access_key_id == *id
        });
        let others = others.map(|other| format!("connection {}", other.connection.name));
        let files = uses
            .iter()
            .filter(|found| found.key.id == *id && found.rank != Rank::Process)
            .map(|found| found.key.place.to_string());
        others.chain(files).collect()
    }
}

type Recorded = (Vec<bascule_store::ledger::Interval>, Vec<Row>);

/// Whether a tool would take the key, or may.
fn is_in_use(found: &Use) -> bool {
    found.rank != Rank::Leftover
        && matches!(found.standing, Standing::Effective | Standing::Unknown)
}

/// Who reaches a bucket of the connection without it: with its own key at the provider, or with
/// another one at the same server.
fn holders_of_brought(entry: &Entry, uses: &[Use]) -> Vec<Holder> {
    let connection = &entry.connection;
    uses.iter()
        .filter(|found| is_in_use(found))
        .filter(|found| {
            let named = found
                .bucket
                .as_ref()
                .map(|bucket| connection.buckets.iter().any(|own| own.as_str() == bucket));
            let same_server = match (&connection.location, &found.key.endpoint) {
                (Location::Server { endpoint, .. }, Some(used)) => endpoint == used,
                _ => false,
            };
            match found.key.id == entry.credentials.access_key_id {
                true => named != Some(false),
                false => same_server && named == Some(true),
            }
        })
        .map(|found| adoptable(holder(found, String::new()), found))
        .collect()
}

fn holder(found: &Use, label: String) -> Holder {
    Holder {
        consumer: plan::Consumer {
            chain: way(found).join(" → "),
            tool: found.kind.to_string(),
            user: found.user.clone(),
            next_run: found.next_run.as_ref().map(in_words).unwrap_or_default(),
            moves: Vec::new(),
        },
        label,
        key: found.key.id.masked(),
        chain: way(found),
        rank: found.rank,
        next_run: found.next_run.clone(),
        adopted: None,
    }
}

fn client(key: &Key, row: &Row) -> Option<ClientUse> {
    let (address, tool, process) = match &row.group {
        Group::Client {
            address,
            tool,
            process,
        } => (Some(*address), tool.clone(), process.as_ref()),
        Group::Other => (None, "others, too many to be told apart".to_owned(), None),
        Group::Erased | Group::Key | Group::Tool(_) | Group::Process(_) | Group::Address(_) => {
            return None;
        }
    };
    let elsewhere = process.is_none()
        && address.is_none_or(|address: IpAddr| !address.to_canonical().is_loopback());
    let writes = row.operations.keys().any(|name| {
        let action = Action::ALL.iter().find(|action| action.name() == name);
        action.is_some_and(|action| action.mutates())
    });
    Some(ClientUse {
        client: Client {
            label: key.label.to_string(),
            tool,
            process: process.and_then(process_name),
            address: address
                .filter(|_| elsewhere)
                .map(|address| address.to_canonical().to_string()),
            elsewhere,
            writes,
            last: row.last,
        },
        requests: row.operations.values().map(|(number, ..)| number).sum(),
        longest: row.longest.and_then(|longest| longest.try_into().ok()),
    })
}

fn alternatives(name: &str, keys: &[Key]) -> Vec<(String, String)> {
    let mut alternatives: Vec<_> = keys
        .iter()
        .take(10)
        .flat_map(|key| {
            let (id, label) = (&key.access_key_id, key.label.as_str());
            [
                (
                    format!("pause only the key of {label:?}, reversibly"),
                    format!("bascule key pause {id}"),
                ),
                (
                    format!("replace the key of {label:?}, without downtime"),
                    format!("bascule key rotate {id}"),
                ),
                (
                    format!("revoke only the key of {label:?}"),
                    format!("bascule key revoke {id}"),
                ),
            ]
        })
        .collect();
    if !keys.is_empty() {
        alternatives.push((
            "let a key do less".into(),
            "bascule key restrict KEY_ID --permission read".into(),
        ));
    }
    alternatives.extend([
        (
            "pause all of it, reversibly".into(),
            format!("bascule pause {name}"),
        ),
        (
            "see who screams: pause it for two weeks, and delete it only if nobody knocks".into(),
            format!("bascule delete {name} --scream 14d"),
        ),
        (
            "give it another name".into(),
            format!("bascule rename {name} NEWNAME"),
        ),
        (
            "replace the provider's key and leave the tools alone".into(),
            format!("bascule credentials {name} --credentials-stdin"),
        ),
    ]);
    alternatives
}

/// The facts of a plan. What the user does to satisfy a box is none.
fn shown(
    entry: &Entry,
    keys: &[Key],
    boxes: &[Checked],
    siblings: &[String],
    seen: &Seen,
) -> Shown {
    let mut shown = Shown::default();
    shown.add(format!(
        "credentials of generation {}",
        entry.connection.credentials_generation
    ));
    for key in keys {
        let expires = key
            .expires_at
            .map_or_else(String::new, |at| format!(", expires {at:.0}"));
        let state = match key.state {
            KeyState::Active => "",
            KeyState::Paused => ", paused",
            KeyState::Retiring => ", retiring",
        };
        shown.add(format!(
            "key {} ({}): {}{}{state}{expires}",
            key.label,
            key.access_key_id.masked(),
            key.permission.as_str(),
            limits(&key.scope),
        ));
    }
    for checked in boxes {
        use plan::CheckBox::{
            AlternativesRejected, BackupElsewhere, CardExported, NameTyped, PeopleTold,
            ProviderLogin,
        };
        match checked.name {
            CardExported | NameTyped | PeopleTold | ProviderLogin | BackupElsewhere
            | AlternativesRejected => {}
            name => shown.add(format!("{name}: {}", word(checked.standing))),
        }
    }
    for sibling in siblings {
        shown.add(format!("connection {sibling} goes on"));
    }
    for used in &seen.clients {
        shown.add(format!("{} uses key {}", used.client, used.client.label));
    }
    for held in &seen.consumers {
        shown.add(format!("holds key {}: {}", held.label, held.consumer));
    }
    for held in &seen.bypasses {
        shown.add(format!(
            "goes on with the provider's key: {}",
            held.consumer
        ));
    }
    shown
}

/// What a key is limited to.
fn limits(scope: &Scope) -> String {
    let buckets = scope
        .buckets
        .iter()
        .map(|bucket| format!(", bucket {bucket}"));
    let prefixes = scope
        .prefixes
        .iter()
        .map(|prefix| format!(", prefix {prefix}"));
    let addresses = scope.addresses.iter().map(|rule| format!(", from {rule}"));
    buckets.chain(prefixes).chain(addresses).collect()
}

const fn word(standing: plan::Standing) -> &'static str {
    match standing {
        plan::Standing::Met => "met",
        plan::Standing::Open => "open",
        plan::Standing::Unknown => "unknown",
        plan::Standing::NotApplicable => "does not apply",
    }
}

/// An id of what a plan shows: the same facts have the same id.
fn plan_id(entry: &Entry, shown: &Shown) -> PlanId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(entry.connection.id.as_bytes());
    for fact in shown.facts() {
        context.update(fact.as_bytes());
        context.update(&[0]);
    }
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&context.finish().as_ref()[..10]);
    PlanId::from_random(bytes)
}
