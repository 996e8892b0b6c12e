//! Which file systems are mounted where, without touching any of them: one that has stalled would
//! never answer (threats.md F9).

use std::{
    ffi::OsString,
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// The mounted file systems, as one moment saw them.
#[derive(Debug, Clone, Default)]
pub struct Mounts(Vec<Mount>);

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub path: PathBuf,
    /// The system's word for its type, such as `ext4` or `fuse.rclone`.
    pub kind: String,
}

/// What a file system needs to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountReach {
    /// A disk or memory of this machine.
    Local,
    /// Another machine, or a program: it may never answer.
    Remote,
    /// Nothing: there are no files behind it, but the system's own state.
    System,
}

impl Mount {
    /// What it needs to answer.
    #[must_use]
    pub fn reach(&self) -> MountReach {
        // A disk, through a program of the system's.
        if self.kind == "fuseblk" {
            return MountReach::Local;
        }
        let family = self.kind.split('.').next().unwrap_or_default();
        match family {
            "fuse" | "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "afs" | "ceph"
            | "glusterfs" | "lustre" | "beegfs" | "coda" | "ncpfs" | "orangefs" | "davfs"
            | "autofs" => MountReach::Remote,
            "proc" | "sysfs" | "devtmpfs" | "devpts" | "cgroup" | "cgroup2" | "debugfs"
            | "tracefs" | "securityfs" | "configfs" | "efivarfs" | "bpf" | "pstore" | "mqueue"
            | "hugetlbfs" | "binfmt_misc" | "fusectl" | "rpc_pipefs" | "nsfs" | "selinuxfs" => {
                MountReach::System
            }
            _ => MountReach::Local,
        }
    }
}

impl Mounts {
    /// The machine's, as this process sees them.
    ///
    /// macOS: none are told; a folder on another device is noticed once it is open.
    pub fn now() -> io::Result<Self> {
        if cfg!(target_os = "linux") {
            Ok(Self::parse(&std::fs::read("/proc/self/mountinfo")?))
        } else {
            Ok(Self::default())
        }
    }

    /// Reads proc(5)'s `mountinfo`. Lines of another shape count for nothing.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|&byte| byte == b' ');
            let path = unescaped(fields.nth(4)?);
            let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
            Some(Mount {
                path: OsString::from_vec(path).into(),
                kind: String::from_utf8_lossy(kind).into_owned(),
            })
        };
        Self(
            text.split(|&byte| byte == b'\n')
                .filter_map(mount)
                .collect(),
        )
    }

    /// What is mounted at exactly this path; of several the last, which hides the others.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&Mount> {
        self.0.iter().rfind(|mount| mount.path == path)
    }

    /// The file system that a path without links lies on, as far as its text tells.
    #[must_use]
    pub fn over(&self, path: &Path) -> Option<&Mount> {
        path.ancestors().find_map(|folder| self.at(folder))
    }
}

/// Where the file system is mounted that holds this file, or would hold it: that of its folder.
/// `Ok(None)` where the system does not tell. It may never answer if that file system has stalled.
pub fn mount_of_file(file: &Path) -> io::Result<Option<PathBuf>> {
    // A bare name has an empty parent, which is no folder.
    let file = std::path::absolute(file)?;
    let folder = file.parent().unwrap_or(Path::new("/")).canonicalize()?;
    Ok(Mounts::now()?.over(&folder).map(|mount| mount.path.clone()))
}

/// Blanks and the like stand as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, more @ ..] = rest {
        let digits = more.get(..3).filter(|_| *first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(code);
                rest = &more[3..];
            }
            None => {
                text.push(*first);
                rest = more;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        23 22 0:21 / /proc rw - proc proc rw\n\
        40 22 0:50 / /home/a\\040b/cloud rw,nosuid shared:9 master:1 - fuse.rclone r2: rw\n\
        41 22 0:51 / /srv rw - xfs /dev/sdb rw\n\
        42 41 0:52 / /srv rw - nfs4 host:/x rw\n\
        broken line\n";

    #[test]
    fn a_bare_name_lies_where_the_current_folder_does() {
        let whole = std::env::current_dir().unwrap().join("a.backup");
        let of_bare = mount_of_file(Path::new("a.backup")).unwrap();
        assert_eq!(of_bare, mount_of_file(&whole).unwrap());
    }

    #[test]
    fn a_path_lies_on_the_innermost_mount_and_the_last_one_at_a_place_hides_the_others() {
        let mounts = Mounts::parse(TABLE);
        let kind = |path: &str| mounts.over(Path::new(path)).unwrap().kind.clone();
        assert_eq!(kind("/home/a b"), "ext4");
        assert_eq!(kind("/home/a b/cloud/x"), "fuse.rclone");
        assert_eq!(kind("/home/a b/cloudy"), "ext4");
        assert_eq!(kind("/srv/data"), "nfs4");
        assert_eq!(mounts.at(Path::new("/srv/data")), None);
        let reach = |path: &str| mounts.over(Path::new(path)).unwrap().reach();
        assert_eq!(reach("/home"), MountReach::Local);
        assert_eq!(reach("/home/a b/cloud"), MountReach::Remote);
        assert_eq!(reach("/srv"), MountReach::Remote);
        assert_eq!(reach("/proc/1"), MountReach::System);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_has_a_root() {
        let mounts = Mounts::now().unwrap();
        assert!(mounts.at(Path::new("/")).is_some());
        let proc = mounts.over(Path::new("/proc/self")).unwrap();
        assert_eq!(proc.reach(), MountReach::System);
    }

    proptest! {
        #[test]
        fn no_table_is_too_strange(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Mounts::parse(&text);
        }
    }
}
