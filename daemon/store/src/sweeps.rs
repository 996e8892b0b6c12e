//! What a sweep must not forget: how far it is, how the last one ended, and in which files ids were
//! found. Paths are sealed like everything else; what stands in a file is never kept.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use bascule_domain::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    database::{Read, SWEEPS, TRACES, View},
    error::StoreError,
    record,
    store::Store,
};

/// The only row of its table.
const ROW: &[u8] = b"sweep";

/// The sweep that ended last, and the one that has not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweeps {
    /// It came to its end.
    pub last: Option<Sweep>,
    /// It is under way, or was stopped.
    pub open: Option<Sweep>,
}

/// One sweep, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// When it began, before any stop.
    pub began_at: Timestamp,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
    /// What is searched.
    pub roots: Vec<OsString>,
    /// Where to go on, as text; `None`: at the beginning.
    pub checkpoint: Option<String>,
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What was not looked at.
    pub skipped: Vec<SkippedPlaces>,
}

/// What was not looked at for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedPlaces {
    /// Why, in words.
    pub why: String,
    /// How many files or folders.
    pub count: u64,
    /// Some of them, as they are shown.
    pub examples: Vec<String>,
}

impl Store {
    /// Keeps how far the sweep is together with the files that it has found ids in so far: neither
    /// without the other.
    pub fn keep_sweep(&self, sweeps: &Sweeps, found: &[PathBuf]) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            for path in found {
                let row = self.trace_row(path);
                record::put(batch, &self.root.seal, TRACES, &row, &path.as_os_str())?;
            }
            record::put(batch, &self.root.seal, SWEEPS, ROW, sweeps)
        })
    }

    /// Forgets files that hold nothing any more.
    pub fn forget_traces<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<(), StoreError> {
        self.rows.write(|batch| {
            for path in paths {
                batch.remove(TRACES, &self.trace_row(path))?;
            }
            Ok(())
        })
    }

    /// Paths need not be text, but their escaped form is.
    fn trace_row(&self, path: &Path) -> [u8; 32] {
        self.root.lookup(&format!("trace\0{path:?}"))
    }

    pub(crate) fn load_sweeps(&self, view: &View) -> Result<Sweeps, StoreError> {
        let value = view.get(SWEEPS, ROW)?;
        let sweeps = value.map(|value| record::open(&self.root.seal, SWEEPS, ROW, &value));
        Ok(sweeps.transpose()?.unwrap_or_default())
    }

    pub(crate) fn load_traces(&self, view: &View) -> Result<Vec<PathBuf>, StoreError> {
        let rows = view.rows(TRACES, &[])?.into_iter();
        rows.map(|(row, value)| {
            record::open::<OsString>(&self.root.seal, TRACES, &row, &value).map(PathBuf::from)
        })
        .collect()
    }
}
