//! A small file that says since when events are not written: it is set before the first of them is
//! counted and cleared when all are durable, so that a daemon that was killed idle leaves no gap,
//! and one that was killed busy always does. One small write into the page cache when use begins
//! after a pause, none while it goes on.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bascule_os::{check_private_file, create_private_file, remove_file};

const MAGIC: &[u8; 8] = b"BSCLMRK\x01";
const CLEAN: i64 = i64::MIN;

/// The open mark.
pub(super) struct Mark {
    /// Absent when the file can't be made; then a kill leaves no trace, which is logged.
    file: Option<File>,
    state: Mutex<State>,
}

struct State {
    /// Tallies whose events are not durable.
    open: usize,
    /// What a former run has left, until it is written down as a gap.
    left: Option<i64>,
    /// As it stands in the file.
    written: i64,
    synced: bool,
}

impl Mark {
    /// Opens or makes the file. Also gives what it said: since when events were not written.
    pub(super) fn open(path: &Path) -> (Self, Option<i64>) {
        let before = read(path);
        let file = if before.is_some() {
            OpenOptions::new().write(true).open(path).ok()
        } else {
            // Whatever stands there is no mark of ours.
            remove_file(path)
                .and_then(|()| create_private_file(path))
                .ok()
        };
        if file.is_none() {
            tracing::warn!(path = %path.display(), "if the daemon is killed, usage that was not written yet will be missing unnoticed: the ledger's mark can't be written");
        }
        let left = before.filter(|since| *since != CLEAN);
        let mark = Self {
            file,
            state: Mutex::new(State {
                open: 0,
                left,
                written: before.unwrap_or(0),
                synced: false,
            }),
        };
        (mark, left)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tally holds events from this time on.
    pub(super) fn hold(&self, at: i64) {
        let mut state = self.state();
        state.open += 1;
        if state.open == 1 {
            self.write(&mut state, at);
        }
    }

    /// So many tallies are durable. Those that are not hold nothing older than `since`.
    pub(super) fn release(&self, tallies: usize, since: i64) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(tallies);
        let value = if state.open == 0 { CLEAN } else { since };
        self.write(&mut state, value);
    }

    /// What a former run has left is written down.
    pub(super) fn settle(&self) {
        let mut state = self.state();
        state.left = None;
        if state.open == 0 {
            self.write(&mut state, CLEAN);
        }
    }

    /// Makes the mark outlast a power cut.
    pub(super) fn sync(&self) {
        let mut state = self.state();
        if !state.synced
            && let Some(file) = &self.file
        {
            // Without it only a power cut goes unnoticed.
            state.synced = file.sync_data().is_ok();
        }
    }

    fn write(&self, state: &mut State, value: i64) {
        let value = match state.left {
            Some(left) if value == CLEAN => left,
            Some(left) => left.min(value),
            None => value,
        };
        if state.written == value {
            return;
        }
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..].copy_from_slice(&value.to_be_bytes());
        if let Some(file) = &self.file
            && file.write_all_at(&bytes, 0).is_ok()
        {
            state.written = value;
            state.synced = false;
        }
    }
}

fn read(path: &Path) -> Option<i64> {
    check_private_file(path).ok()?;
    let content = bascule_os::read_private(path, 16).ok()?;
    let value = content.strip_prefix(MAGIC)?;
    Some(i64::from_be_bytes(value.try_into().ok()?))
}
