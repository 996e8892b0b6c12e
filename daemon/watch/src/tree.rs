//! The tree of another machine with three users, for tests: each has an rclone.conf with a key of their
//! own.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use bascule_domain::Timestamp;
use tempfile::TempDir;

use crate::{environment::Environment, machine::Machine};

/// A Thursday.
const NOW: &str = "2026-11-26T10:15:30Z";

/// The tree, as seen by ann.
pub(crate) struct Tree(TempDir);

impl Tree {
    pub(crate) fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        tree.write(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\nbob:x:1001:1001::/home/bob:/bin/sh\n",
        );
        for (home, key) in [
            ("/root", "AKROOT"),
            ("/home/ann", "AKANN"),
            ("/home/bob", "AKBOB"),
        ] {
            tree.write(&format!("{home}/.config/rclone/rclone.conf"), &remote(key));
        }
        tree
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(&path[1..])
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    pub(crate) fn machine(&self) -> Machine {
        let mut environment = Environment::of(None, self.root().to_owned());
        environment.root = self.root().to_owned();
        Machine::local(environment, 1000, NOW.parse::<Timestamp>().unwrap())
    }

    /// A text without where the tree lies.
    pub(crate) fn shown(&self, text: &impl ToString) -> String {
        text.to_string()
            .replace(&self.root().display().to_string(), "")
    }
}

/// An rclone.conf with the remote `r`.
pub(crate) fn remote(key: &str) -> String {
    format!("[r]\ntype = s3\naccess_key_id = {key}\nsecret_access_key = secretsecret\n")
}
