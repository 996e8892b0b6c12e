//! crestic: which variables and which repository its configuration gives to restic for a preset and a
//! command (consumers.md 3, and crestic 1.1's own source).

use bascule_formats::{
    Step, Structure, leaves,
    leaves::{IniRules, Leaf},
};

use super::restic;
use crate::{
    catalogue::Catalogue,
    command::{self, Command},
    found::Place,
    machine::Machine,
    picture::{Link, LinkKind, Picture, Trail},
    read::Text,
};

/// Adds the keys that a run of `crestic [PRESET[@SUFFIX]] COMMAND` would use.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let Some(row) = Catalogue::builtin().row("crestic") else {
        return;
    };
    let sections = sections(command);
    let mut texts = Vec::new();
    for path in row.existing_candidates(&command.environment) {
        match Text::read(&path) {
            Ok(text) => texts.extend(text),
            Err(error) => picture.unusable(trail, path.display().to_string(), &error),
        }
    }
    let mut files = Vec::new();
    for text in &texts {
        let read = text
            .as_str()
            .map(|content| leaves(content, Structure::Ini(RULES)));
        match read {
            Ok(Ok(leaves)) => files.push((text, leaves)),
            Ok(Err(source)) => {
                let path = text.path.clone();
                let error = crate::found::NotUsable::Parse { path, source };
                picture.unusable(trail, text.path.display().to_string(), &error);
            }
            Err(error) => picture.unusable(trail, text.path.display().to_string(), &error),
        }
    }
    picture.files_read += files.len() as u64;
    let mut run = command.clone();
    run.arguments = vec!["restic".into()];
    let mut trail = trail.clone();
    // The last section that sets something counts, and within it the last file.
    for section in &sections {
        for (text, leaves) in &files {
            for leaf in leaves {
                let Some((of, name)) = named(leaf) else {
                    continue;
                };
                let place = text.place(leaf.line);
                let value = |text: &str| {
                    let plain = interpolated(text, of, &files);
                    expanded(&plain, &command.environment)
                };
                if of.strip_suffix(".environ") == Some(section) {
                    let value = value(&leaf.value);
                    command::assign(&mut run.environment, name, &value, Some(&place));
                } else if of == section && is_repository(name) {
                    let value = value(&leaf.value);
                    let option = if name.len() == 1 { "-" } else { "--" };
                    run.arguments.extend([format!("{option}{name}"), value]);
                } else {
                    continue;
                }
                note(&mut trail, section, &place);
            }
        }
    }
    let own = command.arguments.iter().skip(1);
    run.arguments.extend(own.cloned());
    restic::uses(&run, machine, &trail, picture);
}

const RULES: IniRules = IniRules {
    no_sections: false,
    colon: true,
    quotes: "",
    comments: "",
};

/// The section of a value, and its name.
fn named<'l>(leaf: &'l Leaf<'_>) -> Option<(&'l str, &'l str)> {
    match &leaf.path[..] {
        [Step::Name(section), Step::Name(name)] => Some((section, name)),
        _ => None,
    }
}

fn is_repository(name: &str) -> bool {
    ["r", "repo", "repository-file"].contains(&name)
}

/// The step of a chain that a section is, once each.
fn note(trail: &mut Trail, section: &str, place: &Place) {
    let name = format!("preset {section}");
    if !trail.chain.iter().any(|link| link.name == name) {
        let link = Link::new(LinkKind::Entry, name, "sets what restic gets").at(place.clone());
        trail.chain.push(link);
    }
}

/// The sections that a run reads, the last of which counts.
fn sections(command: &Command) -> Vec<String> {
    let mut words = Vec::new();
    let mut arguments = command.arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        if argument.starts_with('-') {
            // An option takes what follows it.
            if !argument.contains('=') {
                arguments.next();
            }
        } else {
            words.push(argument.as_str());
        }
    }
    let (preset, verb) = match words[..] {
        [] => (None, ""),
        [verb] => (None, verb),
        [preset, verb, ..] => (Some(preset), verb),
    };
    let mut sections = vec!["global".to_owned(), format!("global.{verb}")];
    let mut add = |name: &str| sections.extend([name.to_owned(), format!("{name}.{verb}")]);
    if let Some(preset) = preset {
        if let Some(at) = preset.find('@') {
            add(&preset[at..]);
            add(&preset[..=at]);
        }
        add(preset);
    }
    sections
}

/// A value with the others that it refers to, as `${name}` of its own section or `${section:name}`;
/// `$$` is one `$`. References in those are left alone.
fn interpolated(text: &str, section: &str, files: &[(&Text, Vec<Leaf<'_>>)]) -> String {
    let find = |reference: &str| {
        let (section, name) = reference.split_once(':').unwrap_or((section, reference));
        let mut all = files.iter().rev().flat_map(|(_, leaves)| leaves);
        all.find(|leaf| named(leaf) == Some((section, name)))
            .map(|leaf| leaf.value.to_string())
    };
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        plain.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let inner = after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        rest = if let Some(after) = after.strip_prefix('$') {
            plain.push('$');
            after
        } else if let Some((value, after)) =
            inner.and_then(|(reference, after)| Some((find(reference)?, after)))
        {
            plain.push_str(&value);
            after
        } else {
            plain.push('$');
            after
        };
    }
    plain.push_str(rest);
    plain
}

/// A value with its variables.
fn expanded(value: &str, environment: &crate::environment::Environment) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, end) = match after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'))
        {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = after.find(|c| !is_part(c)).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        match environment.set_variable(name).filter(|_| !name.is_empty()) {
            Some(set) => text.push_str(set),
            None => text.push_str(&rest[at..=at + end]),
        }
        rest = &after[end..];
    }
    text.push_str(rest);
    text
}
