//! How people are told of findings, and whether that works.

use std::sync::Arc;

use super::App;
use crate::alerts::{Alerts, Tested};

impl App {
    /// The channels.
    pub(crate) const fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Sends a test through every channel in force.
    pub(crate) async fn test_alerts(self: &Arc<Self>) -> Vec<Tested> {
        self.alerts.test(self).await
    }
}
