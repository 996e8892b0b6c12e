//! `basculed whereabouts`: what the daemon would use if it started now, for whoever sets it up as a
//! service. It must never create anything where no daemon has been yet.

use std::io::Write;

use anyhow::Context;
use bascule_os::LockError;
use bascule_proto::location::SOCKET_NAME;
use bascule_store::{Mend, OpenError, Store};
use serde::Serialize;

use crate::{
    config::{At, Config},
    gateway_port,
    not_opened::NotOpened,
    run,
};

#[derive(Serialize)]
struct Document<'a> {
    state_dir: &'a str,
    socket: &'a str,
    /// Whether a daemon uses that state folder now.
    running: bool,
    /// ADDRESS:PORT of the address that tools are given; absent where a daemon runs, who can be
    /// asked, or where only a store that can't be opened could tell it.
    gateway: Option<String>,
    /// Why the store can't be opened here and now; absent where it can, or where there is none yet.
    closed: Option<Closed>,
}

#[derive(Serialize)]
struct Closed {
    /// The whole chain of causes.
    cause: String,
    /// The command that goes on from there.
    next: Option<String>,
    opens: Opens,
}

/// When the service itself will open it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Opens {
    /// At once: it is lent what this process is not.
    InService,
    /// Once the keychain is unlocked.
    Later,
    /// Once the cause is gone.
    Mended,
}

/// The port that the store keeps; `Ok(None)` if it keeps none.
fn stored(config: &Config) -> Result<Option<u16>, Closed> {
    let port = run::open_store(config).and_then(|store| Ok(store.gateway_port()?));
    port.map_err(|error| {
        let cause: Option<&OpenError> = error.downcast_ref();
        let told: Option<&NotOpened> = error.downcast_ref();
        Closed {
            cause: format!("{error:#}"),
            next: told.and_then(|told| told.way_on.clone()),
            opens: match cause.map(OpenError::mend) {
                Some(Mend::ElsewhereNow) => Opens::InService,
                Some(Mend::HereLater) => Opens::Later,
                Some(Mend::CopyOrReset | Mend::Other) | None => Opens::Mended,
            },
        }
    })
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
    let (running, gateway, closed) = match lock {
        Some(Err(LockError::Held { .. })) => (true, None, None),
        Some(Err(error)) => anyhow::bail!("{}: {error}", config.state_dir.display()),
        lock => {
            let fresh = lock.is_none() || !Store::exists_in(&config.state_dir)?;
            let stored = match fresh {
                true => Ok(None),
                false => stored(config),
            };
            let address = match (&stored, config.listen.at) {
                (Ok(stored), _) => Some(*stored),
                (Err(_), At::Exactly(_)) => Some(None),
                // Only the store knows the port that tools have.
                (Err(_), At::Chosen | At::Ephemeral(_)) => None,
            };
            let preview = |stored| gateway_port::preview(config.listen, stored);
            let address = address.map(preview).transpose()?;
            (
                false,
                address.map(|address| address.to_string()),
                stored.err(),
            )
        }
    };
    let socket = config.runtime_dir.join(SOCKET_NAME);
    let document = Document {
        state_dir: &config.state_dir.to_string_lossy(),
        socket: &socket.to_string_lossy(),
        running,
        gateway,
        closed,
    };
    let text = serde_json::to_string(&document)?;
    writeln!(std::io::stdout(), "{text}").context("it could not be told")
}
