//! The verbs of the daemon: each joins the rooms for one thing a user can ask for. They take
//! parsed values, never wire types, and know nothing of gRPC.
//!
//! Changes are made one at a time (`writing`); reading takes no part in that.

mod activate;
mod adoptions;
mod alerts;
mod attribution;
mod audit;
mod backup;
mod connect;
mod consumers;
mod credentials;
mod delete;
mod deletion;
mod doctor;
pub(crate) mod error;
pub(crate) mod findings;
mod graves;
mod judge;
mod key;
mod leak;
mod limit;
mod list;
mod liveness;
mod ls;
mod mark_dead;
mod metrics;
mod named;
mod own_changes;
mod pause;
mod probe;
mod receipt;
mod reconnect_card;
mod recorder;
pub(crate) mod registry;
mod reload;
mod rename;
mod root_key;
mod rotate;
mod show;
mod status;
mod sweep;
mod usage;
mod verify;
mod watch;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use bascule_adapters::{Guard, OwnAddresses, Surroundings};
use bascule_domain::{
    Timestamp,
    audit::{Asked, Change, Details, Entry as AuditEntry},
    backup::Closure,
    connection::Connection,
    ids::KeyId,
    moment::Moment,
    names::ConnectionName,
};
use bascule_gateway::{Keyring, Trouble};
use bascule_store::{Store, ledger::Ledger};
use tokio::sync::{Mutex, MutexGuard, Notify};
use tokio_util::task::TaskTracker;

use self::{
    attribution::Attribution,
    error::Result,
    findings::Findings,
    graves::Graves,
    own_changes::OwnChanges,
    recorder::Recorder,
    registry::{Entry, Registry},
    reload::Settings,
    rotate::Running,
    sweep::FullSweep,
    watch::Live,
};
use crate::{alerts::Alerts, clock::Clock, config::Config, listeners::Address};

pub(crate) use adoptions::{Access, AdoptionView, AdoptionWish, ConnectionState};
pub(crate) use audit::Reading;
pub(crate) use backup::{BackupWish, Held, KnownBackup};
pub(crate) use connect::{Options, Place, Wish};
pub(crate) use consumers::{Absence, ConsumerFinding, Consumers, Covered, Unnoticed, Waiting, way};
pub(crate) use delete::{
    BucketUploads, ClientUse, DeletionWish, Holder, ManifestPart, Progress, Subscription,
    SurveyProgress, Wanted,
};
pub(crate) use doctor::{Check, Standing};
pub(crate) use findings::{Caller, Finding, Who};
pub(crate) use judge::{IssuedState, Judgement};
pub(crate) use key::{Changed, Issued, KeyView, KeyWish};
pub(crate) use leak::{Brought, Leaked, Proof};
pub(crate) use limit::LimitWish;
pub(crate) use ls::Level;
pub(crate) use mark_dead::marked_words;
pub(crate) use named::Named;
pub(crate) use registry::View;
pub(crate) use rotate::{Consumer, Former, Report, RotateWish, Rotated, Successor};
pub(crate) use status::PausedConnection;
pub(crate) use sweep::SweepView;
pub(crate) use usage::NamedKey;
pub(crate) use verify::{Told, Wish as VerifyWish};
pub(crate) use watch::{Event, Watcher};

/// What the verbs share.
pub(crate) struct App {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    keyring: Arc<Keyring>,
    graves: Arc<Graves>,
    knocks: Arc<Findings>,
    attribution: Arc<Attribution>,
    consumers: Consumers,
    sweep: FullSweep,
    alerts: Alerts,
    own_changes: Arc<OwnChanges>,
    /// Absent when it is switched off.
    ledger: Option<Arc<Ledger>>,
    live: Arc<Live>,
    registry: Arc<Registry>,
    deletions: delete::Running,
    plans: delete::Plans,
    /// Wakes whoever looks after rotations.
    rotations_changed: Notify,
    surroundings: Surroundings,
    writing: Mutex<()>,
    /// That which tools are given first.
    gateways: Vec<Address>,
    state_dir: PathBuf,
    settings: Settings,
    started_at: Timestamp,
    started: Moment,
    /// Successors that may have been used before the start without anything knowing it.
    uses_not_known: BTreeSet<KeyId>,
    /// Whether the daemon before this one was killed.
    killed_before: bool,
    /// Why nothing is admitted, on any connection.
    closure: std::sync::Mutex<Option<Closure>>,
    /// Changes that were asked for and are being made.
    changes: TaskTracker,
}

impl App {
    /// Opens everything stored and puts every living key before the gateway. Connections whose
    /// deletion is under way come up with their keys paused or dead, as the journal says.
    pub(crate) async fn open(
        config: &Config,
        store: Store,
        clock: Arc<dyn Clock>,
        gateways: Vec<Address>,
        killed_before: bool,
    ) -> Result<Arc<Self>> {
        let store = Arc::new(store);
        let (image, closure) = {
            let store = store.clone();
            blocking(move || Ok::<_, bascule_store::StoreError>((store.load()?, store.closure()?)))
                .await?
        };
        let registry = Arc::new(Registry::default());
        let live = Arc::new(Live::default());
        {
            let live = Arc::clone(&live);
            store.observe(move |entry| live.tell(Event::Changed(entry.clone())));
        }
        let surroundings = surroundings(clock.clone(), &gateways);
        let guard = Guard {
            own: surroundings.own.clone(),
            ..Guard::default()
        };
        let attribution = Arc::new(Attribution::start());
        let mut app = Self {
            alerts: Alerts::new(&config.alerts, guard),
            graves: Arc::new(Graves::new(store.clone(), image.graves)),
            knocks: Arc::new(Findings::new(Arc::clone(&live), Arc::clone(&attribution))),
            attribution,
            consumers: Consumers::new(image.finding_records, image.marked_keys),
            sweep: FullSweep::new(config, image.sweeps, image.traces),
            ledger: usage::open(config, &store, &clock, &live),
            live,
            own_changes: Arc::new(OwnChanges::new(registry.clone())),
            keyring: Arc::new(Keyring::new()),
            deletions: delete::Running::default(),
            plans: delete::Plans::default(),
            rotations_changed: Notify::new(),
            surroundings,
            writing: Mutex::new(()),
            state_dir: config.state_dir.clone(),
            settings: Settings::new(config),
            started_at: clock.now(),
            started: clock.moment(),
            uses_not_known: BTreeSet::new(),
            killed_before,
            closure: std::sync::Mutex::new(closure),
            changes: TaskTracker::new(),
            store,
            clock,
            registry,
            gateways,
        };
        for (connection, credentials) in image.connections {
            let deletion = image
                .deletions
                .iter()
                .map(|(deletion, _)| deletion)
                .find(|deletion| deletion.connection == connection.id && !deletion.phase.is_over());
            let mut leaks = image.leaks.clone();
            leaks.retain(|leak| leak.connection == connection.id);
            app.put_up(connection, credentials, leaks, deletion);
        }
        for (key, secret) in image.keys {
            app.registry.put_key(key.clone());
            let id = key.id;
            if let Err(error) = app.keyring.add_key(key, secret) {
                tracing::error!(key = %id, error = &error as &dyn std::error::Error, "a stored key is not served");
            }
        }
        for rotation in image.rotations {
            app.registry.update(rotation.connection, |entry| {
                let running = Running {
                    counted_since: app.started_at,
                    counted_before: 0,
                    rotation,
                };
                entry.rotations.insert(running.rotation.old, running);
            });
        }
        for (deletion, findings) in image.deletions {
            app.deletions.remember(deletion, findings);
        }
        app.uses_not_known = app.remember_uses().await;
        Ok(Arc::new(app))
    }

    /// The living keys, for the gateway.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        self.keyring.clone()
    }

    /// The dead keys, for the gateway.
    pub(crate) fn graves(&self) -> Arc<Graves> {
        self.graves.clone()
    }

    /// The record of refusals, for the gateway.
    pub(crate) fn knocks(&self) -> Arc<Findings> {
        self.knocks.clone()
    }

    /// The findings of consumers.
    pub(crate) fn consumers(&self) -> &Consumers {
        &self.consumers
    }

    /// The record of what passes through the gateway, for the gateway.
    pub(crate) fn recorder(&self) -> Arc<Recorder> {
        let (own_changes, ledger) = (self.own_changes.clone(), self.ledger.clone());
        let (clock, attribution) = (self.clock.clone(), self.attribution.clone());
        Arc::new(Recorder::new(own_changes, ledger, clock, attribution))
    }

    /// Where tools reach the gateway.
    pub(crate) fn gateway_url(&self) -> String {
        self.gateways
            .first()
            .map(|address| address.to_dial().to_string())
            .unwrap_or_default()
    }

    /// The settings in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.settings.current()
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes a change to its end, even if whoever asked for it leaves meanwhile: a change that is
    /// durable and not in memory, or the other way round, must not be left behind.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.changes.spawn(change).await.unwrap_or_else(|_| {
            Err(error::Error::new(
                error::Kind::Storage,
                "a defect stopped the change; what was made of it shows after a restart",
            )
            .next(error::restart()))
        })
    }

    /// Waits for changes that are being made, and stops working on deletions; those go on at the
    /// next start.
    pub(crate) async fn stop(&self) {
        self.changes.close();
        self.changes.wait().await;
        self.deletions.stop().await;
    }

    async fn one_change_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    fn audit(&self, asked: Option<Asked>, change: Change, details: Details) -> AuditEntry {
        let (by, reason) = asked.map(|asked| (asked.by, asked.reason)).unzip();
        AuditEntry {
            at: self.clock.now(),
            by,
            change,
            details: Some(Details {
                reason: reason.flatten(),
                ..details
            }),
        }
    }

    /// Runs a call of the store on a thread that may block.
    async fn stored<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> std::result::Result<T, bascule_store::StoreError> + Send + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        Ok(blocking(move || call(&store)).await?)
    }

    fn living(&self, name: &str) -> Result<Entry> {
        self.registry
            .by_name(name)
            .ok_or_else(|| error::Error::no_connection(name))
    }

    fn view(&self, entry: &Entry) -> View {
        let flagged = || {
            let cell = self.keyring.connection(entry.connection.id)?;
            Some(flagged(cell.trouble()?, &entry.connection.name))
        };
        View {
            connection: entry.connection.clone(),
            brought_key: entry.credentials.access_key_id.masked(),
            living_keys: self.registry.count_keys(entry.connection.id),
            deletion: entry.deletion,
            trouble: entry.storage.as_ref().err().cloned().or_else(flagged),
        }
    }
}

/// What a human reads about a connection that its provider does not serve.
fn flagged(trouble: Trouble, name: &ConnectionName) -> String {
    match trouble {
        Trouble::Credentials => format!(
            "the provider refuses this connection's credentials; replace them: bascule credentials {name}"
        ),
        Trouble::Clock => {
            "the provider's clock and this machine's differ; set the one that is wrong".to_owned()
        }
        Trouble::Redirects => {
            "the provider redirects this connection's requests; its region or address is wrong"
                .to_owned()
        }
    }
}

/// What the adapters need from us: the clock, and where we listen ourselves.
fn surroundings(clock: Arc<dyn Clock>, gateways: &[Address]) -> Surroundings {
    let own = OwnAddresses::default();
    for address in gateways {
        own.add(address.socket);
    }
    Surroundings {
        clock: Arc::new(move || clock.now()),
        own,
    }
}

/// Runs what blocks off the runtime's own threads.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(call).await {
        Ok(value) => value,
        // The closure is never aborted, so it can only have panicked: pass that on.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The sentence for what stays valid at the provider when a connection goes.
fn stays_valid(connection: &Connection, masked: &str) -> Vec<String> {
    use bascule_domain::provider::ProviderKind;
    match connection.provider {
        ProviderKind::Local => Vec::new(),
        provider => vec![format!(
            "the key {masked} that you brought stays valid at {provider}; revoke it there if nothing else needs it"
        )],
    }
}
