//! The JSON form of what both ends tell: `bascule findings --json` and the alerts of the daemon. Field
//! names are stable: fields are added, never renamed. Times are RFC 3339 in UTC; what does not apply is
//! `null`.

use jiff::Timestamp;
use prost_types::Timestamp as WireTime;
use serde::Serialize;

use crate::v1;

/// `None` for an empty text, which is how the wire says "not given".
#[must_use]
pub fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The wire's time as a value; `None` when it is absent or not a time.
#[must_use]
pub fn parsed(wire: Option<&WireTime>) -> Option<Timestamp> {
    wire.and_then(|wire| Timestamp::new(wire.seconds, wire.nanos).ok())
}

/// RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(wire: Option<&WireTime>) -> Option<String> {
    parsed(wire).map(|time| time.to_string())
}

/// A key that is used and refused.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "as in findings.proto")]
pub struct Finding {
    pub id: String,
    pub reason: String,
    pub connection: String,
    pub key: String,
    pub label: String,
    pub first_at: Option<String>,
    pub last_at: Option<String>,
    pub count: u64,
    pub address: Option<String>,
    pub user_agent: Option<String>,
    pub operation: Option<String>,
    pub message: String,
    pub next: Vec<String>,
    pub sense: String,
    pub state: Option<String>,
    pub acknowledged_why: Option<String>,
    pub kind: Option<String>,
    pub rank: Option<String>,
    pub standing: Option<String>,
    pub chain: Vec<ChainStep>,
    pub next_run: Option<NextRun>,
    pub user: Option<String>,
    pub changed_at: Option<String>,
    pub news: Option<String>,
    pub callers: Vec<Caller>,
    pub other_callers: u64,
}

/// Somebody who was refused: a process, an address, or why it is unknown.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "as in findings.proto")]
pub struct Caller {
    pub process: Option<Process>,
    pub address: Option<String>,
    pub unknown: Option<String>,
    pub first_at: Option<String>,
    pub last_at: Option<String>,
    pub count: u64,
    pub keeps_trying: bool,
}

/// A process of this machine.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "as in process.proto")]
pub struct Process {
    pub pid: Option<u32>,
    pub exe: Option<String>,
    pub command: Option<String>,
    pub unit: Option<String>,
    pub container: Option<String>,
    pub uid: Option<u32>,
}

/// A step of the chain that leads to a key.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs, reason = "as in findings.proto")]
pub struct ChainStep {
    pub kind: String,
    pub name: String,
    pub path: Option<String>,
    pub line: Option<u32>,
    pub why: String,
}

/// When a job runs next: one of these.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs, reason = "as in findings.proto")]
pub struct NextRun {
    pub at: Option<String>,
    pub on: Option<String>,
    pub never: Option<String>,
    pub unknown: Option<String>,
}

impl From<&v1::Process> for Process {
    fn from(wire: &v1::Process) -> Self {
        Self {
            pid: (wire.pid != 0).then_some(wire.pid),
            exe: given(&wire.exe),
            command: given(&wire.command),
            unit: given(&wire.unit),
            container: given(&wire.container),
            uid: wire.uid,
        }
    }
}

impl From<&v1::FindingCaller> for Caller {
    fn from(wire: &v1::FindingCaller) -> Self {
        use v1::finding_caller::Who;
        let mut caller = Self {
            process: None,
            address: None,
            unknown: None,
            first_at: rfc3339(wire.first_at.as_ref()),
            last_at: rfc3339(wire.last_at.as_ref()),
            count: wire.count,
            keeps_trying: wire.keeps_trying,
        };
        match &wire.who {
            Some(Who::Process(process)) => caller.process = Some(process.into()),
            Some(Who::Address(address)) => caller.address = Some(address.clone()),
            Some(Who::Unknown(why)) => caller.unknown = Some(why.clone()),
            None => {}
        }
        caller
    }
}

impl From<&v1::ChainStep> for ChainStep {
    fn from(wire: &v1::ChainStep) -> Self {
        Self {
            kind: wire.kind.clone(),
            name: wire.name.clone(),
            path: given(&wire.path),
            line: (wire.line > 0).then_some(wire.line),
            why: wire.why.clone(),
        }
    }
}

impl From<&v1::NextRun> for NextRun {
    fn from(wire: &v1::NextRun) -> Self {
        use v1::next_run::When;
        let mut next = Self::default();
        match &wire.when {
            Some(When::At(at)) => next.at = rfc3339(Some(at)),
            Some(When::On(on)) => next.on = Some(on.clone()),
            Some(When::Never(never)) => next.never = Some(never.clone()),
            Some(When::Unknown(unknown)) => next.unknown = Some(unknown.clone()),
            None => {}
        }
        next
    }
}

impl From<&v1::Finding> for Finding {
    fn from(wire: &v1::Finding) -> Self {
        Self {
            id: wire.id.clone(),
            reason: wire.reason.clone(),
            connection: wire.connection.clone(),
            key: wire.key.clone(),
            label: wire.label.clone(),
            first_at: rfc3339(wire.found_at.as_ref()),
            last_at: rfc3339(wire.last_at.as_ref()),
            count: wire.count,
            address: given(&wire.address),
            user_agent: given(&wire.user_agent),
            operation: given(&wire.operation),
            message: wire.message.clone(),
            next: wire.next.clone(),
            sense: wire.sense.clone(),
            state: given(&wire.state),
            acknowledged_why: given(&wire.acknowledged_why),
            kind: given(&wire.kind),
            rank: given(&wire.rank),
            standing: given(&wire.standing),
            chain: wire.steps.iter().map(Into::into).collect(),
            next_run: wire.next_run.as_ref().map(Into::into),
            user: given(&wire.user),
            changed_at: rfc3339(wire.changed_at.as_ref()),
            news: given(&wire.news),
            callers: wire.callers.iter().map(Into::into).collect(),
            other_callers: wire.other_callers,
        }
    }
}
