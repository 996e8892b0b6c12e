//! Where the root key is kept, and moving it. A move may wait for somebody to unlock a keychain, so no other
//! change waits for it: the store lets only one move go on at a time.

use std::sync::Arc;

use bascule_domain::{
    audit::{Asked, Change, Details},
    root_key::KeptIn,
};
use bascule_store::{KeychainError, MoveError, OpenError, Whereabouts};

use super::{
    App, blocking,
    error::{Error, Kind, Result},
};

impl App {
    /// Where it is.
    pub(crate) async fn root_key(&self) -> Result<Whereabouts> {
        let store = Arc::clone(&self.store);
        blocking(move || store.root_key_whereabouts())
            .await
            .map_err(|error| Error::new(Kind::Storage, words(&error)).next("bascule doctor"))
    }

    /// Moves it; to a credential only as far as the daemon can, see [`bascule_store::Store::move_root_key`].
    pub(crate) async fn move_root_key(
        self: Arc<Self>,
        by: Asked,
        to: KeptIn,
    ) -> Result<Whereabouts> {
        blocking(move || {
            let entry = |to| {
                self.audit(
                    Some(by.clone()),
                    Change::RootKeyMoved { to },
                    Details::default(),
                )
            };
            self.store.move_root_key(to, &entry)
        })
        .await
        .map_err(|error| refused(&error, to))
    }
}

fn refused(error: &MoveError, to: KeptIn) -> Error {
    let again = format!("bascule root-key move {to}");
    let keychain = match error {
        MoveError::Keychain(why) => Some(why),
        MoveError::Unreadable(unreadable) => match unreadable.as_ref() {
            OpenError::Keychain(why) => Some(why),
            _ => None,
        },
        _ => None,
    };
    let (kind, next) = match (error, keychain) {
        (_, Some(KeychainError::Locked(_))) => (Kind::Refused, format!("unlock it, then: {again}")),
        (_, Some(KeychainError::Unreachable(_))) => (
            Kind::Refused,
            format!(
                "log in to a desktop that has one, and start the daemon in its session; then: {again}"
            ),
        ),
        (MoveError::Keychain(_) | MoveError::Differs { .. } | MoveError::Unreadable(_), _) => {
            (Kind::Refused, "bascule root-key show".to_owned())
        }
        (MoveError::Store(_) | MoveError::Path(_), _) => {
            (Kind::Storage, "bascule doctor".to_owned())
        }
    };
    Error::new(kind, words(error)).next(next)
}

/// The whole chain of causes.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
