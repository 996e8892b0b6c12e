//! The surroundings of a tool's run, as a value: the person asks about their own tools, so the
//! caller fills it from its own process. It must never be stored or logged; variables hold keys.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// Home, current folder and variables of whoever would run the tool.
#[derive(Clone, Default)]
pub struct Environment {
    /// The home folder; `None` for a service without one.
    pub home: Option<PathBuf>,
    /// What relative paths are relative to.
    pub current_folder: PathBuf,
    /// The variables that are valid Unicode.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// A variable, if it is set to something.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// A path below the home folder.
    #[must_use]
    pub fn in_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }

    /// A path relative to the current folder.
    #[must_use]
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.current_folder.join(path)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("home", &self.home)
            .field("current_folder", &self.current_folder)
            .field("variables", &self.variables.keys())
            .finish()
    }
}
