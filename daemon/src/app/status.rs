//! The daemon's state on one screen.

use std::path::PathBuf;

use bascule_domain::{Timestamp, deletion::Deletion};
use bascule_gateway::PausedBy;

use super::{App, SweepView, pause::paused_by, registry::Entry};

pub(crate) struct Status {
    pub started_at: Timestamp,
    pub gateways: Vec<String>,
    pub state_dir: PathBuf,
    pub connections: usize,
    pub living_keys: usize,
    pub dead_keys: usize,
    pub open_requests: usize,
    pub findings: usize,
    /// Under way or parked.
    pub deletions: Vec<Deletion>,
    /// Connections that admit nothing until they are resumed.
    pub paused: Vec<PausedConnection>,
    pub sweep: SweepView,
    /// What is not well, in words.
    pub troubles: Vec<String>,
    /// The configuration file that is read.
    pub config_file: String,
    /// Changed settings that wait for a restart.
    pub after_restart: Vec<&'static str>,
}

pub(crate) struct PausedConnection {
    pub name: String,
    pub since: Timestamp,
    pub by: PausedBy,
}

impl App {
    pub(crate) fn status(&self) -> Status {
        let living = self.registry.living();
        let deletions: Vec<_> = self
            .deletions
            .all()
            .into_iter()
            .filter(|d| !d.phase.is_over())
            .collect();
        let mut troubles: Vec<String> = self.store_words().into_iter().collect();
        troubles.extend(self.closed_words());
        troubles.extend(self.anchor_words());
        troubles.extend(self.settings.trouble());
        let trouble_of_connections =
            living
                .iter()
                .map(|entry| self.view(entry))
                .filter_map(|view| {
                    view.trouble
                        .map(|trouble| format!("{}: {trouble}", view.connection.name))
                });
        troubles.extend(trouble_of_connections);
        troubles.extend(deletions.iter().filter_map(|deletion| {
            let parked = deletion.parked.as_ref()?;
            Some(format!("deletion {} waits: {}", deletion.id, parked.reason))
        }));
        troubles.extend(self.parked_rotations());
        troubles.extend(self.open_leaks());
        troubles.extend(self.alerts.troubles());
        troubles.extend(self.consumers.troubles());
        Status {
            started_at: self.started_at,
            gateways: self.gateways.iter().map(ToString::to_string).collect(),
            state_dir: self.state_dir.clone(),
            connections: living.len(),
            living_keys: self.registry.count_all_keys(),
            dead_keys: self.graves.count(),
            open_requests: self.keyring.open_requests(),
            findings: self.knocks.count() + self.consumers.count(),
            deletions,
            paused: living.iter().filter_map(paused).collect(),
            sweep: self.sweep_view(),
            troubles,
            config_file: self
                .config()
                .file
                .as_ref()
                .map(|file| file.display().to_string())
                .unwrap_or_default(),
            after_restart: self.settings.waiting(),
        }
    }
}

impl App {
    pub(super) fn store_words(&self) -> Option<String> {
        self.store.has_failed().then(|| {
            format!(
                "the disk failed the store, so no change is taken any more; when the disk is well \
                 again, {}",
                super::error::restart()
            )
        })
    }
}

fn paused(entry: &Entry) -> Option<PausedConnection> {
    Some(PausedConnection {
        name: entry.connection.name.to_string(),
        since: entry.connection.paused_at?,
        by: paused_by(&entry.connection, &entry.leaks),
    })
}
