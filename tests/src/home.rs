//! A home of its own for each test: nothing of the user's is read or written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A temporary folder with everything a program may want to write to. Removed on drop.
#[derive(Debug)]
pub struct Home {
    root: tempfile::TempDir,
}

impl Home {
    /// Makes one. The path is short, because a Unix socket's path must be.
    #[must_use]
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("bt")
            .tempdir()
            .expect("a temporary folder");
        let home = Self { root };
        for part in ["home", "tmp", "work"] {
            fs::create_dir(home.path(part)).expect("a folder in a new folder");
        }
        home
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, part: &str) -> PathBuf {
        self.root.path().join(part)
    }

    /// Writes a file in the work folder and returns its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("work").join(name);
        fs::write(&path, text).expect("a file in the work folder");
        path
    }

    /// The daemon's state folder; the daemon makes it.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The daemon's runtime folder; the daemon makes it.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.path("run")
    }

    /// A command that sees this home and nothing else of the environment but `PATH`.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        command_in(self.root.path(), program)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Every regular file below a folder of this home, with its bytes.
    #[must_use]
    pub fn files(&self, below: &str) -> Vec<(PathBuf, Vec<u8>)> {
        fn collect(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => collect(&path, found),
                    Ok(kind) if kind.is_file() => {
                        if let Ok(bytes) = fs::read(&path) {
                            found.push((path, bytes));
                        }
                    }
                    _ => {}
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.path(below), &mut found);
        found
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// A command that sees the home at `root` and nothing else of the environment but `PATH`.
#[must_use]
pub fn command_in(root: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", root.join("home"))
        .env("TMPDIR", root.join("tmp"))
        .env("XDG_CONFIG_HOME", root.join("home/.config"))
        .env("XDG_STATE_HOME", root.join("home/.state"))
        .env("XDG_CACHE_HOME", root.join("home/.cache"))
        .env("XDG_DATA_HOME", root.join("home/.data"))
        .env("LANG", "C.UTF-8")
        .current_dir(root.join("work"));
    command
}

/// Whether `bytes` holds `text`.
#[must_use]
pub fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
