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

use std::sync::Arc;

use bascule_adapters::Guard;
use tokio::{sync::broadcast::error::RecvError, task::JoinSet, time::Instant};
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
    channels: Vec<Arc<Channel>>,
}

impl Alerts {
    /// Opens, starts and sends nothing yet. `guard` knows what must not be dialled.
    pub(crate) fn new(settings: &AlertSettings, guard: Guard) -> Self {
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
        Self {
            channels: ways.map(|way| Arc::new(Channel::new(way))).into(),
        }
    }

    /// How each channel is.
    pub(crate) fn states(&self) -> Vec<State> {
        self.channels
            .iter()
            .map(|channel| channel.state())
            .collect()
    }

    /// What the user should know without asking, a sentence for each channel that fails.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let channels = self.channels.iter();
        channels.filter_map(|channel| channel.trouble()).collect()
    }

    /// Sends a test through every channel in force, once and all at the same time.
    pub(crate) async fn test(&self, app: &Arc<App>) -> Vec<Tested> {
        let open = app.consumers().count();
        let alert = Arc::new(Alert::new(app.now(), open, Told::Test));
        let channels = self.channels.iter();
        let tests = channels
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
        for channel in &self.channels {
            channel.take(&alert);
        }
    }
}

/// Hands news to the channels until it is told to stop.
pub(crate) async fn watch(app: Arc<App>, mut news: Watcher, stop: CancellationToken) {
    let mut workers = JoinSet::new();
    for channel in &app.alerts().channels {
        let (channel, app, stop) = (Arc::clone(channel), Arc::clone(&app), stop.clone());
        workers.spawn(async move { channel.work(&app, &stop).await });
    }
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
