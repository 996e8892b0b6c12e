//! What the gateway needs from outside: the time, the dead keys, and somebody to tell about use.
//! The daemon supplies all three; none of them may block.

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    ids::{ConnectionId, KeyId},
    names::{BucketName, ObjectKey},
    operation::Action,
    tombstone::Tombstone,
};

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
