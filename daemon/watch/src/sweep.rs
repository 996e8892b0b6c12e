//! Searches folders for access key ids: known ones, ones that Bascule issued, and words that look
//! like ids. It finds what no rule about a tool's configuration leads to.
//!
//! It only reads, enters nothing that may not answer, and says what it skipped. It never tells more
//! of a file than an id and where it stands. Archives and compressed files are searched as the bytes
//! they are, and base64 that is broken into lines only within each line.

mod assignment;
mod checkpoint;
mod coding;
mod content;
mod grams;
mod matcher;
mod needles;
mod shape;
mod skipped;
mod threads;
mod walk;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    num::NonZero,
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool, mpsc::sync_channel},
    thread,
};

use bascule_domain::access_key::AccessKeyId;
use bascule_os::Mounts;

use self::{
    checkpoint::Frontier,
    content::Placed,
    matcher::Matcher,
    threads::{Shared, locked},
};
pub use self::{
    checkpoint::{Checkpoint, CheckpointError},
    matcher::{Recognised, Wanted},
    needles::Needles,
    shape::Confidence,
    skipped::{Reason, Skipped, Skips},
};

/// How a sweep goes about it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Larger files are skipped, in bytes.
    pub largest_file: u64,
    /// Whether other file systems of this machine are entered.
    pub other_file_systems: bool,
    /// Whether network and FUSE mounts are entered. One that has stalled holds up the sweep.
    pub remote: bool,
    /// Folders that are not entered: absolute, without links.
    pub left_out: Vec<PathBuf>,
    /// Whether the threads run only when nobody else wants to.
    pub idle: bool,
    /// How many threads search; unless set, as many as the machine has processors.
    pub threads: Option<NonZero<usize>>,
    /// Where a sweep of the same roots was stopped.
    pub resume: Option<Checkpoint>,
    /// What is mounted; unless set, what the machine says.
    pub mounts: Option<Mounts>,
    /// Ends the sweep once it is set, in the middle of a file too.
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            largest_file: 64 * 1024 * 1024,
            other_file_systems: false,
            remote: false,
            left_out: Vec::new(),
            idle: false,
            threads: None,
            resume: None,
            mounts: None,
            stop: None,
        }
    }
}

/// An access key id in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The file.
    pub path: PathBuf,
    /// Its line, counted from 1.
    pub line: u32,
    /// Where in the line: bytes, in UTF-16 pairs of bytes, counted from 1.
    pub column: u32,
    /// The id.
    pub id: AccessKeyId,
    /// How it is written.
    pub encoding: Encoding,
    /// How it was recognised.
    pub recognised: Recognised,
    /// In a file that is no text, where it begins, in bytes from 0: lines mean nothing there.
    pub offset: Option<u64>,
}

/// How an id is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// Little end first.
    Utf16Le,
    /// Big end first.
    Utf16Be,
    /// In either alphabet, anywhere in a text.
    Base64,
}

impl Encoding {
    /// The word for programs and people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Base64 => "base64",
        }
    }
}

/// What a sweep came to, besides its hits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files that were read.
    pub files: u64,
    /// Folders that were listed.
    pub folders: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What was not looked at.
    pub skipped: Skips,
    /// Examples and placeholders that look like ids and were passed over.
    pub examples: u64,
    /// Where to go on, if it was stopped. Everything told before that counts.
    pub stopped_at: Option<Checkpoint>,
}

/// How far a sweep is.
pub struct Progress<'a> {
    /// Files that were read.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// What was skipped by those who search.
    searching: &'a Skips,
    walking: &'a Mutex<Skips>,
    frontier: &'a Mutex<Frontier>,
}

impl Progress<'_> {
    /// Where to go on if the machine stopped now; `None` before the first folder.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        locked(self.frontier).checkpoint()
    }

    /// What was skipped so far, and a little of what lies behind the checkpoint.
    #[must_use]
    pub fn skipped(&self) -> Skips {
        let mut skipped = self.searching.clone();
        skipped.merge(&locked(self.walking));
        skipped
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("files", &self.files)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Batches that wait for a thread. Each holds a descriptor.
const WAITING: usize = 64;

/// Searches the folders and files in `roots`. Hits are told on this thread, file by file in no
/// order; so is the progress, after every few files, and what it answers can stop the sweep. A sweep
/// that goes on tells again what stands in the folder that it was stopped in.
pub fn run(
    roots: &[PathBuf],
    wanted: Wanted<'_>,
    options: &Options,
    on_hit: impl FnMut(Hit),
    on_progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Summary {
    let known = options.mounts.clone();
    // Without the list, folders on other devices are still noticed once they are open.
    let mounts = known.unwrap_or_else(|| Mounts::now().unwrap_or_default());
    let roots = outermost(roots, &mounts);
    let shared = Shared {
        matcher: Matcher::new(wanted),
        options,
        stopped: options.stop.clone().unwrap_or_default(),
        frontier: Mutex::default(),
        skips: Mutex::default(),
    };
    let threads = options
        .threads
        .or_else(|| thread::available_parallelism().ok());
    let (hand_out, waiting) = sync_channel(WAITING);
    // The threads alone hold it: once all have ended, whatever ended them, the walk ends too.
    let waiting = Arc::new(Mutex::new(waiting));
    let (tell, told) = sync_channel(WAITING);
    thread::scope(|scope| {
        let walk = scope.spawn(|| shared.walk(&roots, &mounts, hand_out));
        for _ in 0..threads.map_or(1, NonZero::get) {
            let (waiting, tell) = (Arc::clone(&waiting), tell.clone());
            let shared = &shared;
            scope.spawn(move || shared.search(&waiting, &tell));
        }
        drop((waiting, tell));
        let mut summary = shared.gather(told, on_hit, on_progress);
        // A thread that panicked is told by the scope.
        if let Ok(folders) = walk.join() {
            summary.folders = folders;
        }
        summary.skipped.merge(&locked(&shared.skips));
        summary
    })
}

impl Hit {
    fn new(path: PathBuf, placed: Placed) -> Self {
        Self {
            path,
            line: placed.line,
            column: placed.column,
            id: placed.found.id,
            encoding: placed.found.encoding,
            recognised: placed.found.recognised,
            offset: placed.offset,
        }
    }
}

/// The roots without those that another one holds, unless something is mounted in between.
fn outermost(roots: &[PathBuf], mounts: &Mounts) -> Vec<PathBuf> {
    let absolute = |root: &PathBuf| std::path::absolute(root).unwrap_or_else(|_| root.clone());
    let paths: Vec<_> = roots.iter().map(absolute).collect();
    let mut kept: Vec<PathBuf> = Vec::new();
    for root in &paths {
        let held = paths.iter().any(|other| {
            root != other && root.starts_with(other) && mounts.over(root) == mounts.over(other)
        });
        if !held && !kept.contains(root) {
            kept.push(root.clone());
        }
    }
    kept
}
