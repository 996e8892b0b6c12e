//! Walks folders in an order that is always the same, and hands out their files in small batches.
//! It follows no link, enters no other file system and no network mount unless told, and does not
//! touch what it does not enter: a mount that has stalled would never answer (threats.md F3, F9).

use std::{
    ffi::{OsStr, OsString},
    io,
    ops::ControlFlow,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex},
};

use bascule_os::{EntryKind, Folder, FolderIdentity, MountReach, Mounts};

use super::{
    Options,
    skipped::{Reason, Skips},
    threads::locked,
};

/// Nobody's folders lie more deeply in one another. Each level holds a descriptor.
const DEEPEST: usize = 128;
/// More folders at one moment, in all levels together, are held in memory by nobody's home.
const MOST_FOLDERS: usize = 100_000;
/// Files that are handed out together.
const BATCH: usize = 32;
/// Links in a path that is to be searched, at most.
const MOST_LINKS: usize = 40;

/// A folder that is open, and its path.
#[derive(Debug)]
pub(super) struct OpenFolder {
    pub(super) handle: Folder,
    pub(super) path: PathBuf,
}

/// Files of one folder.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) folder: Arc<OpenFolder>,
    pub(super) files: Vec<OsString>,
}

/// Who takes what the walk comes across.
pub(super) trait Visitor {
    /// The walk has come to a folder of the root; all before it were handed out.
    fn enters(&mut self, below: &Path) -> ControlFlow<()>;
    /// Files to be searched.
    fn batch(&mut self, batch: Batch) -> ControlFlow<()>;
}

pub(super) struct Walk<'a, V> {
    pub(super) options: &'a Options,
    pub(super) mounts: &'a Mounts,
    pub(super) visitor: V,
    /// The root that is walked, without links.
    pub(super) base: PathBuf,
    /// Shared, since the progress tells them too.
    pub(super) skips: &'a Mutex<Skips>,
    pub(super) folders: u64,
    /// Folders whose names are held at this moment.
    pub(super) held: usize,
}

impl<V: Visitor> Walk<'_, V> {
    /// Walks a folder, or hands out a file. `resume` leads to the folder to go on at.
    pub(super) fn root(&mut self, root: &Path, resume: Option<&Path>) -> ControlFlow<()> {
        let path = match resolved(root, self.mounts, self.options) {
            Ok(path) => path,
            Err(reason) => {
                self.skip(reason, root);
                return ControlFlow::Continue(());
            }
        };
        self.base.clone_from(&path);
        let names: Vec<_> = resume
            .into_iter()
            .flat_map(Path::components)
            .map(Component::as_os_str)
            .collect();
        match Folder::open(&path) {
            Ok(handle) => match handle.identity() {
                Ok(identity) => {
                    let folder = OpenFolder { handle, path };
                    self.folder(&Arc::new(folder), &names, &mut vec![identity])
                }
                Err(error) => self.refused(&error, &path),
            },
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => self.single(&path),
            Err(error) => self.refused(&error, &path),
        }
    }

    /// A file that was named itself.
    fn single(&mut self, path: &Path) -> ControlFlow<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return ControlFlow::Continue(());
        };
        self.visitor.enters(Path::new(""))?;
        match Folder::open(parent) {
            Ok(handle) => self.visitor.batch(Batch {
                folder: Arc::new(OpenFolder {
                    handle,
                    path: parent.to_owned(),
                }),
                files: vec![name.to_owned()],
            }),
            Err(error) => self.refused(&error, path),
        }
    }

    /// Its files first, then its folders by name: so one path says how far a walk has come. `above`
    /// are this folder and those it lies in.
    fn folder(
        &mut self,
        folder: &Arc<OpenFolder>,
        resume: &[&OsStr],
        above: &mut Vec<FolderIdentity>,
    ) -> ControlFlow<()> {
        self.folders += 1;
        let resumes = resume.first();
        if resumes.is_none() {
            let below = folder.path.strip_prefix(&self.base);
            self.visitor.enters(below.unwrap_or(&folder.path))?;
        }
        let entries = match folder.handle.entries() {
            Ok(entries) => entries,
            Err(error) => return self.refused(&error, &folder.path),
        };
        let mut below: Vec<OsString> = Vec::new();
        let mut files: Vec<OsString> = Vec::new();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.refused(&error, &folder.path)?;
                    break;
                }
            };
            match entry.kind {
                EntryKind::Folder => {
                    if resumes.is_some_and(|name| &*entry.name < *name) {
                        continue;
                    }
                    if self.held == MOST_FOLDERS {
                        self.skip(Reason::TooManyFolders, &folder.path);
                    } else {
                        self.held += 1;
                        below.push(entry.name);
                    }
                }
                // Those of a folder that is gone on below were searched.
                _ if resumes.is_some() => {}
                EntryKind::File => {
                    files.push(entry.name);
                    if files.len() == BATCH {
                        self.hand_out(folder, std::mem::take(&mut files))?;
                    }
                }
                EntryKind::Link => self.skip(Reason::Link, &folder.path),
                EntryKind::Special => self.skip(Reason::Special, &folder.path.join(entry.name)),
            }
        }
        if !files.is_empty() {
            self.hand_out(folder, files)?;
        }
        below.sort_unstable();
        let held = below.len();
        let mut outcome = ControlFlow::Continue(());
        for name in below {
            let further = match resumes {
                Some(next) if **next == *name => &resume[1..],
                _ => &[],
            };
            outcome = self.enter(folder, &name, further, above);
            if outcome.is_break() {
                break;
            }
        }
        self.held -= held;
        outcome
    }

    fn hand_out(&mut self, folder: &Arc<OpenFolder>, files: Vec<OsString>) -> ControlFlow<()> {
        let folder = Arc::clone(folder);
        self.visitor.batch(Batch { folder, files })
    }

    fn enter(
        &mut self,
        parent: &OpenFolder,
        name: &OsStr,
        resume: &[&OsStr],
        above: &mut Vec<FolderIdentity>,
    ) -> ControlFlow<()> {
        let path = parent.path.join(name);
        let closed = if self.options.left_out.contains(&path) {
            Some(Reason::LeftOut)
        } else if above.len() == DEEPEST {
            Some(Reason::TooDeep)
        } else {
            closed_mount(&path, self.mounts, self.options)
        };
        if let Some(reason) = closed {
            self.skip(reason, &path);
            return ControlFlow::Continue(());
        }
        let opened = parent.handle.open_folder(name);
        let identity = opened.and_then(|handle| Ok((handle.identity()?, handle)));
        let (identity, handle) = match identity {
            Ok(opened) => opened,
            Err(error) => return self.refused(&error, &path),
        };
        let crosses = above
            .last()
            .is_some_and(|last| last.device != identity.device);
        // What is mounted there may be entered by now; or it was mounted meanwhile, or is a part that a
        // file system keeps apart.
        let told = self.options.other_file_systems || self.mounts.at(&path).is_some();
        if crosses && !told {
            self.skip(Reason::OtherFileSystem, &path);
            return ControlFlow::Continue(());
        }
        // A file system that is mounted inside itself.
        if above.contains(&identity) {
            self.skip(Reason::Link, &path);
            return ControlFlow::Continue(());
        }
        above.push(identity);
        let outcome = self.folder(&Arc::new(OpenFolder { handle, path }), resume, above);
        above.pop();
        outcome
    }

    fn skip(&self, reason: Reason, path: &Path) {
        locked(self.skips).add(reason, path);
    }

    fn refused(&mut self, error: &io::Error, path: &Path) -> ControlFlow<()> {
        if let Some(reason) = reason_of(error) {
            self.skip(reason, path);
        }
        ControlFlow::Continue(())
    }
}

/// Why a file or folder was not read. `None` if it is gone or another thing by now: whatever did
/// that is told by an event of its own.
pub(super) fn reason_of(error: &io::Error) -> Option<Reason> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => None,
        io::ErrorKind::PermissionDenied => Some(Reason::Denied),
        _ => Some(Reason::Unreadable),
    }
}

/// Why what is mounted at a path is not entered, if something is.
fn closed_mount(path: &Path, mounts: &Mounts, options: &Options) -> Option<Reason> {
    match mounts.at(path)?.reach() {
        MountReach::System => Some(Reason::System),
        MountReach::Remote if !options.remote => Some(Reason::Remote),
        MountReach::Local if !options.other_file_systems => Some(Reason::OtherFileSystem),
        MountReach::Remote | MountReach::Local => None,
    }
}

/// The path without links. It is gone along step by step, so that no step touches a mount that may
/// not answer.
fn resolved(root: &Path, mounts: &Mounts, options: &Options) -> Result<PathBuf, Reason> {
    let absolute = std::path::absolute(root).map_err(|_| Reason::Absent)?;
    let mut path = PathBuf::from("/");
    let mut ahead: Vec<OsString> = Vec::new();
    push_parts(&mut ahead, &absolute);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            path.pop();
            continue;
        }
        path.push(part);
        match mounts.over(&path).map(bascule_os::Mount::reach) {
            Some(MountReach::System) => return Err(Reason::System),
            Some(MountReach::Remote) if !options.remote => return Err(Reason::Remote),
            _ => {}
        }
        let target = match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => std::fs::read_link(&path),
            Ok(_) => continue,
            Err(error) => return Err(reason_of(&error).unwrap_or(Reason::Absent)),
        };
        links += 1;
        let target = target.map_err(|_| Reason::Absent)?;
        if links > MOST_LINKS {
            return Err(Reason::Absent);
        }
        path.pop();
        if target.is_absolute() {
            path = PathBuf::from("/");
        }
        push_parts(&mut ahead, &target);
    }
    Ok(path)
}

/// Puts the steps of a path ahead of those that are left.
fn push_parts(ahead: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    ahead.extend(parts);
}
