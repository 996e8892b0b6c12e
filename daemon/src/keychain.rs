//! The keychain of the user who runs the daemon, where the root key may be kept: the Secret Service on the
//! session bus, on macOS the system's Keychain. It is asked when the store is opened or the key is moved,
//! never on a request's way, and nothing of it stays open. It must never wait without end.

#[cfg(target_os = "macos")]
mod macos;
#[cfg(not(target_os = "macos"))]
mod secret_service;

use std::{sync::mpsc, time::Duration};

use bascule_store::{Keychain, KeychainError};
use zeroize::Zeroizing;

#[cfg(target_os = "macos")]
use self::macos as system;
#[cfg(not(target_os = "macos"))]
use self::secret_service as system;

/// What an entry is called where a person sees it.
const LABEL: &str = "Bascule root key";
/// For everything, somebody who types a password included.
const LIMIT: Duration = Duration::from_secs(120);

/// The keychain of the session that this process belongs to.
#[derive(Debug)]
pub(crate) struct UserKeychain;

impl Keychain for UserKeychain {
    fn ready(&self) -> Result<(), KeychainError> {
        bounded(system::ready)
    }

    fn read(&self, store: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeychainError> {
        let store = store.to_owned();
        bounded(move || system::read(&store))
    }

    fn write(&self, store: &str, content: &[u8]) -> Result<(), KeychainError> {
        let (store, content) = (store.to_owned(), Zeroizing::new(content.to_vec()));
        bounded(move || system::write(&store, &content))
    }

    fn remove(&self, store: &str) -> Result<(), KeychainError> {
        let store = store.to_owned();
        bounded(move || system::remove(&store))
    }
}

/// On a thread of its own, which is left to itself when it does not come back.
fn bounded<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, KeychainError> + Send + 'static,
) -> Result<T, KeychainError> {
    let (done, outcome) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("keychain".to_owned())
        // Nobody may be waiting any more.
        .spawn(move || done.send(call()).ok())
        .map_err(|error| KeychainError::Failed(error.to_string()))?;
    outcome.recv_timeout(LIMIT).unwrap_or_else(|_| {
        Err(KeychainError::Failed(format!(
            "it did not answer within {} seconds",
            LIMIT.as_secs()
        )))
    })
}
