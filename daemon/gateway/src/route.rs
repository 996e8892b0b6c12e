//! The way to a provider as it is used now, and what its answers taught about it: refused
//! credentials, regions, the clock, trailers (gateway.md 26, 46, 47; threats.md I7, I8). All of it
//! ends together when the way is replaced. It must never learn where to send requests: only what
//! they are signed with, and in which form they go.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU8, Ordering},
};

use bascule_domain::{Timestamp, endpoint::Region, names::BucketName};
use bascule_sigv4::SigningKeys;
use jiff::SignedDuration;

use crate::upstream::UpstreamAccess;

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

pub(crate) struct Route {
    pub(crate) access: UpstreamAccess,
    pub(crate) signing_keys: SigningKeys,
    /// A [`Trouble`], or 0.
    trouble: AtomicU8,
    trailers: AtomicU8,
    /// Seconds that the provider's clock is ahead of ours.
    clock: AtomicI64,
    /// Of buckets that are not in the connection's own region.
    regions: papaya::HashMap<BucketName, Arc<Region>>,
}

const UNKNOWN: u8 = 0;
const TAKEN: u8 = 1;
const REFUSED: u8 = 2;

/// A clock that is further off than this is not followed: what is signed for a day far away could
/// be kept and used then.
const FURTHEST: SignedDuration = SignedDuration::from_hours(24);

impl Route {
    pub(crate) fn new(access: UpstreamAccess) -> Self {
        Self {
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
