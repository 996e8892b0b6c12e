//! The variables of a unit: of its manager, of `Environment=`, and of the files of `EnvironmentFile=`,
//! which win.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bascule_formats::{
    environment_file::{self, Dialect},
    unit::{
        exec::{is_variable, words},
        specifier::Specifiers,
    },
};

use super::units::{self, Settings};
use crate::{
    command::assign,
    environment::Environment,
    machine::{Machine, User},
    picture::{Picture, Standing, Trail},
    read::{self, Text},
    tools::variables,
};

/// Files that one pattern may name.
const MOST_FILES: usize = 64;

/// The variables that a manager gives every unit of its own. What those of a user's begin with is theirs
/// too, since others may be built up from it.
pub(super) fn of_manager(
    machine: &Machine,
    manager: Option<&User>,
    picture: &mut Picture,
) -> Environment {
    let nothing = Environment::of(None, machine.root.clone());
    let mut own = manager.map_or(nothing, |user| machine.bare_environment(user));
    let name = if manager.is_some() { "user" } else { "system" };
    let mut files = vec![machine.path(&format!("/etc/systemd/{name}.conf"))];
    files.extend(in_order(
        &[machine.path(&format!("/etc/systemd/{name}.conf.d"))],
        picture,
    ));
    for path in files {
        let Some(text) = units::read_file(&path, picture) else {
            continue;
        };
        let settings = Settings::of(&text);
        for (setting, path) in settings.list("Manager", "DefaultEnvironment") {
            set_words(&mut own, setting, path, &Specifiers::default());
        }
    }
    let Some(manager) = manager else { return own };
    own.set("XDG_RUNTIME_DIR", format!("/run/user/{}", manager.uid));
    let mut folders: Vec<PathBuf> = manager
        .home
        .iter()
        .map(|home| home.join(".config/environment.d"))
        .collect();
    for folder in ["/etc", "/run", "/usr/local/lib", "/usr/lib"] {
        folders.push(machine.path(folder).join("environment.d"));
    }
    for path in in_order(&folders, picture) {
        let Some(text) = units::read_file(&read::resolved(&machine.root, &path), picture) else {
            continue;
        };
        let content = text.as_str().unwrap_or_default();
        let set = environment_file::parse(content, Dialect::Compose, |name| own.set_variable(name));
        for one in set {
            assign(
                &mut own,
                &one.name,
                &one.value,
                Some(&units::place(&path, one.line)),
            );
        }
    }
    own
}

/// The `.conf` files of folders by their names; of two with one name that of the first folder counts.
fn in_order(folders: &[PathBuf], picture: &mut Picture) -> Vec<PathBuf> {
    let mut by_name: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in folders {
        for name in crate::jobs::listed(folder, "run it as root", picture) {
            if name.ends_with(".conf") {
                let path = folder.join(&name);
                by_name.entry(name).or_insert(path);
            }
        }
    }
    by_name.into_values().collect()
}

fn set_words(
    own: &mut Environment,
    setting: &bascule_formats::unit::Setting<'_>,
    path: &Path,
    specifiers: &Specifiers,
) {
    for word in words(&setting.value).unwrap_or_default() {
        let text = specifiers.expand(&word.text);
        if let Some((name, value)) = text.split_once('=')
            && is_variable(name)
        {
            let place = units::place(path, setting.line_of(word.offset));
            assign(own, name, value, Some(&place));
        }
    }
}

/// Sets what a unit's section sets.
pub(in crate::jobs) fn apply(
    own: &mut Environment,
    section: &str,
    settings: &Settings<'_>,
    specifiers: &Specifiers,
    trail: &Trail,
    picture: &mut Picture,
) {
    for (setting, path) in settings.list(section, "Environment") {
        if words(&setting.value).is_err() {
            let place = units::place(path, setting.line()).to_string();
            picture.gap(
                trail,
                place,
                "a quote is not closed, so systemd ignores it",
                "mend the unit, and look again",
            );
        }
        set_words(own, setting, path, specifiers);
    }
    let before = variables::placed(own);
    for (setting, unit) in settings.list(section, "EnvironmentFile") {
        let text = specifiers.expand(&setting.value);
        let (pattern, optional) = match text.strip_prefix('-') {
            Some(pattern) => (pattern, true),
            None => (text.as_str(), false),
        };
        // Quadlet's are relative to the unit; systemd's own are absolute.
        let absolute = match unit.parent().filter(|_| !pattern.starts_with('/')) {
            Some(folder) => folder.join(pattern),
            None => own.absolute(Path::new(pattern)),
        };
        let files = matching(&absolute);
        if files.is_empty() && !optional {
            let what = absolute.display().to_string();
            picture.gap(
                trail,
                what,
                "the unit needs this file of variables, and it is not there",
                "look whether the unit still runs",
            );
        }
        for path in files {
            let path = read::resolved(&own.root, &path);
            match Text::read(&path) {
                Ok(Some(text)) => {
                    picture.files_read += 1;
                    match text.as_str() {
                        Ok(content) => {
                            for one in environment_file::parse(content, Dialect::Systemd, |_| None)
                            {
                                assign(
                                    own,
                                    &one.name,
                                    &one.value,
                                    Some(&units::place(&path, one.line)),
                                );
                            }
                        }
                        Err(error) => picture.unusable(trail, path.display().to_string(), &error),
                    }
                }
                Ok(None) => {}
                Err(error) => picture.unusable(trail, path.display().to_string(), &error),
            }
        }
    }
    for (name, key) in before {
        let now = own.variable(name);
        if now.is_some_and(|now| now != key.id.as_str()) {
            let by = own.place_of(name).to_string();
            picture.add("environment", trail, key, Standing::Shadowed { by }, None);
        }
    }
    for (setting, _) in settings.list(section, "UnsetEnvironment") {
        for word in words(&setting.value).unwrap_or_default() {
            match word.text.split_once('=') {
                Some((name, value)) if own.set_variable(name) != Some(value) => {}
                Some((name, _)) => own.unset(name),
                None => own.unset(&word.text),
            }
        }
    }
}

/// The files that a path with `*`, `?` and `[…]` names, sorted. A path without them is not looked for.
fn matching(path: &Path) -> Vec<PathBuf> {
    let text = path.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        return if path.symlink_metadata().is_ok() || is_refused(path) {
            vec![path.to_owned()]
        } else {
            Vec::new()
        };
    }
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        let part = part.as_os_str().to_string_lossy();
        if !part.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(&*part));
            continue;
        }
        let pattern: Vec<char> = part.chars().collect();
        let mut next = Vec::new();
        for folder in &found {
            for name in read::names(folder).unwrap_or_default() {
                let hidden = name.starts_with('.') && !part.starts_with('.');
                if !hidden
                    && next.len() < MOST_FILES
                    && fits(&pattern, &name.chars().collect::<Vec<_>>())
                {
                    next.push(folder.join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.exists());
    found
}

/// Whether a path can't be looked at, which is not the same as nothing being there.
fn is_refused(path: &Path) -> bool {
    let error = path.symlink_metadata().err();
    error.is_some_and(|error| error.kind() != std::io::ErrorKind::NotFound)
}

/// Whether a name fits a pattern of `glob(7)`. A star remembers one place only, so that the time
/// grows with the lengths' product.
fn fits(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some('?') => Some(1),
            Some('[') => class(&pattern[p..], name[n]),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p += step;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                (p, n) = (at + 1, from + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// How long a `[…]` is that a character fits.
fn class(pattern: &[char], c: char) -> Option<usize> {
    let end = 2 + pattern.get(2..)?.iter().position(|c| *c == ']')?;
    let inner = &pattern[1..end];
    let (inner, negated) = match inner.first() {
        Some('!' | '^') => (&inner[1..], true),
        _ => (inner, false),
    };
    let mut at = 0;
    let mut has = false;
    while let Some(first) = inner.get(at) {
        match (inner.get(at + 1), inner.get(at + 2)) {
            (Some('-'), Some(last)) => {
                has |= (*first..=*last).contains(&c);
                at += 3;
            }
            _ => {
                has |= *first == c;
                at += 1;
            }
        }
    }
    (has != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_glob() {
        let fit = |pattern: &str, name: &str| {
            fits(
                &pattern.chars().collect::<Vec<_>>(),
                &name.chars().collect::<Vec<_>>(),
            )
        };
        assert!(fit("*.env", "a.env") && fit("a?c*", "abcd") && fit("[a-c]x[!y]", "bxz"));
        assert!(!fit("*.env", "a.conf") && !fit("[a", "a") && !fit("a", "ab") && fit("**", ""));
        assert!(!fit(&"*a".repeat(2_000), &"a".repeat(1_000)));
    }
}
