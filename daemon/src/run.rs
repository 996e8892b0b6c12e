//! Starting, serving and stopping: the order in which the rooms are opened and closed.

use std::{
    io::Write,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use bascule_domain::{
    audit::{Change, Entry},
    backup::Place,
    root_key::KeptIn,
};
use bascule_gateway::{Gateway, Keyring, Settings, Workers};
use bascule_os::{InstanceLock, service::Notice};
use bascule_store::{Anchored, OpenError, RootKeyPlaces, Store};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    alarm::Alarm,
    alerts,
    app::App,
    bridge,
    clock::{Clock, SystemClock},
    config::Config,
    keychain::UserKeychain,
    listeners::{self, Address, Bound},
    manager::{self, WorkPath},
    metrics,
    not_opened::NotOpened,
    passed,
    rpc::{self, socket::ControlSocket},
    sweeping, watching,
};

pub(crate) const LOCK_NAME: &str = "lock";
/// The credential with the root key.
const ROOT_KEY: &str = "root.key";
/// A backup is read whole.
const LARGEST_BACKUP: u64 = 2 << 30;

/// Runs the daemon until it is told to stop.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    if let Err(error) = bascule_os::harden_process() {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "memory is not kept from other processes"
        );
    }
    let config = within_descriptors(config, bascule_os::raise_descriptor_limit());
    // Before anything else opens a descriptor.
    let passed = passed::take()?;
    bascule_os::private_dir(&config.state_dir).context("the state folder can't be used")?;
    let lock = lock(&config)?;
    manager::tell(&[Notice::Status("opening the store")]);
    let store = open_store(&config).inspect_err(|error| {
        if let Some(OpenError::Keychain(why)) = error.downcast_ref() {
            tracing::error!(
                error = why as &dyn std::error::Error,
                "the keychain gives no root key"
            );
            manager::stay_for_another_start(&format!("{why}; the start is tried again soon"));
        }
    })?;
    settle_root_key(&store);
    anchor(&config, &store)?;
    let bound = listeners::bind(&config, &store, passed.gateway)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")?
        .block_on(serve(
            config,
            store,
            bound,
            passed.control,
            lock.left_behind(),
        ))
}

/// Opens the store with the root key that the service manager keeps, where it does, else with that in
/// the state folder.
pub(crate) fn open_store(config: &Config) -> anyhow::Result<Store> {
    Store::open_or_create_with(&config.state_dir, &places()).map_err(|error| {
        let told = NotOpened::of(&error, config);
        anyhow::Error::new(error).context(told)
    })
}

/// What besides the state folder may hold the root key.
fn places() -> RootKeyPlaces {
    RootKeyPlaces {
        credential: bascule_os::service::credential(ROOT_KEY),
        keychain: Some(Arc::new(UserKeychain)),
    }
}

/// Finishes a move of the root key that was cut off, or waited for this start. What goes wrong there
/// leaves the key where it opened the store.
fn settle_root_key(store: &Store) {
    let clock = SystemClock::new();
    let settled = store.settle_root_key(&|to| Entry {
        at: clock.now(),
        by: None,
        change: Change::RootKeyMoved { to },
        details: None,
    });
    match settled {
        Ok(false) => {}
        Ok(true) => tracing::info!("a move of the root key was finished"),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a move of the root key was not finished; see: bascule root-key show"
        ),
    }
}

/// Each client connection may need one to a provider, and the daemon needs some for itself.
fn within_descriptors(mut config: Config, limit: u64) -> Config {
    const OWN: u64 = 128;
    let fits = usize::try_from(limit.saturating_sub(OWN) / 2)
        .unwrap_or(usize::MAX)
        .max(1);
    if config.max_connections > fits {
        tracing::warn!(
            limit,
            connections = fits,
            "the limit on open files allows fewer client connections than configured"
        );
        config.max_connections = fits;
    }
    config
}

/// Destroys everything in the state folder.
pub(crate) fn reset(config: &Config, confirmed: bool) -> anyhow::Result<()> {
    anyhow::ensure!(
        confirmed,
        "reset destroys every connection, key, tombstone and receipt in {}; if that is meant: basculed reset --yes-lose-everything",
        config.state_dir.display()
    );
    bascule_os::private_dir(&config.state_dir).context("the state folder can't be used")?;
    let _lock = lock(config)?;
    let kept_in = Store::reset(&config.state_dir, &places()).map_err(|error| match error {
        OpenError::Keychain(why) => anyhow::anyhow!(
            "all but the root key's entry in the keychain is destroyed ({why}); run it again once the keychain is there and unlocked, or remove {} to leave that entry where it is",
            config.state_dir.join("root.key.place").display()
        ),
        error => anyhow::Error::new(error).context("the reset did not finish; run it again"),
    })?;
    let document = serde_json::json!({ "root_key_was_in": kept_in.unwrap_or(KeptIn::File) });
    writeln!(std::io::stdout(), "{document}").context("the outcome could not be told")
}

/// Notices a state folder that was put back from outside.
fn anchor(config: &Config, store: &Store) -> anyhow::Result<()> {
    let Some(folder) = &config.anchor_dir else {
        tracing::warn!(
            "there is no place for the anchor, so a state folder put back from outside is not noticed; set anchor_dir"
        );
        return Ok(());
    };
    match store
        .anchor_in(folder)
        .context("the anchor could not be compared")?
    {
        Anchored::New | Anchored::Held => {}
        Anchored::Lost(why) => tracing::warn!(
            why,
            "the anchor was made anew; whether the state folder was put back from outside meanwhile is not known"
        ),
        Anchored::RolledBack { seen, known } => tracing::error!(
            seen,
            known,
            "the state folder is older than its anchor: keys or connections that died are alive in it again; nothing is admitted. Put the newer folder back, or, if this one is right: bascule activate --accept-rollback"
        ),
        Anchored::Unusable(why) => tracing::warn!(
            why,
            "the anchor can't be kept, so a state folder put back from outside is not noticed"
        ),
    }
    Ok(())
}

/// Puts a backup back, and prints what came of it as one line of JSON.
pub(crate) fn restore(
    config: &Config,
    file: &Path,
    passphrase: Option<&[u8]>,
) -> anyhow::Result<()> {
    let content = bascule_os::read_foreign(file, LARGEST_BACKUP)
        .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    bascule_os::private_dir(&config.state_dir).context("the state folder can't be used")?;
    let _lock = lock(config)?;
    let done = Store::restore(
        &config.state_dir,
        &content,
        place_of(file),
        passphrase,
        SystemClock::new().now(),
        &places(),
    )?;
    let document = serde_json::json!({
        "id": done.backup.id.to_string(),
        "made_at": done.backup.made_at.to_string(),
        "closed": done.closed,
        "brought_back": done.figures.brought_back,
        "kept": done.figures.kept,
        "stayed_deleted": done.figures.stayed_deleted,
        "stayed_dead": done.figures.stayed_dead,
    });
    writeln!(std::io::stdout(), "{document}").context("the outcome could not be told")
}

/// Unknown where the path is no text.
fn place_of(file: &Path) -> Place {
    let path_name = |path: &Path| path.to_str()?.parse().ok();
    let Some(path) = std::path::absolute(file)
        .ok()
        .and_then(|path| path_name(&path))
    else {
        return Place::Unknown;
    };
    let mount = bascule_os::mount_of_file(file).ok().flatten();
    Place::Here {
        path,
        mount: mount.and_then(|mount| path_name(&mount)),
    }
}

fn lock(config: &Config) -> anyhow::Result<InstanceLock> {
    InstanceLock::acquire(&config.state_dir.join(LOCK_NAME))
        .map_err(|error| anyhow::anyhow!("{}: {error}", config.state_dir.display()))
}

async fn serve(
    config: Config,
    store: Store,
    bound: Vec<Bound>,
    control: Option<(UnixListener, PathBuf)>,
    killed_before: bool,
) -> anyhow::Result<()> {
    // Installed first, so that a signal during start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangups = signal(SignalKind::hangup())?;
    let addresses: Vec<_> = bound.iter().map(|bound| bound.address).collect();
    let listeners = bound
        .into_iter()
        .map(Bound::into_listener)
        .collect::<std::io::Result<Vec<_>>>()?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let app = App::open(
        &config,
        store,
        clock.clone(),
        addresses.clone(),
        killed_before,
    )
    .await
    .context("the stored connections could not be opened")?;
    // Before anything can happen that somebody wants to hear of.
    let news = app.watch("").context("news can't be followed")?;
    let operators = config.access.operators.as_deref();
    let ControlSocket {
        peers,
        path,
        passed,
    } = match control {
        Some((listener, path)) => rpc::socket::take(listener, path, operators)
            .context("the control socket that the service manager passed can't be used")?,
        None => rpc::socket::open(&config.runtime_dir, operators)?,
    };
    let scraped = match &config.metrics {
        Some(at) => Some((at.clone(), metrics::bind(at).await?)),
        None => None,
    };
    let stop = CancellationToken::new();
    let workers = Workers::start().context("the gateway's threads could not be started")?;
    let gateway = Gateway::new(
        app.keyring(),
        Arc::new(bridge::GatewayClock(clock.clone())),
        app.graves(),
        app.recorder(),
        app.knocks(),
        Settings {
            header_timeout: config.header_timeout,
            max_connections: config.max_connections,
            host_suffix: config.host_suffix.clone(),
            hosts: config.hosts.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            allow_uids: config.access.allow_uid.clone(),
            ..Settings::default()
        },
    );
    let gateway = Arc::new(gateway.on(&workers));
    // Not stopped with the servers: what they still have open ends in time, too.
    let mut ends = tokio::spawn(end_keys(app.keyring(), clock.clone())?);
    let mut servers = JoinSet::new();
    for listener in listeners {
        let (gateway, stop) = (Arc::clone(&gateway), stop.clone());
        servers.spawn(async move {
            gateway.serve(listener, stop).await;
            Ok(())
        });
    }
    // Before anybody can ask: a deletion asked for now must not be taken for an interrupted one.
    if app.closure().is_none() {
        app.resume_deletions().await;
    }
    let alarm = Alarm::new().context("the timer for rotations could not be made")?;
    let rotations = tokio::spawn(app.clone().watch_rotations(alarm, stop.clone()));
    let alarm = Alarm::new().context("the timer for probes could not be made")?;
    let probes = tokio::spawn(app.clone().watch_probes(alarm, stop.clone()));
    let reloads = tokio::spawn(reload_on_hangup(app.clone(), hangups));
    let told = tokio::spawn(alerts::watch(app.clone(), news, stop.clone()));
    let alarm = Alarm::new().context("the timer for keys that expire could not be made")?;
    let consumers = tokio::spawn(watching::watch(app.clone(), alarm, stop.clone()));
    let alarm = Alarm::new().context("the timer for sweeps could not be made")?;
    let sweeps = tokio::spawn(sweeping::sweep(app.clone(), clock, alarm, stop.clone()));
    servers.spawn(rpc::serve(app.clone(), peers, stop.clone()));
    if let Some((at, listener)) = scraped {
        let (app, stop) = (app.clone(), stop.clone());
        servers.spawn(async move {
            metrics::serve(app, at, listener, stop).await;
            Ok(())
        });
    }
    let work = WorkPath {
        gateway,
        app: app.clone(),
    };
    anyhow::ensure!(
        work.goes_through().await,
        "the gateway does not answer as it should"
    );
    bascule_os::release();
    let gateways = announce(&config, &addresses, &path);
    manager::tell(&[
        Notice::Ready,
        Notice::Status(&format!("serving {gateways}")),
    ]);
    let alive = tokio::spawn(work.watch(stop.clone()));

    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = &mut ends => Err(anyhow::anyhow!("the watch over the ends of keys failed")),
        Some(ended) = servers.join_next() => Err(match ended {
            Ok(Err(error)) => error.context("the control socket closed"),
            Ok(Ok(())) => anyhow::anyhow!("a server closed by itself"),
            Err(error) => anyhow::Error::new(error).context("a server failed"),
        }),
    };
    manager::tell(&[
        Notice::Stopping,
        Notice::Status("stopping: waiting for open requests"),
    ]);
    tracing::info!("stopping: waiting for open requests; a second signal stops at once");
    reloads.abort();
    stop.cancel();
    let drained = async {
        // A defect there is in the log; everything else is stopped all the same.
        let watchers = async {
            rotations.await.ok();
            consumers.await.ok();
            probes.await.ok();
            sweeps.await.ok();
            told.await.ok();
            alive.await.ok();
        };
        // What deletions note at the end does not wait for a sweep that reads slowly.
        tokio::join!(app.stop(), watchers);
        while servers.join_next().await.is_some() {}
    };
    tokio::select! {
        drained = tokio::time::timeout(app.config().drain_limit, drained) => {
            if drained.is_err() {
                tracing::warn!("requests were still open after the drain time and were cut");
            }
        }
        _ = terminate.recv() => tracing::warn!("stopped at once, requests were cut"),
        _ = interrupt.recv() => tracing::warn!("stopped at once, requests were cut"),
    }
    // What is still served ends here, so that the ledger misses none of it.
    drop(workers);
    app.close_ledger().await;
    if !passed {
        // An error here only leaves a stale socket, which the next start replaces.
        std::fs::remove_file(path).ok();
    }
    outcome
}

/// SIGHUP asks for a reload, as `bascule reload` does. What came of it is in the log and the status.
async fn reload_on_hangup(app: Arc<App>, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        manager::tell(&[Notice::Reloading]);
        app.reload().await.ok();
        manager::tell(&[Notice::Ready]);
    }
}

/// Ends what keys have open when their time has come.
fn end_keys(
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<impl Future<Output = ()>> {
    let alarm = Alarm::new().context("the timer for the ends of keys could not be made")?;
    let alarm = bridge::GatewayAlarm {
        alarm,
        clock: clock.clone(),
    };
    let clock = bridge::GatewayClock(clock);
    Ok(async move { keyring.end_keys_in_time(&clock, &alarm).await })
}

/// Tells the log that the daemon serves; returns the gateway's addresses in words.
fn announce(config: &Config, gateway: &[Address], socket: &Path) -> String {
    let gateway: Vec<_> = gateway.iter().map(Address::to_string).collect();
    let gateway = gateway.join(", ");
    tracing::info!(
        gateway,
        socket = %socket.display(),
        state = %config.state_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
    gateway
}
