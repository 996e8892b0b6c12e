//! What the gateway needs from outside: the time, the dead keys, and somebody to tell about use
//! and about refusals. The daemon supplies them all; none of them may block.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
};

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

/// Wakes one sleeper by the wall clock.
pub trait Alarm: Send + Sync {
    /// Returns when the time has come, or when the clock was set; without a time only for the latter.
    /// It may return early.
    fn until(&self, due: Option<Timestamp>) -> impl Future<Output = ()> + Send;
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

/// Both ends of a client connection.
#[derive(Debug, Clone)]
pub struct Ends {
    /// The client's.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
    /// Gone once our end is closed: from then on the addresses may be another connection's.
    pub open: Weak<()>,
}

/// A client connection, to whoever counts what comes over it.
pub trait Visitor: Send + Sync {
    /// A key is named on it, not yet proven, by a client that calls itself so. `address` is
    /// the socket's peer, or what a trusted proxy says instead. Asked again only when one of them
    /// changes.
    fn names(
        &self,
        key: KeyId,
        connection: ConnectionId,
        user_agent: &[u8],
        address: IpAddr,
    ) -> Arc<dyn Visit>;
}

/// Counts what one client does with one key over one connection.
pub trait Visit: Send + Sync {
    /// A request has come with a valid signature of the key, whatever becomes of it; at the time
    /// that the key's cell notes too.
    fn used(&self, at: Timestamp);
    /// A request was not refused; `None`: its client left before it was classified.
    fn answered(&self, action: Option<Action>);
    /// A request was refused by us, perhaps for its signature.
    fn refused(&self, reason: Reason);
    /// The bodies of an answered request have ended: so many bytes came from the client, so many
    /// were given to it.
    fn moved(&self, action: Action, received: u64, sent: u64);
}

/// Is told about use. Called on the path of requests: it must be cheap and must never block.
pub trait UsageSink: Send + Sync {
    /// A client has connected. `None` if nobody wants to count what it does.
    fn connected(&self, _ends: &Ends) -> Option<Box<dyn Visitor>> {
        None
    }
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
    /// From where: the socket's peer, or what a trusted proxy says instead.
    pub peer: IpAddr,
    /// The connection that it came over, if that is the client's own and not a proxy's.
    pub ends: Option<&'a Ends>,
    /// By which tool, as it says itself.
    pub user_agent: &'a [u8],
    /// When.
    pub at: Timestamp,
}

/// Is told about refusals, never about requests that are served.
pub trait FindingSink: Send + Sync {
    /// Notes a refusal, and gives the id under which it can be looked up. Called before it is
    /// answered: must neither wait nor grow with the number of refusals.
    fn knock(&self, knock: &Knock<'_>) -> String;
}
