//! The way to a provider as it is used now, and what its answers taught about it: refused
//! credentials, regions, the clock, trailers, conditions (gateway.md 26, 46, 47; threats.md I7, I8). All of it
//! ends together when the way is replaced. It must never learn where to send requests: only what
//! they are signed with, and in which form they go.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering},
};

use bascule_domain::{
    Timestamp,
    endpoint::Region,
    names::{BucketName, ObjectKey},
    operation::Action,
};
use bascule_sigv4::{Payload, Service, Signer, SigningKeys, encode_path, encode_query};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use jiff::SignedDuration;

use crate::{
    proof::Shown,
    respond::Refusal,
    upstream::{UpstreamAccess, UpstreamBody, UpstreamErrorKind},
};

/// What keeps a provider from carrying out any request of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Trouble {
    /// It refuses the connection's credentials.
    Credentials = 1,
    /// Its clock and ours differ too far.
    Clock = 2,
    /// It sends elsewhere: the region or the address is wrong.
    Redirects = 3,
}

/// What is known about a provider and `If-None-Match: *`, on which keys that may only add rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ConditionalWrites {
    /// No key that may only add has written yet, or the provider's answer is still awaited. Until
    /// it is known, each write is checked here, as for [`NotHonoured`](Self::NotHonoured).
    NotKnown,
    /// The provider refuses to overwrite when asked to, whoever the other writer is. Completions
    /// of uploads and copies are checked here besides, unless the provider is our own.
    Honoured,
    /// The provider did not prove that it does: the gateway looks whether the object exists, and
    /// admits one writer at a time. That holds against this gateway's own writers only.
    NotHonoured,
}

pub(crate) struct Route {
    pub(crate) access: UpstreamAccess,
    pub(crate) signing_keys: SigningKeys,
    /// A [`Trouble`], or 0.
    trouble: AtomicU8,
    trailers: AtomicU8,
    /// A [`ConditionalWrites`].
    conditions: AtomicU8,
    /// Kinds of writes whose condition the provider refused, as bits.
    unconditional: AtomicU8,
    proving: AtomicBool,
    proofs_left: AtomicU8,
    /// Seconds that the provider's clock is ahead of ours.
    clock: AtomicI64,
    /// Of buckets that are not in the connection's own region.
    regions: papaya::HashMap<BucketName, Arc<Region>>,
}

const UNKNOWN: u8 = 0;
const TAKEN: u8 = 1;
const REFUSED: u8 = 2;

/// How often a proof of conditional writes is asked for: the object may be deleted meanwhile.
const PROOFS: u8 = 3;

/// A clock that is further off than this is not followed: what is signed for a day far away could
/// be kept and used then.
const FURTHEST: SignedDuration = SignedDuration::from_hours(24);

impl Route {
    pub(crate) fn new(access: UpstreamAccess) -> Self {
        let conditions = if access.honours_conditions {
            ConditionalWrites::Honoured
        } else {
            ConditionalWrites::NotKnown
        };
        Self {
            conditions: AtomicU8::new(conditions as u8),
            unconditional: AtomicU8::new(0),
            proving: AtomicBool::new(false),
            proofs_left: AtomicU8::new(PROOFS),
            access,
            signing_keys: SigningKeys::default(),
            trouble: AtomicU8::new(0),
            trailers: AtomicU8::new(UNKNOWN),
            clock: AtomicI64::new(0),
            regions: papaya::HashMap::new(),
        }
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        match self.trouble.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Trouble::Credentials),
            2 => Some(Trouble::Clock),
            _ => Some(Trouble::Redirects),
        }
    }

    /// Flags the connection. True if it was not flagged for this before.
    pub(crate) fn flag(&self, trouble: Trouble) -> bool {
        self.trouble.swap(trouble as u8, Ordering::Relaxed) != trouble as u8
    }

    /// Notes that the provider carries out requests.
    pub(crate) fn works(&self) {
        if self.trouble().is_some() {
            self.trouble.store(0, Ordering::Relaxed);
        }
    }

    /// Whether bodies may be sent with trailers. Until the provider refused them, they may.
    pub(crate) fn takes_trailers(&self) -> bool {
        self.trailers.load(Ordering::Relaxed) != REFUSED
    }

    /// Notes that the provider carried out a request with trailers.
    pub(crate) fn accept_trailers(&self) {
        if self.trailers.load(Ordering::Relaxed) != TAKEN {
            self.trailers.store(TAKEN, Ordering::Relaxed);
        }
    }

    /// Notes that the provider refused a request for its trailers. False if it is known to take
    /// them: then the answer is about something else.
    pub(crate) fn refuse_trailers(&self) -> bool {
        self.trailers
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| {
                (known != TAKEN).then_some(REFUSED)
            })
            .is_ok()
    }

    /// What is known about conditional writes.
    pub(crate) fn conditional_writes(&self) -> ConditionalWrites {
        match self.conditions.load(Ordering::Relaxed) {
            0 => ConditionalWrites::NotKnown,
            1 => ConditionalWrites::Honoured,
            _ => ConditionalWrites::NotHonoured,
        }
    }

    /// Whether the gateway must look for an object before this kind of write may add it. What a
    /// provider proves, it proves for a plain write.
    pub(crate) fn must_look(&self, action: Action) -> bool {
        let proven =
            action == Action::PutObject && self.conditional_writes() == ConditionalWrites::Honoured;
        !(self.access.honours_conditions || proven)
    }

    /// Whether the provider did not refuse the condition on this kind of write.
    pub(crate) fn takes_condition(&self, action: Action) -> bool {
        self.unconditional.load(Ordering::Relaxed) & kind(action) == 0
    }

    /// Notes that the provider refused a write for its condition. False if it is known to take
    /// it: then the answer is about something else.
    pub(crate) fn refuse_condition(&self, action: Action) -> bool {
        if !self.must_look(action) {
            return false;
        }
        if action == Action::PutObject {
            self.conditions
                .store(ConditionalWrites::NotHonoured as u8, Ordering::Relaxed);
        }
        let before = self.unconditional.fetch_or(kind(action), Ordering::Relaxed);
        before & kind(action) == 0
    }

    /// Notes that the provider honours conditions.
    pub(crate) fn proven(&self) {
        if self.conditional_writes() != ConditionalWrites::Honoured {
            self.conditions
                .store(ConditionalWrites::Honoured as u8, Ordering::Relaxed);
        }
    }

    /// Whether a proof is wanted, and nobody is at it: then it is the caller's to end.
    pub(crate) fn begin_proof(&self) -> bool {
        self.conditional_writes() != ConditionalWrites::Honoured
            && self.takes_condition(Action::PutObject)
            && self.proofs_left.load(Ordering::Relaxed) > 0
            && !self.proving.swap(true, Ordering::Acquire)
    }

    /// Notes what a proof came to.
    pub(crate) fn end_proof(&self, shown: Shown) {
        match shown {
            Shown::Honoured => self.proven(),
            Shown::Unproven => {
                // Only one is at it at a time.
                let left = self.proofs_left.load(Ordering::Relaxed);
                self.proofs_left
                    .store(left.saturating_sub(1), Ordering::Relaxed);
                self.conditions
                    .store(ConditionalWrites::NotHonoured as u8, Ordering::Relaxed);
            }
            Shown::Nothing => {}
        }
        self.proving.store(false, Ordering::Release);
    }

    /// The region that requests about this bucket are signed for, if it is not the connection's.
    pub(crate) fn region(&self, bucket: &BucketName) -> Option<Arc<Region>> {
        if self.regions.is_empty() {
            return None;
        }
        self.regions.pin().get(bucket).cloned()
    }

    /// Notes a bucket's region.
    pub(crate) fn learn_region(&self, bucket: &BucketName, region: Region) {
        self.regions.pin().insert(bucket.clone(), Arc::new(region));
    }

    /// The time at the provider.
    pub(crate) fn time(&self, ours: Timestamp) -> Timestamp {
        match self.clock.load(Ordering::Relaxed) {
            0 => ours,
            ahead => ours
                .checked_add(SignedDuration::from_secs(ahead))
                .unwrap_or(ours),
        }
    }

    /// Notes what time it is at the provider. False if that is too far away to be followed.
    pub(crate) fn learn_time(&self, ours: Timestamp, theirs: Timestamp) -> bool {
        let ahead = theirs.duration_since(ours);
        let follows = ahead.abs() <= FURTHEST;
        if follows {
            self.clock.store(ahead.as_secs(), Ordering::Relaxed);
        }
        follows
    }
}

/// Kinds of writes on which providers take conditions or not.
const fn kind(action: Action) -> u8 {
    match action {
        Action::CopyObject => 1,
        Action::CompleteMultipartUpload => 2,
        _ => 4,
    }
}

/// A request to the provider that is not signed yet.
pub(crate) struct Outgoing<'a> {
    pub(crate) method: Method,
    pub(crate) bucket: &'a BucketName,
    pub(crate) object: Option<&'a ObjectKey>,
    /// Decoded.
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
    pub(crate) body: UpstreamBody,
}

impl Outgoing<'_> {
    /// Addresses and signs it for this way, `now` by our clock.
    pub(crate) fn sign(
        self,
        route: &Route,
        now: Timestamp,
    ) -> Result<Request<UpstreamBody>, Refusal> {
        let access = &route.access;
        let key = self
            .object
            .map_or_else(String::new, |key| encode_path(key.as_str().as_bytes()));
        let (authority, path) = access.address(self.bucket, &key);
        let query = encode_query(self.query);
        let mut headers = self.headers;
        let host = HeaderValue::from_str(&authority)
            .map_err(|_| Refusal::Upstream(UpstreamErrorKind::Unreachable))?;
        headers.insert(header::HOST, host);
        let learned = route.region(self.bucket);
        let signer = Signer {
            credentials: &access.credentials,
            region: learned.as_deref().unwrap_or(&access.region),
            service: Service::S3,
        };
        signer.sign_with(
            &route.signing_keys,
            &self.method,
            &path,
            &query,
            &mut headers,
            &self.payload,
            route.time(now),
        );
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}://{authority}{path}{mark}{query}", access.scheme());
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = uri
            .try_into()
            .map_err(|_| Refusal::InvalidUri("the request's path or query is too long"))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}
