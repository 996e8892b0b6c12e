//! The settings, read again while the daemon runs. A configuration is taken whole or not at all; what it
//! changes of things that were opened or bound at the start is told by name and waits for a restart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bascule_domain::Timestamp;
use tokio::sync::watch;

use super::{
    App, blocking,
    error::{Error, Kind, Result},
};
use crate::{
    config::{
        self, Config, Problem,
        schema::{self, Applies},
    },
    logging,
    startable::{self, Ours},
};

/// The settings in force, and what came of the last reading.
pub(super) struct Settings {
    current: watch::Sender<Arc<Config>>,
    last: Mutex<Last>,
    /// One reading at a time.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Last {
    /// When it was refused, and its mistakes.
    refused: Option<(Timestamp, Vec<String>)>,
    /// Changed settings that wait for a restart.
    waiting: Vec<&'static str>,
}

/// What a reading changed, by the settings' names.
pub(crate) struct Reloaded {
    pub file: String,
    pub changed: Vec<&'static str>,
    pub after_restart: Vec<&'static str>,
}

impl Settings {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            current: watch::Sender::new(Arc::new(config.clone())),
            last: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells each change from now on.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<Config>> {
        self.current.subscribe()
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the status tells of a refused configuration.
    pub(super) fn trouble(&self) -> Option<String> {
        let last = self.last();
        let (_, mistakes) = last.refused.as_ref()?;
        Some(format!(
            "the configuration was refused, and the settings are as they were before: {}",
            mistakes.join("; ")
        ))
    }

    /// Changed settings that wait for a restart.
    pub(super) fn waiting(&self) -> Vec<&'static str> {
        self.last().waiting.clone()
    }

    /// Reads what would be in force after a restart. Blocking.
    fn read(&self) -> std::result::Result<Config, Vec<String>> {
        config::load(&self.current().flags)
            .map_err(|problems| problems.iter().map(Problem::to_string).collect())
    }
}

/// The settings that would change at once, and those that wait for a restart.
pub(super) fn sorted(now: &Config, new: &Config) -> (Vec<&'static str>, Vec<&'static str>) {
    let (at_once, later): (Vec<_>, Vec<_>) =
        schema::differences(now, new).partition(|setting| setting.applies == Applies::AtOnce);
    let names = |settings: Vec<&schema::Setting>| settings.iter().map(|s| s.name).collect();
    (names(at_once), names(later))
}

impl App {
    /// Reads the configuration as a restart would, and looks whether one would succeed with it, without
    /// making it the one in force.
    pub(super) async fn read_config(self: &Arc<Self>) -> std::result::Result<Config, Vec<String>> {
        let app = Arc::clone(self);
        blocking(move || {
            let config = app.settings.read()?;
            let obstacles = startable::obstacles(&config, &app.ours());
            if obstacles.is_empty() {
                return Ok(config);
            }
            let obstacles = obstacles.iter();
            Err(obstacles
                .map(|obstacle| obstacle.problem.to_string())
                .collect())
        })
        .await
    }

    /// What we hold, and a restart of ours takes again.
    fn ours(&self) -> Ours {
        Ours {
            gateways: self.gateways.iter().map(|address| address.socket).collect(),
            given: self.given.clone(),
            config: Some(self.config()),
        }
    }

    /// As [`Self::read_config`], and looks at what is in force at once, too.
    async fn read_to_apply(self: &Arc<Self>) -> std::result::Result<Config, Vec<String>> {
        let config = self.read_config().await?;
        blocking(move || {
            let unfit = startable::unfit_alerts(&config);
            match unfit.is_empty() {
                true => Ok(config),
                false => Err(unfit.iter().map(Problem::to_string).collect()),
            }
        })
        .await
    }

    /// Reads the configuration again and goes by it.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Reloaded> {
        let _reading = self.settings.reading.lock().await;
        let read = self.read_to_apply().await;
        let now = self.config();
        let file = now.file.as_ref();
        let file = file
            .map(|file| file.display().to_string())
            .unwrap_or_default();
        let new = match read {
            Ok(new) => new,
            Err(mistakes) => {
                tracing::error!(
                    mistakes = mistakes.join("; "),
                    "the configuration is refused; the settings stay as they are"
                );
                let told = format!(
                    "the configuration is refused, and the settings stay as they are: {}",
                    mistakes.join("; ")
                );
                self.settings.last().refused = Some((self.now(), mistakes));
                let next = format!("mend {file}, then: bascule reload");
                return Err(Error::new(Kind::Invalid, told).next(next));
            }
        };
        let (changed, after_restart) = sorted(&now, &new);
        let merged = Arc::new(now.with_changes_of(&new));
        logging::apply(&merged);
        if merged.alerts != now.alerts {
            self.alerts.replace(&merged.alerts);
        }
        if merged.sweeps != now.sweeps {
            self.sweep.set(&merged.sweeps);
        }
        *self.settings.last() = Last {
            refused: None,
            waiting: after_restart.clone(),
        };
        if let Some(closed) = startable::closed_to_operators(&new, &self.given) {
            let next = startable::operators_drop_in(&new);
            tracing::warn!(next, "{closed}");
        }
        self.settings.current.send_replace(merged);
        tracing::info!(
            file,
            changed = changed.join(", "),
            after_restart = after_restart.join(", "),
            "the configuration was read again"
        );
        Ok(Reloaded {
            file,
            changed,
            after_restart,
        })
    }
}
