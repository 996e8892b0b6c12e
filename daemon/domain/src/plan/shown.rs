//! What a plan showed, so that a later look can tell whether it still holds.

use std::collections::BTreeSet;

/// The facts of a plan, a line each. What changes with every minute (times, counts) and what the user
/// does to satisfy a box is no fact of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown(BTreeSet<String>);

impl Shown {
    /// Adds a fact.
    pub fn add(&mut self, fact: impl Into<String>) {
        self.0.insert(fact.into());
    }

    /// The facts, always in the same order.
    pub fn facts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What is different now, a line each: `- ` is gone, `+ ` is new.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Vec<String> {
        let gone = self.0.difference(&now.0).map(|fact| format!("- {fact}"));
        let new = now.0.difference(&self.0).map(|fact| format!("+ {fact}"));
        gone.chain(new).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(facts: &[&str]) -> Shown {
        let mut shown = Shown::default();
        facts.iter().for_each(|fact| shown.add(*fact));
        shown
    }

    #[test]
    fn a_difference_tells_what_is_gone_and_what_is_new() {
        let (before, after) = (shown(&["key a", "key b"]), shown(&["key c", "key a"]));
        assert_eq!(before.difference(&after), ["- key b", "+ key c"]);
        assert!(before.difference(&before).is_empty());
    }
}
