//! Whether what keeps the daemon's state still answers.

use super::{App, blocking};

impl App {
    /// Returns once the store could take a change and the ledger's writer has answered; never while
    /// one of them hangs. That one refuses is an answer: the status tells of it, and a new start would
    /// not help.
    pub(crate) async fn await_writers(&self) {
        let (store, ledger) = (self.store.clone(), self.ledger.clone());
        blocking(move || {
            if let Err(error) = store.await_writer() {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the store refuses"
                );
            }
            if let Some(Err(error)) = ledger.map(|ledger| ledger.await_writer()) {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the ledger refuses"
                );
            }
        })
        .await;
    }
}
