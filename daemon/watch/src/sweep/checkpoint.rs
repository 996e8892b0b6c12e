//! How far a sweep has come, so that one that was stopped goes on there. Pure.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// The folder that a sweep goes on at: all before it, in the order of the walk, were searched. As
/// text it is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which of the roots, as it was named.
    pub root: PathBuf,
    /// The folder below it; empty: the root itself.
    pub below: PathBuf,
}

/// The text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint of a sweep")]
pub struct CheckpointError;

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |path: &Path| percent_encode(path.as_os_str().as_bytes(), ESCAPED).to_string();
        write!(f, "{}:{}", text(&self.root), text(&self.below))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let path =
            |text: &str| PathBuf::from(OsString::from_vec(percent_decode_str(text).collect()));
        let (root, below) = text.split_once(':').ok_or(CheckpointError)?;
        if root.is_empty() || below.starts_with('/') {
            return Err(CheckpointError);
        }
        Ok(Self {
            root: path(root),
            below: path(below),
        })
    }
}

/// Which folders are not searched to the end yet.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    /// Where the walk is.
    now: Option<Arc<Checkpoint>>,
    /// What was handed out from the first batch that is not done, in order.
    open: VecDeque<Open>,
    first: u64,
}

#[derive(Debug)]
struct Open {
    at: Option<Arc<Checkpoint>>,
    done: bool,
}

impl Frontier {
    pub(super) fn enters(&mut self, root: &Path, below: &Path) {
        self.now = Some(Arc::new(Checkpoint {
            root: root.to_owned(),
            below: below.to_owned(),
        }));
    }

    /// The number of a batch that is handed out.
    pub(super) fn hands_out(&mut self) -> u64 {
        self.open.push_back(Open {
            at: self.now.clone(),
            done: false,
        });
        self.first + self.open.len() as u64 - 1
    }

    pub(super) fn done(&mut self, batch: u64) {
        let at = batch.checked_sub(self.first);
        if let Some(open) = at.and_then(|at| self.open.get_mut(at as usize)) {
            open.done = true;
        }
        while self.open.front().is_some_and(|open| open.done) {
            self.open.pop_front();
            self.first += 1;
        }
    }

    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        let open = self.open.front().map(|open| &open.at);
        open.unwrap_or(&self.now).as_deref().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_checkpoint_survives_as_text(root in proptest::collection::vec(1_u8..=255, 1..20), below in "[a-z:%/ \n]{0,20}") {
            let checkpoint = Checkpoint {
                root: OsString::from_vec(root).into(),
                below: below.trim_start_matches('/').into(),
            };
            let text = checkpoint.to_string();
            prop_assert!(!text.contains(char::is_whitespace));
            prop_assert_eq!(text.parse(), Ok(checkpoint));
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,60}") {
            let _ = text.parse::<Checkpoint>();
        }
    }

    #[test]
    fn it_goes_on_at_the_first_folder_that_is_not_done_in_whatever_order_they_end() {
        let root = Path::new("/r");
        let mut frontier = Frontier::default();
        assert_eq!(frontier.checkpoint(), None);
        let mut batches = Vec::new();
        for folder in ["", "a", "b"] {
            frontier.enters(root, Path::new(folder));
            batches.push(frontier.hands_out());
        }
        frontier.enters(root, Path::new("c"));
        let mut at = |batch: usize| {
            frontier.done(batches[batch]);
            frontier.checkpoint().unwrap().below.display().to_string()
        };
        assert_eq!(at(1), "");
        assert_eq!(at(0), "b");
        assert_eq!(at(2), "c");
        assert_eq!(at(2), "c");
    }
}
