//! Shows one connection with its living keys.

use super::{App, KeyView, error::Result, registry::View};

impl App {
    pub(crate) fn show(&self, name: &str) -> Result<(View, Vec<KeyView>)> {
        let entry = self.living(name)?;
        let keys = entry.keys.values();
        let keys = keys.map(|key| self.key_view(key.clone(), name)).collect();
        Ok((self.view(&entry), keys))
    }
}
