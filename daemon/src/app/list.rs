//! Lists the connections that exist.

use super::{App, registry::View};

impl App {
    pub(crate) fn list(&self) -> Vec<View> {
        self.registry
            .living()
            .iter()
            .map(|entry| self.view(entry))
            .collect()
    }
}
