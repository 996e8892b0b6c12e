//! Looks for the processes behind connections on a thread of its own: it takes milliseconds, and nobody's
//! request may wait for it. What is asked while too much waits is not looked for at all.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use bascule_gateway::Ends;
use bascule_os::attribution::{self, Process, Unknown};

/// Connections whose process is still to be looked for.
const QUEUE: usize = 256;

/// What was found.
pub(crate) type Found = std::result::Result<Process, Unknown>;

/// Takes connections to look at. The thread ends with it.
#[derive(Default)]
pub(crate) struct Attribution {
    /// Absent where there is no thread.
    looks: Option<SyncSender<Look>>,
}

/// Nobody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotLooked {
    /// Too many wait already.
    Busy,
    /// The thread is not there.
    NoThread,
}

struct Look {
    ends: Ends,
    then: Box<dyn FnOnce(Found) + Send>,
}

impl Attribution {
    /// Starts the thread.
    pub(super) fn start() -> Self {
        let (sender, looks) = sync_channel::<Look>(QUEUE);
        let looking = move || {
            for Look { ends, then } in looks {
                then(look(&ends));
            }
        };
        let started = std::thread::Builder::new()
            .name("attribution".into())
            .spawn(looking);
        if let Err(error) = &started {
            tracing::warn!(%error, "which process uses a key will not be known");
        }
        Self {
            looks: started.is_ok().then_some(sender),
        }
    }

    /// Has the process at the other end looked for; `then` is called on the thread that looks.
    pub(super) fn ask(
        &self,
        ends: &Ends,
        then: impl FnOnce(Found) + Send + 'static,
    ) -> std::result::Result<(), NotLooked> {
        let looks = self.looks.as_ref().ok_or(NotLooked::NoThread)?;
        let look = Look {
            ends: ends.clone(),
            then: Box::new(then),
        };
        looks.try_send(look).map_err(|refused| match refused {
            TrySendError::Full(_) => NotLooked::Busy,
            TrySendError::Disconnected(_) => NotLooked::NoThread,
        })
    }
}

/// The process behind a connection. Unknown once that is closed: its addresses may be another one's by
/// then.
fn look(ends: &Ends) -> Found {
    let closed = || ends.open.strong_count() == 0;
    if closed() {
        return Err(Unknown::Ended);
    }
    let found = attribution::of_peer(ends.local, ends.peer);
    if closed() {
        return Err(Unknown::Ended);
    }
    found
}
