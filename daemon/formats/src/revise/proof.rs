//! What has to be true of a changed text: the wanted setting says what it should, and everything else
//! what it said.

use std::ops::Range;

use super::{
    Scope, Syntax,
    setting::{Reading, Setting, in_scope, same_name},
};
use crate::ini::{Dialect, Document};

/// What has to be true of a text after a change.
pub(super) enum Proof<'p> {
    /// The setting at a place of the reading has a new value.
    Set {
        at: usize,
        name: &'p str,
        value: &'p str,
    },
    /// So many settings are new before the one at a place; the last of them is the wanted one.
    Added {
        at: usize,
        number: usize,
        name: &'p str,
        value: &'p str,
    },
    /// These are gone.
    Removed {
        settings: Range<usize>,
        name: &'p str,
    },
}

impl Proof<'_> {
    pub(super) const fn name(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Added { name, .. } | Self::Removed { name, .. } => name,
        }
    }

    /// Whether the wanted setting says what it should, whatever became of the others.
    pub(super) fn reads_back(
        &self,
        after: &Reading,
        scope: &Scope<'_>,
        text: &str,
        syntax: Syntax,
    ) -> bool {
        let Ok(found) = after.find(scope, self.name()) else {
            return false;
        };
        let (Self::Set { value, .. } | Self::Added { value, .. }) = self else {
            return found.is_none();
        };
        let Some(setting) = found.map(|at| &after.settings[at]) else {
            return false;
        };
        setting.literal().is_ok_and(|read| read.as_str() == *value)
            && as_go_reads_it(text, syntax, setting, value)
    }

    /// Whether everything else says what it said.
    pub(super) fn holds(&self, before: &Reading, after: &Reading, scope: &Scope<'_>) -> bool {
        let (old, new) = match self {
            Self::Set { at, .. } => (*at..*at + 1, *at..*at + 1),
            Self::Added { at, number, .. } => (*at..*at, *at..*at + *number),
            Self::Removed { settings, .. } => (settings.clone(), settings.start..settings.start),
        };
        let others = |reading: &Reading, without: &Range<usize>| {
            let kept = reading.settings.get(without.end..)?;
            Some((
                reading.settings.get(..without.start)?.to_vec(),
                kept.to_vec(),
            ))
        };
        let (Some(were), Some(are)) = (others(before, &old), others(after, &new)) else {
            return false;
        };
        let same = |were: &[Setting], are: &[Setting]| {
            were.len() == are.len() && were.iter().zip(are).all(|(was, is)| was.same(is))
        };
        let inherited = |reading: &Reading| {
            let of_others = reading.inherited.iter().filter(|inherited| {
                !(in_scope(reading.syntax, scope, &inherited.section)
                    && same_name(reading.syntax, &inherited.name, self.name()))
            });
            of_others
                .map(|i| (i.section.clone(), i.name.clone(), i.value.clone()))
                .collect::<Vec<_>>()
        };
        same(&were.0, &are.0)
            && same(&were.1, &are.1)
            && before.rest == after.rest
            && inherited(before) == inherited(after)
    }
}

/// The AWS files are read by tools in Go too, which take quotes and comments off a value.
fn as_go_reads_it(text: &str, syntax: Syntax, setting: &Setting, value: &str) -> bool {
    if !matches!(syntax, Syntax::AwsCredentials | Syntax::AwsConfig) {
        return true;
    }
    let Ok(document) = Document::parse(text, Dialect::GoSdk) else {
        return false;
    };
    let (outer, inner) = match setting.name.split_once('.') {
        Some((outer, inner)) => (outer, Some(inner)),
        None => (setting.name.as_str(), None),
    };
    let Some(entry) = document.entry(&setting.section, outer) else {
        return false;
    };
    match inner {
        None => entry.value == value,
        Some(inner) => entry
            .nested
            .iter()
            .any(|nested| nested.key.eq_ignore_ascii_case(inner) && nested.value == value),
    }
}
