//! The table of who keeps keys where (consumers.md 10), and what it finds on a machine: keys in
//! configurations, whether or not a job uses them. The table is data, compiled in; users add rows.
//! It must never say that nothing is there where it could not look.

mod entries;
mod paths;
mod row;
mod special;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::{
    environment::Environment,
    found::NotUsable,
    machine::{Machine, User},
    picture::{Link, LinkKind, Picture, Rank, Standing, Trail},
    read::Text,
    tools::rclone,
};

pub use row::Row;
pub(crate) use row::{Pair, Source};
use row::{Reads, Resolver};

/// Rows of users' own are looked for here, below the folder of configurations.
const OWN_TABLE: &str = "{config}/bascule/consumers.toml";

/// The rows that are known.
#[derive(Debug, Clone)]
pub struct Catalogue {
    rows: Vec<Row>,
}

/// A row that can't be used. It names row and field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: the row {row:?}: {field} {why}")]
pub struct BadRow {
    /// The table.
    pub file: String,
    /// Its `id`; empty if it has none or the whole table can't be read.
    pub row: String,
    /// Which field; empty if the whole table can't be read.
    pub field: String,
    /// Counted from 1.
    pub line: u32,
    /// What is wrong.
    pub why: String,
}

/// Why a table of users' own can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTable {
    /// It can't be read.
    #[error(transparent)]
    File(#[from] NotUsable),
    /// A row is wrong.
    #[error(transparent)]
    Row(#[from] BadRow),
}

impl Catalogue {
    /// The rows that are compiled in.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| Catalogue {
            // A test reads the table; were it wrong, only its own rows would be missing.
            rows: row::parse(include_str!("catalogue.toml"), "catalogue.toml").unwrap_or_default(),
        });
        &BUILTIN
    }

    /// The compiled-in rows and those of a file. A row of the same id takes the place of ours.
    pub fn with(file: &Path) -> Result<Self, BadTable> {
        let mut catalogue = Self::builtin().clone();
        if let Some(text) = Text::read(file)? {
            for row in row::parse(text.as_str()?, &file.display().to_string())? {
                catalogue.rows.retain(|known| known.id != row.id);
                catalogue.rows.push(row);
            }
        }
        Ok(catalogue)
    }

    /// Where a user's own rows are looked for.
    #[must_use]
    pub fn own_table(environment: &Environment) -> Option<PathBuf> {
        paths::expand(OWN_TABLE, environment).paths.pop()
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of this id.
    #[must_use]
    pub fn row(&self, id: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.id == id)
    }

    /// The row that knows a program.
    pub(crate) fn of_program(&self, program: &str) -> Option<&Row> {
        let knows = |row: &&Row| row.tools.iter().any(|tool| paths::fits(tool, program));
        self.rows.iter().find(knows)
    }

    /// Which row a file belongs to, by its name and the folders it lies in.
    #[must_use]
    pub fn recognise(&self, path: &Path) -> Option<&Row> {
        let likeness = |row: &Row| {
            let rules = row.paths.iter().chain(&row.names).chain(&row.copies);
            rules.filter_map(|rule| paths::likeness(rule, path)).max()
        };
        self.rows
            .iter()
            .filter_map(|row| Some((likeness(row)?, row)))
            .max_by_key(|(likeness, _)| *likeness)
            .map(|(_, row)| row)
    }

    /// Adds every key of one file of a known kind, for itself.
    pub fn file(&self, row: &Row, path: &Path, machine: &Machine, picture: &mut Picture) {
        let trail = Trail::configuration();
        if row.resolver == Some(Resolver::Rclone) {
            return rclone::configured_in(path, machine, &trail, picture);
        }
        let environment = machine.bare_environment(&machine.user);
        let known = self.told(row, path, &environment, &trail, picture, |standing| {
            standing
        });
        if known {
            picture.files_read += 1;
        }
    }

    /// Adds the keys in all configurations of a user, and of the whole machine if it is who asks.
    pub fn configurations(&self, machine: &Machine, user: &User, picture: &mut Picture) {
        let asks = *user == machine.user;
        let environment = if asks {
            machine.environment.clone()
        } else {
            machine.bare_environment(user)
        };
        let mut trail = Trail::configuration();
        if !asks {
            trail.user = Some(user.name.clone());
        }
        if let Some(home) = &environment.home
            && let Err(error) = std::fs::metadata(home.join("."))
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            let remedy = format!("run it as root or as {}", user.name);
            picture.gap(
                &trail,
                home.display().to_string(),
                "it may not be entered",
                remedy,
            );
            return;
        }
        for row in &self.rows {
            self.configuration(row, machine, &environment, asks, &trail, picture);
        }
    }

    fn configuration(
        &self,
        row: &Row,
        machine: &Machine,
        environment: &Environment,
        asks: bool,
        trail: &Trail,
        picture: &mut Picture,
    ) {
        let paths = row.existing(environment, asks, trail, picture);
        if row.asks_on_macos && cfg!(target_os = "macos") && !paths.is_empty() {
            for path in paths {
                let remedy = format!("look at it by name: bascule scan {}", path.display());
                let why = "macOS would ask you whether it may be read";
                picture.gap(trail, path.display().to_string(), why, remedy);
            }
            return;
        }
        let variable = row.variable_before_file(environment);
        let mut first: Option<&PathBuf> = None;
        for path in &paths {
            if row.resolver == Some(Resolver::Rclone) {
                if Some(path) != crate::rclone::locate(environment).as_ref() {
                    rclone::configured_in(path, machine, trail, picture);
                }
                continue;
            }
            if row.resolver == Some(Resolver::Aws) {
                continue;
            }
            let mut trail = trail.clone();
            if row.leftover {
                trail.rank = Rank::Leftover;
            }
            let before = match row.reads {
                Reads::First => first,
                Reads::Every => None,
            };
            let by = variable
                .clone()
                .or_else(|| before.map(|path| path.display().to_string()));
            let told = self.told(row, path, environment, &trail, picture, |standing| {
                match (&by, standing) {
                    (Some(by), Standing::Effective) => Standing::Shadowed { by: by.clone() },
                    (_, standing) => standing,
                }
            });
            if told {
                picture.files_read += 1;
                first = first.or(Some(path));
            }
        }
        for path in row.copies_of(&paths, environment, asks, trail, picture) {
            let mut trail = trail.clone();
            trail.rank = Rank::Leftover;
            let link = Link::new(
                LinkKind::Copy,
                path.display().to_string(),
                "was left behind",
            );
            trail.chain.push(link);
            if row.resolver == Some(Resolver::Rclone) {
                rclone::configured_in(&path, machine, &trail, picture);
                continue;
            }
            let told = self.told(row, &path, environment, &trail, picture, |_| {
                Standing::Unused {
                    why: "no tool reads this copy".into(),
                }
            });
            picture.files_read += u64::from(told);
        }
    }

    /// Adds what a file holds; whether it is there and was read.
    fn told(
        &self,
        row: &Row,
        path: &Path,
        environment: &Environment,
        trail: &Trail,
        picture: &mut Picture,
        standing: impl Fn(Standing) -> Standing,
    ) -> bool {
        match row.read(path, environment) {
            Ok(Some(reading)) => {
                reading.tell(&row.id, trail, picture, standing);
                true
            }
            Ok(None) => false,
            Err(error) => {
                picture.unusable(trail, path.display().to_string(), &error);
                false
            }
        }
    }

    /// The files and folders on which [`Catalogue::configurations`] depends for a user, whether or not
    /// they are there. What lies in the current folder of a run is not among them.
    #[must_use]
    pub fn interests(&self, environment: &Environment) -> Vec<PathBuf> {
        let interests: BTreeSet<PathBuf> = self
            .rows
            .iter()
            .filter(|row| !row.leftover && !row.asks_on_macos)
            .flat_map(|row| &row.paths)
            .filter_map(|rule| paths::interest(rule, environment))
            .collect();
        interests.into_iter().collect()
    }
}

impl Row {
    /// Where this kind's configurations would lie for a run, and of those that a variable names only
    /// that.
    pub(crate) fn candidates(&self, environment: &Environment) -> Vec<PathBuf> {
        let named = self
            .path_env
            .iter()
            .find_map(|rule| named_by(rule, |name| environment.variable(name), environment));
        match named {
            Some(path) => vec![path],
            None => {
                let rules = self.paths.iter();
                rules
                    .flat_map(|rule| paths::expand(rule, environment).paths)
                    .collect()
            }
        }
    }

    /// Those of [`Row::candidates`] that are there.
    pub(crate) fn existing_candidates(&self, environment: &Environment) -> Vec<PathBuf> {
        let mut candidates = self.candidates(environment);
        candidates.retain(|path| std::fs::symlink_metadata(path).is_ok());
        candidates
    }

    /// Whether only the first configuration that is there counts.
    pub(crate) fn reads_first(&self) -> bool {
        self.reads == Reads::First
    }

    /// The variable that stands before every file of this kind, if it is set.
    fn variable_before_file(&self, environment: &Environment) -> Option<String> {
        let variable = self
            .precedence
            .iter()
            .position(|at| *at == Source::Variable)?;
        let file = self.precedence.iter().position(|at| *at == Source::File)?;
        if variable > file {
            return None;
        }
        let set = |pair: &&Pair| environment.variable(&pair.id).is_some();
        let pair = self.variables.iter().find(set)?;
        Some(environment.place_of(&pair.id).to_string())
    }

    fn existing(
        &self,
        environment: &Environment,
        of_machine: bool,
        trail: &Trail,
        picture: &mut Picture,
    ) -> Vec<PathBuf> {
        let named = self
            .path_env
            .iter()
            .find_map(|rule| named_by(rule, |name| environment.variable(name), environment));
        let mut found: Vec<PathBuf> = named.into_iter().collect();
        found.extend(there(&self.paths, environment, of_machine, trail, picture));
        let mut seen = BTreeSet::new();
        found.retain(|path| seen.insert(path.clone()));
        found
    }

    fn copies_of(
        &self,
        paths: &[PathBuf],
        environment: &Environment,
        of_machine: bool,
        trail: &Trail,
        picture: &mut Picture,
    ) -> Vec<PathBuf> {
        let mut copies = there(&self.copies, environment, of_machine, trail, picture);
        copies.retain(|copy| !paths.contains(copy));
        copies
    }
}

/// The file that a rule `NAME` or `NAME/below` leads to, if its name is set.
pub(crate) fn named_by<'e>(
    rule: &str,
    value: impl Fn(&str) -> Option<&'e str>,
    environment: &Environment,
) -> Option<PathBuf> {
    match rule.split_once('/') {
        Some((name, below)) => Some(environment.expanded(value(name)?)?.join(below)),
        None => environment.expanded(value(rule)?),
    }
}

/// The files of these paths that are there, or that can't be told not to be.
fn there(
    rules: &[String],
    environment: &Environment,
    of_machine: bool,
    trail: &Trail,
    picture: &mut Picture,
) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for rule in rules {
        if paths::is_of_machine(rule) && !of_machine {
            continue;
        }
        let expanded = paths::expand(rule, environment);
        for (folder, why) in expanded.gaps {
            let remedy = "look at it as a user who may, or at a part of it: bascule scan PATH";
            picture.gap(trail, folder.display().to_string(), why, remedy);
        }
        let may_be_there = |path: &PathBuf| match std::fs::symlink_metadata(path) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
        };
        found.extend(expanded.paths.into_iter().filter(may_be_there));
    }
    found
}
