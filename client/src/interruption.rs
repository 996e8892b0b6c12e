//! The signals that ask a command to end: Ctrl-C, SIGTERM and SIGHUP. It must never end the
//! process itself: who listens cleans up and says how it stands.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from its making on, so that a signal between two waits is not lost.
#[derive(Debug)]
pub(crate) struct Interruption {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Interruption {
    /// Begins to listen. A signal that can't be listened for does what it always did.
    pub(crate) fn listen() -> Self {
        let [interrupt, terminate, hang_up] = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ]
        .map(|kind| signal(kind).ok());
        Self {
            interrupt,
            terminate,
            hang_up,
        }
    }

    /// Waits until one of them has come.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            () = next(&mut self.interrupt) => {}
            () = next(&mut self.terminate) => {}
            () = next(&mut self.hang_up) => {}
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
