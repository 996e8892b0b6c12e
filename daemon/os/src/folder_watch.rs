//! Changes of the entries of folders, as inotify(7) tells them. It never asks to be told of files that are
//! only opened or read: on a busy machine that wakes a process all the time.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsStr,
    io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};

/// Whatever changes an entry, its rights or its content, or the folder itself.
const CHANGES: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// A watch over folders, not over what lies deeper in them.
#[derive(Debug)]
pub struct FolderWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inotify: OwnedFd,
    folders: Mutex<Folders>,
}

#[derive(Debug, Default)]
struct Folders {
    /// A folder may be reached by several paths.
    by_number: HashMap<i32, BTreeSet<PathBuf>>,
    by_path: HashMap<PathBuf, i32>,
    ended: bool,
}

impl FolderWatch {
    /// A watch over nothing yet. `noticed` is told each path that has changed, and `None` when more
    /// happened than the system keeps; it is called on a thread of its own.
    pub fn new(noticed: impl Fn(Option<&Path>) + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            inotify: inotify::init(CreateFlags::CLOEXEC)?,
            folders: Mutex::default(),
        });
        let reading = Arc::clone(&shared);
        thread::Builder::new()
            .name("folder-watch".into())
            .spawn(move || reading.read(&noticed))?;
        Ok(Self(shared))
    }

    /// Watches a folder. What lies at a path that is watched already may be another one by now.
    /// `StorageFull`: the system has no watches left.
    pub fn watch(&self, folder: &Path) -> io::Result<()> {
        let mut folders = self.0.folders();
        let number = inotify::add_watch(&self.0.inotify, folder, CHANGES)?;
        if folders.by_path.get(folder) != Some(&number) {
            self.0.forget(&mut folders, folder);
            folders.by_path.insert(folder.to_owned(), number);
        }
        let paths = folders.by_number.entry(number).or_default();
        paths.insert(folder.to_owned());
        Ok(())
    }

    /// Watches a folder no more.
    pub fn unwatch(&self, folder: &Path) {
        self.0.forget(&mut self.0.folders(), folder);
    }
}

impl Drop for FolderWatch {
    fn drop(&mut self) {
        self.0.folders().ended = true;
        // The end of a watch wakes the thread. Without one left it would wait as long as the process
        // lives, which is all that a failure here comes to.
        if let Ok(number) = inotify::add_watch(&self.0.inotify, "/", CHANGES) {
            inotify::remove_watch(&self.0.inotify, number).ok();
        }
    }
}

impl Shared {
    fn folders(&self) -> MutexGuard<'_, Folders> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, folders: &mut Folders, folder: &Path) {
        let Some(number) = folders.by_path.remove(folder) else {
            return;
        };
        if let Some(paths) = folders.by_number.get_mut(&number) {
            paths.remove(folder);
            if paths.is_empty() {
                folders.by_number.remove(&number);
                // It has ended already if the folder is gone.
                inotify::remove_watch(&self.inotify, number).ok();
            }
        }
    }

    fn read(&self, noticed: &impl Fn(Option<&Path>)) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let kinds = event.events();
            let mut folders = self.folders();
            if folders.ended {
                return;
            }
            if kinds.contains(ReadFlags::QUEUE_OVERFLOW) {
                drop(folders);
                noticed(None);
                continue;
            }
            let number = event.wd();
            let changed: Vec<PathBuf> = folders
                .by_number
                .get(&number)
                .into_iter()
                .flatten()
                .map(|folder| match event.file_name() {
                    Some(name) => folder.join(OsStr::from_bytes(name.to_bytes())),
                    None => folder.clone(),
                })
                .collect();
            if kinds.contains(ReadFlags::IGNORED) {
                for folder in folders.by_number.remove(&number).into_iter().flatten() {
                    folders.by_path.remove(&folder);
                }
                continue;
            }
            drop(folders);
            changed.iter().for_each(|path| noticed(Some(path)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc, time::Duration};

    use super::*;

    /// Far longer than any event takes; only a defect waits for it.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn changes_are_told_by_each_path_and_reading_is_none() {
        let temp = tempfile::tempdir().unwrap();
        let (real, link) = (temp.path().join("real"), temp.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        let (tell, told) = mpsc::channel();
        let watch = FolderWatch::new(move |path| {
            tell.send(path.map(Path::to_owned)).unwrap();
        });
        let watch = watch.unwrap();
        watch.watch(&real).unwrap();
        watch.watch(&link).unwrap();
        watch.watch(&link).unwrap();
        fs::write(real.join("a"), "x").unwrap();
        let next = || told.recv_timeout(LONG).unwrap().unwrap();
        let both: BTreeSet<_> = [next(), next()].into();
        assert_eq!(both, BTreeSet::from([real.join("a"), link.join("a")]));
        watch.unwatch(&link);
        while told.try_recv().is_ok() {}
        fs::read(real.join("a")).unwrap();
        fs::read_dir(&real).unwrap().for_each(drop);
        fs::write(real.join("b"), "").unwrap();
        let mut last = None;
        while last != Some(real.join("b")) {
            let path = told.recv_timeout(LONG).unwrap().unwrap();
            assert!(!path.starts_with(&link), "{path:?}");
            last = Some(path);
        }
        drop(watch);
        // The thread has ended, and with it what it told.
        while told.recv_timeout(LONG).is_ok() {}
        assert_eq!(
            told.recv_timeout(LONG),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }

    #[test]
    fn a_folder_that_was_replaced_is_watched_as_the_other_one_it_is() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("folder");
        fs::create_dir(&folder).unwrap();
        let (tell, told) = mpsc::channel();
        let watch = FolderWatch::new(move |path| {
            tell.send(path.map(Path::to_owned)).unwrap();
        });
        let watch = watch.unwrap();
        watch.watch(&folder).unwrap();
        fs::rename(&folder, temp.path().join("old")).unwrap();
        fs::create_dir(&folder).unwrap();
        watch.watch(&folder).unwrap();
        fs::write(temp.path().join("old/x"), "").unwrap();
        fs::write(folder.join("y"), "").unwrap();
        while told.recv_timeout(LONG).unwrap() != Some(folder.join("y")) {}
        assert!(watch.watch(&folder.join("y")).is_err(), "a file");
    }
}
