//! Where configurations lie: the paths of the table on this machine, for one user.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::environment::Environment;

/// No folder of configurations holds more; what does is somebody's trap or a cache.
const MOST_NAMES: usize = 2_000;
/// No path of the table stands for more files.
const MOST_PATHS: usize = 500;

/// What a path of the table stands for.
#[derive(Debug, Default)]
pub(super) struct Expanded {
    pub(super) paths: Vec<PathBuf>,
    /// Folders that could not be listed, or not whole, with the reason.
    pub(super) gaps: Vec<(PathBuf, String)>,
}

/// The base that a path of the table begins with, and what follows. `None` if there is no such
/// folder for this user.
fn base<'r>(rule: &'r str, environment: &Environment) -> Option<(PathBuf, &'r str)> {
    let folder = |variable: &str, usual: &str| match environment.variable(variable) {
        Some(path) => environment.expanded(path),
        None => environment.in_home(usual),
    };
    if let Some(below) = rule.strip_prefix("{home}/") {
        return Some((environment.home.clone()?, below));
    }
    if let Some(below) = rule.strip_prefix("{config}/") {
        return Some((folder("XDG_CONFIG_HOME", ".config")?, below));
    }
    if let Some(below) = rule.strip_prefix("{data}/") {
        return Some((folder("XDG_DATA_HOME", ".local/share")?, below));
    }
    if let Some(below) = rule.strip_prefix("{here}/") {
        return Some((environment.current_folder.clone(), below));
    }
    Some((environment.root.clone(), rule.trim_start_matches('/')))
}

/// Whether a path of the table is that of the whole machine, not of a user.
pub(super) fn is_of_machine(rule: &str) -> bool {
    rule.starts_with('/')
}

/// The paths that a path of the table stands for. Where it holds no star that is one, whether or
/// not it is there.
pub(super) fn expand(rule: &str, environment: &Environment) -> Expanded {
    let mut expanded = Expanded::default();
    let Some((base, below)) = base(rule, environment) else {
        return expanded;
    };
    expanded.paths.push(base);
    for part in below.split('/').filter(|part| !part.is_empty()) {
        let before = std::mem::take(&mut expanded.paths);
        for folder in before {
            if !part.contains('*') {
                expanded.paths.push(folder.join(part));
                continue;
            }
            match names(&folder) {
                Ok((names, whole)) => {
                    let fitting = names.into_iter().filter(|name| fits(part, name));
                    expanded.paths.extend(fitting.map(|name| folder.join(name)));
                    if !whole {
                        let why = format!("it holds more than {MOST_NAMES} names");
                        expanded.gaps.push((folder, why));
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => expanded.gaps.push((folder, error.kind().to_string())),
            }
        }
        if expanded.paths.len() > MOST_PATHS {
            expanded.paths.truncate(MOST_PATHS);
            let why = format!("{rule} stands for more than {MOST_PATHS} files there");
            expanded.gaps.push((PathBuf::from(rule), why));
        }
    }
    expanded
}

/// The names in a folder, and whether those are all.
fn names(folder: &Path) -> io::Result<(Vec<String>, bool)> {
    let mut entries = fs::read_dir(folder)?;
    let mut names = Vec::new();
    for entry in entries.by_ref().take(MOST_NAMES).flatten() {
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok((names, entries.next().is_none()))
}

/// Whether a name fits a pattern with stars.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.len() >= part.len() && rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// How well a path fits a path of the table, wherever it lies: how many of its last steps, and how
/// many characters of them, are as the table says.
pub(super) fn likeness(rule: &str, path: &Path) -> Option<(usize, usize)> {
    let tail = match rule.split_once("}/") {
        Some((base, tail)) if base.starts_with('{') => tail,
        _ => rule.trim_start_matches('/'),
    };
    let mut steps = path.components().rev();
    let mut count = 0;
    for part in tail.split('/').rev() {
        let step = steps.next()?.as_os_str().to_str()?;
        if !fits(part, step) {
            return None;
        }
        count += 1;
    }
    let literal = tail.bytes().filter(|byte| *byte != b'*').count();
    Some((count, literal))
}

/// The path on which a path of the table depends: itself, or the folder of its first star. `None` for
/// one of the current folder.
pub(super) fn interest(rule: &str, environment: &Environment) -> Option<PathBuf> {
    if rule.starts_with("{here}") {
        return None;
    }
    let (base, below) = base(rule, environment)?;
    let fixed = below.split('/').take_while(|part| !part.contains('*'));
    Some(fixed.fold(base, |path, part| path.join(part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_fit_parts_of_names() {
        for (pattern, name, expected) in [
            ("a*", "abc", true),
            ("*.duck", "x.duck", true),
            ("*.duck", ".duck", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("config.json", "config.json", true),
            ("config.json", "config.json.old", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_folder_is_listed_within_bounds_and_what_is_not_there_is_nothing() {
        let home = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", "c.txt"] {
            fs::write(home.path().join(name), "").unwrap();
        }
        let environment = Environment::of(Some(home.path().to_owned()), "/".into());
        let found = expand("{home}/*.conf", &environment);
        assert_eq!(
            found.paths,
            [home.path().join("a.conf"), home.path().join("b.conf")]
        );
        assert!(expand("{home}/none/*/x", &environment).paths.is_empty());
        let nobody = Environment::of(None, "/".into());
        assert!(expand("{home}/*.conf", &nobody).paths.is_empty());
        for number in 0..=MOST_NAMES {
            fs::write(home.path().join(number.to_string()), "").unwrap();
        }
        assert_eq!(expand("{home}/*.conf", &environment).gaps.len(), 1);
    }

    #[test]
    fn a_path_is_known_by_its_last_steps() {
        let path = Path::new("/backup/alice/.mc/config.json");
        assert_eq!(likeness("{home}/.mc/config.json", path), Some((2, 15)));
        assert_eq!(likeness("{home}/.mcli/config.json", path), None);
        assert_eq!(likeness("/etc/litestream.yml", path), None);
    }
}
