//! News of findings for people who did not ask: told once through every channel that is set. Nothing ever
//! waits for a channel: each has a queue of its own, and what finds no room there is dropped, counted and
//! said. No secret and no whole access key id may get into an alert.
//!
//! What a finding becomes is journalled by whoever finds it (`app/consumers`); what is not delivered when
//! the daemon stops is lost.

mod alert;
mod batch;
mod channel;
mod command;
mod desktop;
mod webhook;

use std::sync::{Arc, PoisonError, RwLock};

use bascule_adapters::Guard;
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::{
    alert::{Alert, Told},
    batch::{Batch, Window},
    channel::{Channel, Way},
    command::Program,
    desktop::Desktop,
    webhook::Webhook,
};
use crate::{
    app::{App, Watcher},
    config::AlertSettings,
};

pub(crate) use channel::{Failure, State, Tested};

/// All channels, those not in force too.
pub(crate) struct Alerts {
    /// What must not be dialled.
    guard: Guard,
    channels: RwLock<Vec<Arc<Channel>>>,
    /// Wakes whoever sets channels to work.
    replaced: Notify,
}

fn channels(settings: &AlertSettings, guard: Guard) -> Vec<Arc<Channel>> {
    let machine = bascule_os::host_name();
    let webhook = match settings.webhook.clone() {
        Some(webhook) => Way::Webhook(Webhook::new(webhook, guard, machine.clone())),
        None => Way::Absent("webhook", "not set: url under [alerts.webhook]"),
    };
    let command = match settings.command.clone() {
        Some(words) => Way::Command(Program::new(words, machine)),
        None => Way::Absent("command", "not set: command under [alerts]"),
    };
    let ways = [
        Way::Journal,
        Way::Desktop(Desktop::new(settings.desktop)),
        webhook,
        command,
    ];
    ways.map(|way| Arc::new(Channel::new(way))).into()
}

/// What is named by settings and can't be used, by the setting. Blocks.
pub(crate) fn unfit(settings: &AlertSettings) -> Vec<(&'static str, String)> {
    let program = settings.command.as_ref().and_then(|words| words.first());
    let command = program
        .and_then(|program| command::unfit(program))
        .map(|what| ("alerts.command", what));
    let webhook = settings.webhook.as_ref();
    let secret = webhook
        .and_then(|webhook| webhook.secret_file.as_ref())
        .and_then(|file| {
            let what = webhook::read_secret(file).err()?;
            Some((
                "alerts.webhook.secret_file",
                format!("{}: {what}", file.display()),
            ))
        });
    command.into_iter().chain(secret).collect()
}

impl Alerts {
    /// Opens, starts and sends nothing yet. `guard` knows what must not be dialled.
    pub(crate) fn new(settings: &AlertSettings, guard: Guard) -> Self {
        Self {
            channels: RwLock::new(channels(settings, guard.clone())),
            guard,
            replaced: Notify::new(),
        }
    }

    /// Goes on with these settings. What waits in a channel that is replaced is still delivered there.
    pub(crate) fn replace(&self, settings: &AlertSettings) {
        let new = channels(settings, self.guard.clone());
        let mut channels = self
            .channels
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for old in std::mem::replace(&mut *channels, new) {
            old.retire();
        }
        drop(channels);
        self.replaced.notify_one();
    }

    fn channels(&self) -> Vec<Arc<Channel>> {
        let channels = self.channels.read();
        channels.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_to_work(&self, workers: &mut JoinSet<()>, app: &Arc<App>, stop: &CancellationToken) {
        for channel in self.channels() {
            let (app, stop) = (Arc::clone(app), stop.clone());
            workers.spawn(async move { channel.work(&app, &stop).await });
        }
    }

    /// How each channel is.
    pub(crate) fn states(&self) -> Vec<State> {
        let channels = self.channels();
        channels.iter().map(|channel| channel.state()).collect()
    }

    /// What the user should know without asking, a sentence for each channel that fails.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let channels = self.channels();
        let channels = channels.iter();
        channels.filter_map(|channel| channel.trouble()).collect()
    }

    /// Sends a test through every channel in force, once and all at the same time.
    pub(crate) async fn test(&self, app: &Arc<App>) -> Vec<Tested> {
        let open = app.consumers().count();
        let alert = Arc::new(Alert::new(app.now(), open, Told::Test));
        let channels = self.channels();
        let tests = channels
            .iter()
            .filter(|channel| channel.off().is_none())
            .map(|channel| {
                let (app, alert) = (Arc::clone(app), Arc::clone(&alert));
                let channel = Arc::clone(channel);
                async move { channel.test(&alert, &app).await }
            });
        futures_util::future::join_all(tests).await
    }

    fn hand_over(&self, alert: Alert) {
        let alert = Arc::new(alert);
        // Held meanwhile, so that nothing is put into a channel that has delivered its last.
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        for channel in &*channels {
            channel.take(&alert);
        }
    }
}

/// Hands news to the channels until it is told to stop.
pub(crate) async fn watch(app: Arc<App>, mut news: Watcher, stop: CancellationToken) {
    let mut workers = JoinSet::new();
    app.alerts().set_to_work(&mut workers, &app, &stop);
    let mut window = Window::default();
    let mut open = 0;
    loop {
        let mut batch = Batch::default();
        let mut until = None;
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => {
                    while workers.join_next().await.is_some() {}
                    return;
                }
                event = news.events.recv() => event,
                () = app.alerts().replaced.notified() => {
                    app.alerts().set_to_work(&mut workers, &app, &stop);
                    continue;
                }
                Some(_) = workers.join_next() => continue,
                () = end(until) => break,
            };
            match event {
                Ok(event) => batch.add(event),
                Err(RecvError::Lagged(_)) => batch.miss(),
                // Nobody tells anything any more: the daemon is about to stop.
                Err(RecvError::Closed) => return stop.cancelled().await,
            }
            if until.is_none() && !batch.is_empty() {
                until = Some(Instant::now() + window.length());
            }
        }
        window.learn(batch.is_much());
        let before = std::mem::replace(&mut open, app.consumers().count());
        // What was lost may have been requests only.
        if batch.is_only_missed() && before == open {
            continue;
        }
        for alert in batch.alerts(&app) {
            app.alerts().hand_over(alert);
        }
    }
}

async fn end(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}
