//! Files that are read as leaves: values are replaced by their places. To mc's own file members can be
//! added as well.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    CannotRevise, Scope, Syntax,
    change::{Addition, newline},
    quoting,
    setting::{Lines, Reading, Setting, Value},
};
use crate::{
    edit::Edit,
    leaves::{Leaf, Step, Structure, leaves},
};

pub(super) fn read(
    text: &str,
    structure: Structure,
    reading: &mut Reading,
) -> Result<(), CannotRevise> {
    let lines = Lines::of(text);
    for leaf in leaves(text, structure).map_err(CannotRevise::Unreadable)? {
        let (raw, quote) = written(text, &leaf.span);
        let value = value(&text[raw.clone()], &leaf.value, structure);
        let path = shown_path(&leaf.path);
        let name = leaf.name().unwrap_or_default();
        let name_span = raw.start..raw.start;
        let setting = Setting::new(&lines, (&path, name), value, name_span, raw, quote);
        reading.settings.push(setting);
    }
    Ok(())
}

/// The path of a setting, as `read` tells paths apart.
pub(super) fn path(scope: &Scope<'_>, name: &str) -> String {
    let mut path = match scope {
        Scope::Whole => Vec::new(),
        Scope::Section(section) => vec![Step::Name((*section).into())],
        Scope::Path(path) => path.clone(),
    };
    if !name.is_empty() {
        path.push(Step::Name(name.into()));
    }
    shown_path(&path)
}

fn shown_path(path: &[Step<'_>]) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Name(name) => format!("n{name}\0"),
        Step::Index(index) => format!("i{index}\0"),
    });
    steps.collect()
}

/// A leaf for comparing, wherever it stands.
pub(super) fn shown(leaf: &Leaf<'_>) -> Zeroizing<String> {
    let path = shown_path(&leaf.path);
    quoting::joined(&[&leaf.document.to_string(), "\n", &path, "\n", &leaf.value])
}

/// A span with the quotes around it, and which these are.
fn written(text: &str, span: &Range<usize>) -> (Range<usize>, Option<&'static str>) {
    let raw = span.start.saturating_sub(1)..(span.end + 1).min(text.len());
    match quoting::around(text, &raw).filter(|mark| *mark != "`") {
        Some(mark) => (raw, Some(mark)),
        None => (span.clone(), None),
    }
}

fn value(raw: &str, value: &str, structure: Structure) -> Value {
    let variable = match structure {
        Structure::Assignments => value.contains(['$', '`']) && !raw.starts_with('\''),
        _ => value.contains("${") || value.contains("$("),
    };
    let value = Zeroizing::new(value.to_owned());
    if raw.contains('\n') {
        Value::Folded(value)
    } else if variable {
        Value::Computed(value)
    } else {
        Value::Literal(value)
    }
}

pub(super) fn s3fs(text: &str, reading: &mut Reading) -> Result<(), CannotRevise> {
    let lines = Lines::of(text);
    let found = leaves(text, Structure::S3fsPasswords).map_err(CannotRevise::Unreadable)?;
    let bucket_of = |entry: &Step<'_>| {
        let bucket = found
            .iter()
            .find(|leaf| leaf.path.first() == Some(entry) && leaf.name() == Some("bucket"));
        bucket.map_or("", |leaf| &*leaf.value)
    };
    for leaf in &found {
        let (Some(entry), Some(name)) = (leaf.path.first(), leaf.name()) else {
            continue;
        };
        if name == "bucket" {
            reading.rest.push(Zeroizing::new(leaf.value.to_string()));
            continue;
        }
        let value = Value::Literal(Zeroizing::new(leaf.value.to_string()));
        let (place, raw) = (leaf.span.start..leaf.span.start, leaf.span.clone());
        let names = (bucket_of(entry), name);
        let setting = Setting::new(&lines, names, value, place, raw, None);
        reading.settings.push(setting);
    }
    Ok(())
}

pub(super) fn mc(text: &str, reading: &mut Reading) -> Result<(), CannotRevise> {
    let lines = Lines::of(text);
    for leaf in leaves(text, Structure::Json).map_err(CannotRevise::Unreadable)? {
        let (alias, name) = match leaf.path.as_slice() {
            [Step::Name(aliases), Step::Name(alias), Step::Name(name)]
                if matches!(&**aliases, "aliases" | "hosts") =>
            {
                (&**alias, &**name)
            }
            _ => {
                reading.rest.push(shown(&leaf));
                continue;
            }
        };
        let (raw, quote) = written(text, &leaf.span);
        let before = text[..raw.start].trim_end();
        let key = before.strip_suffix(':').map(str::trim_end);
        let key = key.and_then(|key| key.strip_suffix('"'));
        let Some(start) =
            key.and_then(|key| Some(key.len() - key.strip_suffix(name).map(|_| name.len())?))
        else {
            reading.rest.push(shown(&leaf));
            continue;
        };
        let value = Value::Literal(Zeroizing::new(leaf.value.to_string()));
        let name_span = start..start + name.len();
        let mut setting = Setting::new(&lines, (alias, name), value, name_span, raw, quote);
        setting.token.start = start.saturating_sub(1);
        let before = &text[setting.line.start..setting.token.start];
        let behind = text[setting.raw.end..setting.line.end].trim();
        setting.alone = before.trim().is_empty() && matches!(behind, "" | ",");
        reading.settings.push(setting);
    }
    Ok(())
}

/// A member before the one at a place, laid out like it.
pub(super) fn member(
    text: &str,
    reading: &Reading,
    at: usize,
    name: &str,
    value: &str,
) -> Option<Addition> {
    let beside = &reading.settings[at];
    let quotes = quoting::of(Syntax::Mc);
    let value = quotes.within(quotes.find("\"")?, value)?;
    let separator = &text[beside.name_span.end..beside.raw.start];
    let (begins, ends, place) = if beside.alone {
        let begins = &text[beside.line.start..beside.name_span.start];
        (begins, newline(text, &beside.line), beside.line.start)
    } else {
        ("\"", " ", beside.token.start)
    };
    Some(Addition {
        at,
        number: 1,
        forms: vec![Edit {
            span: place..place,
            text: quoting::joined(&[begins, name, separator, &value, ",", ends]),
        }],
    })
}

/// What goes when a member does: its comma too, or as the last one the comma before it.
pub(super) fn member_span(text: &str, setting: &Setting) -> Range<usize> {
    let behind = &text[setting.raw.end..];
    let comma = behind.trim_start().starts_with(',');
    if comma && setting.alone && text[setting.raw.end..setting.line.end].contains(',') {
        return setting.line.clone();
    }
    if comma {
        let after = behind.find(',').map_or(0, |at| at + 1);
        let blanks = &behind[after..];
        let blanks = blanks.len() - blanks.trim_start_matches([' ', '\t']).len();
        return setting.token.start..setting.raw.end + after + blanks;
    }
    let before = text[..setting.token.start].trim_end();
    match before.strip_suffix(',') {
        Some(before) => before.len()..setting.raw.end,
        None => setting.token.start..setting.raw.end,
    }
}
