//! Joins what the gateway tells about use with whoever keeps it: the changes between two surveys,
//! and the ledger. Runs on the path of requests: it must never wait.

use std::{net::IpAddr, sync::Arc};

use bascule_domain::{
    Timestamp,
    ids::{ConnectionId, KeyId},
    operation::Action,
};
use bascule_gateway::{Ends, Exchange, Reason, UsageSink, Visit, Visitor};
use bascule_store::ledger::{Ledger, Peer, Process, Tally, What};

use super::{
    attribution::{Attribution, Found},
    own_changes::OwnChanges,
};
use crate::clock::Clock;

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
    attribution: Arc<Attribution>,
}

impl Recorder {
    pub(super) fn new(
        own_changes: Arc<OwnChanges>,
        ledger: Option<Arc<Ledger>>,
        clock: Arc<dyn Clock>,
        attribution: Arc<Attribution>,
    ) -> Self {
        Self {
            own_changes,
            counting: ledger.map(|ledger| Counting {
                ledger,
                clock,
                attribution,
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
            let peer = Arc::clone(&self.peer);
            let attribution = &self.counting.attribution;
            let asked = attribution.ask(&self.ends, move |found| peer.found(process(found)));
            if asked.is_err() {
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

/// What the ledger keeps of a process.
fn process(found: Found) -> Option<Process> {
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
