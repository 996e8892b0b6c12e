//! The documents of `--json`. Field names are stable: fields are added, never renamed. Times are
//! RFC 3339 in UTC; what does not apply is `null`; enums are lower case with hyphens.

mod plan;

use bascule_proto::v1;
use serde::Serialize;

pub(crate) use self::plan::{Plan, box_state};
pub(crate) use bascule_proto::document::{Finding, NextRun, given};

use super::time::rfc3339;

/// A connection without its credentials.
#[derive(Debug, Serialize)]
pub(crate) struct Connection {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) provider: &'static str,
    pub(crate) buckets: Vec<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) brought_key: Option<String>,
    pub(crate) created_at: Option<String>,
    pub(crate) credentials_generation: u64,
    pub(crate) credentials_changed_at: Option<String>,
    pub(crate) living_keys: u32,
    pub(crate) deletion_id: Option<String>,
    pub(crate) trouble: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) paused_at: Option<String>,
}

/// What a connection's keys may take together; `null` is no limit.
#[derive(Debug, Serialize)]
pub(crate) struct Limits {
    /// Open at once.
    pub(crate) requests: Option<u32>,
    /// Bytes a second in each direction.
    pub(crate) bandwidth: Option<u64>,
}

impl From<Option<&v1::Limits>> for Limits {
    fn from(wire: Option<&v1::Limits>) -> Self {
        Self {
            requests: wire.map(|limits| limits.requests).filter(|&n| n != 0),
            bandwidth: wire.map(|limits| limits.bandwidth).filter(|&n| n != 0),
        }
    }
}

impl From<&v1::Connection> for Connection {
    fn from(wire: &v1::Connection) -> Self {
        Self {
            id: wire.id.clone(),
            name: wire.name.clone(),
            provider: provider(wire.provider()),
            buckets: wire.buckets.clone(),
            endpoint: given(&wire.endpoint),
            region: given(&wire.region),
            path: given(&wire.path),
            brought_key: given(&wire.brought_key),
            created_at: rfc3339(wire.created_at.as_ref()),
            credentials_generation: wire.credentials_generation,
            credentials_changed_at: rfc3339(wire.credentials_changed_at.as_ref()),
            living_keys: wire.living_keys,
            deletion_id: given(&wire.deletion_id),
            trouble: given(&wire.flagged),
            limits: wire.limits.as_ref().into(),
            paused_at: rfc3339(wire.paused_at.as_ref()),
        }
    }
}

/// The name of a provider.
pub(crate) const fn provider(wire: v1::Provider) -> &'static str {
    match wire {
        v1::Provider::Minio => "minio",
        v1::Provider::S3 => "s3",
        v1::Provider::R2 => "r2",
        v1::Provider::S3Compatible => "s3-compatible",
        v1::Provider::Local => "local",
        v1::Provider::Unspecified => "unknown",
    }
}

/// A key without its secret.
#[derive(Debug, Serialize)]
pub(crate) struct Key {
    pub(crate) access_key_id: String,
    pub(crate) connection: String,
    pub(crate) label: String,
    pub(crate) permission: Option<&'static str>,
    pub(crate) state: &'static str,
    pub(crate) issued_at: Option<String>,
    pub(crate) expires_at: Option<String>,
    /// Empty: every bucket of the connection.
    pub(crate) buckets: Vec<String>,
    pub(crate) last_used_at: Option<String>,
    pub(crate) died_at: Option<String>,
    pub(crate) cause: Option<String>,
    /// The record's id, which the audit names.
    pub(crate) id: String,
    /// Empty: every object.
    pub(crate) prefixes: Vec<String>,
    /// Empty: loopback only.
    pub(crate) addresses: Vec<String>,
    /// Counts changes that took something away; `null` for a dead key.
    pub(crate) generation: Option<u64>,
    pub(crate) conditional_writes: Option<&'static str>,
}

impl From<&v1::Key> for Key {
    fn from(wire: &v1::Key) -> Self {
        Self {
            access_key_id: wire.access_key_id.clone(),
            connection: wire.connection.clone(),
            label: wire.label.clone(),
            permission: permission(wire.permission()),
            state: key_state(wire.state()),
            issued_at: rfc3339(wire.issued_at.as_ref()),
            expires_at: rfc3339(wire.expires_at.as_ref()),
            buckets: wire.buckets.clone(),
            last_used_at: rfc3339(wire.last_used_at.as_ref()),
            died_at: rfc3339(wire.died_at.as_ref()),
            cause: given(&wire.cause),
            id: wire.id.clone(),
            prefixes: wire.prefixes.clone(),
            addresses: wire.addresses.clone(),
            generation: (wire.generation != 0).then_some(wire.generation),
            conditional_writes: conditional_writes(wire.conditional_writes()),
        }
    }
}

/// What keeps a key that may only add from overwriting; `null` where it does not matter.
const fn conditional_writes(wire: v1::ConditionalWrites) -> Option<&'static str> {
    Some(match wire {
        v1::ConditionalWrites::NotKnown => "not-known",
        v1::ConditionalWrites::Proven => "proven",
        v1::ConditionalWrites::Absent => "absent",
        v1::ConditionalWrites::Unspecified => return None,
    })
}

/// A change that may or may not have happened.
#[derive(Debug, Serialize)]
pub(crate) struct DoubtfulChange {
    pub(crate) operation: String,
    pub(crate) bucket: String,
    pub(crate) key: Option<String>,
}

impl From<&v1::DoubtfulChange> for DoubtfulChange {
    fn from(wire: &v1::DoubtfulChange) -> Self {
        Self {
            operation: wire.operation.clone(),
            bucket: wire.bucket.clone(),
            key: given(&wire.key),
        }
    }
}

/// Two keys, and when the older one dies.
#[derive(Debug, Serialize)]
pub(crate) struct Rotation {
    pub(crate) old: Option<Key>,
    pub(crate) successor: Option<Key>,
    pub(crate) began_at: Option<String>,
    pub(crate) deadline: Option<String>,
    pub(crate) grace_seconds: Option<i64>,
    pub(crate) grace_because: Option<String>,
    pub(crate) until_silent_seconds: Option<i64>,
    pub(crate) silent_since: Option<String>,
    /// Why nothing dies by the clock now.
    pub(crate) parked: Option<String>,
    /// Why the old key died; `null` while it lives.
    pub(crate) ended: Option<String>,
    /// Uses are counted from then on.
    pub(crate) counted_since: Option<String>,
    pub(crate) old_use: KeyUse,
    pub(crate) successor_use: KeyUse,
    pub(crate) consumers: Vec<RotationConsumer>,
    pub(crate) holders: Vec<RotationHolder>,
    pub(crate) looked_at: Option<String>,
    pub(crate) not_known: Vec<String>,
    pub(crate) next: Vec<String>,
}

/// A tool or an address, and which key of a rotation it uses.
#[derive(Debug, Serialize)]
pub(crate) struct RotationConsumer {
    pub(crate) name: String,
    pub(crate) last_with_old: Option<String>,
    pub(crate) last_with_successor: Option<String>,
    pub(crate) first_with_successor: Option<String>,
}

/// What leads to one of the keys of a rotation.
#[derive(Debug, Serialize)]
pub(crate) struct RotationHolder {
    /// `old` or `new`.
    pub(crate) key: &'static str,
    pub(crate) chain: Vec<String>,
    pub(crate) kind: String,
    pub(crate) rank: String,
    pub(crate) next_run: Option<NextRun>,
    pub(crate) user: Option<String>,
}

impl From<&v1::RotationHolder> for RotationHolder {
    fn from(wire: &v1::RotationHolder) -> Self {
        Self {
            key: if wire.old { "old" } else { "new" },
            chain: wire.chain.clone(),
            kind: wire.kind.clone(),
            rank: wire.rank.clone(),
            next_run: wire.next_run.as_ref().map(Into::into),
            user: given(&wire.user),
        }
    }
}

/// How a key was used.
#[derive(Debug, Serialize)]
pub(crate) struct KeyUse {
    pub(crate) requests: u64,
    pub(crate) last_at: Option<String>,
    /// Exchanges with the provider under way.
    pub(crate) open: u32,
}

impl From<&v1::Rotation> for Rotation {
    fn from(wire: &v1::Rotation) -> Self {
        Self {
            old: wire.old.as_ref().map(Into::into),
            successor: wire.successor.as_ref().map(Into::into),
            began_at: rfc3339(wire.began_at.as_ref()),
            deadline: rfc3339(wire.deadline.as_ref()),
            grace_seconds: wire.grace.as_ref().map(|length| length.seconds),
            grace_because: given(&wire.grace_because),
            until_silent_seconds: wire.until_silent.as_ref().map(|length| length.seconds),
            silent_since: rfc3339(wire.silent_since.as_ref()),
            parked: given(&wire.parked),
            ended: given(&wire.ended),
            counted_since: rfc3339(wire.counted_since.as_ref()),
            old_use: wire.old_use.as_ref().into(),
            successor_use: wire.successor_use.as_ref().into(),
            consumers: wire
                .consumers
                .iter()
                .map(|consumer| RotationConsumer {
                    name: consumer.name.clone(),
                    last_with_old: rfc3339(consumer.last_with_old.as_ref()),
                    last_with_successor: rfc3339(consumer.last_with_successor.as_ref()),
                    first_with_successor: rfc3339(consumer.first_with_successor.as_ref()),
                })
                .collect(),
            holders: wire.holders.iter().map(Into::into).collect(),
            looked_at: rfc3339(wire.looked_at.as_ref()),
            not_known: wire.not_known.clone(),
            next: wire.next.clone(),
        }
    }
}

impl From<Option<&v1::KeyUse>> for KeyUse {
    fn from(wire: Option<&v1::KeyUse>) -> Self {
        Self {
            requests: wire.map_or(0, |usage| usage.requests),
            last_at: wire.and_then(|usage| rfc3339(usage.last_at.as_ref())),
            open: wire.map_or(0, |usage| usage.open),
        }
    }
}

/// The name of a permission; a dead key has none any more.
pub(crate) const fn permission(wire: v1::Permission) -> Option<&'static str> {
    Some(match wire {
        v1::Permission::Read => "read",
        v1::Permission::Append => "append",
        v1::Permission::Write => "write",
        v1::Permission::ReadWrite => "read-write",
        v1::Permission::ReadWriteNoDelete => "read-write-no-delete",
        v1::Permission::Unspecified => return None,
    })
}

/// The name of a key's state.
pub(crate) const fn key_state(wire: v1::KeyState) -> &'static str {
    match wire {
        v1::KeyState::Active => "active",
        v1::KeyState::Paused => "paused",
        v1::KeyState::Retiring => "retiring",
        v1::KeyState::Dead => "dead",
        v1::KeyState::Expired => "expired",
        v1::KeyState::Unspecified => "unknown",
    }
}

/// What a probe found out about one bucket.
#[derive(Debug, Serialize)]
pub(crate) struct BucketProbe {
    pub(crate) bucket: String,
    pub(crate) identity: String,
    pub(crate) rights: Vec<String>,
    pub(crate) not_checked: Vec<String>,
}

impl From<&v1::BucketProbe> for BucketProbe {
    fn from(wire: &v1::BucketProbe) -> Self {
        Self {
            bucket: wire.bucket.clone(),
            identity: wire.identity.clone(),
            rights: wire.rights.clone(),
            not_checked: wire.not_checked.clone(),
        }
    }
}

/// Of `connect` and `credentials`.
#[derive(Debug, Serialize)]
pub(crate) struct Probed {
    pub(crate) connection: Connection,
    pub(crate) probe: Vec<BucketProbe>,
}

/// A deletion.
#[derive(Debug, Serialize)]
pub(crate) struct Deletion {
    pub(crate) id: String,
    pub(crate) connection_id: String,
    pub(crate) connection: String,
    /// listening, requested, drained, surveyed, revoked, judged, finished, cancelled.
    pub(crate) phase: &'static str,
    pub(crate) emergency: bool,
    pub(crate) requested_at: Option<String>,
    pub(crate) revoked_at: Option<String>,
    pub(crate) ended_at: Option<String>,
    pub(crate) keys: u32,
    /// `null` while it is pending.
    pub(crate) verdict: Option<String>,
    /// Why it waits, when it does.
    pub(crate) pending: Option<String>,
    /// What its scream test has heard.
    pub(crate) scream: Option<Scream>,
}

/// Of a scream test.
#[derive(Debug, Serialize)]
pub(crate) struct Scream {
    pub(crate) length_seconds: i64,
    /// Up to `counting_since`.
    pub(crate) silent_seconds: i64,
    /// `null` while the countdown stands still.
    pub(crate) counting_since: Option<String>,
    pub(crate) knocked_at: Option<String>,
    /// The key that knocked, and the finding that names the job.
    pub(crate) label: Option<String>,
    pub(crate) finding: Option<String>,
    pub(crate) knocks: u32,
}

impl From<&v1::Scream> for Scream {
    fn from(wire: &v1::Scream) -> Self {
        let seconds = |length: Option<&prost_types::Duration>| length.map_or(0, |it| it.seconds);
        Self {
            length_seconds: seconds(wire.length.as_ref()),
            silent_seconds: seconds(wire.silent.as_ref()),
            counting_since: rfc3339(wire.counting_since.as_ref()),
            knocked_at: rfc3339(wire.knocked_at.as_ref()),
            label: given(&wire.label),
            finding: given(&wire.finding),
            knocks: wire.knocks,
        }
    }
}

impl From<&v1::Deletion> for Deletion {
    fn from(wire: &v1::Deletion) -> Self {
        Self {
            id: wire.id.clone(),
            connection_id: wire.connection_id.clone(),
            connection: wire.connection.clone(),
            phase: phase(wire.phase()),
            emergency: wire.emergency,
            requested_at: rfc3339(wire.requested_at.as_ref()),
            revoked_at: rfc3339(wire.revoked_at.as_ref()),
            ended_at: rfc3339(wire.ended_at.as_ref()),
            keys: wire.keys,
            verdict: given(&wire.verdict),
            pending: given(&wire.pending),
            scream: wire.scream.as_ref().map(Scream::from),
        }
    }
}

/// One entry of the audit. What an erasure took is `null` or empty.
#[derive(Debug, Serialize)]
pub(crate) struct AuditEntry {
    pub(crate) at: Option<String>,
    /// `null`: the daemon by itself.
    pub(crate) by: Option<Caller>,
    pub(crate) change: String,
    pub(crate) connection_id: Option<String>,
    pub(crate) key_id: Option<String>,
    pub(crate) deletion_id: Option<String>,
    pub(crate) phase: Option<&'static str>,
    pub(crate) erased: bool,
    pub(crate) connection: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) differences: Vec<Difference>,
    pub(crate) reason: Option<String>,
    pub(crate) successor_id: Option<String>,
    pub(crate) foreign_key: Option<String>,
    pub(crate) finding_id: Option<String>,
    pub(crate) adoption_id: Option<String>,
    pub(crate) consumer: Option<String>,
    pub(crate) backup_id: Option<String>,
}

impl From<&v1::AuditEntry> for AuditEntry {
    fn from(wire: &v1::AuditEntry) -> Self {
        Self {
            at: rfc3339(wire.at.as_ref()),
            by: wire.by.as_ref().map(Into::into),
            change: wire.change.clone(),
            connection_id: given(&wire.connection_id),
            key_id: given(&wire.key_id),
            deletion_id: given(&wire.deletion_id),
            phase: (wire.phase() != v1::Phase::Unspecified).then(|| phase(wire.phase())),
            erased: wire.erased,
            connection: given(&wire.connection),
            label: given(&wire.label),
            differences: wire.differences.iter().map(Into::into).collect(),
            reason: given(&wire.reason),
            successor_id: given(&wire.successor_id),
            foreign_key: given(&wire.foreign_key),
            finding_id: given(&wire.finding_id),
            adoption_id: given(&wire.adoption_id),
            consumer: given(&wire.consumer),
            backup_id: given(&wire.backup_id),
        }
    }
}

/// A process that asked for a change.
#[derive(Debug, Serialize)]
pub(crate) struct Caller {
    pub(crate) uid: u32,
    pub(crate) pid: Option<u32>,
    pub(crate) program: Option<String>,
    pub(crate) parent: Option<String>,
}

impl From<&v1::Caller> for Caller {
    fn from(wire: &v1::Caller) -> Self {
        Self {
            uid: wire.uid,
            pid: (wire.pid != 0).then_some(wire.pid),
            program: given(&wire.program),
            parent: given(&wire.parent),
        }
    }
}

/// What a part was and is.
#[derive(Debug, Serialize)]
pub(crate) struct Difference {
    pub(crate) part: String,
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
}

impl From<&v1::Difference> for Difference {
    fn from(wire: &v1::Difference) -> Self {
        Self {
            part: wire.part.clone(),
            from: wire.from.clone(),
            to: wire.to.clone(),
        }
    }
}

/// The name of a phase.
pub(crate) const fn phase(wire: v1::Phase) -> &'static str {
    match wire {
        v1::Phase::Listening => "listening",
        v1::Phase::Requested => "requested",
        v1::Phase::Drained => "drained",
        v1::Phase::Surveyed => "surveyed",
        v1::Phase::Revoked => "revoked",
        v1::Phase::Judged => "judged",
        v1::Phase::Finished => "finished",
        v1::Phase::Cancelled => "cancelled",
        v1::Phase::Unspecified => "unknown",
    }
}

/// Of `delete` and `deletion show --watch`.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// deleted, revoked-verdict-pending, listening, waiting, cancelled.
    pub(crate) outcome: &'static str,
    pub(crate) deletion: Deletion,
    /// The receipt, once there is one; its form is described in the README.
    pub(crate) receipt: Option<serde_json::Value>,
    /// Where the receipt was written.
    pub(crate) receipt_file: Option<String>,
    /// Enough to connect again, without any secret; of whoever deleted.
    pub(crate) reconnect_card: Option<serde_json::Value>,
    /// Where the manifests were written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) manifests: Vec<String>,
}
