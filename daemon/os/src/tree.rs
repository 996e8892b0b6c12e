//! Folders that are entered one step at a time from a handle, so that nothing which is turned into
//! a link meanwhile leads elsewhere. Nothing here waits for whoever holds the other end of a file,
//! but a file system that does not answer does not answer here either: `mounts` tells before.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Metadata},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};

/// A folder that is open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What an entry of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, wherever it leads.
    Link,
    /// A pipe, socket or device.
    Special,
}

/// An entry of a folder.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// What it was when the folder was read.
    pub kind: EntryKind,
}

/// What was opened below a folder.
#[derive(Debug)]
pub enum Opened {
    /// A regular file, with what the system knows of it.
    File(File, Metadata),
    /// Something else by now.
    Other,
}

/// A file system and a number in it: the same folder, however it was come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderIdentity {
    /// The file system.
    pub device: u64,
    /// The folder in it.
    pub inode: u64,
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::NOFOLLOW);

impl Folder {
    /// Opens a folder. Links in the path are followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?))
    }

    /// Opens a folder in this one. A link is refused.
    pub fn open_folder(&self, name: &OsStr) -> io::Result<Self> {
        let flags = FOLDER.union(OFlags::NOFOLLOW);
        Ok(Self(rustix::fs::openat(
            &self.0,
            name,
            flags,
            Mode::empty(),
        )?))
    }

    /// Opens a regular file in this folder without ever waiting for it (threats.md F1). A link is
    /// refused.
    pub fn open_file(&self, name: &OsStr) -> io::Result<Opened> {
        let file = match rustix::fs::openat(&self.0, name, FILE, Mode::empty()) {
            Ok(file) => File::from(file),
            // A link, a socket, a device without a driver.
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Ok(Opened::Other),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        Ok(if metadata.is_file() {
            Opened::File(file, metadata)
        } else {
            Opened::Other
        })
    }

    /// Which folder it is.
    pub fn identity(&self) -> io::Result<FolderIdentity> {
        let stat = rustix::fs::fstat(&self.0)?;
        #[cfg_attr(
            target_os = "linux",
            expect(clippy::useless_conversion, reason = "other systems have other widths")
        )]
        Ok(FolderIdentity {
            device: u64::try_from(stat.st_dev).unwrap_or(u64::MAX),
            inode: u64::from(stat.st_ino),
        })
    }

    /// What is in it, in no order, read piece by piece: a folder may have any number of entries.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        let mut listing = Dir::read_from(&self.0)?;
        Ok(std::iter::from_fn(move || {
            loop {
                let entry = match listing.next()? {
                    Ok(entry) => entry,
                    Err(error) => return Some(Err(error.into())),
                };
                let name = entry.file_name().to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                let kind = match entry.file_type() {
                    // Some file systems do not tell in a listing.
                    FileType::Unknown => self.kind(entry.file_name()),
                    known => kind_of(known),
                };
                let name = OsString::from_vec(name.to_vec());
                return Some(Ok(Entry { name, kind }));
            }
        }))
    }

    fn kind(&self, name: &std::ffi::CStr) -> EntryKind {
        rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)
            .map_or(EntryKind::Special, |stat| {
                kind_of(FileType::from_raw_mode(stat.st_mode))
            })
    }
}

const fn kind_of(kind: FileType) -> EntryKind {
    match kind {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Special,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, io::Read, os::unix::fs::symlink, os::unix::net};

    use super::*;

    #[test]
    fn entries_are_told_apart_and_only_regular_files_are_opened() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        fs::write(path.join("file"), "text").unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        symlink("file", path.join("link")).unwrap();
        symlink("folder", path.join("to-folder")).unwrap();
        let _socket = net::UnixListener::bind(path.join("socket")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(path.join("fifo"))
            .status()
            .unwrap();
        assert!(made.success());

        let folder = Folder::open(path).unwrap();
        let entries: BTreeMap<_, _> = folder
            .entries()
            .unwrap()
            .map(|entry| entry.map(|entry| (entry.name.into_string().unwrap(), entry.kind)))
            .collect::<Result<_, _>>()
            .unwrap();
        let expected = [
            ("fifo", EntryKind::Special),
            ("file", EntryKind::File),
            ("folder", EntryKind::Folder),
            ("link", EntryKind::Link),
            ("socket", EntryKind::Special),
            ("to-folder", EntryKind::Link),
        ];
        let expected: BTreeMap<_, _> = expected
            .into_iter()
            .map(|(name, kind)| (name.to_owned(), kind))
            .collect();
        assert_eq!(entries, expected);

        let Opened::File(mut file, metadata) = folder.open_file("file".as_ref()).unwrap() else {
            panic!("a regular file");
        };
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), metadata.len()), ("text", 4));
        for other in ["fifo", "folder", "link", "socket", "to-folder"] {
            let opened = folder.open_file(other.as_ref()).unwrap();
            assert!(matches!(opened, Opened::Other), "{other}");
        }
        assert!(folder.open_file("absent".as_ref()).is_err());
        assert!(folder.open_folder("to-folder".as_ref()).is_err());
        let below = folder.open_folder("folder".as_ref()).unwrap();
        assert_eq!(
            below.identity().unwrap(),
            Folder::open(&path.join("to-folder"))
                .unwrap()
                .identity()
                .unwrap()
        );
    }
}
