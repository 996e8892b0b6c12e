//! Records what our own gateway changes in a bucket between the two surveys of a deletion, so that
//! a verdict can tell a sibling connection's writes from strangers'. Outside of a deletion it
//! costs one atomic load per request.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bascule_domain::{
    connection::Connection,
    ids::DeletionId,
    names::{BucketName, ObjectKey},
    operation::Action,
    verdict::OwnChange,
};
use bascule_gateway::{Exchange, UsageSink};

use super::registry::Registry;

/// More than this between two surveys is not kept by name.
const KEPT: usize = 100_000;

pub(crate) struct OwnChanges {
    registry: Arc<Registry>,
    open: AtomicUsize,
    windows: Mutex<HashMap<DeletionId, Window>>,
}

struct Window {
    deleted: Connection,
    changes: Vec<OwnChange>,
    overflow: bool,
}

impl Window {
    fn concerns(&self, connection: &Connection, bucket: &BucketName) -> bool {
        connection.id != self.deleted.id
            && self.deleted.buckets.contains(bucket)
            && connection.shares_a_bucket_with(&self.deleted)
    }

    fn keep(&mut self, change: OwnChange) {
        if self.changes.len() < KEPT {
            self.changes.push(change);
        } else {
            self.overflow = true;
        }
    }
}

/// What was seen between the surveys.
pub(crate) struct Seen {
    pub changes: Vec<OwnChange>,
    /// Whether some were not kept.
    pub overflow: bool,
}

impl OwnChanges {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            open: AtomicUsize::new(0),
            windows: Mutex::default(),
        }
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<DeletionId, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts recording for a deletion; again is the same.
    pub(crate) fn open(&self, deletion: DeletionId, deleted: Connection) {
        let mut windows = self.windows();
        windows.entry(deletion).or_insert(Window {
            deleted,
            changes: Vec::new(),
            overflow: false,
        });
        self.open.store(windows.len(), Ordering::Release);
    }

    /// Records a change through a connection in every window that it concerns. Whether it succeeds
    /// is told later, or never; for the verdict it is enough that it may.
    pub(crate) fn note(
        &self,
        connection: &Connection,
        bucket: &BucketName,
        keys: &[Option<&ObjectKey>],
        action: Action,
    ) {
        for window in self.windows().values_mut() {
            if !window.concerns(connection, bucket) {
                continue;
            }
            for key in keys {
                window.keep(OwnChange {
                    bucket: bucket.clone(),
                    key: key.cloned(),
                    action: action.name().to_owned(),
                    in_doubt: false,
                    sibling: Some(connection.name.to_string()),
                });
            }
        }
    }

    /// What was recorded so far.
    pub(crate) fn seen(&self, deletion: DeletionId) -> Seen {
        self.windows().get(&deletion).map_or(
            Seen {
                changes: Vec::new(),
                overflow: false,
            },
            |window| Seen {
                changes: window.changes.clone(),
                overflow: window.overflow,
            },
        )
    }

    /// Stops recording.
    pub(crate) fn close(&self, deletion: DeletionId) {
        let mut windows = self.windows();
        windows.remove(&deletion);
        self.open.store(windows.len(), Ordering::Release);
    }
}

impl UsageSink for OwnChanges {
    fn began(&self, exchange: &Exchange<'_>) {
        if self.open.load(Ordering::Acquire) == 0 {
            return;
        }
        let (Some(bucket), Some(entry)) = (exchange.bucket, self.registry.get(exchange.connection))
        else {
            return;
        };
        let mut keys: Vec<_> = exchange
            .object
            .into_iter()
            .chain(exchange.objects)
            .map(Some)
            .collect();
        if keys.is_empty() {
            keys.push(None);
        }
        self.note(&entry.connection, bucket, &keys, exchange.action);
    }

    fn ended(&self, _: &Exchange<'_>) {}
}
