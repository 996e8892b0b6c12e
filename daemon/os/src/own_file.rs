//! Files that other programs of the user's read: looked at, then replaced whole or not at all.
//! What stood there is kept beside it, or by who rewrites it. Nothing is changed for a file that is
//! not the user's.

mod links;
mod rewrite;

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, AtFlags, CWD, OFlags, accessat},
    io::Errno,
};

use crate::{
    file::{create_private_file, folder_of},
    folder::{private_dir, sync_dir},
    foreign::FileIdentity,
    path_error::PathError,
};

pub use links::Link;

/// The widest mode of a file that holds a key.
const WIDEST: u32 = 0o600;
/// Names that are tried for a file of our own before giving up.
const NAMES: u32 = 1000;

/// Why a file is not replaced. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum OwnFileError {
    /// It belongs to somebody else.
    #[error("{} belongs to user id {owner}, not to user id {us}", .path.display())]
    NotOurs {
        /// Which path.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// A folder, pipe, socket or device.
    #[error("{} is not a regular file", .path.display())]
    NotAFile {
        /// Which path.
        path: PathBuf,
    },
    /// A link to nothing: what it should lead to can't be guessed.
    #[error("{} is a symbolic link that leads to nothing", .path.display())]
    Dangling {
        /// Which path.
        path: PathBuf,
    },
    /// A new file in its place would no longer be the same as the other names' one.
    #[error("{} has several names (hard links), which replacing it would part", .path.display())]
    SeveralNames {
        /// Which path.
        path: PathBuf,
    },
    /// No configuration is that large.
    #[error("{} is larger than {limit} bytes", .path.display())]
    TooLarge {
        /// Which path.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// Somebody else wrote it at the same time.
    #[error("{} was changed by another program at the same moment", .path.display())]
    Changed {
        /// Which path.
        path: PathBuf,
    },
    /// There is none.
    #[error("{} is not there", .path.display())]
    Missing {
        /// Which path.
        path: PathBuf,
    },
    /// Its owner may not write it: somebody wanted it to stay as it is.
    #[error("{path} is read-only; chmod u+w {path} lets it be changed", path = .path.display())]
    ReadOnly {
        /// Which path.
        path: PathBuf,
    },
    /// Nothing in a store of Nix or Guix is ever changed; it is made anew from its source.
    #[error("{} lies in a store that its own tool writes", .path.display())]
    Store {
        /// The path with its links resolved.
        path: PathBuf,
    },
    /// The new file could not be given what the former one has.
    #[error("can't keep the {what} of {}", .path.display())]
    Keep {
        /// Such as `group`, or the name of an extended attribute.
        what: String,
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process of ours is rewriting it.
    #[error("{} is being rewritten at this moment", .path.display())]
    Busy {
        /// Which path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("can't {action} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// As above, of a file or folder of our own making.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl OwnFileError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// A file that may be replaced, as it is now.
#[derive(Debug)]
pub struct OwnFile {
    /// As it was asked for.
    path: PathBuf,
    /// With links resolved: a link stays one, and what it leads to is replaced.
    real: PathBuf,
    before: Option<Before>,
}

struct Before {
    bytes: Vec<u8>,
    identity: FileIdentity,
    mode: u32,
    group: u32,
}

/// What replacing came to, besides the new content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The former content, with mode 0600. `None` for a file that is new.
    pub backup: Option<PathBuf>,
    /// The former mode, if others could reach the file before.
    pub narrowed: Option<u32>,
}

impl OwnFile {
    /// Looks at a file of `limit` bytes at most, or at the place of one that is not there yet, and
    /// finds out what would prevent replacing it. Opening never blocks (threats.md F1 to F3).
    pub fn look(path: &Path, limit: u64) -> Result<Self, OwnFileError> {
        let real = match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => {
                fs::canonicalize(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => OwnFileError::Dangling {
                        path: path.to_owned(),
                    },
                    _ => OwnFileError::io("follow", path)(error),
                })?
            }
            Ok(_) => path.to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path.ancestors().skip(1).find(|folder| folder.exists());
                writable(folder.unwrap_or(Path::new(".")))?;
                return Ok(Self {
                    path: path.to_owned(),
                    real: path.to_owned(),
                    before: None,
                });
            }
            Err(error) => return Err(OwnFileError::io("examine", path)(error)),
        };
        links::outside_of_stores(&real)?;
        let before = Before::read(&real, limit)?;
        writable(folder_of(&real))?;
        Ok(Self {
            path: path.to_owned(),
            real,
            before: Some(before),
        })
    }

    /// What it holds; `None` if it is not there.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        self.before.as_ref().map(|before| before.bytes.as_slice())
    }

    /// Where it is, with the link at its end resolved.
    #[must_use]
    pub fn real_path(&self) -> &Path {
        &self.real
    }

    /// Its mode, such as 0o644; `None` if it is not there.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        self.before.as_ref().map(|before| before.mode)
    }

    /// Replaces it, durably: after a crash it is the old file or the new one, never a mix, and
    /// never missing. The mode stays if it is 0600 or stricter, and is narrowed to that otherwise.
    /// A file that was changed since it was looked at is left alone.
    pub fn replace(self, new: &[u8]) -> Result<Replaced, OwnFileError> {
        let folder = folder_of(&self.real);
        if !folder.exists() {
            private_dir(folder)?;
        }
        let mut unfinished = Unfinished::beside(&self.real, "bascule-new", new)?;
        let replaced = match &self.before {
            None => {
                unfinished.publish(&self.real)?;
                Replaced {
                    backup: None,
                    narrowed: None,
                }
            }
            Some(before) => {
                unfinished.set(before)?;
                let mut backup = Unfinished::beside(&self.real, "bascule-backup", &before.bytes)?;
                let now = fs::symlink_metadata(&self.real).ok();
                if now.map(|metadata| FileIdentity::of(&metadata)) != Some(before.identity) {
                    return Err(OwnFileError::Changed { path: self.real });
                }
                fs::rename(&unfinished.path, &self.real)
                    .map_err(OwnFileError::io("replace", &self.real))?;
                (unfinished.done, backup.done) = (true, true);
                Replaced {
                    backup: Some(backup.path.clone()),
                    narrowed: (before.mode & !WIDEST != 0).then_some(before.mode),
                }
            }
        };
        sync_dir(folder)?;
        Ok(replaced)
    }
}

impl Before {
    fn read(path: &Path, limit: u64) -> Result<Self, OwnFileError> {
        let not_a_file = || OwnFileError::NotAFile {
            path: path.to_owned(),
        };
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::NXIO | Errno::OPNOTSUPP) => not_a_file(),
                _ => OwnFileError::io("read", path)(error),
            })?;
        let metadata = file.metadata().map_err(OwnFileError::io("examine", path))?;
        if !metadata.is_file() {
            return Err(not_a_file());
        }
        let us = crate::effective_uid();
        if metadata.uid() != us {
            return Err(OwnFileError::NotOurs {
                path: path.to_owned(),
                owner: metadata.uid(),
                us,
            });
        }
        if metadata.nlink() > 1 {
            return Err(OwnFileError::SeveralNames {
                path: path.to_owned(),
            });
        }
        let too_large = || OwnFileError::TooLarge {
            path: path.to_owned(),
            limit,
        };
        if metadata.len() > limit {
            return Err(too_large());
        }
        // One allocation, so that no copy of a secret is left behind by growing.
        let wanted = metadata.len().saturating_add(1);
        let mut bytes = Vec::with_capacity(usize::try_from(wanted).map_err(|_| too_large())?);
        file.take(wanted)
            .read_to_end(&mut bytes)
            .map_err(OwnFileError::io("read", path))?;
        if bytes.len() as u64 != metadata.len() {
            return Err(OwnFileError::Changed {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            bytes,
            identity: FileIdentity::of(&metadata),
            mode: metadata.mode() & 0o7777,
            group: metadata.gid(),
        })
    }
}

impl std::fmt::Debug for Before {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Before")
            .field("len", &self.bytes.len())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// A file of ours beside another one, complete and durable; removed unless it is done.
struct Unfinished {
    path: PathBuf,
    file: File,
    done: bool,
}

impl Unfinished {
    fn beside(path: &Path, what: &str, bytes: &[u8]) -> Result<Self, OwnFileError> {
        let mut number = 1;
        let (path, file) = loop {
            let mut name = OsString::from(path.as_os_str());
            name.push(match number {
                1 => format!(".{what}"),
                _ => format!(".{what}-{number}"),
            });
            let candidate = PathBuf::from(name);
            match create_private_file(&candidate) {
                Ok(file) => break (candidate, file),
                Err(PathError::Io { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists && number < NAMES =>
                {
                    number += 1;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let mut unfinished = Self {
            path,
            file,
            done: false,
        };
        let written = unfinished
            .file
            .write_all(bytes)
            .and_then(|()| unfinished.file.sync_all());
        written.map_err(OwnFileError::io("write", &unfinished.path))?;
        Ok(unfinished)
    }

    /// Gives it the mode and the group of the file that it replaces.
    fn set(&self, before: &Before) -> Result<(), OwnFileError> {
        // The group has no rights either way, so its loss changes nothing.
        let _ = std::os::unix::fs::fchown(&self.file, None, Some(before.group));
        self.file
            .set_permissions(Permissions::from_mode(before.mode & WIDEST))
            .and_then(|()| self.file.sync_all())
            .map_err(OwnFileError::io("set the mode of", &self.path))
    }

    /// Gives it a name that nobody may have taken meanwhile.
    fn publish(&mut self, path: &Path) -> Result<(), OwnFileError> {
        match fs::hard_link(&self.path, path) {
            // The first name goes when this value does.
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(OwnFileError::Changed {
                    path: path.to_owned(),
                })
            }
            // A file system without hard links.
            Err(_) if fs::symlink_metadata(path).is_err() => {
                fs::rename(&self.path, path).map_err(OwnFileError::io("create", path))?;
                self.done = true;
                Ok(())
            }
            Err(error) => Err(OwnFileError::io("create", path)(error)),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            // Whatever ended this says more than a file that stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn writable(folder: &Path) -> Result<(), OwnFileError> {
    let metadata = fs::metadata(folder).map_err(OwnFileError::io("examine", folder))?;
    if !metadata.is_dir() {
        return Err(OwnFileError::io("create a file in", folder)(
            io::ErrorKind::NotADirectory.into(),
        ));
    }
    accessat(
        CWD,
        folder,
        Access::WRITE_OK | Access::EXEC_OK,
        AtFlags::EACCESS,
    )
    .map_err(|errno| OwnFileError::io("create a file in", folder)(errno.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::symlink, net::UnixListener};

    use super::*;

    const LIMIT: u64 = 100;

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> = fs::read_dir(self.folder.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    fn replace(path: &Path, new: &str) -> Result<Replaced, OwnFileError> {
        OwnFile::look(path, LIMIT)?.replace(new.as_bytes())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_stood_there_is_kept_beside_it_each_time() {
        let place = Place::new();
        let path = place.file("conf", "one", 0o644);
        let first = replace(&path, "two").unwrap();
        let second = replace(&path, "three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!((first.narrowed, second.narrowed), (Some(0o644), None));
        let backups = [first.backup.unwrap(), second.backup.unwrap()];
        for (backup, content) in backups.iter().zip(["one", "two"]) {
            assert_eq!(fs::read_to_string(backup).unwrap(), content);
            assert_eq!(mode(backup), 0o600);
        }
        assert_eq!(mode(&path), 0o600);
        assert_eq!(
            place.names(),
            ["conf", "conf.bascule-backup", "conf.bascule-backup-2"]
        );
    }

    #[test]
    fn a_stricter_mode_stays() {
        let place = Place::new();
        let path = place.file("conf", "one", 0o400);
        assert_eq!(replace(&path, "two").unwrap().narrowed, None);
        assert_eq!(
            (mode(&path), fs::read(&path).unwrap().as_slice()),
            (0o400, &b"two"[..])
        );
    }

    #[test]
    fn a_new_file_is_made_with_its_folders_and_without_a_backup() {
        let place = Place::new();
        let path = place.path("a/b/conf");
        assert_eq!(OwnFile::look(&path, LIMIT).unwrap().bytes(), None);
        assert!(place.names().is_empty(), "looking changes nothing");
        assert_eq!(replace(&path, "one").unwrap().backup, None);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!((mode(&path), mode(&place.path("a"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(place.path("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_one_and_its_target_is_replaced() {
        let place = Place::new();
        fs::create_dir(place.path("dotfiles")).unwrap();
        let real = place.file("dotfiles/conf", "one", 0o600);
        let link = place.path("conf");
        symlink("dotfiles/conf", &link).unwrap();
        let backup = replace(&link, "two").unwrap().backup.unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"two");
        assert_eq!(backup.parent(), fs::canonicalize(&real).unwrap().parent());
    }

    #[test]
    fn what_changes_between_look_and_replace_is_left_alone() {
        let place = Place::new();
        let path = place.file("conf", "one", 0o600);
        let looked = OwnFile::look(&path, LIMIT).unwrap();
        let other = place.file("other", "theirs", 0o600);
        fs::rename(other, &path).unwrap();
        let refused = looked.replace(b"two").unwrap_err();
        assert!(matches!(refused, OwnFileError::Changed { .. }), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"theirs");

        let new = place.path("new");
        let looked = OwnFile::look(&new, LIMIT).unwrap();
        fs::write(&new, "theirs").unwrap();
        let refused = looked.replace(b"ours").unwrap_err();
        assert!(matches!(refused, OwnFileError::Changed { .. }), "{refused}");
        assert_eq!(fs::read(&new).unwrap(), b"theirs");
        assert_eq!(place.names(), ["conf", "new"], "nothing unfinished stays");
    }

    #[test]
    fn what_is_no_plain_file_of_ours_is_refused() {
        let place = Place::new();
        let _listener = UnixListener::bind(place.path("socket")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(place.path("pipe"))
            .status()
            .unwrap();
        assert!(made.success());
        fs::create_dir(place.path("folder")).unwrap();
        symlink(place.path("nothing"), place.path("dangling")).unwrap();
        symlink(place.path("loop"), place.path("loop")).unwrap();
        place.file("large", &"x".repeat(101), 0o600);
        fs::hard_link(place.file("one", "", 0o600), place.path("other")).unwrap();
        let before = place.names();
        type Is = fn(&OwnFileError) -> bool;
        for (name, is) in [
            (
                "socket",
                (|e| matches!(e, OwnFileError::NotAFile { .. })) as Is,
            ),
            ("pipe", |e| matches!(e, OwnFileError::NotAFile { .. })),
            ("folder", |e| matches!(e, OwnFileError::NotAFile { .. })),
            ("dangling", |e| matches!(e, OwnFileError::Dangling { .. })),
            ("loop", |e| matches!(e, OwnFileError::Io { .. })),
            ("large", |e| {
                matches!(e, OwnFileError::TooLarge { limit: 100, .. })
            }),
            ("one", |e| matches!(e, OwnFileError::SeveralNames { .. })),
            ("large/below", |e| matches!(e, OwnFileError::Io { .. })),
        ] {
            let refused = OwnFile::look(&place.path(name), LIMIT).unwrap_err();
            assert!(is(&refused), "{name}: {refused:?}");
        }
        assert_eq!(place.names(), before);
    }

    #[test]
    fn a_file_of_another_user_is_refused() {
        let place = Place::new();
        let path = place.file("conf", "one", 0o666);
        if crate::effective_uid() == 0 {
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
        } else {
            eprintln!("skipped: only root can give a file away");
            return;
        }
        let refused = OwnFile::look(&path, LIMIT).unwrap_err();
        assert!(
            matches!(refused, OwnFileError::NotOurs { owner: 12345, .. }),
            "{refused}"
        );
    }
}
