//! The watch over folders where the system is not Linux: through notify. On Linux that asks to be told of
//! every file that is opened, so there `bascule_os` has one of its own, and this one its form.

use std::{io, path::Path};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

pub(super) struct FolderWatch(RecommendedWatcher);

impl FolderWatch {
    pub(super) fn new(noticed: impl Fn(Option<&Path>) + Send + 'static) -> io::Result<Self> {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            match event {
                Ok(event) if !event.need_rescan() => {
                    // Reading is no change.
                    if !matches!(event.kind, EventKind::Access(access) if !writes(access)) {
                        event.paths.iter().for_each(|path| noticed(Some(path)));
                    }
                }
                _ => noticed(None),
            }
        });
        watcher.map(Self).map_err(told)
    }

    pub(super) fn watch(&mut self, folder: &Path) -> io::Result<()> {
        let watched = self.0.watch(folder, RecursiveMode::NonRecursive);
        watched.map_err(told)
    }

    pub(super) fn unwatch(&mut self, folder: &Path) {
        // It may be gone, which ends its watch too.
        self.0.unwatch(folder).ok();
    }
}

const fn writes(access: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    matches!(access, AccessKind::Close(AccessMode::Write))
}

fn told(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => io::ErrorKind::StorageFull.into(),
        notify::ErrorKind::PathNotFound => io::ErrorKind::NotFound.into(),
        notify::ErrorKind::Io(error) => error,
        _ => io::Error::other("the system does not watch it"),
    }
}
