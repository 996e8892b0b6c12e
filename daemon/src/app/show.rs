//! Shows one connection with its living keys.

use super::{App, KeyView, error::Result, registry::View};

impl App {
    pub(crate) fn show(&self, name: &str) -> Result<(View, Vec<KeyView>)> {
        let entry = self.living(name)?;
        Ok((self.view(&entry), self.key_views(&entry)))
    }
}
