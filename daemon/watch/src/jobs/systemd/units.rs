//! Which files make up a unit: the one that wins, its drop-ins, and who wants it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bascule_formats::unit::{Setting, UnitFile, name::UnitName};

use crate::{
    found::Place,
    jobs::listed,
    picture::{Picture, Trail},
    read::{self, Text},
};

/// Kinds that run something, or start what does.
const KINDS: [&str; 7] = [
    "service",
    "timer",
    "path",
    "socket",
    "mount",
    "automount",
    "target",
];
/// No unit is larger.
const LARGEST_UNIT: u64 = 128 << 10;
const REMEDY: &str = "run it as root";

/// The units of one manager.
pub(super) struct Units {
    root: PathBuf,
    /// By name, the file that wins.
    files: BTreeMap<String, PathBuf>,
    /// By name without `.d`, in the order of precedence.
    drop_ins: BTreeMap<String, Vec<PathBuf>>,
    /// By name, the units that want or require it by a link.
    wanted: BTreeMap<String, BTreeSet<String>>,
}

/// What a name stands for.
pub(super) enum Loaded {
    Files(Files),
    /// Masked, another name of another unit, or not there.
    Nothing,
}

/// The files of one unit, the one that wins first.
pub(super) struct Files(Vec<Text>);

/// What all of a unit's files set, in the order of precedence.
pub(in crate::jobs) struct Settings<'a>(Vec<(Setting<'a>, &'a Path)>);

impl Units {
    pub(super) fn scan(root: &Path, folders: Vec<PathBuf>, picture: &mut Picture) -> Self {
        let mut units = Self {
            root: root.to_owned(),
            files: BTreeMap::new(),
            drop_ins: BTreeMap::new(),
            wanted: BTreeMap::new(),
        };
        for folder in folders {
            for name in listed(&folder, REMEDY, picture) {
                let path = folder.join(&name);
                if let Some(of) = name.strip_suffix(".d") {
                    units.drop_ins.entry(of.to_owned()).or_default().push(path);
                } else if let Some(by) = [".wants", ".requires", ".upholds"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                {
                    for wanted in listed(&path, REMEDY, picture) {
                        units
                            .wanted
                            .entry(wanted)
                            .or_default()
                            .insert(by.to_owned());
                    }
                } else if UnitName::parse(&name).is_some_and(|name| KINDS.contains(&name.kind)) {
                    units.files.entry(name).or_insert(path);
                }
            }
        }
        units
    }

    /// Every unit that a file or a link names, the templates that have no instance among them.
    pub(super) fn names(&self) -> Vec<String> {
        let wanted = self
            .wanted
            .keys()
            .filter(|name| UnitName::parse(name).is_some_and(|name| KINDS.contains(&name.kind)));
        let names: BTreeSet<&String> = self.files.keys().chain(wanted).collect();
        names.into_iter().cloned().collect()
    }

    /// Whether there is a file for a name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.file(name).is_some()
    }

    fn file(&self, name: &str) -> Option<&PathBuf> {
        self.files.get(name).or_else(|| {
            let template = UnitName::parse(name)?.template()?;
            self.files.get(&template)
        })
    }

    /// Who wants a unit by a link in a `.wants` folder.
    pub(super) fn wanted_by(&self, name: &str) -> impl Iterator<Item = &str> {
        self.wanted
            .get(name)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// Whether a link enables it, be it as an instance.
    pub(super) fn is_enabled(&self, name: &str) -> bool {
        self.wanted.contains_key(name)
    }

    /// The unit that a name is another name of, or the name itself.
    pub(super) fn canonical(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for _ in 0..4 {
            let Some(target) = self.alias(&name) else {
                break;
            };
            name = target;
        }
        name
    }

    fn alias(&self, name: &str) -> Option<String> {
        let path = self.files.get(name)?;
        let target = std::fs::read_link(path).ok()?;
        let target = target.file_name()?.to_str()?;
        let parsed = UnitName::parse(target)?;
        let own = UnitName::parse(name)?;
        let is_instance = own.template().as_deref() == Some(target);
        if target == name || is_instance {
            return None;
        }
        // An alias of a template is one of its instances too.
        match own.instance {
            Some(instance) if parsed.is_template() && !instance.is_empty() => {
                Some(format!("{}@{instance}.{}", parsed.prefix, parsed.kind))
            }
            _ => Some(target.to_owned()),
        }
    }

    /// Reads a unit's files.
    pub(super) fn load(&self, name: &str, picture: &mut Picture) -> Loaded {
        if self.alias(name).is_some() {
            return Loaded::Nothing;
        }
        let mut texts = Vec::new();
        match self.file(name) {
            Some(path) => {
                let resolved = read::resolved(&self.root, path);
                // Masked: a link to the null device, or an empty file.
                let masked = self.root.join("dev/null") == resolved
                    || std::fs::metadata(&resolved).is_ok_and(|found| found.len() == 0);
                if masked {
                    return Loaded::Nothing;
                }
                texts.extend(read_file(&resolved, picture));
            }
            None => return Loaded::Nothing,
        }
        if texts.is_empty() {
            return Loaded::Nothing;
        }
        for path in self.drop_ins_of(name, picture) {
            texts.extend(read_file(&read::resolved(&self.root, &path), picture));
        }
        Loaded::Files(Files(texts))
    }

    /// Drop-ins by their own names; of two with one name the more specific one counts.
    fn drop_ins_of(&self, name: &str, picture: &mut Picture) -> Vec<PathBuf> {
        let Some(parsed) = UnitName::parse(name) else {
            return Vec::new();
        };
        let mut by_name: BTreeMap<String, PathBuf> = BTreeMap::new();
        for of in parsed.drop_in_names().iter().rev() {
            for folder in self.drop_ins.get(of).into_iter().flatten() {
                for file in listed(folder, REMEDY, picture) {
                    if file.ends_with(".conf") {
                        let path = folder.join(&file);
                        by_name.entry(file).or_insert(path);
                    }
                }
            }
        }
        by_name.into_values().collect()
    }
}

/// Reads a unit's file; what can't be read is told.
pub(in crate::jobs) fn read_file(path: &Path, picture: &mut Picture) -> Option<Text> {
    let text = match Text::read_up_to(path, LARGEST_UNIT) {
        Ok(Some(text)) => text,
        Ok(None) => return None,
        Err(error) => {
            // A masked drop-in is a device.
            if !path.ends_with("dev/null") {
                picture.unusable(&Trail::configuration(), path.display().to_string(), &error);
            }
            return None;
        }
    };
    picture.files_read += 1;
    if let Err(error) = text.as_str() {
        picture.unusable(&Trail::configuration(), path.display().to_string(), &error);
        return None;
    }
    Some(text)
}

impl Files {
    pub(super) fn settings(&self) -> Settings<'_> {
        let all = self.0.iter().flat_map(|text| Settings::of(text).0);
        Settings(all.collect())
    }
}

impl<'a> Settings<'a> {
    /// What one file sets.
    pub(in crate::jobs) fn of(text: &'a Text) -> Self {
        let settings = UnitFile::parse(text.as_str().unwrap_or_default()).settings;
        Self(
            settings
                .into_iter()
                .map(|setting| (setting, text.path.as_path()))
                .collect(),
        )
    }

    /// All values of a list: what stands behind the last empty one.
    pub(in crate::jobs) fn list(&self, section: &str, key: &str) -> Vec<(&Setting<'a>, &'a Path)> {
        let mut kept = Vec::new();
        for (setting, path) in &self.0 {
            if setting.section == section && setting.key == key {
                if setting.value.is_empty() {
                    kept.clear();
                } else {
                    kept.push((setting, *path));
                }
            }
        }
        kept
    }

    /// The value that counts of a single one.
    pub(in crate::jobs) fn last(
        &self,
        section: &str,
        key: &str,
    ) -> Option<(&Setting<'a>, &'a Path)> {
        self.list(section, key).pop()
    }
}

pub(in crate::jobs) fn place(path: &Path, line: u32) -> Place {
    Place::File {
        path: path.to_owned(),
        line,
    }
}
