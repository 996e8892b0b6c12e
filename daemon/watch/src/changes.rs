//! Tells when something of interest changes, by the system's events and never by looking. Folders are
//! watched, not files: tools replace their files. It must never read a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

#[cfg(target_os = "linux")]
use bascule_os::FolderWatch;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
use elsewhere::FolderWatch;

/// What was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// Something changed at this path.
    Changed(PathBuf),
    /// More happened than the system tells: everything may have changed.
    Overflow,
}

/// A folder whose changes are not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotWatched {
    /// Which.
    pub folder: PathBuf,
    /// Why, and what would help.
    pub why: String,
    /// Whether the system has none left, which concerns every other folder too.
    pub exhausted: bool,
}

/// Which names matter in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    All,
    These(BTreeSet<OsString>),
}

type Covered = Arc<Mutex<BTreeMap<PathBuf, Names>>>;

/// The watch over some paths.
pub struct Changes {
    watch: FolderWatch,
    covered: Covered,
}

impl Changes {
    /// A watch over nothing yet. `noticed` is called on a thread of its own and must not wait.
    pub fn new(noticed: impl Fn(Noticed) + Send + 'static) -> Result<Self, NotWatched> {
        let covered = Covered::default();
        let matters = Arc::clone(&covered);
        let watch = FolderWatch::new(move |changed| report(changed, &matters, &noticed));
        watch
            .map(|watch| Self { watch, covered })
            .map_err(|error| NotWatched {
                folder: PathBuf::from("/"),
                why: told(&error),
                exhausted: true,
            })
    }

    /// Watches these paths and nothing else from now on: each a file, or a folder whose entries all
    /// matter, whether or not it is there yet. What can't be watched is told.
    pub fn cover(&mut self, paths: &[PathBuf]) -> Vec<NotWatched> {
        let mut wanted = BTreeMap::new();
        for path in paths {
            want(path, &mut wanted);
        }
        let before = std::mem::replace(&mut *lock(&self.covered), wanted.clone());
        let mut not_watched = Vec::new();
        for folder in before.keys().filter(|folder| !wanted.contains_key(*folder)) {
            self.watch.unwatch(folder);
        }
        for folder in wanted.keys() {
            // Watched again even if it was before: a folder that was replaced is another one.
            if let Err(error) = self.watch.watch(folder) {
                not_watched.push(NotWatched {
                    folder: folder.clone(),
                    why: told(&error),
                    exhausted: error.kind() == io::ErrorKind::StorageFull,
                });
            }
        }
        not_watched
    }
}

/// Adds the folders to watch for a path: the path itself if it is a folder, and the next step towards
/// it from the closest folder that is there.
fn want(path: &Path, wanted: &mut BTreeMap<PathBuf, Names>) {
    if path.is_dir() {
        wanted.insert(path.to_owned(), Names::All);
    }
    let mut below = path;
    while let (Some(folder), Some(name)) = (below.parent(), below.file_name()) {
        if folder.is_dir() {
            let names = wanted
                .entry(folder.to_owned())
                .or_insert_with(|| Names::These(BTreeSet::new()));
            if let Names::These(names) = names {
                names.insert(name.to_owned());
            }
            return;
        }
        below = folder;
    }
}

fn report(changed: Option<&Path>, covered: &Covered, noticed: &impl Fn(Noticed)) {
    let Some(path) = changed else {
        return noticed(Noticed::Overflow);
    };
    let covered = lock(covered);
    let matters = covered.contains_key(path)
        || path
            .parent()
            .zip(path.file_name())
            .is_some_and(|(folder, name)| match covered.get(folder) {
                Some(Names::All) => true,
                Some(Names::These(names)) => names.contains(name),
                None => false,
            });
    if matters {
        noticed(Noticed::Changed(path.to_owned()));
    }
}

fn lock(covered: &Covered) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Names>> {
    covered.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => {
            "the system has no watches left; raise fs.inotify.max_user_watches".to_owned()
        }
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "it is gone".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc, time::Duration};

    use super::*;

    /// Far longer than any event takes; only a defect waits for it.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_file_that_comes_is_replaced_or_goes_is_noticed_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (tell, told) = mpsc::channel();
        let mut changes = Changes::new(move |noticed| tell.send(noticed).unwrap()).unwrap();
        let file = root.join("rclone/rclone.conf");
        assert_eq!(changes.cover(std::slice::from_ref(&file)), []);
        let next = |path: &Path| {
            let expected = Noticed::Changed(path.to_owned());
            while told.recv_timeout(LONG).unwrap() != expected {}
        };
        fs::create_dir(root.join("rclone")).unwrap();
        next(&root.join("rclone"));
        assert_eq!(changes.cover(std::slice::from_ref(&file)), []);
        fs::write(&file, "[r2]").unwrap();
        next(&file);
        fs::write(root.join("rclone/other"), "x").unwrap();
        fs::write(root.join("rclone/new"), "[r3]").unwrap();
        fs::rename(root.join("rclone/new"), &file).unwrap();
        next(&file);
        fs::remove_file(&file).unwrap();
        next(&file);
        while let Ok(more) = told.try_recv() {
            assert_eq!(more, Noticed::Changed(file.clone()));
        }
    }

    #[test]
    fn f4_rights_that_come_back_are_noticed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("rclone.conf");
        fs::write(&file, "[r2]").unwrap();
        let (tell, told) = mpsc::channel();
        let mut changes = Changes::new(move |noticed| tell.send(noticed).unwrap()).unwrap();
        changes.cover(std::slice::from_ref(&file));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let noticed = told.recv_timeout(LONG).unwrap();
        assert_eq!(noticed, Noticed::Changed(file));
    }

    #[test]
    fn every_entry_of_a_covered_folder_matters() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (tell, told) = mpsc::channel();
        let mut changes = Changes::new(move |noticed| tell.send(noticed).unwrap()).unwrap();
        changes.cover(std::slice::from_ref(&root));
        fs::write(root.join("job.timer"), "").unwrap();
        let noticed = told.recv_timeout(LONG).unwrap();
        assert_eq!(noticed, Noticed::Changed(root.join("job.timer")));
    }
}
