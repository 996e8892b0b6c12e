//! Looks at the machine when something changes there, and judges again when a key does. It sleeps in
//! between: nothing here runs by a timer, except that what seems gone is looked at once more a moment
//! later, that a key which expires is judged then, and that a file which changes all the time does not keep
//! it busy.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bascule_domain::audit::Change;
use bascule_watch::{
    Environment, Machine, Picture,
    changes::{Changes, NotWatched, Noticed},
    scan::{self, Scope},
};
use tokio::sync::{broadcast::error::RecvError, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    alarm::Alarm,
    app::{Absence, App, Covered, Event, Unnoticed, Waiting, Watcher},
};

/// No look at a machine that answers takes so long.
const LATE: Duration = Duration::from_secs(60);
/// Tools remove a file for a moment when they save it (consumers.md 9.6).
const SAVING: Duration = Duration::from_secs(1);
/// Events that come while a look is under way are one more look together.
const WAITING: usize = 1;
/// After a look, changes of files wait for so many times as long as it took, and twice as long each
/// time that some come meanwhile: a log that is written all the time may hold an id.
const REST: u32 = 3;
/// Whoever waits for a change to be seen waits no longer.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Twice as long so often at most.
const MOST_DOUBLED: u32 = 10;
/// Folders that are named of those whose changes are not noticed for one reason.
const NAMED: usize = 3;

/// Watches until it is told to stop.
pub(crate) async fn watch(app: Arc<App>, alarm: Alarm, stop: CancellationToken) {
    let environment = Environment::of_process(std::env::vars_os(), std::env::current_dir().ok());
    let (wake, woken) = mpsc::channel(WAITING);
    let changes = Changes::new(move |noticed| {
        if noticed == Noticed::Overflow {
            tracing::warn!("more changed than the system tells; looking at everything again");
        }
        // A full channel means that a look is due already.
        wake.try_send(()).ok();
    });
    let mut unnoticed = Vec::new();
    if let Err(refused) = &changes {
        let why = format!(
            "changes of files are seen with bascule findings --look only: {}",
            refused.why
        );
        tracing::warn!(why, "files are looked at only when somebody asks");
        unnoticed.push(trouble(why));
    }
    let Ok(events) = app.watch("") else {
        return;
    };
    let mut watching = Watching {
        alarm,
        app,
        environment,
        changes: changes.ok(),
        unnoticed,
        watches_lost: false,
        events,
        everything: false,
        knocked: false,
        stop,
    };
    // Either way there is nothing more to watch for.
    let (ControlFlow::Break(()) | ControlFlow::Continue(())) = watching.run(woken).await;
}

/// Who watches, and with what. Every step ends early when it is told to stop.
struct Watching {
    app: Arc<App>,
    /// Wakes when a key expires.
    alarm: Alarm,
    environment: Environment,
    /// Absent when the system tells of no changes.
    changes: Option<Changes>,
    /// What changes without being noticed.
    unnoticed: Vec<Unnoticed>,
    /// A look broke off and took with it what tells of changes.
    watches_lost: bool,
    events: Watcher,
    /// Something happened that makes a look at everything due.
    everything: bool,
    /// Somebody knocked since the last look, which is worth one at everything, in its time.
    knocked: bool,
    stop: CancellationToken,
}

impl Watching {
    async fn run(&mut self, mut woken: mpsc::Receiver<()>) -> ControlFlow<()> {
        let mut covered = Covered::Everything;
        let mut asked = Vec::new();
        // How often changes came while others had to wait already.
        let mut busy = 0;
        loop {
            self.everything = false;
            self.knocked = false;
            let began = Instant::now();
            let gone = self.look(covered, Absence::Doubted, &mut asked).await?;
            let mut took = began.elapsed();
            if gone {
                self.wait(Instant::now() + SAVING).await?;
                let began = Instant::now();
                self.look(covered, Absence::Believed, &mut asked).await?;
                took += began.elapsed();
            }
            self.answer(asked.drain(..));
            let rested = Instant::now() + (took * (REST << busy)).min(LONGEST_REST);
            let mut due = None;
            covered = loop {
                if self.everything {
                    break Covered::Everything;
                }
                if self.knocked {
                    due.get_or_insert(rested);
                }
                tokio::select! {
                    () = self.stop.cancelled() => return ControlFlow::Break(()),
                    Some(()) = woken.recv(), if due.is_none() => {
                        busy = match Instant::now() < rested {
                            true => MOST_DOUBLED.min(busy + 1),
                            false => 0,
                        };
                        due = Some(rested);
                    }
                    () = self.app.full_sweep().found(), if due.is_none() => due = Some(rested),
                    () = at(due) => break match self.knocked {
                        true => Covered::Everything,
                        false => Covered::Files,
                    },
                    who = self.app.asked_to_look() => {
                        asked = who;
                        break Covered::Everything;
                    }
                    () = self.app.until_a_key_expires(&self.alarm) => self.judge().await,
                    event = self.events.events.recv() => self.hear(event).await?,
                }
            };
        }
    }

    /// Waits, and judges what happens meanwhile.
    async fn wait(&mut self, until: Instant) -> ControlFlow<()> {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return ControlFlow::Break(()),
                () = at(Some(until)) => return ControlFlow::Continue(()),
                event = self.events.events.recv() => self.hear(event).await?,
            }
        }
    }

    /// Judges what was seen last when a key has changed, however long a look takes.
    async fn hear(&mut self, event: Result<Event, RecvError>) -> ControlFlow<()> {
        match event {
            // The change is in memory when it is the next one's turn.
            Ok(Event::Changed(entry)) => {
                self.app.changes_made().await;
                self.app.judge_changed(&entry.change).await;
                self.everything |= stops_a_key(&entry.change);
                if self.everything {
                    self.app.full_sweep().wake();
                }
            }
            Err(RecvError::Lagged(_)) => {
                self.judge().await;
                self.everything = true;
            }
            // Somebody knocks with a key that does not work: it runs now.
            Ok(Event::Found(..)) => self.knocked = true,
            Ok(_) => {}
            Err(RecvError::Closed) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    async fn judge(&self) {
        self.app.changes_made().await;
        self.app.judge_consumers(Absence::Believed).await;
        self.app.full_sweep().wake();
    }

    fn answer(&self, asked: impl IntoIterator<Item = Waiting>) {
        asked.into_iter().for_each(|done| self.app.looked(done));
    }

    /// Looks once. Returns whether something seems gone. What it reads may be on a mount that does not
    /// answer (threats.md F9): then it says so to those who ask, and keys are judged all the same.
    async fn look(
        &mut self,
        covered: Covered,
        absence: Absence,
        asked: &mut Vec<Waiting>,
    ) -> ControlFlow<(), bool> {
        let looker = Looker {
            app: Arc::clone(&self.app),
            machine: Machine::local(
                self.environment.clone(),
                bascule_os::effective_uid(),
                self.app.now(),
            ),
            covered,
            changes: self.changes.take(),
        };
        let (tell, mut told) = oneshot::channel();
        // Not one of the runtime's: those are waited for at the end.
        let started = thread::Builder::new().name("look".into()).spawn(move || {
            tell.send(looker.look()).ok();
        });
        if let Err(error) = started {
            tracing::error!(%error, "no look at this machine could be taken");
        }
        let late = Instant::now() + LATE;
        let mut is_late = false;
        let looked = loop {
            tokio::select! {
                () = self.stop.cancelled() => return ControlFlow::Break(()),
                looked = &mut told => break looked.ok(),
                () = at((!is_late).then_some(late)) => {
                    is_late = true;
                    tracing::warn!("a look at this machine does not end; a mount may not answer");
                    let why = "what changed since: the look at this machine does not end; a network mount among the known places may not answer";
                    self.app.consumers().not_noticed(vec![trouble(why)]);
                    self.answer(asked.drain(..));
                }
                who = self.app.asked_to_look(), if is_late => self.answer(who),
                event = self.events.events.recv() => self.hear(event).await?,
            }
        };
        let Some(looked) = looked else {
            // It went with the thread that had it.
            self.watches_lost |= self.changes.is_none();
            return ControlFlow::Continue(self.broke_off());
        };
        self.changes = looked.changes;
        if let Some(not_watched) = looked.not_watched {
            self.unnoticed = in_words(&not_watched);
        }
        let Some(picture) = looked.picture else {
            return ControlFlow::Continue(self.broke_off());
        };
        self.app.consumers().not_noticed(self.told());
        let gone = self.app.seen(picture, covered, absence).await;
        bascule_os::release();
        ControlFlow::Continue(gone)
    }

    /// What changes without being noticed.
    fn told(&self) -> Vec<Unnoticed> {
        let mut told = self.unnoticed.clone();
        if self.watches_lost {
            told.push(trouble(
                "changes of files are seen with bascule findings --look only, until the daemon is restarted",
            ));
        }
        told
    }

    /// Says so; nothing seems gone.
    fn broke_off(&self) -> bool {
        tracing::error!(
            "a look at this machine broke off; the findings are those of the one before"
        );
        let mut unnoticed = self.told();
        unnoticed.push(trouble(
            "what changed meanwhile: the last look broke off, see the daemon's log",
        ));
        self.app.consumers().not_noticed(unnoticed);
        false
    }
}

/// One look, on a thread of its own.
struct Looker {
    app: Arc<App>,
    machine: Machine,
    covered: Covered,
    changes: Option<Changes>,
}

/// What a look came to.
struct Looked {
    changes: Option<Changes>,
    not_watched: Option<Vec<NotWatched>>,
    /// `None`: it broke off.
    picture: Option<Picture>,
}

impl Looker {
    fn look(mut self) -> Looked {
        let scope = Scope {
            jobs: true,
            processes: self.covered == Covered::Everything,
            everyone: self.machine.user.uid == 0,
        };
        // Watched before it is read, so that no change falls between.
        let not_watched = self.changes.as_mut().map(|changes| {
            let mut interests = scan::interests(&self.machine, scope);
            // Scripts and files that jobs name are known once they were looked at.
            interests.extend(self.app.consumers().paths());
            interests.extend(self.app.full_sweep().traces());
            changes.cover(&interests)
        });
        let look = || {
            let mut picture = scan::known(&self.machine, scope);
            self.app.follow_traces(&self.machine, &mut picture);
            picture
        };
        // What it has changed by then is either whole or thrown away.
        let picture = panic::catch_unwind(AssertUnwindSafe(look)).ok();
        Looked {
            changes: self.changes,
            not_watched,
            picture,
        }
    }
}

/// Waits until then; without a time for ever.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn trouble(told: impl Into<String>) -> Unnoticed {
    Unnoticed {
        told: told.into(),
        is_trouble: true,
    }
}

/// What is not noticed, a line for each reason: there may be as many folders as somebody has.
fn in_words(not_watched: &[NotWatched]) -> Vec<Unnoticed> {
    let mut by_reason: BTreeMap<(bool, &str), Vec<String>> = BTreeMap::new();
    for refused in not_watched {
        let reason = (refused.exhausted, &*refused.why);
        let folders = by_reason.entry(reason).or_default();
        folders.push(refused.folder.display().to_string());
    }
    let lines = by_reason.into_iter().map(|((is_trouble, why), folders)| {
        let more = folders.len().saturating_sub(NAMED);
        let named = folders[..folders.len() - more].join(", ");
        let more = match more {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let told = format!("changes in {named}{more} are seen with the next one elsewhere, or with bascule findings --look: {why}");
        Unnoticed { told, is_trouble }
    });
    lines.collect()
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
