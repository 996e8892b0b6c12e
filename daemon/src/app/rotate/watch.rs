//! Ends rotations when their time has come. It sleeps until the next deadline, or until a rotation
//! changes, or somebody sets the clock.

use std::sync::Arc;

use bascule_domain::{Timestamp, rotation::Event};
use tokio_util::sync::CancellationToken;

use super::{RETRY, Running};
use crate::{alarm::Alarm, app::App};

impl App {
    /// Looks after rotations until it is stopped.
    pub(crate) async fn watch_rotations(self: Arc<Self>, alarm: Alarm, stop: CancellationToken) {
        let watching = async {
            loop {
                let Watched { due, failed } = self.look_at_rotations().await;
                let changed = self.rotations_changed.notified();
                if failed {
                    tokio::time::sleep(RETRY).await;
                } else if self.all_rotations().is_empty() {
                    changed.await;
                } else {
                    tokio::select! {
                        () = changed => {}
                        () = alarm.until(due, &*self.clock) => {}
                    }
                }
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    /// Performs what is due.
    async fn look_at_rotations(&self) -> Watched {
        let mut watched = Watched {
            due: None,
            failed: false,
        };
        for running in self.all_rotations() {
            let old = running.rotation.old;
            let _changing = self.one_change_at_a_time().await;
            // It may have ended meanwhile.
            let Some(key) = self.registry.key_by_id(old) else {
                continue;
            };
            // Or it was called off, and the old key lives on.
            if !self.running(&key).is_ok_and(|rotation| rotation.old == old) {
                continue;
            }
            let looked = Event::Looked(self.evidence(&key));
            if let Err(error) = self.step(None, &key, looked).await {
                tracing::error!(key = %old, error = &error as &dyn std::error::Error, "a rotation could not go on");
                watched.failed = true;
            }
            let due = self.running(&key).ok().and_then(|rotation| {
                let evidence = self.evidence(&key);
                rotation.due(&evidence)
            });
            watched.due = [watched.due, due].into_iter().flatten().min();
        }
        watched
    }

    /// Those whose keys are not dead altogether.
    pub(crate) fn all_rotations(&self) -> Vec<Running> {
        self.registry
            .living()
            .into_iter()
            .flat_map(|entry| entry.rotations.into_values())
            .collect()
    }
}

struct Watched {
    /// When something is due next.
    due: Option<Timestamp>,
    failed: bool,
}
