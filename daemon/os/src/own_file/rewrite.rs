//! Rewriting a file that stays what it is to everybody: mode, owner, group and attributes are those
//! of the former one, and nothing is left beside it.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, OFlags, XattrFlags, fgetxattr, flistxattr, flock, fsetxattr},
    io::Errno,
};

use super::{Before, OwnFile, OwnFileError};
use crate::{
    file::{create_private_file, folder_of},
    folder::sync_dir,
    foreign::FileIdentity,
    path_error::PathError,
};

/// Attributes are small: no file system has longer ones than this in all.
const LONGEST_ATTRIBUTES: usize = 64 << 10;
/// What the system gives each file by itself.
const OF_THE_SYSTEM: &[u8] = b"com.apple.provenance";
/// The owner's right to write.
const OWNER_WRITES: u32 = 0o200;

/// What has been done when a run is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The temporary file is there, empty.
    Created,
    /// It is complete and durable, and nobody else can read it.
    Written,
    /// It has the rights of the former one.
    Dressed,
    /// It stands in the former one's place.
    Renamed,
    /// And will after a crash.
    Synced,
}

impl OwnFile {
    /// Replaces the content and nothing else, durably: after a crash it is the old file or the new
    /// one, never a mix, and never missing. Mode, owner, group and extended attributes stay, or
    /// nothing changes. No backup is made. A file that was changed since it was looked at is left
    /// alone, and so is one whose owner may not write it.
    ///
    /// The new content stands in `NAME.bascule-rewrite` until it is complete, closed to others; what
    /// a killed run has left there goes with the next one.
    pub fn rewrite(self, new: &[u8]) -> Result<(), OwnFileError> {
        self.rewrite_by_steps(new, |_| {})
    }

    fn rewrite_by_steps(self, new: &[u8], mut done: impl FnMut(Step)) -> Result<(), OwnFileError> {
        let Some(before) = &self.before else {
            return Err(OwnFileError::Missing { path: self.real });
        };
        if before.mode & OWNER_WRITES == 0 {
            return Err(OwnFileError::ReadOnly { path: self.real });
        }
        let former = still(&self.real, before)?;
        let mut temporary = Temporary::beside(&self.real)?;
        done(Step::Created);
        temporary
            .file
            .write_all(new)
            .and_then(|()| temporary.file.sync_all())
            .map_err(OwnFileError::io("write", &temporary.path))?;
        done(Step::Written);
        dress(&temporary.file, &former, before, &self.real)?;
        temporary
            .file
            .sync_all()
            .map_err(OwnFileError::io("write", &temporary.path))?;
        done(Step::Dressed);
        still(&self.real, before)?;
        fs::rename(&temporary.path, &self.real).map_err(OwnFileError::io("replace", &self.real))?;
        temporary.renamed = true;
        done(Step::Renamed);
        sync_dir(folder_of(&self.real))?;
        done(Step::Synced);
        Ok(())
    }
}

/// The file, if it is the one that was looked at.
fn still(path: &Path, before: &Before) -> Result<File, OwnFileError> {
    let changed = || OwnFileError::Changed {
        path: path.to_owned(),
    };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(|_| changed())?;
    let metadata = file.metadata().map_err(OwnFileError::io("examine", path))?;
    if FileIdentity::of(&metadata) != before.identity {
        return Err(changed());
    }
    Ok(file)
}

/// Gives a file the group, the attributes and the mode of another one, the mode last.
fn dress(file: &File, former: &File, before: &Before, path: &Path) -> Result<(), OwnFileError> {
    let keep = |what: &str, source: io::Error| OwnFileError::Keep {
        what: what.to_owned(),
        path: path.to_owned(),
        source,
    };
    let own = file.metadata().map_err(OwnFileError::io("examine", path))?;
    if own.gid() != before.group {
        std::os::unix::fs::fchown(file, None, Some(before.group))
            .map_err(|error| keep("group", error))?;
    }
    for name in attributes(former).map_err(|error| keep("extended attributes", error))? {
        if name.as_bytes() == OF_THE_SYSTEM {
            continue;
        }
        let shown = format!("extended attribute {}", name.display());
        let value = attribute(former, &name).map_err(|error| keep(&shown, error))?;
        // Such as a label that every file of the folder has.
        if attribute(file, &name).is_ok_and(|own| own == value) {
            continue;
        }
        fsetxattr(file, name.as_os_str(), &value, XattrFlags::empty())
            .map_err(|errno| keep(&shown, errno.into()))?;
    }
    file.set_permissions(Permissions::from_mode(before.mode))
        .map_err(|error| keep("mode", error))
}

/// The names of a file's attributes; none where the file system has no attributes.
fn attributes(file: &File) -> io::Result<Vec<OsString>> {
    let mut names = Vec::with_capacity(LONGEST_ATTRIBUTES);
    match flistxattr(file, rustix::buffer::spare_capacity(&mut names)) {
        Ok(_) => {}
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    }
    let names = names.split(|byte| *byte == 0);
    Ok(names
        .filter(|name| !name.is_empty())
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect())
}

fn attribute(file: &File, name: &OsStr) -> io::Result<Vec<u8>> {
    let mut value = Vec::with_capacity(LONGEST_ATTRIBUTES);
    fgetxattr(file, name, rustix::buffer::spare_capacity(&mut value))?;
    Ok(value)
}

/// The file that is to take the other one's place; removed unless it did.
struct Temporary {
    path: PathBuf,
    /// Locked as long as its run lives.
    file: File,
    renamed: bool,
}

impl Temporary {
    fn beside(real: &Path) -> Result<Self, OwnFileError> {
        let mut name = OsString::from(real.as_os_str());
        name.push(".bascule-rewrite");
        let path = PathBuf::from(name);
        let exists = |error: &PathError| matches!(error, PathError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists);
        let file = match create_private_file(&path) {
            Err(error) if exists(&error) => {
                remove_leftover(&path, real)?;
                create_private_file(&path)
            }
            created => created,
        };
        let file = match file {
            Err(error) if exists(&error) => return Err(busy(real)),
            file => file?,
        };
        // Not removed: without the lock it may be another run's by now.
        lock(&file, &path, real)?;
        Ok(Self {
            path,
            file,
            renamed: false,
        })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // Whatever ended this says more than a file that stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes what a killed run has left; one that lives holds its lock.
fn remove_leftover(path: &Path, real: &Path) -> Result<(), OwnFileError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(OwnFileError::io("open", path))?;
    let metadata = file.metadata().map_err(OwnFileError::io("examine", path))?;
    let us = crate::effective_uid();
    if !metadata.is_file() {
        return Err(OwnFileError::NotAFile {
            path: path.to_owned(),
        });
    }
    if metadata.uid() != us {
        return Err(OwnFileError::NotOurs {
            path: path.to_owned(),
            owner: metadata.uid(),
            us,
        });
    }
    lock(&file, path, real)?;
    // While it is locked nobody else removes it, so the name still means this file.
    fs::remove_file(path).map_err(OwnFileError::io("remove", path))
}

fn lock(file: &File, path: &Path, real: &Path) -> Result<(), OwnFileError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(busy(real)),
        Err(errno) => Err(OwnFileError::io("lock", path)(errno.into())),
    }
}

fn busy(real: &Path) -> OwnFileError {
    OwnFileError::Busy {
        path: real.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::{fs::symlink, process::ExitStatusExt},
        process::Command,
    };

    use super::*;
    use crate::own_file::Link;

    const LIMIT: u64 = 1 << 20;
    const VICTIM: &str = "BASCULE_TEST_REWRITE_VICTIM";
    const STEPS: [Step; 5] = [
        Step::Created,
        Step::Written,
        Step::Dressed,
        Step::Renamed,
        Step::Synced,
    ];

    fn file(folder: &tempfile::TempDir, content: &[u8], mode: u32) -> PathBuf {
        let path = folder.path().join("conf");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn look(path: &Path) -> OwnFile {
        OwnFile::look(path, LIMIT).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn mode_and_attributes_stay_and_nothing_is_left_beside() {
        for wanted in [0o600, 0o644, 0o640, 0o664, 0o755] {
            let folder = tempfile::tempdir().unwrap();
            let path = file(&folder, b"old", wanted);
            let held = File::open(&path).unwrap();
            let set = fsetxattr(&held, "user.bascule.test", b"kept", XattrFlags::empty());
            let mut widest = 0;
            let temporary = folder.path().join("conf.bascule-rewrite");
            let watch = |step| match step {
                Step::Created | Step::Written => widest = mode(&temporary),
                _ => {}
            };
            look(&path).rewrite_by_steps(b"new", watch).unwrap();
            assert_eq!(widest, 0o600, "closed until it is complete");
            assert_eq!(
                (mode(&path), fs::read(&path).unwrap()),
                (wanted, b"new".to_vec())
            );
            assert_eq!(names(folder.path()), ["conf"]);
            let now = File::open(&path).unwrap();
            match set {
                Ok(()) => assert_eq!(
                    attribute(&now, "user.bascule.test".as_ref()).unwrap(),
                    b"kept"
                ),
                Err(errno) => {
                    eprintln!("not shown: attributes, which this file system has not ({errno})");
                }
            }
        }
    }

    #[test]
    fn the_group_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, b"old", 0o640);
        if crate::effective_uid() != 0 {
            eprintln!("skipped: only root has groups to choose from");
            return;
        }
        std::os::unix::fs::chown(&path, None, Some(12345)).unwrap();
        look(&path).rewrite(b"new").unwrap();
        assert_eq!(
            (fs::metadata(&path).unwrap().gid(), mode(&path)),
            (12345, 0o640)
        );
    }

    #[test]
    fn a_read_only_file_is_refused_with_the_command_that_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, b"old", 0o400);
        let refused = look(&path).rewrite(b"new").unwrap_err().to_string();
        assert!(
            refused.contains(&format!("chmod u+w {}", path.display())),
            "{refused}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let missing = folder.path().join("none");
        let refused = look(&missing).rewrite(b"new").unwrap_err();
        assert!(matches!(refused, OwnFileError::Missing { .. }), "{refused}");
        assert_eq!(names(folder.path()), ["conf"]);
    }

    #[test]
    fn what_another_program_changes_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, b"old", 0o600);
        let looked = look(&path);
        fs::write(&path, "theirs").unwrap();
        let refused = looked.rewrite(b"new").unwrap_err();
        assert!(matches!(refused, OwnFileError::Changed { .. }), "{refused}");
        // As late as can be.
        let late = |step| {
            if step == Step::Dressed {
                fs::write(&path, "theirs too").unwrap();
            }
        };
        let refused = look(&path).rewrite_by_steps(b"new", late).unwrap_err();
        assert!(matches!(refused, OwnFileError::Changed { .. }), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"theirs too");
        assert_eq!(names(folder.path()), ["conf"]);
    }

    #[test]
    fn a_link_stays_and_is_told_with_the_work_tree_that_it_leads_into() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let dotfiles = root.join("dotfiles");
        fs::create_dir_all(dotfiles.join("rclone")).unwrap();
        let real = dotfiles.join("rclone/conf");
        fs::write(&real, "old").unwrap();
        symlink(&real, root.join("conf")).unwrap();
        symlink(dotfiles.join("rclone"), root.join("linked")).unwrap();
        let elsewhere = Link::Elsewhere { file: real.clone() };
        assert_eq!(look(&root.join("conf")).link(), Some(elsewhere));
        assert_eq!(look(&real).link(), None);
        fs::create_dir(dotfiles.join(".git")).unwrap();
        let kept = Link::WorkTree {
            root: dotfiles.clone(),
            file: real.clone(),
        };
        for path in [root.join("conf"), root.join("linked/conf")] {
            let looked = look(&path);
            assert_eq!(looked.link().as_ref(), Some(&kept));
            looked.rewrite(path.as_os_str().as_bytes()).unwrap();
            assert_eq!(fs::read(&real).unwrap(), path.as_os_str().as_bytes());
        }
        assert!(
            fs::symlink_metadata(root.join("conf"))
                .unwrap()
                .is_symlink()
        );
        assert_eq!(names(&dotfiles.join("rclone")), ["conf"]);
    }

    #[test]
    fn two_runs_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, b"old", 0o600);
        let other = |step| {
            if step == Step::Created {
                let refused = look(&path).rewrite(b"other").unwrap_err();
                assert!(matches!(refused, OwnFileError::Busy { .. }), "{refused}");
            }
        };
        look(&path).rewrite_by_steps(b"new", other).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["conf"]);
    }

    #[test]
    fn killed_at_any_step_it_is_the_old_file_or_the_new_one_and_the_next_run_clears_up() {
        let (old, new) = (b"old ".repeat(5000), b"new ".repeat(9000));
        if let Some(victim) = std::env::var_os(VICTIM) {
            let (path, at) = (PathBuf::from(victim), std::env::var("AT").unwrap());
            let die = |step| {
                if format!("{step:?}") == at {
                    crate::kill_self();
                }
            };
            look(&path).rewrite_by_steps(&new, die).unwrap();
            return;
        }
        for step in STEPS {
            let folder = tempfile::tempdir().unwrap();
            let path = file(&folder, &old, 0o644);
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "own_file::rewrite::tests::killed_at_any_step_it_is_the_old_file_or_the_new_one_and_the_next_run_clears_up"])
                .env(VICTIM, &path)
                .env("AT", format!("{step:?}"))
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert_eq!(status.signal(), Some(9), "{step:?}");
            let renamed = matches!(step, Step::Renamed | Step::Synced);
            let expected = if renamed { &new } else { &old };
            assert!(&fs::read(&path).unwrap() == expected, "{step:?}");
            assert_eq!(mode(&path), 0o644);
            look(&path).rewrite(b"next").unwrap();
            assert_eq!(names(folder.path()), ["conf"], "{step:?}");
        }
    }

    #[test]
    fn a_full_disk_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mount = |args: &[&str]| {
            let done = Command::new(args[0])
                .args(&args[1..])
                .arg(folder.path())
                .output();
            done.is_ok_and(|output| output.status.success())
        };
        if !mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"]) {
            eprintln!("skipped: a small file system can't be mounted here");
            return;
        }
        let path = file(&folder, b"old", 0o644);
        let refused = look(&path).rewrite(&vec![b'x'; 200_000]);
        let left = (fs::read(&path).unwrap(), mode(&path), names(folder.path()));
        assert!(mount(&["umount"]));
        let refused = refused.unwrap_err();
        assert!(matches!(refused, OwnFileError::Io { .. }), "{refused}");
        assert_eq!(left, (b"old".to_vec(), 0o644, vec!["conf".to_owned()]));
    }
}
