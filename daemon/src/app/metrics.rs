//! Everything that is counted: what passed through the gateway, and what the daemon keeps.

use bascule_gateway::{Family, Kind};

use super::App;

impl App {
    /// Since the daemon started. Names connections, never keys, buckets or objects.
    pub(crate) fn metrics(&self) -> Vec<Family> {
        let mut families = self.keyring.metrics();
        let mut gauge = |name, help, samples: &[(&'static str, &str, u64)]| {
            let mut family = Family::new(name, help, Kind::Gauge);
            for (label, value, figure) in samples {
                let labels = [(*label, (*value).to_owned())];
                let labels = labels.into_iter().filter(|(label, _)| !label.is_empty());
                family.sample(labels.collect(), *figure);
            }
            families.push(family);
        };
        let living = self.registry.living();
        let keys = self.registry.count_all_keys();
        gauge(
            "bascule_connections",
            "Connections that exist.",
            &[("", "", living.len() as u64)],
        );
        gauge(
            "bascule_keys",
            "Issued keys, by whether they live.",
            &[
                ("state", "living", keys as u64),
                ("state", "dead", self.graves.count() as u64),
            ],
        );
        gauge(
            "bascule_findings",
            "Keys that are used and refused; see bascule findings.",
            &[("", "", self.knocks.count() as u64)],
        );
        gauge(
            "bascule_start_time_seconds",
            "When the daemon started, in seconds since 1970.",
            &[("", "", self.started_at.as_second().unsigned_abs())],
        );
        gauge(
            "bascule_info",
            "The daemon's version; always 1.",
            &[("version", env!("CARGO_PKG_VERSION"), 1)],
        );
        families
    }
}
