//! `basculed whereabouts`: what the daemon would use if it started now, for whoever sets it up as a
//! service. It must never create anything where no daemon has been yet.

use std::io::Write;

use anyhow::Context;
use bascule_os::LockError;
use bascule_proto::location::SOCKET_NAME;
use bascule_store::Store;
use serde::Serialize;

use crate::{config::Config, gateway_port, run};

#[derive(Serialize)]
struct Document<'a> {
    state_dir: &'a str,
    socket: &'a str,
    /// Whether a daemon uses that state folder now.
    running: bool,
    /// ADDRESS:PORT of the address that tools are given; absent where a daemon runs, who can be
    /// asked, or where the store can't be opened.
    gateway: Option<String>,
    /// The group whose members may use the control socket.
    operators: Option<&'a str>,
}

/// Prints it as one line of JSON.
pub(crate) fn print(config: &Config) -> anyhow::Result<()> {
    // Nothing to lock, and nothing stored, before the first start.
    let exists = config.state_dir.symlink_metadata().is_ok();
    let lock = if exists {
        bascule_os::private_dir(&config.state_dir).context("the state folder can't be used")?;
        Some(bascule_os::InstanceLock::borrow(
            &config.state_dir.join(run::LOCK_NAME),
        ))
    } else {
        None
    };
    let (running, gateway) = match lock {
        Some(Err(LockError::Held { .. })) => (true, None),
        Some(Err(error)) => anyhow::bail!("{}: {error}", config.state_dir.display()),
        lock => {
            let fresh = lock.is_none() || !Store::exists_in(&config.state_dir)?;
            // A store that can't be opened now, such as for want of the manager's credential, keeps its
            // port to itself.
            let stored = match fresh {
                true => Some(None),
                false => run::open_store(config)
                    .and_then(|store| Ok(store.gateway_port()?))
                    .ok(),
            };
            let preview = |stored| gateway_port::preview(config.listen, stored);
            let address = stored.map(preview).transpose()?;
            (false, address.map(|address| address.to_string()))
        }
    };
    let socket = config.runtime_dir.join(SOCKET_NAME);
    let document = Document {
        state_dir: &config.state_dir.to_string_lossy(),
        socket: &socket.to_string_lossy(),
        running,
        gateway,
        operators: config.access.operators.as_deref(),
    };
    let text = serde_json::to_string(&document)?;
    writeln!(std::io::stdout(), "{text}").context("it could not be told")
}
