//! What the gateway needs from outside: the time, the dead keys, and somebody to tell about use
//! and about refusals. The daemon supplies them all; none of them may block.

use std::net::IpAddr;

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    ids::{ConnectionId, KeyId},
    names::{BucketName, ConnectionName, Label, ObjectKey},
    operation::Action,
    tombstone::Tombstone,
};

use crate::reason::Reason;

/// The one clock.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Remembers dead keys, so that a refusal can name its cause.
pub trait DeadKeys: Send + Sync {
    /// What remains of the key with this id, if there was one. Asked only for ids that no living
    /// key has.
    fn find(&self, id: &AccessKeyId) -> Option<Tombstone>;
}

/// How an exchange with the provider ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is still running (only in [`UsageSink::began`]).
    Running,
    /// The provider answered, and what it did is known.
    Answered,
    /// It was given up before the provider had the whole request: nothing changed there.
    Aborted,
    /// The provider had the whole request and its answer did not arrive: it may or may not have
    /// acted.
    Unknown,
}

/// One exchange with the provider, for metering and for attributing changes.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// Whose.
    pub key: KeyId,
    /// Through which connection.
    pub connection: ConnectionId,
    /// What it does.
    pub action: Action,
    /// In which bucket.
    pub bucket: Option<&'a BucketName>,
    /// To which object; for `DeleteObjects` see `objects`.
    pub object: Option<&'a ObjectKey>,
    /// The objects named in the body of a `DeleteObjects`; empty for everything else.
    pub objects: &'a [ObjectKey],
    /// The status the provider answered with.
    pub status: Option<u16>,
    /// Bytes of body taken from the client, as they came.
    pub bytes_in: u64,
    /// Bytes of body given to the client.
    pub bytes_out: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// Is told about use. Called on the path of requests: it must be cheap and must never block.
pub trait UsageSink: Send + Sync {
    /// An exchange that may change the bucket is about to be sent to the provider.
    fn began(&self, exchange: &Exchange<'_>);
    /// An exchange has ended, its bodies included.
    fn ended(&self, exchange: &Exchange<'_>);
}

/// A refusal that somebody should look at: a key is used that does not work for this (gateway.md
/// 54).
#[derive(Debug, Clone, Copy)]
pub struct Knock<'a> {
    /// The key's record id.
    pub key: KeyId,
    /// The last characters of its access key id.
    pub masked: &'a str,
    /// What the user called it.
    pub label: &'a Label,
    /// What its connection is called, or was when the key died.
    pub connection: &'a ConnectionName,
    /// Why it was refused, in one word.
    pub reason: Reason,
    /// Why it was refused, as the client is told.
    pub message: &'a str,
    /// What was asked for, if it came so far.
    pub operation: Option<Action>,
    /// From where.
    pub peer: IpAddr,
    /// By which tool, as it says itself.
    pub user_agent: &'a [u8],
    /// When.
    pub at: Timestamp,
}

/// Is told about refusals, never about requests that are served.
pub trait FindingSink: Send + Sync {
    /// Notes a refusal, and gives the id under which it can be looked up. Must not grow with the
    /// number of refusals.
    fn knock(&self, knock: &Knock<'_>) -> String;
}
