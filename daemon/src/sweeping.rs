//! Sweeps when a sweep is due: after a key died, when the daemon comes back to an unfinished one, once a
//! day as long as a key is dead, and when somebody asks. One at a time, on a thread of its own that
//! nobody has to wait for. In between it sleeps until that time of the wall clock, once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use bascule_domain::{SignedDuration, Timestamp};
use bascule_watch::{Environment, Machine};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{alarm::Alarm, app::App, clock::Clock};

/// After a defect the next one would only break off again.
const AFTER_A_DEFECT: SignedDuration = SignedDuration::from_hours(24);

/// Sweeps until it is told to stop.
pub(crate) async fn sweep(
    app: Arc<App>,
    clock: Arc<dyn Clock>,
    alarm: Alarm,
    stop: CancellationToken,
) {
    let mut not_before: Option<Timestamp> = None;
    while !stop.is_cancelled() {
        let asked = app.full_sweep().asked();
        let due = app.sweep_due();
        let due = due.map(|due| not_before.map_or(due, |first| first.max(due)));
        if asked.is_empty() && due.is_none_or(|due| due > app.now()) {
            tokio::select! {
                () = stop.cancelled() => {}
                () = app.full_sweep().woken() => {}
                () = alarm.until(due, &*clock) => {}
            }
            continue;
        }
        let whole = run(&app, &stop).await;
        bascule_os::release();
        not_before = match whole {
            true => None,
            false => {
                tracing::error!("a full sweep broke off");
                app.full_sweep().broke_off();
                app.now().checked_add(AFTER_A_DEFECT).ok()
            }
        };
        drop(asked);
    }
    drop(app.full_sweep().asked());
}

/// Returns whether it came to its end, or was stopped as it should be.
async fn run(app: &Arc<App>, stop: &CancellationToken) -> bool {
    let environment = Environment::of_process(std::env::vars_os(), std::env::current_dir().ok());
    let machine = Machine::local(environment, bascule_os::effective_uid(), app.now());
    let stopped = Arc::new(AtomicBool::new(false));
    let (tell, mut told) = oneshot::channel();
    let (sweeper, stops) = (Arc::clone(app), Arc::clone(&stopped));
    // Not one of the runtime's: those are waited for, and this one may not be served for long.
    let thread = thread::Builder::new().name("sweep".into()).spawn(move || {
        sweeper.sweep(&machine, &stops);
        tell.send(()).ok();
    });
    if thread.is_err() {
        return false;
    }
    tokio::select! {
        outcome = &mut told => outcome.is_ok(),
        () = stop.cancelled() => {
            stopped.store(true, Ordering::Relaxed);
            told.await.is_ok()
        }
    }
}
