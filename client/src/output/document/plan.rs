//! The document of `delete --plan`.

use bascule_proto::v1;
use serde::Serialize;

use super::{Connection, Key, NextRun, given};
use crate::output::time::rfc3339;

/// What a deletion would do.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    /// For `--plan-id`.
    pub(crate) plan_id: String,
    pub(crate) connection: Option<Connection>,
    pub(crate) keys: Vec<Key>,
    /// Who used the keys that would die.
    pub(crate) clients: Vec<Client>,
    /// What on this machine holds a key that would die.
    pub(crate) consumers: Vec<Holder>,
    /// What reaches the buckets directly and would go on.
    pub(crate) bypasses: Vec<Holder>,
    pub(crate) boxes: Vec<CheckBox>,
    pub(crate) siblings: Vec<String>,
    pub(crate) open_transfers: u32,
    /// Multipart uploads that each key has begun since the daemon started, and that were not seen to end.
    pub(crate) uploads_through_keys: Vec<KeyUploads>,
    /// Those that the provider lists. A deletion leaves them where they are.
    pub(crate) uploads: Vec<Uploads>,
    pub(crate) stays_valid: Vec<String>,
    pub(crate) alternatives: Vec<Alternative>,
    pub(crate) not_checked: Vec<String>,
}

/// Somebody who used a key.
#[derive(Debug, Serialize)]
pub(crate) struct Client {
    pub(crate) label: String,
    pub(crate) tool: String,
    /// The unit, container or command.
    pub(crate) process: Option<String>,
    /// Absent for this machine.
    pub(crate) address: Option<String>,
    pub(crate) writes: bool,
    pub(crate) requests: u64,
    pub(crate) last_at: Option<String>,
    pub(crate) longest_interval_seconds: Option<i64>,
}

/// Something on this machine that holds a key.
#[derive(Debug, Serialize)]
pub(crate) struct Holder {
    pub(crate) label: Option<String>,
    pub(crate) key: String,
    pub(crate) chain: Vec<String>,
    pub(crate) kind: String,
    pub(crate) rank: String,
    pub(crate) next_run: Option<NextRun>,
    pub(crate) user: Option<String>,
    /// What it was adopted as.
    pub(crate) adopted: Option<String>,
    /// Commands that move it.
    pub(crate) next: Vec<String>,
}

/// The unfinished uploads of one key.
#[derive(Debug, Serialize)]
pub(crate) struct KeyUploads {
    pub(crate) label: String,
    pub(crate) uploads: u64,
}

/// The unfinished uploads of one bucket.
#[derive(Debug, Serialize)]
pub(crate) struct Uploads {
    pub(crate) bucket: String,
    /// Why nobody looked.
    pub(crate) not_looked: Option<String>,
    /// `null` where nobody looked.
    pub(crate) count: Option<u64>,
    /// Whether there are more than were counted.
    pub(crate) more: bool,
    pub(crate) oldest_at: Option<String>,
    /// A few, the oldest first.
    pub(crate) some: Vec<Upload>,
    /// What lists them and aborts the oldest, with the provider's credentials.
    pub(crate) commands: Vec<String>,
}

/// An unfinished upload.
#[derive(Debug, Serialize)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) begun_at: Option<String>,
}

/// One box of the checklist.
#[derive(Debug, Serialize)]
pub(crate) struct CheckBox {
    pub(crate) name: String,
    /// met, open, unknown, not-applicable.
    pub(crate) state: &'static str,
    pub(crate) evidence: String,
    pub(crate) remedy: Option<String>,
}

/// Another way than deleting.
#[derive(Debug, Serialize)]
pub(crate) struct Alternative {
    pub(crate) what: String,
    pub(crate) command: String,
}

/// The name of a box's state.
pub(crate) const fn box_state(wire: v1::BoxState) -> &'static str {
    match wire {
        v1::BoxState::Met => "met",
        v1::BoxState::Open => "open",
        v1::BoxState::NotApplicable => "not-applicable",
        v1::BoxState::Unknown | v1::BoxState::Unspecified => "unknown",
    }
}

impl From<&v1::PlanResponse> for Plan {
    fn from(wire: &v1::PlanResponse) -> Self {
        Self {
            plan_id: wire.plan_id.clone(),
            connection: wire.connection.as_ref().map(Connection::from),
            keys: wire.keys.iter().map(Key::from).collect(),
            clients: wire.clients.iter().map(Client::from).collect(),
            consumers: wire.consumers.iter().map(Holder::from).collect(),
            bypasses: wire.bypasses.iter().map(Holder::from).collect(),
            boxes: wire.boxes.iter().map(CheckBox::from).collect(),
            siblings: wire.siblings.clone(),
            open_transfers: wire.open_transfers,
            uploads_through_keys: (wire.uploads_through_keys.iter())
                .map(|of| KeyUploads {
                    label: of.label.clone(),
                    uploads: of.uploads,
                })
                .collect(),
            uploads: wire.uploads.iter().map(Uploads::from).collect(),
            stays_valid: wire.stays_valid.clone(),
            alternatives: wire.alternatives.iter().map(Alternative::from).collect(),
            not_checked: wire.not_checked.clone(),
        }
    }
}

impl From<&v1::PlanClient> for Client {
    fn from(wire: &v1::PlanClient) -> Self {
        Self {
            label: wire.label.clone(),
            tool: wire.tool.clone(),
            process: given(&wire.process),
            address: given(&wire.address),
            writes: wire.writes,
            requests: wire.requests,
            last_at: rfc3339(wire.last_at.as_ref()),
            longest_interval_seconds: wire.longest_interval.as_ref().map(|it| it.seconds),
        }
    }
}

impl From<&v1::PlanHolder> for Holder {
    fn from(wire: &v1::PlanHolder) -> Self {
        Self {
            label: given(&wire.label),
            key: wire.key.clone(),
            chain: wire.chain.clone(),
            kind: wire.kind.clone(),
            rank: wire.rank.clone(),
            next_run: wire.next_run.as_ref().map(NextRun::from),
            user: given(&wire.user),
            adopted: given(&wire.adopted),
            next: wire.next.clone(),
        }
    }
}

impl From<&v1::PlanUploads> for Uploads {
    fn from(wire: &v1::PlanUploads) -> Self {
        Self {
            bucket: wire.bucket.clone(),
            not_looked: given(&wire.not_looked),
            count: wire.not_looked.is_empty().then_some(wire.count),
            more: wire.more,
            oldest_at: rfc3339(wire.oldest_at.as_ref()),
            some: (wire.some.iter())
                .map(|upload| Upload {
                    key: upload.key.clone(),
                    id: upload.id.clone(),
                    begun_at: rfc3339(upload.begun_at.as_ref()),
                })
                .collect(),
            commands: wire.commands.clone(),
        }
    }
}

impl From<&v1::Box> for CheckBox {
    fn from(wire: &v1::Box) -> Self {
        Self {
            name: wire.name.clone(),
            state: box_state(wire.state()),
            evidence: wire.evidence.clone(),
            remedy: given(&wire.remedy),
        }
    }
}

impl From<&v1::Alternative> for Alternative {
    fn from(wire: &v1::Alternative) -> Self {
        Self {
            what: wire.what.clone(),
            command: wire.command.clone(),
        }
    }
}
