//! Looks at the machine when something changes there, and judges again when a key does. It sleeps in
//! between: nothing here runs by a timer, except that what seems gone is looked at once more a moment
//! later, and that a key which expires is judged then.

use std::{sync::Arc, time::Duration};

use bascule_domain::audit::Change;
use bascule_watch::{
    Environment, Machine,
    changes::{Changes, Noticed},
    scan::{self, Scope},
};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    alarm::Alarm,
    app::{Absence, App, Covered, Event},
};

/// Tools remove a file for a moment when they save it (consumers.md 9.6).
const SAVING: Duration = Duration::from_secs(1);
/// Events that come while a look is under way are one more look together.
const WAITING: usize = 1;

/// Watches until it is told to stop.
pub(crate) async fn watch(app: Arc<App>, alarm: Alarm, stop: CancellationToken) {
    let environment = Environment::of_process(std::env::vars_os(), std::env::current_dir().ok());
    let (wake, mut woken) = mpsc::channel(WAITING);
    let changes = Changes::new(move |noticed| {
        if noticed == Noticed::Overflow {
            tracing::warn!("more changed than the system tells; looking at everything again");
        }
        // A full channel means that a look is due already.
        wake.try_send(()).ok();
    });
    let mut changes = match changes {
        Ok(changes) => Some(changes),
        Err(refused) => {
            let why = format!("changes of files: {}", refused.why);
            tracing::warn!(why, "files are looked at only when somebody asks");
            app.consumers().not_noticed(vec![why]);
            None
        }
    };
    let Ok(mut events) = app.watch("") else {
        return;
    };
    let mut covered = Covered::Everything;
    let mut asked = Vec::new();
    loop {
        let gone = look(
            &app,
            &environment,
            changes.as_mut(),
            covered,
            Absence::Doubted,
        )
        .await;
        let answered = std::mem::take(&mut asked);
        if gone {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SAVING) => {}
            }
            look(
                &app,
                &environment,
                changes.as_mut(),
                covered,
                Absence::Believed,
            )
            .await;
        }
        for done in answered {
            app.looked(done);
        }
        covered = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = woken.recv() => break Covered::Files,
                who = app.asked_to_look() => {
                    asked = who;
                    break Covered::Everything;
                }
                () = app.until_a_key_expires(&alarm) => {
                    app.judge_consumers(Absence::Believed).await;
                }
                event = events.events.recv() => match event {
                    // The change is in memory when it is the next one's turn.
                    Ok(Event::Changed(entry)) => {
                        app.changes_made().await;
                        app.judge_changed(&entry.change).await;
                        if stops_a_key(&entry.change) {
                            break Covered::Everything;
                        }
                    }
                    Err(RecvError::Lagged(_)) => {
                        app.changes_made().await;
                        app.judge_consumers(Absence::Believed).await;
                        break Covered::Everything;
                    }
                    // Somebody knocks with a key that does not work: it runs now.
                    Ok(Event::Found(..)) => break Covered::Everything,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                },
            }
        };
    }
}

/// Whether a key may not work any more after such a change. Who runs with it has no events, so it is
/// looked for then.
const fn stops_a_key(change: &Change) -> bool {
    matches!(
        change,
        Change::KeyRevoked { .. }
            | Change::KeyPaused { .. }
            | Change::Rotation { .. }
            | Change::Paused { .. }
            | Change::LeakReported { .. }
            | Change::Deletion { .. }
    )
}

/// Looks once. Returns whether something seems gone.
async fn look(
    app: &Arc<App>,
    environment: &Environment,
    changes: Option<&mut Changes>,
    covered: Covered,
    absence: Absence,
) -> bool {
    let machine = Machine::local(environment.clone(), bascule_os::effective_uid(), app.now());
    let scope = Scope {
        jobs: true,
        processes: covered == Covered::Everything,
        everyone: machine.user.uid == 0,
    };
    // Watched before it is read, so that no change falls between.
    if let Some(changes) = changes {
        let mut interests = scan::interests(&machine, scope);
        // Scripts and files that jobs name are known once they were looked at.
        interests.extend(app.consumers().paths());
        let not_watched = changes.cover(&interests);
        let told = not_watched
            .iter()
            .map(|refused| format!("changes in {}: {}", refused.folder.display(), refused.why));
        app.consumers().not_noticed(told.collect());
    }
    let looked = tokio::task::spawn_blocking(move || scan::known(&machine, scope)).await;
    match looked {
        Ok(picture) => {
            let gone = app.seen(picture, covered, absence).await;
            // A look is large and rare; what it took is given back.
            bascule_os::release_memory();
            if let Err(error) = bascule_os::release_program() {
                tracing::debug!(%error, "what only a look needed stays in memory");
            }
            gone
        }
        Err(_) => {
            tracing::error!(
                "a look at this machine broke off; the findings are those of the one before"
            );
            let why = "what changed meanwhile: the last look broke off, see the daemon's log";
            app.consumers().not_noticed(vec![why.into()]);
            false
        }
    }
}
