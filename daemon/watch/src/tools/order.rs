//! Sources of a key that a tool asks one after the other: the first that has one counts, the others
//! stand behind it.

use crate::picture::{Picture, Standing};

/// A picture that is added to in the order in which a tool looks.
pub(super) struct Order<'p> {
    picture: &'p mut Picture,
    by: Option<String>,
}

impl<'p> Order<'p> {
    pub(super) fn new(picture: &'p mut Picture) -> Self {
        Self { picture, by: None }
    }

    /// Whether a source before had a key.
    pub(super) fn is_settled(&self) -> bool {
        self.by.is_some()
    }

    /// What is used besides, whatever stands before.
    pub(super) fn beside(&mut self, add: impl FnOnce(&mut Picture)) {
        add(self.picture);
    }

    /// What the next source adds: its own keys count together, unless one before did.
    pub(super) fn then(&mut self, add: impl FnOnce(&mut Picture)) {
        let from = self.picture.uses.len();
        let gaps = self.picture.gaps.len();
        add(self.picture);
        let added = self.picture.uses.iter_mut().skip(from);
        let mut first = None;
        for found in added.filter(|found| found.standing == Standing::Effective) {
            match &self.by {
                Some(by) => found.standing = Standing::Shadowed { by: by.clone() },
                None => {
                    first.get_or_insert_with(|| found.key.place.to_string());
                }
            }
        }
        if self.by.is_some() {
            // What does not count need not be looked at.
            self.picture.gaps.truncate(gaps);
        }
        self.by = self.by.take().or(first);
    }
}
