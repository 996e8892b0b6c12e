//! Starting, serving and stopping: the order in which the rooms are opened and closed.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use bascule_gateway::{Gateway, Settings};
use bascule_os::InstanceLock;
use bascule_store::Store;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    bridge,
    clock::{Clock, SystemClock},
    config::Config,
    gateway_port, rpc,
};

const LOCK_NAME: &str = "lock";

/// Runs the daemon until it is told to stop.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    if let Err(error) = bascule_os::harden_process() {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "core dumps could not be turned off"
        );
    }
    bascule_os::private_dir(&config.state_dir).context("the state folder can't be used")?;
    let _lock = lock(&config)?;
    let store = Store::open_or_create(&config.state_dir)
        .context("the store was not opened, and nothing in it was changed")?;
    let listener = gateway_port::bind(config.listen, &store)?;
    listener
        .set_nonblocking(true)
        .context("the gateway's socket can't be set up")?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")?
        .block_on(serve(config, store, listener))
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
    Store::reset(&config.state_dir).context("the reset did not finish; run it again")
}

fn lock(config: &Config) -> anyhow::Result<InstanceLock> {
    InstanceLock::acquire(&config.state_dir.join(LOCK_NAME))
        .map_err(|error| anyhow::anyhow!("{}: {error}", config.state_dir.display()))
}

async fn serve(
    config: Config,
    store: Store,
    listener: std::net::TcpListener,
) -> anyhow::Result<()> {
    // Installed first, so that a signal during start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let app = App::open(&config, store, clock.clone(), address)
        .await
        .context("the stored connections could not be opened")?;
    let socket = rpc::socket::open(&config.runtime_dir)?;
    let stop = CancellationToken::new();
    let gateway = Arc::new(Gateway::new(
        app.keyring(),
        Arc::new(bridge::GatewayClock(clock)),
        app.graves(),
        app.own_changes(),
        Settings {
            header_timeout: config.header_timeout,
            max_connections: config.max_connections,
            host_suffix: config.host_suffix.clone(),
            ..Settings::default()
        },
    ));
    let mut gateway = tokio::spawn(gateway.serve(listener, stop.clone()));
    let mut rpc = tokio::spawn(rpc::serve(app.clone(), socket, stop.clone()));
    app.resume_deletions().await;
    announce(&config, address);

    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = &mut rpc => Err(anyhow::anyhow!("the control socket closed by itself: {ended:?}")),
        _ = &mut gateway => Err(anyhow::anyhow!("the gateway closed by itself")),
    };
    tracing::info!("stopping: waiting for open requests; a second signal stops at once");
    stop.cancel();
    tokio::select! {
        () = drain(&app, &config, gateway, rpc) => {}
        _ = terminate.recv() => tracing::warn!("stopped at once, requests were cut"),
        _ = interrupt.recv() => tracing::warn!("stopped at once, requests were cut"),
    }
    // An error here only leaves a stale socket, which the next start replaces.
    std::fs::remove_file(
        config
            .runtime_dir
            .join(bascule_proto::location::SOCKET_NAME),
    )
    .ok();
    outcome
}

async fn drain(
    app: &Arc<App>,
    config: &Config,
    gateway: tokio::task::JoinHandle<()>,
    rpc: tokio::task::JoinHandle<anyhow::Result<()>>,
) {
    app.stop_deletions().await;
    let both = async {
        gateway.await.ok();
        rpc.await.ok();
    };
    if tokio::time::timeout(config.drain_limit, both)
        .await
        .is_err()
    {
        tracing::warn!("requests were still open after the drain time and were cut");
    }
}

fn announce(config: &Config, gateway: SocketAddr) {
    tracing::info!(
        gateway = %format_args!("http://{gateway}"),
        socket = %config.runtime_dir.join(bascule_proto::location::SOCKET_NAME).display(),
        state = %config.state_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        "ready"
    );
}
