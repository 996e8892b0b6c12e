//! One channel: its queue, what became of its alerts, and how often a failure is tried again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bascule_domain::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    alert::{Alert, Told},
    command::Program,
    desktop::Desktop,
    webhook::Webhook,
};
use crate::app::App;

/// Alerts that may wait.
const QUEUE: usize = 64;
/// Between one try and the next.
const WAITS: [u64; 7] = [1, 3, 8, 20, 45, 60, 90];

/// What carries an alert.
pub(super) enum Way {
    /// The daemon's own log. News stands there already when an alert is made of it.
    Journal,
    Desktop(Desktop),
    Webhook(Webhook),
    Command(Program),
    /// A channel that is not set, by name, and how to set it.
    Absent(&'static str, &'static str),
}

/// Why an alert was not delivered, and what to do.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub why: String,
    pub next: String,
    /// Whether it may be delivered later.
    pub again: bool,
}

/// How a channel is.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub channel: &'static str,
    pub to: String,
    /// Why it is not in force.
    pub off: Option<String>,
    pub waiting: usize,
    pub lost: u64,
    pub last_success_at: Option<Timestamp>,
    pub last_failure: Option<(Timestamp, Failure)>,
}

/// What became of a test.
#[derive(Debug)]
pub(crate) struct Tested {
    pub channel: &'static str,
    pub to: String,
    pub failure: Option<(Timestamp, Failure)>,
}

#[derive(Default)]
struct Account {
    lost: u64,
    last_success_at: Option<Timestamp>,
    last_failure: Option<(Timestamp, Failure)>,
    /// Whether an alert was lost since the last one that arrived.
    failing: bool,
}

/// A way with a queue.
pub(super) struct Channel {
    way: Way,
    queue: mpsc::Sender<Arc<Alert>>,
    /// For the one who works on it.
    waiting: tokio::sync::Mutex<mpsc::Receiver<Arc<Alert>>>,
    account: Mutex<Account>,
    /// Another has taken its place; what it has is delivered, and then it ends.
    retired: CancellationToken,
}

impl Channel {
    pub(super) fn new(way: Way) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self {
            way,
            queue,
            waiting: waiting.into(),
            account: Mutex::default(),
            retired: CancellationToken::new(),
        }
    }

    /// Nothing more is queued.
    pub(super) fn retire(&self) {
        self.retired.cancel();
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn name(&self) -> &'static str {
        match &self.way {
            Way::Journal => "journal",
            Way::Desktop(_) => "desktop",
            Way::Webhook(_) => "webhook",
            Way::Command(_) => "command",
            Way::Absent(name, _) => name,
        }
    }

    fn to(&self) -> String {
        match &self.way {
            Way::Journal => "the daemon's log".into(),
            Way::Desktop(desktop) => desktop.to(),
            Way::Webhook(webhook) => webhook.to(),
            Way::Command(program) => program.to(),
            Way::Absent(..) => String::new(),
        }
    }

    /// Why it is not in force, if it is not.
    pub(super) fn off(&self) -> Option<String> {
        match &self.way {
            Way::Desktop(desktop) => desktop.off(),
            Way::Absent(_, how) => Some((*how).to_owned()),
            Way::Journal | Way::Webhook(_) | Way::Command(_) => None,
        }
    }

    pub(super) fn state(&self) -> State {
        let account = self.account();
        State {
            channel: self.name(),
            to: self.to(),
            off: self.off(),
            waiting: self.queue.max_capacity() - self.queue.capacity(),
            lost: account.lost,
            last_success_at: account.last_success_at,
            last_failure: account.last_failure.clone(),
        }
    }

    /// What the user should know without asking. A desktop that nobody asked for may be missing.
    pub(super) fn trouble(&self) -> Option<String> {
        let by_itself = matches!(&self.way, Way::Desktop(desktop) if !desktop.is_asked_for());
        let account = self.account();
        let (_, failure) = account.last_failure.as_ref()?;
        (account.failing && !by_itself).then(|| {
            format!(
                "alerts by {} do not arrive: {}; see bascule alerts",
                self.name(),
                failure.why
            )
        })
    }

    /// Queues an alert, if this channel tells such.
    pub(super) fn take(&self, alert: &Arc<Alert>) {
        let keeps_a_state = matches!(&self.way, Way::Webhook(webhook) if webhook.keeps_a_state());
        if self.off().is_some() || !(alert.wakes() || keeps_a_state) {
            return;
        }
        if self.queue.try_send(Arc::clone(alert)).is_err() {
            self.lose(alert, "there is no room for more alerts");
        }
    }

    fn lose(&self, alert: &Alert, why: &str) {
        let mut account = self.account();
        account.lost += 1;
        account.failing = true;
        drop(account);
        tracing::error!(
            channel = self.name(),
            event = alert.event(),
            why,
            "an alert is given up; see bascule alerts"
        );
    }

    /// Delivers what is queued, in order, until it is told to stop.
    pub(super) async fn work(&self, app: &App, stop: &CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        let deliver_all = async {
            loop {
                let alert = tokio::select! {
                    biased;
                    alert = waiting.recv() => alert,
                    () = self.retired.cancelled() => None,
                };
                let Some(alert) = alert else { return };
                self.deliver(&alert, app).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = deliver_all => {}
        }
    }

    async fn deliver(&self, alert: &Alert, app: &App) {
        let mut waits = WAITS.into_iter();
        while let Err(failure) = self.once(alert, app).await {
            let wait = waits.next().filter(|_| failure.again);
            let Some(wait) = wait else {
                return self.lose(alert, &failure.why);
            };
            tracing::warn!(
                channel = self.name(),
                why = failure.why,
                seconds = wait,
                "an alert is not delivered; trying again"
            );
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
    }

    pub(super) async fn test(&self, alert: &Alert, app: &App) -> Tested {
        let outcome = self.once(alert, app).await;
        Tested {
            channel: self.name(),
            to: self.to(),
            failure: outcome.err().map(|failure| (app.now(), failure)),
        }
    }

    /// Tries once, and remembers what came of it.
    async fn once(&self, alert: &Alert, app: &App) -> Result<(), Failure> {
        let outcome = match &self.way {
            Way::Journal => {
                if !matches!(alert.told, Told::Finding(..)) {
                    tracing::warn!(
                        event = alert.event(),
                        open = alert.open,
                        "{}",
                        alert.title()
                    );
                }
                Ok(())
            }
            Way::Desktop(desktop) => desktop.show(alert).await,
            Way::Webhook(webhook) => webhook.send(alert, app.now()).await,
            Way::Command(program) => program.run(alert).await,
            Way::Absent(..) => Ok(()),
        };
        let mut account = self.account();
        match &outcome {
            Ok(()) => {
                account.last_success_at = Some(app.now());
                account.failing = false;
            }
            Err(failure) => account.last_failure = Some((app.now(), failure.clone())),
        }
        outcome
    }
}
