//! Shows one connection with its living keys.

use bascule_domain::key::Key;

use super::{App, error::Result, registry::View};

impl App {
    pub(crate) fn show(&self, name: &str) -> Result<(View, Vec<Key>)> {
        let entry = self.living(name)?;
        Ok((self.view(&entry), entry.keys.values().cloned().collect()))
    }
}
