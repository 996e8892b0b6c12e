//! The surroundings of a tool's run, as a value: of the person who asks, or as a job would set them
//! up. They must never be stored or logged; variables hold keys.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::found::Place;

/// Home, current folder and variables of whoever would run the tool.
#[derive(Clone)]
pub struct Environment {
    /// Where absolute paths of configurations begin: `/`, or the folder that another system's tree
    /// lies in.
    pub root: PathBuf,
    /// The home folder, as it lies on this machine; `None` for a service without one.
    pub home: Option<PathBuf>,
    /// What relative paths are relative to, as it lies on this machine.
    pub current_folder: PathBuf,
    /// Of a container: paths of the machine by where they are seen instead of what lies there.
    pub(crate) volumes: BTreeMap<PathBuf, PathBuf>,
    variables: BTreeMap<String, Variable>,
}

/// A variable's value and where it was set.
#[derive(Clone)]
struct Variable {
    value: Zeroizing<String>,
    /// `None`: in the surroundings themselves.
    place: Option<Place>,
}

impl Environment {
    /// Without any variables.
    #[must_use]
    pub fn of(home: Option<PathBuf>, current_folder: PathBuf) -> Self {
        Self {
            root: PathBuf::from("/"),
            home,
            current_folder,
            volumes: BTreeMap::new(),
            variables: BTreeMap::new(),
        }
    }

    /// Those of a process, as it sees them itself. A current folder that is not known makes relative
    /// paths lead nowhere, which is reported as such.
    #[must_use]
    pub fn of_process(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        current_folder: Option<PathBuf>,
    ) -> Self {
        let mut environment = Self::of(None, current_folder.unwrap_or_default());
        for (name, value) in variables {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                environment.set(name, value);
            }
        }
        let home = environment.variable("HOME").map(PathBuf::from);
        environment.home = home.filter(|home| home.is_absolute());
        environment
    }

    /// A variable, if it is set to something.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.set_variable(name).filter(|value| !value.is_empty())
    }

    /// A variable, if it is set, be it to nothing.
    #[must_use]
    pub fn set_variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|found| found.value.as_str())
    }

    /// Where a variable was set.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Place {
        self.variables
            .get(name)
            .and_then(|found| found.place.clone())
            .unwrap_or_else(|| Place::Variable(name.to_owned()))
    }

    /// Sets a variable of the surroundings.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let value = Zeroizing::new(value.into());
        self.variables
            .insert(name.into(), Variable { value, place: None });
    }

    /// Sets a variable that stands at a place.
    pub fn set_at(&mut self, name: impl Into<String>, value: impl Into<String>, place: Place) {
        let variable = Variable {
            value: Zeroizing::new(value.into()),
            place: Some(place),
        };
        self.variables.insert(name.into(), variable);
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    /// Removes all variables.
    pub fn clear(&mut self) {
        self.variables.clear();
    }

    /// Takes some variables over from other surroundings, where they are set there.
    pub fn take<'n>(&mut self, names: impl Iterator<Item = &'n str>, from: &Self) {
        for name in names {
            if let Some(found) = from.variables.get(name) {
                self.variables.insert(name.to_owned(), found.clone());
            }
        }
    }

    /// Every variable with its value, and whether a file or a job sets it.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.variables.iter().map(|(name, found)| {
            let placed = found.place.is_some();
            (name.as_str(), found.value.as_str(), placed)
        })
    }

    /// A path below the home folder.
    #[must_use]
    pub fn in_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }

    /// A path as a configuration writes it, as it lies on this machine. `~` is not replaced.
    #[must_use]
    pub fn absolute(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("/") {
            Ok(_) => {
                let shown = self.shown(path);
                let path = shown.as_deref().unwrap_or(path);
                self.root.join(path.strip_prefix("/").unwrap_or(path))
            }
            Err(_) => self.current_folder.join(path),
        }
    }

    /// What a volume shows at a path of a container.
    pub(crate) fn shown(&self, path: &Path) -> Option<PathBuf> {
        let mut at = path.ancestors();
        let (inside, outside) = at.find_map(|inside| Some((inside, self.volumes.get(inside)?)))?;
        let below = path.strip_prefix(inside).ok()?;
        // Joined with nothing it would end in a slash, and be no file.
        Some(match below.as_os_str().is_empty() {
            true => outside.clone(),
            false => outside.join(below),
        })
    }

    /// As [`Environment::absolute`], and `~` and `~/…` mean the home folder. `None` if there is none.
    #[must_use]
    pub fn expanded(&self, path: &str) -> Option<PathBuf> {
        match path.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) if rest.starts_with('/') => self.in_home(&rest[1..]),
            _ => Some(self.absolute(Path::new(path))),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("root", &self.root)
            .field("home", &self.home)
            .field("current_folder", &self.current_folder)
            .field("variables", &self.variables.keys())
            .finish()
    }
}
