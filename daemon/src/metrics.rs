//! Where metrics are read from, if somebody asked for that: a socket of this user's, or a loopback port.

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use anyhow::Context;
use bascule_gateway::{Render, ScrapeListener};
use bascule_proto::exposition::{Form, exposition};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::{app::App, config::MetricsAt, rpc};

/// Binds it. The folder of a socket is made if it is not there.
pub(crate) async fn bind(at: &MetricsAt) -> anyhow::Result<ScrapeListener> {
    let failed = || format!("metrics can't be served at {at}");
    Ok(match at {
        MetricsAt::Tcp(address) => {
            ScrapeListener::Tcp(TcpListener::bind(address).await.with_context(failed)?)
        }
        MetricsAt::Unix(path) => ScrapeListener::Unix(socket(path).with_context(failed)?),
    })
}

fn socket(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
        bascule_os::private_dir(folder)?;
    }
    match bascule_os::check_socket_path(path)? {
        bascule_os::SocketState::Free => {}
        bascule_os::SocketState::Live => anyhow::bail!("another process answers there"),
        bascule_os::SocketState::Stale => std::fs::remove_file(path)?,
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until it is told to stop, and takes a socket away then.
pub(crate) async fn serve(
    app: Arc<App>,
    at: MetricsAt,
    listener: ScrapeListener,
    stop: CancellationToken,
) {
    let render: Render = Arc::new(move |accept| {
        let form = Form::accepted(accept);
        (form.content_type(), exposition(&rpc::families(&app), form))
    });
    bascule_gateway::scrape(listener, render, stop).await;
    if let MetricsAt::Unix(path) = at {
        // A stale one is replaced at the next start.
        std::fs::remove_file(path).ok();
    }
}
