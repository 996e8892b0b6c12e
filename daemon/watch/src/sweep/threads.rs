//! The threads of a sweep: one walks, some search, and who asked is told on their own.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender},
    },
};

use bascule_os::{Mounts, Opened};

use super::{
    Hit, Options, Progress, Reason, Skips, Summary,
    checkpoint::Frontier,
    content::Buffer,
    matcher::Matcher,
    shape::Surroundings,
    walk::{Batch, Visitor, Walk, reason_of},
};

/// What all threads see.
pub(super) struct Shared<'a> {
    pub(super) matcher: Matcher<'a>,
    pub(super) options: &'a Options,
    /// Set by whoever asked, or by what it answers to the progress.
    pub(super) stopped: Arc<AtomicBool>,
    pub(super) frontier: Mutex<Frontier>,
    /// What the walk has skipped.
    pub(super) skips: Mutex<Skips>,
}

/// What a batch came to.
pub(super) struct Done {
    batch: u64,
    /// Whether it was searched to its end.
    whole: bool,
    hits: Vec<Hit>,
    files: u64,
    bytes: u64,
    examples: u64,
    skips: Skips,
}

/// Hands out what the walk comes across.
struct HandOut<'a> {
    root: &'a Path,
    shared: &'a Shared<'a>,
    to: SyncSender<(u64, Batch)>,
}

impl Visitor for HandOut<'_> {
    fn enters(&mut self, below: &Path) -> ControlFlow<()> {
        if self.shared.is_stopped() {
            return ControlFlow::Break(());
        }
        locked(&self.shared.frontier).enters(self.root, below);
        ControlFlow::Continue(())
    }

    fn batch(&mut self, batch: Batch) -> ControlFlow<()> {
        if self.shared.is_stopped() {
            return ControlFlow::Break(());
        }
        let number = locked(&self.shared.frontier).hands_out();
        match self.to.send((number, batch)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

impl Shared<'_> {
    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn begin_thread(&self) {
        if self.options.idle {
            // A system that refuses lets it run at the usual priority.
            let _ = bascule_os::idle_priority();
        }
    }

    /// Walks all roots; returns how many folders.
    pub(super) fn walk(
        &self,
        roots: &[PathBuf],
        mounts: &Mounts,
        hand_out: SyncSender<(u64, Batch)>,
    ) -> u64 {
        self.begin_thread();
        let resume = self.options.resume.as_ref();
        let first = resume
            .and_then(|resume| roots.iter().position(|root| *root == resume.root))
            .unwrap_or(0);
        let mut walk = Walk {
            options: self.options,
            mounts,
            visitor: HandOut {
                root: Path::new(""),
                shared: self,
                to: hand_out,
            },
            base: PathBuf::new(),
            skips: &self.skips,
            folders: 0,
            held: 0,
        };
        for root in &roots[first..] {
            walk.visitor.root = root;
            let resume = resume.filter(|resume| resume.root == *root);
            if walk
                .root(root, resume.map(|resume| &*resume.below))
                .is_break()
            {
                break;
            }
        }
        walk.folders
    }

    /// Searches batches until there are no more.
    pub(super) fn search(&self, waiting: &Mutex<Receiver<(u64, Batch)>>, tell: &SyncSender<Done>) {
        self.begin_thread();
        let mut buffer = Buffer::new();
        loop {
            let Ok((number, batch)) = locked(waiting).recv() else {
                return;
            };
            let done = self.search_batch(number, &batch, &mut buffer);
            if tell.send(done).is_err() {
                return;
            }
        }
    }

    fn search_batch(&self, number: u64, batch: &Batch, buffer: &mut Buffer) -> Done {
        let mut done = Done {
            batch: number,
            whole: true,
            hits: Vec::new(),
            files: 0,
            bytes: 0,
            examples: 0,
            skips: Skips::default(),
        };
        let folder = &batch.folder;
        for name in &batch.files {
            if self.is_stopped() {
                done.whole = false;
                break;
            }
            let (mut file, metadata) = match folder.handle.open_file(name) {
                Ok(Opened::File(file, metadata)) => (file, metadata),
                // It was a file when the folder was read.
                Ok(Opened::Other) => {
                    done.skips.add(Reason::Special, &folder.path.join(name));
                    continue;
                }
                Err(error) => {
                    done.refused(&error, &folder.path, name.as_ref());
                    continue;
                }
            };
            let limit = self.options.largest_file;
            if metadata.len() > limit {
                done.skips.add(Reason::TooLarge, &folder.path.join(name));
                continue;
            }
            let surroundings = Surroundings::of(&folder.path, name);
            let content = buffer.search(
                &mut file,
                &metadata,
                limit,
                &self.matcher,
                surroundings,
                || self.is_stopped(),
            );
            let content = match content {
                Ok(content) => content,
                Err(error) => {
                    done.refused(&error, &folder.path, name.as_ref());
                    continue;
                }
            };
            done.files += 1;
            done.bytes += content.bytes;
            done.examples += content.examples;
            if content.packed {
                done.skips.add(Reason::Packed, &folder.path.join(name));
            }
            if content.too_many {
                done.skips.add(Reason::TooManyIds, &folder.path.join(name));
            }
            let hits = content.found.into_iter();
            done.hits
                .extend(hits.map(|placed| Hit::new(folder.path.join(name), placed)));
        }
        done.whole &= !self.is_stopped();
        done
    }

    /// Tells what the threads find until they have ended.
    pub(super) fn gather(
        &self,
        told: Receiver<Done>,
        mut on_hit: impl FnMut(Hit),
        mut on_progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Summary {
        let mut summary = Summary::default();
        for done in told {
            summary.files += done.files;
            summary.bytes += done.bytes;
            summary.examples += done.examples;
            summary.skipped.merge(&done.skips);
            done.hits.into_iter().for_each(&mut on_hit);
            if done.whole {
                locked(&self.frontier).done(done.batch);
            }
            let progress = Progress {
                files: summary.files,
                bytes: summary.bytes,
                searching: &summary.skipped,
                walking: &self.skips,
                frontier: &self.frontier,
            };
            if !self.is_stopped() && on_progress(&progress).is_break() {
                self.stopped.store(true, Ordering::Relaxed);
            }
        }
        if self.is_stopped() {
            summary.stopped_at = locked(&self.frontier).checkpoint();
        }
        summary
    }
}

impl Done {
    fn refused(&mut self, error: &std::io::Error, folder: &Path, name: &Path) {
        match reason_of(error) {
            // Told by its folder: all files of one are often refused.
            Some(Reason::Denied) => self.skips.add(Reason::Denied, folder),
            Some(reason) => self.skips.add(reason, &folder.join(name)),
            None => {}
        }
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
