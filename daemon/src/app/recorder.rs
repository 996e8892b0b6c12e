//! Joins what the gateway tells about use with whoever keeps it: the changes between two surveys,
//! and the ledger. Runs on the path of requests: it must never wait, and looks for processes on a
//! thread of its own.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
};

use bascule_domain::{
    Timestamp,
    ids::{ConnectionId, KeyId},
    operation::Action,
};
use bascule_gateway::{Ends, Exchange, Reason, UsageSink, Visit, Visitor};
use bascule_os::attribution;
use bascule_store::ledger::{Ledger, Peer, Process, Tally, What};

use super::own_changes::OwnChanges;
use crate::clock::Clock;

/// Connections whose process is still to be looked for; those beyond it stay unknown.
const QUEUE: usize = 256;

/// Takes what the gateway tells.
pub(crate) struct Recorder {
    own_changes: Arc<OwnChanges>,
    counting: Option<Counting>,
}

/// What it takes to count.
#[derive(Clone)]
struct Counting {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    /// To the thread that looks; it ends with the last sender. Absent where there is no thread.
    look: Option<SyncSender<Look>>,
}

struct Look {
    ends: Ends,
    peer: Arc<Peer>,
}

impl Recorder {
    pub(super) fn new(
        own_changes: Arc<OwnChanges>,
        ledger: Option<Arc<Ledger>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            own_changes,
            counting: ledger.map(|ledger| Counting {
                ledger,
                clock,
                look: looking(),
            }),
        }
    }
}

impl UsageSink for Recorder {
    fn connected(&self, ends: &Ends) -> Option<Box<dyn Visitor>> {
        let counting = self.counting.as_ref()?;
        Some(Box::new(Guest {
            counting: counting.clone(),
            peer: Arc::default(),
            ends: ends.clone(),
        }))
    }

    fn began(&self, exchange: &Exchange<'_>) {
        self.own_changes.began(exchange);
    }

    fn ended(&self, exchange: &Exchange<'_>) {
        self.own_changes.ended(exchange);
    }
}

/// One client connection.
struct Guest {
    counting: Counting,
    peer: Arc<Peer>,
    ends: Ends,
}

impl Visitor for Guest {
    fn names(
        &self,
        key: KeyId,
        connection: ConnectionId,
        user_agent: &[u8],
        address: IpAddr,
    ) -> Arc<dyn Visit> {
        let (peer, address) = (Arc::clone(&self.peer), address.to_canonical());
        let ledger = &self.counting.ledger;
        Arc::new(Stay {
            tally: ledger.tally(key, connection, peer, address, user_agent),
            counting: self.counting.clone(),
            peer: Arc::clone(&self.peer),
            ends: self.ends.clone(),
        })
    }
}

/// One client that uses one key over one connection.
struct Stay {
    tally: Arc<Tally>,
    counting: Counting,
    peer: Arc<Peer>,
    ends: Ends,
}

impl Visit for Stay {
    fn used(&self, at: Timestamp) {
        self.tally.used(at);
        if self.peer.ask() {
            let look = Look {
                ends: self.ends.clone(),
                peer: Arc::clone(&self.peer),
            };
            let sent = self.counting.look.as_ref().map(|to| to.try_send(look));
            if !matches!(sent, Some(Ok(()))) {
                self.peer.found(None);
            }
        }
    }

    fn answered(&self, action: Option<Action>) {
        self.tally.count(self.counting.clock.now(), action.into());
    }

    fn refused(&self, reason: Reason) {
        let what = What::Refused(reason.as_str());
        self.tally.count(self.counting.clock.now(), what);
    }

    fn moved(&self, action: Action, received: u64, sent: u64) {
        let what = Some(action).into();
        let now = self.counting.clock.now();
        self.tally.moved(now, what, received, sent);
    }
}

/// Starts the thread that looks for processes.
fn looking() -> Option<SyncSender<Look>> {
    let (sender, looks) = sync_channel::<Look>(QUEUE);
    let looking = move || {
        for Look { ends, peer } in looks {
            peer.found(process(&ends));
        }
    };
    let started = std::thread::Builder::new()
        .name("attribution".into())
        .spawn(looking);
    if let Err(error) = &started {
        tracing::warn!(%error, "which process uses a key will not be known");
    }
    started.is_ok().then_some(sender)
}

/// The process behind a connection. Unknown once the connection is closed: its addresses may be
/// another one's by then.
fn process(ends: &Ends) -> Option<Process> {
    let found = attribution::of_peer(ends.local, ends.peer);
    if ends.open.strong_count() == 0 {
        return None;
    }
    match found {
        Ok(found) => Some(Process {
            pid: found.pid,
            exe: found.exe.map(|path| path.to_string_lossy().into_owned()),
            command: found.command,
            unit: found.unit.map(|unit| unit.to_string()),
            container: found.container,
        }),
        Err(unknown) => {
            tracing::debug!(%unknown, "the process behind a connection is not known");
            None
        }
    }
}
